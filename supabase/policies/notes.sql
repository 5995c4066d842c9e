-- Grants and row level security of public.notes, as they are now. Safe to run again.

alter table public.notes enable row level security;

revoke all on table public.notes from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.notes to authenticated, service_role, waymark_writer;
grant insert (id, user_id, lesson_id, course_id, position_seconds, body),
  update (position_seconds, body), delete
  on table public.notes to authenticated;
grant insert (id, user_id, lesson_id, course_id, position_seconds, body, edited_at),
  update (lesson_id, course_id, position_seconds, body, edited_at)
  on table public.notes to waymark_writer;
grant delete on table public.notes to service_role;

drop policy if exists "Learners read their own notes" on public.notes;
create policy "Learners read their own notes" on public.notes
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

drop policy if exists "Learners write their own notes" on public.notes;
create policy "Learners write their own notes" on public.notes
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);

drop policy if exists "Learners change their own notes" on public.notes;
create policy "Learners change their own notes" on public.notes
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

drop policy if exists "Learners delete their own notes" on public.notes;
create policy "Learners delete their own notes" on public.notes
  for delete to authenticated using ((select auth.uid()) = user_id);
