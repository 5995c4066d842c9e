-- Grants and row level security of public.access_overrides, as they are now. Safe to run again.

alter table public.access_overrides enable row level security;

revoke all on table public.access_overrides from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.access_overrides to authenticated, service_role, waymark_writer;
grant insert (user_id, module_id, lesson_id, available_from), update (available_from), delete
  on table public.access_overrides to service_role;

drop policy if exists "Learners read their own overrides" on public.access_overrides;
create policy "Learners read their own overrides" on public.access_overrides
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
