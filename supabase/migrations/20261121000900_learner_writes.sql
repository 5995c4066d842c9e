-- The learner's write path. Every door (the cloud functions, supabase-js by RPC) ends in these
-- functions: who is asking (auth.uid(), never a parameter), may they, is it earned, and then one row
-- of each table. The enrolment's row is locked first, so what one learner's tabs do in a course happens
-- one after the other; then user_progress, module_progress, enrollments, daily_activity.
--
-- Enrolments are found by (user_id, course_id), never by id: the owner policy adds user_id to every
-- condition, and a plan might then walk all of a learner's enrolments to find one id.

-- What follows is plpgsql even where it is one expression: its plans are kept for the session, while an
-- SQL function that sets its search_path is planned anew at each call (a third of a completion's time).

-- Answers, the same for every door ------------------------------------------------------------------

create function private.progress_json(
  p public.user_progress, p_lesson_id uuid, p_module_id uuid, p_course_id bigint
) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return jsonb_build_object(
    'lesson_id', p_lesson_id,
    'module_id', p_module_id,
    'course_id', p_course_id,
    'status', coalesce((p).status, 'not_started'),
    'is_completed', coalesce((p).is_completed, false),
    'progress', coalesce((p).progress, 0),
    'started_at', (p).started_at,
    'last_accessed', (p).last_accessed,
    'completed_at', (p).completed_at,
    'view_time_seconds', coalesce((p).view_time_seconds, 0),
    'position_seconds', coalesce((p).position_seconds, 0),
    'attempts', coalesce((p).attempts, 0),
    'best_score', (p).best_score);
end
$$;
comment on function private.progress_json(public.user_progress, uuid, uuid, bigint) is
  'A progress row as callers see it; not_started when there is none.';

create function private.enrollment_json(e public.enrollments) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', (e).id,
    'course_id', (e).course_id,
    'status', (e).status,
    'cycle', (e).cycle,
    'enrolled_at', (e).enrolled_at,
    'expires_at', (e).expires_at,
    'completed_lessons', (e).completed_lessons,
    'total_lessons', (e).total_lessons,
    'progress_percent', (e).progress_percent,
    'completed_at', (e).completed_at,
    'last_accessed_at', (e).last_accessed_at,
    'current_module_id', (e).current_module_id,
    'current_lesson_id', (e).current_lesson_id,
    'current_section', (e).current_section,
    'view_time_seconds', (e).view_time_seconds,
    'settling', private.is_settling(e));
end
$$;
comment on function private.enrollment_json(public.enrollments) is 'An enrolment as callers see it.';

-- Fractions -----------------------------------------------------------------------------------------

create function private.covered(p_ranges int4multirange) returns integer
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return (select coalesce(sum(upper(r) - lower(r)), 0) from unnest(p_ranges) as r);
end
$$;
comment on function private.covered(int4multirange) is 'How many seconds ranges cover together.';

-- What a client may say of how far a lesson is: scroll, or position. How far a video is follows from
-- what was watched of it, a quiz from what was answered.
create function private.told_fraction(l public.lessons, p_progress numeric) returns numeric
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  if (l).type = 'quiz' or ((l).type = 'video' and (l).duration_seconds is not null) then
    return null;
  end if;
  return least(greatest(round(nullif(p_progress, 'NaN'), 4), 0), 1);
end
$$;
comment on function private.told_fraction(public.lessons, numeric) is
  'The fraction that a client reports, clamped; null where facts say it.';

-- Rules ---------------------------------------------------------------------------------------------

create function private.rule_missing(l public.lessons, p public.user_progress) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_watched integer;
  v_needed integer;
begin
  case (l).completion_rule
    when 'manual' then
      return null;
    when 'view' then
      if coalesce((p).view_time_seconds, 0) < (l).min_view_seconds then
        return jsonb_build_object('rule', 'view', 'needed', (l).min_view_seconds,
          'have', coalesce((p).view_time_seconds, 0));
      end if;
    when 'watch' then
      if (l).duration_seconds is null then
        return jsonb_build_object('rule', 'watch', 'needed', null, 'have', null,
          'why', 'the lesson''s duration is not known');
      end if;
      v_watched := private.covered(
        (p).watched * int4multirange(int4range(0, (l).duration_seconds)));
      v_needed := ceil((l).duration_seconds * (l).watch_percent / 100.0);
      if v_watched < v_needed then
        return jsonb_build_object('rule', 'watch', 'needed', v_needed, 'have', v_watched);
      end if;
    when 'submit' then
      if coalesce((p).attempts, 0) = 0 then
        return jsonb_build_object('rule', 'submit', 'needed', 1, 'have', 0);
      end if;
    when 'pass' then
      -- An attempt keeps the pass mark it was started with, whatever the lesson's is by now.
      if not exists (
        select from public.user_assessment_attempts a
          join public.enrollments e on e.user_id = a.user_id and e.course_id = (l).course_id
         where a.user_id = (p).user_id and a.lesson_id = (p).lesson_id and a.cycle = e.cycle
           and a.passed)
      then
        return jsonb_build_object('rule', 'pass', 'needed', (l).pass_percent,
          'have', (p).best_score);
      end if;
  end case;
  return null;
end
$$;
comment on function private.rule_missing(public.lessons, public.user_progress) is
  'What a lesson''s completion rule still misses: {rule, needed, have}; null when fulfilled.';

-- Access --------------------------------------------------------------------------------------------

create type private.lesson_access as (
  -- As it counts for this learner: a lesson that is waived is not countable.
  lesson public.lessons,
  enrollment public.enrollments,
  progress public.user_progress,
  course_status text,
  catalog_version bigint,
  -- What earns the certificate: so many percent, a score too; null and false where none is issued.
  certificate_percent numeric,
  certificate_scored boolean,
  -- Does anything lock lessons here, and does it lock this one (see the locks migration)?
  has_rules boolean,
  lock jsonb,
  -- Set by what is written: did it change anything, what comes next, what the rule still misses.
  changed boolean,
  next_lesson_id uuid,
  missing jsonb
);

-- Locks the course, then looks: what is read here holds until commit. One predicate for every write.
-- Whoever takes a locked lesson too (p_even_locked) finds the lock in the answer.
create function private.open_lesson(
  p_user_id uuid, p_lesson_id uuid, p_even_locked boolean default false
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v private.lesson_access;
  v_course_id bigint;
  v_waived boolean;
  v_settle_version bigint;
begin
  select l.course_id into v_course_id from public.lessons l where l.id = p_lesson_id;
  if not found then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.share_course(v_course_id);
  -- A statement of its own before the look: it then sees what the learner's other tabs committed.
  select e into v.enrollment
    from public.enrollments e
   where e.user_id = p_user_id and e.course_id = v_course_id
     for no key update;

  select l, c.status, c.catalog_version, p,
         case when c.certificate_enabled then c.certificate_min_percent end,
         c.certificate_enabled
           and coalesce(c.certificate_min_score, l.certificate_min_score) is not null,
         exists (
           select from public.lesson_waivers w
            where w.user_id = p_user_id and w.lesson_id = l.id),
         c.sequential or c.has_rules, c.settle_version
    into v.lesson, v.course_status, v.catalog_version, v.progress, v.certificate_percent,
         v.certificate_scored, v_waived, v.has_rules, v_settle_version
    from public.lessons l
    join public.courses c on c.id = l.course_id
    left join public.user_progress p on p.user_id = p_user_id and p.lesson_id = l.id
   where l.id = p_lesson_id;

  if (v.lesson).course_id <> v_course_id then
    -- It moved to another course while we waited for the lock.
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  elsif (v.lesson).id is null
     or ((v.enrollment).id is null and v.course_status <> 'published')
     or ((v.course_status = 'draft' or (v.lesson).archived_at is not null)
         and (v.progress).user_id is null)
  then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.require_active(v.enrollment);
  if (v.lesson).is_preview then
    perform private.fail('preview_lesson', 422, 'Preview lessons take no progress');
  end if;
  if (v.enrollment).settled_version < v_settle_version then
    v.enrollment := private.settled(v.enrollment);
  end if;
  if v_waived then
    v.lesson := private.without_count(v.lesson);
  end if;
  if v.has_rules and (v.progress).is_completed is not true then
    v.lock := private.lesson_lock(v.enrollment, p_lesson_id);
    if not p_even_locked then
      perform private.refuse_locked(v.lock);
    end if;
  end if;
  return v;
end
$$;
comment on function private.open_lesson(uuid, uuid, boolean) is
  'May this learner work on this lesson now? Locks its course and returns the rows, or refuses.';

create function private.without_count(l public.lessons) returns public.lessons
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  l.is_countable := false;
  l.is_gate := false;
  l.is_quiz := false;
  return l;
end
$$;
comment on function private.without_count(public.lessons) is
  'A lesson as it counts for a learner who is excused from it.';

create function private.require_active(e public.enrollments) returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if (e).id is null then
    perform private.fail('not_enrolled', 403, 'Not enrolled in this course');
  elsif (e).status <> 'active' then
    perform private.fail('enrollment_inactive', 403, 'Your enrolment in this course has ended');
  elsif (e).expires_at <= private.clock() then
    perform private.fail('enrollment_expired', 403, 'Your enrolment in this course has expired');
  elsif (e).cycle_started_at > private.clock() and (e).cycle_started_at <= clock_timestamp() then
    -- It waited while a new cycle began: what was meant for the old one must not count in the new. One
    -- that begins still later was begun before the clock was set back.
    perform private.fail('cycle_over', 409, 'A new cycle of this course has begun meanwhile');
  end if;
end
$$;
comment on function private.require_active(public.enrollments) is
  'Refuses when there is no enrolment, or it was withdrawn or has expired.';

-- The next lesson -----------------------------------------------------------------------------------

-- First the rest of the module where we last stood, then the first module that is not done, and in it
-- the first lesson that is not: what is done in between is passed over by whole modules. The scalar
-- subqueries are deliberate: they probe by primary key, row by row, whatever the statistics say; a
-- join could be planned over all of a learner's rows.
create function private.first_incomplete(
  p_user_id uuid, p_course_id bigint, p_from_lesson_id uuid default null
) returns uuid
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_position integer;
  v_module_id uuid;
  v_module_position integer;
  v_found uuid;
begin
  if p_from_lesson_id is not null then
    select l.position, l.module_id, l.module_position
      into v_position, v_module_id, v_module_position
      from public.lessons l
     where l.id = p_from_lesson_id;
    v_found := private.first_incomplete_in(
      p_user_id, p_course_id, v_module_position, v_module_id, v_position, p_from_lesson_id);
  end if;
  while v_found is null loop
    select m.id, m.position into v_module_id, v_module_position
      from public.modules m
     where m.course_id = p_course_id
       and (v_module_id is null or (m.position, m.id) > (v_module_position, v_module_id))
       and m.total_lessons > 0
       and (select mp.completed_lessons = mp.total_lessons from public.module_progress mp
             where mp.user_id = p_user_id and mp.module_id = m.id)
         is not true
     order by m.position, m.id
     limit 1;
    exit when not found;
    v_found := private.first_incomplete_in(
      p_user_id, p_course_id, v_module_position, v_module_id);
  end loop;
  return v_found;
end
$$;
comment on function private.first_incomplete(uuid, bigint, uuid) is
  'First countable lesson the learner has not completed, at or after a given one; null when none.';

create function private.first_incomplete_in(
  p_user_id uuid, p_course_id bigint, p_module_position integer, p_module_id uuid,
  p_position integer default -1, p_lesson_id uuid default null
) returns uuid
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return (
    select l.id
      from public.lessons l
     where l.course_id = p_course_id
       and l.module_position = p_module_position
       and l.module_id = p_module_id
       and (l.position, l.id)
         >= (p_position, coalesce(p_lesson_id, '00000000-0000-0000-0000-000000000000'))
       and l.is_countable
       and (select p.is_completed from public.user_progress p
             where p.user_id = p_user_id and p.lesson_id = l.id) is not true
       and (select true from public.lesson_waivers w
             where w.user_id = p_user_id and w.lesson_id = l.id) is not true
     order by l.position, l.id
     limit 1);
end
$$;
comment on function private.first_incomplete_in(uuid, bigint, integer, uuid, integer, uuid) is
  'The same within one module, from a place in it.';

create function private.first_begun(p_user_id uuid, p_course_id bigint) returns uuid
language sql stable security invoker set search_path = ''
as $$
  select l.id
    from public.user_progress p
    join public.lessons l on l.id = p.lesson_id
   where p.user_id = p_user_id and l.course_id = p_course_id and l.is_countable
     and not p.is_completed and not exists (
       select from public.lesson_waivers w
        where w.user_id = p_user_id and w.lesson_id = l.id)
   order by l.module_position, l.module_id, l.position, l.id
   limit 1
$$;
comment on function private.first_begun(uuid, bigint) is
  'What comes next in a course that was unpublished: what is begun stays open, nothing new does.';

-- Writing -------------------------------------------------------------------------------------------

-- The first of the past zones that was left after that instant, else today's. Most learners have no past
-- zone, and skip the search.
create function private.zone_at(p_user_id uuid, p_at timestamptz) returns text
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_timezone text;
  v_past jsonb;
begin
  select pr.timezone, pr.past_timezones into v_timezone, v_past
    from public.profiles pr
   where pr.id = p_user_id;
  if v_past <> '[]' then
    select past.zone ->> 'timezone' into v_timezone
      from jsonb_array_elements(
        v_past || jsonb_build_object('until', 'infinity', 'timezone', v_timezone))
        with ordinality as past (zone, n)
     where (past.zone ->> 'until')::timestamptz > p_at
     order by past.n
     limit 1;
  end if;
  return coalesce(v_timezone, 'UTC');
end
$$;
comment on function private.zone_at(uuid, timestamptz) is 'The zone that a learner lived in at that instant.';

create function private.local_day(p_user_id uuid, p_at timestamptz) returns date
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return (p_at at time zone private.zone_at(p_user_id, p_at))::date;
end
$$;
comment on function private.local_day(uuid, timestamptz) is
  'The day it was for the learner at that instant, in the zone of the time.';

-- What is reported late stretches the day it belongs to. A day whose activity was taken back stays, with
-- zeros, and is no streak day.
create function private.touch_day(
  p_user_id uuid, p_day date, p_first_at timestamptz, p_last_at timestamptz,
  p_lessons integer default 0, p_seconds integer default 0, p_attempts integer default 0
) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into public.daily_activity as d
    (user_id, day, lessons_completed, view_seconds, attempts, first_at, last_at)
  values (p_user_id, p_day, p_lessons, p_seconds, p_attempts, p_first_at, p_last_at)
      on conflict (user_id, day) do update
     set lessons_completed = d.lessons_completed + excluded.lessons_completed,
         view_seconds = d.view_seconds + excluded.view_seconds,
         attempts = d.attempts + excluded.attempts,
         first_at = least(d.first_at, excluded.first_at),
         last_at = greatest(d.last_at, excluded.last_at);
end
$$;
comment on function private.touch_day(
  uuid, date, timestamptz, timestamptz, integer, integer, integer) is
  'Adds activity between two instants to the day of a learner that they lie in.';

create function private.begin_module(p_user_id uuid, l public.lessons, p_at timestamptz) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into public.module_progress as mp
    (user_id, module_id, course_id, completion_rule, total_lessons, total_quizzes, started_at)
  select p_user_id, m.id, m.course_id, m.completion_rule, m.total_lessons, m.total_quizzes, p_at
    from public.modules m
   where m.id = (l).module_id
      on conflict (user_id, module_id) do update
     set started_at = excluded.started_at
   where mp.started_at is null or mp.started_at > excluded.started_at;
end
$$;
comment on function private.begin_module(uuid, public.lessons, timestamptz) is
  'The first lesson opened in a module begins it; what is reported late may have begun it earlier.';

-- Opens the lesson: in_progress unless it is further already, and the enrolment's current place. A
-- client may report late (p_seen): then a newer place stays.
create function private.record_start(
  v private.lesson_access, p_at timestamptz, p_seen timestamptz default null
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  l public.lessons := v.lesson;
  v_seen timestamptz := coalesce(p_seen, p_at);
  v_started_at timestamptz := (v.progress).started_at;
  v_moved public.enrollments;
begin
  insert into public.user_progress as p
    (user_id, lesson_id, course_id, status, started_at, last_accessed)
  values ((v.enrollment).user_id, l.id, l.course_id, 'in_progress', p_at, v_seen)
      on conflict (user_id, lesson_id) do update
     set started_at = case when p.started_at > excluded.started_at then excluded.started_at
                           else p.started_at end,
         last_accessed = greatest(p.last_accessed, excluded.last_accessed)
  returning p, p.xmax = 0 into v.progress, v.changed;

  if (v.progress).started_at = p_at then
    perform private.begin_module((v.enrollment).user_id, l, p_at);
  end if;
  update public.enrollments e
     set last_accessed_at = v_seen,
         current_module_id = l.module_id,
         current_lesson_id = l.id,
         current_section = case when e.current_lesson_id = l.id then e.current_section end
   where e.user_id = (v.enrollment).user_id
     and e.course_id = (v.enrollment).course_id
     and (e.last_accessed_at is null or e.last_accessed_at <= v_seen
          or e.last_accessed_at > private.clock())  -- The clock was set back.
  returning e.* into v_moved;
  if found then
    v.enrollment := v_moved;
  end if;
  if v.changed then
    perform private.record_event('lesson_started', v, p_at);
  elsif v_started_at > p_at then
    perform private.record_event('lesson_started', v, p_at, '{"earlier": true}');
  end if;
  return v;
end
$$;
comment on function private.record_start(private.lesson_access, timestamptz, timestamptz) is
  'Writes the opening of a lesson that open_lesson() let through.';

create function private.record_event(
  p_kind text, v private.lesson_access, p_at timestamptz, p_data jsonb default '{}'
) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into public.progress_events
    (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
  values (
    p_at, (v.enrollment).user_id, (v.lesson).course_id,
    (v.lesson).module_id, case when p_kind <> 'module_completed' then (v.lesson).id end,
    (v.enrollment).id, (v.enrollment).cycle, p_kind, p_data);
end
$$;
comment on function private.record_event(text, private.lesson_access, timestamptz, jsonb) is
  'Adds one transition to the history.';

-- Completes the lesson and everything that follows from it. Costs the same wherever the learner
-- stands: one row of each table, and the frontier moves only when it is this lesson.
create function private.record_completion(v private.lesson_access, p_at timestamptz)
returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  l public.lessons := v.lesson;
  v_user_id uuid := (v.enrollment).user_id;
  v_day date := private.local_day(v_user_id, p_at);
  v_percent numeric := (v.enrollment).progress_percent;
  v_module_finished boolean := false;
  v_course_finished boolean;
  -- What is reported late does not move the current place back, unless the clock was set back.
  v_is_newest boolean := (v.enrollment).last_accessed_at > p_at is not true
    or (v.enrollment).last_accessed_at > private.clock();
begin
  insert into public.user_progress as p
    (user_id, lesson_id, course_id, status, progress, started_at, last_accessed, completed_at,
     completed_on)
  values (v_user_id, l.id, l.course_id, 'completed', 1, p_at, p_at, p_at, v_day)
      on conflict (user_id, lesson_id) do update
     set status = 'completed',
         progress = 1,
         started_at = least(p.started_at, excluded.started_at),
         last_accessed = greatest(p.last_accessed, excluded.last_accessed),
         completed_at = excluded.completed_at,
         completed_on = excluded.completed_on
   where p.status <> 'completed'
  returning p into v.progress;
  v.changed := found;
  if not v.changed then
    -- Another tab was faster; its row is the answer.
    select p into v.progress
      from public.user_progress p
     where p.user_id = v_user_id and p.lesson_id = l.id;
    select e into v.enrollment from public.enrollments e
     where e.user_id = (v.enrollment).user_id
       and e.course_id = (v.enrollment).course_id;
    v.next_lesson_id := private.next_lesson(v);
    return v;
  end if;

  if l.is_countable then
    insert into public.module_progress as mp
      (user_id, module_id, course_id, completion_rule, completed_lessons, total_lessons,
       completed_quizzes, total_quizzes, started_at, completed_at)
    select v_user_id, m.id, m.course_id, m.completion_rule, 1, m.total_lessons,
           l.is_gate::integer, m.total_quizzes, p_at,
           case when private.module_done(
             m.completion_rule, 1, m.total_lessons, l.is_gate::integer, m.total_quizzes) then p_at end
      from public.modules m
     where m.id = l.module_id
        on conflict (user_id, module_id) do update
       set started_at = least(mp.started_at, excluded.started_at),
           completed_lessons = mp.completed_lessons + 1,
           completed_quizzes = mp.completed_quizzes + l.is_gate::integer,
           completed_at = coalesce(mp.completed_at, case
             when private.module_done(mp.completion_rule, mp.completed_lessons + 1,
               mp.total_lessons, mp.completed_quizzes + l.is_gate::integer, mp.total_quizzes)
             then p_at end)
    -- A module that its quizzes have completed is not completed again by its other lessons.
    returning mp.status = 'completed'
      and (l.is_gate or mp.completion_rule = 'all_lessons' or mp.total_quizzes = 0)
      into v_module_finished;
  else
    perform private.begin_module(v_user_id, l, p_at);
  end if;

  v_course_finished := l.is_countable
    and (v.enrollment).completed_at is null
    and (v.enrollment).completed_weight + l.weight = (v.enrollment).total_weight;
  v.next_lesson_id := private.next_lesson(v);

  update public.enrollments e
     set completed_lessons = e.completed_lessons + l.is_countable::integer,
         completed_weight = e.completed_weight + case when l.is_countable then l.weight else 0 end,
         progress_percent = private.percent(
           e.completed_weight + case when l.is_countable then l.weight else 0 end, e.total_weight),
         completed_at = case when v_course_finished then p_at else e.completed_at end,
         completion_snapshot = case
           when v_course_finished then jsonb_build_object(
             'lessons', e.total_lessons, 'weight', e.total_weight,
             'catalog_version', v.catalog_version)
           else e.completion_snapshot end,
         last_accessed_at = greatest(e.last_accessed_at, p_at),
         current_module_id = case when v_is_newest then l.module_id else e.current_module_id end,
         current_lesson_id = case when v_is_newest then l.id else e.current_lesson_id end,
         current_section = case
           when e.current_lesson_id = l.id or not v_is_newest then e.current_section end,
         frontier_lesson_id = v.next_lesson_id,
         frontier_version = v.catalog_version
   where e.user_id = (v.enrollment).user_id
     and e.course_id = (v.enrollment).course_id
  returning e into v.enrollment;

  perform private.touch_day(v_user_id, v_day, p_at, p_at, p_lessons => 1);

  perform private.record_event('lesson_completed', v, p_at, case
    when (v.progress).view_time_seconds > 0
    then jsonb_build_object('seconds', (v.progress).view_time_seconds) else '{}' end);
  if v_module_finished then
    perform private.record_event('module_completed', v, p_at);
  end if;
  if v_course_finished then
    perform private.finish_courses(array[(v.enrollment).id], p_at);
  elsif v_percent < v.certificate_percent and (v.enrollment).completed_at is null
    and (v.enrollment).progress_percent >= v.certificate_percent
  then
    perform private.certify(array[(v.enrollment).id]);
  end if;
  return v;
end
$$;
comment on function private.record_completion(private.lesson_access, timestamptz) is
  'Writes the completion of a lesson whose rule is fulfilled; changed is false when it already was.';

-- The frontier holds while the catalogue is the same and it is not the lesson just completed.
create function private.next_lesson(v private.lesson_access) returns uuid
language plpgsql stable security invoker set search_path = ''
as $$
declare
  e public.enrollments := v.enrollment;
begin
  if e.frontier_version is distinct from v.catalog_version then
    return private.first_incomplete(e.user_id, e.course_id);
  elsif e.frontier_lesson_id is distinct from (v.lesson).id then
    return e.frontier_lesson_id;
  else
    return private.first_incomplete(e.user_id, e.course_id, e.frontier_lesson_id);
  end if;
end
$$;
comment on function private.next_lesson(private.lesson_access) is
  'First incomplete countable lesson, from the frontier where it still holds.';

create function private.offered(v private.lesson_access, p_next uuid) returns uuid
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if (v).course_status = 'draft' then
    return private.first_begun(((v).enrollment).user_id, ((v).lesson).course_id);
  elsif (v).has_rules and p_next is not null then
    return (select f.lesson_id from private.first_open((v).enrollment, p_next, 200) f
             where f.lock is null);
  end if;
  return p_next;
end
$$;
comment on function private.offered(private.lesson_access, uuid) is
  'The next lesson as an answer names it: one that the learner may open.';

-- Commands ------------------------------------------------------------------------------------------

create function private.enroll(p_course_id bigint) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  c public.courses;
  e public.enrollments;
  v_missing jsonb;
  v_changed boolean := false;
begin
  select * into c from public.courses where id = p_course_id;
  select * into e from public.enrollments where user_id = v_user_id and course_id = p_course_id;
  if e.id is null then
    if c.id is null or c.status = 'draft' then
      perform private.fail('course_not_found', 404, 'Course not found');
    elsif c.status = 'archived' then
      perform private.fail('enrollment_closed', 403, 'This course takes no new learners');
    elsif c.enrollment_mode = 'paid' then
      perform private.fail('payment_required', 403, 'This course opens when it is paid for');
    elsif c.enrollment_mode <> 'open' then
      perform private.fail('enrollment_closed', 403, 'This course is by invitation only');
    end if;
    v_missing := case when c.has_rules then private.missing_course(v_user_id, c.id) end;
    if v_missing is not null then
      perform private.fail('course_locked', 409, 'Another course comes first',
        private.lock_json('prerequisite', null, p_course => v_missing)::text,
        'details names the course to complete');
    end if;
    insert into public.enrollments (user_id, course_id) values (v_user_id, p_course_id)
        on conflict (user_id, course_id) do nothing
    returning * into e;
    v_changed := found;
    if not v_changed then
      select * into e from public.enrollments
       where user_id = v_user_id and course_id = p_course_id;
    end if;
  elsif e.status = 'left' then
    select * into e from private.return_to_course(e);
    v_changed := true;
  end if;
  perform private.require_active(e);
  return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', v_changed);
end
$$;
comment on function private.enroll(bigint) is
  'Self-enrolment; again returns the same row, and who had left comes back to it.';

create function private.start_lesson(p_lesson_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access := private.open_lesson(private.require_user(), p_lesson_id);
begin
  v := private.record_start(v, private.clock());
  return private.lesson_answer(v) || jsonb_build_object('changed', v.changed);
end
$$;
comment on function private.start_lesson(uuid) is 'Opens a lesson.';

create function private.lesson_answer(v private.lesson_access) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return jsonb_build_object(
    'progress', private.progress_json(
      (v).progress, ((v).lesson).id, ((v).lesson).module_id, ((v).lesson).course_id),
    'enrollment', private.enrollment_json((v).enrollment));
end
$$;
comment on function private.lesson_answer(private.lesson_access) is '{progress, enrollment}.';

create function private.refuse_unearned(v private.lesson_access) returns void
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_missing jsonb := private.rule_missing(v.lesson, v.progress);
begin
  if v_missing is not null and (v.progress).is_completed is not true then
    perform private.fail('rule_not_met', 422, 'This lesson is not completed by saying so',
      v_missing::text, 'details tells what its completion rule still misses');
  end if;
end
$$;
comment on function private.refuse_unearned(private.lesson_access) is
  'Refuses a completion whose rule is not fulfilled, with what is missing.';

create function private.complete_lesson(p_lesson_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access := private.open_lesson(private.require_user(), p_lesson_id);
begin
  perform private.refuse_unearned(v);
  v := private.record_completion(v, private.clock());
  return private.lesson_answer(v) || jsonb_build_object(
    'next_lesson_id', private.offered(v, v.next_lesson_id),
    'certificate', private.held_certificate(v), 'changed', v.changed);
end
$$;
comment on function private.complete_lesson(uuid) is
  'Completes a lesson whose rule is fulfilled; again returns the same row and writes nothing.';

-- The lock of the enrolment came before the look: of two tabs, one takes it back.
create function private.record_uncompletion(v private.lesson_access, p_reason text)
returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_before public.user_progress := v.progress;
  v_now timestamptz := private.clock();
begin
  v.changed := v_before.is_completed is true;
  if v.changed then
    update public.user_progress p
       set status = 'in_progress', progress = 0, completed_at = null, completed_on = null
     where p.user_id = v_before.user_id and p.lesson_id = v_before.lesson_id
    returning p into v.progress;
    if (v.lesson).is_countable then
      update public.module_progress mp
         set completed_lessons = mp.completed_lessons - 1,
             completed_quizzes = mp.completed_quizzes - (v.lesson).is_gate::integer
       where mp.user_id = v_before.user_id and mp.module_id = (v.lesson).module_id;
    end if;
    -- An older frontier would lie behind this lesson: forget it, the next completion looks again.
    update public.enrollments e
       set completed_lessons = e.completed_lessons - (v.lesson).is_countable::integer,
           completed_weight = e.completed_weight
             - case when (v.lesson).is_countable then (v.lesson).weight else 0 end,
           progress_percent = private.percent(
             e.completed_weight
               - case when (v.lesson).is_countable then (v.lesson).weight else 0 end,
             e.total_weight),
           frontier_lesson_id = null,
           frontier_version = null
     where e.user_id = (v.enrollment).user_id
       and e.course_id = (v.enrollment).course_id
    returning e into v.enrollment;
    update public.daily_activity d
       set lessons_completed = d.lessons_completed - 1
     where d.user_id = v_before.user_id and d.day = v_before.completed_on
       and d.lessons_completed > 0;
    perform private.record_event('lesson_uncompleted', v, v_now,
      jsonb_strip_nulls(jsonb_build_object('reason', p_reason)));
    perform private.audit('lesson.uncomplete', (v.lesson).course_id, v_before.user_id,
      'lesson:' || v_before.lesson_id, p_reason,
      jsonb_build_object('status', 'completed', 'completed_at', v_before.completed_at),
      jsonb_build_object('status', 'in_progress'));
  end if;
  v.next_lesson_id := private.next_lesson(v);
  return v;
end
$$;
comment on function private.record_uncompletion(private.lesson_access, text) is
  'Takes a completion back, audited; changed is false when there was none.';

create function private.uncomplete_lesson(p_lesson_id uuid, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access := private.record_uncompletion(
    private.open_lesson(private.require_user(), p_lesson_id), p_reason);
begin
  return private.lesson_answer(v) || jsonb_build_object(
    'next_lesson_id', private.offered(v, v.next_lesson_id), 'changed', v.changed);
end
$$;
comment on function private.uncomplete_lesson(uuid, text) is
  'The audited way back: the lesson is in progress again; the course''s first completion stays.';

-- What a client may hold: where it stood and how far it was, at that time. A report older than what was
-- known before it does not move the position, and nothing goes down.
create function private.record_position(
  v private.lesson_access, p_at timestamptz, p_known_until timestamptz, p_position_seconds integer,
  p_progress numeric
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  l public.lessons := v.lesson;
  o public.user_progress := v.progress;
  n public.user_progress := o;
  v_moved public.enrollments;
begin
  v.changed := false;
  if p_position_seconds is not null
     and (p_at < p_known_until is not true or p_known_until > private.clock())
  then
    n.position_seconds := least(greatest(p_position_seconds, 0), l.duration_seconds);
  end if;
  if not o.is_completed then
    n.progress := greatest(o.progress, private.told_fraction(l, p_progress));
  end if;
  n.last_accessed := greatest(o.last_accessed, p_at);
  if (n.position_seconds, n.progress, n.last_accessed)
     is distinct from (o.position_seconds, o.progress, o.last_accessed)
  then
    update public.user_progress p
       set position_seconds = n.position_seconds,
           progress = n.progress,
           last_accessed = n.last_accessed
     where p.user_id = o.user_id and p.lesson_id = o.lesson_id
    returning p into v.progress;
    v.changed := true;
  end if;
  update public.enrollments e
     set last_accessed_at = p_at,
         current_module_id = l.module_id,
         current_lesson_id = l.id,
         current_section = case when e.current_lesson_id = l.id then e.current_section end
   where e.user_id = (v.enrollment).user_id
     and e.course_id = (v.enrollment).course_id
     and (e.last_accessed_at is null or e.last_accessed_at < p_at
          or e.last_accessed_at > private.clock())
  returning e.* into v_moved;
  if found then
    v.enrollment := v_moved;
  end if;
  return v;
end
$$;
comment on function private.record_position(
  private.lesson_access, timestamptz, timestamptz, integer, numeric) is
  'Writes a position and a fraction that a client reports; changed tells whether the row did.';

create function private.put_lesson_progress(
  p_lesson_id uuid, p_status text, p_position_seconds integer, p_last_accessed timestamptz,
  p_progress numeric
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access;
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  -- Never in the future, nor before there were such clocks; "infinity" is no time at all.
  v_at timestamptz := greatest('epoch', least(
    case when isfinite(p_last_accessed) then p_last_accessed else v_now end, v_now));
  v_known_until timestamptz;
  v_changed boolean := false;
begin
  if p_status not in ('not_started', 'in_progress', 'completed') then
    perform private.fail('invalid_value', 422, 'status must be not_started, in_progress or completed');
  end if;
  v := private.open_lesson(v_user_id, p_lesson_id);
  v_known_until := (v.progress).last_accessed;
  if p_status = 'completed' then
    perform private.refuse_unearned(v);
    v := private.record_completion(v, v_now);
    v_changed := v.changed;
  elsif p_status = 'not_started' and (v.progress).user_id is null then
    return private.lesson_answer(v) || jsonb_build_object(
      'next_lesson_id', private.offered(v, private.next_lesson(v)),
      'certificate', private.held_certificate(v), 'changed', false);
  elsif (v.progress).user_id is null then
    v := private.record_start(v, v_now, v_at);
    v_changed := v.changed;
  end if;

  v := private.record_position(v, v_at, v_known_until, p_position_seconds, p_progress);
  return private.lesson_answer(v) || jsonb_build_object(
    'next_lesson_id', private.offered(v, private.next_lesson(v)),
    'certificate', private.held_certificate(v), 'changed', v_changed or v.changed);
end
$$;
comment on function private.put_lesson_progress(uuid, text, integer, timestamptz, numeric) is
  'Upsert for clients that hold state: clamped, monotonic, completion by the rule.';

create function private.open_module(p_user_id uuid, p_module_id uuid) returns public.modules
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  m public.modules;
  e public.enrollments;
  v_course_id bigint;
  v_status text;
begin
  select course_id into v_course_id from public.modules where id = p_module_id;
  if not found then
    perform private.fail('module_not_found', 404, 'Module not found');
  end if;
  perform private.share_course(v_course_id);
  select * into e from public.enrollments
   where user_id = p_user_id and course_id = v_course_id
     for no key update;
  select * into m from public.modules where id = p_module_id;
  if m.course_id <> v_course_id then
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  end if;
  select c.status into v_status from public.courses c where c.id = m.course_id;
  if m.id is null or (e.id is null and v_status <> 'published') then
    perform private.fail('module_not_found', 404, 'Module not found');
  end if;
  perform private.require_active(e);
  return m;
end
$$;
comment on function private.open_module(uuid, uuid) is
  'May this learner work on this module now? Locks its course and returns the row, or refuses.';

create function private.module_json(p_user_id uuid, m public.modules) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'module_id', (m).id,
    'course_id', (m).course_id,
    'status', coalesce(mp.status, 'not_started'),
    'total', coalesce(mp.total_lessons, (m).total_lessons),
    'completed', coalesce(mp.completed_lessons, 0),
    'percent', private.percent(
      coalesce(mp.completed_lessons, 0), coalesce(mp.total_lessons, (m).total_lessons)),
    'started_at', mp.started_at,
    'completed_at', mp.completed_at)
    from (select) as one
    left join public.module_progress mp on mp.user_id = p_user_id and mp.module_id = (m).id
$$;
comment on function private.module_json(uuid, public.modules) is 'A module as its learner sees it.';

create function private.start_module(p_module_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  m public.modules := private.open_module(v_user_id, p_module_id);
  e public.enrollments;
  v_lesson_id uuid;
  v_answer jsonb;
begin
  select * into e from public.enrollments where user_id = v_user_id and course_id = m.course_id;
  select l.id into v_lesson_id
    from public.lessons l
    left join public.user_progress p on p.user_id = v_user_id and p.lesson_id = l.id
    left join private.course_locks(e, p_module_id) k on k.lesson_id = l.id
   where l.module_id = p_module_id and l.archived_at is null and not l.is_preview
     and (p.user_id is not null or (
       select c.status from public.courses c where c.id = m.course_id) <> 'draft')
   -- Of what is not completed the open ones first; where all is locked, the refusal names the first.
   order by p.is_completed is true, k.lock is not null,
         not l.is_required or exists (
           select from public.lesson_waivers w
            where w.user_id = v_user_id and w.lesson_id = l.id),
         l.position, l.id
   limit 1;
  if not found then
    perform private.fail('lesson_not_found', 404, 'This module has no lesson to start');
  end if;
  v_answer := private.start_lesson(v_lesson_id);
  return v_answer || jsonb_build_object('module', private.module_json(v_user_id, m));
end
$$;
comment on function private.start_module(uuid) is
  'Opens a module at its first lesson that is not completed (its first lesson when all are).';

create function private.complete_module(p_module_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  m public.modules := private.open_module(v_user_id, p_module_id);
  v private.lesson_access;
  v_lesson_id uuid;
  v_missing jsonb;
  v_done uuid[] := '{}';
  v_open jsonb := '[]';
  v_status text;
  v_has_rules boolean;
begin
  select c.status, c.sequential or c.has_rules into v_status, v_has_rules
    from public.courses c where c.id = m.course_id;
  for v_lesson_id in
    select l.id
      from public.lessons l
      left join public.user_progress p on p.user_id = v_user_id and p.lesson_id = l.id
     where l.module_id = p_module_id and l.archived_at is null and not l.is_preview
       and p.is_completed is not true
       and (p.user_id is not null or v_status <> 'draft')
       and not exists (
         select from public.lesson_waivers w
          where w.user_id = v_user_id and w.lesson_id = l.id)
     order by l.position, l.id
  loop
    v := private.open_lesson(v_user_id, v_lesson_id, true);
    v_missing := private.rule_missing(v.lesson, v.progress);
    if v.lock is not null then
      v_open := v_open || jsonb_build_object(
        'lesson_id', v_lesson_id, 'title', (v.lesson).title, 'code', 'lesson_locked',
        'message', 'This lesson is locked', 'details', v.lock);
    elsif v_missing is null then
      v := private.record_completion(v, private.clock());
      if v.changed then
        v_done := v_done || v_lesson_id;
      end if;
    else
      v_open := v_open || jsonb_build_object(
        'lesson_id', v_lesson_id, 'title', (v.lesson).title, 'code', 'rule_not_met',
        'message', 'This lesson is not completed by saying so', 'details', v_missing);
    end if;
  end loop;
  select x into v.enrollment from public.enrollments x
   where x.user_id = v_user_id and x.course_id = m.course_id;
  v.certificate_percent := 0;
  v.course_status := v_status;
  v.has_rules := v_has_rules;
  v.lesson.course_id := m.course_id;
  return jsonb_build_object(
    'module', private.module_json(v_user_id, m),
    'enrollment', private.enrollment_json(v.enrollment),
    'completed_lesson_ids', to_jsonb(v_done),
    'open', v_open,
    'next_lesson_id', private.offered(v, private.first_incomplete(v_user_id, m.course_id)),
    'certificate', private.held_certificate(v),
    'changed', v_done <> '{}');
end
$$;
comment on function private.complete_module(uuid) is
  'Completes every lesson of a module whose rule allows it, and names what stays open and why.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.enroll(p_course_id bigint) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.enroll(p_course_id); end;
comment on function public.enroll(bigint) is
  'Enrols the caller in an open, published course. Returns {enrollment, changed}.';

create function public.start_lesson(p_lesson_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.start_lesson(p_lesson_id); end;
comment on function public.start_lesson(uuid) is
  'Opens a lesson. Returns {progress, enrollment, changed}.';

create function public.complete_lesson(p_lesson_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.complete_lesson(p_lesson_id); end;
comment on function public.complete_lesson(uuid) is
  'Completes a lesson. Returns {progress, enrollment, next_lesson_id, certificate, changed}.';

create function public.uncomplete_lesson(p_lesson_id uuid, p_reason text default null)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.uncomplete_lesson(p_lesson_id, p_reason); end;
comment on function public.uncomplete_lesson(uuid, text) is
  'Takes a completion back, audited. Returns {progress, enrollment, next_lesson_id, changed}.';

create function public.put_lesson_progress(
  p_lesson_id uuid, p_status text default null, p_position_seconds integer default null,
  p_last_accessed timestamptz default null, p_progress numeric default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.put_lesson_progress(
    p_lesson_id, p_status, p_position_seconds, p_last_accessed, p_progress);
end;
comment on function public.put_lesson_progress(uuid, text, integer, timestamptz, numeric) is
  'Upsert for clients that hold state. Returns as complete_lesson.';

create function public.start_module(p_module_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.start_module(p_module_id); end;
comment on function public.start_module(uuid) is
  'Opens a module at its first open lesson. Returns {module, progress, enrollment, changed}.';

create function public.complete_module(p_module_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.complete_module(p_module_id); end;
comment on function public.complete_module(uuid) is
  'Completes what a module''s rules allow. Returns {module, enrollment, completed_lesson_ids, open, next_lesson_id, certificate, changed}.';

-- The whole path belongs to the writer; callers may execute what stands behind a door, and no more.
revoke execute on function private.progress_json from public;
revoke execute on function private.enrollment_json from public;
revoke execute on function private.rule_missing from public;
revoke execute on function private.open_lesson from public;
revoke execute on function private.without_count from public;
revoke execute on function private.require_active from public;
revoke execute on function private.first_incomplete from public;
revoke execute on function private.first_incomplete_in from public;
revoke execute on function private.first_begun from public;
revoke execute on function private.offered from public;
revoke execute on function private.zone_at from public;
revoke execute on function private.local_day from public;
revoke execute on function private.touch_day from public;
revoke execute on function private.begin_module from public;
revoke execute on function private.record_start from public;
revoke execute on function private.record_event from public;
revoke execute on function private.told_fraction from public;
revoke execute on function private.covered from public;
revoke execute on function private.record_position from public;
revoke execute on function private.record_completion from public;
revoke execute on function private.next_lesson from public;
revoke execute on function private.enroll from public;
revoke execute on function private.start_lesson from public;
revoke execute on function private.lesson_answer from public;
revoke execute on function private.refuse_unearned from public;
revoke execute on function private.complete_lesson from public;
revoke execute on function private.record_uncompletion from public;
revoke execute on function private.uncomplete_lesson from public;
revoke execute on function private.put_lesson_progress from public;
revoke execute on function private.open_module from public;
revoke execute on function private.module_json from public;
revoke execute on function private.start_module from public;
revoke execute on function private.complete_module from public;

revoke execute on function public.enroll from public, anon, authenticated, service_role;
grant execute on function public.enroll, private.enroll to authenticated;
revoke execute on function public.start_lesson from public, anon, authenticated, service_role;
grant execute on function public.start_lesson, private.start_lesson to authenticated;
revoke execute on function public.complete_lesson from public, anon, authenticated, service_role;
grant execute on function public.complete_lesson, private.complete_lesson to authenticated;
revoke execute on function public.uncomplete_lesson from public, anon, authenticated, service_role;
grant execute on function public.uncomplete_lesson, private.uncomplete_lesson to authenticated;
revoke execute on function public.put_lesson_progress from public, anon, authenticated, service_role;
grant execute on function public.put_lesson_progress, private.put_lesson_progress to authenticated;
revoke execute on function public.start_module from public, anon, authenticated, service_role;
grant execute on function public.start_module, private.start_module to authenticated;
revoke execute on function public.complete_module from public, anon, authenticated, service_role;
grant execute on function public.complete_module, private.complete_module to authenticated;

grant create on schema private to waymark_writer;
alter function private.progress_json owner to waymark_writer;
alter function private.enrollment_json owner to waymark_writer;
alter function private.rule_missing owner to waymark_writer;
alter function private.open_lesson owner to waymark_writer;
alter function private.without_count owner to waymark_writer;
alter function private.require_active owner to waymark_writer;
alter function private.first_incomplete owner to waymark_writer;
alter function private.first_incomplete_in owner to waymark_writer;
alter function private.first_begun owner to waymark_writer;
alter function private.offered owner to waymark_writer;
alter function private.zone_at owner to waymark_writer;
alter function private.local_day owner to waymark_writer;
alter function private.touch_day owner to waymark_writer;
alter function private.begin_module owner to waymark_writer;
alter function private.record_start owner to waymark_writer;
alter function private.record_event owner to waymark_writer;
alter function private.told_fraction owner to waymark_writer;
alter function private.covered owner to waymark_writer;
alter function private.record_position owner to waymark_writer;
alter function private.record_completion owner to waymark_writer;
alter function private.next_lesson owner to waymark_writer;
alter function private.enroll owner to waymark_writer;
alter function private.start_lesson owner to waymark_writer;
alter function private.lesson_answer owner to waymark_writer;
alter function private.refuse_unearned owner to waymark_writer;
alter function private.complete_lesson owner to waymark_writer;
alter function private.record_uncompletion owner to waymark_writer;
alter function private.uncomplete_lesson owner to waymark_writer;
alter function private.put_lesson_progress owner to waymark_writer;
alter function private.open_module owner to waymark_writer;
alter function private.module_json owner to waymark_writer;
alter function private.start_module owner to waymark_writer;
alter function private.complete_module owner to waymark_writer;
revoke create on schema private from waymark_writer;
