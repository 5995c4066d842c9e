-- Counting for reports: one function for the learners of a course, one for any of its lessons. What is
-- computed at once for a small course and what the job puts together for a large one come from the same
-- two. Definitions of every number: docs/explanation/reports.md.
--
-- Parameters are planned as they are (force_custom_plan): thirty learners of a cohort are looked up by
-- their keys, and all learners of a course by its lessons' indexes.

select private.require_free(array[
  'private.count_learners', 'private.count_lessons', 'private.histogram', 'private.percent_of']);

create function private.histogram(p_values numeric[]) returns jsonb
language sql immutable parallel safe security invoker set search_path = ''
as $$
  select jsonb_agg(b.n order by b.bin)
    from (
      select g.bin, count(v.bin) as n
        from generate_series(0, 9) as g (bin)
        left join (
          select least(9, floor(x / 10))::integer as bin from unnest(p_values) as x where x is not null
        ) as v on v.bin = g.bin
       group by g.bin
    ) as b
$$;
comment on function private.histogram(numeric[]) is
  'How many of these percents lie in 0 to 10, 10 to 20, … 90 to 100: ten counts, lower bounds included.';
revoke execute on function private.histogram(numeric[]) from public;

create function private.percent_of(p_part numeric, p_whole numeric) returns numeric
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return round(p_part * 100 / nullif(p_whole, 0), 2);
end
$$;
comment on function private.percent_of(numeric, numeric) is 'Percent to 2 places; null of nothing.';
revoke execute on function private.percent_of(numeric, numeric) from public;

create function private.count_lessons(
  p_course_id bigint, p_cohort_id uuid, p_from timestamptz, p_to timestamptz, p_lesson_ids uuid[],
  p_now timestamptz, p_questions boolean
) returns jsonb
language plpgsql stable security definer
  set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return (
    with learner as materialized (
      select e.user_id, e.cycle, e.began_at, e.completed_at, e.last_accessed_at, e.current_lesson_id
        from private.report_learners e
       where e.course_id = p_course_id
         and (p_cohort_id is null or e.cohort_id = p_cohort_id)
         and (p_from is null or e.enrolled_at >= p_from)
         and (p_to is null or e.enrolled_at < p_to)
    ),
    waived as materialized (
      select w.user_id, w.lesson_id
        from public.lesson_waivers w
        join learner e on e.user_id = w.user_id
       where w.lesson_id = any (p_lesson_ids)
    ),
    progress as (
      select p.lesson_id, count(p.started_at) as started, count(p.completed_at) as completed,
             count(*) filter (where p.completed_at > p_now - interval '28 days') as recent,
             -- Not of rows without a time: greatest() would make them 0.
             avg(greatest(extract(epoch from p.completed_at - e.began_at), 0) / 86400)
               filter (where p.completed_at is not null) as days,
             count(*) filter (where p.view_time_seconds > 0) as timed,
             percentile_cont(array[0.5, 0.9]) within group (order by p.view_time_seconds)
               filter (where p.view_time_seconds > 0) as seconds
        from public.user_progress p
        join learner e on e.user_id = p.user_id
       where p.course_id = p_course_id and p.lesson_id = any (p_lesson_ids)
         and not exists (
           select from waived w where w.user_id = p.user_id and w.lesson_id = p.lesson_id)
       group by p.lesson_id
    ),
    attempt as materialized (
      select a.id, a.lesson_id, a.user_id, a.number, a.status, a.percent, a.passed, a.is_imported
        from public.user_assessment_attempts a
        join learner e on e.user_id = a.user_id and e.cycle = a.cycle
       where a.course_id = p_course_id and a.lesson_id = any (p_lesson_ids)
         and a.status <> 'in_progress'
         and not exists (
           select from waived w where w.user_id = a.user_id and w.lesson_id = a.lesson_id)
    ),
    taker as (
      select a.lesson_id, count(a.percent) as attempts,
             count(*) filter (where not a.passed) as failed,
             count(*) - count(a.percent) as waiting,
             coalesce(bool_or(a.passed), false) as passed,
             case l.score_policy when 'best' then max(a.percent)
               else private.reported_percent(l.score_policy,
                 array_agg(a.percent order by a.number) filter (where a.percent is not null))
             end as score
        from attempt a
        join public.lessons l on l.id = a.lesson_id
       group by a.lesson_id, a.user_id, l.score_policy
    ),
    quiz as (
      select t.lesson_id, sum(t.attempts) as attempts, sum(t.failed) as failed,
             sum(t.waiting) as waiting, count(*) filter (where t.passed) as passed,
             count(t.score) as scored, min(t.score) as lowest, max(t.score) as highest,
             coalesce(sum(t.score), 0) as total, private.histogram(array_agg(t.score)) as distribution
        from taker t
       group by t.lesson_id
    ),
    -- Each learner's first attempt: later ones are of people who know the questions. At most 2000 of a
    -- lesson, by their random ids: that tells a discrimination to about 0.02.
    sample as (
      select a.id, a.lesson_id
        from (
          select x.id, x.lesson_id, row_number() over (partition by x.lesson_id order by x.id) as n
            from attempt x
           where p_questions and x.number = 1 and x.percent is not null and not x.is_imported
        ) as a
       where a.n <= 2000
    ),
    entry as (
      select s.lesson_id, q.question_id, q.points, q.most, sum(q.points) over same as sum_points,
             sum(q.most) over same as sum_most
        from sample s
        join public.user_assessment_attempts a on a.id = s.id
        join private.attempt_results r on r.attempt_id = s.id
       cross join lateral (
         select z.body ->> 'id' as question_id, z.points, (z.body ->> 'points')::numeric as most
           from rows from (jsonb_array_elements(a.questions), unnest(r.points)) as z (body, points)
       ) as q
      window same as (partition by s.id)
    ),
    question as (
      select i.lesson_id, jsonb_object_agg(i.question_id, jsonb_build_object(
               'asked', i.asked, 'difficulty', i.difficulty, 'discrimination', i.discrimination))
               as questions
        from (
          select e.lesson_id, e.question_id, count(*) as asked,
                 round(avg(e.points / e.most), 4) as difficulty,
                 -- With the rest of the attempt, not with a sum that the question is part of.
                 round(corr((e.points / e.most)::double precision,
                   ((e.sum_points - e.points) / nullif(e.sum_most - e.most, 0))::double precision
                 )::numeric, 4) as discrimination
            from entry e
           group by e.lesson_id, e.question_id
        ) as i
       group by i.lesson_id
    )
    select jsonb_object_agg(l.lesson_id, jsonb_build_object(
             'learners', (select count(*) from learner) - coalesce(w.learners, 0),
             'started', coalesce(p.started, 0),
             'completed', coalesce(p.completed, 0),
             'recent', coalesce(p.recent, 0),
             'stopped', coalesce(s.learners, 0),
             'days_to_completion', round(p.days, 2),
             'timed', coalesce(p.timed, 0),
             'median', round(p.seconds[1]::numeric, 1),
             'p90', round(p.seconds[2]::numeric, 1),
             'quiz', case when z.lesson_id is not null then jsonb_build_object(
               'attempts', z.attempts, 'failed', z.failed, 'waiting', z.waiting, 'passed', z.passed,
               'scored', z.scored, 'lowest', z.lowest, 'highest', z.highest, 'total', z.total,
               'distribution', z.distribution,
               'questions', coalesce(q.questions, '{}')) end))
      from unnest(p_lesson_ids) as l (lesson_id)
      left join progress p on p.lesson_id = l.lesson_id
      left join quiz z on z.lesson_id = l.lesson_id
      left join question q on q.lesson_id = l.lesson_id
      left join (
        select x.lesson_id, count(*) as learners from waived x group by x.lesson_id
      ) as w on w.lesson_id = l.lesson_id
      left join (
        select e.current_lesson_id as lesson_id, count(*) as learners
          from learner e
         where e.completed_at is null and e.last_accessed_at <= p_now - interval '30 days'
         group by e.current_lesson_id
      ) as s on s.lesson_id = l.lesson_id);
end
$$;
comment on function private.count_lessons(
  bigint, uuid, timestamptz, timestamptz, uuid[], timestamptz, boolean) is
  'What reports say of these lessons of a course, {lesson id: counts}; of their questions too, if asked.';
revoke execute on function private.count_lessons(
  bigint, uuid, timestamptz, timestamptz, uuid[], timestamptz, boolean) from public;

-- p_lessons: what count_lessons() says of all lessons; scores and pace are summed up from it.
create function private.count_learners(
  p_course_id bigint, p_cohort_id uuid, p_from timestamptz, p_to timestamptz, p_now timestamptz,
  p_lessons jsonb
) returns jsonb
language plpgsql stable security definer
  set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return (
    with learner as materialized (
      select e.user_id, e.cycle, e.enrolled_at, e.began_at, e.has_started, e.last_accessed_at,
             e.completed_at, e.progress_percent, e.view_time_seconds
        from private.report_learners e
       where e.course_id = p_course_id
         and (p_cohort_id is null or e.cohort_id = p_cohort_id)
         and (p_from is null or e.enrolled_at >= p_from)
         and (p_to is null or e.enrolled_at < p_to)
    ),
    person as (
      select count(*) as enrolled,
             count(*) filter (where e.has_started) as started,
             count(*) filter (where e.has_started
               and e.last_accessed_at > p_now - interval '7 days') as active_7_days,
             count(*) filter (where e.has_started
               and e.last_accessed_at > p_now - interval '30 days') as active_30_days,
             count(*) filter (where e.has_started
               and e.last_accessed_at > p_now - interval '28 days') as active_28_days,
             count(e.completed_at) as completed,
             round((percentile_cont(0.5) within group (
               order by greatest(extract(epoch from e.completed_at - e.began_at), 0) / 86400)
               filter (where e.completed_at is not null))::numeric, 2) as days,
             round(avg(e.progress_percent), 2) as percent,
             private.histogram(array_agg(e.progress_percent)) as percents,
             coalesce(sum(e.view_time_seconds), 0) as seconds,
             count(*) filter (where e.view_time_seconds > 0) as timed,
             percentile_cont(array[0.5, 0.9]) within group (order by e.view_time_seconds)
               filter (where e.view_time_seconds > 0) as spent
        from learner e
    ),
    -- By their keys, learner by learner: there is no index by course.
    certificate as (
      select count(*) as issued, count(c.revoked_at) as revoked,
             count(*) filter (where c.revoked_at is null and c.expires_at <= p_now) as expired
        from learner e
       cross join lateral (
         select x.revoked_at, x.expires_at
           from public.certificates x
          where x.user_id = e.user_id and x.course_id = p_course_id and x.cycle = e.cycle
            and x.superseded_at is null
         offset 0
       ) as c
    ),
    quiz as (
      select (x.value -> 'quiz' ->> 'scored')::bigint as scored,
             (x.value -> 'quiz' ->> 'lowest')::numeric as lowest,
             (x.value -> 'quiz' ->> 'highest')::numeric as highest,
             (x.value -> 'quiz' ->> 'total')::numeric as total,
             x.value -> 'quiz' -> 'distribution' as distribution
        from jsonb_each(p_lessons) as x
       where x.value -> 'quiz' <> 'null'
    ),
    score as (
      select coalesce(sum(q.scored), 0) as scored, min(q.lowest) as lowest, max(q.highest) as highest,
             round(sum(q.total) / nullif(sum(q.scored), 0), 2) as average
        from quiz q
    )
    select jsonb_build_object(
             'learners', jsonb_build_object(
               'enrolled', p.enrolled,
               'started', p.started,
               'active_7_days', p.active_7_days,
               'active_30_days', p.active_30_days,
               'completed', p.completed,
               'completion_rate', private.percent_of(p.completed, p.enrolled),
               'gone', (
                 select count(*) from public.enrollments g
                  where g.course_id = p_course_id and g.status <> 'active'
                    and (p_cohort_id is null or g.cohort_id = p_cohort_id)
                    and (p_from is null or g.enrolled_at >= p_from)
                    and (p_to is null or g.enrolled_at < p_to))),
             'percent', jsonb_build_object('average', p.percent, 'distribution', p.percents),
             'days_to_complete', jsonb_build_object('learners', p.completed, 'median', p.days),
             'seconds', jsonb_build_object(
               'total', p.seconds, 'learners', p.timed, 'median', round(p.spent[1]::numeric, 1),
               'p90', round(p.spent[2]::numeric, 1)),
             'velocity', jsonb_build_object(
               'lessons', v.lessons,
               'learners', p.active_28_days,
               'lessons_per_week', round(v.lessons / 4.0 / nullif(p.active_28_days, 0), 2)),
             'scores', jsonb_build_object(
               'count', s.scored, 'min', s.lowest, 'average', s.average, 'max', s.highest,
               'distribution', (
                 select jsonb_agg(b.n order by b.bin)
                   from (
                     select g.bin, coalesce(sum((q.distribution ->> g.bin)::bigint), 0) as n
                       from generate_series(0, 9) as g (bin)
                       left join quiz q on true
                      group by g.bin
                   ) as b)),
             'certificates', jsonb_build_object(
               'issued', c.issued, 'revoked', c.revoked, 'expired', c.expired),
             'enrollments_per_day', (
               select coalesce(jsonb_agg(jsonb_build_object(
                        'day', d.day, 'learners', d.learners) order by d.day), '[]')
                 from (
                   select (e.enrolled_at at time zone 'UTC')::date as day, count(*) as learners
                     from learner e
                    group by 1
                    order by 1 desc
                    limit 366
                 ) as d))
      from person p
     cross join certificate c
     cross join score s
     cross join (
       select coalesce(sum((x.value ->> 'recent')::bigint), 0) as lessons
         from jsonb_each(p_lessons) as x
         join private.report_lessons l on l.course_id = p_course_id and l.id = x.key::uuid
        where l.is_countable
     ) as v);
end
$$;
comment on function private.count_learners(
  bigint, uuid, timestamptz, timestamptz, timestamptz, jsonb) is
  'What reports say of the learners of a course: counts, medians, distributions.';
revoke execute on function private.count_learners(
  bigint, uuid, timestamptz, timestamptz, timestamptz, jsonb) from public;
