-- The learner table: who takes a course and how far they are, page by page, for its staff.
--
-- The people are private.report_learners, as in the course report. Sorted by name, a page is read off an
-- index. The other keys change with every completion or heartbeat, and an index on them would cost each of
-- those more than the list is worth: the course's enrolments are read and the first of them kept, which
-- grows with the course and not with the table. Nothing else of a learner is read but for the page itself.

select private.require_free(array[
  'private.get_course_learner', 'private.get_course_learners', 'private.learner_cursor',
  'private.learner_sql', 'private.needs_help_sql', 'public.get_course_learner', 'public.get_course_learners']);

-- A place in the list: the sort, the last row's key, and its enrolment.
create function private.learner_cursor(p_cursor text, p_sort text, out key text, out id uuid)
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  v_parts text[] := regexp_match(
    p_cursor, '^([a-z]+)\.([0-9a-f.-]*)\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$');
begin
  if p_cursor is null then
    return;
  end if;
  if v_parts[1] is distinct from p_sort or v_parts[2] !~ (case p_sort
       when 'name' then '^([0-9a-f]{2})*$'
       when 'percent' then '^[0-9]{1,3}(\.[0-9]{1,2})?$'
       else '^-?[0-9]{1,17}$' end)
  then
    perform private.fail('invalid_value', 422, 'cursor must be one that this list has given');
  end if;
  key := case p_sort
    when 'name' then convert_from(decode(v_parts[2], 'hex'), 'UTF8')
    when 'activity' then (timestamptz 'epoch' + v_parts[2]::bigint * interval '1 microsecond')::text
    else v_parts[2] end;
  id := v_parts[3]::uuid;
exception when data_exception then
  perform private.fail('invalid_value', 422, 'cursor must be one that this list has given');
end
$$;
comment on function private.learner_cursor(text, text) is
  'What a cursor of the learner table says: {key, id}; refuses one that is not of this sort.';
revoke execute on function private.learner_cursor(text, text) from public;

-- Two expressions that the statements below are put together from: called as functions, they would be
-- called for each of 100,000 learners. r is the enrolment, g its cohort, $1 the course and $2 now.

-- Who needs help, said in one place. Of those who are not done and may still go on:
--   silent  nothing for 14 days, counted from the start of the cycle for who has not come since;
--   behind  there is a deadline, the enrolment's or the cohort's, a week has passed, and at the pace until
--           now (percent by time) the course will not be done by then.
create function private.needs_help_sql() returns text
language sql immutable parallel safe security invoker set search_path = ''
return $sql$
  case
    when r.completed_at is not null or r.expires_at <= $2 then null
    when greatest(r.last_accessed_at, r.began_at) < $2 - interval '14 days' then 'silent'
    when greatest(r.began_at, g.starts_at) < $2 - interval '7 days'
     and r.progress_percent
         * extract(epoch from least(r.expires_at, g.ends_at) - greatest(r.began_at, g.starts_at))
       < 100 * extract(epoch from $2 - greatest(r.began_at, g.starts_at)) then 'behind'
  end
$sql$;
comment on function private.needs_help_sql() is
  'The rule of the learner table''s needs_help, as an expression: silent, behind or null.';
revoke execute on function private.needs_help_sql() from public;

create function private.learner_sql() returns text
language sql immutable parallel safe security invoker set search_path = ''
return $sql$
  jsonb_build_object(
    'user_id', r.user_id,
    'name', (select p.display_name from public.profiles p where p.id = r.user_id),
    'enrollment_id', r.id,
    'cohort_id', r.cohort_id,
    'cohort', g.name,
    'status', case when r.completed_at is not null then 'completed'
      when r.has_started then 'in_progress' else 'not_started' end,
    'percent', r.progress_percent,
    'completed_lessons', r.completed_lessons,
    'total_lessons', r.total_lessons,
    'settling', r.settled_version < (select c.settle_version from public.courses c where c.id = $1),
    'score', round(r.score_sum / (nullif(r.scored_lessons, 0) * 100.0), 2),
    'view_time_seconds', r.view_time_seconds,
    'cycle', r.cycle,
    'enrolled_at', r.enrolled_at,
    'expires_at', r.expires_at,
    'last_accessed_at', r.last_accessed_at,
    'completed_at', r.completed_at,
    'current_lesson_id', r.current_lesson_id,
    'needs_help', $sql$ || private.needs_help_sql() || ')';
comment on function private.learner_sql() is
  'A learner as staff of the course see one, as an expression.';
revoke execute on function private.learner_sql() from public;

-- The statement is put together for each call, so that the planner sees the sort and the filters that are
-- asked for, and their values. Every piece of it stands here; what comes from outside is a parameter.
create function private.get_course_learners(
  p_course_id bigint, p_sort text, p_direction text, p_cursor text, p_limit integer,
  p_cohort_id uuid, p_status text, p_min_percent numeric, p_max_percent numeric,
  p_inactive_days integer, p_needs_help boolean, p_enrolled_from timestamptz,
  p_enrolled_to timestamptz
) returns jsonb
-- Compiling a statement takes longer than a large course takes to read.
language plpgsql stable security definer set search_path = '' set jit = off
as $$
declare
  v_sort text := coalesce(p_sort, 'name');
  v_direction text := coalesce(p_direction, case v_sort when 'name' then 'asc' else 'desc' end);
  v_limit integer := coalesce(p_limit, 50);
  v_after record;
  v_key text;
  v_type text;
  v_place text;
  v_where text;
  v_answer jsonb;
begin
  perform private.check_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to);
  if v_limit not between 1 and 1000 then
    perform private.fail('invalid_value', 422, 'limit must be from 1 to 1000');
  elsif v_direction not in ('asc', 'desc') then
    perform private.fail('invalid_value', 422, 'direction must be asc or desc');
  elsif p_status not in ('not_started', 'in_progress', 'completed') then
    perform private.fail('invalid_value', 422,
      'status must be not_started, in_progress or completed');
  elsif p_inactive_days not between 1 and 3650 then
    perform private.fail('invalid_value', 422, 'inactive_days must be from 1 to 3650');
  elsif v_sort not in ('name', 'percent', 'activity', 'score', 'time') then
    perform private.fail('invalid_value', 422,
      'sort must be name, percent, activity, score or time');
  end if;
  v_after := private.learner_cursor(p_cursor, v_sort);

  v_where := concat_ws(' and ', 'r.course_id = $1',
    case when p_cohort_id is not null then 'r.cohort_id = $6' end,
    case p_status when 'completed' then 'r.completed_at is not null'
      when 'in_progress' then 'r.completed_at is null and r.has_started'
      when 'not_started' then 'r.completed_at is null and not r.has_started' end,
    case when p_min_percent is not null then 'r.progress_percent >= $7' end,
    case when p_max_percent is not null then 'r.progress_percent <= $8' end,
    case when p_inactive_days is not null
      then 'greatest(r.last_accessed_at, r.began_at) < $2 - make_interval(days => $9)' end,
    case p_needs_help when true then '(' || private.needs_help_sql() || ') is not null'
      when false then '(' || private.needs_help_sql() || ') is null' end,
    case when p_enrolled_from is not null then 'r.enrolled_at >= $10' end,
    case when p_enrolled_to is not null then 'r.enrolled_at < $11' end);

  -- Whoever has no score, or has never come, counts as the lowest. What is filtered is not walked through
  -- in order of names: few may fit, and the walk would not end soon.
  case v_sort
    when 'name' then
      v_key := case when v_where = 'r.course_id = $1' then 'r.sort_name'
        else '(r.sort_name || '''')' end;
      v_type := 'text';
      v_place := 'encode(convert_to(p.key, ''UTF8''), ''hex'')';
    when 'percent' then
      v_key := 'r.progress_percent';
      v_type := 'numeric';
    when 'activity' then
      v_key := 'coalesce(r.last_accessed_at, ''epoch'')';
      v_type := 'timestamptz';
      v_place := '(extract(epoch from p.key) * 1000000)::bigint';
    when 'score' then
      -- In hundredths, half up.
      v_key := 'coalesce((2 * r.score_sum + r.scored_lessons) / nullif(2 * r.scored_lessons, 0), -1)';
      v_type := 'bigint';
    when 'time' then
      v_key := 'r.view_time_seconds';
      v_type := 'bigint';
  end case;
  if p_cursor is not null then
    v_where := v_where || format(' and (%s, r.id) %s ($4::%s, $5)', v_key,
      case v_direction when 'asc' then '>' else '<' end, v_type);
  end if;

  execute format(
    $sql$
      with page as materialized (
        select r.id, %1$s as key
          from private.report_learners r
          %2$s
         where %3$s
         order by %1$s %4$s, r.id %4$s
         limit $3 + 1
      ),
      p as (
        select page.*, row_number() over (order by page.key %4$s, page.id %4$s) as n from page
      )
      select jsonb_build_object(
               'learners', coalesce((
                 select jsonb_agg(%5$s order by p.n)
                   from p
                   join private.report_learners r on r.id = p.id
                   left join public.cohorts g on g.id = r.cohort_id
                  where p.n <= $3), '[]'),
               'cursor', (
                 select '%6$s.' || %7$s || '.' || p.id
                   from p
                  where p.n = $3 and exists (select from p as x where x.n > $3)))
    $sql$,
    v_key,
    case when p_needs_help is not null
      then 'left join public.cohorts g on g.id = r.cohort_id' end,
    v_where, v_direction, private.learner_sql(), v_sort, coalesce(v_place, 'p.key'))
    into v_answer
   using p_course_id, private.clock(), v_limit, v_after.key, v_after.id, p_cohort_id, p_min_percent,
         p_max_percent, p_inactive_days, p_enrolled_from, p_enrolled_to;
  return v_answer;
end
$$;
comment on function private.get_course_learners(
  bigint, text, text, text, integer, uuid, text, numeric, numeric, integer, boolean, timestamptz,
  timestamptz) is
  'Staff: the learners of a course, sorted and filtered, by pages: {learners, cursor}.';
revoke execute on function private.get_course_learners(
  bigint, text, text, text, integer, uuid, text, numeric, numeric, integer, boolean, timestamptz,
  timestamptz) from public;

-- Lessons are all that the course has; attempts the last two hundred, of whichever cycle.
create function private.get_course_learner(p_course_id bigint, p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_learner jsonb;
begin
  perform private.require_reporter(p_course_id);
  execute format(
    $sql$
      select %s
        from private.report_learners r
        left join public.cohorts g on g.id = r.cohort_id
       where r.course_id = $1 and r.user_id = $3
    $sql$, private.learner_sql())
    into v_learner
   using p_course_id, private.clock(), p_user_id;
  if v_learner is null then
    perform private.fail('enrollment_not_found', 404, 'Enrolment not found');
  end if;
  return jsonb_build_object(
    'learner', v_learner,
    'lessons', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'lesson_id', l.id,
               'module_id', l.module_id,
               'title', l.title,
               'type', l.type,
               'is_countable', l.is_countable and w.user_id is null,
               'is_waived', w.user_id is not null,
               'status', coalesce(p.status, 'not_started'),
               'progress', coalesce(p.progress, 0),
               'started_at', p.started_at,
               'last_accessed', p.last_accessed,
               'completed_at', p.completed_at,
               'view_time_seconds', coalesce(p.view_time_seconds, 0),
               'attempts', coalesce(p.attempts, 0),
               'best_score', p.best_score) order by l.place), '[]')
        from private.report_lessons l
        left join public.user_progress p on p.user_id = p_user_id and p.lesson_id = l.id
        left join public.lesson_waivers w on w.user_id = p_user_id and w.lesson_id = l.id
       where l.course_id = p_course_id),
    'attempts', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'attempt_id', a.id,
               'lesson_id', a.lesson_id,
               'cycle', a.cycle,
               'number', a.number,
               'status', a.status,
               'started_at', a.started_at,
               'submitted_at', a.submitted_at,
               'percent', a.percent,
               'passed', a.passed,
               'correct_count', a.correct_count,
               'total_questions', a.total_questions) order by a.started_at desc, a.id), '[]')
        from (
          select x.*
            from public.user_assessment_attempts x
           where x.user_id = p_user_id and x.course_id = p_course_id
           order by x.started_at desc, x.id
           limit 200
        ) as a));
end
$$;
comment on function private.get_course_learner(bigint, uuid) is
  'Staff: one learner of a course, with lessons and attempts.';
revoke execute on function private.get_course_learner(bigint, uuid) from public;

create function public.get_course_learners(
  p_course_id bigint, p_sort text default null, p_direction text default null,
  p_cursor text default null, p_limit integer default null, p_cohort_id uuid default null,
  p_status text default null, p_min_percent numeric default null,
  p_max_percent numeric default null, p_inactive_days integer default null,
  p_needs_help boolean default null, p_enrolled_from timestamptz default null,
  p_enrolled_to timestamptz default null
) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_course_learners(
    p_course_id, p_sort, p_direction, p_cursor, p_limit, p_cohort_id, p_status, p_min_percent,
    p_max_percent, p_inactive_days, p_needs_help, p_enrolled_from, p_enrolled_to);
end;
comment on function public.get_course_learners(
  bigint, text, text, text, integer, uuid, text, numeric, numeric, integer, boolean, timestamptz,
  timestamptz) is
  'Staff: the learners of a course, sorted and filtered, by pages: {learners, cursor}.';

create function public.get_course_learner(p_course_id bigint, p_user_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_course_learner(p_course_id, p_user_id); end;
comment on function public.get_course_learner(bigint, uuid) is
  'Staff: one learner of a course: {learner, lessons, attempts}.';

revoke execute on function public.get_course_learners
  from public, anon, authenticated, service_role;
grant execute on function public.get_course_learners, private.get_course_learners
  to authenticated, service_role;
revoke execute on function public.get_course_learner
  from public, anon, authenticated, service_role;
grant execute on function public.get_course_learner, private.get_course_learner
  to authenticated, service_role;
