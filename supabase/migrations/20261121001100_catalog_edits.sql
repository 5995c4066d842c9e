-- Catalogue edits by RPC, for authors and admins. Each locks its courses first, edits one thing, and
-- writes the audit log; the triggers of the settling migration do the rest.

-- Course numbers are counted up: whoever may not see a draft is not to learn that there is one.
-- Who may not see a thing hears the same as of one that is not there. The courses that are published show
-- their modules and lessons to all; what is of learners is seen by the course's staff alone.
create function private.refuse_stranger(p_course_id bigint, p_thing text, p_message text) returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if not exists (
    select from public.courses c
     where p_thing in ('course', 'module', 'lesson') and c.id = p_course_id
       and (c.status = 'published' or c.id in (select private.my_course_ids()))
    union all
    select from public.course_staff s
     where s.course_id = p_course_id and s.user_id = private.uid())
  then
    perform private.fail(p_thing || '_not_found', 404,
      case p_thing when 'enrollment' then 'Enrolment' else initcap(p_thing) end || ' not found');
  end if;
  perform private.fail('not_allowed', 403, p_message);
end
$$;
comment on function private.refuse_stranger(bigint, text, text) is
  'Refuses what is for the staff of a course: not_allowed, or 404 where the caller may not see the thing.';
revoke execute on function private.refuse_stranger(bigint, text, text) from public;

create function private.require_author(p_course_ids bigint[], p_thing text default 'course')
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_course_id bigint;
begin
  if private.is_admin() then
    return;
  end if;
  perform private.require_user();
  select wanted.id into v_course_id
    from unnest(p_course_ids) with ordinality as wanted (id, place)
   where not exists (
     select from public.course_staff s
      where s.course_id = wanted.id and s.user_id = private.uid() and s.role = 'author')
   order by wanted.place
   limit 1;
  if found then
    perform private.refuse_stranger(
      v_course_id, p_thing, 'Only authors of this course may do this');
  end if;
end
$$;
comment on function private.require_author(bigint[], text) is
  'Refuses callers who are neither admin nor author of all these courses, where p_thing is.';
revoke execute on function private.require_author(bigint[], text) from public;

create function private.open_course(p_course_id bigint) returns public.courses
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.courses;
begin
  if not exists (select from public.courses where id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  perform private.require_author(array[p_course_id]);
  perform private.lock_courses(array[p_course_id]);
  select * into c from public.courses where id = p_course_id;
  if not found then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  return c;
end
$$;
comment on function private.open_course(bigint) is 'Authorises and locks the edit of a course; returns its row.';
revoke execute on function private.open_course(bigint) from public;

-- Finds the lesson, checks the author, locks the course, and reads the row again under the lock.
create function private.edit_lesson(p_lesson_id uuid, p_other_course_id bigint default null)
returns public.lessons
language plpgsql volatile security definer set search_path = ''
as $$
declare
  l public.lessons;
  v_course_id bigint;
begin
  select course_id into v_course_id from public.lessons where id = p_lesson_id;
  if not found then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.require_author(array[v_course_id], 'lesson');
  if p_other_course_id is not null then
    perform private.require_author(array[p_other_course_id], 'module');
  end if;
  perform private.lock_courses(array[v_course_id, p_other_course_id]);
  select * into l from public.lessons where id = p_lesson_id;
  if l.course_id is distinct from v_course_id then
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  end if;
  return l;
end
$$;
comment on function private.edit_lesson(uuid, bigint) is
  'Authorises and locks the edit of a lesson (and of the course it moves to); returns its row.';
revoke execute on function private.edit_lesson(uuid, bigint) from public;

create function private.require_module(p_module_id uuid, p_course_id bigint) returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not exists (
    select from public.modules where id = p_module_id and course_id = p_course_id) then
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  end if;
end
$$;
comment on function private.require_module(uuid, bigint) is
  'After the lock: refuses when the module has meanwhile left the course that was locked.';
revoke execute on function private.require_module(uuid, bigint) from public;

create function private.edit_module(p_module_id uuid) returns public.modules
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_course_id bigint;
  m public.modules;
begin
  select course_id into v_course_id from public.modules where id = p_module_id;
  if not found then
    perform private.fail('module_not_found', 404, 'Module not found');
  end if;
  perform private.require_author(array[v_course_id], 'module');
  perform private.lock_courses(array[v_course_id]);
  perform private.require_module(p_module_id, v_course_id);
  select * into m from public.modules where id = p_module_id;
  return m;
end
$$;
comment on function private.edit_module(uuid) is
  'Authorises and locks the edit of a module; returns its row.';
revoke execute on function private.edit_module(uuid) from public;

create function private.unknown_fields(p_fields jsonb, p_known text[]) returns void
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_unknown text;
begin
  if jsonb_typeof(p_fields) is distinct from 'object' then
    perform private.fail('invalid_value', 422, 'p_fields must be an object');
  end if;
  select string_agg(key, ', ' order by key) into v_unknown
    from jsonb_object_keys(p_fields) as key
   where key <> all (p_known);
  if v_unknown is not null then
    perform private.fail('unknown_field', 422, 'Unknown field', v_unknown);
  end if;
end
$$;
comment on function private.unknown_fields(jsonb, text[]) is
  'Refuses what is no object of these fields.';
revoke execute on function private.unknown_fields(jsonb, text[]) from public;

create function private.lesson_json(l public.lessons) returns jsonb
language sql stable security invoker set search_path = ''
return to_jsonb(l) - 'content' - 'module_position';
comment on function private.lesson_json(public.lessons) is 'A lesson''s settings, without its content.';
revoke execute on function private.lesson_json(public.lessons) from public;

create function private.create_lesson(p_module_id uuid, p_fields jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  m public.modules := private.edit_module(p_module_id);
  l public.lessons;
  v_constraint text;
  v_column text;
begin
  perform private.unknown_fields(p_fields, array[
    'slug', 'position', 'title', 'type', 'video_url', 'content', 'duration_seconds', 'is_preview',
    'is_required', 'weight', 'completion_rule', 'min_view_seconds', 'watch_percent',
    'pass_percent', 'available_from', 'available_after_days', 'available_after_previous_days']);
  -- Defaults for what is not given; at the end of the module when no position is given.
  l := jsonb_populate_record(null::public.lessons, jsonb_build_object(
    'id', gen_random_uuid(), 'module_id', m.id, 'course_id', m.course_id,
    'position', (
      select coalesce(max(x.position) + 1, 0) from public.lessons x where x.module_id = m.id),
    'type', 'article', 'is_preview', false, 'is_required', true, 'weight', 1,
    'completion_rule', 'manual', 'watch_percent', 90, 'pass_percent', 70) || p_fields);
  begin
    insert into public.lessons
      (id, module_id, course_id, slug, position, title, type, video_url, content,
       duration_seconds, is_preview, is_required, weight, completion_rule, min_view_seconds,
       watch_percent, pass_percent, available_from, available_after_days,
       available_after_previous_days)
    values
      (l.id, l.module_id, l.course_id, l.slug, l.position, l.title, l.type, l.video_url, l.content,
       l.duration_seconds, l.is_preview, l.is_required, l.weight, l.completion_rule,
       l.min_view_seconds, l.watch_percent, l.pass_percent, l.available_from,
       l.available_after_days, l.available_after_previous_days)
    returning * into l;
  exception when check_violation or not_null_violation or unique_violation then
    -- PostgreSQL's own words would quote the row.
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    perform private.fail('invalid_value', 422, 'A field has a value that a lesson cannot have',
      coalesce(nullif(v_constraint, ''), v_column));
  end;
  perform private.audit('lesson.create', l.course_id, null, 'lesson:' || l.id, null, null,
    private.lesson_json(l));
  return private.lesson_json(l);
end
$$;
comment on function private.create_lesson(uuid, jsonb) is 'Adds a lesson to a module.';

create function private.move_lesson(p_lesson_id uuid, p_module_id uuid, p_position integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  l public.lessons;
  m public.modules;
  v_after public.lessons;
begin
  if p_position is null or p_position < 0 then
    perform private.fail('invalid_value', 422, 'p_position must be 0 or more');
  end if;
  -- Whoever may not move the lesson learns nothing about modules.
  select * into l from public.lessons where id = p_lesson_id;
  if not found then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.require_author(array[l.course_id], 'lesson');
  select * into m from public.modules where id = p_module_id;
  if not found then
    perform private.fail('module_not_found', 404, 'Module not found');
  end if;
  l := private.edit_lesson(p_lesson_id, m.course_id);
  perform private.require_module(p_module_id, m.course_id);
  update public.lessons
     set module_id = p_module_id, position = p_position
   where id = p_lesson_id
     and (module_id, position) is distinct from (p_module_id, p_position)
  returning * into v_after;
  if not found then
    return private.lesson_json(l);
  end if;
  perform private.audit('lesson.move', v_after.course_id, null, 'lesson:' || l.id, null,
    private.lesson_json(l), private.lesson_json(v_after));
  return private.lesson_json(v_after);
end
$$;
comment on function private.move_lesson(uuid, uuid, integer) is
  'Moves a lesson within its course or to another one; progress goes along.';

create function private.set_lesson_archived(p_lesson_id uuid, p_archived boolean) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  l public.lessons := private.edit_lesson(p_lesson_id);
  v_after public.lessons;
begin
  update public.lessons
     set archived_at = case when p_archived then private.clock() end
   where id = p_lesson_id and (archived_at is not null) <> p_archived
  returning * into v_after;
  if not found then
    return private.lesson_json(l);
  end if;
  perform private.audit(case when p_archived then 'lesson.archive' else 'lesson.restore' end,
    l.course_id, null, 'lesson:' || l.id, null, private.lesson_json(l),
    private.lesson_json(v_after));
  return private.lesson_json(v_after);
end
$$;
comment on function private.set_lesson_archived(uuid, boolean) is
  'Archives or restores a lesson; what learners did in it stays.';

create function private.delete_lesson(p_lesson_id uuid, p_force boolean) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  l public.lessons := private.edit_lesson(p_lesson_id);
  v_learners bigint;
begin
  select count(*) into v_learners from public.user_progress where lesson_id = p_lesson_id;
  if v_learners > 0 and p_force is not true then
    perform private.fail('progress_exists', 409, 'Learners have progress in this lesson',
      v_learners || ' learners', 'Archive it, or pass p_force to delete their progress with it');
  end if;
  -- Archived first, so that settling still finds who had completed it.
  update public.lessons set archived_at = private.clock()
   where id = p_lesson_id and archived_at is null;
  delete from public.user_assessment_attempts where lesson_id = p_lesson_id;
  delete from public.lesson_waivers where lesson_id = p_lesson_id;
  delete from public.user_progress where lesson_id = p_lesson_id;
  delete from public.lessons where id = p_lesson_id;
  perform private.audit('lesson.delete', l.course_id, null, 'lesson:' || l.id, null,
    private.lesson_json(l), jsonb_build_object('learners_with_progress', v_learners));
end
$$;
comment on function private.delete_lesson(uuid, boolean) is
  'Deletes a lesson; with learners'' progress in it only by force.';

create function private.move_module(p_module_id uuid, p_course_id bigint, p_position integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  m public.modules;
  v_before public.modules;
begin
  if p_position is null or p_position < 0 then
    perform private.fail('invalid_value', 422, 'p_position must be 0 or more');
  end if;
  select * into v_before from public.modules where id = p_module_id;
  if not found then
    perform private.fail('module_not_found', 404, 'Module not found');
  end if;
  perform private.require_author(array[v_before.course_id], 'module');
  perform private.require_author(array[p_course_id]);
  if not exists (select from public.courses where id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  perform private.lock_courses(array[v_before.course_id, p_course_id]);
  update public.modules
     set course_id = p_course_id, position = p_position
   where id = p_module_id and course_id = v_before.course_id
  returning * into m;
  if not found then
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  end if;
  perform private.audit('module.move', p_course_id, null, 'module:' || p_module_id, null,
    to_jsonb(v_before), to_jsonb(m));
  return to_jsonb(m);
end
$$;
comment on function private.move_module(uuid, bigint, integer) is
  'Moves a module within its course or to another one; its lessons and their progress go along.';

create function private.delete_course(p_course_id bigint, p_force boolean) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.courses;
  v_learners bigint;
begin
  perform private.require_admin('Only admins may delete a course');
  select * into c from public.courses where id = p_course_id;
  if not found then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  perform private.lock_courses(array[p_course_id]);
  select count(*) into v_learners from public.enrollments where course_id = p_course_id;
  if p_force is not true and (
    v_learners > 0 or exists (select from public.user_progress where course_id = p_course_id))
  then
    perform private.fail('progress_exists', 409, 'Learners are enrolled in this course',
      v_learners || ' enrolments', 'Archive it, or pass p_force to delete their progress with it');
  end if;
  delete from public.enrollments where course_id = p_course_id;
  delete from public.user_assessment_attempts a using public.lessons l
   where l.id = a.lesson_id and l.course_id = p_course_id;
  delete from public.lesson_waivers w using public.lessons l
   where l.id = w.lesson_id and l.course_id = p_course_id;
  delete from public.user_progress p using public.lessons l
   where l.id = p.lesson_id and l.course_id = p_course_id;
  delete from public.courses where id = p_course_id;
  perform private.audit('course.delete', p_course_id, null, 'course:' || p_course_id, null,
    to_jsonb(c), jsonb_build_object('enrollments', v_learners));
end
$$;
comment on function private.delete_course(bigint, boolean) is
  'Deletes a course with its modules and lessons; with learners in it only by force.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.create_lesson(p_module_id uuid, p_fields jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.create_lesson(p_module_id, p_fields); end;
comment on function public.create_lesson(uuid, jsonb) is
  'Authors and admins: adds a lesson to a module; returns it.';

create function public.move_lesson(p_lesson_id uuid, p_module_id uuid, p_position integer)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.move_lesson(p_lesson_id, p_module_id, p_position); end;
comment on function public.move_lesson(uuid, uuid, integer) is
  'Authors and admins: moves a lesson; progress goes along.';

create function public.archive_lesson(p_lesson_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_lesson_archived(p_lesson_id, true); end;
comment on function public.archive_lesson(uuid) is
  'Authors and admins: takes a lesson out of the course; what learners did in it stays.';

create function public.restore_lesson(p_lesson_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_lesson_archived(p_lesson_id, false); end;
comment on function public.restore_lesson(uuid) is 'Authors and admins: brings an archived lesson back.';

create function public.delete_lesson(p_lesson_id uuid, p_force boolean default false) returns void
language sql volatile security invoker set search_path = ''
begin atomic select private.delete_lesson(p_lesson_id, p_force); end;
comment on function public.delete_lesson(uuid, boolean) is
  'Authors and admins: deletes a lesson; 409 progress_exists unless forced.';

create function public.move_module(p_module_id uuid, p_course_id bigint, p_position integer)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.move_module(p_module_id, p_course_id, p_position); end;
comment on function public.move_module(uuid, bigint, integer) is
  'Authors and admins: moves a module, its lessons and their progress.';

create function public.delete_course(p_course_id bigint, p_force boolean default false) returns void
language sql volatile security invoker set search_path = ''
begin atomic select private.delete_course(p_course_id, p_force); end;
comment on function public.delete_course(bigint, boolean) is
  'Admins: deletes a course; 409 progress_exists unless forced.';

revoke execute on function private.create_lesson from public;
revoke execute on function private.move_lesson from public;
revoke execute on function private.set_lesson_archived from public;
revoke execute on function private.delete_lesson from public;
revoke execute on function private.move_module from public;
revoke execute on function private.delete_course from public;

revoke execute on function public.create_lesson from public, anon, authenticated, service_role;
grant execute on function public.create_lesson, private.create_lesson to authenticated, service_role;
revoke execute on function public.move_lesson from public, anon, authenticated, service_role;
grant execute on function public.move_lesson, private.move_lesson to authenticated, service_role;
revoke execute on function public.archive_lesson from public, anon, authenticated, service_role;
grant execute on function public.archive_lesson, private.set_lesson_archived to authenticated, service_role;
revoke execute on function public.restore_lesson from public, anon, authenticated, service_role;
grant execute on function public.restore_lesson, private.set_lesson_archived to authenticated, service_role;
revoke execute on function public.delete_lesson from public, anon, authenticated, service_role;
grant execute on function public.delete_lesson, private.delete_lesson to authenticated, service_role;
revoke execute on function public.move_module from public, anon, authenticated, service_role;
grant execute on function public.move_module, private.move_module to authenticated, service_role;
revoke execute on function public.delete_course from public, anon, authenticated, service_role;
grant execute on function public.delete_course, private.delete_course to authenticated, service_role;
