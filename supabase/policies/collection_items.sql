-- Grants and row level security of public.collection_items, as they are now. Safe to run again.

alter table public.collection_items enable row level security;

revoke all on table public.collection_items from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.collection_items to authenticated, service_role, waymark_writer;
grant insert (id, user_id, collection_id, course_id, note_id), delete
  on table public.collection_items to authenticated;
grant delete on table public.collection_items to service_role;

drop policy if exists "Learners read what they saved" on public.collection_items;
create policy "Learners read what they saved" on public.collection_items
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners save for themselves" on public.collection_items;
create policy "Learners save for themselves" on public.collection_items
  for insert to authenticated with check ((select auth.uid()) = user_id);

drop policy if exists "Learners take out what they saved" on public.collection_items;
create policy "Learners take out what they saved" on public.collection_items
  for delete to authenticated using ((select auth.uid()) = user_id);
