-- What staff do with enrolments: enrol many, put them into cohorts, move deadlines, withdraw and
-- reinstate. Each command asks for a reason and is audited, learner by learner; of a list, a line that
-- fails is reported in its place and stops no other.

select private.require_free(array[
  'private.assign_cohort', 'private.bulk_enroll', 'private.cohort_json', 'private.create_cohort',
  'private.extend_enrollment', 'private.open_enrollment', 'private.rename_cohort',
  'private.require_cohort', 'private.set_enrollment_status', 'private.share_for_staff',
  'public.assign_cohort', 'public.bulk_enroll', 'public.create_cohort', 'public.extend_enrollment',
  'public.reinstate_enrollment', 'public.rename_cohort', 'public.withdraw_enrollment']);

-- As an editor, so that the updates that follow are no raw ones, whose lock would come too late.
create function private.share_for_staff(p_course_id bigint) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  perform pg_advisory_xact_lock_shared(private.crossing_key());
  perform private.share_course(p_course_id);
end
$$;
comment on function private.share_for_staff(bigint) is
  'The locks of a staff command about enrolments of one course, before it locks their rows.';
revoke execute on function private.share_for_staff(bigint) from public;

create function private.open_enrollment(p_enrollment_id uuid, p_reason text)
returns public.enrollments
language plpgsql volatile security definer set search_path = ''
as $$
declare
  e public.enrollments;
begin
  select * into e from public.enrollments where id = p_enrollment_id;
  if not found then
    perform private.fail('enrollment_not_found', 404, 'Enrolment not found');
  end if;
  perform private.require_exception(e.course_id, 'enrollment', e.user_id, p_reason);
  perform private.share_for_staff(e.course_id);
  select * into e from public.enrollments where id = p_enrollment_id for no key update;
  if not found then
    perform private.fail('enrollment_not_found', 404, 'Enrolment not found');
  end if;
  return e;
end
$$;
comment on function private.open_enrollment(uuid, text) is
  'Authorises a staff command about an enrolment, locks its row and returns it.';
revoke execute on function private.open_enrollment(uuid, text) from public;

create function private.extend_enrollment(
  p_enrollment_id uuid, p_expires_at timestamptz, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  e public.enrollments := private.open_enrollment(p_enrollment_id, p_reason);
  v_before timestamptz := e.expires_at;
  v_changed boolean := p_expires_at is distinct from e.expires_at;
begin
  if not isfinite(p_expires_at) or p_expires_at <= private.clock() then
    perform private.fail('invalid_value', 422, 'A deadline lies in the future');
  elsif v_changed and (v_before is null or p_expires_at < v_before) then
    perform private.fail('invalid_value', 422, 'A deadline is only moved to a later time');
  end if;
  if v_changed then
    update public.enrollments set expires_at = p_expires_at where id = e.id returning * into e;
    perform private.audit('enrollment.extend', e.course_id, e.user_id, 'enrollment:' || e.id,
      p_reason, jsonb_build_object('expires_at', v_before),
      jsonb_build_object('expires_at', e.expires_at));
  end if;
  return jsonb_build_object('enrollment', private.enrollment_json(e), 'changed', v_changed);
end
$$;
comment on function private.extend_enrollment(uuid, timestamptz, text) is
  'Moves an enrolment''s deadline to a later time; null takes it away.';

create function private.set_enrollment_status(
  p_enrollment_id uuid, p_status text, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  e public.enrollments := private.open_enrollment(p_enrollment_id, p_reason);
  v_before text := e.status;
begin
  if v_before <> p_status then
    update public.enrollments set status = p_status where id = e.id returning * into e;
    perform private.audit(
      case p_status when 'active' then 'enrollment.reinstate' else 'enrollment.withdraw' end,
      e.course_id, e.user_id, 'enrollment:' || e.id, p_reason,
      jsonb_build_object('status', v_before), jsonb_build_object('status', e.status));
  end if;
  return jsonb_build_object(
    'enrollment', private.enrollment_json(e), 'changed', v_before <> p_status);
end
$$;
comment on function private.set_enrollment_status(uuid, text, text) is
  'Withdraws or reinstates an enrolment; what was done in it stays.';

-- Cohorts -------------------------------------------------------------------------------------------

create function private.cohort_json(g public.cohorts) returns jsonb
language sql stable security invoker set search_path = ''
return jsonb_build_object('id', (g).id, 'course_id', (g).course_id, 'name', (g).name,
  'starts_at', (g).starts_at, 'ends_at', (g).ends_at);
comment on function private.cohort_json(public.cohorts) is 'A cohort as callers see it.';
revoke execute on function private.cohort_json(public.cohorts) from public;

create function private.create_cohort(
  p_course_id bigint, p_name text, p_starts_at timestamptz, p_ends_at timestamptz, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  g public.cohorts;
begin
  if not exists (select from public.courses where id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  perform private.require_grader(p_course_id);
  perform private.check_reason(p_reason);
  begin
    insert into public.cohorts (course_id, name, starts_at, ends_at)
    values (p_course_id, btrim(p_name), p_starts_at, p_ends_at)
    returning * into g;
  exception
    when unique_violation then
      perform private.fail('conflict', 409, 'This course has a cohort of that name already');
    when check_violation or not_null_violation then
      perform private.fail('invalid_value', 422,
        'A cohort has a name of at most 200 characters, and ends after it starts');
  end;
  perform private.audit('cohort.create', p_course_id, null, 'cohort:' || g.id, p_reason, null,
    private.cohort_json(g));
  return jsonb_build_object('cohort', private.cohort_json(g), 'changed', true);
end
$$;
comment on function private.create_cohort(bigint, text, timestamptz, timestamptz, text) is
  'Makes a cohort of a course.';

create function private.rename_cohort(p_cohort_id uuid, p_name text, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  g public.cohorts;
  v_before text;
begin
  select * into g from public.cohorts where id = p_cohort_id;
  if not found then
    perform private.fail('cohort_not_found', 404, 'Cohort not found');
  end if;
  perform private.require_grader(g.course_id, 'cohort');
  perform private.check_reason(p_reason);
  select name into v_before from public.cohorts where id = p_cohort_id for no key update;
  if btrim(p_name) is distinct from v_before then
    begin
      update public.cohorts set name = btrim(p_name) where id = g.id returning * into g;
    exception
      when unique_violation then
        perform private.fail('conflict', 409, 'This course has a cohort of that name already');
      when check_violation or not_null_violation then
        perform private.fail('invalid_value', 422, 'A cohort has a name of at most 200 characters');
    end;
    perform private.audit('cohort.rename', g.course_id, null, 'cohort:' || g.id, p_reason,
      jsonb_build_object('name', v_before), jsonb_build_object('name', g.name));
  end if;
  return jsonb_build_object('cohort', private.cohort_json(g), 'changed', g.name <> v_before);
end
$$;
comment on function private.rename_cohort(uuid, text, text) is 'Gives a cohort another name.';

create function private.require_cohort(p_cohort_id uuid, p_course_id bigint) returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_cohort_id is not null and not exists (
    select from public.cohorts g where g.id = p_cohort_id and g.course_id = p_course_id)
  then
    perform private.fail('cohort_not_found', 404, 'Cohort not found');
  end if;
end
$$;
comment on function private.require_cohort(uuid, bigint) is
  'Refuses a cohort that the course does not have; null is none.';
revoke execute on function private.require_cohort(uuid, bigint) from public;

create function private.assign_cohort(
  p_course_id bigint, p_cohort_id uuid, p_user_ids uuid[], p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_lines jsonb;
begin
  if not exists (select from public.courses where id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  perform private.require_grader(p_course_id);
  perform private.check_reason(p_reason);
  if coalesce(cardinality(p_user_ids), 0) not between 1 and 500 then
    perform private.fail('invalid_value', 422, 'A call names 1 to 500 learners');
  end if;
  perform private.share_for_staff(p_course_id);
  perform private.require_cohort(p_cohort_id, p_course_id);
  perform from public.enrollments e
    where e.course_id = p_course_id and e.user_id = any (p_user_ids)
    order by e.id
      for no key update;
  -- Audited and answered from what was there before the update.
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
           'line', line.n, 'user_id', line.user_id, 'enrollment_id', e.id,
           'status', case when e.id is null then 'refused'
             when e.cohort_id is not distinct from p_cohort_id then 'unchanged'
             else 'assigned' end,
           'code', case when e.id is null then 'not_enrolled' end)) order by line.n)
    into v_lines
    from unnest(p_user_ids) with ordinality as line (user_id, n)
    left join public.enrollments e on e.course_id = p_course_id and e.user_id = line.user_id;
  perform private.audit('cohort.assign', p_course_id, e.user_id, 'enrollment:' || e.id, p_reason,
      jsonb_build_object('cohort_id', e.cohort_id), jsonb_build_object('cohort_id', p_cohort_id))
     from public.enrollments e
    where e.course_id = p_course_id and e.user_id = any (p_user_ids)
      and e.cohort_id is distinct from p_cohort_id;
  update public.enrollments e
     set cohort_id = p_cohort_id
   where e.course_id = p_course_id and e.user_id = any (p_user_ids)
     and e.cohort_id is distinct from p_cohort_id;
  return jsonb_build_object('results', v_lines, 'changed', v_lines @> '[{"status": "assigned"}]');
end
$$;
comment on function private.assign_cohort(bigint, uuid, uuid[], text) is
  'Puts enrolled learners into a cohort, or out of theirs (null); one result each.';

-- Enrolling many ------------------------------------------------------------------------------------

-- Whose an e-mail address is, is for admins to know. In the order of users, as any two of these calls
-- must take theirs.
create function private.bulk_enroll(
  p_course_id bigint, p_learners text[], p_cohort_id uuid, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_admin boolean := private.is_admin();
  v_lines jsonb[];
  v_enrolled integer := 0;
  v_new boolean;
  r record;
  e public.enrollments;
begin
  if not exists (select from public.courses where id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  perform private.require_grader(p_course_id);
  perform private.check_reason(p_reason);
  if coalesce(cardinality(p_learners), 0) not between 1 and 500 then
    perform private.fail('invalid_value', 422, 'A call names 1 to 500 learners');
  end if;
  perform private.share_for_staff(p_course_id);
  perform private.require_cohort(p_cohort_id, p_course_id);
  v_lines := array_fill(null::jsonb, array[cardinality(p_learners)]);
  for r in
    with line as (
      select t.n, btrim(t.text) as text,
             btrim(t.text) ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' as is_id
        from unnest(p_learners) with ordinality as t (text, n)
    ),
    meant as (
      select line.n, u.id as user_id, 1 as found, null as code
        from line
        left join auth.users u
          on u.id = case when line.is_id then line.text::uuid end
       where line.is_id
      union all
      -- Auth keeps addresses in lower case; single sign-on may have several users of one.
      select line.n, min(u.id::text)::uuid, count(u.id)::integer,
             case when line.text is null or line.text not like '%_@_%' then 'invalid_value'
                  when not v_admin then 'not_allowed' end
        from line
        left join auth.users u on v_admin and u.email = lower(line.text)
       where line.is_id is not true
       group by line.n, line.text
    )
    select m.n, m.user_id,
           coalesce(m.code, case when m.user_id is null then 'user_not_found'
                                 when m.found > 1 then 'invalid_value'
                                 when m.user_id = private.uid() and not v_admin
                                   then 'not_allowed' end) as code
      from meant m
     order by m.user_id, m.n
  loop
    if r.code is not null then
      v_lines[r.n] := jsonb_build_object('line', r.n, 'status', 'refused', 'code', r.code);
      continue;
    end if;
    insert into public.enrollments (user_id, course_id, cohort_id)
    values (r.user_id, p_course_id, p_cohort_id)
        on conflict (user_id, course_id) do nothing
    returning * into e;
    v_new := found;
    if v_new then
      v_enrolled := v_enrolled + 1;
      perform private.audit('enrollment.create', p_course_id, r.user_id, 'enrollment:' || e.id,
        p_reason, null, jsonb_build_object('status', e.status, 'cohort_id', e.cohort_id));
    else
      select * into e from public.enrollments
       where user_id = r.user_id and course_id = p_course_id;
    end if;
    v_lines[r.n] := jsonb_strip_nulls(jsonb_build_object(
      'line', r.n, 'user_id', r.user_id, 'enrollment_id', e.id,
      'status', case when v_new then 'enrolled' when e.status = 'active' then 'unchanged'
                     else 'refused' end,
      'code', case when e.status <> 'active' then 'enrollment_inactive' end));
  end loop;
  return jsonb_build_object('results', to_jsonb(v_lines), 'changed', v_enrolled > 0);
end
$$;
comment on function private.bulk_enroll(bigint, text[], uuid, text) is
  'Enrols up to 500 learners by user id, or for admins by e-mail address; one result each, no mail.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.extend_enrollment(
  p_enrollment_id uuid, p_reason text, p_expires_at timestamptz default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.extend_enrollment(p_enrollment_id, p_expires_at, p_reason); end;
comment on function public.extend_enrollment(uuid, text, timestamptz) is
  'Instructors and admins: moves an enrolment''s deadline to a later time, or away. Returns {enrollment, changed}.';

create function public.withdraw_enrollment(p_enrollment_id uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_enrollment_status(p_enrollment_id, 'withdrawn', p_reason); end;
comment on function public.withdraw_enrollment(uuid, text) is
  'Instructors and admins: ends an enrolment; what was done in it stays. Returns {enrollment, changed}.';

create function public.reinstate_enrollment(p_enrollment_id uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_enrollment_status(p_enrollment_id, 'active', p_reason); end;
comment on function public.reinstate_enrollment(uuid, text) is
  'Instructors and admins: a withdrawn enrolment goes on. Returns {enrollment, changed}.';

create function public.create_cohort(
  p_course_id bigint, p_name text, p_reason text, p_starts_at timestamptz default null,
  p_ends_at timestamptz default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.create_cohort(p_course_id, p_name, p_starts_at, p_ends_at, p_reason);
end;
comment on function public.create_cohort(bigint, text, text, timestamptz, timestamptz) is
  'Instructors and admins: makes a cohort. Returns {cohort, changed}.';

create function public.rename_cohort(p_cohort_id uuid, p_name text, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.rename_cohort(p_cohort_id, p_name, p_reason); end;
comment on function public.rename_cohort(uuid, text, text) is
  'Instructors and admins: gives a cohort another name. Returns {cohort, changed}.';

create function public.assign_cohort(
  p_course_id bigint, p_user_ids uuid[], p_reason text, p_cohort_id uuid default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.assign_cohort(p_course_id, p_cohort_id, p_user_ids, p_reason); end;
comment on function public.assign_cohort(bigint, uuid[], text, uuid) is
  'Instructors and admins: puts learners into a cohort, or out of theirs. Returns {results, changed}.';

create function public.bulk_enroll(
  p_course_id bigint, p_learners text[], p_reason text, p_cohort_id uuid default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.bulk_enroll(p_course_id, p_learners, p_cohort_id, p_reason); end;
comment on function public.bulk_enroll(bigint, text[], text, uuid) is
  'Instructors and admins: enrols up to 500 learners at once. Returns {results, changed}.';

revoke execute on function private.extend_enrollment from public;
revoke execute on function private.set_enrollment_status from public;
revoke execute on function private.create_cohort from public;
revoke execute on function private.rename_cohort from public;
revoke execute on function private.assign_cohort from public;
revoke execute on function private.bulk_enroll from public;
revoke execute on function public.extend_enrollment from public, anon, authenticated, service_role;
grant execute on function public.extend_enrollment, private.extend_enrollment
  to authenticated, service_role;
revoke execute on function public.withdraw_enrollment from public, anon, authenticated, service_role;
grant execute on function public.withdraw_enrollment, private.set_enrollment_status
  to authenticated, service_role;
revoke execute on function public.reinstate_enrollment from public, anon, authenticated, service_role;
grant execute on function public.reinstate_enrollment, private.set_enrollment_status
  to authenticated, service_role;
revoke execute on function public.create_cohort from public, anon, authenticated, service_role;
grant execute on function public.create_cohort, private.create_cohort
  to authenticated, service_role;
revoke execute on function public.rename_cohort from public, anon, authenticated, service_role;
grant execute on function public.rename_cohort, private.rename_cohort
  to authenticated, service_role;
revoke execute on function public.assign_cohort from public, anon, authenticated, service_role;
grant execute on function public.assign_cohort, private.assign_cohort
  to authenticated, service_role;
revoke execute on function public.bulk_enroll from public, anon, authenticated, service_role;
grant execute on function public.bulk_enroll, private.bulk_enroll
  to authenticated, service_role;
