-- Grants and row level security of public.progress_events, as they are now. Safe to run again.

alter table public.progress_events enable row level security;

revoke all on table public.progress_events from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.progress_events to authenticated, service_role, waymark_writer;
grant insert (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
  on table public.progress_events to waymark_writer;

drop policy if exists "Learners read their own history" on public.progress_events;
create policy "Learners read their own history" on public.progress_events
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners add to their own history" on public.progress_events;
create policy "Learners add to their own history" on public.progress_events
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
