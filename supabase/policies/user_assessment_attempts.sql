-- Grants and row level security of public.user_assessment_attempts, as they are now. Safe to run again.

alter table public.user_assessment_attempts enable row level security;

revoke all on table public.user_assessment_attempts from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.user_assessment_attempts
  to authenticated, service_role, waymark_writer;
grant insert (id, user_id, lesson_id, course_id, cycle, number, status, started_at, expires_at,
    submitted_at, graded_at, pass_percent, max_attempts, time_limit_seconds, questions,
    total_questions, max_score, answers, client_key, score, percent, passed, correct_count),
  update (status, submitted_at, graded_at, expired, answers, client_key, score, percent, passed,
    correct_count)
  on table public.user_assessment_attempts to waymark_writer;

drop policy if exists "Learners read their own attempts" on public.user_assessment_attempts;
create policy "Learners read their own attempts" on public.user_assessment_attempts
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners start their own attempts" on public.user_assessment_attempts;
create policy "Learners start their own attempts" on public.user_assessment_attempts
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

drop policy if exists "Learners advance their own attempts" on public.user_assessment_attempts;
create policy "Learners advance their own attempts" on public.user_assessment_attempts
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
