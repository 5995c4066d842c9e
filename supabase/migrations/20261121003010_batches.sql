-- Batches: what a client did offline, or could not deliver, in one call.
--
-- Events carry an id and the time of the client's clock. They are put in order of time, so that the order
-- in which they come does not matter, and each is applied as its own command would be, at its time.
-- An event that is refused is reported in its place; it leaves nothing behind and stops no other. An id
-- is applied once: what was lost on the way can be sent again as a whole.
--
-- Everything a batch will lock is locked before its first event, in the order that single commands
-- use: courses, enrolments by course, the learner's time, the bucket of attempts.

select private.require_free(array[
  'private.apply_event', 'private.apply_events', 'private.apply_views', 'private.client_event',
  'private.client_events', 'private.event_result',
  'private.lock_for_events', 'private.purge_client_events',
  'private.read_event', 'private.record_late_events', 'private.refusal_of', 'public.apply_events']);

create table private.client_events (
  user_id uuid not null references auth.users (id) on delete cascade,
  event_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (user_id, event_id)
);
comment on table private.client_events is
  'Events of batches that were applied; the same id again is only repeated.';
alter table private.client_events enable row level security;
revoke all on table private.client_events from public, anon, authenticated, service_role;
grant select, insert (user_id, event_id) on table private.client_events to waymark_writer;
create policy "The write path reads its caller's events" on private.client_events
  for select to waymark_writer using ((select auth.uid()) = user_id);
create policy "The write path adds its caller's events" on private.client_events
  for insert to waymark_writer with check ((select auth.uid()) = user_id);

create type private.client_event as (
  place integer,
  id uuid,
  at timestamptz,
  -- future or past, where the client's clock cannot be believed.
  clamped text,
  kind text,
  -- Of events at one instant.
  rank integer,
  lesson_id uuid,
  attempt_id uuid,
  session_id uuid,
  report private.view_report,
  answers jsonb,
  client_key text,
  course_id bigint,
  note_id uuid,
  body text
);

-- Takes an event apart, or refuses it. Whether it may be done is for the command to say.
create function private.read_event(p_body jsonb, p_place integer) returns private.client_event
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v private.client_event;
  v_now timestamptz := private.clock();
  r record;
  v_uuid constant text := '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
  v_known text[];
  v_name text;
begin
  if jsonb_typeof(p_body) is distinct from 'object' then
    perform private.fail('invalid_type', 400, 'An event is an object');
  end if;
  p_body := jsonb_strip_nulls(p_body);
  v.kind := p_body ->> 'kind';
  v_known := case v.kind
    when 'start' then '{lesson_id}'
    when 'view' then
      '{lesson_id,session_id,seconds,position_seconds,watched,section,progress}'
    when 'position' then '{lesson_id,position_seconds,progress}'
    when 'attempt_save' then '{attempt_id,answers}'
    when 'attempt_submit' then '{attempt_id,lesson_id,answers,client_key}'
    when 'complete' then '{lesson_id}'
    when 'note' then '{note_id,course_id,lesson_id,position_seconds,body}'
  end;
  if v_known is null then
    perform private.fail('invalid_value', 422,
      'kind must be start, view, position, attempt_save, attempt_submit, complete or note');
  end if;
  select min(name) into v_name
    from jsonb_object_keys(p_body - array['id', 'at', 'kind'] - v_known) as name;
  if v_name is not null then
    perform private.fail('unknown_field', 422, 'Unknown field', left(v_name, 64));
  end if;
  foreach v_name in array array['id', 'lesson_id', 'attempt_id', 'session_id', 'note_id'] loop
    if (p_body ->> v_name) !~ v_uuid then
      perform private.fail('invalid_id', 400, v_name || ' must be a uuid');
    end if;
  end loop;
  v.id := p_body ->> 'id';
  v.lesson_id := p_body ->> 'lesson_id';
  v.attempt_id := p_body ->> 'attempt_id';
  v.session_id := p_body ->> 'session_id';
  v.answers := p_body -> 'answers';
  v.client_key := coalesce(p_body ->> 'client_key', v.id::text);
  if jsonb_typeof(p_body -> 'course_id') <> 'number' then
    perform private.fail('invalid_id', 400, 'course_id must be a course number');
  end if;
  v.course_id := p_body ->> 'course_id';
  -- A note without an id of its own has its event's.
  v.note_id := coalesce(p_body ->> 'note_id', p_body ->> 'id');
  v.body := p_body ->> 'body';
  if v.id is null
     or (v.kind = 'attempt_submit' and (v.lesson_id is null) = (v.attempt_id is null))
     or (v.kind = 'note' and v.lesson_id is null and v.course_id is null)
     or (v.kind not in ('attempt_submit', 'note') and v.lesson_id is null and v.attempt_id is null)
  then
    perform private.fail('invalid_value', 422,
      'An event needs an id, and the lesson, course or attempt that it is about');
  end if;
  if (p_body ->> 'at')
     !~ '^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$' is not false
  then
    perform private.fail('invalid_type', 400, 'at must be an RFC 3339 time with its offset');
  end if;
  v.at := p_body ->> 'at';
  if v.at > v_now then
    v.at := v_now;
    v.clamped := 'future';
  elsif v.at < v_now - interval '28 days' then
    v.at := v_now - interval '28 days';
    v.clamped := 'past';
  end if;
  v.place := p_place;
  v.rank := array_position(
    '{start,view,position,attempt_save,attempt_submit,complete,note}', v.kind);
  if v.kind in ('view', 'position', 'note') then
    select * into r
      from jsonb_to_record(p_body) as x (
        seconds integer, position_seconds integer, watched jsonb, section text, progress numeric);
    v.report := row(v.at, r.seconds, r.position_seconds,
      private.check_view(
        case when v.kind = 'view' then v.session_id else v.id end,
        case when v.kind = 'view' then r.seconds else 0 end,
        r.position_seconds, r.watched, r.section, r.progress),
      r.section, r.progress);
  end if;
  return v;
end
$$;
comment on function private.read_event(jsonb, integer) is
  'An event of a batch, its time clamped to the last four weeks; refuses what is none.';

create function private.apply_event(p_user_id uuid, p_event private.client_event) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v private.lesson_access;
  v_at timestamptz := p_event.at;
  v_was_completed boolean;
  v_answer jsonb;
begin
  -- Attempts go by the server's clock, which alone says when one is over.
  if p_event.kind = 'attempt_save' then
    v_answer := private.save_answers(p_event.attempt_id, p_event.answers);
  elsif p_event.kind = 'attempt_submit' and p_event.attempt_id is not null then
    v_answer := private.submit_attempt(
      p_event.attempt_id, p_event.answers, p_event.client_key);
  elsif p_event.kind = 'attempt_submit' then
    v_answer := private.submit_quiz(p_event.lesson_id, p_event.answers, p_event.client_key);
  end if;
  if v_answer ? 'code' then
    return private.refusal_of('PGRST', v_answer::text);
  elsif v_answer is not null then
    return jsonb_build_object(
      'status', 'applied', 'lesson_id', v_answer #> '{attempt,lesson_id}',
      'at', private.clock(), 'clamped', p_event.clamped,
      'attempt', jsonb_build_object(
        'id', v_answer #> '{attempt,id}', 'status', v_answer #> '{attempt,status}',
        'percent', v_answer #> '{attempt,percent}', 'passed', v_answer #> '{attempt,passed}'),
      'completed', coalesce(v_answer -> 'changed' = 'true'
        and v_answer #> '{progress,completed_at}' = v_answer #> '{attempt,submitted_at}', false));
  end if;

  if p_event.kind = 'note' then
    return private.event_result(p_event, v_at, private.put_note(p_user_id, p_event.note_id,
      p_event.course_id, p_event.lesson_id, (p_event.report).position_seconds, p_event.body,
      v_at), false);
  end if;
  v := private.open_lesson(p_user_id, p_event.lesson_id);
  v_was_completed := (v.progress).is_completed is true;
  v_at := greatest(v_at, (v.enrollment).enrolled_at, (v.enrollment).cycle_started_at);
  case p_event.kind
    when 'start' then
      v := private.record_start(v, v_at);
    when 'position' then
      if (v.progress).user_id is null then
        v := private.record_start(v, v_at);
      end if;
      v := private.record_position(v, v_at, (v.progress).last_accessed,
        (p_event.report).position_seconds, (p_event.report).progress);
    when 'complete' then
      perform private.refuse_unearned(v);
      v := private.record_completion(v, v_at);
  end case;
  return private.event_result(
    p_event, v_at, v.changed, (v.progress).is_completed and not v_was_completed);
end
$$;
comment on function private.apply_event(uuid, private.client_event) is
  'One event at its own time, but for heartbeats; raises or returns a refusal.';

-- Heartbeats of one session that follow one another: as many players send, so they share their writes.
create function private.apply_views(p_user_id uuid, p_events private.client_event[])
returns jsonb[]
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v private.lesson_access := private.open_lesson(p_user_id, (p_events[1]).lesson_id);
  v_was_completed boolean;
  v_event private.client_event;
  v_reports private.view_report[];
  v_changed boolean[];
  v_results jsonb[] := '{}';
  v_done integer := 0;
  r record;
begin
  while v_done < cardinality(p_events) loop
    select array_agg(row(
             greatest((x.report).at, (v.enrollment).enrolled_at, (v.enrollment).cycle_started_at),
             (x.report).seconds,
             (x.report).position_seconds, (x.report).watched, (x.report).section,
             (x.report).progress)::private.view_report order by x.n)
      into v_reports
      from (
        select n, (p_events[n]).report from generate_series(v_done + 1, cardinality(p_events)) as n
      ) as x;
    v_was_completed := (v.progress).is_completed is true;
    r := private.record_view(v, (p_events[1]).session_id, v_reports);
    v := r.v;
    v_changed := r.p_changed;
    for n in 1 .. cardinality(v_changed) loop
      v_done := v_done + 1;
      v_event := p_events[v_done];
      v_results := v_results || private.event_result(
        v_event, (v_reports[n]).at, v_changed[n],
        n = cardinality(v_changed) and (v.progress).is_completed and not v_was_completed);
    end loop;
  end loop;
  return v_results;
end
$$;
comment on function private.apply_views(uuid, private.client_event[]) is
  'Heartbeats of one session and lesson in order; one result each, or a refusal of all.';

create function private.event_result(
  p_event private.client_event, p_at timestamptz, p_changed boolean, p_completed boolean
) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return jsonb_build_object(
    'status', case when p_changed then 'applied' else 'unchanged' end,
    'lesson_id', p_event.lesson_id,
    'at', p_at,
    'clamped', coalesce(p_event.clamped, case when p_at > p_event.at then 'past' end),
    'completed', p_completed);
end
$$;
comment on function private.event_result(private.client_event, timestamptz, boolean, boolean) is
  'What became of an event that was applied.';

create function private.lock_for_events(p_user_id uuid, p_events private.client_event[])
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_course_ids bigint[];
begin
  select array_agg(distinct x.course_id order by x.course_id)
    into v_course_ids
    from (
      select l.course_id from public.lessons l
       where l.id in (select e.lesson_id from unnest(p_events) as e)
      union all
      select a.course_id from public.user_assessment_attempts a
       where a.id in (select e.attempt_id from unnest(p_events) as e)
      union all
      select e.course_id from unnest(p_events) as e where e.course_id is not null
    ) as x;
  perform private.share_courses(v_course_ids);
  perform from public.enrollments e
    where e.user_id = p_user_id and e.course_id = any (v_course_ids)
    order by e.course_id
      for no key update;
  if exists (select from unnest(p_events) as e where e.kind = 'view') then
    perform private.my_time(p_user_id);
  end if;
  if exists (select from unnest(p_events) as e where e.kind = 'attempt_submit') then
    perform private.take_token('attempts', p_user_id::text, 0);
  end if;
end
$$;
comment on function private.lock_for_events(uuid, private.client_event[]) is
  'Locks what these events will change, in the order of single commands.';

-- What was done in an older cycle stays there: it is kept in the history, and changes nothing. Attempts
-- know their cycle themselves, notes have none.
create function private.record_late_events(p_user_id uuid, p_events private.client_event[])
returns integer[]
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_places integer[];
begin
  with late as (
    select x.*, l.module_id as its_module_id, e.course_id as its_course_id, e.id as enrollment_id,
           (select min(c.cycle) from public.past_cycles c
             where c.user_id = e.user_id and c.course_id = e.course_id and c.ended_at > x.at) as cycle
      from unnest(p_events) as x
      join public.lessons l on l.id = x.lesson_id
      join public.enrollments e on e.user_id = p_user_id and e.course_id = l.course_id
     where x.kind <> 'note' and x.attempt_id is null and e.cycle_started_at > x.at
  ),
  recorded as (
    insert into public.progress_events
      (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
    select late.at, p_user_id, late.its_course_id, late.its_module_id, late.lesson_id,
           late.enrollment_id, coalesce(late.cycle, 1), 'late_event',
           jsonb_build_object('event_id', late.id, 'kind', late.kind)
      from late
     order by late.at, late.rank, late.id
  )
  select array_agg(late.place) into v_places from late;
  insert into private.client_events (user_id, event_id)
  select p_user_id, x.id from unnest(p_events) as x where x.place = any (v_places);
  return coalesce(v_places, '{}');
end
$$;
comment on function private.record_late_events(uuid, private.client_event[]) is
  'Puts events of older cycles into the history; returns their places in the batch.';

create function private.apply_events(p_events jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_count integer;
  v_wait integer;
  v_events private.client_event[] := '{}';
  v_event private.client_event;
  v_fresh private.client_event[];
  v_late integer[];
  v_results jsonb[];
  v_result jsonb[];
  v_from integer := 1;
  v_to integer;
  v_message text;
  v_state text;
begin
  if jsonb_typeof(p_events) is distinct from 'array' then
    perform private.fail('invalid_type', 400, 'events must be a list');
  end if;
  v_count := jsonb_array_length(p_events);
  if v_count > 500 then
    perform private.fail('invalid_value', 422, 'A batch holds at most 500 events');
  end if;
  v_wait := private.take_token('batch', v_user_id::text, greatest(v_count, 1));
  if v_wait > 0 then
    return private.too_many('batch', v_wait);
  end if;

  for n in 1 .. v_count loop
    begin
      v_events := v_events || private.read_event(p_events -> (n - 1), n);
    exception when sqlstate 'PGRST' or data_exception then
      get stacked diagnostics v_message = message_text, v_state = returned_sqlstate;
      v_results[n] := private.refusal_of(v_state, v_message);
    end;
  end loop;
  perform private.lock_for_events(v_user_id, v_events);

  -- Of each id the first one, unless it was applied before.
  select array_agg(x.event order by (x.event).at, (x.event).rank, (x.event).id)
    into v_fresh
    from (
      select distinct on (e.id) e as event
        from unnest(v_events) as e
       order by e.id, e.at, e.rank, e::text
    ) as x
   where not exists (
     select from private.client_events c
      where c.user_id = v_user_id and c.event_id = (x.event).id);
  v_late := private.record_late_events(v_user_id, v_fresh);
  -- Programs come last: their rows are locked behind everything that the events lock.
  perform set_config('waymark.programs', 'later', true);
  if v_late <> '{}' then
    foreach v_event in array v_fresh loop
      if v_event.place = any (v_late) then
        v_results[v_event.place] := private.event_result(v_event, v_event.at, true, false)
          || '{"status": "recorded"}';
      end if;
    end loop;
    v_fresh := array(
      select e from unnest(v_fresh) as e
       where e.place <> all (v_late)
       order by e.at, e.rank, e.id);
  end if;
  while v_from <= cardinality(v_fresh) loop
    v_event := v_fresh[v_from];
    v_to := v_from;
    while v_event.kind = 'view' and (v_fresh[v_to + 1]).kind = 'view'
      and (v_fresh[v_to + 1]).lesson_id = v_event.lesson_id
      and (v_fresh[v_to + 1]).session_id = v_event.session_id
    loop
      v_to := v_to + 1;
    end loop;
    begin
      v_result := case v_event.kind
        when 'view' then private.apply_views(v_user_id, v_fresh[v_from:v_to])
        else array[private.apply_event(v_user_id, v_event)] end;
    exception when sqlstate 'PGRST' or data_exception or integrity_constraint_violation then
      get stacked diagnostics v_message = message_text, v_state = returned_sqlstate;
      v_result := array_fill(
        private.refusal_of(v_state, v_message), array[v_to - v_from + 1]);
      -- A clash with somebody's edit of the course: the whole batch is tried again.
      if v_result[1] ->> 'code' = 'try_again' then
        raise;
      end if;
    end;
    for n in v_from .. v_to loop
      v_results[(v_fresh[n]).place] := v_result[n - v_from + 1];
    end loop;
    v_from := v_to + 1;
  end loop;

  perform set_config('waymark.programs', '', true);
  if exists (select from unnest(v_results) as r where r -> 'completed' = 'true') then
    perform private.finish_programs(array(
      select e.id from public.enrollments e
       where e.user_id = v_user_id and e.completed_at is not null
         and e.course_id in (
           select l.course_id from public.lessons l
            where l.id in (select (r ->> 'lesson_id')::uuid from unnest(v_results) as r
                            where r -> 'completed' = 'true'))));
  end if;
  -- What was refused may be sent again, and may then be earned.
  insert into private.client_events (user_id, event_id)
  select v_user_id, e.id
    from unnest(v_fresh) as e
   where v_results[e.place] ->> 'status' <> 'refused';
  -- The others of an id: repetitions, or refused as the first was.
  foreach v_event in array v_events loop
    v_results[v_event.place] := coalesce(
      v_results[v_event.place],
      (select v_results[e.place] from unnest(v_fresh) as e
        where e.id = v_event.id and v_results[e.place] ->> 'status' = 'refused'),
      '{"status": "repeated"}');
  end loop;

  -- A refused attempt has set these for itself.
  perform set_config('response.status', '200', true);
  perform set_config('response.headers', '[]', true);
  return jsonb_build_object(
    'results', coalesce((
      select jsonb_agg(
               '{"at": null, "clamped": null, "completed": false, "attempt": null, "code": null,
                 "message": null, "details": null}'::jsonb
               || jsonb_build_object('id', left(p_events -> (n - 1) ->> 'id', 36),
                 'lesson_id', left(p_events -> (n - 1) ->> 'lesson_id', 36))
               || v_results[n]
               order by n)
        from generate_series(1, v_count) as n), '[]'),
    'progress', coalesce((
      select jsonb_agg(private.progress_json(p, l.id, l.module_id, l.course_id) order by l.id)
        from public.lessons l
        join public.user_progress p on p.user_id = v_user_id and p.lesson_id = l.id
       where l.id in (
         select (r ->> 'lesson_id')::uuid from unnest(v_results) as r
          where r ->> 'status' <> 'refused')
          or l.id in (
            select e.lesson_id from unnest(v_events) as e)), '[]'),
    'enrollments', coalesce((
      select jsonb_agg(private.enrollment_json(e) order by e.course_id)
        from public.enrollments e
       where e.user_id = v_user_id and e.course_id in (
         select l.course_id from public.lessons l
          where l.id in (
            select (r ->> 'lesson_id')::uuid from unnest(v_results) as r
             where r ->> 'status' <> 'refused')
             or l.id in (select x.lesson_id from unnest(v_events) as x))), '[]'));
end
$$;
comment on function private.apply_events(jsonb) is
  'Up to 500 offline events, applied in order of their times; one result each, in place.';

create function private.refusal_of(p_state text, p_message text) returns jsonb
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  v_body jsonb;
begin
  if p_state = 'PGRST' then
    v_body := p_message::jsonb;
  elsif p_state like '22%' then
    v_body := '{"code": "invalid_type", "message": "A field has the wrong type"}';
  else
    v_body := '{"code": "conflict", "message": "The event clashes with what is stored"}';
  end if;
  return jsonb_build_object('status', 'refused', 'code', v_body -> 'code',
    'message', v_body -> 'message', 'details', case
      when pg_input_is_valid(v_body ->> 'details', 'jsonb') then (v_body ->> 'details')::jsonb
      else v_body -> 'details' end);
end
$$;
comment on function private.refusal_of(text, text) is
  'A raised refusal as the result of an event: {status, code, message, details}.';

create function public.apply_events(p_events jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.apply_events(p_events); end;
comment on function public.apply_events(jsonb) is
  'Offline events with client ids and times. Returns {results, progress, enrollments}.';

create function private.purge_client_events(p_limit integer default 10000) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.client_events e
   where e.ctid = any (array(
     select x.ctid from private.client_events x
      where x.created_at < private.clock() - interval '60 days'
      limit p_limit
        for update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function private.purge_client_events(integer) is
  'Forgets ids of events applied two months ago; returns how many.';

revoke execute on function private.read_event from public;
revoke execute on function private.apply_event from public;
revoke execute on function private.lock_for_events from public;
revoke execute on function private.apply_views from public;
revoke execute on function private.event_result from public;
revoke execute on function private.record_late_events from public;
revoke execute on function private.apply_events from public;
revoke execute on function private.refusal_of from public;
revoke execute on function private.purge_client_events from public;
revoke execute on function public.apply_events from public, anon, authenticated, service_role;
grant execute on function public.apply_events, private.apply_events to authenticated;

grant create on schema private to waymark_writer;
alter function private.read_event owner to waymark_writer;
alter function private.apply_event owner to waymark_writer;
alter function private.lock_for_events owner to waymark_writer;
alter function private.apply_views owner to waymark_writer;
alter function private.event_result owner to waymark_writer;
alter function private.record_late_events owner to waymark_writer;
alter function private.apply_events owner to waymark_writer;
alter function private.refusal_of owner to waymark_writer;
revoke create on schema private from waymark_writer;
