-- Who reads what: grants and row level security of every table but profiles.
--
-- supabase/policies/<table>.sql holds the same, table by table, as it is now; a test proves that
-- both agree. One owner-only SELECT policy per learner table: a second, "or staff" policy would turn
-- a learner's read into a sequential scan. The insert and update policies of learner tables are live
-- for waymark_writer, which the write path runs as; `authenticated` holds no such grant.

create function private.my_course_ids() returns setof bigint
language sql stable security definer set search_path = ''
as $$
  select e.course_id
    from public.enrollments e
   where e.user_id = private.uid() and e.status = 'active'
     and (e.expires_at is null or e.expires_at > private.clock())
  union
  select s.course_id from public.course_staff s where s.user_id = private.uid()
  union
  select c.id from public.courses c where (select private.is_admin())
$$;
comment on function private.my_course_ids() is
  'Courses whose content the caller may read: enrolled (active, not expired) or staff; admins all.';
revoke execute on function private.my_course_ids() from public;
grant execute on function private.my_course_ids() to authenticated;

-- Dates close the content of a lesson too, to those who have not finished it. Order and prerequisites do
-- not: they say what comes first, not what is secret. Asked once a query, and quick where nothing that
-- the caller is enrolled in has rules.
create function private.my_closed_lesson_ids() returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  e public.enrollments;
begin
  if private.is_admin() then
    return;
  end if;
  for e in
    select x.*
      from public.enrollments x
      join public.courses c on c.id = x.course_id
     where x.user_id = private.uid() and c.has_rules
       and not (c.status = 'published' and c.content_access = 'public')
       and not exists (
         select from public.course_staff s where s.course_id = c.id and s.user_id = x.user_id)
  loop
    return query
    select d.lesson_id
      from private.lesson_dates(e, private.dated_lesson_ids(e.course_id)) d
     where d.opens_at > v_now
       and (select p.is_completed from public.user_progress p
             where p.user_id = e.user_id and p.lesson_id = d.lesson_id) is not true;
  end loop;
end
$$;
comment on function private.my_closed_lesson_ids() is
  'Lessons whose date keeps their content from the caller: enrolled, neither staff nor admin.';
revoke execute on function private.my_closed_lesson_ids() from public;
grant execute on function private.my_closed_lesson_ids() to authenticated;

-- courses
grant select on table public.courses to anon, authenticated, service_role, waymark_writer;
grant insert (slug, title, author, category, description, language, image_url, duration_minutes, rating,
  badges, collections, status, enrollment_mode, content_access, sequential, max_cycles, staff_may_override,
  certificate_enabled, certificate_min_percent, certificate_min_score, certificate_valid_months, certificate_hours,
  certificate_template)
  on table public.courses to service_role;
grant delete on table public.courses to service_role;
grant update (slug, title, author, category, description, language, image_url, duration_minutes, rating,
  badges, collections, status, enrollment_mode, content_access, sequential, max_cycles, staff_may_override,
  certificate_enabled, certificate_min_percent, certificate_min_score, certificate_valid_months, certificate_hours,
  certificate_template)
  on table public.courses to service_role;
create policy "Anyone reads published courses" on public.courses
  for select to anon using (status = 'published');
create policy "Users read published courses and their own" on public.courses
  for select to authenticated
  using (status = 'published' or id in (select private.my_course_ids()));
create policy "The write path reads every course" on public.courses
  for select to waymark_writer using (true);

-- course_staff
grant select on table public.course_staff to authenticated, service_role, waymark_writer;
grant insert, update, delete on table public.course_staff to service_role;
create policy "Staff read their own appointments" on public.course_staff
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

-- cohorts
grant select on table public.cohorts to authenticated, service_role;
grant insert, update, delete on table public.cohorts to service_role;
create policy "Members read the cohorts of their courses" on public.cohorts
  for select to authenticated using (course_id in (select private.my_course_ids()));

-- modules
grant select on table public.modules to anon, authenticated, service_role, waymark_writer;
grant insert (id, course_id, slug, position, title, description, duration_minutes, completion_rule,
  available_from, available_after_days, available_after_previous_days)
  on table public.modules to service_role;
grant delete on table public.modules to service_role;
grant update (course_id, slug, position, title, description, duration_minutes, completion_rule,
  available_from, available_after_days, available_after_previous_days)
  on table public.modules to service_role;
create policy "Anyone reads the modules of published courses" on public.modules
  for select to anon using (course_id in (select c.id from public.courses c));
create policy "Users read the modules of courses they see" on public.modules
  for select to authenticated using (course_id in (select c.id from public.courses c));
create policy "The write path reads every module" on public.modules
  for select to waymark_writer using (true);

-- lessons
grant select on table public.lessons to anon, authenticated, service_role, waymark_writer;
grant insert (id, module_id, course_id, slug, position, title, type, video_url, content,
  duration_seconds, is_preview, is_required, weight, completion_rule, min_view_seconds,
  watch_percent, pass_percent, certificate_min_score, archived_at, available_from,
  available_after_days, available_after_previous_days)
  on table public.lessons to service_role;
grant delete on table public.lessons to service_role;
grant update (module_id, course_id, slug, position, title, type, video_url, content,
  duration_seconds, is_preview, is_required, weight, completion_rule, min_view_seconds,
  watch_percent, pass_percent, certificate_min_score, archived_at, available_from,
  available_after_days, available_after_previous_days)
  on table public.lessons to service_role;
create policy "Anyone reads public lessons and previews" on public.lessons
  for select to anon
  using (archived_at is null and (
    course_id in (
      select c.id from public.courses c
       where c.status = 'published' and c.content_access = 'public')
    or (is_preview and course_id in (
      select c.id from public.courses c where c.status = 'published'))));
create policy "Users read public lessons, previews and their courses' lessons" on public.lessons
  for select to authenticated
  using (
    course_id in (select private.my_course_ids())
      and id not in (select private.my_closed_lesson_ids())
    or (archived_at is null and (
      course_id in (
        select c.id from public.courses c
         where c.status = 'published' and c.content_access = 'public')
      or (is_preview and course_id in (
        select c.id from public.courses c where c.status = 'published')))));
create policy "The write path reads every lesson" on public.lessons
  for select to waymark_writer using (true);

-- resources
grant select on table public.resources to anon, authenticated, service_role;
grant insert, update, delete on table public.resources to service_role;
create policy "Anyone reads resources of what is open to all" on public.resources
  for select to anon
  using (case
    when lesson_id is null then course_id in (
      select c.id from public.courses c
       where c.status = 'published' and c.content_access = 'public')
    else exists (select from public.lessons l where l.id = resources.lesson_id) end);
create policy "Users read resources of what they may read" on public.resources
  for select to authenticated
  using (case
    when lesson_id is null then
      course_id in (select private.my_course_ids())
      or course_id in (
        select c.id from public.courses c
         where c.status = 'published' and c.content_access = 'public')
    else exists (select from public.lessons l where l.id = resources.lesson_id) end);

-- enrollments: servers that sell courses insert and change them with the service role; counters are
-- filled by trigger, and no grant reaches them afterwards.
grant select on table public.enrollments to authenticated, service_role, waymark_writer;
grant insert (user_id, course_id, cohort_id, purchase_id, expires_at)
  on table public.enrollments to service_role;
grant update (cohort_id, purchase_id, status, expires_at) on table public.enrollments to service_role;
grant delete on table public.enrollments to service_role;
grant insert (user_id, course_id) on table public.enrollments to waymark_writer;
grant update (status, completed_lessons, completed_weight, progress_percent, completed_at,
  completion_snapshot, last_accessed_at, current_module_id, current_lesson_id, current_section,
  view_time_seconds, frontier_lesson_id, frontier_version)
  on table public.enrollments to waymark_writer;
create policy "Learners read their own enrolments" on public.enrollments
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners enrol themselves" on public.enrollments
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
create policy "Learners move their own enrolments" on public.enrollments
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

-- user_progress
grant select on table public.user_progress to authenticated, service_role, waymark_writer;
grant insert (user_id, lesson_id, course_id, status, progress, started_at, last_accessed,
  completed_at, completed_on, position_seconds)
  on table public.user_progress to waymark_writer;
grant update (status, progress, started_at, last_accessed, completed_at, completed_on,
  view_time_seconds, position_seconds, watched)
  on table public.user_progress to waymark_writer;
create policy "Learners read their own progress" on public.user_progress
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners begin their own progress" on public.user_progress
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
create policy "Learners advance their own progress" on public.user_progress
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

-- module_progress
grant select on table public.module_progress to authenticated, service_role, waymark_writer;
grant insert (user_id, module_id, course_id, completion_rule, completed_lessons, total_lessons,
  completed_quizzes, total_quizzes, started_at, completed_at)
  on table public.module_progress to waymark_writer;
grant update (completed_lessons, completed_quizzes, started_at, completed_at)
  on table public.module_progress to waymark_writer;
create policy "Learners read their own module progress" on public.module_progress
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners begin their own modules" on public.module_progress
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
create policy "Learners advance their own modules" on public.module_progress
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

-- lesson_waivers
grant select on table public.lesson_waivers to authenticated, service_role, waymark_writer;
create policy "Learners read their own waivers" on public.lesson_waivers
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

-- daily_activity
grant select on table public.daily_activity to authenticated, service_role, waymark_writer;
grant insert (user_id, day, lessons_completed, view_seconds, attempts, first_at, last_at)
  on table public.daily_activity to waymark_writer;
grant update (lessons_completed, view_seconds, attempts, first_at, last_at)
  on table public.daily_activity to waymark_writer;
create policy "Learners read their own activity" on public.daily_activity
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners begin their own days" on public.daily_activity
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
create policy "Learners advance their own days" on public.daily_activity
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

-- progress_events
grant select on table public.progress_events to authenticated, service_role, waymark_writer;
grant insert (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
  on table public.progress_events to waymark_writer;
create policy "Learners read their own history" on public.progress_events
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners add to their own history" on public.progress_events
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

-- audit_log: admins read it; nobody but private.audit() writes it.
grant select on table public.audit_log to service_role;
create policy "No learner or staff reads the audit log" on public.audit_log
  for select to authenticated using (false);
