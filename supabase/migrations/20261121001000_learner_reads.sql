-- What a learner sees of their own progress. Run as waymark_writer like the write path: the owner
-- policies hold for the learner's rows, while archived or unpublished lessons they have begun still
-- show. Stable functions: PostgREST runs them read-only, and they write nothing (but for one door, which
-- mends what it finds wrong).

create function private.get_lesson_progress(p_lesson_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  l public.lessons;
  p public.user_progress;
begin
  select * into l from public.lessons where id = p_lesson_id;
  select * into p from public.user_progress
   where user_id = v_user_id and lesson_id = p_lesson_id;
  if l.id is null or p.user_id is null and not private.sees_course(v_user_id, l.course_id) then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  return private.progress_json(p, l.id, l.module_id, l.course_id);
end
$$;
comment on function private.get_lesson_progress(uuid) is 'The caller''s progress in one lesson.';

create function private.sees_course(p_user_id uuid, p_course_id bigint) returns boolean
language sql stable security invoker set search_path = ''
as $$
  select exists (select from public.courses c where c.id = p_course_id and c.status = 'published')
      or exists (select from public.enrollments e
                  where e.user_id = p_user_id and e.course_id = p_course_id)
$$;
comment on function private.sees_course(uuid, bigint) is 'Published, or the caller is enrolled.';

-- The caller's enrolment in the course; null (no row) when there is none, 404 when it is not visible.
create function private.my_enrollment(p_course_id bigint) returns public.enrollments
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  e public.enrollments;
begin
  select * into e from public.enrollments
   where user_id = v_user_id and course_id = p_course_id;
  if e.id is null and not private.sees_course(v_user_id, p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  return e;
end
$$;
comment on function private.my_enrollment(bigint) is 'The caller''s enrolment, or 404 for a course unseen.';

create function private.lessons_json(e public.enrollments, p_module_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(
           jsonb_build_object(
             'lesson_id', l.id,
             'module_id', l.module_id,
             'title', l.title,
             'type', l.type,
             'status', coalesce(p.status, 'not_started'),
             'progress', coalesce(p.progress, 0),
             'position_seconds', coalesce(p.position_seconds, 0),
             'last_accessed', p.last_accessed,
             'completed_at', p.completed_at,
             'is_countable', l.is_countable and w.user_id is null,
             'is_waived', w.user_id is not null,
             'is_preview', l.is_preview,
             'is_required', l.is_required,
             'locked', k.lock)
           order by l.module_position, l.module_id, l.position, l.id), '[]')
    from public.lessons l
    left join public.user_progress p on p.user_id = (e).user_id and p.lesson_id = l.id
    left join public.lesson_waivers w on w.user_id = (e).user_id and w.lesson_id = l.id
    left join private.course_locks(e, p_module_id) k on k.lesson_id = l.id
   where l.course_id = (e).course_id
     and (p_module_id is null or l.module_id = p_module_id)
     and l.archived_at is null
$$;
comment on function private.lessons_json(public.enrollments, uuid) is
  'The lessons of a course, or of one module of it, with the learner''s status and lock, in learning order.';

create function private.completed_ids(p_user_id uuid, p_course_id bigint, p_module_id uuid)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(l.id order by l.module_position, l.module_id, l.position, l.id), '[]')
    from public.lessons l
    join public.user_progress p on p.user_id = p_user_id and p.lesson_id = l.id
   where l.course_id = p_course_id and p.is_completed and l.is_countable
     and (p_module_id is null or l.module_id = p_module_id)
     and not exists (
       select from public.lesson_waivers w
        where w.user_id = p_user_id and w.lesson_id = l.id)
$$;
comment on function private.completed_ids(uuid, bigint, uuid) is
  'Ids of the countable lessons the learner has completed, in learning order.';

-- Both by one index: the lessons that have begun to count since, and nothing else of the course.
create function private.new_lessons(e public.enrollments) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if (e).completed_at is null then
    return null;
  end if;
  return (
    select jsonb_build_object(
             'count', count(*),
             'lesson_ids', coalesce(jsonb_agg(x.id order by x.n) filter (where x.n <= 100), '[]'))
      from (
        select l.id, row_number() over (
                 order by l.module_position, l.module_id, l.position, l.id) as n
          from public.lessons l
         where l.course_id = (e).course_id and l.is_countable
           and l.counts_from > ((e).completion_snapshot ->> 'catalog_version')::bigint
           and (select p.is_completed from public.user_progress p
                 where p.user_id = (e).user_id and p.lesson_id = l.id) is not true
           and (select true from public.lesson_waivers w
                 where w.user_id = (e).user_id and w.lesson_id = l.id) is not true
      ) as x);
end
$$;
comment on function private.new_lessons(public.enrollments) is
  '{count, lesson_ids} of open lessons that were added since the learner finished (the first 100 ids); null for who has not.';

create function private.get_course_progress(p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  e public.enrollments := private.my_enrollment(p_course_id);
  v_optional jsonb;
  v_modules jsonb;
begin
  if e.id is null then
    return null;
  end if;
  select jsonb_build_object(
           'total', count(*), 'completed', count(*) filter (where p.is_completed),
           'completed_lesson_ids', coalesce(jsonb_agg(l.id order by l.module_position, l.module_id,
             l.position, l.id) filter (where p.is_completed), '[]'))
    into v_optional
    from public.lessons l
    left join public.user_progress p on p.user_id = e.user_id and p.lesson_id = l.id
   where l.course_id = p_course_id and not l.is_required and not l.is_preview
     and l.archived_at is null;
  select coalesce(jsonb_agg(
           jsonb_build_object('title', m.title) || private.module_json(e.user_id, m)
           order by m.position, m.id), '[]')
    into v_modules
    from public.modules m
   where m.course_id = p_course_id;
  return jsonb_build_object(
    'enrollment_id', e.id,
    'course_id', e.course_id,
    'total', e.total_lessons,
    'completed', e.completed_lessons,
    'percent', e.progress_percent,
    'settling', private.is_settling(e),
    'completed_at', e.completed_at,
    'new_lessons', private.new_lessons(e),
    'completed_lesson_ids', private.completed_ids(e.user_id, p_course_id, null),
    'optional', v_optional,
    'lessons', private.lessons_json(e, null),
    'modules', v_modules);
end
$$;
comment on function private.get_course_progress(bigint) is
  'The whole course as its learner sees it; null when not enrolled.';

-- The view lists the completed lessons beside their number. Should the two disagree, the enrolment is
-- counted again and mended before the answer goes out; in a GET, which PostgREST runs read-only, the
-- upkeep is left to find it.
create function private.read_course_progress(p_course_id bigint) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_view jsonb := private.get_course_progress(p_course_id);
begin
  if (v_view ->> 'completed')::integer <> jsonb_array_length(v_view -> 'completed_lesson_ids')
     and not (v_view ->> 'settling')::boolean
     and current_setting('transaction_read_only') = 'off'
     and private.heal_enrollment((v_view ->> 'enrollment_id')::uuid)
  then
    return private.get_course_progress(p_course_id);
  end if;
  return v_view;
end
$$;
comment on function private.read_course_progress(bigint) is
  'The whole course as its learner sees it, its numbers mended where they disagree.';

create function private.get_course_summary(p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  e public.enrollments := private.my_enrollment(p_course_id);
  v_in_progress integer;
begin
  if e.id is null then
    return null;
  end if;
  select count(*) into v_in_progress
    from public.user_progress p
    join public.lessons l on l.id = p.lesson_id
   where p.user_id = e.user_id and l.course_id = p_course_id and p.status = 'in_progress'
     and l.is_countable and not exists (
       select from public.lesson_waivers w
        where w.user_id = p.user_id and w.lesson_id = p.lesson_id);
  return jsonb_build_object(
    'enrollment_id', e.id,
    'course_id', e.course_id,
    'status', e.status,
    'total', e.total_lessons,
    'completed', e.completed_lessons,
    'in_progress', v_in_progress,
    'not_started', e.total_lessons - e.completed_lessons - v_in_progress,
    'percent', e.progress_percent,
    'settling', private.is_settling(e),
    'current_module_id', e.current_module_id,
    'current_lesson_id', e.current_lesson_id,
    'current_section', e.current_section,
    'last_accessed_at', e.last_accessed_at,
    'view_time_seconds', e.view_time_seconds,
    'enrolled_at', e.enrolled_at,
    'expires_at', e.expires_at,
    'completed_at', e.completed_at,
    'new_lessons', private.new_lessons(e),
    'cycle', e.cycle,
    'certificate', private.certificate_eligibility(e));
end
$$;
comment on function private.get_course_summary(bigint) is
  'Totals by status, percent and the current place; null when not enrolled.';

create function private.get_module_progress(p_course_id bigint, p_module_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  e public.enrollments := private.my_enrollment(p_course_id);
  m public.modules;
begin
  select * into m from public.modules where id = p_module_id and course_id = p_course_id;
  if not found then
    perform private.fail('module_not_found', 404, 'Module not found');
  end if;
  if e.id is null then
    return null;
  end if;
  return private.module_json(e.user_id, m) || jsonb_build_object(
    'title', m.title,
    'completed_lesson_ids', private.completed_ids(e.user_id, p_course_id, p_module_id),
    'lessons', private.lessons_json(e, p_module_id));
end
$$;
comment on function private.get_module_progress(bigint, uuid) is
  'One module as its learner sees it; null when not enrolled.';

-- The frontier where it still holds, else a look from the start, and from there the first that no lock
-- holds; all done: the first visible lesson.
create function private.find_next(e public.enrollments, c public.courses,
  out lesson_id uuid, out review boolean, out locked jsonb)
language plpgsql stable security invoker set search_path = ''
as $$
begin
  review := false;
  if (c).status = 'draft' then
    lesson_id := private.first_begun((e).user_id, (e).course_id);
    locked := private.lesson_lock(e, lesson_id);
  elsif (e).frontier_version = (c).catalog_version then
    lesson_id := (e).frontier_lesson_id;
  else
    lesson_id := private.first_incomplete((e).user_id, (e).course_id);
  end if;
  if lesson_id is null and (e).completed_lessons = (e).total_lessons then
    review := true;
    lesson_id := (
      select l.id
        from public.lessons l
       where l.course_id = (e).course_id and l.archived_at is null
         and ((c).status <> 'draft' or exists (
           select from public.user_progress p
            where p.user_id = (e).user_id and p.lesson_id = l.id))
       order by l.module_position, l.module_id, l.position, l.id
       limit 1);
  elsif lesson_id is not null and (c).status <> 'draft' and ((c).sequential or (c).has_rules) then
    select f.lesson_id, f.lock into lesson_id, locked
      from private.first_open(e, lesson_id, null) f;
  end if;
end
$$;
comment on function private.find_next(public.enrollments, public.courses) is
  'First incomplete countable lesson that is open (none is: the first, and its lock); all done: the first visible one, to review; else null.';

create function private.get_next_lesson(p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  e public.enrollments := private.my_enrollment(p_course_id);
  c public.courses;
begin
  if e.id is null then
    return null;
  end if;
  select * into c from public.courses where id = p_course_id;
  return (
    select jsonb_build_object(
             'lesson_id', l.id, 'module_id', l.module_id, 'review', n.review, 'locked', n.locked)
      from private.find_next(e, c) n
      join public.lessons l on l.id = n.lesson_id);
end
$$;
comment on function private.get_next_lesson(bigint) is
  'Where to continue in a course; null when not enrolled, or when there is nothing.';

-- The outline shows what a course holds without showing its content, to whoever sees the course.
create function private.get_course_outline(p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  c public.courses;
begin
  select * into c from public.courses where id = p_course_id;
  if c.id is null or c.status <> 'published' and not private.is_admin() and not exists (
    select from public.enrollments e
     where e.user_id = private.uid() and e.course_id = p_course_id
    union all
    select from public.course_staff s
     where s.user_id = private.uid() and s.course_id = p_course_id)
  then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  return jsonb_build_object(
    'course', jsonb_build_object(
      'id', c.id, 'slug', c.slug, 'title', c.title, 'author', c.author, 'category', c.category,
      'description', c.description, 'image_url', c.image_url,
      'duration_minutes', c.duration_minutes, 'rating', c.rating, 'status', c.status,
      'enrollment_mode', c.enrollment_mode, 'content_access', c.content_access,
      'total_lessons', c.total_lessons, 'catalog_version', c.catalog_version),
    'modules', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'id', m.id, 'title', m.title, 'description', m.description,
               'position', m.position, 'duration_minutes', m.duration_minutes,
               'total_lessons', m.total_lessons,
               'lessons', (
                 select coalesce(jsonb_agg(jsonb_build_object(
                          'id', l.id, 'title', l.title, 'type', l.type,
                          'duration_seconds', l.duration_seconds, 'is_preview', l.is_preview,
                          'is_required', l.is_required, 'weight', l.weight,
                          'completion_rule', l.completion_rule, 'position', l.position)
                          order by l.position, l.id), '[]')
                   from public.lessons l
                  where l.module_id = m.id and l.archived_at is null))
               order by m.position, m.id), '[]')
        from public.modules m
       where m.course_id = p_course_id));
end
$$;
comment on function private.get_course_outline(bigint) is
  'Titles, types and durations of a course, without its content.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.get_lesson_progress(p_lesson_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_lesson_progress(p_lesson_id); end;
comment on function public.get_lesson_progress(uuid) is 'The caller''s progress in one lesson.';

create function public.get_course_progress(p_course_id bigint) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.read_course_progress(p_course_id); end;
comment on function public.get_course_progress(bigint) is
  'Counts, percent, lessons and modules of a course; null when not enrolled.';

create function public.get_course_summary(p_course_id bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_course_summary(p_course_id); end;
comment on function public.get_course_summary(bigint) is
  'Totals by status, percent, current place; null when not enrolled.';

create function public.get_module_progress(p_course_id bigint, p_module_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_module_progress(p_course_id, p_module_id); end;
comment on function public.get_module_progress(bigint, uuid) is
  'Counts, percent and lessons of one module; null when not enrolled.';

create function public.get_next_lesson(p_course_id bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_next_lesson(p_course_id); end;
comment on function public.get_next_lesson(bigint) is
  'Where to continue: {lesson_id, module_id, review, locked}, or null.';

create function public.get_course_outline(p_course_id bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_course_outline(p_course_id); end;
comment on function public.get_course_outline(bigint) is
  'Titles, types and durations of a course, for anyone who sees the course.';

revoke execute on function private.get_lesson_progress from public;
revoke execute on function private.sees_course from public;
revoke execute on function private.my_enrollment from public;
revoke execute on function private.lessons_json from public;
revoke execute on function private.completed_ids from public;
revoke execute on function private.new_lessons from public;
revoke execute on function private.get_course_progress from public;
revoke execute on function private.read_course_progress from public;
revoke execute on function private.get_course_summary from public;
revoke execute on function private.get_module_progress from public;
revoke execute on function private.find_next from public;
revoke execute on function private.get_next_lesson from public;
revoke execute on function private.get_course_outline from public;

revoke execute on function public.get_lesson_progress from public, anon, authenticated, service_role;
grant execute on function public.get_lesson_progress, private.get_lesson_progress to authenticated;
revoke execute on function public.get_course_progress from public, anon, authenticated, service_role;
grant execute on function public.get_course_progress, private.read_course_progress to authenticated;
revoke execute on function public.get_course_summary from public, anon, authenticated, service_role;
grant execute on function public.get_course_summary, private.get_course_summary to authenticated;
revoke execute on function public.get_module_progress from public, anon, authenticated, service_role;
grant execute on function public.get_module_progress, private.get_module_progress to authenticated;
revoke execute on function public.get_next_lesson from public, anon, authenticated, service_role;
grant execute on function public.get_next_lesson, private.get_next_lesson to authenticated;
revoke execute on function public.get_course_outline from public, anon, authenticated, service_role;
grant execute on function public.get_course_outline, private.get_course_outline to anon, authenticated;

grant create on schema private to waymark_writer;
alter function private.get_lesson_progress owner to waymark_writer;
alter function private.sees_course owner to waymark_writer;
alter function private.my_enrollment owner to waymark_writer;
alter function private.lessons_json owner to waymark_writer;
alter function private.completed_ids owner to waymark_writer;
alter function private.new_lessons owner to waymark_writer;
alter function private.get_course_progress owner to waymark_writer;
alter function private.read_course_progress owner to waymark_writer;
alter function private.get_course_summary owner to waymark_writer;
alter function private.get_module_progress owner to waymark_writer;
alter function private.find_next owner to waymark_writer;
alter function private.get_next_lesson owner to waymark_writer;
alter function private.get_course_outline owner to waymark_writer;
revoke create on schema private from waymark_writer;
