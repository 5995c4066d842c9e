-- The roles, limits and schemas that a hosted project starts with. Run as supabase_admin at every
-- start, before anything else connects; safe to run again. Passwords are set by local/database.py.

do $$
declare
  v_role text;
begin
  foreach v_role in array array[
    'postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'dashboard_user',
    'supabase_auth_admin', 'supabase_storage_admin', 'supabase_lite'
  ] loop
    if not exists (select from pg_roles where rolname = v_role) then
      execute format('create role %I', v_role);
    end if;
  end loop;
end
$$;

-- The role of migrations is powerful but no superuser, as hosted.
alter role postgres login createdb createrole replication bypassrls inherit;
alter role anon nologin inherit;
alter role authenticated nologin inherit;
alter role service_role nologin inherit bypassrls;
alter role authenticator login noinherit;
alter role dashboard_user nologin createdb createrole replication;
alter role supabase_auth_admin login noinherit;
alter role supabase_storage_admin login noinherit;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
-- As hosted: to load rows whose triggers have done their work elsewhere.
grant set on parameter session_replication_role to postgres;
grant anon, authenticated, service_role to supabase_storage_admin;

-- Not on hosted: the one login of the Auth and Storage process. It acts for the two service
-- owners, switches to the role of each storage request, and keeps the migration tables that it
-- insists on making in the hands of postgres.
alter role supabase_lite login inherit;
grant supabase_auth_admin, supabase_storage_admin, postgres to supabase_lite;
grant anon, authenticated, service_role to supabase_lite;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_storage_admin set search_path = storage;

alter database postgres owner to postgres;
alter database postgres set search_path = "$user", public, extensions;
grant create on database postgres to supabase_auth_admin, supabase_storage_admin, supabase_lite;
grant all on database postgres to dashboard_user;

-- Nothing is granted on new tables: the Data API sees only what a migration grants.
grant usage on schema public to postgres, anon, authenticated, service_role;

create schema if not exists extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to dashboard_user;
create extension if not exists pgcrypto schema extensions;
create extension if not exists pg_stat_statements schema extensions;

create schema if not exists auth;
grant usage on schema auth to postgres, anon, authenticated, service_role;
grant all on schema auth to supabase_auth_admin, dashboard_user;

create schema if not exists storage;
grant usage on schema storage to postgres, anon, authenticated, service_role;
grant all on schema storage to supabase_storage_admin, dashboard_user;

create schema if not exists supabase_migrations authorization postgres;

do $$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
    alter publication supabase_realtime owner to postgres;
  end if;
end
$$;

-- PostgREST reloads its schema cache by itself after a migration, as on hosted.
create or replace function extensions.pgrst_ddl_watch() returns event_trigger
language plpgsql as $$
begin
  if exists (
    select from pg_event_trigger_ddl_commands()
    where coalesce(schema_name, '') not in ('pg_temp', 'auth', 'storage', 'realtime')
      and command_tag not in ('GRANT', 'REVOKE', 'CREATE INDEX')
  ) then
    notify pgrst, 'reload schema';
  end if;
end
$$;

create or replace function extensions.pgrst_drop_watch() returns event_trigger
language plpgsql as $$
begin
  if exists (
    select from pg_event_trigger_dropped_objects()
    where not is_temporary and coalesce(schema_name, '') not in ('auth', 'storage', 'realtime')
  ) then
    notify pgrst, 'reload schema';
  end if;
end
$$;

-- The helpers of schema auth. The Auth process would replace them at each of its starts by some
-- that read settings which PostgREST no longer makes; it may not, because they are not its own,
-- and goes on without (its refusals stand in the database's log).
create or replace function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

create or replace function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;

create or replace function auth.role() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
  )
$$;

create or replace function auth.email() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email')
  )
$$;

-- At its first request of a user the process would open every table to the API roles, the migrations'
-- tables included. It may not, and goes on without; local/parts.py makes that request at its start.
create or replace function extensions.refuse_grants() returns event_trigger
language plpgsql as $$
begin
  if session_user = 'supabase_lite' then
    raise insufficient_privilege using message = 'grants are for migrations to make';
  end if;
end
$$;

do $$
begin
  if not exists (select from pg_event_trigger where evtname = 'refuse_grants') then
    create event trigger refuse_grants on ddl_command_start
      when tag in ('GRANT', 'ALTER DEFAULT PRIVILEGES')
      execute function extensions.refuse_grants();
  end if;
  if not exists (select from pg_event_trigger where evtname = 'pgrst_ddl_watch') then
    create event trigger pgrst_ddl_watch on ddl_command_end
      execute function extensions.pgrst_ddl_watch();
    create event trigger pgrst_drop_watch on sql_drop
      execute function extensions.pgrst_drop_watch();
  end if;
end
$$;
