-- Replacing a lesson by another one of its course: the new one takes the old one's place and weight, and
-- learners take along what they have done. Nobody's percent falls; what was completed stays completed.

select private.require_free(array['private.replace_lesson', 'public.replace_lesson']);

-- The new lesson must not count yet: progress in what counts cannot be written in bulk without its
-- counters. So the rows are carried first, and one statement then swaps the two; it settles the learners
-- as any edit does, and nobody finishes a course, or falls, in passing.
create function private.replace_lesson(p_lesson_id uuid, p_new_lesson_id uuid, p_reason text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  l public.lessons := private.edit_lesson(p_lesson_id);
  n public.lessons;
  v_after public.lessons;
  v_now timestamptz := private.clock();
  v_learners bigint;
begin
  perform private.check_reason(p_reason);
  select * into n from public.lessons where id = p_new_lesson_id and course_id = l.course_id;
  if not found or n.id = l.id then
    perform private.fail('invalid_value', 422,
      'A lesson is replaced by another lesson of the same course');
  elsif l.archived_at is not null then
    perform private.fail('conflict', 409, 'This lesson is archived', p_hint => 'Restore it first');
  elsif n.is_countable then
    perform private.fail('conflict', 409, 'The new lesson counts already',
      p_hint => 'Make it optional first; it counts when it has replaced the other one');
  end if;
  -- Each completion counts on its day, so that taking either of the two back finds what it takes.
  with carried as (
    insert into public.user_progress as p
      (user_id, lesson_id, course_id, status, progress, started_at, last_accessed, completed_at,
       completed_on)
    select o.user_id, n.id, n.course_id, o.status, o.progress, o.started_at, o.last_accessed,
           o.completed_at, o.completed_on
      from public.user_progress o
     where o.lesson_id = l.id and o.status <> 'not_started'
     order by o.user_id
        on conflict (user_id, lesson_id) do update
       set status = excluded.status,
           progress = greatest(p.progress, excluded.progress),
           started_at = least(p.started_at, excluded.started_at),
           last_accessed = greatest(p.last_accessed, excluded.last_accessed),
           completed_at = excluded.completed_at,
           completed_on = excluded.completed_on
     where p.status <> 'completed'
    returning p.*
  ),
  counted as (
    insert into public.daily_activity as d (user_id, day, lessons_completed, first_at, last_at)
    select c.user_id, c.completed_on, 1, c.completed_at, c.completed_at
      from carried c
     where c.completed_on is not null
     order by c.user_id
        on conflict (user_id, day) do update
       set lessons_completed = d.lessons_completed + 1
  )
  insert into public.progress_events
    (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
  select v_now, x.user_id, n.course_id, l.module_id, n.id, e.id, coalesce(e.cycle, 1),
         'lesson_carried', jsonb_strip_nulls(jsonb_build_object('from', l.id, 'status', x.status,
           'started_at', x.started_at, 'completed_at', x.completed_at))
    from carried x
    left join public.enrollments e on e.user_id = x.user_id and e.course_id = n.course_id
   order by x.user_id;
  get diagnostics v_learners = row_count;
  -- What is done counts: to leave it out could lower the percent.
  with waived as (
    insert into public.lesson_waivers (user_id, lesson_id, reason)
    select w.user_id, n.id, w.reason
      from public.lesson_waivers w
     where w.lesson_id = l.id and not exists (
       select from public.user_progress p
        where p.user_id = w.user_id and p.lesson_id = n.id and p.is_completed)
     order by w.user_id
        on conflict (user_id, lesson_id) do nothing
    returning user_id, 'lesson_waived' as kind
  ),
  unwaived as (
    delete from public.lesson_waivers w
     using public.user_progress p
     where w.lesson_id = n.id and p.lesson_id = n.id and p.user_id = w.user_id and p.is_completed
    returning w.user_id, 'lesson_unwaived' as kind
  )
  insert into public.progress_events
    (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, cycle, kind, data)
  select v_now, x.user_id, n.course_id, l.module_id, n.id, e.id, coalesce(e.cycle, 1), x.kind,
         '{"by": "catalog"}'
    from (select * from waived union all select * from unwaived) as x
    left join public.enrollments e on e.user_id = x.user_id and e.course_id = n.course_id
   order by x.user_id;

  update public.lessons x
     set archived_at = case when x.id = l.id then v_now end,
         module_id = l.module_id,
         position = l.position,
         is_required = l.is_required,
         is_preview = l.is_preview,
         weight = l.weight
   where x.id in (l.id, n.id);
  select * into v_after from public.lessons where id = n.id;
  perform private.audit('lesson.replace', l.course_id, null, 'lesson:' || l.id, p_reason,
    private.lesson_json(l) || jsonb_build_object('replaced_by', private.lesson_json(n)),
    private.lesson_json(v_after) || jsonb_build_object('learners', v_learners));
  return jsonb_build_object('lesson', private.lesson_json(v_after), 'replaced_lesson_id', l.id,
    'learners', v_learners);
end
$$;
comment on function private.replace_lesson(uuid, uuid, text) is
  'Puts a lesson in the place of another one, which is archived; learners'' progress is carried over.';

create function public.replace_lesson(p_lesson_id uuid, p_new_lesson_id uuid, p_reason text)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.replace_lesson(p_lesson_id, p_new_lesson_id, p_reason); end;
comment on function public.replace_lesson(uuid, uuid, text) is
  'Authors and admins: replaces a lesson by another one, progress carried over. Returns {lesson, replaced_lesson_id, learners}.';

revoke execute on function private.replace_lesson from public;
revoke execute on function public.replace_lesson from public, anon, authenticated, service_role;
grant execute on function public.replace_lesson, private.replace_lesson to authenticated, service_role;
