-- Grants and row level security of public.profiles, as they are now. Safe to run again.

alter table public.profiles enable row level security;

revoke all on table public.profiles from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.profiles to authenticated, service_role, waymark_writer;
grant insert (id, display_name, timezone, mail_opt_out, activity_history)
  on table public.profiles to authenticated, service_role;
grant update (display_name, timezone, mail_opt_out, activity_history)
  on table public.profiles to authenticated, service_role;

drop policy if exists "Users read their own profile" on public.profiles;
create policy "Users read their own profile" on public.profiles
  for select to authenticated, waymark_writer using ((select auth.uid()) = id);

drop policy if exists "Users insert their own profile" on public.profiles;
create policy "Users insert their own profile" on public.profiles
  for insert to authenticated with check ((select auth.uid()) = id);

drop policy if exists "Users update their own profile" on public.profiles;
create policy "Users update their own profile" on public.profiles
  for update to authenticated
  using ((select auth.uid()) = id) with check ((select auth.uid()) = id);
