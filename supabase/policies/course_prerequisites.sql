-- Grants and row level security of public.course_prerequisites, as they are now. Safe to run again.

alter table public.course_prerequisites enable row level security;

revoke all on table public.course_prerequisites from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.course_prerequisites to anon, authenticated, service_role, waymark_writer;
grant insert (course_id, requires_course_id), delete
  on table public.course_prerequisites to service_role;

drop policy if exists "Anyone reads the prerequisites of published courses" on public.course_prerequisites;
create policy "Anyone reads the prerequisites of published courses" on public.course_prerequisites
  for select to anon using (course_id in (select c.id from public.courses c));

drop policy if exists "Users read the prerequisites of courses they see" on public.course_prerequisites;
create policy "Users read the prerequisites of courses they see" on public.course_prerequisites
  for select to authenticated using (course_id in (select c.id from public.courses c));

drop policy if exists "The write path reads every course prerequisite" on public.course_prerequisites;
create policy "The write path reads every course prerequisite" on public.course_prerequisites
  for select to waymark_writer using (true);
