-- Grants and row level security of public.module_prerequisites, as they are now. Safe to run again.

alter table public.module_prerequisites enable row level security;

revoke all on table public.module_prerequisites from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.module_prerequisites to anon, authenticated, service_role, waymark_writer;
grant insert (module_id, requires_module_id, course_id), delete
  on table public.module_prerequisites to service_role;

drop policy if exists "Anyone reads the module prerequisites of published courses" on public.module_prerequisites;
create policy "Anyone reads the module prerequisites of published courses"
  on public.module_prerequisites
  for select to anon using (course_id in (select c.id from public.courses c));

drop policy if exists "Users read the module prerequisites of courses they see" on public.module_prerequisites;
create policy "Users read the module prerequisites of courses they see"
  on public.module_prerequisites
  for select to authenticated using (course_id in (select c.id from public.courses c));

drop policy if exists "The write path reads every module prerequisite" on public.module_prerequisites;
create policy "The write path reads every module prerequisite" on public.module_prerequisites
  for select to waymark_writer using (true);
