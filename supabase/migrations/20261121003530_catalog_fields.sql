-- The rest of what authors do to a course without an import: its settings and status, its modules, a
-- lesson's settings and the order of a module. The triggers of the settling migration do what follows.

select private.require_free(array[
  'private.create_module', 'private.reorder_lessons', 'private.set_course_status',
  'private.update_course', 'private.update_lesson', 'private.update_module',
  'public.create_module', 'public.reorder_lessons', 'public.set_course_status',
  'public.update_course', 'public.update_lesson', 'public.update_module']);

create function private.set_course_status(p_course_id bigint, p_status text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.courses := private.open_course(p_course_id);
begin
  if p_status is null or p_status not in ('draft', 'published', 'archived') then
    perform private.fail('invalid_value', 422, 'status must be draft, published or archived');
  end if;
  if c.status <> p_status then
    update public.courses set status = p_status where id = p_course_id;
    perform private.audit('course.status', p_course_id, null, 'course:' || p_course_id, null,
      jsonb_build_object('status', c.status), jsonb_build_object('status', p_status));
  end if;
  return jsonb_build_object(
    'course_id', p_course_id, 'status', p_status, 'changed', c.status <> p_status);
end
$$;
comment on function private.set_course_status(bigint, text) is
  'Publishes a course, takes it back to a draft, or archives it.';

-- Not the slug, which importers find it by, nor the rating, which is not for authors to give.
create function private.update_course(p_course_id bigint, p_fields jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_before public.courses := private.open_course(p_course_id);
  c public.courses;
  v_constraint text;
  v_column text;
begin
  perform private.unknown_fields(p_fields, array[
    'title', 'author', 'category', 'description', 'language', 'image_url', 'duration_minutes',
    'badges', 'collections', 'enrollment_mode', 'content_access', 'sequential', 'max_cycles',
    'staff_may_override', 'certificate_enabled', 'certificate_min_percent',
    'certificate_min_score', 'certificate_valid_months', 'certificate_hours',
    'certificate_template']);
  if p_fields ? 'staff_may_override' and not private.is_admin() then
    perform private.fail('not_allowed', 403, 'Only admins may leave overrides to staff');
  end if;
  begin
    c := jsonb_populate_record(v_before, p_fields);
    if c is not distinct from v_before then
      return to_jsonb(c);
    end if;
    update public.courses
       set title = c.title,
           author = c.author,
           category = c.category,
           description = c.description,
           language = c.language,
           image_url = c.image_url,
           duration_minutes = c.duration_minutes,
           badges = c.badges,
           collections = c.collections,
           enrollment_mode = c.enrollment_mode,
           content_access = c.content_access,
           sequential = c.sequential,
           max_cycles = c.max_cycles,
           staff_may_override = c.staff_may_override,
           certificate_enabled = c.certificate_enabled,
           certificate_min_percent = c.certificate_min_percent,
           certificate_min_score = c.certificate_min_score,
           certificate_valid_months = c.certificate_valid_months,
           certificate_hours = c.certificate_hours,
           certificate_template = c.certificate_template
     where id = p_course_id
    returning * into c;
  exception when integrity_constraint_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    perform private.fail('invalid_value', 422, 'A field has a value that a course cannot have',
      coalesce(nullif(v_constraint, ''), nullif(v_column, '')));
  end;
  perform private.audit('course.update', p_course_id, null, 'course:' || p_course_id, null,
    to_jsonb(v_before), to_jsonb(c));
  return to_jsonb(c);
end
$$;
comment on function private.update_course(bigint, jsonb) is 'Changes a course''s fields.';

create function private.create_module(p_course_id bigint, p_fields jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  m public.modules;
  v_constraint text;
  v_column text;
begin
  perform private.open_course(p_course_id);
  perform private.unknown_fields(p_fields, array[
    'slug', 'position', 'title', 'description', 'duration_minutes', 'completion_rule',
    'available_from', 'available_after_days', 'available_after_previous_days']);
  begin
    m := jsonb_populate_record(null::public.modules, jsonb_build_object(
      'position', (
        select coalesce(max(x.position) + 1, 0) from public.modules x
         where x.course_id = p_course_id),
      'completion_rule', 'all_lessons') || p_fields);
    insert into public.modules
      (course_id, slug, position, title, description, duration_minutes, completion_rule,
       available_from, available_after_days, available_after_previous_days)
    values
      (p_course_id, m.slug, m.position, m.title, m.description, m.duration_minutes,
       m.completion_rule, m.available_from, m.available_after_days,
       m.available_after_previous_days)
    returning * into m;
  exception when integrity_constraint_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    perform private.fail('invalid_value', 422, 'A field has a value that a module cannot have',
      coalesce(nullif(v_constraint, ''), nullif(v_column, '')));
  end;
  perform private.audit('module.create', p_course_id, null, 'module:' || m.id, null, null,
    to_jsonb(m));
  return to_jsonb(m);
end
$$;
comment on function private.create_module(bigint, jsonb) is 'Adds a module to a course.';

create function private.update_module(p_module_id uuid, p_fields jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_before public.modules := private.edit_module(p_module_id);
  m public.modules;
  v_constraint text;
  v_column text;
begin
  perform private.unknown_fields(p_fields, array[
    'title', 'description', 'duration_minutes', 'completion_rule', 'available_from',
    'available_after_days', 'available_after_previous_days']);
  begin
    m := jsonb_populate_record(v_before, p_fields);
    if m is not distinct from v_before then
      return to_jsonb(m);
    end if;
    update public.modules
       set title = m.title,
           description = m.description,
           duration_minutes = m.duration_minutes,
           completion_rule = m.completion_rule,
           available_from = m.available_from,
           available_after_days = m.available_after_days,
           available_after_previous_days = m.available_after_previous_days
     where id = p_module_id
    returning * into m;
  exception when integrity_constraint_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    perform private.fail('invalid_value', 422, 'A field has a value that a module cannot have',
      coalesce(nullif(v_constraint, ''), nullif(v_column, '')));
  end;
  perform private.audit('module.update', m.course_id, null, 'module:' || p_module_id, null,
    to_jsonb(v_before), to_jsonb(m));
  return to_jsonb(m);
end
$$;
comment on function private.update_module(uuid, jsonb) is 'Changes a module''s fields.';

create function private.update_lesson(p_lesson_id uuid, p_fields jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_before public.lessons := private.edit_lesson(p_lesson_id);
  l public.lessons;
  v_constraint text;
  v_column text;
begin
  perform private.unknown_fields(p_fields, array[
    'title', 'type', 'video_url', 'content', 'duration_seconds', 'is_preview', 'is_required',
    'weight', 'completion_rule', 'min_view_seconds', 'watch_percent', 'pass_percent',
    'available_from', 'available_after_days', 'available_after_previous_days']);
  begin
    l := jsonb_populate_record(v_before, p_fields);
    if l is not distinct from v_before then
      return private.lesson_json(l);
    end if;
    update public.lessons
       set title = l.title,
           type = l.type,
           video_url = l.video_url,
           content = l.content,
           duration_seconds = l.duration_seconds,
           is_preview = l.is_preview,
           is_required = l.is_required,
           weight = l.weight,
           completion_rule = l.completion_rule,
           min_view_seconds = l.min_view_seconds,
           watch_percent = l.watch_percent,
           pass_percent = l.pass_percent,
           available_from = l.available_from,
           available_after_days = l.available_after_days,
           available_after_previous_days = l.available_after_previous_days
     where id = p_lesson_id
    returning * into l;
  exception when integrity_constraint_violation or data_exception then
    get stacked diagnostics v_constraint = constraint_name, v_column = column_name;
    perform private.fail('invalid_value', 422, 'A field has a value that a lesson cannot have',
      coalesce(nullif(v_constraint, ''), nullif(v_column, '')));
  end;
  perform private.audit('lesson.update', l.course_id, null, 'lesson:' || p_lesson_id, null,
    private.lesson_json(v_before), private.lesson_json(l));
  return private.lesson_json(l);
end
$$;
comment on function private.update_lesson(uuid, jsonb) is 'Changes a lesson''s fields.';

create function private.reorder_lessons(p_module_id uuid, p_lesson_ids uuid[]) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  m public.modules := private.edit_module(p_module_id);
  v_before jsonb;
  v_changed boolean;
begin
  -- Archived lessons are not shown, and keep their places.
  select coalesce(jsonb_agg(l.id order by l.position, l.id), '[]') into v_before
    from public.lessons l
   where l.module_id = p_module_id and l.archived_at is null;
  if (v_before @> to_jsonb(p_lesson_ids) and v_before <@ to_jsonb(p_lesson_ids)
      and jsonb_array_length(v_before) = cardinality(p_lesson_ids)) is not true
  then
    perform private.fail('invalid_value', 422, 'lesson_ids must name every lesson of the module once');
  end if;
  update public.lessons l
     set position = wanted.n - 1
    from unnest(p_lesson_ids) with ordinality as wanted (id, n)
   where l.id = wanted.id and l.position <> wanted.n - 1;
  v_changed := found;
  if v_changed then
    perform private.audit('module.reorder', m.course_id, null, 'module:' || p_module_id, null,
      jsonb_build_object('lesson_ids', v_before),
      jsonb_build_object('lesson_ids', to_jsonb(p_lesson_ids)));
  end if;
  return jsonb_build_object('module_id', p_module_id, 'changed', v_changed);
end
$$;
comment on function private.reorder_lessons(uuid, uuid[]) is 'Puts a module''s lessons in this order.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.set_course_status(p_course_id bigint, p_status text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_course_status(p_course_id, p_status); end;
comment on function public.set_course_status(bigint, text) is
  'Authors and admins: publishes a course, makes it a draft, or archives it. Returns {course_id, status, changed}.';

create function public.update_course(p_course_id bigint, p_fields jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.update_course(p_course_id, p_fields); end;
comment on function public.update_course(bigint, jsonb) is
  'Authors and admins: changes a course''s texts, order, access, cycles or certificates; returns it.';

create function public.create_module(p_course_id bigint, p_fields jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.create_module(p_course_id, p_fields); end;
comment on function public.create_module(bigint, jsonb) is
  'Authors and admins: adds a module to a course; returns it.';

create function public.update_module(p_module_id uuid, p_fields jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.update_module(p_module_id, p_fields); end;
comment on function public.update_module(uuid, jsonb) is
  'Authors and admins: changes a module''s title, texts, completion rule or dates; returns it.';

create function public.update_lesson(p_lesson_id uuid, p_fields jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.update_lesson(p_lesson_id, p_fields); end;
comment on function public.update_lesson(uuid, jsonb) is
  'Authors and admins: changes a lesson''s texts, weight, rule, flags or dates; returns it.';

create function public.reorder_lessons(p_module_id uuid, p_lesson_ids uuid[]) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.reorder_lessons(p_module_id, p_lesson_ids); end;
comment on function public.reorder_lessons(uuid, uuid[]) is
  'Authors and admins: puts a module''s lessons in an order. Returns {module_id, changed}.';

revoke execute on function private.set_course_status from public;
revoke execute on function private.update_course from public;
revoke execute on function private.create_module from public;
revoke execute on function private.update_module from public;
revoke execute on function private.update_lesson from public;
revoke execute on function private.reorder_lessons from public;
revoke execute on function public.set_course_status from public, anon, authenticated, service_role;
grant execute on function public.set_course_status, private.set_course_status to authenticated, service_role;
revoke execute on function public.update_course from public, anon, authenticated, service_role;
grant execute on function public.update_course, private.update_course to authenticated, service_role;
revoke execute on function public.create_module from public, anon, authenticated, service_role;
grant execute on function public.create_module, private.create_module to authenticated, service_role;
revoke execute on function public.update_module from public, anon, authenticated, service_role;
grant execute on function public.update_module, private.update_module to authenticated, service_role;
revoke execute on function public.update_lesson from public, anon, authenticated, service_role;
grant execute on function public.update_lesson, private.update_lesson to authenticated, service_role;
revoke execute on function public.reorder_lessons from public, anon, authenticated, service_role;
grant execute on function public.reorder_lessons, private.reorder_lessons to authenticated, service_role;
