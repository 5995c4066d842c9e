-- Grants and row level security of public.notifications, as they are now. Safe to run again.

alter table public.notifications enable row level security;

revoke all on table public.notifications from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.notifications to authenticated, service_role, waymark_writer;
grant update (read_at) on table public.notifications to waymark_writer;

drop policy if exists "Learners read their own notifications" on public.notifications;
create policy "Learners read their own notifications" on public.notifications
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners mark their own notifications" on public.notifications;
create policy "Learners mark their own notifications" on public.notifications
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
