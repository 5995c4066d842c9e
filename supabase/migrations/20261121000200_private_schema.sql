-- The private schema, the writer role and the helpers that everything else calls.
--
-- PostgREST never exposes `private`, and the API roles hold no USAGE on it: the public RPCs bind to
-- its functions when they are created (begin atomic), so a caller needs EXECUTE on just the one
-- behind the RPC. Functions that write a learner's rows belong to `waymark_writer`, a role without
-- login and without BYPASSRLS: even a mistake inside them meets the owner policies.

create schema if not exists private;
comment on schema private is
  'Waymark helpers, write path and secrets. Never exposed through the API.';

do $$
begin
  -- Roles belong to the cluster: a second database of it finds the role already there.
  if not exists (select from pg_catalog.pg_roles where rolname = 'waymark_writer') then
    create role waymark_writer nologin noinherit;
  end if;
end
$$;
comment on role waymark_writer is
  'Owns the functions that write learners'' rows; no login, no BYPASSRLS.';

-- To hand functions over to the role, and for the functions of staff and operators, which belong to the
-- migrating role and call the write path. It gains nothing: it owns the tables.
grant waymark_writer to current_user with inherit true, set true;
grant usage on schema private, public to waymark_writer;

create function private.require_free(p_names text[]) returns void
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_clashes text;
begin
  select string_agg(name, ', ' order by name)
    into v_clashes
    from unnest(p_names) as name
   where exists (
     select
       from (
         select relname as object, relnamespace as schema_oid from pg_catalog.pg_class
         union all
         select proname, pronamespace from pg_catalog.pg_proc
         union all
         select typname, typnamespace from pg_catalog.pg_type
       ) as taken
       join pg_catalog.pg_namespace n on n.oid = taken.schema_oid
      where n.nspname || '.' || taken.object = name);
  if v_clashes is not null then
    raise exception 'Waymark cannot be upgraded: these names are already taken: %', v_clashes
      using errcode = 'duplicate_object', hint = 'Rename or drop them. Nothing was changed.';
  end if;
end
$$;
comment on function private.require_free(text[]) is
  'Raises when a later migration''s new names are taken by the host project.';
revoke execute on function private.require_free(text[]) from public;

-- For migrations that lock several tables in use: all of them at once, or none for now. Callers take tables in an
-- order of their own; against that of a migration it would end in a deadlock, and the call be what fails. A
-- try waits for less than the deadlock check does (deadlock_timeout, 1 s), then lets everybody pass. Gives up
-- after lock_timeout, or a minute where none is set: push again.
create function private.hold_tables(p_tables regclass[], p_mode text default 'exclusive') returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_lock constant text := (
    select format('lock table %s in %s mode', string_agg(t::text, ', '), p_mode)
      from unnest(p_tables) as t);
  v_timeout constant text := current_setting('lock_timeout');
  v_end constant timestamptz := clock_timestamp()
    + coalesce(nullif(v_timeout::interval, interval '0'), interval '1 minute');
begin
  loop
    begin
      perform set_config('lock_timeout', '300ms', true);
      execute v_lock;
      perform set_config('lock_timeout', v_timeout, true);
      return;
    exception when lock_not_available or deadlock_detected then
      if clock_timestamp() >= v_end then
        raise;
      end if;
    end;
    perform pg_sleep(0.1 + 0.2 * random());
  end loop;
end
$$;
comment on function private.hold_tables(regclass[], text) is
  'Locks tables in use for a migration, all at once, without making anybody wait long.';
revoke execute on function private.hold_tables(regclass[], text) from public;

-- The only shape PostgREST passes on with our own code, status and headers (SQLSTATE PGRST).
create function private.fail(
  p_code text,
  p_status integer,
  p_message text,
  p_details text default null,
  p_hint text default null,
  p_headers jsonb default '{}'
) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  raise sqlstate 'PGRST' using
    message = json_build_object(
      'code', p_code, 'message', p_message, 'details', p_details, 'hint', p_hint)::text,
    detail = json_build_object('status', p_status, 'headers', p_headers)::text;
end
$$;
comment on function private.fail(text, integer, text, text, text, jsonb) is
  'Refuses with a registered code (docs/reference/errors.md), an HTTP status and headers.';
revoke execute on function private.fail(text, integer, text, text, text, jsonb) from public;
grant execute on function private.fail(text, integer, text, text, text, jsonb) to waymark_writer;

-- A definer, since the writer holds no USAGE on schema auth, which belongs to Supabase and which we could
-- not grant on every host. plpgsql, since every call asks it and an SQL function is planned each time.
create function private.uid() returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return auth.uid();
end
$$;
comment on function private.uid() is 'The caller: auth.uid(), callable without USAGE on auth.';
revoke execute on function private.uid() from public;
grant execute on function private.uid() to waymark_writer;

create function private.jwt() returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select auth.jwt();
end;
comment on function private.jwt() is 'The caller''s claims: auth.jwt().';
revoke execute on function private.jwt() from public;
grant execute on function private.jwt() to waymark_writer;

create function private.require_user() returns uuid
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := private.uid();
begin
  if v_user_id is null then
    perform private.fail('not_authenticated', 401, 'Not authenticated');
  end if;
  return v_user_id;
end
$$;
comment on function private.require_user() is 'The caller''s user id, or 401 not_authenticated.';
revoke execute on function private.require_user() from public;
grant execute on function private.require_user() to waymark_writer;

-- One clock, so that tests can set it (waymark.now). Requests come in as `authenticator`, which is
-- never believed: a learner cannot move time even if a way to set a parameter were found.
create function private.clock() returns timestamptz
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return case
    when session_user = 'authenticator' then now()
    else coalesce(nullif(current_setting('waymark.now', true), '')::timestamptz, now())
  end;
end
$$;
comment on function private.clock() is
  'now(), or the session setting waymark.now on direct database connections.';
revoke execute on function private.clock() from public;
grant execute on function private.clock() to waymark_writer, service_role;

create function private.is_admin() returns boolean
language sql stable security invoker set search_path = ''
as $$
  select case
    -- An operator's direct connection (psql, seed, cron): no request, and a login that could
    -- become service_role anyway.
    when private.jwt() is null
      then session_user <> 'authenticator' and pg_has_role(session_user, 'service_role', 'member')
    else coalesce(
      private.jwt() ->> 'role' = 'service_role'
      or private.jwt() -> 'app_metadata' ->> 'waymark_role' = 'admin', false)
  end
$$;
comment on function private.is_admin() is
  'Service role, a JWT with app_metadata.waymark_role = admin, or an operator''s own connection.';
revoke execute on function private.is_admin() from public;
grant execute on function private.is_admin() to waymark_writer;

create function private.require_admin(p_message text default 'Only admins may do this') returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if not private.is_admin() then
    perform private.fail('not_allowed', 403, p_message);
  end if;
end
$$;
comment on function private.require_admin(text) is 'Refuses everybody else with not_allowed.';
revoke execute on function private.require_admin(text) from public;
grant execute on function private.require_admin(text) to waymark_writer;

-- Percent of integer weights: half up to two places, and 100 only when everything is earned.
create function private.percent(p_earned bigint, p_possible bigint) returns numeric
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return case
    when p_possible <= 0 then 0
    when p_earned >= p_possible then 100
    else least(99.99, round(p_earned * 100.0 / p_possible, 2))
  end;
end
$$;
comment on function private.percent(bigint, bigint) is
  'earned / possible in percent, half up to 2 places, at most 99.99 while earned < possible.';
revoke execute on function private.percent(bigint, bigint) from public;
grant execute on function private.percent(bigint, bigint) to waymark_writer, service_role;

create function private.tg_touch_updated_at() returns trigger
language plpgsql security invoker set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end
$$;
comment on function private.tg_touch_updated_at() is 'Keeps updated_at; the column is never indexed.';
revoke execute on function private.tg_touch_updated_at() from public;
