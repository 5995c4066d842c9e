-- Grants and row level security of public.courses, as they are now. Safe to run again.

alter table public.courses enable row level security;

revoke all on table public.courses from public, anon, authenticated, service_role, waymark_writer;
grant select on table public.courses to anon, authenticated, service_role, waymark_writer;
grant insert (slug, title, author, category, description, language, image_url, duration_minutes, rating,
  badges, collections, status, enrollment_mode, content_access, sequential, max_cycles, staff_may_override,
  certificate_enabled, certificate_min_percent, certificate_min_score, certificate_valid_months, certificate_hours,
  certificate_template)
  on table public.courses to service_role;
grant delete on table public.courses to service_role;
grant update (slug, title, author, category, description, language, image_url, duration_minutes, rating,
  badges, collections, status, enrollment_mode, content_access, sequential, max_cycles, staff_may_override,
  certificate_enabled, certificate_min_percent, certificate_min_score, certificate_valid_months, certificate_hours,
  certificate_template)
  on table public.courses to service_role;

drop policy if exists "Anyone reads published courses" on public.courses;
create policy "Anyone reads published courses" on public.courses
  for select to anon using (status = 'published');

drop policy if exists "Users read published courses and their own" on public.courses;
create policy "Users read published courses and their own" on public.courses
  for select to authenticated
  using (status = 'published' or id in (select private.my_course_ids()));

drop policy if exists "The write path reads every course" on public.courses;
create policy "The write path reads every course" on public.courses
  for select to waymark_writer using (true);
