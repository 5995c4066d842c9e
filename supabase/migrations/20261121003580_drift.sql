-- Drift: counters that a count contradicts. Promise 5 says there is none; whoever edits rows past our
-- functions, as superuser or in a restored backup, can make some. The upkeep looks at a slice each time,
-- round and round, and a learner's own look at a course mends what it shows.

select private.require_free(array[
  'private.check_drift', 'private.drift_checks', 'private.get_drift_health', 'private.heal_enrollment',
  'public.get_drift_health']);

create table private.drift_checks (
  id boolean primary key default true check (id),
  cursor uuid,
  last_run_at timestamptz,
  last_round_at timestamptz,
  last_found_at timestamptz,
  checked bigint not null default 0,
  drifted bigint not null default 0,
  mended bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table private.drift_checks is
  'One row: how far the check for drift has come in its round, and what it has found so far.';
alter table private.drift_checks enable row level security;
revoke all on table private.drift_checks from anon, authenticated, service_role;
create policy "Nobody reads drift checks directly" on private.drift_checks
  for select to authenticated using (false);
create trigger _900_touch before update on private.drift_checks
  for each row execute function private.tg_touch_updated_at();
insert into private.drift_checks default values;

-- Looking locks nobody; mending locks one enrolment at a time, and gives up soon where it is busy: the
-- next round comes by again.
create function private.check_drift(p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = '' set lock_timeout = '500ms'
as $$
declare
  d private.drift_checks;
  v_slice jsonb;
  v_mended integer;
  v_failed integer;
  v_drifted integer;
begin
  select * into d from private.drift_checks for update;
  v_slice := private.recalculate_slice(null, d.cursor, p_limit, false, 0.5);
  v_failed := jsonb_array_length(v_slice -> 'failed');
  select count(*) into v_mended
    from jsonb_array_elements(v_slice -> 'drift') as one (drift)
   where one.drift ->> 'by' = 'recalculation';
  v_drifted := v_mended + v_failed;
  update private.drift_checks
     set cursor = (v_slice ->> 'cursor')::uuid,
         last_run_at = private.clock(),
         last_round_at = case when v_slice ->> 'cursor' is null then private.clock()
                              else last_round_at end,
         last_found_at = case when v_drifted > 0 then private.clock() else last_found_at end,
         checked = checked + (v_slice ->> 'checked')::integer,
         drifted = drifted + v_drifted,
         mended = mended + v_mended;
  if v_drifted > 0 then
    raise warning 'waymark: % of % enrolments had drifted, % of them mended', v_drifted,
      v_slice ->> 'checked', v_mended
      using detail = left((v_slice - 'cursor')::text, 2000);
  end if;
  return jsonb_build_object(
    'checked', v_slice -> 'checked', 'drifted', v_drifted, 'mended', v_mended);
end
$$;
comment on function private.check_drift(integer) is
  'Part of the upkeep: counts the next enrolments of the round again and mends them; {checked, drifted, mended}.';
revoke execute on function private.check_drift(integer) from public;

create function private.get_drift_health() returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
             'last_run_at', d.last_run_at,
             'last_round_at', d.last_round_at,
             'last_found_at', d.last_found_at,
             'checked', d.checked,
             'drifted', d.drifted,
             'mended', d.mended,
             'settling', (select count(*) from public.courses c where c.is_settling))
      from private.drift_checks d);
end
$$;
comment on function private.get_drift_health() is 'What the check for drift has found so far.';
revoke execute on function private.get_drift_health() from public;

create function public.get_drift_health() returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_drift_health(); end;
comment on function public.get_drift_health() is
  'Operators: {last_run_at, last_round_at, last_found_at, checked, drifted, mended, settling}.';
revoke execute on function public.get_drift_health()
  from public, anon, authenticated, service_role;
grant execute on function public.get_drift_health(), private.get_drift_health() to service_role;

-- For private.read_course_progress(), whose answer lists the completed lessons beside their number.

create function private.heal_enrollment(p_enrollment_id uuid) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_found jsonb;
begin
  -- A lock only where there is something to mend.
  if private.settle_enrollments(array[p_enrollment_id], 'recalculation', true) = '[]' then
    return false;
  end if;
  v_found := private.settle_enrollments(array[p_enrollment_id], 'recalculation', false);
  update private.drift_checks
     set last_found_at = private.clock(), drifted = drifted + 1, mended = mended + 1;
  raise warning 'waymark: enrolment % had drifted and was mended', p_enrollment_id
    using detail = left(v_found::text, 2000);
  return true;
end
$$;
comment on function private.heal_enrollment(uuid) is
  'Mends an enrolment whose own numbers disagree; whether there was anything to mend.';
revoke execute on function private.heal_enrollment(uuid) from public;
grant execute on function private.heal_enrollment(uuid) to waymark_writer;
