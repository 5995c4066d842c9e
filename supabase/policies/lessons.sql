-- Grants and row level security of public.lessons, as they are now. Safe to run again.

alter table public.lessons enable row level security;

revoke all on table public.lessons from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.lessons to anon, authenticated, service_role, waymark_writer;
grant insert (id, module_id, course_id, slug, position, title, type, video_url, content,
  duration_seconds, is_preview, is_required, weight, completion_rule, min_view_seconds,
  watch_percent, pass_percent, certificate_min_score, archived_at, max_attempts, time_limit_seconds,
  attempt_cooldown_seconds, quiz_available_from, quiz_available_until, reveal_policy, score_policy,
  available_from, available_after_days, available_after_previous_days)
  on table public.lessons to service_role;
grant delete on table public.lessons to service_role;
grant update (module_id, course_id, slug, position, title, type, video_url, content,
  duration_seconds, is_preview, is_required, weight, completion_rule, min_view_seconds,
  watch_percent, pass_percent, certificate_min_score, archived_at, max_attempts, time_limit_seconds,
  attempt_cooldown_seconds, quiz_available_from, quiz_available_until, reveal_policy, score_policy,
  available_from, available_after_days, available_after_previous_days)
  on table public.lessons to service_role;

drop policy if exists "Anyone reads public lessons and previews" on public.lessons;
create policy "Anyone reads public lessons and previews" on public.lessons
  for select to anon
  using (archived_at is null and (
    course_id in (
      select c.id from public.courses c
       where c.status = 'published' and c.content_access = 'public')
    or (is_preview and course_id in (
      select c.id from public.courses c where c.status = 'published'))));

drop policy if exists "Users read public lessons, previews and their courses' lessons" on public.lessons;
create policy "Users read public lessons, previews and their courses' lessons" on public.lessons
  for select to authenticated
  using (
    course_id in (select private.my_course_ids())
      and id not in (select private.my_closed_lesson_ids())
    or (archived_at is null and (
      course_id in (
        select c.id from public.courses c
         where c.status = 'published' and c.content_access = 'public')
      or (is_preview and course_id in (
        select c.id from public.courses c where c.status = 'published')))));

drop policy if exists "The write path reads every lesson" on public.lessons;
create policy "The write path reads every lesson" on public.lessons
  for select to waymark_writer using (true);
