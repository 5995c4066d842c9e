-- Exceptions for one learner: a lesson is waived, completed or reopened by staff. Each command asks for
-- a reason, is audited, does nothing the second time, and ends in the same counters, events and
-- certificates as the learner's own. They reach other people's rows, so they belong to the migrating
-- role and check the caller first.
--
-- A waived lesson is not countable for its learner. The learner's totals are kept apart from those of
-- the course (in enrollments and module_progress), so nothing counts waivers when a lesson is completed.

select private.require_free(array[
  'private.complete_lesson_for', 'private.count_lesson', 'private.excuse_lesson',
  'private.exception_answer', 'private.open_exception', 'private.reopen_lesson_for',
  'private.require_exception', 'private.unexcuse_lesson', 'public.complete_lesson_for',
  'public.excuse_lesson', 'public.reopen_lesson_for', 'public.unexcuse_lesson']);

create function private.require_exception(
  p_course_id bigint, p_thing text, p_user_id uuid, p_reason text
) returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_grader(p_course_id, p_thing);
  if p_user_id = private.uid() and not private.is_admin() then
    perform private.fail('not_allowed', 403, 'Staff make no exceptions for themselves');
  end if;
  perform private.check_reason(p_reason);
end
$$;
comment on function private.require_exception(bigint, text, uuid, text) is
  'Refuses who is neither admin nor author or instructor of the course, acts for themselves, or gives no reason.';
revoke execute on function private.require_exception(bigint, text, uuid, text) from public;

-- p_override: completing and reopening, which a course may leave to admins.
create function private.open_exception(
  p_user_id uuid, p_lesson_id uuid, p_reason text, p_override boolean
) returns private.lesson_access
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access;
  v_course_id bigint;
begin
  select l.course_id into v_course_id from public.lessons l where l.id = p_lesson_id;
  if not found then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.require_exception(v_course_id, 'lesson', p_user_id, p_reason);
  if p_override and not private.is_admin()
     and not (select c.staff_may_override from public.courses c where c.id = v_course_id)
  then
    perform private.fail('not_allowed', 403, 'This course leaves that to admins');
  end if;
  v := private.open_for_staff(p_user_id, p_lesson_id);
  if (v.lesson).course_id <> v_course_id then
    -- It moved to another course before the lock: whether the caller may is to be asked there.
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  end if;
  return v;
end
$$;
comment on function private.open_exception(uuid, uuid, text, boolean) is
  'Authorises a staff command about a learner''s lesson, locks it, and returns its rows.';
revoke execute on function private.open_exception(uuid, uuid, text, boolean) from public;

-- The lesson counts for its learner again (1), or no longer (-1). l is the lesson as it counts for others.
create function private.count_lesson(v private.lesson_access, l public.lessons, p_sign integer)
returns private.lesson_access
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_user_id uuid := (v.enrollment).user_id;
  v_done integer := ((v.progress).is_completed is true)::integer * p_sign;
  v_gate integer := l.is_gate::integer;
  v_was public.enrollments := v.enrollment;
  v_module_finished boolean;
  v_finished boolean;
begin
  insert into public.module_progress
    (user_id, module_id, course_id, completion_rule, total_lessons, total_quizzes)
  select v_user_id, m.id, m.course_id, m.completion_rule, m.total_lessons, m.total_quizzes
    from public.modules m
   where m.id = l.module_id
      on conflict (user_id, module_id) do nothing;
  if not l.is_countable then
    return v;
  end if;
  update public.module_progress mp
     set total_lessons = mp.total_lessons + p_sign,
         completed_lessons = mp.completed_lessons + v_done,
         total_quizzes = mp.total_quizzes + p_sign * v_gate,
         completed_quizzes = mp.completed_quizzes + v_done * v_gate,
         completed_at = coalesce(mp.completed_at, case
           when private.module_done(mp.completion_rule, mp.completed_lessons + v_done,
             mp.total_lessons + p_sign, mp.completed_quizzes + v_done * v_gate,
             mp.total_quizzes + p_sign * v_gate) then v_now end)
    from public.module_progress was
   where was.user_id = v_user_id and was.module_id = l.module_id
     and mp.user_id = was.user_id and mp.module_id = was.module_id
  returning mp.status = 'completed' and was.status <> 'completed' into v_module_finished;

  v_finished := v_was.completed_at is null
    and v_was.total_weight + p_sign * l.weight > 0
    and v_was.completed_weight + v_done * l.weight = v_was.total_weight + p_sign * l.weight;
  -- The next lesson may lie behind the frontier now, or be the frontier: forget it.
  update public.enrollments e
     set total_lessons = e.total_lessons + p_sign,
         completed_lessons = e.completed_lessons + v_done,
         total_weight = e.total_weight + p_sign * l.weight,
         completed_weight = e.completed_weight + v_done * l.weight,
         score_sum = e.score_sum + p_sign * coalesce(((v.progress).best_score * 100)::integer, 0),
         scored_lessons = e.scored_lessons + p_sign * ((v.progress).best_score is not null)::integer,
         progress_percent = private.percent(
           e.completed_weight + v_done * l.weight, e.total_weight + p_sign * l.weight),
         completed_at = case when v_finished then v_now else e.completed_at end,
         completion_snapshot = case
           when v_finished then jsonb_build_object(
             'lessons', e.total_lessons + p_sign, 'weight', e.total_weight + p_sign * l.weight,
             'catalog_version', v.catalog_version)
           else e.completion_snapshot end,
         frontier_lesson_id = null,
         frontier_version = null
   where e.id = v_was.id
  returning e into v.enrollment;
  if v_module_finished then
    perform private.record_event('module_completed', v, v_now, '{"by": "staff"}');
  end if;
  if v_finished then
    perform private.finish_courses(array[v_was.id], v_now, 'staff');
  elsif v_was.completed_at is null and v_was.progress_percent < v.certificate_percent
    and (v.enrollment).progress_percent >= v.certificate_percent
  then
    perform private.certify(array[v_was.id]);
  else
    perform private.certify_graded(v);
  end if;
  return v;
end
$$;
comment on function private.count_lesson(private.lesson_access, public.lessons, integer) is
  'Puts a lesson into a learner''s totals or takes it out, with everything that follows.';
revoke execute on function private.count_lesson(private.lesson_access, public.lessons, integer)
  from public;

create function private.exception_answer(v private.lesson_access, p_is_waived boolean) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.lesson_answer(v) || jsonb_build_object(
    'is_waived', p_is_waived, 'certificate', private.held_certificate(v), 'changed', v.changed);
end
$$;
comment on function private.exception_answer(private.lesson_access, boolean) is
  '{progress, enrollment, is_waived, certificate, changed} of a staff command.';
revoke execute on function private.exception_answer(private.lesson_access, boolean) from public;

create function private.excuse_lesson(p_user_id uuid, p_lesson_id uuid, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access := private.open_exception(p_user_id, p_lesson_id, p_reason, false);
  v_percent numeric := (v.enrollment).progress_percent;
begin
  insert into public.lesson_waivers (user_id, lesson_id, reason)
  values (p_user_id, p_lesson_id, p_reason)
      on conflict (user_id, lesson_id) do nothing;
  v.changed := found;
  if v.changed then
    perform private.record_event('lesson_waived', v, private.clock());
    v := private.count_lesson(v, v.lesson, -1);
    perform private.audit('lesson.excuse', (v.lesson).course_id, p_user_id, 'lesson:' || p_lesson_id,
      p_reason, jsonb_build_object('is_waived', false, 'progress_percent', v_percent),
      jsonb_build_object('is_waived', true,
        'progress_percent', (v.enrollment).progress_percent));
  end if;
  return private.exception_answer(v, true);
end
$$;
comment on function private.excuse_lesson(uuid, uuid, text) is
  'Waives a lesson for one learner: it does not count for them any more.';

create function private.unexcuse_lesson(p_user_id uuid, p_lesson_id uuid, p_reason text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access := private.open_exception(p_user_id, p_lesson_id, p_reason, false);
  v_percent numeric := (v.enrollment).progress_percent;
  l public.lessons;
begin
  delete from public.lesson_waivers w where w.user_id = p_user_id and w.lesson_id = p_lesson_id;
  v.changed := found;
  if v.changed then
    select * into l from public.lessons where id = p_lesson_id;
    perform private.record_event('lesson_unwaived', v, private.clock());
    v := private.count_lesson(v, l, 1);
    perform private.audit('lesson.unexcuse', l.course_id, p_user_id, 'lesson:' || p_lesson_id,
      p_reason, jsonb_build_object('is_waived', true, 'progress_percent', v_percent),
      jsonb_build_object('is_waived', false,
        'progress_percent', (v.enrollment).progress_percent));
  end if;
  return private.exception_answer(v, false);
end
$$;
comment on function private.unexcuse_lesson(uuid, uuid, text) is
  'Takes a waiver back: percent may fall, a completion and its certificate stay.';

create function private.complete_lesson_for(p_user_id uuid, p_lesson_id uuid, p_reason text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access := private.open_exception(p_user_id, p_lesson_id, p_reason, true);
  v_was private.lesson_access := v;
begin
  if (v.enrollment).status <> 'active' then
    perform private.fail('enrollment_inactive', 403, 'This learner''s enrolment has ended');
  elsif (v.lesson).is_preview then
    perform private.fail('preview_lesson', 422, 'Preview lessons take no progress');
  elsif (v.lesson).archived_at is not null and (v.progress).user_id is null then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  v := private.record_completion(v, private.clock());
  if v.changed then
    -- Where the learner stands is where the learner was.
    update public.enrollments e
       set last_accessed_at = (v_was.enrollment).last_accessed_at,
           current_module_id = (v_was.enrollment).current_module_id,
           current_lesson_id = (v_was.enrollment).current_lesson_id,
           current_section = (v_was.enrollment).current_section
     where e.id = (v.enrollment).id
    returning e into v.enrollment;
    perform private.audit('lesson.complete', (v.lesson).course_id, p_user_id,
      'lesson:' || p_lesson_id, p_reason,
      jsonb_build_object('status', coalesce((v_was.progress).status, 'not_started'),
        'progress_percent', (v_was.enrollment).progress_percent),
      jsonb_build_object('status', 'completed', 'completed_at', (v.progress).completed_at,
        'progress_percent', (v.enrollment).progress_percent));
  end if;
  return private.exception_answer(v, exists (
    select from public.lesson_waivers w
     where w.user_id = p_user_id and w.lesson_id = p_lesson_id));
end
$$;
comment on function private.complete_lesson_for(uuid, uuid, text) is
  'Completes a lesson for a learner, whatever its rule and locks say.';

create function private.reopen_lesson_for(p_user_id uuid, p_lesson_id uuid, p_reason text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access := private.record_uncompletion(
    private.open_exception(p_user_id, p_lesson_id, p_reason, true), p_reason);
begin
  return private.exception_answer(v, exists (
    select from public.lesson_waivers w
     where w.user_id = p_user_id and w.lesson_id = p_lesson_id));
end
$$;
comment on function private.reopen_lesson_for(uuid, uuid, text) is
  'Takes a learner''s completion of a lesson back; the course''s first completion stays.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.excuse_lesson(p_user_id uuid, p_lesson_id uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.excuse_lesson(p_user_id, p_lesson_id, p_reason); end;
comment on function public.excuse_lesson(uuid, uuid, text) is
  'Instructors and admins: waives a lesson for one learner. Returns {progress, enrollment, is_waived, certificate, changed}.';

create function public.unexcuse_lesson(p_user_id uuid, p_lesson_id uuid, p_reason text)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.unexcuse_lesson(p_user_id, p_lesson_id, p_reason); end;
comment on function public.unexcuse_lesson(uuid, uuid, text) is
  'Instructors and admins: takes a waiver back. Returns as excuse_lesson.';

create function public.complete_lesson_for(p_user_id uuid, p_lesson_id uuid, p_reason text)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.complete_lesson_for(p_user_id, p_lesson_id, p_reason); end;
comment on function public.complete_lesson_for(uuid, uuid, text) is
  'Admins, and staff where courses.staff_may_override: completes a lesson for a learner. Returns as excuse_lesson.';

create function public.reopen_lesson_for(p_user_id uuid, p_lesson_id uuid, p_reason text)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.reopen_lesson_for(p_user_id, p_lesson_id, p_reason); end;
comment on function public.reopen_lesson_for(uuid, uuid, text) is
  'Admins, and staff where courses.staff_may_override: takes a learner''s completion back. Returns as excuse_lesson.';

revoke execute on function private.excuse_lesson from public;
revoke execute on function private.unexcuse_lesson from public;
revoke execute on function private.complete_lesson_for from public;
revoke execute on function private.reopen_lesson_for from public;
revoke execute on function public.excuse_lesson from public, anon, authenticated, service_role;
grant execute on function public.excuse_lesson, private.excuse_lesson to authenticated, service_role;
revoke execute on function public.unexcuse_lesson from public, anon, authenticated, service_role;
grant execute on function public.unexcuse_lesson, private.unexcuse_lesson to authenticated, service_role;
revoke execute on function public.complete_lesson_for from public, anon, authenticated, service_role;
grant execute on function public.complete_lesson_for, private.complete_lesson_for
  to authenticated, service_role;
revoke execute on function public.reopen_lesson_for from public, anon, authenticated, service_role;
grant execute on function public.reopen_lesson_for, private.reopen_lesson_for
  to authenticated, service_role;
