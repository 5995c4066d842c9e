-- Grading by people, grading again, and what the sweep does to attempts nobody came back to. These reach
-- other people's rows, so they belong to the migrating role and check the caller first; every change is
-- audited.

select private.require_free(array[
  'private.expire_attempts', 'private.fold_statistics_door', 'private.get_lesson_attempts',
  'private.grade_attempt', 'private.import_attempt', 'private.lock_enrollments',
  'private.open_for_staff', 'private.regrade_attempt', 'private.regrade_lesson',
  'private.require_grader', 'private.staff_attempt_json', 'public.expire_attempts',
  'public.fold_statistics', 'public.get_lesson_attempts', 'public.grade_attempt',
  'public.import_attempt', 'public.regrade_lesson']);

create function private.require_grader(p_course_id bigint, p_thing text default 'course')
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if private.is_admin() then
    return;
  end if;
  perform private.require_user();
  if not exists (
    select from public.course_staff s
     where s.course_id = p_course_id and s.user_id = private.uid()
       and s.role in ('author', 'instructor'))
  then
    perform private.refuse_stranger(
      p_course_id, p_thing, 'Only instructors of this course may do this');
  end if;
end
$$;
comment on function private.require_grader(bigint, text) is
  'Refuses callers who are neither admin nor author or instructor of the course where p_thing is.';
revoke execute on function private.require_grader(bigint, text) from public;

-- Before many learners are touched: the locks of all of them, in the order of all who hold several.
create function private.lock_enrollments(p_attempt_ids uuid[]) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_course_id bigint;
begin
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  perform pg_advisory_xact_lock_shared(private.crossing_key());
  for v_course_id in
    select distinct a.course_id from public.user_assessment_attempts a
     where a.id = any (p_attempt_ids)
     order by a.course_id
  loop
    perform private.share_course(v_course_id);
  end loop;
  perform from public.enrollments e
    where (e.user_id, e.course_id) in (
      select a.user_id, a.course_id from public.user_assessment_attempts a
       where a.id = any (p_attempt_ids))
    order by e.id
      for no key update;
end
$$;
comment on function private.lock_enrollments(uuid[]) is
  'Locks the enrolments that these attempts belong to, in id order.';
revoke execute on function private.lock_enrollments(uuid[]) from public;

-- A learner's lesson for somebody else's hands: same locks, no question whether the learner may.
create function private.open_for_staff(p_user_id uuid, p_lesson_id uuid)
returns private.lesson_access
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access;
  v_course_id bigint;
  v_waived boolean;
begin
  -- As an editor: what staff write of an enrolment is no raw edit, whose lock would come too late here.
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  select l.course_id into v_course_id from public.lessons l where l.id = p_lesson_id;
  perform private.share_course(v_course_id);
  -- A statement of its own before the look, as in open_lesson().
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
            where w.user_id = p_user_id and w.lesson_id = l.id)
    into v.lesson, v.course_status, v.catalog_version, v.progress, v.certificate_percent,
         v.certificate_scored, v_waived
    from public.lessons l
    join public.courses c on c.id = l.course_id
    left join public.user_progress p on p.user_id = p_user_id and p.lesson_id = l.id
   where l.id = p_lesson_id;
  if (v.lesson).id is null or (v.lesson).course_id <> v_course_id then
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  elsif (v.enrollment).id is null then
    perform private.fail('not_enrolled', 403, 'The learner is not enrolled in this course');
  end if;
  v.enrollment := private.settled(v.enrollment);
  if v_waived then
    v.lesson := private.without_count(v.lesson);
  end if;
  return v;
end
$$;
comment on function private.open_for_staff(uuid, uuid) is
  'Locks a learner''s lesson for staff and operators, and returns its rows.';
revoke execute on function private.open_for_staff(uuid, uuid) from public;

-- A new grading of a submitted attempt. Where statistics hold the old points, those wait beside the new
-- ones to be taken out.
create function private.regrade_attempt(
  a public.user_assessment_attempts, g private.grading, p_manual jsonb, p_grader uuid,
  p_at timestamptz
) returns public.user_assessment_attempts
language plpgsql volatile security definer set search_path = ''
as $$
begin
  a := private.with_grade(a, g, p_at);
  update private.attempt_results r
     set points = g.points,
         manual = p_manual,
         graded_by = coalesce(p_grader, r.graded_by),
         counted = case when r.stats = 'counted' then r.points else r.counted end,
         stats = case when a.status = 'graded' then 'pending' else r.stats end
   where r.attempt_id = a.id;
  update public.user_assessment_attempts x
     set status = a.status,
         graded_at = a.graded_at,
         score = a.score,
         percent = a.percent,
         passed = a.passed,
         correct_count = a.correct_count,
         feedback = a.feedback
   where x.id = a.id;
  return a;
end
$$;
comment on function private.regrade_attempt(
  public.user_assessment_attempts, private.grading, jsonb, uuid, timestamptz) is
  'Writes what people or corrected keys say of an attempt.';
revoke execute on function private.regrade_attempt(
  public.user_assessment_attempts, private.grading, jsonb, uuid, timestamptz) from public;

create function private.staff_attempt_json(a public.user_assessment_attempts) returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_build_object(
    'id', (a).id, 'user_id', (a).user_id, 'lesson_id', (a).lesson_id, 'course_id', (a).course_id,
    'number', (a).number, 'cycle', (a).cycle, 'status', (a).status, 'expired', (a).expired,
    'is_imported', (a).is_imported, 'started_at', (a).started_at,
    'submitted_at', (a).submitted_at, 'graded_at', (a).graded_at, 'score', (a).score,
    'max_score', (a).max_score, 'percent', (a).percent, 'passed', (a).passed,
    'total_questions', (a).total_questions, 'correct_count', (a).correct_count,
    'feedback', (a).feedback, 'questions', (a).questions, 'answers', (a).answers,
    'results', private.revealed_keys((a).lesson_id, (a).questions,
      (select r.points from private.attempt_results r where r.attempt_id = (a).id)))
$$;
comment on function private.staff_attempt_json(public.user_assessment_attempts) is
  'An attempt as staff see it, keys included.';
revoke execute on function private.staff_attempt_json(public.user_assessment_attempts) from public;

create function private.get_lesson_attempts(
  p_lesson_id uuid, p_status text, p_cursor uuid, p_limit integer
) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_course_id bigint;
begin
  select course_id into v_course_id from public.lessons where id = p_lesson_id;
  if not found then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.require_grader(v_course_id, 'lesson');
  if p_limit is null or p_limit not between 1 and 200 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 200');
  end if;
  return (
    select jsonb_build_object(
             'attempts', coalesce(jsonb_agg(private.staff_attempt_json(a) order by a.id), '[]'),
             'cursor', case when count(*) = p_limit then (max(a.id::text))::uuid end)
      from (
        select * from public.user_assessment_attempts x
         where x.lesson_id = p_lesson_id and x.course_id = v_course_id and (p_status is null or x.status = p_status)
           and (p_cursor is null or x.id > p_cursor)
         order by x.id
         limit p_limit
      ) as a);
end
$$;
comment on function private.get_lesson_attempts(uuid, text, uuid, integer) is
  'Staff: a lesson''s attempts with answers, by pages.';
revoke execute on function private.get_lesson_attempts(uuid, text, uuid, integer) from public;

create function private.grade_attempt(
  p_attempt_id uuid, p_grades jsonb, p_feedback text, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  a public.user_assessment_attempts;
  v_before public.user_assessment_attempts;
  v private.lesson_access;
  r private.attempt_results;
  v_grading private.grading;
  v_fault text;
  v_now timestamptz := private.clock();
begin
  select * into a from public.user_assessment_attempts where id = p_attempt_id;
  if not found then
    perform private.fail('attempt_not_found', 404, 'Attempt not found');
  end if;
  perform private.require_grader(a.course_id, 'attempt');
  v := private.open_for_staff(a.user_id, a.lesson_id);
  select * into a from public.user_assessment_attempts where id = p_attempt_id;
  v_before := a;
  if a.status = 'in_progress' then
    perform private.fail('attempt_open', 409, 'This attempt has not been submitted yet');
  elsif a.is_imported then
    perform private.fail('conflict', 409, 'This attempt was graded elsewhere');
  end if;
  if jsonb_typeof(p_grades) is distinct from 'array' then
    perform private.fail('invalid_value', 422, 'grades must be a list of {question_id, points}');
  end if;
  select string_agg(f.fault, '; ') into v_fault
    from (
      select case
        when q.body is null then 'entry ' || (g.place + 1) || ' names an unknown question'
        when q.body ->> 'kind' <> 'free_text' then
          (g.body ->> 'question_id') || ' is graded by its key: correct the key and regrade'
        when private.decimal_text(g.body -> 'points') is null
          or private.decimal_text(g.body -> 'points') not between 0 and (q.body ->> 'points')::numeric
        then (g.body ->> 'question_id') || ' takes 0 to ' || (q.body ->> 'points') || ' points'
      end as fault
        from private.elements(p_grades) g
        left join private.elements(a.questions) q
          on q.body ->> 'id' = g.body ->> 'question_id'
    ) as f;
  if v_fault is not null then
    perform private.fail('invalid_value', 422, 'A grade does not fit its question', v_fault);
  end if;

  select * into r from private.attempt_results where attempt_id = a.id;
  r.manual := r.manual || coalesce((
    select jsonb_object_agg(
             g.body ->> 'question_id', round(private.decimal_text(g.body -> 'points'), 4))
      from private.elements(p_grades) g), '{}');
  -- Once graded, what keys decide changes by a regrade alone.
  v_grading := private.grade(a.lesson_id, a.questions, a.answers, r.manual,
    case when a.status = 'graded' then r.points end);
  a.feedback := coalesce(p_feedback, a.feedback);
  a := private.regrade_attempt(a, v_grading, r.manual, private.uid(), v_now);
  v := private.settle_attempt(v, a, v_now, false);
  perform private.tell_graded(v_before, true);
  perform private.audit('attempt.grade', a.course_id, a.user_id, 'attempt:' || a.id, p_reason,
    jsonb_build_object('status', v_before.status, 'score', v_before.score,
      'passed', v_before.passed),
    jsonb_build_object('status', a.status, 'score', a.score, 'passed', a.passed));
  return jsonb_build_object('attempt', private.staff_attempt_json(a)) || private.lesson_answer(v);
end
$$;
comment on function private.grade_attempt(uuid, jsonb, text, text) is
  'Staff: points for the questions a person must grade; the attempt is graded once all have some.';
revoke execute on function private.grade_attempt(uuid, jsonb, text, text) from public;

create function private.regrade_lesson(
  p_lesson_id uuid, p_dry_run boolean, p_allow_fail boolean, p_cursor uuid, p_limit integer,
  p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_course_id bigint;
  v_now timestamptz := private.clock();
  v_id uuid;
  a public.user_assessment_attempts;
  v private.lesson_access;
  r private.attempt_results;
  g private.grading;
  v_after public.user_assessment_attempts;
  v_passed boolean;
  v_ids uuid[];
  v_checked integer;
  v_changed integer := 0;
  v_newly_passed integer := 0;
  v_kept integer := 0;
  v_now_failed integer := 0;
begin
  select course_id into v_course_id from public.lessons where id = p_lesson_id;
  if not found then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.require_grader(v_course_id, 'lesson');
  if p_limit is null or p_limit not between 1 and 5000 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 5000');
  end if;
  select coalesce(array_agg(t.id order by t.id), '{}') into v_ids
    from (
      select x.id from public.user_assessment_attempts x
       where x.lesson_id = p_lesson_id and x.course_id = v_course_id and x.status = 'graded'
         and not x.is_imported
         and (p_cursor is null or x.id > p_cursor)
       order by x.id
       limit p_limit
    ) as t;
  v_checked := cardinality(v_ids);
  if not p_dry_run then
    perform private.lock_enrollments(v_ids);
  end if;
  foreach v_id in array v_ids
  loop
    select * into a from public.user_assessment_attempts where id = v_id;
    select * into r from private.attempt_results where attempt_id = v_id;
    g := private.grade(a.lesson_id, a.questions, a.answers, r.manual);
    continue when g.points = r.points;
    v_passed := private.has_passed(g.score, a.max_score, a.pass_percent);
    if a.passed and not v_passed and not p_allow_fail then
      v_kept := v_kept + 1;
      continue;
    end if;
    -- Without a learner's enrolment there is nothing to settle: the attempt stays as it is.
    continue when not exists (
      select from public.enrollments e
       where e.user_id = a.user_id and e.course_id = a.course_id);
    v_changed := v_changed + 1;
    v_newly_passed := v_newly_passed + (v_passed and not a.passed)::integer;
    v_now_failed := v_now_failed + (a.passed and not v_passed)::integer;
    continue when p_dry_run;
    v := private.open_for_staff(a.user_id, a.lesson_id);
    v_after := private.regrade_attempt(a, g, r.manual, null, v_now);
    perform private.settle_attempt(v, v_after, v_now, false);
    perform private.tell_graded(a, false);
    perform private.audit('attempt.regrade', a.course_id, a.user_id, 'attempt:' || a.id, p_reason,
      jsonb_build_object('score', a.score, 'percent', a.percent, 'passed', a.passed),
      jsonb_build_object('score', v_after.score, 'percent', v_after.percent,
        'passed', v_after.passed));
  end loop;
  return jsonb_build_object('checked', v_checked, 'changed', v_changed,
    'newly_passed', v_newly_passed, 'kept_passed', v_kept, 'now_failed', v_now_failed,
    'dry_run', p_dry_run,
    'cursor', case when v_checked = p_limit then v_ids[v_checked] end);
end
$$;
comment on function private.regrade_lesson(uuid, boolean, boolean, uuid, integer, text) is
  'Staff: grades attempts again after a key was corrected; who passed stays passed unless asked.';
revoke execute on function private.regrade_lesson(uuid, boolean, boolean, uuid, integer, text) from public;

create function private.import_attempt(
  p_user_id uuid, p_lesson_id uuid, p_percent numeric, p_submitted_at timestamptz, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v private.lesson_access;
  a public.user_assessment_attempts;
  v_at timestamptz := least(
    case when isfinite(p_submitted_at) then p_submitted_at else private.clock() end,
    private.clock());
begin
  perform private.require_admin('Only admins may import attempts');
  if p_percent is null or p_percent not between 0 and 100 then
    perform private.fail('invalid_value', 422, 'percent must be between 0 and 100');
  end if;
  if not exists (select from public.lessons where id = p_lesson_id) then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  v := private.open_for_staff(p_user_id, p_lesson_id);
  if (v.progress).user_id is null then
    -- Begun now: the history has no room for the years before it.
    v := private.record_start(v, private.clock(), v_at);
  end if;
  insert into public.user_assessment_attempts as x
    (user_id, lesson_id, course_id, cycle, number, status, is_imported, started_at, submitted_at,
     graded_at, pass_percent, questions, total_questions, max_score, score, percent, passed,
     correct_count)
  select p_user_id, p_lesson_id, (v.lesson).course_id, (v.enrollment).cycle,
         coalesce(max(o.number), 0) + 1, 'graded', true, v_at, v_at, v_at,
         (v.lesson).pass_percent, '[]', 0, 100, p_percent,
         private.score_percent(p_percent, 100, (v.lesson).pass_percent),
         p_percent >= (v.lesson).pass_percent, 0
    from public.user_assessment_attempts o
   where o.user_id = p_user_id and o.lesson_id = p_lesson_id
     and o.cycle = (v.enrollment).cycle
  returning x.* into a;
  update public.user_progress p
     set attempts = p.attempts + 1, best_score = greatest(p.best_score, a.percent)
   where p.user_id = p_user_id and p.lesson_id = p_lesson_id
  returning p into v.progress;
  perform private.record_event('attempt_graded', v, private.clock(), jsonb_build_object(
    'attempt_id', a.id, 'number', a.number, 'percent', a.percent, 'passed', a.passed,
    'imported', true));
  if (v.progress).status <> 'completed' and (v.lesson).completion_rule in ('submit', 'pass')
     and (v.enrollment).status = 'active'
     and private.rule_missing(v.lesson, v.progress) is null
  then
    v := private.record_completion(v, private.clock());
  end if;
  perform private.certify_graded(v);
  perform private.audit('attempt.import', a.course_id, p_user_id, 'attempt:' || a.id, p_reason,
    null, jsonb_build_object('percent', a.percent, 'submitted_at', v_at));
  return jsonb_build_object('attempt', private.staff_attempt_json(a)) || private.lesson_answer(v);
end
$$;
comment on function private.import_attempt(uuid, uuid, numeric, timestamptz, text) is
  'Admins: records an attempt that was graded elsewhere, with its date.';
revoke execute on function private.import_attempt(uuid, uuid, numeric, timestamptz, text) from public;

create function private.expire_attempts(p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  a public.user_assessment_attempts;
  v private.lesson_access;
  v_ids uuid[];
  v_id uuid;
  v_done integer := 0;
begin
  perform private.require_admin();
  -- Without an enrolment (it was deleted) there is nobody to grade for.
  select array_agg(t.id) into v_ids
    from (
      select x.id from public.user_assessment_attempts x
       where x.status = 'in_progress' and x.expires_at < v_now - private.grace()
         and exists (
           select from public.enrollments e
            where e.user_id = x.user_id and e.course_id = x.course_id)
       order by x.expires_at
       limit least(greatest(coalesce(p_limit, 100), 1), 1000)
    ) as t;
  perform private.lock_enrollments(v_ids);
  foreach v_id in array coalesce(v_ids, '{}')
  loop
    select * into a from public.user_assessment_attempts where id = v_id;
    continue when a.id is null or a.status <> 'in_progress';
    v := private.open_for_staff(a.user_id, a.lesson_id);
    perform private.finish_attempt(v, a, v_now, true, null);
    v_done := v_done + 1;
  end loop;
  return jsonb_build_object('expired', v_done);
end
$$;
comment on function private.expire_attempts(integer) is
  'Operators: grades attempts whose time is up and whose learner did not come back.';
revoke execute on function private.expire_attempts(integer) from public;

-- Doors ---------------------------------------------------------------------------------------------

create function public.get_lesson_attempts(
  p_lesson_id uuid, p_status text default null, p_cursor uuid default null,
  p_limit integer default 50
) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_lesson_attempts(p_lesson_id, p_status, p_cursor, p_limit); end;
comment on function public.get_lesson_attempts(uuid, text, uuid, integer) is
  'Authors, instructors, admins: a lesson''s attempts with answers and keys, {attempts, cursor}.';

create function public.grade_attempt(
  p_attempt_id uuid, p_grades jsonb, p_feedback text default null, p_reason text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.grade_attempt(p_attempt_id, p_grades, p_feedback, p_reason); end;
comment on function public.grade_attempt(uuid, jsonb, text, text) is
  'Authors, instructors, admins: points for free-text questions, [{question_id, points}].';

create function public.regrade_lesson(
  p_lesson_id uuid, p_dry_run boolean default true, p_allow_fail boolean default false,
  p_cursor uuid default null, p_limit integer default 500, p_reason text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.regrade_lesson(
    p_lesson_id, coalesce(p_dry_run, true), coalesce(p_allow_fail, false), p_cursor, p_limit,
    p_reason);
end;
comment on function public.regrade_lesson(uuid, boolean, boolean, uuid, integer, text) is
  'Authors, instructors, admins: grades again after a key was corrected; a dry run unless told.';

create function public.import_attempt(
  p_user_id uuid, p_lesson_id uuid, p_percent numeric, p_submitted_at timestamptz default null,
  p_reason text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.import_attempt(p_user_id, p_lesson_id, p_percent, p_submitted_at, p_reason);
end;
comment on function public.import_attempt(uuid, uuid, numeric, timestamptz, text) is
  'Admins: records an attempt that was graded elsewhere.';

create function private.fold_statistics_door(p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform private.require_admin();
  return jsonb_build_object('folded', private.fold_statistics(p_limit));
end
$$;
comment on function private.fold_statistics_door(integer) is 'As fold_statistics(), for admins.';
revoke execute on function private.fold_statistics_door(integer) from public;

create function public.fold_statistics(p_limit integer default 1000) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.fold_statistics_door(p_limit); end;
comment on function public.fold_statistics(integer) is
  'Operators: adds newly graded attempts to the statistics of questions. Returns {folded}.';

create function public.expire_attempts(p_limit integer default 100) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.expire_attempts(p_limit); end;
comment on function public.expire_attempts(integer) is
  'Operators: grades attempts whose time is up. Returns {expired}.';

revoke execute on function public.get_lesson_attempts from public, anon, authenticated, service_role;
grant execute on function public.get_lesson_attempts, private.get_lesson_attempts to authenticated, service_role;
revoke execute on function public.grade_attempt from public, anon, authenticated, service_role;
grant execute on function public.grade_attempt, private.grade_attempt to authenticated, service_role;
revoke execute on function public.regrade_lesson from public, anon, authenticated, service_role;
grant execute on function public.regrade_lesson, private.regrade_lesson to authenticated, service_role;
revoke execute on function public.import_attempt from public, anon, authenticated, service_role;
grant execute on function public.import_attempt, private.import_attempt to authenticated, service_role;
revoke execute on function public.expire_attempts from public, anon, authenticated, service_role;
grant execute on function public.expire_attempts, private.expire_attempts to service_role;
revoke execute on function public.fold_statistics(integer) from public, anon, authenticated, service_role;
grant execute on function public.fold_statistics(integer), private.fold_statistics_door(integer)
  to service_role;
