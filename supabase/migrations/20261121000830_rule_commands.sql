-- Commands for what opens a course: authors say what requires what, graders open something for one
-- learner at another time. Dates and the sequence are settings of the catalogue like any other.

create function private.wanted_ids(p_ids anyarray) returns anyarray
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  p_ids := array(
    select distinct x.id from unnest(p_ids) as x (id) where x.id is not null order by x.id);
  if cardinality(p_ids) > 50 then
    perform private.fail('invalid_value', 422, 'Something requires at most 50 others');
  end if;
  return p_ids;
end
$$;
comment on function private.wanted_ids(anyarray) is 'Each of a list''s ids once, in order; at most 50.';
revoke execute on function private.wanted_ids(anyarray) from public;

-- New rows before old ones go: see the locks of a course's deletion.
create function private.set_lesson_prerequisites(p_lesson_id uuid, p_requires uuid[])
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  l public.lessons := private.edit_lesson(p_lesson_id);
  v_wanted uuid[] := private.wanted_ids(p_requires);
  v_before uuid[] := array(
    select r.requires_lesson_id from public.lesson_prerequisites r
     where r.lesson_id = p_lesson_id order by 1);
  v_stranger uuid;
begin
  select w.id into v_stranger
    from unnest(v_wanted) as w (id)
   where w.id <> all (v_before) and not exists (
     select from public.lessons o where o.id = w.id and o.course_id = l.course_id)
   limit 1;
  if found then
    perform private.fail('invalid_value', 422, 'A lesson requires lessons of its own course',
      v_stranger::text);
  end if;
  if v_wanted <> v_before then
    insert into public.lesson_prerequisites (lesson_id, requires_lesson_id)
    select p_lesson_id, w.id from unnest(v_wanted) as w (id)
        on conflict do nothing;
    delete from public.lesson_prerequisites r
     where r.lesson_id = p_lesson_id and r.requires_lesson_id <> all (v_wanted);
    perform private.audit('lesson.require', l.course_id, null, 'lesson:' || p_lesson_id, null,
      jsonb_build_object('requires', v_before), jsonb_build_object('requires', v_wanted));
  end if;
  return jsonb_build_object('lesson_id', p_lesson_id, 'requires', v_wanted,
    'changed', v_wanted <> v_before);
end
$$;
comment on function private.set_lesson_prerequisites(uuid, uuid[]) is
  'Says which lessons of its course a lesson requires: these and no others.';
revoke execute on function private.set_lesson_prerequisites(uuid, uuid[]) from public;

create function private.set_module_prerequisites(p_module_id uuid, p_requires uuid[])
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  m public.modules := private.edit_module(p_module_id);
  v_wanted uuid[] := private.wanted_ids(p_requires);
  v_before uuid[] := array(
    select r.requires_module_id from public.module_prerequisites r
     where r.module_id = p_module_id order by 1);
  v_stranger uuid;
begin
  select w.id into v_stranger
    from unnest(v_wanted) as w (id)
   where w.id <> all (v_before) and not exists (
     select from public.modules o where o.id = w.id and o.course_id = m.course_id)
   limit 1;
  if found then
    perform private.fail('invalid_value', 422, 'A module requires modules of its own course',
      v_stranger::text);
  end if;
  if v_wanted <> v_before then
    insert into public.module_prerequisites (module_id, requires_module_id)
    select p_module_id, w.id from unnest(v_wanted) as w (id)
        on conflict do nothing;
    delete from public.module_prerequisites r
     where r.module_id = p_module_id and r.requires_module_id <> all (v_wanted);
    perform private.audit('module.require', m.course_id, null, 'module:' || p_module_id, null,
      jsonb_build_object('requires', v_before), jsonb_build_object('requires', v_wanted));
  end if;
  return jsonb_build_object('module_id', p_module_id, 'requires', v_wanted,
    'changed', v_wanted <> v_before);
end
$$;
comment on function private.set_module_prerequisites(uuid, uuid[]) is
  'Says which modules of its course a module requires: these and no others.';
revoke execute on function private.set_module_prerequisites(uuid, uuid[]) from public;

create function private.set_course_prerequisites(p_course_id bigint, p_requires bigint[])
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.courses := private.open_course(p_course_id);
  v_wanted bigint[] := private.wanted_ids(p_requires);
  v_before bigint[] := array(
    select r.requires_course_id from public.course_prerequisites r
     where r.course_id = c.id order by 1);
  v_stranger bigint;
begin
  select w.id into v_stranger
    from unnest(v_wanted) as w (id)
   where not exists (select from public.courses o where o.id = w.id)
   limit 1;
  if found then
    perform private.fail('invalid_value', 422, 'A course requires courses that there are',
      v_stranger::text);
  end if;
  if v_wanted <> v_before then
    insert into public.course_prerequisites (course_id, requires_course_id)
    select p_course_id, w.id from unnest(v_wanted) as w (id)
        on conflict do nothing;
    delete from public.course_prerequisites r
     where r.course_id = p_course_id and r.requires_course_id <> all (v_wanted);
    perform private.audit('course.require', p_course_id, null, 'course:' || p_course_id, null,
      jsonb_build_object('requires', v_before), jsonb_build_object('requires', v_wanted));
  end if;
  return jsonb_build_object('course_id', p_course_id, 'requires', v_wanted,
    'changed', v_wanted <> v_before);
end
$$;
comment on function private.set_course_prerequisites(bigint, bigint[]) is
  'Says which courses a course requires: these and no others.';
revoke execute on function private.set_course_prerequisites(bigint, bigint[]) from public;

create function private.set_access_override(
  p_user_id uuid, p_lesson_id uuid, p_module_id uuid, p_available_from timestamptz, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_course_id bigint;
  v_before timestamptz;
begin
  if num_nonnulls(p_lesson_id, p_module_id) <> 1 then
    perform private.fail('invalid_value', 422, 'Name a lesson or a module');
  elsif not isfinite(p_available_from) then
    perform private.fail('invalid_value', 422, 'available_from must be a time');
  elsif char_length(p_reason) > 1000 then
    perform private.fail('invalid_value', 422, 'A reason has at most 1000 characters');
  end if;
  select l.course_id into v_course_id from public.lessons l where l.id = p_lesson_id
   union all
  select m.course_id from public.modules m where m.id = p_module_id;
  if not found then
    perform private.fail(case when p_module_id is null then 'lesson_not_found' else 'module_not_found' end,
      404, case when p_module_id is null then 'Lesson not found' else 'Module not found' end);
  end if;
  perform private.require_grader(
    v_course_id, case when p_module_id is null then 'lesson' else 'module' end);
  -- The learner's row makes two of these wait for one another.
  perform from public.enrollments e
    where e.user_id = p_user_id and e.course_id = v_course_id
      for no key update;
  if not found then
    perform private.fail('not_enrolled', 403, 'The learner is not enrolled in this course');
  end if;
  select o.available_from into v_before
    from public.access_overrides o
   where o.user_id = p_user_id and (o.lesson_id = p_lesson_id or o.module_id = p_module_id);
  if v_before is distinct from p_available_from then
    delete from public.access_overrides o
     where o.user_id = p_user_id and (o.lesson_id = p_lesson_id or o.module_id = p_module_id);
    insert into public.access_overrides (user_id, lesson_id, module_id, available_from)
    select p_user_id, p_lesson_id, p_module_id, p_available_from
     where p_available_from is not null;
    perform private.audit('access.override', v_course_id, p_user_id,
      coalesce('lesson:' || p_lesson_id, 'module:' || p_module_id), p_reason,
      jsonb_build_object('available_from', v_before),
      jsonb_build_object('available_from', p_available_from));
  end if;
  return jsonb_build_object('user_id', p_user_id, 'lesson_id', p_lesson_id,
    'module_id', p_module_id, 'available_from', p_available_from,
    'changed', v_before is distinct from p_available_from);
end
$$;
comment on function private.set_access_override(uuid, uuid, uuid, timestamptz, text) is
  'Opens a lesson or module for one learner at a time of their own; null goes back to its dates.';
revoke execute on function private.set_access_override(uuid, uuid, uuid, timestamptz, text) from public;

-- Doors ---------------------------------------------------------------------------------------------

create function public.set_lesson_prerequisites(p_lesson_id uuid, p_requires uuid[])
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_lesson_prerequisites(p_lesson_id, p_requires); end;
comment on function public.set_lesson_prerequisites(uuid, uuid[]) is
  'Authors and admins: the lessons that a lesson requires. Returns {lesson_id, requires, changed}.';

create function public.set_module_prerequisites(p_module_id uuid, p_requires uuid[])
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_module_prerequisites(p_module_id, p_requires); end;
comment on function public.set_module_prerequisites(uuid, uuid[]) is
  'Authors and admins: the modules that a module requires. Returns {module_id, requires, changed}.';

create function public.set_course_prerequisites(p_course_id bigint, p_requires bigint[])
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_course_prerequisites(p_course_id, p_requires); end;
comment on function public.set_course_prerequisites(bigint, bigint[]) is
  'Authors and admins: the courses that a course requires. Returns {course_id, requires, changed}.';

create function public.set_access_override(
  p_user_id uuid, p_lesson_id uuid default null, p_module_id uuid default null,
  p_available_from timestamptz default null, p_reason text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.set_access_override(
    p_user_id, p_lesson_id, p_module_id, p_available_from, p_reason);
end;
comment on function public.set_access_override(uuid, uuid, uuid, timestamptz, text) is
  'Staff who grade, and admins: when a lesson or module opens for one learner. Returns {user_id, lesson_id, module_id, available_from, changed}.';

revoke execute on function public.set_lesson_prerequisites from public, anon, authenticated, service_role;
grant execute on function public.set_lesson_prerequisites, private.set_lesson_prerequisites
  to authenticated, service_role;
revoke execute on function public.set_module_prerequisites from public, anon, authenticated, service_role;
grant execute on function public.set_module_prerequisites, private.set_module_prerequisites
  to authenticated, service_role;
revoke execute on function public.set_course_prerequisites from public, anon, authenticated, service_role;
grant execute on function public.set_course_prerequisites, private.set_course_prerequisites
  to authenticated, service_role;
revoke execute on function public.set_access_override from public, anon, authenticated, service_role;
grant execute on function public.set_access_override, private.set_access_override
  to authenticated, service_role;
