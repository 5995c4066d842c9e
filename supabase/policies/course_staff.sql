-- Grants and row level security of public.course_staff, as they are now. Safe to run again.

alter table public.course_staff enable row level security;

revoke all on table public.course_staff from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.course_staff to authenticated, service_role, waymark_writer;
grant insert, update, delete on table public.course_staff to service_role;

drop policy if exists "Staff read their own appointments" on public.course_staff;
create policy "Staff read their own appointments" on public.course_staff
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
