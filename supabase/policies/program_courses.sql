-- Grants and row level security of public.program_courses, as they are now. Safe to run again.

alter table public.program_courses enable row level security;

revoke all on table public.program_courses from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.program_courses to anon, authenticated, service_role, waymark_writer;

drop policy if exists "Anyone reads the courses of published programs" on public.program_courses;
create policy "Anyone reads the courses of published programs" on public.program_courses
  for select to anon, authenticated
  using (program_id in (select p.id from public.programs p));

drop policy if exists "The write path reads every program's courses" on public.program_courses;
create policy "The write path reads every program's courses" on public.program_courses
  for select to waymark_writer using (true);
