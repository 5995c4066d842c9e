-- Grants and row level security of public.cohorts, as they are now. Safe to run again.

alter table public.cohorts enable row level security;

revoke all on table public.cohorts from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.cohorts to authenticated, service_role;
grant insert, update, delete on table public.cohorts to service_role;

drop policy if exists "Members read the cohorts of their courses" on public.cohorts;
create policy "Members read the cohorts of their courses" on public.cohorts
  for select to authenticated using (course_id in (select private.my_course_ids()));
