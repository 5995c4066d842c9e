-- Grants and row level security of public.past_cycles, as they are now. Safe to run again.

alter table public.past_cycles enable row level security;

revoke all on table public.past_cycles from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.past_cycles to authenticated, service_role, waymark_writer;

drop policy if exists "Learners read their own past cycles" on public.past_cycles;
create policy "Learners read their own past cycles" on public.past_cycles
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
