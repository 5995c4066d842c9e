-- Grants and row level security of public.daily_activity, as they are now. Safe to run again.

alter table public.daily_activity enable row level security;

revoke all on table public.daily_activity from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.daily_activity to authenticated, service_role, waymark_writer;
grant insert (user_id, day, lessons_completed, view_seconds, attempts, first_at, last_at)
  on table public.daily_activity to waymark_writer;
grant update (lessons_completed, view_seconds, attempts, first_at, last_at)
  on table public.daily_activity to waymark_writer;

drop policy if exists "Learners read their own activity" on public.daily_activity;
create policy "Learners read their own activity" on public.daily_activity
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners begin their own days" on public.daily_activity;
create policy "Learners begin their own days" on public.daily_activity
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

drop policy if exists "Learners advance their own days" on public.daily_activity;
create policy "Learners advance their own days" on public.daily_activity
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
