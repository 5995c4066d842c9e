-- Grants and row level security of public.programs, as they are now. Safe to run again.

alter table public.programs enable row level security;

revoke all on table public.programs from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.programs to anon, authenticated, service_role, waymark_writer;

drop policy if exists "Anyone reads published programs" on public.programs;
create policy "Anyone reads published programs" on public.programs
  for select to anon, authenticated using (status = 'published');

drop policy if exists "The write path reads every program" on public.programs;
create policy "The write path reads every program" on public.programs
  for select to waymark_writer using (true);
