-- Grants and row level security of public.user_progress, as they are now. Safe to run again.

alter table public.user_progress enable row level security;

revoke all on table public.user_progress from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.user_progress to authenticated, service_role, waymark_writer;
grant insert (user_id, lesson_id, course_id, status, progress, started_at, last_accessed,
  completed_at, completed_on, position_seconds)
  on table public.user_progress to waymark_writer;
grant update (status, progress, started_at, last_accessed, completed_at, completed_on,
  view_time_seconds, position_seconds, watched, attempts, best_score)
  on table public.user_progress to waymark_writer;

drop policy if exists "Learners read their own progress" on public.user_progress;
create policy "Learners read their own progress" on public.user_progress
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners begin their own progress" on public.user_progress;
create policy "Learners begin their own progress" on public.user_progress
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

drop policy if exists "Learners advance their own progress" on public.user_progress;
create policy "Learners advance their own progress" on public.user_progress
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
