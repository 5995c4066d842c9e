-- The course report and the report on lessons. Nothing is counted when a learner does something: a small
-- course is counted when somebody asks, a large one by a job, which leaves the result as a snapshot.
--
-- A snapshot is of one course and one choice of learners. It holds counts, never a learner, and stays until
-- nobody has asked for it while twenty others of the course were asked for. Asking for one that is older than
-- private.report_lag() has it computed again, and is answered from what is there.

select private.require_free(array[
  'private.compute_report', 'private.course_reports', 'private.get_course_report',
  'private.get_lesson_report', 'private.get_report_page', 'private.lesson_report',
  'private.read_report', 'private.report_head', 'private.report_lag', 'private.report_live_rows',
  'private.report_pending', 'private.report_slices', 'private.want_report', 'public.compute_report',
  'public.get_course_report', 'public.get_lesson_report', 'public.get_report_page']);
select private.hold_tables(array['public.courses', 'public.cohorts']::regclass[]);

create function private.report_live_rows() returns bigint
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select s.value::bigint from private.settings s where s.name = 'report_live_rows');
end
$$;
comment on function private.report_live_rows() is
  'Up to how many rows of progress (learners times lessons) a report counts when it is asked for.';
revoke execute on function private.report_live_rows() from public;

create table private.course_reports (
  id bigint generated always as identity primary key,
  course_id bigint not null references public.courses (id) on delete cascade,
  cohort_id uuid,
  enrolled_from timestamptz,
  enrolled_to timestamptz,
  asked_at timestamptz not null,
  is_wanted boolean not null default false,
  as_of timestamptz,
  cost_seconds numeric not null default 0,
  learners jsonb,
  lessons jsonb,
  begun_at timestamptz,
  spent_seconds numeric not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique nulls not distinct (course_id, cohort_id, enrolled_from, enrolled_to),
  foreign key (cohort_id, course_id) references public.cohorts (id, course_id) on delete cascade
);
comment on table private.course_reports is
  'Snapshots of reports on large courses: counts by course and choice of learners.';
comment on column private.course_reports.is_wanted is 'Whether a job is to compute it; asked_at is when that was asked for.';
comment on column private.course_reports.as_of is
  'When computing it began: it holds all that was done before; null: there is none yet.';
comment on column private.course_reports.begun_at is 'When the computing under way began.';
create index course_reports_cohort_idx on private.course_reports (cohort_id)
  where cohort_id is not null;
create trigger _900_touch before update on private.course_reports
  for each row execute function private.tg_touch_updated_at();

create table private.report_slices (
  report_id bigint not null references private.course_reports (id) on delete cascade,
  lesson_id uuid not null,
  counts jsonb not null,
  created_at timestamptz not null default now(),
  primary key (report_id, lesson_id)
);
comment on table private.report_slices is 'Lessons of a report that is being computed.';

alter table private.course_reports enable row level security;
alter table private.report_slices enable row level security;
revoke all on table private.course_reports, private.report_slices
  from public, anon, authenticated, service_role;
create policy "Nobody reads reports directly" on private.course_reports
  for select to authenticated using (false);
create policy "Nobody reads slices directly" on private.report_slices
  for select to authenticated using (false);

-- A minute, and no more than a twentieth of the time at work on it.
create function private.report_lag(r private.course_reports) returns interval
language sql immutable parallel safe security invoker set search_path = ''
return make_interval(secs => greatest(60, 20 * (r).cost_seconds)::double precision);
comment on function private.report_lag(private.course_reports) is
  'How old a snapshot may be before asking for it has it computed again.';
revoke execute on function private.report_lag(private.course_reports) from public;

create function private.want_report(
  p_course_id bigint, p_cohort_id uuid, p_from timestamptz, p_to timestamptz, p_now timestamptz
) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_id bigint;
begin
  insert into private.course_reports as r
    (course_id, cohort_id, enrolled_from, enrolled_to, asked_at, is_wanted)
  values (p_course_id, p_cohort_id, p_from, p_to, p_now, true)
      on conflict (course_id, cohort_id, enrolled_from, enrolled_to) do update
     set asked_at = excluded.asked_at, is_wanted = true
  returning r.id into v_id;
  delete from private.course_reports r
   where r.id in (
     select x.id from private.course_reports x
      where x.course_id = p_course_id
      order by x.asked_at desc, x.id desc
     offset 20);
  -- After whatever learners wait for.
  perform private.enqueue(
    'report.compute', jsonb_build_object('report_id', v_id), 'report:' || v_id, -10);
end
$$;
comment on function private.want_report(bigint, uuid, timestamptz, timestamptz, timestamptz) is
  'Has a job compute a snapshot, and forgets those of the course that nobody asks for.';
revoke execute on function private.want_report(bigint, uuid, timestamptz, timestamptz, timestamptz)
  from public;

-- As a row of the table, stored or not. In a transaction that may not write (GET) nothing is asked of a job.
create function private.read_report(
  p_course_id bigint, p_cohort_id uuid, p_from timestamptz, p_to timestamptz, p_questions boolean
) returns private.course_reports
language plpgsql volatile security definer
  set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_now timestamptz := private.clock();
  v_ids uuid[];
  v_most bigint;
  r private.course_reports;
begin
  v_ids := array(select l.id from private.report_lessons l where l.course_id = p_course_id);
  v_most := private.report_live_rows() / greatest(cardinality(v_ids), 1);
  if (
    select count(*)
      from (
        select from private.report_learners e
         where e.course_id = p_course_id
           and (p_cohort_id is null or e.cohort_id = p_cohort_id)
           and (p_from is null or e.enrolled_at >= p_from)
           and (p_to is null or e.enrolled_at < p_to)
         -- In the order of the course's index: whatever the statistics say, no other course is read.
         order by e.id
         limit v_most + 1
      ) as counted) <= v_most
  then
    r.as_of := v_now;
    r.lessons := coalesce(
      private.count_lessons(p_course_id, p_cohort_id, p_from, p_to, v_ids, v_now, p_questions), '{}');
    r.learners := private.count_learners(
      p_course_id, p_cohort_id, p_from, p_to, v_now, r.lessons);
    return r;
  end if;
  select * into r
    from private.course_reports x
   where x.course_id = p_course_id and x.cohort_id is not distinct from p_cohort_id
     and x.enrolled_from is not distinct from p_from
     and x.enrolled_to is not distinct from p_to;
  if (r.as_of is null or v_now - r.as_of > private.report_lag(r))
    -- Once is enough, unless its job has died or was dropped meanwhile.
    and (r.is_wanted and v_now - r.asked_at < interval '10 minutes') is not true
    and current_setting('transaction_read_only') = 'off'
  then
    perform private.want_report(p_course_id, p_cohort_id, p_from, p_to, v_now);
    r.is_wanted := true;
  end if;
  return r;
end
$$;
comment on function private.read_report(bigint, uuid, timestamptz, timestamptz, boolean) is
  'Counts of a report: at once for few rows, else from the snapshot, whose as_of is null while there is none.';
revoke execute on function private.read_report(bigint, uuid, timestamptz, timestamptz, boolean)
  from public;

-- No raise: it would take the order for the snapshot back.
create function private.report_pending() returns jsonb
language sql volatile security definer set search_path = ''
as $$
  select private.refuse(jsonb_build_object(
    'code', 'report_not_ready', 'status', 409,
    'message', 'The report is being computed for the first time',
    'headers', jsonb_build_object('Retry-After', '5')),
    current_setting('transaction_read_only') = 'off')::jsonb
$$;
comment on function private.report_pending() is
  'Refuses until the job has computed the report for the first time.';
revoke execute on function private.report_pending() from public;

create function private.report_head(
  r private.course_reports, p_course_id bigint, p_cohort_id uuid, p_from timestamptz,
  p_to timestamptz
) returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_build_object(
           'course_id', c.id,
           'title', c.title,
           'cohort_id', p_cohort_id,
           'cohort', (select g.name from public.cohorts g where g.id = p_cohort_id),
           'enrolled_from', p_from,
           'enrolled_to', p_to,
           'as_of', (r).as_of,
           'live', (r).id is null,
           'refreshing', coalesce((r).is_wanted, false),
           'settling', c.is_settling)
    from public.courses c
   where c.id = p_course_id
$$;
comment on function private.report_head(
  private.course_reports, bigint, uuid, timestamptz, timestamptz) is
  'What every report begins with: of what it is, and as of when.';
revoke execute on function private.report_head(
  private.course_reports, bigint, uuid, timestamptz, timestamptz) from public;

-- Titles and questions as they are now; a lesson archived since is left out, one added since is not in yet.
create function private.lesson_report(
  p_course_id bigint, p_lessons jsonb, p_min_completions integer
) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    with lesson as materialized (
      select l.id, l.title, l.place, (x.counts ->> 'completed')::bigint as completed,
             (x.counts -> 'quiz' ->> 'attempts')::bigint as attempts,
             private.percent_of((x.counts -> 'quiz' ->> 'failed')::numeric,
               (x.counts -> 'quiz' ->> 'attempts')::numeric) as fail_rate,
             round((x.counts -> 'quiz' ->> 'attempts')::numeric
               / nullif((x.counts -> 'quiz' ->> 'passed')::numeric, 0), 2) as attempts_per_pass,
             round((x.counts -> 'quiz' ->> 'total')::numeric
               / nullif((x.counts -> 'quiz' ->> 'scored')::numeric, 0), 2) as average_score,
             l.module_id, l.type, l.is_countable, x.counts
        from private.report_lessons l
        -- Taken apart once, not lesson by lesson: it is a large value.
        join (select e.key::uuid as id, e.value as counts from jsonb_each(p_lessons) e) as x
          on x.id = l.id
       where l.course_id = p_course_id
    )
    select jsonb_build_object(
      'lessons', coalesce((
        select jsonb_agg(jsonb_build_object(
                 'lesson_id', l.id,
                 'title', l.title,
                 'type', l.type,
                 'module_id', l.module_id,
                 'module_title', (select m.title from public.modules m where m.id = l.module_id),
                 'is_countable', l.is_countable,
                 'learners', l.counts -> 'learners',
                 'started', l.counts -> 'started',
                 'completed', l.counts -> 'completed',
                 'completion_rate', private.percent_of(l.completed, (l.counts ->> 'learners')::numeric),
                 'drop_off', private.percent_of(
                   (l.counts ->> 'started')::numeric - l.completed, (l.counts ->> 'started')::numeric),
                 'stopped', l.counts -> 'stopped',
                 'days_to_completion', l.counts -> 'days_to_completion',
                 'seconds', jsonb_build_object(
                   'learners', l.counts -> 'timed', 'median', l.counts -> 'median',
                   'p90', l.counts -> 'p90'),
                 'quiz', case when l.counts -> 'quiz' <> 'null' then jsonb_build_object(
                   'attempts', l.attempts,
                   'waiting', l.counts -> 'quiz' -> 'waiting',
                   'failed', l.counts -> 'quiz' -> 'failed',
                   'fail_rate', l.fail_rate,
                   'passed', l.counts -> 'quiz' -> 'passed',
                   'attempts_per_pass', l.attempts_per_pass,
                   'scores', jsonb_build_object(
                     'count', l.counts -> 'quiz' -> 'scored',
                     'min', l.counts -> 'quiz' -> 'lowest',
                     'average', l.average_score,
                     'max', l.counts -> 'quiz' -> 'highest',
                     'distribution', l.counts -> 'quiz' -> 'distribution'),
                   'questions', coalesce((
                     select jsonb_agg(
                              jsonb_build_object('question_id', q.id, 'kind', q.kind,
                                'text', left(q.body ->> 'text', 200))
                              || (l.counts -> 'quiz' -> 'questions' -> q.id)
                              order by q.position, q.id)
                       from private.questions q
                      where q.lesson_id = l.id and q.removed_at is null
                        and l.counts -> 'quiz' -> 'questions' ? q.id), '[]')) end)
                 order by l.place)
          from lesson l), '[]'),
      'hard_lessons', coalesce((
        select jsonb_agg(jsonb_build_object(
                 'lesson_id', h.id, 'title', h.title, 'completed', h.completed,
                 'attempts_per_pass', h.attempts_per_pass, 'fail_rate', h.fail_rate,
                 'average_score', h.average_score) order by h.n)
          from (
            select l.*, row_number() over (
                     order by l.attempts_per_pass desc, l.fail_rate desc, l.average_score, l.place) as n
              from lesson l
             where l.completed > p_min_completions and l.attempts_per_pass is not null
             order by n
             limit 20
          ) as h), '[]')));
end
$$;
comment on function private.lesson_report(bigint, jsonb, integer) is
  'The lessons of a report, in learning order, and the hardest of those that enough learners completed.';
revoke execute on function private.lesson_report(bigint, jsonb, integer) from public;

create function private.get_course_report(
  p_course_id bigint, p_cohort_id uuid, p_enrolled_from timestamptz, p_enrolled_to timestamptz
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  r private.course_reports;
begin
  perform private.check_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to);
  r := private.read_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to, false);
  if r.as_of is null then
    return private.report_pending();
  end if;
  return private.report_head(r, p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to)
    || r.learners;
end
$$;
comment on function private.get_course_report(bigint, uuid, timestamptz, timestamptz) is
  'Staff: how the learners of a course are doing.';
revoke execute on function private.get_course_report(bigint, uuid, timestamptz, timestamptz)
  from public;

create function private.get_lesson_report(
  p_course_id bigint, p_cohort_id uuid, p_enrolled_from timestamptz, p_enrolled_to timestamptz,
  p_min_completions integer
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  r private.course_reports;
begin
  perform private.check_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to);
  if p_min_completions is null or p_min_completions < 0 then
    perform private.fail('invalid_value', 422, 'min_completions must not be negative');
  end if;
  r := private.read_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to, true);
  if r.as_of is null then
    return private.report_pending();
  end if;
  return private.report_head(r, p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to)
    || jsonb_build_object('min_completions', p_min_completions)
    || private.lesson_report(p_course_id, r.lessons, p_min_completions);
end
$$;
comment on function private.get_lesson_report(bigint, uuid, timestamptz, timestamptz, integer) is
  'Staff: how learners fare with each lesson of a course.';
revoke execute on function private.get_lesson_report(
  bigint, uuid, timestamptz, timestamptz, integer) from public;

-- Of one reading, so that the page's numbers are about the same people; and what the caller may do on it.
create function private.get_report_page(
  p_course_id bigint, p_cohort_id uuid, p_enrolled_from timestamptz, p_enrolled_to timestamptz,
  p_min_completions integer
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  r private.course_reports;
  v_is_admin boolean := private.is_admin();
begin
  perform private.check_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to);
  if p_min_completions is null or p_min_completions < 0 then
    perform private.fail('invalid_value', 422, 'min_completions must not be negative');
  end if;
  r := private.read_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to, true);
  if r.as_of is null then
    return private.report_pending();
  end if;
  return private.report_head(r, p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to)
    || r.learners
    || jsonb_build_object('min_completions', p_min_completions)
    || private.lesson_report(p_course_id, r.lessons, p_min_completions)
    || jsonb_build_object(
      'may_excuse', v_is_admin or exists (
        select from public.course_staff s
         where s.course_id = p_course_id and s.user_id = private.uid()
           and s.role in ('author', 'instructor')),
      -- Only admins may have one made again, and only they are told whose it is.
      'failed_certificates', coalesce((
        select jsonb_agg(jsonb_build_object(
                 'certificate_id', f.id, 'learner_name', f.learner_name, 'issued_at', f.issued_at)
                 order by f.issued_at, f.id)
          from (
            select c.id, c.learner_name, c.issued_at
              from private.jobs j
              join public.certificates c on c.id = (j.payload ->> 'certificate_id')::uuid
             where v_is_admin and j.kind = 'certificate.render' and j.died_at is not null
               and c.course_id = p_course_id
             order by c.issued_at, c.id
             limit 50
          ) as f), '[]'));
end
$$;
comment on function private.get_report_page(bigint, uuid, timestamptz, timestamptz, integer) is
  'Staff: both reports of one reading, and which commands the caller may give.';
revoke execute on function private.get_report_page(
  bigint, uuid, timestamptz, timestamptz, integer) from public;

-- The job ---------------------------------------------------------------------------------------------

-- A slice is one transaction, and of some 200,000 rows: hosted Supabase ends statements after 8 seconds.
-- Its row is locked meanwhile, so that a worker that lost its lease and the next one do not both count.
create function private.compute_report(p_report_id bigint) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_began timestamptz := clock_timestamp();
  v_now timestamptz := private.clock();
  v_ids uuid[];
  v_slices jsonb;
  r private.course_reports;
begin
  select * into r from private.course_reports x where x.id = p_report_id for no key update;
  if r.is_wanted is not true then
    return jsonb_build_object('lessons', 0, 'done', true);
  end if;
  if r.begun_at is null or r.begun_at < v_now - interval '1 hour' then
    delete from private.report_slices s where s.report_id = r.id;
    r.begun_at := v_now;
    r.spent_seconds := 0;
  end if;
  v_ids := array(
    select l.id
      from private.report_lessons l
     where l.course_id = r.course_id
       and not exists (
         select from private.report_slices s where s.report_id = r.id and s.lesson_id = l.id)
     order by l.place
     limit greatest(1, 200000 / greatest(1, (
       select count(*)
         from (
           select from public.enrollments e where e.course_id = r.course_id limit 200000
         ) as counted))));
  if v_ids <> '{}' then
    v_slices := private.count_lessons(
      r.course_id, r.cohort_id, r.enrolled_from, r.enrolled_to, v_ids, r.begun_at, true);
    insert into private.report_slices (report_id, lesson_id, counts)
    select r.id, x.key::uuid, x.value from jsonb_each(v_slices) as x;
    update private.course_reports x
       set begun_at = r.begun_at,
           spent_seconds = r.spent_seconds + extract(epoch from clock_timestamp() - v_began)
     where x.id = r.id;
  else
    r.lessons := coalesce((
      select jsonb_object_agg(s.lesson_id, s.counts)
        from private.report_slices s
       where s.report_id = r.id), '{}');
    r.learners := private.count_learners(
      r.course_id, r.cohort_id, r.enrolled_from, r.enrolled_to, r.begun_at, r.lessons);
    delete from private.report_slices s where s.report_id = r.id;
    update private.course_reports x
       set is_wanted = false, as_of = r.begun_at, begun_at = null,
           learners = r.learners, lessons = r.lessons,
           cost_seconds = r.spent_seconds + extract(epoch from clock_timestamp() - v_began)
     where x.id = r.id;
  end if;
  return jsonb_build_object('lessons', cardinality(v_ids), 'done', v_ids = '{}');
end
$$;
comment on function private.compute_report(bigint) is
  'The next slice of a snapshot; the last one puts it together.';
revoke execute on function private.compute_report(bigint) from public;

-- Doors -----------------------------------------------------------------------------------------------

create function public.get_course_report(
  p_course_id bigint, p_cohort_id uuid default null, p_enrolled_from timestamptz default null,
  p_enrolled_to timestamptz default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.get_course_report(p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to);
end;
comment on function public.get_course_report(bigint, uuid, timestamptz, timestamptz) is
  'Staff and admins: learners, percent, days_to_complete, seconds, velocity, scores, certificates, enrollments_per_day of a course.';

create function public.get_lesson_report(
  p_course_id bigint, p_cohort_id uuid default null, p_enrolled_from timestamptz default null,
  p_enrolled_to timestamptz default null, p_min_completions integer default 10
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.get_lesson_report(
    p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to, p_min_completions);
end;
comment on function public.get_lesson_report(bigint, uuid, timestamptz, timestamptz, integer) is
  'Staff and admins: {lessons, hard_lessons} of a course.';

create function public.get_report_page(
  p_course_id bigint, p_cohort_id uuid default null, p_enrolled_from timestamptz default null,
  p_enrolled_to timestamptz default null, p_min_completions integer default 10
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.get_report_page(
    p_course_id, p_cohort_id, p_enrolled_from, p_enrolled_to, p_min_completions);
end;
comment on function public.get_report_page(bigint, uuid, timestamptz, timestamptz, integer) is
  'Staff and admins: both reports in one, {…, may_excuse, failed_certificates}, as the printable page shows them.';

create function public.compute_report(p_report_id bigint) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.compute_report(p_report_id); end;
comment on function public.compute_report(bigint) is
  'The worker: computes the next slice of a report''s snapshot, {lessons, done}.';

revoke execute on function public.get_course_report, public.get_lesson_report,
  public.get_report_page, public.compute_report
  from public, anon, authenticated, service_role;
grant execute on function public.get_course_report, private.get_course_report,
  public.get_lesson_report, private.get_lesson_report,
  public.get_report_page, private.get_report_page to authenticated, service_role;
grant execute on function public.compute_report, private.compute_report to service_role;
