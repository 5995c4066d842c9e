-- Grants and row level security of public.module_progress, as they are now. Safe to run again.

alter table public.module_progress enable row level security;

revoke all on table public.module_progress from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.module_progress to authenticated, service_role, waymark_writer;
grant insert (user_id, module_id, course_id, completion_rule, completed_lessons, total_lessons,
  completed_quizzes, total_quizzes, started_at, completed_at)
  on table public.module_progress to waymark_writer;
grant update (completed_lessons, completed_quizzes, started_at, completed_at)
  on table public.module_progress to waymark_writer;

drop policy if exists "Learners read their own module progress" on public.module_progress;
create policy "Learners read their own module progress" on public.module_progress
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners begin their own modules" on public.module_progress;
create policy "Learners begin their own modules" on public.module_progress
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

drop policy if exists "Learners advance their own modules" on public.module_progress;
create policy "Learners advance their own modules" on public.module_progress
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
