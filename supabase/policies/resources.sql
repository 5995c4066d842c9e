-- Grants and row level security of public.resources, as they are now. Safe to run again.

alter table public.resources enable row level security;

revoke all on table public.resources from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.resources to anon, authenticated, service_role;
grant insert, update, delete on table public.resources to service_role;

drop policy if exists "Anyone reads resources of what is open to all" on public.resources;
create policy "Anyone reads resources of what is open to all" on public.resources
  for select to anon
  using (case
    when lesson_id is null then course_id in (
      select c.id from public.courses c
       where c.status = 'published' and c.content_access = 'public')
    else exists (select from public.lessons l where l.id = resources.lesson_id) end);

drop policy if exists "Users read resources of what they may read" on public.resources;
create policy "Users read resources of what they may read" on public.resources
  for select to authenticated
  using (case
    when lesson_id is null then
      course_id in (select private.my_course_ids())
      or course_id in (
        select c.id from public.courses c
         where c.status = 'published' and c.content_access = 'public')
    else exists (select from public.lessons l where l.id = resources.lesson_id) end);
