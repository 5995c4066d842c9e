-- Two accounts of one person become one. What they did is united as if one had done it all: completed wins,
-- the earlier completion stays, the larger number counts, and everything derived is counted again.
--
-- Rare and far-reaching, so it locks as the removal of a user does, which it ends in: nobody writes progress
-- meanwhile. The rows of both in auth.users are held besides, which keeps out what takes no such lock
-- (notes). Tables without a rule of their own move row by row; where the remaining account has such a row
-- already, that one stays.

select private.require_free(array[
  'private.merge_attempts', 'private.merge_certificates', 'private.merge_days',
  'private.merge_enrollments', 'private.merge_past', 'private.merge_progress',
  'private.merge_users', 'private.move_rows', 'private.move_saved', 'private.record_merge',
  'private.united_progress',
  'public.merge_users']);

create function private.united_progress(i public.user_progress, f public.user_progress)
returns public.user_progress
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  if f.completed_at < i.completed_at or i.completed_at is null then
    i.completed_on := f.completed_on;
  end if;
  if f.last_accessed > coalesce(i.last_accessed, '-infinity') then
    i.position_seconds := f.position_seconds;
  end if;
  i.completed_at := least(i.completed_at, f.completed_at);
  i.status := case
    when i.completed_at is not null then 'completed'
    when 'in_progress' in (i.status, f.status) then 'in_progress'
    else 'not_started' end;
  i.progress := greatest(i.progress, f.progress);
  i.started_at := least(i.started_at, f.started_at);
  i.last_accessed := greatest(i.last_accessed, f.last_accessed);
  i.view_time_seconds := greatest(i.view_time_seconds, f.view_time_seconds);
  -- Of more than two hundred pieces the longest, as everywhere.
  i.watched := coalesce((
    select range_agg(x.piece)
      from (
        select y as piece from unnest(i.watched + f.watched) as y
         order by upper(y) - lower(y) desc
         limit 200
      ) as x), '{}');
  i.attempts := i.attempts + f.attempts;
  i.best_score := greatest(i.best_score, f.best_score);
  return i;
end
$$;
comment on function private.united_progress(public.user_progress, public.user_progress) is
  'Two accounts'' progress in one lesson as one: completed wins, nothing is lower than in either.';
revoke execute on function private.united_progress(public.user_progress, public.user_progress)
  from public;

-- Returns the days on which a completion was counted that both accounts have.
create function private.merge_progress(p_from uuid, p_into uuid) returns date[]
language plpgsql volatile security definer set search_path = ''
as $$
declare
  r record;
  m public.user_progress;
  v_days date[] := '{}';
begin
  for r in
    select f, i
      from public.user_progress f
      join public.user_progress i on i.user_id = p_into and i.lesson_id = f.lesson_id
     where f.user_id = p_from
     order by f.lesson_id
  loop
    m := private.united_progress(r.i, r.f);
    update public.user_progress p
       set status = m.status, progress = m.progress, started_at = m.started_at,
           last_accessed = m.last_accessed, completed_at = m.completed_at,
           completed_on = m.completed_on, view_time_seconds = m.view_time_seconds,
           position_seconds = m.position_seconds, watched = m.watched, attempts = m.attempts,
           best_score = m.best_score
     where p.user_id = p_into and p.lesson_id = m.lesson_id;
    if (r.i).is_completed and (r.f).is_completed then
      v_days := v_days || case when (r.f).completed_at < (r.i).completed_at
        then (r.i).completed_on else (r.f).completed_on end;
    end if;
  end loop;
  update public.user_progress f
     set user_id = p_into
   where f.user_id = p_from and not exists (
     select from public.user_progress i where i.user_id = p_into and i.lesson_id = f.lesson_id);

  update public.module_progress i
     set started_at = least(i.started_at, f.started_at),
         completed_at = least(i.completed_at, f.completed_at)
    from public.module_progress f
   where f.user_id = p_from and i.user_id = p_into and i.module_id = f.module_id;
  update public.module_progress f
     set user_id = p_into
   where f.user_id = p_from and not exists (
     select from public.module_progress i where i.user_id = p_into and i.module_id = f.module_id);
  return v_days;
end
$$;
comment on function private.merge_progress(uuid, uuid) is
  'Unites progress of the present cycles; counters are for the recount that follows.';
revoke execute on function private.merge_progress(uuid, uuid) from public;

create function private.merge_past(p_from uuid, p_into uuid) returns date[]
language plpgsql volatile security definer set search_path = ''
as $$
declare
  r record;
  m public.user_progress;
  v_days date[] := '{}';
begin
  for r in
    select jsonb_populate_record(null::public.user_progress, to_jsonb(f)) as f,
           jsonb_populate_record(null::public.user_progress, to_jsonb(i)) as i, f.cycle
      from public.past_progress f
      join public.past_progress i on i.user_id = p_into and i.course_id = f.course_id
       and i.cycle = f.cycle and i.lesson_id = f.lesson_id
     where f.user_id = p_from
     order by f.course_id, f.cycle, f.lesson_id
  loop
    m := private.united_progress(r.i, r.f);
    update public.past_progress p
       set status = m.status, progress = m.progress, started_at = m.started_at,
           last_accessed = m.last_accessed, completed_at = m.completed_at,
           completed_on = m.completed_on, view_time_seconds = m.view_time_seconds,
           position_seconds = m.position_seconds, watched = m.watched, attempts = m.attempts,
           best_score = m.best_score
     where p.user_id = p_into and p.course_id = m.course_id and p.cycle = r.cycle
       and p.lesson_id = m.lesson_id;
    if (r.i).completed_at is not null and (r.f).completed_at is not null then
      v_days := v_days || case when (r.f).completed_at < (r.i).completed_at
        then (r.i).completed_on else (r.f).completed_on end;
    end if;
  end loop;
  update public.past_progress f
     set user_id = p_into
   where f.user_id = p_from and not exists (
     select from public.past_progress i
      where i.user_id = p_into and i.course_id = f.course_id and i.cycle = f.cycle
        and i.lesson_id = f.lesson_id);

  -- How a cycle ended cannot be counted again, the course is another by now: the better outcome stays.
  delete from public.past_cycles x
   using public.past_cycles y
   where x.user_id in (p_from, p_into) and y.user_id in (p_from, p_into)
     and x.user_id <> y.user_id and x.course_id = y.course_id and x.cycle = y.cycle
     and (y.completed_at is not null, y.progress_percent, y.user_id = p_into)
       > (x.completed_at is not null, x.progress_percent, x.user_id = p_into);
  update public.past_cycles set user_id = p_into where user_id = p_from;
  return v_days;
end
$$;
comment on function private.merge_past(uuid, uuid) is 'Unites what earlier cycles left behind.';
revoke execute on function private.merge_past(uuid, uuid) from public;

create function private.merge_days(p_from uuid, p_into uuid, p_twice date[]) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_day date;
begin
  insert into public.daily_activity as d
    (user_id, day, lessons_completed, view_seconds, attempts, first_at, last_at)
  select p_into, f.day, f.lessons_completed, f.view_seconds, f.attempts, f.first_at, f.last_at
    from public.daily_activity f
   where f.user_id = p_from
      on conflict (user_id, day) do update
     set lessons_completed = d.lessons_completed + excluded.lessons_completed,
         view_seconds = least(d.view_seconds + excluded.view_seconds, 86400),
         attempts = d.attempts + excluded.attempts,
         first_at = least(d.first_at, excluded.first_at),
         last_at = greatest(d.last_at, excluded.last_at);
  -- A lesson that both had completed is completed once.
  foreach v_day in array p_twice loop
    update public.daily_activity d
       set lessons_completed = d.lessons_completed - 1
     where d.user_id = p_into and d.day = v_day and d.lessons_completed > 0;
  end loop;
end
$$;
comment on function private.merge_days(uuid, uuid, date[]) is 'Unites the days of both accounts.';
revoke execute on function private.merge_days(uuid, uuid, date[]) from public;

-- Numbers follow the order in which attempts were begun, without gaps, for each lesson and cycle.
create function private.merge_attempts(p_from uuid, p_into uuid) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c_apart constant integer := 1000000;
  v_moved integer;
begin
  -- What is still open beside an open one belongs to no enrolment any more.
  delete from public.user_assessment_attempts f
   where f.user_id = p_from and f.status = 'in_progress' and exists (
     select from public.user_assessment_attempts i
      where i.user_id = p_into and i.lesson_id = f.lesson_id and i.status = 'in_progress');
  -- One key submits one attempt: the remaining account's.
  update public.user_assessment_attempts f
     set client_key = null
   where f.user_id = p_from and exists (
     select from public.user_assessment_attempts i
      where i.user_id = p_into and i.lesson_id = f.lesson_id and i.client_key = f.client_key);
  update public.user_assessment_attempts f
     set user_id = p_into, number = f.number + c_apart
   where f.user_id = p_from;
  get diagnostics v_moved = row_count;
  with ordered as (
    select a.id, row_number() over (
             partition by a.lesson_id, a.cycle order by a.started_at, a.number, a.id) as number
      from public.user_assessment_attempts a
     where a.user_id = p_into and a.lesson_id in (
       select x.lesson_id from public.user_assessment_attempts x
        where x.user_id = p_into and x.number > c_apart)
  )
  update public.user_assessment_attempts a
     set number = 2 * c_apart + o.number
    from ordered o
   where a.id = o.id;
  update public.user_assessment_attempts a
     set number = a.number - 2 * c_apart
   where a.user_id = p_into and a.number > 2 * c_apart;
  return v_moved;
end
$$;
comment on function private.merge_attempts(uuid, uuid) is
  'Moves attempts and numbers them anew; returns how many moved.';
revoke execute on function private.merge_attempts(uuid, uuid) from public;

-- Of two for one course and cycle the valid one stays live, of two valid ones the earlier; the other points
-- to it. Files are made again under the new owner, and the old ones go when no worker can still write them.
create function private.merge_certificates(p_from uuid, p_into uuid) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  c public.certificates;
  v_moved integer := 0;
begin
  for c in
    select x.*
      from public.certificates x
      join public.certificates y
        on (y.course_id, y.program_id, y.cycle) is not distinct from
           (x.course_id, x.program_id, x.cycle)
       and y.superseded_at is null and y.user_id in (p_from, p_into) and y.user_id <> x.user_id
       and (y.revoked_at is not null, y.issued_at, y.id)
         < (x.revoked_at is not null, x.issued_at, x.id)
     where x.user_id in (p_from, p_into) and x.superseded_at is null
     order by x.id
  loop
    update public.certificates x
       set superseded_at = v_now,
           superseded_by = (
             select y.id from public.certificates y
              where y.user_id in (p_from, p_into) and y.id <> c.id and y.superseded_at is null
                and (y.course_id, y.program_id, y.cycle) is not distinct from
                    (c.course_id, c.program_id, c.cycle))
     where x.id = c.id;
  end loop;
  for c in select * from public.certificates x where x.user_id = p_from order by x.id loop
    perform private.enqueue('storage.remove',
      jsonb_build_object('path', p_from || '/' || c.id || '.pdf'),
      'storage.remove:' || p_from || '/' || c.id || '.pdf', 5, v_now + interval '15 minutes');
    update public.certificates x
       set user_id = p_into,
           enrollment_id = coalesce((
             select e.id from public.enrollments e
              where e.user_id = p_into and e.course_id = c.course_id), x.enrollment_id),
           pdf_path = null, pdf_sha256 = null, pdf_bytes = null, rendered_at = null
     where x.id = c.id;
    if c.superseded_at is null then
      perform private.enqueue('certificate.render', jsonb_build_object('certificate_id', c.id),
        'certificate.render.named:' || c.id, 10);
    end if;
    v_moved := v_moved + 1;
  end loop;
  return v_moved;
end
$$;
comment on function private.merge_certificates(uuid, uuid) is
  'Moves certificates, one live per course and cycle; returns how many moved.';
revoke execute on function private.merge_certificates(uuid, uuid) from public;

-- Whoever is behind is brought to the cycle of the other first: what they did in theirs is past.
create function private.merge_enrollments(p_from uuid, p_into uuid, p_reason text)
returns bigint[]
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_course_ids bigint[];
  v_course_id bigint;
  v_cycle integer;
  v_user_id uuid;
begin
  v_course_ids := array(
    select distinct e.course_id from public.enrollments e
     where e.user_id in (p_from, p_into)
     order by e.course_id);
  foreach v_course_id in array v_course_ids loop
    select max(x.cycle) into v_cycle
      from (
        select e.cycle from public.enrollments e
         where e.user_id in (p_from, p_into) and e.course_id = v_course_id
        union all
        select p.cycle + 1 from public.past_cycles p
         where p.user_id in (p_from, p_into) and p.course_id = v_course_id
      ) as x;
    for v_user_id in
      select e.user_id from public.enrollments e
       where e.user_id in (p_from, p_into) and e.course_id = v_course_id and e.cycle < v_cycle
    loop
      perform private.begin_cycle(v_user_id, v_course_id, 'merge', p_reason);
      update public.enrollments e
         set cycle = v_cycle
       where e.user_id = v_user_id and e.course_id = v_course_id;
    end loop;
  end loop;

  update public.enrollments i
     set purchase_id = coalesce(i.purchase_id, f.purchase_id),
         cohort_id = coalesce(i.cohort_id, f.cohort_id),
         status = case when 'active' in (i.status, f.status) then 'active' else i.status end,
         expires_at = case
           when i.status = 'active' and f.status <> 'active' then i.expires_at
           when f.status = 'active' and i.status <> 'active' then f.expires_at
           when i.expires_at is not null and f.expires_at is not null
             then greatest(i.expires_at, f.expires_at) end,
         enrolled_at = least(i.enrolled_at, f.enrolled_at),
         cycle_started_at = least(i.cycle_started_at, f.cycle_started_at),
         completed_at = least(i.completed_at, f.completed_at),
         completion_snapshot = case
           when f.completed_at < i.completed_at or i.completed_at is null
             then f.completion_snapshot else i.completion_snapshot end,
         renewal_told_at = coalesce(i.renewal_told_at, f.renewal_told_at),
         last_accessed_at = greatest(i.last_accessed_at, f.last_accessed_at),
         current_module_id = case
           when f.last_accessed_at > coalesce(i.last_accessed_at, '-infinity')
             then f.current_module_id else i.current_module_id end,
         current_lesson_id = case
           when f.last_accessed_at > coalesce(i.last_accessed_at, '-infinity')
             then f.current_lesson_id else i.current_lesson_id end,
         current_section = case
           when f.last_accessed_at > coalesce(i.last_accessed_at, '-infinity')
             then f.current_section else i.current_section end,
         view_time_seconds = greatest(i.view_time_seconds, f.view_time_seconds),
         frontier_lesson_id = null,
         frontier_version = null
    from public.enrollments f
   where f.user_id = p_from and i.user_id = p_into and i.course_id = f.course_id;
  delete from public.enrollments f
   where f.user_id = p_from and exists (
     select from public.enrollments i where i.user_id = p_into and i.course_id = f.course_id);
  update public.enrollments set user_id = p_into where user_id = p_from;
  return v_course_ids;
end
$$;
comment on function private.merge_enrollments(uuid, uuid, text) is
  'Brings both to one cycle in each course and unites the enrolments; returns the courses.';
revoke execute on function private.merge_enrollments(uuid, uuid, text) from public;

-- Notes, collections and what is in them refer to one another with their owner: they move in one statement,
-- a collection of the same name becomes part of the one that is there.
create function private.move_saved(p_from uuid, p_into uuid) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  delete from public.collection_items f
   using public.collections g, public.collections h, public.collection_items i
   where f.user_id = p_from and g.user_id = p_from and g.id = f.collection_id
     and h.user_id = p_into and (h.name = g.name or h.is_default and g.is_default)
     and i.user_id = p_into and i.collection_id = h.id and i.course_id = f.course_id;
  with same as (
    select distinct on (g.id) g.id as old_id, h.id as new_id
      from public.collections g
      join public.collections h on h.user_id = p_into
       and (h.name = g.name or h.is_default and g.is_default)
     where g.user_id = p_from
     order by g.id, h.is_default and g.is_default desc
  ),
  notes as (
    update public.notes n set user_id = p_into
     where n.user_id = p_from and not exists (
       select from public.notes x where x.user_id = p_into and x.id = n.id)
  ),
  items as (
    update public.collection_items i
       set user_id = p_into,
           collection_id = coalesce(
             (select s.new_id from same s where s.old_id = i.collection_id), i.collection_id)
     where i.user_id = p_from
  )
  update public.collections c
     set user_id = p_into
   where c.user_id = p_from and c.id not in (select s.old_id from same s);
end
$$;
comment on function private.move_saved(uuid, uuid) is 'Moves notes, collections and what is in them.';
revoke execute on function private.move_saved(uuid, uuid) from public;

create function private.move_rows(
  p_relation regclass, p_owner_column text, p_from uuid, p_into uuid
) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_rows tid[];
  v_row tid;
begin
  execute format('select array(select ctid from %s where %I = $1)', p_relation, p_owner_column)
    into v_rows using p_from;
  foreach v_row in array v_rows loop
    begin
      execute format('update %s set %I = $1 where ctid = $2', p_relation, p_owner_column)
        using p_into, v_row;
    exception when unique_violation then
      null;  -- The remaining account has one: this one goes with the other account.
    end;
  end loop;
end
$$;
comment on function private.move_rows(regclass, text, uuid, uuid) is
  'Moves a table''s rows to another owner, but for those that the new owner has already.';
revoke execute on function private.move_rows(regclass, text, uuid, uuid) from public;

-- Two histories in one do not tell what became of them: this does, one event a course.
create function private.record_merge(p_user_id uuid) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  insert into public.progress_events
    (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
  select private.clock(), p_user_id, c.id, e.id, coalesce(e.cycle, 1), 'accounts_merged',
         jsonb_build_object(
           'part', row_number() over (order by c.id),
           'enrollment', case when e.id is not null then jsonb_build_object(
             'status', e.status, 'enrolled_at', e.enrolled_at, 'completed_at', e.completed_at) end,
           'lessons', coalesce((
             select jsonb_object_agg(p.lesson_id, jsonb_build_object('status', p.status,
                      'started_at', p.started_at, 'completed_at', p.completed_at,
                      'attempts', p.attempts, 'best_score', p.best_score))
               from public.user_progress p
              where p.user_id = p_user_id and p.course_id = c.id), '{}'),
           'modules', coalesce((
             select jsonb_object_agg(m.module_id, jsonb_build_object(
                      'started_at', m.started_at, 'completed_at', m.completed_at))
               from public.module_progress m
              where m.user_id = p_user_id and m.course_id = c.id), '{}'),
           'waived', coalesce((
             select jsonb_agg(w.lesson_id order by w.lesson_id)
               from public.lesson_waivers w
               join public.lessons l on l.id = w.lesson_id
              where w.user_id = p_user_id and l.course_id = c.id), '[]'),
           'past', coalesce((
             select jsonb_agg(jsonb_build_object('cycle', p.cycle, 'lesson_id', p.lesson_id,
                      'status', p.status, 'started_at', p.started_at,
                      'completed_at', p.completed_at, 'attempts', p.attempts,
                      'best_score', p.best_score) order by p.cycle, p.lesson_id)
               from public.past_progress p
              where p.user_id = p_user_id and p.course_id = c.id), '[]'))
    from (
      select e.course_id as id from public.enrollments e where e.user_id = p_user_id
      union
      select p.course_id from public.user_progress p where p.user_id = p_user_id
      union
      select m.course_id from public.module_progress m where m.user_id = p_user_id
      union
      select p.course_id from public.past_progress p where p.user_id = p_user_id
      union
      select l.course_id
        from public.lesson_waivers w
        join public.lessons l on l.id = w.lesson_id
       where w.user_id = p_user_id
    ) as c
    left join public.enrollments e on e.user_id = p_user_id and e.course_id = c.id
   order by c.id;
end
$$;
comment on function private.record_merge(uuid) is
  'Tells what a learner holds after accounts were united, course by course.';
revoke execute on function private.record_merge(uuid) from public;

create function private.merge_users(p_from uuid, p_into uuid, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_course_ids bigint[];
  v_finished_away bigint[];
  v_twice date[];
  v_attempts integer;
  v_certificates integer;
  v_enrollment_id uuid;
  a public.user_assessment_attempts;
  t record;
begin
  perform private.require_reason(p_reason);
  if p_from is null or p_into is null or p_from = p_into then
    perform private.fail('invalid_value', 422, 'Two different accounts are needed');
  end if;
  -- As the removal of a user, and as an editor whose updates are no raw ones.
  perform pg_advisory_xact_lock(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  perform pg_advisory_xact_lock(private.catalog_key());
  perform from auth.users u where u.id in (p_from, p_into) order by u.id for update;
  if (select count(*) from auth.users u where u.id in (p_from, p_into)) < 2 then
    perform private.fail('user_not_found', 404, 'User not found');
  end if;

  -- Of two open attempts at a quiz the one of the account that goes ends as it stands.
  for a in
    select f.* from public.user_assessment_attempts f
      join public.user_assessment_attempts i on i.user_id = p_into and i.lesson_id = f.lesson_id
       and i.status = 'in_progress'
     where f.user_id = p_from and f.status = 'in_progress'
       and exists (
         select from public.enrollments e
          where e.user_id = p_from and e.course_id = f.course_id)
  loop
    perform private.finish_attempt(
      private.open_for_staff(p_from, a.lesson_id), a, v_now, true, null);
  end loop;

  -- A course that came to its end while its learner was away has no certificate before they return.
  v_finished_away := array(
    select f.course_id
      from public.enrollments f
      join public.enrollments i on i.user_id = p_into and i.course_id = f.course_id
     where f.user_id = p_from and f.status <> 'active' and f.completed_at is not null
       and i.status = 'active');
  v_course_ids := private.merge_enrollments(p_from, p_into, p_reason);
  v_twice := private.merge_progress(p_from, p_into) || private.merge_past(p_from, p_into);
  perform private.merge_days(p_from, p_into, v_twice);
  v_attempts := private.merge_attempts(p_from, p_into);
  v_certificates := private.merge_certificates(p_from, p_into);
  perform private.move_saved(p_from, p_into);

  update public.program_enrollments i
     set enrolled_at = least(i.enrolled_at, f.enrolled_at),
         completed_at = least(i.completed_at, f.completed_at)
    from public.program_enrollments f
   where i.user_id = p_into and f.user_id = p_from and i.program_id = f.program_id;
  update private.watch_credit i
     set spent = i.spent + f.spent
    from private.watch_credit f
   where i.user_id = p_into and f.user_id = p_from;
  update public.profiles i
     set display_name = coalesce(i.display_name, f.display_name),
         mail_opt_out = i.mail_opt_out or f.mail_opt_out
    from public.profiles f
   where i.id = p_into and f.id = p_from
     and (i.display_name is null and f.display_name is not null
       or f.mail_opt_out and not i.mail_opt_out);
  for t in
    select x.* from private.personal_tables() x
     where x.name <> all (array[
       'profiles', 'enrollments', 'user_progress', 'module_progress', 'daily_activity',
       'past_cycles', 'past_progress', 'user_assessment_attempts', 'certificates', 'notes',
       'collections', 'collection_items', 'progress_events', 'audit_log'])
     order by x.name
  loop
    perform private.move_rows(t.relation, t.owner_column, p_from, p_into);
  end loop;
  update public.progress_events set user_id = p_into where user_id = p_from;
  update public.audit_log set user_id = p_into where user_id = p_from;
  update public.audit_log set actor_id = p_into where actor_id = p_from;

  update public.enrollments e
     set view_time_seconds = greatest(e.view_time_seconds, (
           select sum(p.view_time_seconds) from public.user_progress p
            where p.user_id = p_into and p.course_id = e.course_id))
   where e.user_id = p_into and e.course_id = any (v_course_ids);
  for v_enrollment_id in
    select e.id from public.enrollments e
     where e.user_id = p_into and e.course_id = any (v_course_ids)
     order by e.course_id
  loop
    perform private.recalculate_enrollment(v_enrollment_id, false);
  end loop;
  perform private.certify(array(
    select e.id from public.enrollments e
     where e.user_id = p_into and e.course_id = any (v_finished_away)
       and e.completed_at is not null));
  perform private.finish_programs(array(
    select e.id from public.enrollments e where e.user_id = p_into));
  perform private.record_merge(p_into);
  delete from auth.users where id = p_from;
  perform private.audit('user.merge', null, p_into, 'user:' || p_into, p_reason,
    jsonb_build_object('user_id', p_from), jsonb_build_object('courses', v_course_ids,
      'attempts', v_attempts, 'certificates', v_certificates));
  return jsonb_build_object('user_id', p_into, 'course_ids', v_course_ids,
    'attempts', v_attempts, 'certificates', v_certificates, 'changed', true);
end
$$;
comment on function private.merge_users(uuid, uuid, text) is
  'Unites two accounts of one person in the second; the first one is deleted.';
revoke execute on function private.merge_users(uuid, uuid, text) from public;

create function public.merge_users(p_from uuid, p_into uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.merge_users(p_from, p_into, p_reason); end;
comment on function public.merge_users(uuid, uuid, text) is
  'Admins: unites two accounts of one person in the second and deletes the first. Returns {user_id, course_ids, attempts, certificates, changed}.';
revoke execute on function public.merge_users from public, anon, authenticated, service_role;
grant execute on function public.merge_users, private.merge_users to authenticated, service_role;
