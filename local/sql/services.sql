-- What hosted has around the tables of Auth and Storage, and the Auth and Storage process has not.
-- Run as supabase_admin at every start, once that process has made its tables; safe to run again.

-- Owners as hosted. The process made the objects under its own login.
do $$
declare
  v_object record;
begin
  for v_object in
    select c.oid::regclass::text as name, n.nspname as schema_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('auth', 'storage', 'supabase_migrations')
      and c.relkind in ('r', 'p', 'v') and pg_get_userbyid(c.relowner) = 'supabase_lite'
  loop
    execute format('alter table %s owner to %I', v_object.name, case v_object.schema_name
      when 'auth' then 'supabase_auth_admin'
      when 'storage' then 'supabase_storage_admin'
      else 'postgres' end);
  end loop;

  for v_object in
    select p.oid::regprocedure::text as name, n.nspname as schema_name
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('auth', 'storage') and pg_get_userbyid(p.proowner) = 'supabase_lite'
  loop
    execute format('alter function %s owner to %I', v_object.name,
      'supabase_' || v_object.schema_name || '_admin');
  end loop;

  for v_object in
    select c.oid::regclass::text as name
    from pg_class c where c.relnamespace = 'auth'::regnamespace and c.relkind = 'r'
  loop
    execute format('alter table %s enable row level security', v_object.name);
  end loop;
end
$$;

-- A migration may refer to auth.users, put a trigger on it and delete users, but not alter it.
grant all on all tables in schema auth to postgres, dashboard_user;
grant select on all tables in schema auth to postgres with grant option;
grant all on all routines in schema auth to postgres, dashboard_user;

grant all on storage.buckets, storage.objects to anon, authenticated, service_role, dashboard_user;
grant all on storage.buckets, storage.objects to postgres with grant option;

-- On hosted an extension lets postgres write policies on storage tables that it does not own.
-- Plain PostgreSQL knows no such right, so here postgres is a member of the owner.
grant supabase_storage_admin to postgres;

-- The process hands its jsonb values over as text in quotes; triggers of a project read objects.
create or replace function extensions.unquote_json() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_row jsonb := pg_catalog.to_jsonb(new);
  v_column text;
  v_changed boolean := false;
begin
  foreach v_column in array tg_argv loop
    if pg_catalog.jsonb_typeof(v_row -> v_column) = 'string' then
      v_row := pg_catalog.jsonb_set(v_row, array[v_column], (v_row ->> v_column)::jsonb);
      v_changed := true;
    end if;
  end loop;
  if v_changed then
    new := pg_catalog.jsonb_populate_record(new, v_row);
  end if;
  return new;
end
$$;

create or replace trigger unquote_json before insert or update on auth.users
  for each row execute function extensions.unquote_json('raw_app_meta_data', 'raw_user_meta_data');
create or replace trigger unquote_json before insert or update on auth.identities
  for each row execute function extensions.unquote_json('identity_data');
create or replace trigger unquote_json before insert or update on storage.objects
  for each row execute function extensions.unquote_json('metadata', 'user_metadata');
