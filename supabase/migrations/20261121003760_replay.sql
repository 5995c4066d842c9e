-- What a replay needs: a learner's history, and the rows that it must add up to, of one moment.
--
-- The replay itself is no SQL: shared/replay.py rebuilds the rows from the events in a language and by a
-- hand of its own, so that a mistake in the functions that write both is seen.

select private.require_free(array['private.get_learner_history', 'public.get_learner_history']);

create function private.get_learner_history(p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  c_limit constant integer := 100000;
  v_events jsonb;
begin
  if not exists (select from auth.users u where u.id = p_user_id) then
    perform private.fail('user_not_found', 404, 'User not found');
  end if;
  select coalesce(jsonb_agg(to_jsonb(e) - '{user_id,transaction_id,created_at,updated_at}'::text[]
           order by e.id), '[]')
    into v_events
    from (
      select * from public.progress_events x
       where x.user_id = p_user_id
       order by x.id
       limit c_limit + 1
    ) as e;
  if jsonb_array_length(v_events) > c_limit then
    perform private.fail('invalid_value', 422, 'This learner has more events than are read at once');
  end if;
  return jsonb_build_object(
    'user_id', p_user_id,
    'events', v_events,
    'courses', (select coalesce(jsonb_agg(c.id order by c.id), '[]')
      from public.courses c
     where c.id in (select (x.value ->> 'course_id')::bigint
                      from jsonb_array_elements(v_events) as x)),
    'lessons', (select coalesce(jsonb_agg(jsonb_build_object('id', l.id, 'course_id', l.course_id,
        'module_id', l.module_id, 'weight', l.weight, 'is_countable', l.is_countable,
        'is_gate', l.is_gate) order by l.id), '[]')
      from public.lessons l
     where l.id in (
         select p.lesson_id from public.user_progress p where p.user_id = p_user_id
         union
         select (x.value ->> 'lesson_id')::uuid from jsonb_array_elements(v_events) as x)
        or l.course_id in (
         select e.course_id from public.enrollments e where e.user_id = p_user_id)),
    'modules', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'course_id', m.course_id,
        'completion_rule', m.completion_rule) order by m.id), '[]')
      from public.modules m
     where m.course_id in (
       select e.course_id from public.enrollments e where e.user_id = p_user_id)),
    'tables', jsonb_build_object(
      'enrollments', (select coalesce(jsonb_agg(jsonb_build_object('course_id', e.course_id,
          'cycle', e.cycle, 'status', e.status, 'enrolled_at', e.enrolled_at,
          'completed_at', e.completed_at, 'progress_percent', e.progress_percent,
          'completed_lessons', e.completed_lessons, 'total_lessons', e.total_lessons,
          'completed_weight', e.completed_weight, 'total_weight', e.total_weight,
          'settling', private.is_settling(e)) order by e.course_id), '[]')
        from public.enrollments e where e.user_id = p_user_id),
      'user_progress', (select coalesce(jsonb_agg(jsonb_build_object('lesson_id', p.lesson_id,
          'status', p.status, 'started_at', p.started_at, 'completed_at', p.completed_at,
          'attempts', p.attempts, 'best_score', p.best_score) order by p.lesson_id), '[]')
        from public.user_progress p where p.user_id = p_user_id),
      'past_progress', (select coalesce(jsonb_agg(jsonb_build_object('course_id', p.course_id,
          'cycle', p.cycle, 'lesson_id', p.lesson_id, 'status', p.status,
          'started_at', p.started_at, 'completed_at', p.completed_at, 'attempts', p.attempts,
          'best_score', p.best_score) order by p.course_id, p.cycle, p.lesson_id), '[]')
        from public.past_progress p where p.user_id = p_user_id),
      'module_progress', (select coalesce(jsonb_agg(jsonb_build_object('module_id', m.module_id,
          'status', m.status, 'started_at', m.started_at, 'completed_at', m.completed_at)
          order by m.module_id), '[]')
        from public.module_progress m where m.user_id = p_user_id),
      'lesson_waivers', (select coalesce(jsonb_agg(jsonb_build_object('lesson_id', w.lesson_id)
          order by w.lesson_id), '[]')
        from public.lesson_waivers w where w.user_id = p_user_id)));
end
$$;
comment on function private.get_learner_history(uuid) is
  'A learner''s events in order, the lessons they are about, and the rows they add up to.';
revoke execute on function private.get_learner_history(uuid) from public;

create function public.get_learner_history(p_user_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_learner_history(p_user_id); end;
comment on function public.get_learner_history(uuid) is
  'Servers: what a replay of one learner''s history needs, {user_id, events, courses, lessons, modules, tables}.';
revoke execute on function public.get_learner_history(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.get_learner_history(uuid), private.get_learner_history(uuid)
  to service_role;
