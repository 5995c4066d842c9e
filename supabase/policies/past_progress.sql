-- Grants and row level security of public.past_progress, as they are now. Safe to run again.

alter table public.past_progress enable row level security;

revoke all on table public.past_progress from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.past_progress to authenticated, service_role, waymark_writer;

drop policy if exists "Learners read their own past progress" on public.past_progress;
create policy "Learners read their own past progress" on public.past_progress
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
