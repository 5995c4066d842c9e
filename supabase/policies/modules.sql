-- Grants and row level security of public.modules, as they are now. Safe to run again.

alter table public.modules enable row level security;

revoke all on table public.modules from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.modules to anon, authenticated, service_role, waymark_writer;
grant insert (id, course_id, slug, position, title, description, duration_minutes, completion_rule,
  available_from, available_after_days, available_after_previous_days)
  on table public.modules to service_role;
grant delete on table public.modules to service_role;
grant update (course_id, slug, position, title, description, duration_minutes, completion_rule,
  available_from, available_after_days, available_after_previous_days)
  on table public.modules to service_role;

drop policy if exists "Anyone reads the modules of published courses" on public.modules;
create policy "Anyone reads the modules of published courses" on public.modules
  for select to anon using (course_id in (select c.id from public.courses c));

drop policy if exists "Users read the modules of courses they see" on public.modules;
create policy "Users read the modules of courses they see" on public.modules
  for select to authenticated using (course_id in (select c.id from public.courses c));

drop policy if exists "The write path reads every module" on public.modules;
create policy "The write path reads every module" on public.modules
  for select to waymark_writer using (true);
