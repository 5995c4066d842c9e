-- Recalculation: counting again. Promise 5 says it never finds anything; operators and learners may
-- ask all the same, and the tests do after every step.

-- What an enrolment's counters must be, counted from lessons and progress and nothing else.
create function private.recount_enrollment(p_user_id uuid, p_course_id bigint)
returns table (
  completed_lessons integer, total_lessons integer, completed_weight bigint, total_weight bigint)
language sql stable security definer set search_path = ''
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

create function private.recount_modules(p_user_id uuid, p_course_id bigint)
returns table (
  module_id uuid, completion_rule text, completed_lessons integer, total_lessons integer,
  completed_quizzes integer, total_quizzes integer, started_at timestamptz, has_waivers boolean)
language sql stable security definer set search_path = ''
as $$
  select m.id, m.completion_rule,
         count(*) filter (where p.is_completed and l.is_countable and w.user_id is null)::integer,
         count(*) filter (where l.is_countable and w.user_id is null)::integer,
         count(*) filter (where p.is_completed and l.is_gate and w.user_id is null)::integer,
         count(*) filter (where l.is_gate and w.user_id is null)::integer,
         min(p.started_at), bool_or(w.user_id is not null)
    from public.lessons l
    join public.modules m on m.id = l.module_id
    left join public.user_progress p on p.user_id = p_user_id and p.lesson_id = l.id
    left join public.lesson_waivers w on w.user_id = p_user_id and w.lesson_id = l.id
   where l.course_id = p_course_id
   group by m.id
$$;
comment on function private.recount_modules(uuid, bigint) is 'A learner''s module counters, by counting.';
revoke execute on function private.recount_modules(uuid, bigint) from public;

-- Counts one enrolment and its modules again under the course's shared lock and the row's own lock,
-- and writes what differs. Returns {enrollment_id, old_percent, progress_percent, completed_at,
-- changed}; a dry run tells the same and writes nothing.
create function private.recalculate_enrollment(p_enrollment_id uuid, p_dry_run boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  e public.enrollments;
  n record;
  v_now timestamptz := private.clock();
  v_percent numeric;
  v_finishes boolean;
  v_changed boolean;
  v_modules bigint;
begin
  select * into e from public.enrollments where id = p_enrollment_id;
  if not found then
    return null;
  end if;
  perform private.share_course(e.course_id);
  select * into e from public.enrollments where id = p_enrollment_id for no key update;
  if not found then
    return null;
  end if;

  select * into n from private.recount_enrollment(e.user_id, e.course_id);
  v_percent := private.percent(n.completed_weight, n.total_weight);
  v_finishes := e.completed_at is null and v_percent = 100;
  v_changed := v_finishes or
    (e.completed_lessons, e.total_lessons, e.completed_weight, e.total_weight)
      is distinct from
    (n.completed_lessons, n.total_lessons, n.completed_weight, n.total_weight);

  if p_dry_run then
    select count(*) into v_modules
      from private.recount_modules(e.user_id, e.course_id) r
      left join public.module_progress mp on mp.user_id = e.user_id and mp.module_id = r.module_id
     where case when mp.user_id is null then r.started_at is not null or r.has_waivers
                else (mp.completion_rule, mp.completed_lessons, mp.total_lessons,
                      mp.completed_quizzes, mp.total_quizzes)
                       is distinct from
                     (r.completion_rule, r.completed_lessons, r.total_lessons,
                      r.completed_quizzes, r.total_quizzes) end;
  else
    insert into public.module_progress as mp
      (user_id, module_id, course_id, completion_rule, completed_lessons, total_lessons,
       completed_quizzes, total_quizzes, started_at, completed_at)
    select e.user_id, r.module_id, e.course_id, r.completion_rule, r.completed_lessons,
           r.total_lessons, r.completed_quizzes, r.total_quizzes, r.started_at,
           case when private.module_done(r.completion_rule, r.completed_lessons, r.total_lessons,
             r.completed_quizzes, r.total_quizzes) then v_now end
      from private.recount_modules(e.user_id, e.course_id) r
     where r.started_at is not null or r.has_waivers
        or exists (select from public.module_progress o
                    where o.user_id = e.user_id and o.module_id = r.module_id)
     order by r.module_id
        on conflict (user_id, module_id) do update
       set completion_rule = excluded.completion_rule,
           completed_lessons = excluded.completed_lessons,
           total_lessons = excluded.total_lessons,
           completed_quizzes = excluded.completed_quizzes,
           total_quizzes = excluded.total_quizzes,
           completed_at = coalesce(mp.completed_at, excluded.completed_at)
     where (mp.completion_rule, mp.completed_lessons, mp.total_lessons, mp.completed_quizzes,
            mp.total_quizzes)
       is distinct from (excluded.completion_rule, excluded.completed_lessons,
            excluded.total_lessons, excluded.completed_quizzes, excluded.total_quizzes);
    get diagnostics v_modules = row_count;
    if v_changed then
      update public.enrollments
         set completed_lessons = n.completed_lessons,
             total_lessons = n.total_lessons,
             completed_weight = n.completed_weight,
             total_weight = n.total_weight,
             progress_percent = v_percent,
             completed_at = case when v_finishes then v_now else completed_at end,
             completion_snapshot = case when v_finishes then jsonb_build_object(
               'lessons', n.total_lessons, 'weight', n.total_weight, 'catalog_version',
               (select c.catalog_version from public.courses c where c.id = e.course_id))
               else completion_snapshot end,
             frontier_lesson_id = null,
             frontier_version = null
       where id = e.id;
      if v_finishes then
        perform private.finish_courses(array[e.id], v_now, 'recalculation');
      elsif e.completed_at is null and v_percent > e.progress_percent then
        perform private.certify(array[e.id]);
      end if;
    end if;
    if v_changed or v_modules > 0 then
      perform private.audit('enrollment.recalculate', e.course_id, e.user_id,
        'enrollment:' || e.id, 'drift',
        jsonb_build_object('completed_lessons', e.completed_lessons,
          'total_lessons', e.total_lessons, 'progress_percent', e.progress_percent),
        jsonb_build_object('completed_lessons', n.completed_lessons,
          'total_lessons', n.total_lessons, 'progress_percent', v_percent));
    end if;
  end if;
  return jsonb_build_object(
    'enrollment_id', e.id,
    'old_percent', e.progress_percent,
    'progress_percent', v_percent,
    'completed_at', case when v_finishes then v_now else e.completed_at end,
    'changed', v_changed or v_modules > 0);
end
$$;
comment on function private.recalculate_enrollment(uuid, boolean) is
  'Counts one enrolment again and mends what differs.';
revoke execute on function private.recalculate_enrollment(uuid, boolean) from public;

create function private.recalculate(
  p_enrollment_id uuid, p_course_id bigint, p_all boolean, p_dry_run boolean, p_cursor uuid,
  p_limit integer
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_admin boolean := private.is_admin();
  v_one jsonb;
  v_id uuid;
  v_checked integer := 0;
  v_changed integer := 0;
begin
  -- As an editor: its updates of enrolments are not raw ones.
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
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
      'checked', 1, 'changed', (v_one ->> 'changed')::boolean::integer, 'cursor', null);
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
  -- Many courses in the order of enrolments: no edit that holds several may interleave.
  perform pg_advisory_xact_lock_shared(private.crossing_key());
  for v_id in
    select e.id
      from public.enrollments e
     where (p_course_id is null or e.course_id = p_course_id)
       and (p_cursor is null or e.id > p_cursor)
     order by e.id
     limit p_limit
  loop
    v_one := private.recalculate_enrollment(v_id, coalesce(p_dry_run, false));
    v_checked := v_checked + 1;
    v_changed := v_changed + coalesce((v_one ->> 'changed')::boolean::integer, 0);
  end loop;
  return jsonb_build_object(
    'checked', v_checked,
    'changed', v_changed,
    'cursor', case when v_checked = p_limit then v_id end);
end
$$;
comment on function private.recalculate(uuid, bigint, boolean, boolean, uuid, integer) is
  'One own enrolment, or by slices a course or all (admins); {checked, changed, cursor}.';

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
