-- What a monitor asks beside the health of the queue and of the counters: whether learners get on.

select private.require_free(array['private.get_activity_health', 'public.get_activity_health']);

create function private.get_activity_health() returns jsonb
language sql stable security definer set search_path = ''
as $$
  -- By day in each learner's own time zone, as the days are kept; who keeps none is not counted.
  select jsonb_build_object(
           'active', count(distinct a.user_id),
           'progressing', count(distinct a.user_id) filter (where a.lessons_completed > 0))
    from public.daily_activity a
   where a.day > (private.clock() at time zone 'UTC')::date - 7
$$;
comment on function private.get_activity_health() is
  'How many learners did anything in the last seven days, and how many of them completed a lesson.';
revoke execute on function private.get_activity_health() from public;

create function public.get_activity_health() returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_activity_health(); end;
comment on function public.get_activity_health() is 'Operators: {active, progressing}, of seven days.';
revoke execute on function public.get_activity_health()
  from public, anon, authenticated, service_role;
grant execute on function public.get_activity_health(), private.get_activity_health()
  to service_role;
