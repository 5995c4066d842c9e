-- Settling by a job: the enrolments that a catalogue edit has left behind (private.defer_settling), in
-- slices short enough that no learner waits for one. A slice is one transaction: whatever dies, what was
-- settled stays so, and the rest is found by its version.

select private.require_free(array['private.settle_course', 'public.settle_course']);

create function private.settle_course(p_course_id bigint, p_cursor uuid, p_limit integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_version bigint;
  v_ids uuid[];
  v_settling boolean := true;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 1000');
  end if;
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  -- While it is shared, no edit raises the version.
  perform private.share_course(p_course_id);
  select c.settle_version, c.is_settling into v_version, v_settling
    from public.courses c where c.id = p_course_id;
  if v_settling is not true then
    return jsonb_build_object('settled', 0, 'cursor', null, 'settling', false);
  end if;
  v_ids := array(
    select e.id
      from public.enrollments e
     where e.course_id = p_course_id and (p_cursor is null or e.id > p_cursor)
       and e.settled_version < v_version
     order by e.id
     limit p_limit);
  perform private.settle_enrollments(v_ids, 'catalog', false);
  if cardinality(v_ids) < p_limit then
    v_settling := exists (
      select from public.enrollments e
       where e.course_id = p_course_id and e.settled_version < v_version);
    if not v_settling then
      update public.courses set is_settling = false where id = p_course_id;
    end if;
  end if;
  return jsonb_build_object(
    'settled', cardinality(v_ids),
    'cursor', case when cardinality(v_ids) = p_limit then v_ids[p_limit] end,
    'settling', v_settling);
end
$$;
comment on function private.settle_course(bigint, uuid, integer) is
  'A slice of the enrolments that edits of a course have left behind.';
revoke execute on function private.settle_course(bigint, uuid, integer) from public;

create function public.settle_course(
  p_course_id bigint, p_cursor uuid default null, p_limit integer default 200
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.settle_course(p_course_id, p_cursor, p_limit); end;
comment on function public.settle_course(bigint, uuid, integer) is
  'The worker: settles the next enrolments of a course after a large edit, {settled, cursor, settling}.';
revoke execute on function public.settle_course(bigint, uuid, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.settle_course(bigint, uuid, integer),
  private.settle_course(bigint, uuid, integer) to service_role;
