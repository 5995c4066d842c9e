-- Grants and row level security of public.collections, as they are now. Safe to run again.

alter table public.collections enable row level security;

revoke all on table public.collections from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.collections to authenticated, service_role, waymark_writer;
grant insert (id, user_id, name), update (name), delete on table public.collections to authenticated;
grant insert (user_id, name, is_default), update (is_default)
  on table public.collections to waymark_writer;
grant delete on table public.collections to service_role;

drop policy if exists "Learners read their own collections" on public.collections;
create policy "Learners read their own collections" on public.collections
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners make their own collections" on public.collections;
create policy "Learners make their own collections" on public.collections
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

drop policy if exists "Learners rename their own collections" on public.collections;
create policy "Learners rename their own collections" on public.collections
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

drop policy if exists "Learners delete their own collections" on public.collections;
create policy "Learners delete their own collections" on public.collections
  for delete to authenticated using ((select auth.uid()) = user_id);
