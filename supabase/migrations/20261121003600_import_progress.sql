-- Past progress from another system: enrolments, completions and scores with their own dates, in batches
-- by the service role. Importing the same row again changes nothing, so an import that broke off anywhere is
-- simply run again.
--
-- A row is taken or refused by itself; what is refused is told by its line. A completion needs no rule
-- fulfilled here: an operator vouches for it. Nobody is written to, though certificates that are earned
-- are issued.

select private.require_free(array[
  'private.import_progress', 'private.import_row', 'private.import_time', 'private.read_import',
  'public.import_progress']);

create type private.import_row as (
  line integer,
  user_id uuid,
  course_id bigint,
  lesson_id uuid,
  -- completed or in_progress; null: the enrolment alone.
  status text,
  enrolled_at timestamptz,
  started_at timestamptz,
  completed_at timestamptz,
  score numeric,
  field text,
  message text
);

-- A date alone is noon of that day where the learner lives, so that it stays their day.
create function private.import_time(p_text text, p_user_id uuid) returns timestamptz
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
declare
  v_at timestamptz;
begin
  if not pg_input_is_valid(p_text, 'timestamptz') then
    return null;
  elsif p_text ~ '^\d{4}-\d\d-\d\d$' then
    v_at := (p_text::date + time '12:00') at time zone coalesce(
      (select pr.timezone from public.profiles pr where pr.id = p_user_id), 'UTC');
    -- Today, before noon.
    return case when v_at > private.clock() and p_text::date <= private.clock()::date + 1
      and v_at < private.clock() + interval '1 day' then private.clock() else v_at end;
  elsif p_text ~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)? ?([Zz]|UTC|[+-]\d\d(:?\d\d)?)?$' then
    return p_text::timestamptz;
  end if;
  return null;
end
$$;
comment on function private.import_time(text, uuid) is
  'An ISO 8601 date or time of an import, UTC where it has no offset; null when it is none.';
revoke execute on function private.import_time(text, uuid) from public;

create function private.read_import(p_rows jsonb) returns private.import_row[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_uuid constant text := '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
  v_rows private.import_row[];
begin
  with given as (
    select (x.body ->> 'line')::integer as line, x.n, btrim(x.body ->> 'user') as who,
           nullif(btrim(x.body ->> 'course'), '') as course,
           nullif(btrim(x.body ->> 'lesson'), '') as lesson,
           x.body ->> 'status' as status,
           nullif(btrim(x.body ->> 'enrolled_at'), '') as enrolled_text,
           nullif(btrim(x.body ->> 'started_at'), '') as started_text,
           nullif(btrim(x.body ->> 'completed_at'), '') as completed_text,
           nullif(btrim(x.body ->> 'score'), '') as score_text
      from jsonb_array_elements(p_rows) with ordinality as x (body, n)
  ),
  -- Auth keeps addresses in lower case.
  mail as (
    select lower(u.email) as address, (array_agg(u.id))[1] as id, count(*) as count
      from auth.users u
     where u.email in (select lower(g.who) from given g where g.who !~ v_uuid)
     group by lower(u.email)
  ),
  placed as (
    select g.*, coalesce(u.id, m.id) as user_id, m.count > 1 as ambiguous
      from given g
      left join auth.users u on u.id = case when g.who ~ v_uuid then g.who::uuid end
      left join mail m on m.address = lower(g.who)
  ),
  -- Scalar subqueries, since each probes an index; materialized, or each use would ask again.
  coursed as materialized (
    select p.*, case when p.course is not null then coalesce(
             (select c.id from public.courses c
               where c.id = case when p.course ~ '^[0-9]{1,18}$' then p.course::bigint end),
             (select c.id from public.courses c where c.slug = p.course)) end as course_id
      from placed p
  ),
  lessoned as (
    select c.*, l.id as lesson_id, l.course_id as lesson_course_id, l.is_preview,
           l.type = 'quiz' or l.completion_rule in ('submit', 'pass') as is_scored,
           case when c.score_text ~ '^[0-9]{1,3}(\.[0-9]{1,20})?$' then c.score_text::numeric end as score
      from coursed c
      left join public.lessons l on l.id = case
        when c.lesson ~ v_uuid then c.lesson::uuid
        else (select x.id from public.lessons x
               where x.course_id = c.course_id and x.slug = c.lesson) end
  ),
  timed as materialized (
    select p.*,
           private.import_time(p.enrolled_text, p.user_id) as enrolled_at,
           private.import_time(p.started_text, p.user_id) as started_at,
           private.import_time(p.completed_text, p.user_id) as completed_at
      from lessoned p
  )
  select array_agg(row(
           t.line, t.user_id, coalesce(t.lesson_course_id, t.course_id), t.lesson_id,
           t.status, t.enrolled_at, t.started_at, t.completed_at, t.score,
           split_part(f.fault, ': ', 1),
           substr(f.fault, strpos(f.fault, ': ') + 2))::private.import_row order by t.n)
    into v_rows
    from timed t
   cross join lateral (
     select case
       when t.line is null then 'line: is missing'
       when coalesce(t.who, '') = '' then 'user: is missing'
       when t.ambiguous then 'user: several users have this e-mail address'
       when t.user_id is null then 'user: there is no such user'
       when t.course is null and t.lesson is null then 'lesson: is missing'
       when t.course is not null and t.course_id is null then 'course: there is no such course'
       when t.lesson is not null and t.course is null and t.lesson !~ v_uuid then
         'course: a lesson''s slug needs its course'
       when t.lesson is not null and (t.lesson_id is null or t.course_id <> t.lesson_course_id) then
         'lesson: there is no such lesson' || case when t.course is null then '' else ' in this course' end
       when t.is_preview then 'lesson: preview lessons take no progress'
       when t.status is not null and t.status not in ('completed', 'in_progress') then
         'status: must be completed or in_progress'
       when t.status is not null and t.lesson is null then 'lesson: is missing'
       when t.enrolled_text is not null and t.enrolled_at is null then 'enrolled_at: is no date'
       when t.started_text is not null and t.started_at is null then 'started_at: is no date'
       when t.completed_text is not null and t.completed_at is null then 'completed_at: is no date'
       when greatest(t.enrolled_at, t.started_at, t.completed_at) > v_now then
         case greatest(t.enrolled_at, t.started_at, t.completed_at)
           when t.completed_at then 'completed_at' when t.started_at then 'started_at'
           else 'enrolled_at' end || ': lies in the future'
       when least(t.enrolled_at, t.started_at, t.completed_at) < '1995-01-01 00:00Z' then
         case least(t.enrolled_at, t.started_at, t.completed_at)
           when t.completed_at then 'completed_at' when t.started_at then 'started_at'
           else 'enrolled_at' end || ': lies before 1995'
       when t.status = 'completed' and t.completed_at is null then 'completed_at: is missing'
       when t.status = 'in_progress' and t.started_at is null then 'started_at: is missing'
       when t.status is distinct from 'completed' and t.completed_at is not null then
         'completed_at: only what is completed has one'
       when t.score_text is not null and t.score between 0 and 100 is not true then
         'score: must be a number from 0 to 100'
       when t.score is not null and t.status is null then 'status: a score needs one'
       when t.score is not null and not t.is_scored then 'score: this lesson is no quiz'
     end as fault) as f;
  return coalesce(v_rows, '{}');
end
$$;
comment on function private.read_import(jsonb) is
  'Rows of an import with users, lessons and dates found, or what is wrong with them.';
revoke execute on function private.read_import(jsonb) from public;

create function private.import_progress(p_rows jsonb, p_dry_run boolean) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_all private.import_row[];
  v_rows private.import_row[];
  v_written public.user_progress[];
  v_ids uuid[];
  v_new integer := 0;
  v_completed integer := 0;
  v_started integer := 0;
  v_scored integer := 0;
  v_scores uuid[];
  r record;
begin
  perform private.require_admin();
  if jsonb_typeof(p_rows) is distinct from 'array' then
    perform private.fail('invalid_type', 400, 'rows must be a list');
  elsif jsonb_array_length(p_rows) > 2000 then
    perform private.fail('invalid_value', 422, 'An import takes at most 2000 rows at once');
  elsif jsonb_path_exists(p_rows, '$[*] ? (@.type() != "object")')
     or jsonb_path_exists(p_rows, '$[*].line ? (@.type() != "number" || @ < 0 || @ > 2000000000 || @.floor() != @)')
  then
    perform private.fail('invalid_type', 400, 'A row is an object, its line a whole number');
  end if;
  v_all := private.read_import(p_rows);
  v_rows := array(select x from unnest(v_all) as x where x.message is null);

  if p_dry_run then
    select count(distinct (x.user_id, x.course_id)) into v_new
      from unnest(v_rows) as x
     where not exists (
       select from public.enrollments e
        where e.user_id = x.user_id and e.course_id = x.course_id);
    select count(*) filter (where y.status = 'completed'), count(*) filter (where y.status <> 'completed')
      into v_completed, v_started
      from (
        select distinct on (x.user_id, x.lesson_id) x.*
          from unnest(v_rows) as x
         where x.status is not null
         order by x.user_id, x.lesson_id, x.status, x.line
      ) as y
      left join public.user_progress p on p.user_id = y.user_id and p.lesson_id = y.lesson_id
     where p.user_id is null or p.status = 'not_started'
        or (y.status = 'completed' and p.status = 'in_progress');
    select count(distinct (x.user_id, x.lesson_id)) into v_scored
      from unnest(v_rows) as x
      left join public.enrollments e on e.user_id = x.user_id and e.course_id = x.course_id
     where x.score is not null and not exists (
       select from public.user_assessment_attempts a
        where a.user_id = x.user_id and a.lesson_id = x.lesson_id and a.cycle = e.cycle);
  elsif v_rows <> '{}' then
    -- Months before any row is locked; then locks in the order of everybody who holds several.
    for r in
      select distinct date_trunc('month', t.at at time zone 'UTC')::date as month
        from unnest(v_rows) as x
       cross join lateral (values (x.enrolled_at), (x.started_at), (x.completed_at)) as t (at)
       where t.at is not null
       order by 1
    loop
      perform private.make_event_partition(r.month);
    end loop;
    perform pg_advisory_xact_lock_shared(private.editors_key());
    perform set_config('waymark.editing', 'on', true);
    perform set_config('waymark.importing', 'on', true);
    perform private.share_courses(array(select distinct x.course_id from unnest(v_rows) as x));
    with wanted as (
      select x.user_id, x.course_id,
             min(least(x.enrolled_at, x.started_at, x.completed_at)) as at
        from unnest(v_rows) as x
       group by x.user_id, x.course_id
    ),
    made as (
      insert into public.enrollments (user_id, course_id, enrolled_at)
      select w.user_id, w.course_id, coalesce(w.at, v_now)
        from wanted w
       order by w.user_id, w.course_id
          on conflict (user_id, course_id) do nothing
      returning id
    )
    select array_agg(m.id) into v_ids from made m;
    v_new := coalesce(cardinality(v_ids), 0);
    perform set_config('waymark.importing', '', true);
    perform from public.enrollments e
      where (e.user_id, e.course_id) in (select x.user_id, x.course_id from unnest(v_rows) as x)
      order by e.user_id, e.course_id
        for no key update;
    with earlier as (
      update public.enrollments e
         set enrolled_at = w.at
        from (
          select x.user_id, x.course_id,
                 min(least(x.enrolled_at, x.started_at, x.completed_at)) as at
            from unnest(v_rows) as x
           group by x.user_id, x.course_id
        ) as w
       where e.user_id = w.user_id and e.course_id = w.course_id and e.enrolled_at > w.at
      returning e.*
    )
    insert into public.progress_events
      (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
    select x.enrolled_at, x.user_id, x.course_id, x.id, x.cycle, 'enrolled',
           '{"by": "import", "earlier": true}'
      from earlier x
     order by x.user_id, x.course_id;

    -- Of a lesson that is told twice the completion counts, and of two completions the first told.
    with fresh as (
      select distinct on (x.user_id, x.lesson_id) x.*
        from unnest(v_rows) as x
       where x.status is not null
       order by x.user_id, x.lesson_id, x.status, x.line
    ),
    written as (
      insert into public.user_progress as p
        (user_id, lesson_id, course_id, status, progress, started_at, last_accessed, completed_at,
         completed_on)
      select f.user_id, f.lesson_id, f.course_id, f.status, (f.status = 'completed')::integer,
             least(f.started_at, f.completed_at), coalesce(f.completed_at, f.started_at),
             f.completed_at, private.local_day(f.user_id, f.completed_at)
        from fresh f
       where not exists (
         select from public.user_progress p
          where p.user_id = f.user_id and p.lesson_id = f.lesson_id
            and p.status in ('completed', f.status))
       order by f.user_id, f.lesson_id
          on conflict (user_id, lesson_id) do update
         set status = excluded.status,
             progress = greatest(p.progress, excluded.progress),
             started_at = least(p.started_at, excluded.started_at),
             last_accessed = greatest(p.last_accessed, excluded.last_accessed),
             completed_at = excluded.completed_at,
             completed_on = excluded.completed_on
      returning p.*
    )
    select array_agg(w::public.user_progress order by w.user_id, w.lesson_id) into v_written
      from written w;
    v_written := coalesce(v_written, '{}');
    select count(*) filter (where w.is_completed), count(*) filter (where not w.is_completed)
      into v_completed, v_started
      from unnest(v_written) as w;
    -- The best that is told of a lesson; who has tried it here has scores of their own.
    with told as (
      select distinct on (x.user_id, x.lesson_id) x.*, coalesce(x.completed_at, x.started_at) as at
        from unnest(v_rows) as x
       where x.score is not null
       order by x.user_id, x.lesson_id, x.score desc, x.line
    ),
    made as (
      insert into public.user_assessment_attempts
        (user_id, lesson_id, course_id, cycle, number, status, is_imported, started_at, submitted_at,
         graded_at, pass_percent, questions, total_questions, max_score, score, percent, passed,
         correct_count)
      select t.user_id, t.lesson_id, t.course_id, e.cycle, 1, 'graded', true, t.at, t.at, t.at,
             l.pass_percent, '[]', 0, 100, t.score,
             private.score_percent(t.score, 100, l.pass_percent), t.score >= l.pass_percent, 0
        from told t
        join public.enrollments e on e.user_id = t.user_id and e.course_id = t.course_id
        join public.lessons l on l.id = t.lesson_id
       where not exists (
         select from public.user_assessment_attempts a
          where a.user_id = t.user_id and a.lesson_id = t.lesson_id and a.cycle = e.cycle)
       order by t.user_id, t.lesson_id
      returning *
    ),
    scored as (
      update public.user_progress p
         set attempts = p.attempts + 1, best_score = greatest(p.best_score, m.percent)
        from made m
       where p.user_id = m.user_id and p.lesson_id = m.lesson_id
    )
    select coalesce(array_agg(m.id), '{}') into v_scores from made m;
    v_scored := cardinality(v_scores);
    perform private.settle_enrollments(v_ids || array(
      select distinct e.id
        from unnest(v_written) as w
        join public.enrollments e on e.user_id = w.user_id and e.course_id = w.course_id),
      'import', false);
    update public.enrollments e
       set last_accessed_at = w.at
      from (
        select x.user_id, x.course_id, max(x.last_accessed) as at
          from unnest(v_written) as x
         group by x.user_id, x.course_id
      ) as w
     where e.user_id = w.user_id and e.course_id = w.course_id
       and e.last_accessed_at >= w.at is not true;
    for r in
      select x.user_id, x.completed_on as day, count(*)::integer as lessons,
             min(x.completed_at) as first_at, max(x.completed_at) as last_at
        from unnest(v_written) as x
       where x.is_completed
       group by x.user_id, x.completed_on
       order by x.user_id, x.completed_on
    loop
      perform private.touch_day(r.user_id, r.day, r.first_at, r.last_at, p_lessons => r.lessons);
    end loop;
    insert into public.progress_events
      (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
    select coalesce(w.completed_at, w.started_at), w.user_id, w.course_id, l.module_id, w.lesson_id,
           e.id, e.cycle,
           case when w.is_completed then 'lesson_completed' else 'lesson_started' end,
           jsonb_strip_nulls(jsonb_build_object('by', 'import',
             'started_at', nullif(w.started_at, coalesce(w.completed_at, w.started_at))))
      from unnest(v_written) as w
      join public.lessons l on l.id = w.lesson_id
      join public.enrollments e on e.user_id = w.user_id and e.course_id = w.course_id
     order by coalesce(w.completed_at, w.started_at), w.user_id;
    -- After the lessons that they are of, so that who reads in order knows these.
    insert into public.progress_events
      (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
    select a.submitted_at, a.user_id, a.course_id, l.module_id, a.lesson_id, e.id, a.cycle,
           'attempt_graded', jsonb_build_object(
             'attempt_id', a.id, 'number', a.number, 'percent', a.percent, 'passed', a.passed,
             'by', 'import', 'imported', true)
      from public.user_assessment_attempts a
      join public.lessons l on l.id = a.lesson_id
      join public.enrollments e on e.user_id = a.user_id and e.course_id = a.course_id
     where a.id = any (v_scores)
     order by a.submitted_at, a.user_id;
    if v_new + v_completed + v_started + v_scored > 0 then
      perform private.audit('progress.import', null, null, 'import', null, null,
        jsonb_build_object('enrolled', v_new, 'completed', v_completed, 'started', v_started,
          'scored', v_scored));
    end if;
  end if;
  return jsonb_build_object(
    'rows', cardinality(v_all),
    'enrolled', v_new,
    'completed', v_completed,
    'started', v_started,
    'scored', v_scored,
    'errors', coalesce((
      select jsonb_agg(jsonb_build_object(
               'line', x.line, 'field', x.field, 'message', x.message) order by x.n)
        from unnest(v_all) with ordinality as x (
          line, user_id, course_id, lesson_id, status, enrolled_at, started_at, completed_at, score,
          field, message, n)
       where x.message is not null), '[]'));
end
$$;
comment on function private.import_progress(jsonb, boolean) is
  'Past enrolments, completions and scores with their dates; {rows, enrolled, completed, started, scored, errors}.';
revoke execute on function private.import_progress(jsonb, boolean) from public;

create function public.import_progress(p_rows jsonb, p_dry_run boolean default false)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.import_progress(p_rows, p_dry_run); end;
comment on function public.import_progress(jsonb, boolean) is
  'Servers: up to 2000 rows of past progress, again without effect; {rows, enrolled, completed, started, scored, errors}.';
revoke execute on function public.import_progress(jsonb, boolean)
  from public, anon, authenticated, service_role;
grant execute on function public.import_progress(jsonb, boolean),
  private.import_progress(jsonb, boolean) to service_role;
