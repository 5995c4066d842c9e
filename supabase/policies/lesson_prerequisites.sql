-- Grants and row level security of public.lesson_prerequisites, as they are now. Safe to run again.

alter table public.lesson_prerequisites enable row level security;

revoke all on table public.lesson_prerequisites from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.lesson_prerequisites to anon, authenticated, service_role, waymark_writer;
grant insert (lesson_id, requires_lesson_id, course_id), delete
  on table public.lesson_prerequisites to service_role;

drop policy if exists "Anyone reads the lesson prerequisites of published courses" on public.lesson_prerequisites;
create policy "Anyone reads the lesson prerequisites of published courses"
  on public.lesson_prerequisites
  for select to anon using (course_id in (select c.id from public.courses c));

drop policy if exists "Users read the lesson prerequisites of courses they see" on public.lesson_prerequisites;
create policy "Users read the lesson prerequisites of courses they see"
  on public.lesson_prerequisites
  for select to authenticated using (course_id in (select c.id from public.courses c));

drop policy if exists "The write path reads every lesson prerequisite" on public.lesson_prerequisites;
create policy "The write path reads every lesson prerequisite" on public.lesson_prerequisites
  for select to waymark_writer using (true);
