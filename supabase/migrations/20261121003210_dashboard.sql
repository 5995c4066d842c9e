-- The dashboard: everything a learner's first page shows, in one call.
--
-- It counts the learner's own rows and the totals that courses and modules keep; no lesson of a course is
-- walked through, so a course of 10,000 lessons costs what one of 10 does. It runs as waymark_writer like
-- the other reads: the owner policies hold.

select private.require_free(array[
  'private.dashboard_course', 'private.get_my_dashboard', 'private.my_pace', 'private.velocity', 'public.get_my_dashboard']);

-- How many lessons of each course were completed lately. The history says which to look at; what counts is
-- the row as it is now, so a completion taken back, or a lesson archived since, is not in it. "offset 0" is
-- deliberate: the rows are probed by key, whatever the statistics say.
create function private.my_pace(p_user_id uuid, p_today date)
returns table (course_id bigint, first_day date, recent integer, before integer)
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return query
    select l.course_id, min(p.completed_on),
           (count(*) filter (where p.completed_on > p_today - 28))::integer,
           (count(*) filter (where p.completed_on <= p_today - 28))::integer
      from (
        select distinct ev.lesson_id
          from public.progress_events ev
         where ev.user_id = p_user_id and ev.kind = 'lesson_completed'
           -- Two days more than are counted: zones lie up to 26 hours apart.
           and ev.occurred_at >= (p_today - 58)::timestamp at time zone 'UTC'
           and ev.occurred_at < (p_today + 3)::timestamp at time zone 'UTC'
      ) as done
     cross join lateral (
       select o.completed_on
         from public.user_progress o
        where o.user_id = p_user_id and o.lesson_id = done.lesson_id
          and o.completed_on > p_today - 56
       offset 0
     ) as p
      join public.lessons l on l.id = done.lesson_id and l.is_countable
     where not exists (
       select from public.lesson_waivers w
        where w.user_id = p_user_id and w.lesson_id = done.lesson_id)
     group by l.course_id;
end
$$;
comment on function private.my_pace(uuid, date) is
  'Countable lessons completed in the last 28 days and in the 28 before, by course.';

-- A newcomer is measured neither by weeks before the first day nor by less than one week.
create function private.velocity(
  p_recent bigint, p_before bigint, p_open bigint, p_first_day date, p_today date
) returns jsonb
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
declare
  v_days integer := least(28, greatest(7, p_today - p_first_day + 1));
  v_days_before integer := least(28, p_today - 28 - p_first_day + 1);
  v_finish_in numeric := ceil(p_open * v_days::numeric / nullif(p_recent, 0));
begin
  return jsonb_build_object(
    'lessons_per_week', round(p_recent * 7.0 / v_days, 2),
    'trend', case when v_days_before >= 7
      then round(p_recent * 7.0 / v_days - p_before * 7.0 / v_days_before, 2) end,
    'expected_finish', case when p_open > 0 and v_finish_in <= 3650
      then p_today + v_finish_in::integer end);
end
$$;
comment on function private.velocity(bigint, bigint, bigint, date, date) is
  'Lessons a week over the last 28 days, how much more than in the 28 before, and when the rest is done at that rate.';

create function private.dashboard_course(e public.enrollments, p_velocity jsonb) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  c public.courses;
begin
  select * into c from public.courses where id = (e).course_id;
  return jsonb_build_object(
    'course_id', c.id,
    'slug', c.slug,
    'title', c.title,
    'image_url', c.image_url,
    'enrollment_id', (e).id,
    'percent', (e).progress_percent,
    'settling', (e).settled_version < c.settle_version,
    'total', (e).total_lessons,
    'completed', (e).completed_lessons,
    'completed_at', (e).completed_at,
    'new_lessons', private.new_lessons(e),
    'last_accessed_at', (e).last_accessed_at,
    'expires_at', (e).expires_at,
    'view_time_seconds', (e).view_time_seconds,
    'velocity', p_velocity,
    'resume', (
      select jsonb_build_object(
               'lesson_id', l.id, 'title', l.title, 'type', l.type,
               'module_id', m.id, 'module_title', m.title,
               'position_seconds', coalesce((
                 select p.position_seconds from public.user_progress p
                  where p.user_id = (e).user_id and p.lesson_id = l.id), 0),
               'review', n.review,
               'locked', n.locked)
        from private.find_next(e, c) n
        join public.lessons l on l.id = n.lesson_id
        join public.modules m on m.id = l.module_id));
end
$$;
comment on function private.dashboard_course(public.enrollments, jsonb) is
  'A course of the dashboard: how far its learner is, and the lesson to go on with.';

-- Courses come by pages, the last visited first; what is summed up is summed over all of them. The cursor
-- holds the last row's own place, so a course opened meanwhile moves to the front and disturbs no page.
create function private.get_my_dashboard(p_cursor text, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.uid();
  v_now timestamptz := private.clock();
  v_limit integer := coalesce(p_limit, 20);
  v_after bigint[];
  v_timezone text;
  v_today date;
  v_days jsonb;
begin
  if v_user_id is null then
    perform private.fail('not_authenticated', 401, 'Sign in to track your progress');
  elsif v_limit not between 1 and 100 then
    perform private.fail('invalid_value', 422, 'limit must be from 1 to 100');
  elsif p_cursor !~ '^[0-9]{1,17}_[0-9]{1,18}$' then
    perform private.fail('invalid_value', 422, 'cursor must be one that this list has given');
  end if;
  v_after := string_to_array(p_cursor, '_')::bigint[];
  v_timezone := private.zone_at(v_user_id, v_now);
  v_today := (v_now at time zone v_timezone)::date;

  select jsonb_build_object(
           'seconds', jsonb_build_object(
             'today', coalesce(sum(d.view_seconds) filter (where d.day = v_today), 0),
             'week', coalesce(sum(d.view_seconds) filter (
               where d.day >= date_trunc('week', v_today)), 0),
             'all', coalesce(sum(d.view_seconds), 0)),
           'activity', coalesce(jsonb_agg(jsonb_build_object(
             'day', d.day, 'lessons', d.lessons_completed, 'seconds', d.view_seconds,
             'attempts', d.attempts) order by d.day) filter (
               where d.day > v_today - 365
                 and (d.lessons_completed > 0 or d.view_seconds > 0 or d.attempts > 0)), '[]'))
    into v_days
    from public.daily_activity d
   where d.user_id = v_user_id;

  return (
    with waived as materialized (
      select w.lesson_id from public.lesson_waivers w where w.user_id = v_user_id
    ),
    mine as materialized (
      select e.course_id, e.cycle, e.total_lessons, e.completed_lessons, e.completed_at,
             coalesce(pace.recent, 0) as recent, coalesce(pace.before, 0) as before,
             least((e.enrolled_at at time zone v_timezone)::date, pace.first_day) as first_day,
             coalesce(extract(epoch from e.last_accessed_at) * 1000000, 0)::bigint as place
        from public.enrollments e
        left join private.my_pace(v_user_id, v_today) as pace on pace.course_id = e.course_id
       where e.user_id = v_user_id and e.status = 'active'
         and (e.expires_at is null or e.expires_at > v_now)
    ),
    quizzes as (
      select count(*) filter (where q.submitted) as submitted, count(*) filter (where q.passed) as passed
        from (
          select a.lesson_id, bool_or(a.submitted_at is not null) as submitted,
                 bool_or(a.passed) as passed
            from public.user_assessment_attempts a
            join mine m on m.course_id = a.course_id and m.cycle = a.cycle
           where a.user_id = v_user_id
           group by a.lesson_id
        ) as q
       where (select l.is_quiz from public.lessons l where l.id = q.lesson_id)
         and q.lesson_id not in (select w.lesson_id from waived w)
    ),
    modules as (
      select count(*) as completed
        from public.module_progress mp
       where mp.user_id = v_user_id and mp.status = 'completed'
         and mp.course_id in (select m.course_id from mine m)
    ),
    total as (
      select jsonb_build_object(
               'courses', jsonb_build_object(
                 'total', count(*), 'completed', count(m.completed_at)),
               'modules', jsonb_build_object(
                 'total', coalesce(sum((
                   select count(*) from public.modules o
                    where o.course_id = m.course_id and o.total_lessons > 0)), 0) - (
                   -- Modules of which nothing is left.
                   select count(*)
                     from public.module_progress mp
                     join public.modules o on o.id = mp.module_id and o.total_lessons > 0
                    where mp.user_id = v_user_id and mp.total_lessons = 0
                      and mp.course_id in (select x.course_id from mine x)),
                 'completed', (select modules.completed from modules)),
               'lessons', jsonb_build_object(
                 'total', coalesce(sum(m.total_lessons), 0),
                 'completed', coalesce(sum(m.completed_lessons), 0)),
               'quizzes', jsonb_build_object(
                 'total', coalesce(sum((
                   select count(*) from public.lessons l
                    where l.course_id = m.course_id and l.is_quiz)), 0) - (
                   select count(*)
                     from waived w
                     join public.lessons l on l.id = w.lesson_id and l.is_quiz
                    where l.course_id in (select x.course_id from mine x)),
                 'submitted', (select quizzes.submitted from quizzes),
                 'passed', (select quizzes.passed from quizzes))) as totals,
             private.velocity(
               coalesce(sum(m.recent), 0), coalesce(sum(m.before), 0),
               coalesce(sum(m.total_lessons - m.completed_lessons), 0),
               coalesce(min(m.first_day), v_today), v_today) as velocity
        from mine m
    ),
    page as (
      select m.*, row_number() over (order by m.place desc, m.course_id desc) as n
        from mine m
       where p_cursor is null or (m.place, m.course_id) < (v_after[1], v_after[2])
       order by n
       limit v_limit + 1
    )
    select v_days || jsonb_build_object(
             'today', v_today,
             'timezone', v_timezone,
             -- Turned off by the learner: streak, days and seconds are then not known, rather than zero.
             'activity_history', coalesce((
               select p.activity_history from public.profiles p where p.id = v_user_id), true),
             'totals', total.totals,
             'velocity', total.velocity,
             'streak', (
               select jsonb_build_object(
                        'current', s.current_days, 'longest', s.longest_days, 'last_day', s.last_day)
                 from private.streak(v_user_id, v_now) s),
             'courses', (
               select coalesce(jsonb_agg(private.dashboard_course(e, private.velocity(
                        p.recent, p.before, p.total_lessons - p.completed_lessons, p.first_day,
                        v_today)) order by p.n), '[]')
                 from page p
                 join public.enrollments e on e.user_id = v_user_id and e.course_id = p.course_id
                where p.n <= v_limit),
             'cursor', (
               select p.place || '_' || p.course_id
                 from page p
                where p.n = v_limit and exists (select from page x where x.n > v_limit)))
      from total);
end
$$;
comment on function private.get_my_dashboard(text, integer) is
  'The caller''s dashboard over all active enrolments; courses by pages.';

create function public.get_my_dashboard(p_cursor text default null, p_limit integer default 20)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_my_dashboard(p_cursor, p_limit); end;
comment on function public.get_my_dashboard(text, integer) is
  'The caller''s dashboard: {today, timezone, totals, seconds, streak, velocity, activity, courses, cursor}.';

revoke execute on function private.my_pace from public;
revoke execute on function private.velocity from public;
revoke execute on function private.dashboard_course from public;
revoke execute on function private.get_my_dashboard from public;
-- Visitors may call it, to be told in words that they must sign in.
revoke execute on function public.get_my_dashboard from public, anon, authenticated, service_role;
grant execute on function public.get_my_dashboard, private.get_my_dashboard to anon, authenticated;

grant create on schema private to waymark_writer;
alter function private.my_pace owner to waymark_writer;
alter function private.velocity owner to waymark_writer;
alter function private.dashboard_course owner to waymark_writer;
alter function private.get_my_dashboard owner to waymark_writer;
revoke create on schema private from waymark_writer;
