-- Cycles: a learner takes a course again, and everything of the run before stays readable.
--
-- The tables of progress hold the present cycle alone, so that everything that counts, locks, certifies or
-- continues needs no thought of older ones. What a cycle leaves behind moves here, in the transaction that
-- begins the next, under the enrolment's row: a tab that was completing a lesson meanwhile either still
-- did it in the old cycle, or finds that it is over (cycle_over). Attempts, certificates and history carry
-- their cycle's number and stay where they are.
--
-- Ids stand without foreign keys but for the learner's: what somebody did outlives the course.

select private.require_free(array[
  'public.past_cycles', 'public.past_progress', 'private.begin_cycle',
  'private.completion_expires_at', 'private.get_my_cycles', 'private.leave_course',
  'private.lock_for_cycle', 'private.renewal_notice', 'private.retake_block',
  'private.retake_course', 'private.return_to_course', 'private.start_cycle',
  'private.tell_renewals', 'private.tg_lessons__cycles', 'public.get_my_cycles', 'public.leave_course', 'public.retake_course',
  'public.start_cycle']);

create table public.past_cycles (
  user_id uuid not null references auth.users (id) on delete cascade,
  course_id bigint not null,
  cycle integer not null check (cycle >= 1),
  enrollment_id uuid not null,
  course_title text not null,
  started_at timestamptz not null,
  ended_at timestamptz not null,
  completed_at timestamptz,
  completion_snapshot jsonb,
  completed_lessons integer not null,
  total_lessons integer not null,
  completed_weight bigint not null,
  total_weight bigint not null,
  progress_percent numeric(5, 2) not null,
  view_time_seconds bigint not null,
  last_accessed_at timestamptz,
  modules jsonb not null default '[]',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, course_id, cycle)
);
comment on table public.past_cycles is 'How a learner''s earlier runs through a course ended.';
comment on column public.past_cycles.modules is
  'Modules begun, as they stood: [{module_id, status, completed_lessons, total_lessons, started_at, completed_at}].';

create table public.past_progress (
  user_id uuid not null references auth.users (id) on delete cascade,
  course_id bigint not null,
  cycle integer not null check (cycle >= 1),
  lesson_id uuid not null,
  status text not null,
  progress numeric(5, 4) not null,
  started_at timestamptz,
  last_accessed timestamptz,
  completed_at timestamptz,
  completed_on date,
  view_time_seconds integer not null,
  position_seconds integer not null,
  watched int4multirange not null,
  attempts integer not null,
  best_score numeric(5, 2),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, course_id, cycle, lesson_id)
);
comment on table public.past_progress is 'Progress in lessons, of cycles that are over.';

create trigger _900_touch before update on public.past_cycles
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.past_progress
  for each row execute function private.tg_touch_updated_at();

alter table public.past_cycles enable row level security;
alter table public.past_progress enable row level security;
revoke all on table public.past_cycles, public.past_progress from anon, authenticated, service_role;
grant select on table public.past_cycles to authenticated, service_role, waymark_writer;
grant select on table public.past_progress to authenticated, service_role, waymark_writer;
create policy "Learners read their own past cycles" on public.past_cycles
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners read their own past progress" on public.past_progress
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

-- When a cycle may begin --------------------------------------------------------------------------------

create function private.renewal_notice() returns interval
language sql immutable parallel safe security invoker set search_path = ''
return interval '30 days';
comment on function private.renewal_notice() is
  'How long before a completion expires its learner is told, and may renew it.';

-- As certificates have it: on that day of the month, counted from the learner's day of completion.
create function private.completion_expires_at(e public.enrollments) returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select ((e.completed_at at time zone coalesce(p.timezone, 'UTC'))::date
             + make_interval(months => c.certificate_valid_months)) at time zone 'UTC'
      from public.courses c
      left join public.profiles p on p.id = e.user_id
     where c.id = e.course_id);
end
$$;
comment on function private.completion_expires_at(public.enrollments) is
  'When the completion of the present cycle expires; null when never, or where there is none.';

create function private.retake_block(e public.enrollments) returns text
language plpgsql stable security invoker set search_path = ''
as $$
declare
  c public.courses;
begin
  select * into c from public.courses where id = e.course_id;
  return case
    when c.status <> 'published' then 'enrollment_closed'
    when e.completed_at is null then 'course_not_completed'
    when e.cycle >= c.max_cycles
     and private.clock() >= private.completion_expires_at(e) - private.renewal_notice() is not true
    then 'retakes_exhausted' end;
end
$$;
comment on function private.retake_block(public.enrollments) is
  'What keeps a learner from taking the course again: a code, or null. One that expires may be renewed.';

-- Beginning one -----------------------------------------------------------------------------------------

create function private.lock_for_cycle(p_course_id bigint) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- As an editor: what follows is no raw update of enrolments.
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  perform private.share_course(p_course_id);
end
$$;
comment on function private.lock_for_cycle(bigint) is
  'Before an enrolment''s row is locked for a new cycle: the locks that come before rows.';

-- Moves what the old cycle holds and resets what the new one counts. It costs by the learner's own rows.
create function private.begin_cycle(
  p_user_id uuid, p_course_id bigint, p_by text, p_reason text
) returns public.enrollments
language plpgsql volatile security definer set search_path = ''
as $$
declare
  e public.enrollments;
  v_now timestamptz := private.clock();
  v_lesson_ids uuid[];
  v_module_ids uuid[];
  a public.user_assessment_attempts;
begin
  -- What is open is graded as it stands, as when its time is up: late answers meet an attempt that ended.
  for a in
    select x.* from public.user_assessment_attempts x
      join public.lessons l on l.id = x.lesson_id
     where x.user_id = p_user_id and l.course_id = p_course_id and x.status = 'in_progress'
     order by x.id
  loop
    perform private.finish_attempt(
      private.open_for_staff(p_user_id, a.lesson_id), a, v_now, true, null);
  end loop;

  select * into e from public.enrollments where user_id = p_user_id and course_id = p_course_id;
  e := private.settled(e);
  -- After the lock, not as of the transaction's start: what waited for it belongs to the old cycle.
  if v_now = now() then
    v_now := clock_timestamp();
  end if;

  insert into public.past_cycles
    (user_id, course_id, cycle, enrollment_id, course_title, started_at, ended_at, completed_at,
     completion_snapshot, completed_lessons, total_lessons, completed_weight, total_weight,
     progress_percent, view_time_seconds, last_accessed_at, modules)
  select e.user_id, e.course_id, e.cycle, e.id, c.title,
         coalesce(e.cycle_started_at, e.enrolled_at), v_now, e.completed_at, e.completion_snapshot,
         e.completed_lessons, e.total_lessons, e.completed_weight, e.total_weight,
         e.progress_percent, e.view_time_seconds, e.last_accessed_at, coalesce((
           select jsonb_agg(jsonb_build_object(
                    'module_id', mp.module_id, 'status', mp.status,
                    'completed_lessons', mp.completed_lessons, 'total_lessons', mp.total_lessons,
                    'started_at', mp.started_at, 'completed_at', mp.completed_at)
                    order by mp.started_at, mp.module_id)
             from public.module_progress mp
            where mp.user_id = e.user_id and mp.course_id = e.course_id
              and mp.started_at is not null), '[]')
    from public.courses c
   where c.id = e.course_id;

  with moved as (
    delete from public.user_progress p
     where p.user_id = e.user_id and p.course_id = e.course_id
    returning p.*
  ),
  kept as (
    insert into public.past_progress
      (user_id, course_id, cycle, lesson_id, status, progress, started_at, last_accessed,
       completed_at, completed_on, view_time_seconds, position_seconds, watched, attempts,
       best_score)
    select m.user_id, m.course_id, e.cycle, m.lesson_id, m.status, m.progress, m.started_at,
           m.last_accessed, m.completed_at, m.completed_on, m.view_time_seconds,
           m.position_seconds, m.watched, m.attempts, m.best_score
      from moved m
    returning lesson_id
  )
  select coalesce(array_agg(k.lesson_id order by k.lesson_id), '{}') into v_lesson_ids from kept k;
  v_module_ids := array(
    select mp.module_id from public.module_progress mp
     where mp.user_id = e.user_id and mp.course_id = e.course_id
     order by mp.module_id);
  -- What is waived stays waived: the rows that hold such totals begin anew, the others go.
  delete from public.module_progress mp
   where mp.user_id = e.user_id and mp.course_id = e.course_id and not exists (
     select from public.lesson_waivers w
       join public.lessons l on l.id = w.lesson_id
      where w.user_id = mp.user_id and l.module_id = mp.module_id);
  update public.module_progress mp
     set completed_lessons = 0, completed_quizzes = 0, started_at = null, completed_at = null
   where mp.user_id = e.user_id and mp.course_id = e.course_id;

  update public.enrollments x
     set cycle = x.cycle + 1,
         cycle_started_at = v_now,
         completed_lessons = 0,
         completed_weight = 0,
         score_sum = 0,
         scored_lessons = 0,
         progress_percent = private.percent(0, x.total_weight),
         completed_at = null,
         completion_snapshot = null,
         renewal_told_at = null,
         current_module_id = null,
         current_lesson_id = null,
         current_section = null,
         view_time_seconds = 0,
         frontier_lesson_id = null,
         frontier_version = null
   where x.id = e.id
  returning * into e;

  insert into public.progress_events
    (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
  values (v_now, e.user_id, e.course_id, e.id, e.cycle, 'cycle_started',
    jsonb_strip_nulls(jsonb_build_object('by', p_by, 'reason', p_reason))
      -- What it leaves behind: by then lessons may have been in other courses than they are later.
      || jsonb_build_object('lessons', v_lesson_ids, 'modules', v_module_ids));
  perform private.audit('course.retake', e.course_id, e.user_id, 'enrollment:' || e.id, p_reason,
    jsonb_build_object('cycle', e.cycle - 1), jsonb_build_object('cycle', e.cycle));
  return e;
end
$$;
comment on function private.begin_cycle(uuid, bigint, text, text) is
  'Ends a learner''s present cycle and begins the next; the caller holds the enrolment''s row.';

create function private.retake_course(p_course_id bigint) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  e public.enrollments;
  v_block text;
begin
  perform private.lock_for_cycle(p_course_id);
  select * into e from public.enrollments
   where user_id = v_user_id and course_id = p_course_id
     for no key update;
  if e.id is null then
    e := private.my_enrollment(p_course_id);  -- A course unseen is not found.
  end if;
  if e.cycle_started_at > private.clock() and e.current_lesson_id is null
     and e.cycle_started_at <= clock_timestamp()
  then
    -- Another tab was faster, and nothing has been done since.
    return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', false);
  end if;
  perform private.require_active(e);
  if e.cycle > 1 and e.completed_at is null and e.current_lesson_id is null then
    -- Asked again: the same answer.
    return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', false);
  end if;
  v_block := private.retake_block(e);
  if v_block = 'enrollment_closed' then
    perform private.fail(v_block, 403, 'This course takes no new learners');
  elsif v_block = 'course_not_completed' then
    perform private.fail(v_block, 409, 'Only a completed course can be taken again');
  elsif v_block = 'retakes_exhausted' then
    perform private.fail(v_block, 409, 'This course cannot be taken again now',
      jsonb_build_object('cycle', e.cycle, 'completion_expires_at',
        private.completion_expires_at(e))::text);
  end if;
  e := private.begin_cycle(v_user_id, p_course_id, 'learner', null);
  return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', true);
end
$$;
comment on function private.retake_course(bigint) is
  'The caller takes a completed course again, where it allows that or the completion expires.';

create function private.start_cycle(p_user_id uuid, p_course_id bigint, p_reason text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  e public.enrollments;
begin
  perform private.require_grader(p_course_id);
  perform private.check_reason(p_reason);
  if not exists (select from public.courses c where c.id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  perform private.lock_for_cycle(p_course_id);
  select * into e from public.enrollments
   where user_id = p_user_id and course_id = p_course_id
     for no key update;
  if e.id is null then
    perform private.fail('not_enrolled', 403, 'The learner is not enrolled in this course');
  end if;
  if e.cycle > 1 and e.completed_at is null and e.current_lesson_id is null then
    return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', false);
  end if;
  e := private.begin_cycle(p_user_id, p_course_id, 'staff', p_reason);
  return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', true);
end
$$;
comment on function private.start_cycle(uuid, bigint, text) is
  'Staff who grade, and admins: a learner begins the course anew, completed or not.';

create function private.get_my_cycles(p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  e public.enrollments := private.my_enrollment(p_course_id);
  v_block text := private.retake_block(e);
begin
  if e.id is null then
    return null;
  end if;
  return jsonb_build_object(
    'course_id', e.course_id,
    'cycle', e.cycle,
    'started_at', coalesce(e.cycle_started_at, e.enrolled_at),
    'completed_at', e.completed_at,
    'completion_expires_at', private.completion_expires_at(e),
    'may_retake', v_block is null,
    'block', v_block,
    'past', coalesce((
      select jsonb_agg(
               to_jsonb(c) - '{user_id,created_at,updated_at,enrollment_id}'::text[]
               || jsonb_build_object('certificate_id', (
                 select x.id from public.certificates x
                  where x.user_id = c.user_id and x.course_id = c.course_id and x.cycle = c.cycle
                    and x.superseded_at is null))
               order by c.cycle desc)
        from (
          select * from public.past_cycles p
           where p.user_id = e.user_id and p.course_id = e.course_id
           order by p.cycle desc
           limit 100
        ) as c), '[]'));
end
$$;
comment on function private.get_my_cycles(bigint) is
  'The caller''s cycles in a course: the present one, whether another may begin, and the last hundred.';

-- Each course counts its own cycles. A lesson takes progress along to another course, and the attempts
-- with it: those of the present cycle are of the present cycle there; older ones are of no cycle of that
-- course and get numbers below 1, in order and below those of an earlier move.
create function private.tg_lessons__cycles() returns trigger
language plpgsql volatile security definer set search_path = ''
as $$
begin
  update public.user_assessment_attempts a
     set cycle = a.cycle - f.highest - 1 + least(f.lowest, 0)
    from (
      select x.user_id, min(x.cycle) as lowest, max(x.cycle) as highest
        from public.user_assessment_attempts x
       where x.lesson_id = new.id
       group by x.user_id
    ) as f
    left join public.enrollments e on e.user_id = f.user_id and e.course_id = old.course_id
   where a.lesson_id = new.id and a.user_id = f.user_id
     and a.cycle >= 1 and a.cycle <> coalesce(e.cycle, 1);
  update public.user_assessment_attempts a
     set cycle = f.cycle
    from (
      select distinct x.user_id, coalesce(e.cycle, 1) as cycle
        from public.user_assessment_attempts x
        left join public.enrollments e
          on e.user_id = x.user_id and e.course_id = new.course_id
       where x.lesson_id = new.id
    ) as f
   where a.lesson_id = new.id and a.user_id = f.user_id and a.cycle >= 1 and a.cycle <> f.cycle;
  return null;
end
$$;
comment on function private.tg_lessons__cycles() is
  'Attempts that a lesson takes along to another course get the number of the learner''s cycle there.';
revoke execute on function private.tg_lessons__cycles() from public;
create trigger _830_cycles after update on public.lessons
  for each row when (old.course_id is distinct from new.course_id)
  execute function private.tg_lessons__cycles();

-- Leaving and coming back --------------------------------------------------------------------------------

create function private.leave_course(p_course_id bigint) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  e public.enrollments;
  v_changed boolean;
begin
  perform private.share_course(p_course_id);
  select * into e from public.enrollments
   where user_id = v_user_id and course_id = p_course_id
     for no key update;
  if e.id is null then
    e := private.my_enrollment(p_course_id);  -- A course unseen is not found.
  end if;
  if e.id is null or e.status = 'withdrawn' then
    perform private.require_active(e);
  end if;
  v_changed := e.status = 'active';
  if v_changed then
    update public.enrollments
       set status = 'left'
     where user_id = v_user_id and course_id = p_course_id
    returning * into e;
  end if;
  return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', v_changed);
end
$$;
comment on function private.leave_course(bigint) is
  'The caller leaves a course: access ends, everything they did stays.';

create function private.return_to_course(e public.enrollments) returns public.enrollments
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_back public.enrollments;
begin
  perform private.share_course(e.course_id);
  update public.enrollments x
     set status = 'active'
   where x.user_id = e.user_id and x.course_id = e.course_id and x.status = 'left'
  returning * into v_back;
  if not found then
    -- Another tab was faster, or somebody has withdrawn the enrolment.
    select * into v_back from public.enrollments x
     where x.user_id = e.user_id and x.course_id = e.course_id;
    return v_back;
  end if;
  return v_back;
end
$$;
comment on function private.return_to_course(public.enrollments) is
  'Who left comes back to the same enrolment, where it was.';

-- Completions that expire ---------------------------------------------------------------------------------

-- Each completion once, whatever a course's validity becomes. Rows that somebody holds are for the next
-- time. Who is told too late to renew (a rule that came after the completion) gets no mail.
create function private.tell_renewals(p_limit integer) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_expires timestamptz;
  e public.enrollments;
  v_told integer := 0;
begin
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  for e in
    select due.*
      from public.courses c
     cross join lateral (
       select x.* from public.enrollments x
        where x.course_id = c.id and x.completed_at is not null and x.renewal_told_at is null
          and x.status = 'active'
          and x.completed_at <= v_now + private.renewal_notice()
            - make_interval(months => c.certificate_valid_months)
        order by x.completed_at
        limit p_limit
          for no key update skip locked
     ) as due
     where c.certificate_valid_months is not null
     limit p_limit
  loop
    v_expires := private.completion_expires_at(e);
    perform private.notify(e.user_id, 'completion_expiring',
      'completion_expiring:' || e.course_id || ':' || e.cycle, e.course_id,
      jsonb_build_object('completed_at', e.completed_at, 'expires_at', v_expires,
        'expires_on', (v_expires at time zone 'UTC')::date),
      v_expires > v_now);
    update public.enrollments x set renewal_told_at = v_now where x.id = e.id;
    v_told := v_told + 1;
  end loop;
  return v_told;
end
$$;
comment on function private.tell_renewals(integer) is
  'Tells learners whose completions expire within the notice, each once; returns how many.';

-- Doors ---------------------------------------------------------------------------------------------------

create function public.retake_course(p_course_id bigint) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.retake_course(p_course_id); end;
comment on function public.retake_course(bigint) is
  'Takes a completed course again. Returns {enrollment, changed}.';

create function public.start_cycle(p_user_id uuid, p_course_id bigint, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.start_cycle(p_user_id, p_course_id, p_reason); end;
comment on function public.start_cycle(uuid, bigint, text) is
  'Staff who grade, and admins: has a learner begin a course anew. Returns {enrollment, changed}.';

create function public.get_my_cycles(p_course_id bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_my_cycles(p_course_id); end;
comment on function public.get_my_cycles(bigint) is
  'The caller''s runs through a course. Returns {course_id, cycle, started_at, completed_at, completion_expires_at, may_retake, block, past}, or null when not enrolled.';

create function public.leave_course(p_course_id bigint) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.leave_course(p_course_id); end;
comment on function public.leave_course(bigint) is
  'Leaves a course; enroll comes back to it. Returns {enrollment, changed}.';

revoke execute on function private.renewal_notice from public;
grant execute on function private.renewal_notice to waymark_writer;
revoke execute on function private.completion_expires_at from public;
grant execute on function private.completion_expires_at to waymark_writer;
revoke execute on function private.lock_for_cycle from public;
grant execute on function private.lock_for_cycle to waymark_writer;
revoke execute on function private.begin_cycle from public;
grant execute on function private.begin_cycle to waymark_writer;
revoke execute on function private.tell_renewals from public;
revoke execute on function private.retake_block from public;
revoke execute on function private.retake_course from public;
revoke execute on function private.start_cycle from public;
revoke execute on function private.get_my_cycles from public;
revoke execute on function private.leave_course from public;
revoke execute on function private.return_to_course from public;

revoke execute on function public.retake_course from public, anon, authenticated, service_role;
grant execute on function public.retake_course, private.retake_course to authenticated;
revoke execute on function public.start_cycle from public, anon, authenticated, service_role;
grant execute on function public.start_cycle, private.start_cycle to authenticated, service_role;
revoke execute on function public.get_my_cycles from public, anon, authenticated, service_role;
grant execute on function public.get_my_cycles, private.get_my_cycles to authenticated;
revoke execute on function public.leave_course from public, anon, authenticated, service_role;
grant execute on function public.leave_course, private.leave_course to authenticated;

grant create on schema private to waymark_writer;
alter function private.retake_block owner to waymark_writer;
alter function private.retake_course owner to waymark_writer;
alter function private.get_my_cycles owner to waymark_writer;
alter function private.leave_course owner to waymark_writer;
alter function private.return_to_course owner to waymark_writer;
revoke create on schema private from waymark_writer;
