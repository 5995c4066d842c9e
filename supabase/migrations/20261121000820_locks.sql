-- Locks: may this learner open this lesson now, and if not, why?
--
-- One predicate, private.lesson_locks(), for a single write as for a whole course; everything that asks
-- asks it. A lock has the form {reason, course, module, lesson, available_at}: what blocks, by id and
-- title, and from when, if a date is known. What is finished is never locked again, and an attempt that
-- was begun may be handed in; a lesson that was merely opened is locked by a rule that comes later.
--
-- A single answer costs the same in any course: the sequence is asked of the enrolment's frontier, and a
-- date and a prerequisite of the lesson's and its module's own rows.

-- Dates ---------------------------------------------------------------------------------------------

-- A module whose countable lessons are all waived asks nothing of the learner.
create function private.module_counts(p_user_id uuid, p_module_id uuid) returns boolean
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return exists (
    select from public.lessons l
     where l.module_id = p_module_id and l.is_countable
       and (select true from public.lesson_waivers w
             where w.user_id = p_user_id and w.lesson_id = l.id) is not true);
end
$$;
comment on function private.module_counts(uuid, uuid) is
  'Whether a module has a lesson that counts for this learner.';

create function private.previous_module(
  p_user_id uuid, p_course_id bigint, p_position integer, p_module_id uuid, out id uuid,
  out title text)
language plpgsql stable security invoker set search_path = ''
as $$
begin
  select m.id, m.title into id, title
    from public.modules m
   where m.course_id = p_course_id and (m.position, m.id) < (p_position, p_module_id)
     and private.module_counts(p_user_id, m.id)
   order by m.position desc, m.id desc
   limit 1;
end
$$;
comment on function private.previous_module(uuid, bigint, integer, uuid) is
  'The module before this one that has lessons that count for the learner.';

create function private.after_previous(
  e public.enrollments, p_days integer, p_module_position integer, p_module_id uuid
) returns timestamptz
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_previous_id uuid := (
    private.previous_module((e).user_id, (e).course_id, p_module_position, p_module_id)).id;
begin
  if v_previous_id is null then
    return null;
  end if;
  return coalesce((
    select mp.completed_at + make_interval(hours => 24 * p_days)
      from public.module_progress mp
     where mp.user_id = (e).user_id and mp.module_id = v_previous_id), 'infinity');
end
$$;
comment on function private.after_previous(public.enrollments, integer, integer, uuid) is
  'So many days after the previous module was completed: infinity while it is not, null when there is none.';

create function private.dated_lesson_ids(p_course_id bigint) returns uuid[]
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return array(
    select l.id
      from public.lessons l
     where l.course_id = p_course_id and not l.is_preview
       and (l.available_from is not null or l.available_after_days is not null
            or l.available_after_previous_days is not null)
    union
    select l.id
      from public.modules m
      join public.lessons l
        on l.module_id = m.id and l.course_id = m.course_id and l.module_position = m.position
     where m.course_id = p_course_id and not l.is_preview
       and (m.available_from is not null or m.available_after_days is not null
            or m.available_after_previous_days is not null));
end
$$;
comment on function private.dated_lesson_ids(bigint) is
  'Lessons of a course that open by a date, their own or their module''s.';

-- A day is 24 hours: whoever enrols at noon goes on at noon, in every zone. What most lessons have is
-- reckoned in place, since a policy asks for all of a course at once.
create function private.lesson_dates(e public.enrollments, p_lesson_ids uuid[])
returns table (lesson_id uuid, opens_at timestamptz, by_module boolean)
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return query
  with place as materialized (
    select l.id, l.module_id, l.module_position, l.available_from, l.available_after_days,
           l.available_after_previous_days,
           num_nonnulls(l.available_from, l.available_after_days, l.available_after_previous_days)
             > 0 as is_dated
      from public.lessons l
     where l.id = any (p_lesson_ids)
  ),
  part as materialized (
    select m.id,
           coalesce(
             (select o.available_from from public.access_overrides o
               where o.user_id = (e).user_id and o.module_id = m.id),
             greatest(
               m.available_from,
               (e).enrolled_at + make_interval(hours => 24 * m.available_after_days),
               case when m.available_after_previous_days is not null then
                 private.after_previous(e, m.available_after_previous_days, m.position, m.id) end)
           ) as at
      from public.modules m
     where m.id in (select p.module_id from place p)
       and (m.available_from is not null or m.available_after_days is not null
            or m.available_after_previous_days is not null)
  ),
  own as (
    select p.id, part.at as module_at,
           greatest(
             p.available_from,
             (e).enrolled_at + make_interval(hours => 24 * p.available_after_days),
             case when p.available_after_previous_days is not null then
               private.after_previous(
                 e, p.available_after_previous_days, p.module_position, p.module_id) end)
             as lesson_at,
           (select o.available_from from public.access_overrides o
             where o.user_id = (e).user_id and o.lesson_id = p.id) as override_at
      from place p
      left join part on part.id = p.module_id
     where p.is_dated or part.id is not null
  )
  select own.id, coalesce(own.override_at, greatest(own.module_at, own.lesson_at)),
         own.override_at is null and own.module_at >= coalesce(own.lesson_at, '-infinity')
    from own;
end
$$;
comment on function private.lesson_dates(public.enrollments, uuid[]) is
  'When those of these lessons that have dates open for a learner, and whether their module''s decides.';

-- Prerequisites -------------------------------------------------------------------------------------

-- The one place that says what fulfils a lesson that others require.
create function private.counts_as_done(p_user_id uuid, p_lesson_id uuid) returns boolean
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return coalesce((
    select p.is_completed from public.user_progress p
     where p.user_id = p_user_id and p.lesson_id = p_lesson_id), false)
    or exists (
      select from public.lesson_waivers w
       where w.user_id = p_user_id and w.lesson_id = p_lesson_id);
end
$$;
comment on function private.counts_as_done(uuid, uuid) is
  'Whether a lesson that others require is done for this learner.';

-- Modules and courses by the first time they were completed: that is never taken back.
create function private.missing_module(p_user_id uuid, p_module_id uuid) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('id', m.id, 'title', m.title)
      from public.module_prerequisites r
      join public.modules m on m.id = r.requires_module_id
     where r.module_id = p_module_id and private.module_counts(p_user_id, m.id)
       and (select mp.completed_at from public.module_progress mp
             where mp.user_id = p_user_id and mp.module_id = m.id) is null
     order by m.position, m.id
     limit 1);
end
$$;
comment on function private.missing_module(uuid, uuid) is
  'The first module that this one requires and the learner has not completed: {id, title}, or null.';

create function private.missing_course(p_user_id uuid, p_course_id bigint) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('id', c.id, 'title', c.title)
      from public.course_prerequisites r
      join public.courses c on c.id = r.requires_course_id
     where r.course_id = p_course_id
       and (select e.completed_at from public.enrollments e
             where e.user_id = p_user_id and e.course_id = c.id) is null
       and not exists (
         select from public.past_cycles p
          where p.user_id = p_user_id and p.course_id = c.id and p.completed_at is not null)
     order by c.id
     limit 1);
end
$$;
comment on function private.missing_course(uuid, bigint) is
  'The first course that this one requires and the learner has not completed: {id, title}, or null.';

-- The predicate -------------------------------------------------------------------------------------

create function private.lock_json(
  p_reason text, p_available_at timestamptz, p_course jsonb default null, p_module jsonb default null,
  p_lesson jsonb default null
) returns jsonb
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return jsonb_build_object('reason', p_reason, 'course', p_course, 'module', p_module,
    'lesson', p_lesson, 'available_at', nullif(p_available_at, 'infinity'));
end
$$;
comment on function private.lock_json(text, timestamptz, jsonb, jsonb, jsonb) is
  'A lock as callers see it.';

-- Of several locks the one that the learner can do something about is told first; a date is told with it.
create function private.lesson_locks(e public.enrollments, p_lesson_ids uuid[])
returns table (lesson_id uuid, lock jsonb)
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  c public.courses;
  v_course jsonb;
  v_first record;
begin
  select * into c from public.courses x where x.id = (e).course_id;
  if c.has_rules then
    v_course := private.missing_course((e).user_id, c.id);
  end if;
  select l.id, l.title, l.module_position, l.module_id, l.position into v_first
    from public.lessons l
   where c.sequential
     and l.id = case when (e).frontier_version = c.catalog_version then (e).frontier_lesson_id
                     else private.first_incomplete((e).user_id, (e).course_id) end;
  return query
  with asked as materialized (
    select l.id, l.title, l.module_id, l.module_position, l.position,
           l.is_countable and (select true from public.lesson_waivers w
             where w.user_id = (e).user_id and w.lesson_id = l.id) is not true as is_countable
      from public.lessons l
     where l.id = any (p_lesson_ids) and not l.is_preview
       and (select p.is_completed from public.user_progress p
             where p.user_id = (e).user_id and p.lesson_id = l.id) is not true
  ),
  part as materialized (
    select m.id, m.title, m.position,
           case when c.has_rules then private.missing_module((e).user_id, m.id) end as missing
      from public.modules m
     where m.id in (select a.module_id from asked a)
  ),
  looked as (
    select a.id, a.title, a.module_id, part.title as module_title, part.position as module_position,
           part.missing as missing_module,
           -- Nobody can do what is archived, nor a preview, so these block nothing.
           case when c.has_rules then (
             select jsonb_build_object('id', l.id, 'title', l.title)
               from public.lesson_prerequisites r
               join public.lessons l on l.id = r.requires_lesson_id
              where r.lesson_id = a.id and l.archived_at is null and not l.is_preview
                and not private.counts_as_done((e).user_id, l.id)
              order by l.module_position, l.module_id, l.position, l.id
              limit 1) end as missing_lesson,
           a.is_countable and (a.module_position, a.module_id, a.position, a.id)
             > (v_first.module_position, v_first.module_id, v_first.position, v_first.id)
             as waits,
           case when d.opens_at > v_now then d.opens_at end as opens_at,
           d.by_module
      from asked a
      join part on part.id = a.module_id
      left join private.lesson_dates(e, case when c.has_rules then p_lesson_ids end) d
        on d.lesson_id = a.id
  )
  select x.id,
         case
           when v_course is not null then
             private.lock_json('prerequisite', x.opens_at, p_course => v_course)
           when x.missing_module is not null then
             private.lock_json('prerequisite', x.opens_at, p_module => x.missing_module)
           when x.missing_lesson is not null then
             private.lock_json('prerequisite', x.opens_at, p_lesson => x.missing_lesson)
           when x.waits then
             private.lock_json('sequential', x.opens_at,
               p_lesson => jsonb_build_object('id', v_first.id, 'title', v_first.title))
           when x.opens_at = 'infinity' then
             private.lock_json('drip', null, p_module => (
               select jsonb_build_object('id', p.id, 'title', p.title)
                 from private.previous_module(
                   (e).user_id, c.id, x.module_position, x.module_id) p))
           when x.by_module then
             private.lock_json('drip', x.opens_at, p_module => jsonb_build_object(
               'id', x.module_id, 'title', x.module_title))
           else
             private.lock_json('drip', x.opens_at, p_lesson => jsonb_build_object(
               'id', x.id, 'title', x.title))
         end
    from looked x
   where v_course is not null or x.missing_module is not null or x.missing_lesson is not null
      or x.waits or x.opens_at is not null;
end
$$;
comment on function private.lesson_locks(public.enrollments, uuid[]) is
  'Those of these lessons that the learner may not open now, and why; no row means open.';

create function private.lesson_lock(e public.enrollments, p_lesson_id uuid) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return (select k.lock from private.lesson_locks(e, array[p_lesson_id]) k);
end
$$;
comment on function private.lesson_lock(public.enrollments, uuid) is
  'Why the learner may not open this lesson now: {reason, course, module, lesson, available_at}; null when open.';

create function private.course_locks(e public.enrollments, p_module_id uuid default null)
returns table (lesson_id uuid, lock jsonb)
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if exists (
    select from public.courses c
     where c.id = (e).course_id and (c.sequential or c.has_rules))
  then
    return query
    select k.lesson_id, k.lock
      from private.lesson_locks(e, array(
        select l.id from public.lessons l
         where l.course_id = (e).course_id and l.archived_at is null
           and (p_module_id is null or l.module_id = p_module_id))) k;
  end if;
end
$$;
comment on function private.course_locks(public.enrollments, uuid) is
  'The locks of a whole course, or of one module of it, in one pass.';

create function private.refuse_locked(p_lock jsonb) returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if p_lock is not null then
    perform private.fail('lesson_locked', 409, 'This lesson is locked', p_lock::text,
      'details tells what comes first, or when it opens');
  end if;
end
$$;
comment on function private.refuse_locked(jsonb) is 'Refuses where there is a lock, and names it.';

-- A write looks at the next so many lessons and no further, so that its cost is bounded; null: at all.
create function private.first_open(
  e public.enrollments, p_from_lesson_id uuid, p_look integer, out lesson_id uuid, out lock jsonb)
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_ids uuid[];
  v_open uuid;
begin
  lesson_id := p_from_lesson_id;
  lock := private.lesson_lock(e, p_from_lesson_id);
  -- What follows in a sequential course waits for this one, and a closed course has nothing open.
  if lock is null or lock -> 'course' <> 'null' or exists (
    select from public.courses c where c.id = (e).course_id and c.sequential)
  then
    return;
  end if;
  v_ids := array(
    select x.id
      from (
        select l.id, l.module_position, l.module_id, l.position
          from public.lessons l
          join public.lessons f on f.id = p_from_lesson_id
         where l.course_id = (e).course_id and l.is_countable
           and (l.module_position, l.module_id, l.position, l.id)
             > (f.module_position, f.module_id, f.position, f.id)
         order by l.module_position, l.module_id, l.position, l.id
         limit p_look
      ) as x
     where not private.counts_as_done((e).user_id, x.id)
     order by x.module_position, x.module_id, x.position, x.id);
  select a.id into v_open
    from unnest(v_ids) with ordinality as a (id, n)
    left join private.lesson_locks(e, v_ids) k on k.lesson_id = a.id
   where k.lesson_id is null
   order by a.n
   limit 1;
  if found then
    lesson_id := v_open;
    lock := null;
  end if;
end
$$;
comment on function private.first_open(public.enrollments, uuid, integer) is
  'From the first incomplete lesson on the first that is open; when none is, that one and its lock.';

revoke execute on function private.module_counts from public;
revoke execute on function private.previous_module from public;
revoke execute on function private.after_previous from public;
revoke execute on function private.dated_lesson_ids from public;
revoke execute on function private.lesson_dates from public;
revoke execute on function private.counts_as_done from public;
revoke execute on function private.missing_module from public;
revoke execute on function private.missing_course from public;
revoke execute on function private.lock_json from public;
revoke execute on function private.lesson_locks from public;
revoke execute on function private.lesson_lock from public;
revoke execute on function private.course_locks from public;
revoke execute on function private.refuse_locked from public;
revoke execute on function private.first_open from public;

grant create on schema private to waymark_writer;
alter function private.module_counts owner to waymark_writer;
alter function private.previous_module owner to waymark_writer;
alter function private.after_previous owner to waymark_writer;
alter function private.dated_lesson_ids owner to waymark_writer;
alter function private.lesson_dates owner to waymark_writer;
alter function private.counts_as_done owner to waymark_writer;
alter function private.missing_module owner to waymark_writer;
alter function private.missing_course owner to waymark_writer;
alter function private.lock_json owner to waymark_writer;
alter function private.lesson_locks owner to waymark_writer;
alter function private.lesson_lock owner to waymark_writer;
alter function private.course_locks owner to waymark_writer;
alter function private.refuse_locked owner to waymark_writer;
alter function private.first_open owner to waymark_writer;
revoke create on schema private from waymark_writer;
