-- Grants and row level security of public.certificates, as they are now. Safe to run again.

alter table public.certificates enable row level security;

revoke all on table public.certificates from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.certificates to authenticated, service_role, waymark_writer;

drop policy if exists "Learners read their own certificates" on public.certificates;
create policy "Learners read their own certificates" on public.certificates
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
