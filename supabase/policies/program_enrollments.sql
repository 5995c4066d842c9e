-- Grants and row level security of public.program_enrollments, as they are now. Safe to run again.

alter table public.program_enrollments enable row level security;

revoke all on table public.program_enrollments from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.program_enrollments to authenticated, service_role, waymark_writer;
grant insert (user_id, program_id), delete on table public.program_enrollments to service_role;
grant insert (user_id, program_id) on table public.program_enrollments to waymark_writer;

drop policy if exists "Learners read their own programs" on public.program_enrollments;
create policy "Learners read their own programs" on public.program_enrollments
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners enrol themselves in programs" on public.program_enrollments;
create policy "Learners enrol themselves in programs" on public.program_enrollments
  for insert to waymark_writer with check ((select auth.uid()) = user_id);
