-- Privacy: a learner takes along what is held on them, keeps no diary of days if they like, and leaves
-- nothing that names them when their account goes. docs/explanation/privacy.md says what is kept and why.

select private.require_free(array[
  'private.export_my_data', 'private.personal_tables', 'private.tg_daily_activity__off',
  'private.tg_profiles__forget', 'private.tg_users__forget', 'public.export_my_data']);
select private.hold_tables(
  array['auth.users', 'public.profiles', 'public.daily_activity']::regclass[]);

-- Opting out of the history of days ------------------------------------------------------------------
-- In one place for all that write days: the insert half of an upsert passes here whether or not the day
-- is there already.

create function private.tg_daily_activity__off() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if exists (select from public.profiles p where p.id = new.user_id and not p.activity_history) then
    return null;
  end if;
  return new;
end
$$;
comment on function private.tg_daily_activity__off() is
  'Keeps no day of a learner who has turned the history of activity off.';
revoke execute on function private.tg_daily_activity__off() from public;

create function private.tg_profiles__forget() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  delete from public.daily_activity where user_id = new.id;
  return null;
end
$$;
comment on function private.tg_profiles__forget() is
  'Turning the history of activity off forgets the days there are.';
revoke execute on function private.tg_profiles__forget() from public;

create trigger _100_off before insert on public.daily_activity
  for each row execute function private.tg_daily_activity__off();
create trigger _800_forget after update of activity_history on public.profiles
  for each row when (old.activity_history and not new.activity_history)
  execute function private.tg_profiles__forget();

-- Leaving --------------------------------------------------------------------------------------------
-- What has a foreign key to the user goes with the row. History and audit stay, under an id that was made
-- for nobody: what happened in a course still adds up, and leads back to no one.

create function private.tg_users__forget() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_nobody uuid := gen_random_uuid();
begin
  update public.progress_events
     set user_id = v_nobody, data = data - 'reason'
   where user_id = old.id;
  update public.audit_log
     set user_id = v_nobody,
         actor_id = case when actor_id = old.id then v_nobody else actor_id end,
         reason = case when actor_id = old.id then null else reason end
   where user_id = old.id;
  return null;
end
$$;
comment on function private.tg_users__forget() is
  'Puts a random id in the place of a removed user''s in the history and in what was done to them.';
revoke execute on function private.tg_users__forget() from public;

create trigger waymark_forget after delete on auth.users
  for each row execute function private.tg_users__forget();

-- Taking it along ------------------------------------------------------------------------------------
-- By name: a host's own tables may have a user_id too, and are the host's to give. A test finds every table
-- of ours that could hold somebody's rows, and asks for it here.

create function private.personal_tables()
returns table (name text, relation regclass, owner_column text, keys text[])
language sql stable security invoker set search_path = ''
as $$
  select c.relname::text, c.oid::regclass, a.attname::text,
         array(
           select k.attname::text
             from pg_catalog.pg_index i
            cross join unnest(i.indkey::smallint[]) with ordinality as place (attnum, n)
             join pg_catalog.pg_attribute k on k.attrelid = c.oid and k.attnum = place.attnum
            where i.indrelid = c.oid and i.indisprimary and k.attname <> a.attname
            order by place.n)
    from unnest(array[
           'public.profiles', 'public.course_staff', 'public.enrollments', 'public.user_progress',
           'public.module_progress', 'public.lesson_waivers', 'public.program_enrollments',
           'public.past_cycles', 'public.past_progress', 'public.daily_activity', 'public.progress_events',
           'public.user_assessment_attempts', 'public.audit_log', 'public.notes',
           'public.collections', 'public.collection_items', 'public.certificates',
           'public.notifications', 'public.access_overrides', 'private.certificate_exceptions', 'private.watch_sessions',
           'private.watch_credit', 'private.client_events']) as listed
    join pg_catalog.pg_class c on c.oid = to_regclass(listed)
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and not a.attisdropped
     and a.attname = case when listed = 'public.profiles' then 'id' else 'user_id' end
$$;
comment on function private.personal_tables() is
  'Tables that hold rows of users: whose a row is, and the rest of its key.';
revoke execute on function private.personal_tables() from public;

create function private.export_my_data(p_after jsonb) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_page constant integer := 10000;
  v_table record;
  v_row text;
  v_rows jsonb[];
  v_key jsonb;
  v_tables jsonb := '{}';
  v_next jsonb := '{}';
  v_answer jsonb;
begin
  if p_after is not null and jsonb_typeof(p_after) <> 'object' then
    perform private.fail('invalid_value', 422, 'after is not the next of an export');
  end if;
  for v_table in
    select * from private.personal_tables() t
     where p_after is null or p_after ? t.name
     order by t.name
  loop
    v_row := case v_table.name
      -- Points and keys of an attempt open by the lesson's policy, here as everywhere.
      when 'user_assessment_attempts' then $sql$
        to_jsonb(t) || jsonb_build_object('results', (
          select private.attempt_json(t, l) -> 'results'
            from public.lessons l where l.id = (t).lesson_id))
        $sql$
      -- Who else was involved is not the caller's data.
      when 'audit_log' then $sql$ to_jsonb(t) - case when (t).actor_id = $1 then '' else 'actor_id' end $sql$
      -- The index of the text beside it.
      when 'notes' then $sql$ to_jsonb(t) - 'words' $sql$
      else 'to_jsonb(t)' end;
    execute format($sql$
      select array(
        select %s
          from (select t from %s t where t.%I = $1 %s order by %s limit %s) as page)
      $sql$,
      v_row, v_table.relation, v_table.owner_column,
      case when p_after is not null and cardinality(v_table.keys) > 0 then (
        select format('and (%s) > (select %s from jsonb_populate_record(null::%s, $2) as k)',
                 string_agg(format('t.%I', key), ', ' order by n),
                 string_agg(format('k.%I', key), ', ' order by n), v_table.relation)
          from unnest(v_table.keys) with ordinality as part (key, n)) end,
      coalesce((
        select string_agg(format('t.%I', key), ', ' order by n)
          from unnest(v_table.keys) with ordinality as part (key, n)), format('t.%I', v_table.owner_column)),
      v_page + 1)
      into v_rows using v_user_id, p_after -> v_table.name;
    if cardinality(v_rows) > v_page then
      v_rows := v_rows[:v_page];
      select jsonb_object_agg(key, v_rows[v_page] -> key) into v_key from unnest(v_table.keys) as key;
      v_next := v_next || jsonb_build_object(v_table.name, v_key);
    end if;
    v_tables := v_tables || jsonb_build_object(v_table.name, v_rows);
  end loop;
  -- What the caller did to others, as staff: that they did it, not to whom.
  if p_after is null or p_after ? 'acts' then
    v_rows := array(
      select jsonb_build_object('id', l.id, 'occurred_at', l.occurred_at, 'action', l.action,
               'course_id', l.course_id, 'reason', l.reason)
        from public.audit_log l
       where l.actor_id = v_user_id and l.user_id is distinct from v_user_id
         and l.id > coalesce((p_after -> 'acts' ->> 'id')::bigint, 0)
       order by l.id
       limit v_page + 1);
    if cardinality(v_rows) > v_page then
      v_rows := v_rows[:v_page];
      v_next := v_next || jsonb_build_object('acts', jsonb_build_object('id', v_rows[v_page] -> 'id'));
    end if;
    v_tables := v_tables || jsonb_build_object('acts', v_rows);
  end if;
  v_answer := jsonb_build_object('exported_at', private.clock(), 'user_id', v_user_id,
    'tables', v_tables, 'next', nullif(v_next, '{}'));

  if p_after is null then
    select v_answer || jsonb_build_object('account', jsonb_object_agg(e.key, e.value)) into v_answer
      from auth.users u
     cross join lateral jsonb_each(to_jsonb(u)) as e
     where u.id = v_user_id
       and e.key in ('id', 'email', 'phone', 'raw_user_meta_data', 'raw_app_meta_data', 'created_at',
         'last_sign_in_at', 'email_confirmed_at', 'phone_confirmed_at', 'is_anonymous');
    if to_regclass('storage.objects') is not null then
      execute $sql$
        select $2 || jsonb_build_object('files', coalesce(jsonb_agg(
                 jsonb_build_object('bucket', o.bucket_id, 'name', o.name,
                   'size', o.metadata -> 'size', 'created_at', o.created_at)
                 order by o.bucket_id, o.name), '[]'))
          from storage.objects o
         where o.owner_id = $1::text or o.name like $1 || '/%'
        $sql$ into v_answer using v_user_id, v_answer;
    end if;
  end if;
  return v_answer;
end
$$;
comment on function private.export_my_data(jsonb) is
  'Everything held on the caller, table by table; next names the tables that go on.';

create function public.export_my_data(p_after jsonb default null) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.export_my_data(p_after); end;
comment on function public.export_my_data(jsonb) is
  'Everything held on the caller: {exported_at, user_id, account, files, tables, next}.';

revoke execute on function private.export_my_data from public;
revoke execute on function public.export_my_data from public, anon, authenticated, service_role;
grant execute on function public.export_my_data, private.export_my_data to authenticated;
