-- Recalculation: counting again. Promise 5 says it never finds anything; operators and learners may
-- ask all the same, and the tests do after every step. Imports and large catalogue edits count this way,
-- too, where adding differences to the counters does not fit.

-- What an enrolment's counters must be, counted from lessons and progress and nothing else.
create function private.recount_enrollment(p_user_id uuid, p_course_id bigint)
returns table (
  completed_lessons integer, total_lessons integer, completed_weight bigint, total_weight bigint)
language sql stable security definer rows 1 set search_path = ''
as $$
  select count(*) filter (where p.is_completed)::integer, count(*)::integer,
         coalesce(sum(l.weight) filter (where p.is_completed), 0), coalesce(sum(l.weight), 0)
    from public.lessons l
    left join public.user_progress p on p.user_id = p_user_id and p.lesson_id = l.id
   where l.course_id = p_course_id and l.is_countable and not exists (
     select from public.lesson_waivers w
      where w.user_id = p_user_id and w.lesson_id = l.id)
$$;
comment on function private.recount_enrollment(uuid, bigint) is 'An enrolment''s counters, by counting.';
revoke execute on function private.recount_enrollment(uuid, bigint) from public;

-- A module whose last lesson has gone is counted too: its rows hold what they held.
create function private.recount_modules(p_user_id uuid, p_course_id bigint)
returns table (
  module_id uuid, completion_rule text, completed_lessons integer, total_lessons integer,
  completed_quizzes integer, total_quizzes integer, started_at timestamptz, has_waivers boolean)
language sql stable security definer rows 10 set search_path = ''
as $$
  select m.id, m.completion_rule,
         count(*) filter (where p.is_completed and l.is_countable and w.user_id is null)::integer,
         count(*) filter (where l.is_countable and w.user_id is null)::integer,
         count(*) filter (where p.is_completed and l.is_gate and w.user_id is null)::integer,
         count(*) filter (where l.is_gate and w.user_id is null)::integer,
         min(p.started_at), bool_or(w.user_id is not null)
    from public.modules m
    left join public.lessons l on l.module_id = m.id and l.course_id = m.course_id
    left join public.user_progress p on p.user_id = p_user_id and p.lesson_id = l.id
    left join public.lesson_waivers w on w.user_id = p_user_id and w.lesson_id = l.id
   where m.course_id = p_course_id
   group by m.id
$$;
comment on function private.recount_modules(uuid, bigint) is 'A learner''s module counters, by counting.';
revoke execute on function private.recount_modules(uuid, bigint) from public;

-- Counts enrolments and their modules again, and writes what differs: as recalculation (what differs is
-- drift), for catalogue edits that were left to a job ('catalog'), and after an import of past progress
-- ('import', at the times of that progress, without messages). A recalculation returns what differs, each
-- with before and after; its dry run tells the same, locks nothing and writes nothing.
--
-- The caller who hands over enrolments of several courses, or of more than one learner, holds the
-- editors' and the crossing key in shared form.
create function private.settle_enrollments(p_enrollment_ids uuid[], p_by text, p_dry_run boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_editing text := current_setting('waymark.editing', true);
  v_course_ids bigint[];
  v_found jsonb := '{}';
  v_finished uuid[] := '{}';
  v_crossed uuid[] := '{}';
  r record;
begin
  if not p_dry_run then
    select array_agg(distinct e.course_id) into v_course_ids
      from public.enrollments e where e.id = any (p_enrollment_ids);
    if cardinality(v_course_ids) > 1 then
      perform private.share_courses(v_course_ids);
    else
      perform private.share_course(v_course_ids[1]);
    end if;
    perform from public.enrollments e
      where e.id = any (p_enrollment_ids)
      order by e.user_id, e.course_id
        for no key update;
    -- One learner's rows under their own locks, like the write path: no raw edit of many.
    perform set_config('waymark.editing', 'on', true);
  end if;

  for r in
    select x.*, x.completed_at is null and x.new_percent = 100 as finishes,
           x.completed_at is null and x.old_percent < x.certificate_min_percent
             and x.new_percent >= x.certificate_min_percent as crosses,
           -- An edit that a job has yet to bring here is no drift.
           case when p_by = 'recalculation' and x.settled_version < x.settle_version
             then 'catalog' else p_by end as cause
      from (
        select e.id, e.user_id, e.course_id, e.cycle, e.completed_at, e.settled_version,
               e.progress_percent as old_percent, c.catalog_version, c.settle_version,
               c.certificate_min_percent, n.completed_lessons, n.total_lessons,
               n.completed_weight, n.total_weight,
               private.percent(n.completed_weight, n.total_weight) as new_percent,
               (e.completed_lessons, e.total_lessons, e.completed_weight, e.total_weight,
                e.progress_percent)
                 is distinct from
               (n.completed_lessons, n.total_lessons, n.completed_weight, n.total_weight,
                private.percent(n.completed_weight, n.total_weight)) as differs,
               jsonb_build_object('completed_lessons', e.completed_lessons,
                 'total_lessons', e.total_lessons, 'completed_weight', e.completed_weight,
                 'total_weight', e.total_weight, 'progress_percent', e.progress_percent,
                 'completed_at', e.completed_at) as before
          from public.enrollments e
          join public.courses c on c.id = e.course_id
         cross join lateral private.recount_enrollment(e.user_id, e.course_id) n
         where e.id = any (p_enrollment_ids)
      ) as x
     where x.differs or x.settled_version < x.settle_version
        or (x.completed_at is null and x.new_percent = 100)
     order by x.user_id, x.course_id
  loop
    if r.finishes then
      r.completed_at := case when p_by = 'import' then coalesce((
        select max(p.completed_at)
          from public.user_progress p
          join public.lessons l on l.id = p.lesson_id
         where p.user_id = r.user_id and l.course_id = r.course_id and l.is_countable), v_now)
        else v_now end;
      v_finished := v_finished || r.id;
    elsif r.crosses then
      v_crossed := v_crossed || r.id;
    end if;
    if not p_dry_run then
      update public.enrollments e
         set completed_lessons = r.completed_lessons,
             total_lessons = r.total_lessons,
             completed_weight = r.completed_weight,
             total_weight = r.total_weight,
             progress_percent = r.new_percent,
             completed_at = r.completed_at,
             completion_snapshot = case when r.finishes then jsonb_build_object(
               'lessons', r.total_lessons, 'weight', r.total_weight,
               'catalog_version', r.catalog_version) else e.completion_snapshot end,
             frontier_lesson_id = null,
             frontier_version = null,
             settled_version = r.settle_version
       where e.id = r.id;
    end if;
    if p_by = 'recalculation' and (r.differs or r.finishes) then
      v_found := v_found || jsonb_build_object(r.id, jsonb_build_object(
        'enrollment_id', r.id, 'course_id', r.course_id, 'user_id', r.user_id, 'by', r.cause,
        'before', r.before,
        'after', jsonb_build_object('completed_lessons', r.completed_lessons,
          'total_lessons', r.total_lessons, 'completed_weight', r.completed_weight,
          'total_weight', r.total_weight, 'progress_percent', r.new_percent,
          'completed_at', r.completed_at),
        'modules', '[]'::jsonb));
    end if;
  end loop;

  for r in
    with wanted as (
      select e.id as enrollment_id, e.user_id, e.course_id, e.cycle, n.*, mp.status as old_status,
             mp.started_at as old_started_at,
             case when p_by = 'recalculation' and e.settled_version < c.settle_version
               then 'catalog' else p_by end as cause,
             case when private.module_done(n.completion_rule, n.completed_lessons,
                         n.total_lessons, n.completed_quizzes, n.total_quizzes)
               then case when p_by = 'import' then coalesce((
                 select max(p.completed_at)
                   from public.user_progress p
                   join public.lessons l on l.id = p.lesson_id
                  where p.user_id = e.user_id and l.module_id = n.module_id and l.is_countable),
                 v_now) else v_now end end as completed_at,
             case when mp.user_id is not null then jsonb_build_object(
               'completed_lessons', mp.completed_lessons, 'total_lessons', mp.total_lessons,
               'completed_quizzes', mp.completed_quizzes, 'total_quizzes', mp.total_quizzes)
             end as before
        from public.enrollments e
        join public.courses c on c.id = e.course_id
       cross join lateral private.recount_modules(e.user_id, e.course_id) n
        left join public.module_progress mp
          on mp.user_id = e.user_id and mp.module_id = n.module_id
       where e.id = any (p_enrollment_ids)
         and case when mp.user_id is null then n.started_at is not null or n.has_waivers
                  else (mp.started_at is null and n.started_at is not null)
                       or (mp.course_id, mp.completion_rule, mp.completed_lessons, mp.total_lessons,
                           mp.completed_quizzes, mp.total_quizzes)
                            is distinct from
                          (e.course_id, n.completion_rule, n.completed_lessons, n.total_lessons,
                           n.completed_quizzes, n.total_quizzes) end
    ),
    written as (
      insert into public.module_progress as mp
        (user_id, module_id, course_id, completion_rule, completed_lessons, total_lessons,
         completed_quizzes, total_quizzes, started_at, completed_at)
      select w.user_id, w.module_id, w.course_id, w.completion_rule, w.completed_lessons,
             w.total_lessons, w.completed_quizzes, w.total_quizzes,
             w.started_at, w.completed_at
        from wanted w
       where not p_dry_run
       order by w.user_id, w.module_id
          on conflict (user_id, module_id) do update
         set course_id = excluded.course_id,
             completion_rule = excluded.completion_rule,
             completed_lessons = excluded.completed_lessons,
             total_lessons = excluded.total_lessons,
             completed_quizzes = excluded.completed_quizzes,
             total_quizzes = excluded.total_quizzes,
             started_at = least(mp.started_at, excluded.started_at),
             completed_at = coalesce(mp.completed_at, excluded.completed_at)
    ),
    told as (
      insert into public.progress_events
        (occurred_at, user_id, course_id, module_id, enrollment_id, cycle, kind, data)
      select t.at, w.user_id, w.course_id, w.module_id, w.enrollment_id, w.cycle, t.kind, t.data
        from wanted w
       cross join lateral (values
         (w.started_at >= w.old_started_at is not true and w.started_at is not null,
          case w.cause when 'import' then w.started_at else v_now end,
          'module_started', jsonb_build_object('by', w.cause, 'started_at', w.started_at)),
         (w.completed_at is not null and w.old_status is distinct from 'completed', w.completed_at,
          'module_completed', jsonb_build_object('by', w.cause))
       ) as t (happened, at, kind, data)
       where not p_dry_run and t.happened
       order by w.user_id, w.module_id, t.kind desc
    )
    select w.enrollment_id, w.course_id, w.user_id, w.cause,
           jsonb_agg(jsonb_build_object('module_id', w.module_id, 'before', w.before,
             'after', jsonb_build_object(
               'completed_lessons', w.completed_lessons, 'total_lessons', w.total_lessons,
               'completed_quizzes', w.completed_quizzes, 'total_quizzes', w.total_quizzes))
             order by w.module_id) as modules
      from wanted w
     where p_by = 'recalculation'
     group by w.enrollment_id, w.course_id, w.user_id, w.cause
  loop
    v_found := v_found || jsonb_build_object(r.enrollment_id, coalesce(
      v_found -> r.enrollment_id::text, jsonb_build_object('enrollment_id', r.enrollment_id,
        'course_id', r.course_id, 'user_id', r.user_id, 'by', r.cause, 'before', null, 'after', null))
      || jsonb_build_object('modules', r.modules));
  end loop;

  if not p_dry_run then
    if p_by <> 'import' then
      perform private.finish_courses(v_finished, v_now, p_by);
      perform private.certify(v_crossed);
    else
      insert into public.progress_events
        (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
      select e.completed_at, e.user_id, e.course_id, e.id, e.cycle, 'course_completed',
             jsonb_build_object('by', p_by, 'snapshot', e.completion_snapshot)
        from public.enrollments e
       where e.id = any (v_finished)
       order by e.user_id;
      perform private.certify(v_finished || v_crossed, false);
    end if;
    for r in select value as found from jsonb_each(v_found) where value ->> 'by' = 'recalculation'
    loop
      perform private.audit('enrollment.recalculate', (r.found ->> 'course_id')::bigint,
        (r.found ->> 'user_id')::uuid, 'enrollment:' || (r.found ->> 'enrollment_id'), 'drift',
        coalesce(nullif(r.found -> 'before', 'null'), r.found -> 'modules'),
        nullif(r.found -> 'after', 'null'));
    end loop;
    perform set_config('waymark.editing', coalesce(v_editing, ''), true);
  end if;
  return jsonb_path_query_array(v_found, '$.*');
end
$$;
comment on function private.settle_enrollments(uuid[], text, boolean) is
  'Counts these enrolments and their modules again and writes what differs; returns it, before and after.';
revoke execute on function private.settle_enrollments(uuid[], text, boolean) from public;
grant execute on function private.settle_enrollments(uuid[], text, boolean) to waymark_writer;

-- One enrolment; {enrollment_id, old_percent, progress_percent, completed_at, changed, drift}.
create function private.recalculate_enrollment(p_enrollment_id uuid, p_dry_run boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  e public.enrollments;
  v_drift jsonb;
begin
  select * into e from public.enrollments where id = p_enrollment_id;
  if not found then
    return null;
  end if;
  v_drift := private.settle_enrollments(array[e.id], 'recalculation', p_dry_run) -> 0;
  return jsonb_build_object(
    'enrollment_id', e.id,
    'old_percent', coalesce(v_drift #> '{before,progress_percent}', to_jsonb(e.progress_percent)),
    'progress_percent',
    coalesce(v_drift #> '{after,progress_percent}', to_jsonb(e.progress_percent)),
    'completed_at', coalesce(nullif(v_drift #> '{after,completed_at}', 'null'), to_jsonb(e.completed_at)),
    'changed', v_drift is not null,
    'drift', case when v_drift is null then '[]' else jsonb_build_array(v_drift - 'user_id') end);
end
$$;
comment on function private.recalculate_enrollment(uuid, boolean) is
  'Counts one enrolment again and mends what differs.';
revoke execute on function private.recalculate_enrollment(uuid, boolean) from public;

-- Looks at enrolments in order of id, fifty at a time and without a lock, and mends the few that differ.
-- Ends when p_seconds are over, wherever it is: the cursor says where to go on. What cannot be mended is
-- told in its place and stops no other.
create function private.recalculate_slice(
  p_course_id bigint, p_cursor uuid, p_limit integer, p_dry_run boolean, p_seconds numeric
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => p_seconds);
  v_cursor uuid := p_cursor;
  v_checked integer := 0;
  v_drift jsonb := '[]';
  v_failed jsonb := '[]';
  v_held boolean := false;
  v_ids uuid[];
  v_id uuid;
  v_found jsonb;
begin
  loop
    v_ids := array(
      select e.id
        from public.enrollments e
       where (p_course_id is null or e.course_id = p_course_id)
         and (v_cursor is null or e.id > v_cursor)
       order by e.id
       limit least(50, p_limit - v_checked));
    v_checked := v_checked + cardinality(v_ids);
    v_cursor := v_ids[cardinality(v_ids)];
    begin
      v_found := private.settle_enrollments(v_ids, 'recalculation', true);
      v_ids := array(select (d ->> 'enrollment_id')::uuid from jsonb_array_elements(v_found) as d);
    exception when others then
      v_found := null;  -- one of them cannot be counted: each by itself
    end;
    if p_dry_run and v_found is not null then
      v_drift := v_drift || v_found;
      v_ids := '{}';
    elsif not p_dry_run and v_ids <> '{}' and not v_held then
      -- As an editor, and of many courses in the order of enrolments: no edit may interleave.
      perform pg_advisory_xact_lock_shared(private.editors_key());
      perform set_config('waymark.editing', 'on', true);
      perform pg_advisory_xact_lock_shared(private.crossing_key());
      v_held := true;
    end if;
    foreach v_id in array v_ids loop
      begin
        v_drift := v_drift || private.settle_enrollments(array[v_id], 'recalculation', p_dry_run);
      exception
        when deadlock_detected or serialization_failure then
          raise;
        when others then
          v_failed := v_failed || jsonb_build_object('enrollment_id', v_id, 'message', sqlerrm);
      end;
    end loop;
    exit when v_cursor is null or v_checked >= p_limit or clock_timestamp() > v_until;
  end loop;
  return jsonb_build_object(
    'checked', v_checked,
    'changed', jsonb_array_length(v_drift),
    'cursor', v_cursor,
    'drift', coalesce((
      select jsonb_agg(d.value - 'user_id' order by d.n)
        from jsonb_array_elements(v_drift) with ordinality as d (value, n)), '[]'),
    'failed', v_failed);
end
$$;
comment on function private.recalculate_slice(bigint, uuid, integer, boolean, numeric) is
  'Counts enrolments of a course, or of all, again after a cursor: {checked, changed, cursor, drift, failed}.';
revoke execute on function private.recalculate_slice(bigint, uuid, integer, boolean, numeric)
  from public;

create function private.recalculate(
  p_enrollment_id uuid, p_course_id bigint, p_all boolean, p_dry_run boolean, p_cursor uuid,
  p_limit integer
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_admin boolean := private.is_admin();
  v_one jsonb;
begin
  if not v_admin then
    perform private.require_user();
  end if;
  if num_nonnulls(p_enrollment_id, p_course_id, nullif(p_all, false)) <> 1 then
    perform private.fail('invalid_value', 422,
      'Name one of enrollment_id, course_id or all');
  end if;
  if p_enrollment_id is not null then
    if not exists (
      select from public.enrollments e
       where e.id = p_enrollment_id and (v_admin or e.user_id = private.uid()))
    then
      perform private.fail('enrollment_not_found', 404, 'Enrolment not found');
    end if;
    v_one := private.recalculate_enrollment(p_enrollment_id, coalesce(p_dry_run, false));
    return v_one || jsonb_build_object(
      'checked', 1, 'changed', (v_one ->> 'changed')::boolean::integer, 'cursor', null,
      'failed', '[]'::jsonb);
  end if;

  if not v_admin then
    perform private.fail('not_allowed', 403, 'Only admins may recalculate courses');
  end if;
  if p_limit is null or p_limit not between 1 and 5000 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 5000');
  end if;
  if p_course_id is not null
     and not exists (select from public.courses where id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  -- Half of the time that a hosted project gives a statement.
  return private.recalculate_slice(p_course_id, p_cursor, p_limit, coalesce(p_dry_run, false), 4);
end
$$;
comment on function private.recalculate(uuid, bigint, boolean, boolean, uuid, integer) is
  'One own enrolment, or by slices a course or all (admins); {checked, changed, cursor, drift, failed}.';

create function public.recalculate(
  p_enrollment_id uuid default null, p_course_id bigint default null, p_all boolean default false,
  p_dry_run boolean default false, p_cursor uuid default null, p_limit integer default 1000
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.recalculate(p_enrollment_id, p_course_id, p_all, p_dry_run, p_cursor, p_limit);
end;
comment on function public.recalculate(uuid, bigint, boolean, boolean, uuid, integer) is
  'Counts again: one own enrolment, or by slices a course or everything (admins).';

revoke execute on function private.recalculate(uuid, bigint, boolean, boolean, uuid, integer)
  from public;
revoke execute on function public.recalculate(uuid, bigint, boolean, boolean, uuid, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.recalculate(uuid, bigint, boolean, boolean, uuid, integer),
  private.recalculate(uuid, bigint, boolean, boolean, uuid, integer)
  to authenticated, service_role;
