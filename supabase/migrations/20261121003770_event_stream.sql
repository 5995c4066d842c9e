-- The history of everybody, read to the end and beyond: exports and webhooks go on from a cursor that
-- misses nothing, however late a transaction commits, and keeps each learner's events of a course in order.
--
-- Ids are given before a transaction commits, so "id > cursor" loses rows. Transactions below the oldest
-- running one have all ended: what they wrote is complete. So readers go through windows of transaction
-- numbers below it, and within a window by id. One thing is left: of two tabs the one that committed first
-- may have the higher number (it came later and got the lock earlier). A window therefore never ends
-- between two such transactions.
--
-- A cursor is "from:to:after": the window [from, to), whose events up to that id have been read.

select private.require_free(array[
  'private.attach_event_month', 'private.event_json', 'private.event_month_digest',
  'private.event_months', 'private.get_events', 'private.get_history_health', 'private.has_events',
  'private.next_event_window', 'private.read_events', 'public.get_events',
  'public.get_history_health']);

-- The end of the window that begins at p_from; p_from itself while nothing more can be read.
-- Plans are fixed: by numbers that it does not know, the planner would take a window for a part of the table.
create function private.next_event_window(p_from bigint) returns bigint
language plpgsql stable security definer set search_path = ''
  set enable_seqscan = off set enable_nestloop = off
as $$
declare
  v_horizon bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  v_step bigint := 1000;
  v_to bigint;
  v_last bigint;
  v_torn bigint;
begin
  loop
    v_to := least(p_from + v_step, v_horizon);
    loop
      exit when v_to <= p_from;
      select max(e.id) into v_last
        from public.progress_events e
       where (e.transaction_id::text)::bigint >= p_from
         and (e.transaction_id::text)::bigint < v_to;
      -- Whose earlier event lies in a later window: their later one has to wait for it.
      select min((e.transaction_id::text)::bigint) into v_torn
        from public.progress_events p
        join public.progress_events e
          on e.user_id = p.user_id and e.course_id = p.course_id and e.id > p.id
         and (e.transaction_id::text)::bigint >= p_from
         and (e.transaction_id::text)::bigint < v_to
       where (p.transaction_id::text)::bigint >= v_to and p.id < v_last;
      exit when v_torn is null;
      v_to := v_torn;
    end loop;
    exit when (v_to > p_from and v_last is not null) or p_from + v_step >= v_horizon;
    v_step := v_step * 8;
  end loop;
  return greatest(v_to, p_from);
end
$$;
comment on function private.next_event_window(bigint) is
  'Where the window of transactions ends whose events a reader may take next.';
revoke execute on function private.next_event_window(bigint) from public;

create function private.read_events(
  p_cursor text, p_limit integer, out p_events public.progress_events[], out p_next text
)
language plpgsql stable security definer set search_path = '' set enable_seqscan = off
as $$
declare
  v_from bigint := 0;
  v_to bigint := 0;
  v_after bigint := 0;
begin
  if p_cursor !~ '^\d{1,18}:\d{1,18}:\d{1,18}$' then
    perform private.fail('invalid_value', 422, 'cursor is not one of an earlier page');
  elsif p_cursor is not null then
    v_from := split_part(p_cursor, ':', 1);
    v_to := split_part(p_cursor, ':', 2);
    v_after := split_part(p_cursor, ':', 3);
  end if;
  p_events := '{}';
  loop
    if v_to > v_from then
      p_events := array(
        select e from public.progress_events e
         where (e.transaction_id::text)::bigint >= v_from
           and (e.transaction_id::text)::bigint < v_to
           and e.id > v_after
         order by e.id
         limit p_limit);
      if p_events <> '{}' then
        v_after := (p_events[cardinality(p_events)]).id;
        exit;
      end if;
      v_from := v_to;
      v_after := 0;
    end if;
    v_to := private.next_event_window(v_from);
    exit when v_to = v_from;
  end loop;
  p_next := concat_ws(':', v_from, v_to, v_after);
end
$$;
comment on function private.read_events(text, integer) is
  'The next events after a cursor (null: from the beginning), and the cursor after them.';
revoke execute on function private.read_events(text, integer) from public;

create function private.has_events(p_cursor text) returns boolean
language plpgsql stable security definer set search_path = '' set enable_seqscan = off
as $$
declare
  v_horizon bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  v_from bigint := split_part(p_cursor, ':', 1);
  v_to bigint := split_part(p_cursor, ':', 2);
  v_after bigint := split_part(p_cursor, ':', 3);
begin
  return exists (
    select from public.progress_events e
     where (e.transaction_id::text)::bigint >= v_to and (e.transaction_id::text)::bigint < v_horizon)
    or exists (
      select from public.progress_events e
       where (e.transaction_id::text)::bigint >= v_from
         and (e.transaction_id::text)::bigint < v_to and e.id > v_after);
end
$$;
comment on function private.has_events(text) is 'Whether there is something to be read after a cursor.';
revoke execute on function private.has_events(text) from public;

create function private.event_json(e public.progress_events) returns jsonb
language sql stable security invoker set search_path = ''
return jsonb_build_object('id', (e).id, 'kind', (e).kind, 'occurred_at', (e).occurred_at,
  'user_id', (e).user_id, 'course_id', (e).course_id, 'module_id', (e).module_id,
  'lesson_id', (e).lesson_id, 'enrollment_id', (e).enrollment_id, 'cycle', (e).cycle,
  'data', (e).data);
comment on function private.event_json(public.progress_events) is 'An event as readers see it.';
revoke execute on function private.event_json(public.progress_events) from public;

create function private.get_events(p_cursor text, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page record;
begin
  perform private.require_admin('Only admins may read everybody''s history');
  if p_limit is null or p_limit not between 1 and 5000 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 5000');
  end if;
  v_page := private.read_events(p_cursor, p_limit);
  return jsonb_build_object(
    'events', coalesce((
      select jsonb_agg(private.event_json(e) order by e.id) from unnest(v_page.p_events) as e), '[]'),
    'cursor', v_page.p_next);
end
$$;
comment on function private.get_events(text, integer) is
  'Admins: the history of everybody, page by page; an empty page is the end for now.';
revoke execute on function private.get_events(text, integer) from public;

create function public.get_events(p_cursor text default null, p_limit integer default 500)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_events(p_cursor, p_limit); end;
comment on function public.get_events(text, integer) is
  'Admins: everybody''s events after a cursor, none missed and each learner''s in order. Returns {events, cursor}.';
revoke execute on function public.get_events(text, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.get_events(text, integer), private.get_events(text, integer)
  to authenticated, service_role;

-- Months ------------------------------------------------------------------------------------------------
-- How to archive one: docs/how-to/archive-history.md. Detaching without keeping learners waiting is a
-- statement of its own (detach partition concurrently runs in no function), the rest is here.

create function private.event_months()
returns table (month date, relation regclass, is_attached boolean, rows bigint, bytes bigint)
language sql stable security definer rows 30 set search_path = ''
as $$
  select to_date(right(c.relname, 7), 'YYYY_MM'), c.oid::regclass, i.inhrelid is not null,
         greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
    from pg_catalog.pg_class c
    left join pg_catalog.pg_inherits i
      on i.inhrelid = c.oid and i.inhparent = 'public.progress_events'::regclass
   where c.relnamespace = 'private'::regnamespace and c.relkind = 'r'
     and c.relname ~ '^progress_events_\d{4}_\d\d$'
   order by 1
$$;
comment on function private.event_months() is
  'The months of the history that are here, attached or not; rows as of the last analyze.';
revoke execute on function private.event_months() from public;

-- The same for the same rows, in whatever order they lie.
create function private.event_month_digest(p_month date, out p_rows bigint, out p_digest text)
language plpgsql stable security definer set search_path = ''
as $$
begin
  execute format(
    'select count(*), coalesce(sum(hashtextextended(e::text, 0)::numeric), 0)::text from private.%I e',
    'progress_events_' || to_char(p_month, 'YYYY_MM'))
    into p_rows, p_digest;
end
$$;
comment on function private.event_month_digest(date) is
  'How many events a month holds, and a number that tells whether they are the same.';
revoke execute on function private.event_month_digest(date) from public;

-- Who has left meanwhile is forgotten in what comes back, as in what was here.
create function private.attach_event_month(p_month date) returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_name text := 'progress_events_' || to_char(p_month, 'YYYY_MM');
  v_rows bigint;
begin
  execute format($sql$
    with gone as (
      select d.user_id, gen_random_uuid() as nobody
        from (select distinct e.user_id from private.%1$I e) as d
       where not exists (select from auth.users u where u.id = d.user_id)
    )
    update private.%1$I e
       set user_id = g.nobody, data = e.data - 'reason'
      from gone g
     where g.user_id = e.user_id
    $sql$, v_name);
  execute format('select count(*) from private.%I', v_name) into v_rows;
  execute format('revoke all on table private.%I from public, anon, authenticated, service_role', v_name);
  execute format(
    'alter table public.progress_events attach partition private.%I for values from (%L) to (%L)',
    v_name,
    date_trunc('month', p_month::timestamp) at time zone 'UTC',
    (date_trunc('month', p_month::timestamp) + interval '1 month') at time zone 'UTC');
  return v_rows;
end
$$;
comment on function private.attach_event_month(date) is
  'Makes a restored month part of the history again, without the ids of users who have left; returns its rows.';
revoke execute on function private.attach_event_month(date) from public;

create function private.get_history_health() returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_build_object(
           'months', count(*) filter (where m.is_attached),
           'first_month', min(m.month) filter (where m.is_attached),
           'last_month', max(m.month) filter (where m.is_attached),
           'months_ahead', count(*) filter (
             where m.is_attached and m.month > (now() at time zone 'UTC')::date),
           'detached', coalesce(jsonb_agg(m.month order by m.month) filter (where not m.is_attached), '[]'),
           'bytes', sum(m.bytes)::bigint)
    from private.event_months() m
$$;
comment on function private.get_history_health() is 'Which months of the history are here, and how many are made ahead.';
revoke execute on function private.get_history_health() from public;

create function public.get_history_health() returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_history_health(); end;
comment on function public.get_history_health() is
  'Operators: {months, first_month, last_month, months_ahead, detached, bytes}.';
revoke execute on function public.get_history_health()
  from public, anon, authenticated, service_role;
grant execute on function public.get_history_health(), private.get_history_health() to service_role;
