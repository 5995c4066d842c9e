-- Grants and row level security of public.audit_log, as they are now. Safe to run again.

alter table public.audit_log enable row level security;

revoke all on table public.audit_log from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.audit_log to service_role;

drop policy if exists "No learner or staff reads the audit log" on public.audit_log;
create policy "No learner or staff reads the audit log" on public.audit_log
  for select to authenticated using (false);
