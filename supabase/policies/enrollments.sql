-- Grants and row level security of public.enrollments, as they are now. Safe to run again.

alter table public.enrollments enable row level security;

revoke all on table public.enrollments from public, anon, authenticated, service_role, waymark_writer;
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

drop policy if exists "Learners read their own enrolments" on public.enrollments;
create policy "Learners read their own enrolments" on public.enrollments
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners enrol themselves" on public.enrollments;
create policy "Learners enrol themselves" on public.enrollments
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

drop policy if exists "Learners move their own enrolments" on public.enrollments;
create policy "Learners move their own enrolments" on public.enrollments
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
