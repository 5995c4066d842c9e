-- Grants and row level security of public.lesson_waivers, as they are now. Safe to run again.

alter table public.lesson_waivers enable row level security;

revoke all on table public.lesson_waivers from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.lesson_waivers to authenticated, service_role, waymark_writer;

drop policy if exists "Learners read their own waivers" on public.lesson_waivers;
create policy "Learners read their own waivers" on public.lesson_waivers
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
