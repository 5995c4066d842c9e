-- Reports: who counts, which lessons, and who may ask. Course report, lessons, learner table and exports
-- read these two views, so that an average and the list beside it are about the same people.
--
-- Views rather than functions: the planner puts the caller's filters into them. They are in `private`,
-- where nobody but definer functions of the migrating role reads them.

select private.require_free(array[
  'private.check_report', 'private.report_learners', 'private.report_lessons',
  'private.require_reporter']);

create view private.report_learners as
  select e.*, coalesce(e.cycle_started_at, e.enrolled_at) as began_at,
         (e.current_lesson_id is not null or e.completed_lessons > 0
           or e.last_accessed_at >= coalesce(e.cycle_started_at, e.enrolled_at)) is true as has_started
    from public.enrollments e
   where e.status = 'active'
     and not exists (
       select from public.course_staff s
        where s.course_id = e.course_id and s.user_id = e.user_id);
comment on view private.report_learners is
  'Enrolments that reports count: of learners who have neither left nor been withdrawn, and are no staff of the course.';
comment on column private.report_learners.began_at is
  'When the present cycle began: times to complete are counted from it.';
comment on column private.report_learners.has_started is
  'Whether any lesson was opened in the present cycle; last_accessed_at survives a retake.';

create view private.report_lessons as
  select l.*,
         row_number() over (
           partition by l.course_id order by l.module_position, l.module_id, l.position, l.id) as place
    from public.lessons l
   where not l.is_preview and l.archived_at is null;
comment on view private.report_lessons is
  'Lessons that reports show, in learning order: no previews, none archived; optional ones are among them.';
revoke all on private.report_learners, private.report_lessons
  from public, anon, authenticated, service_role, waymark_writer;

create function private.require_reporter(p_course_id bigint) returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if private.is_admin() then
    if not exists (select from public.courses c where c.id = p_course_id) then
      perform private.fail('course_not_found', 404, 'Course not found');
    end if;
    return;
  end if;
  perform private.require_user();
  if not exists (
    select from public.course_staff s
     where s.course_id = p_course_id and s.user_id = private.uid())
  then
    perform private.fail('not_allowed', 403, 'Only staff of this course see its reports');
  end if;
end
$$;
comment on function private.require_reporter(bigint) is
  'Refuses callers who are neither admin nor staff of the course, in whatever role.';
revoke execute on function private.require_reporter(bigint) from public;

-- Those enrolled from p_from on, and before p_to.
create function private.check_report(
  p_course_id bigint, p_cohort_id uuid, p_from timestamptz, p_to timestamptz
) returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_reporter(p_course_id);
  perform private.require_cohort(p_cohort_id, p_course_id);
  if not isfinite(p_from) or not isfinite(p_to) or p_from >= p_to then
    perform private.fail('invalid_value', 422, 'enrolled_from must lie before enrolled_to');
  end if;
end
$$;
comment on function private.check_report(bigint, uuid, timestamptz, timestamptz) is
  'Refuses whoever may not see the course''s reports, a cohort of another course, and dates in the wrong order.';
revoke execute on function private.check_report(bigint, uuid, timestamptz, timestamptz) from public;
