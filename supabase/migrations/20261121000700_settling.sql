-- Locks and settling: why every counter equals a recount at every commit.
--
-- Transaction-level advisory locks, always taken in this order and before any row:
--   editors   shared by edits by RPC and recalculation; exclusive for raw edits of courses, modules,
--             lessons and enrolments, down to a title: a raw statement locks its rows in any order,
--             so it may interleave with nobody who locks several; and for the removal of users;
--   crossing  exclusive for edits by RPC that lock several courses; shared by what holds several
--             courses in shared form, in any order (recalculation of all, sales in bulk, batches of
--             a learner's offline events);
--   catalogue shared by learners' writes and edits by RPC; exclusive for raw edits that change
--             counts, order or place, in a BEFORE STATEMENT trigger (a BEFORE ROW trigger runs when
--             the row is already locked, which deadlocks), and for the removal of users, whose
--             cascade walks through all tables of theirs;
--   course    shared by learners' writes; exclusive for edits by RPC, in id order.
-- Then rows, and of these the enrolment's first: it is what makes a learner's tabs wait for one
-- another, so a module's completion (several rows of each table) never meets another tab halfway.
-- So while counts change, nobody completes a lesson there, and the difference a change makes can be
-- added to the counters instead of counting again.
--
-- An edit of a course with more enrolments than private.settle_limit() would hold its learners up for
-- too long, and leaves the enrolments to a job: it raises the course's settle_version, and an enrolment
-- whose settled_version is behind it is counted again, by the job in slices (private.settle_course) or
-- by its learner's next write (private.open_lesson), whichever comes first. Until then it says settling.

create function private.editors_key() returns bigint
language sql immutable parallel safe security invoker set search_path = ''
return hashtextextended('waymark:editors', 0);
comment on function private.editors_key() is 'Advisory lock key of everyone who edits the catalogue.';
revoke execute on function private.editors_key() from public;

create function private.crossing_key() returns bigint
language sql immutable parallel safe security invoker set search_path = ''
return hashtextextended('waymark:crossing', 0);
comment on function private.crossing_key() is
  'Advisory lock key of what holds several courses: edits exclusively, learners'' counts shared.';
revoke execute on function private.crossing_key() from public;

create function private.catalog_key() returns bigint
language sql immutable parallel safe security invoker set search_path = ''
return hashtextextended('waymark:catalog', 0);
comment on function private.catalog_key() is 'Advisory lock key of the whole catalogue.';
revoke execute on function private.catalog_key() from public;

create function private.course_key(p_course_id bigint) returns bigint
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return hashtextextended('waymark:course:' || p_course_id, 0);
end
$$;
comment on function private.course_key(bigint) is 'Advisory lock key of one course.';
revoke execute on function private.course_key(bigint) from public;

create function private.share_course(p_course_id bigint) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(private.catalog_key());
  perform pg_advisory_xact_lock_shared(private.course_key(p_course_id));
end
$$;
comment on function private.share_course(bigint) is
  'Before a learner''s write: keeps catalogue edits of this course out until commit.';
revoke execute on function private.share_course(bigint) from public;
grant execute on function private.share_course(bigint) to waymark_writer;

create function private.share_courses(p_course_ids bigint[]) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_course_id bigint;
begin
  perform pg_advisory_xact_lock_shared(private.crossing_key());
  for v_course_id in
    select distinct id from unnest(p_course_ids) as id where id is not null order by id
  loop
    perform private.share_course(v_course_id);
  end loop;
end
$$;
comment on function private.share_courses(bigint[]) is
  'Before a learner''s writes in several courses: keeps catalogue edits of all of them out.';
revoke execute on function private.share_courses(bigint[]) from public;
grant execute on function private.share_courses(bigint[]) to waymark_writer;

-- waymark.locked_courses remembers what this transaction holds, for the triggers below. It is local
-- to the transaction, and rolls back with a savepoint just as the locks do.
create function private.lock_courses(p_course_ids bigint[]) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_held bigint[] := private.locked_courses();
  v_course_id bigint;
begin
  perform pg_advisory_xact_lock_shared(private.editors_key());
  perform set_config('waymark.editing', 'on', true);
  if (select count(distinct id) from unnest(p_course_ids) as id) > 1 then
    perform pg_advisory_xact_lock(private.crossing_key());
  end if;
  perform pg_advisory_xact_lock_shared(private.catalog_key());
  for v_course_id in
    select distinct id from unnest(p_course_ids) as id where id is not null order by id
  loop
    perform pg_advisory_xact_lock(private.course_key(v_course_id));
    v_held := v_held || v_course_id;
  end loop;
  perform set_config('waymark.locked_courses', v_held::text, true);
end
$$;
comment on function private.lock_courses(bigint[]) is
  'Before a catalogue edit by RPC: locks these courses exclusively, in id order.';

create function private.locked_courses() returns bigint[]
language sql stable security invoker set search_path = ''
as $$
  select coalesce(nullif(current_setting('waymark.locked_courses', true), '')::bigint[], '{}')
$$;
comment on function private.locked_courses() is 'Courses this transaction holds by lock_courses().';
revoke execute on function private.lock_courses(bigint[]) from public;
revoke execute on function private.locked_courses() from public;

create function private.tg_catalog__lock() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if private.locked_courses() = '{}' then
    perform pg_advisory_xact_lock(private.catalog_key());
    perform set_config('waymark.locked_catalog', 'on', true);
  end if;
  return null;
end
$$;
comment on function private.tg_catalog__lock() is
  'Raw edits of the catalogue lock all of it; edits by RPC hold their courses already.';
revoke execute on function private.tg_catalog__lock() from public;

create function private.tg_catalog__edit() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if current_setting('waymark.editing', true) is distinct from 'on' then
    perform pg_advisory_xact_lock(private.editors_key());
    perform set_config('waymark.editing', 'on', true);
  end if;
  return null;
end
$$;
comment on function private.tg_catalog__edit() is
  'Raw edits of the catalogue wait for one another and for edits by RPC, whatever they change.';
revoke execute on function private.tg_catalog__edit() from public;

-- By name before the lock below.
create trigger _000_edit before insert or update or delete on public.courses
  for each statement execute function private.tg_catalog__edit();
create trigger _000_edit before insert or update or delete on public.modules
  for each statement execute function private.tg_catalog__edit();
create trigger _000_edit before insert or update or delete on public.lessons
  for each statement execute function private.tg_catalog__edit();

create trigger _000_lock before delete on public.courses
  for each statement execute function private.tg_catalog__lock();
create trigger _000_lock before insert or delete
  or update of id, course_id, position, completion_rule
  on public.modules
  for each statement execute function private.tg_catalog__lock();
create trigger _000_lock before insert or delete
  or update of id, module_id, course_id, module_position, position, is_preview, is_required, weight,
     completion_rule, archived_at
  on public.lessons
  for each statement execute function private.tg_catalog__lock();

create function private.tg_users__lock() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  -- Behind the editors first: a removal that waited for the catalogue beside a long edit of one course
  -- would make the learners of all courses wait behind it.
  perform pg_advisory_xact_lock(private.editors_key());
  perform pg_advisory_xact_lock(private.catalog_key());
  return null;
end
$$;
comment on function private.tg_users__lock() is
  'Users are removed while nobody writes progress: their cascade locks rows in an order of its own.';
revoke execute on function private.tg_users__lock() from public;

create trigger waymark_lock before delete on auth.users
  for each statement execute function private.tg_users__lock();

-- Servers may extend or withdraw many enrolments in one statement. The write path moves one at a
-- time, and settling and cascades (depth above 0) have their locks already.
create trigger _000_edit before update or delete on public.enrollments
  for each statement
  when (current_user <> 'waymark_writer' and pg_trigger_depth() = 0)
  execute function private.tg_catalog__edit();

-- One lesson before and after an edit. A null weight means: does not count.
create type private.lesson_change as (
  lesson_id uuid,
  old_course_id bigint,
  old_module_id uuid,
  old_weight integer,
  old_gate boolean,
  new_course_id bigint,
  new_module_id uuid,
  new_weight integer,
  new_gate boolean
);

-- The same as two bookings: taken out where it counted, put in where it counts now.
create function private.bookings(p_changes private.lesson_change[])
returns table (
  lesson_id uuid, course_id bigint, module_id uuid, lessons integer, weight integer, quizzes integer)
language sql immutable security invoker set search_path = ''
as $$
  select ch.lesson_id, ch.old_course_id, ch.old_module_id, -1, -ch.old_weight,
         -ch.old_gate::integer
    from unnest(p_changes) as ch
   where ch.old_weight is not null
  union all
  select ch.lesson_id, ch.new_course_id, ch.new_module_id, 1, ch.new_weight,
         ch.new_gate::integer
    from unnest(p_changes) as ch
   where ch.new_weight is not null
$$;
comment on function private.bookings(private.lesson_change[]) is
  'What each change takes from one module and course and gives to another.';
revoke execute on function private.bookings(private.lesson_change[]) from public;

-- Measured: docs/explanation/performance.md. Raised by an operator whose learners may wait longer.
create function private.settle_limit() returns bigint
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select s.value::bigint from private.settings s where s.name = 'settle_limit');
end
$$;
comment on function private.settle_limit() is
  'Up to how many enrolments a catalogue edit settles in its own transaction.';
revoke execute on function private.settle_limit() from public;

-- While a job is at it, later edits are left to it as well: what is behind cannot be added to.
create function private.defer_settling(p_course_ids bigint[]) returns bigint[]
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_limit bigint := private.settle_limit();
  v_deferred bigint[];
  v_course_id bigint;
begin
  v_deferred := array(
    select c.id
      from public.courses c
     where c.id = any (p_course_ids)
       and (c.is_settling or (
         select count(*)
           from (select from public.enrollments e where e.course_id = c.id limit v_limit + 1)
             as found) > v_limit)
     order by c.id);
  update public.courses c
     set settle_version = c.settle_version + 1, is_settling = true
   where c.id = any (v_deferred);
  foreach v_course_id in array v_deferred loop
    perform private.enqueue('course.settle', jsonb_build_object('course_id', v_course_id),
      'course.settle:' || v_course_id);
  end loop;
  return v_deferred;
end
$$;
comment on function private.defer_settling(bigint[]) is
  'Of edited courses those whose enrolments are left to a job, which this sets to work.';
revoke execute on function private.defer_settling(bigint[]) from public;

create function private.is_settling(e public.enrollments) returns boolean
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return (e).settled_version
    < (select c.settle_version from public.courses c where c.id = (e).course_id);
end
$$;
comment on function private.is_settling(public.enrollments) is
  'Whether an edit of the course has yet to reach this enrolment''s counters.';
revoke execute on function private.is_settling(public.enrollments) from public;
grant execute on function private.is_settling(public.enrollments) to waymark_writer;

-- Who writes counters by adding to them asks for the row by this, under the locks of the write path.
create function private.settled(e public.enrollments) returns public.enrollments
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if private.is_settling(e) then
    perform private.settle_enrollments(array[(e).id], 'catalog', false);
    select * into e from public.enrollments x where x.id = (e).id;
  end if;
  return e;
end
$$;
comment on function private.settled(public.enrollments) is
  'An enrolment whose counters hold every edit: counted again where a job has yet to come by.';
revoke execute on function private.settled(public.enrollments) from public;
grant execute on function private.settled(public.enrollments) to waymark_writer;

create function private.settle_lessons(
  p_changes private.lesson_change[], p_course_ids bigint[]
) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_deferred bigint[];
  v_finished uuid[];
  v_crossed uuid[];
begin
  update public.courses c
     set total_lessons = c.total_lessons + coalesce(t.lessons, 0),
         total_weight = c.total_weight + coalesce(t.weight, 0),
         catalog_version = c.catalog_version + 1
    from unnest(p_course_ids) as touched (course_id)
    left join (
      select b.course_id, sum(b.lessons) as lessons, sum(b.weight) as weight
        from private.bookings(p_changes) b
       group by b.course_id
    ) as t on t.course_id = touched.course_id
   where c.id = touched.course_id;

  update public.modules m
     set total_lessons = m.total_lessons + t.lessons,
         total_quizzes = m.total_quizzes + t.quizzes
    from (
      select b.module_id, sum(b.lessons) as lessons, sum(b.quizzes) as quizzes
        from private.bookings(p_changes) b
       group by b.module_id
    ) as t
   where m.id = t.module_id and (t.lessons <> 0 or t.quizzes <> 0);

  -- What is left to a job is booked nowhere below.
  v_deferred := private.defer_settling(array(
    select side.course_id
      from unnest(p_changes) as ch
     cross join lateral (values (ch.old_course_id), (ch.new_course_id)) as side (course_id)));
  if v_deferred <> '{}' then
    p_changes := array(
      select row(
               ch.lesson_id, ch.old_course_id, ch.old_module_id,
               case when ch.old_course_id <> all (v_deferred) then ch.old_weight end, ch.old_gate,
               ch.new_course_id, ch.new_module_id,
               case when ch.new_course_id <> all (v_deferred) then ch.new_weight end,
               ch.new_gate)::private.lesson_change
        from unnest(p_changes) as ch);
  end if;

  -- Everyone who has begun one of these modules: its new totals, and what they had done of it.
  with total as (
    select b.module_id, sum(b.lessons) as lessons, sum(b.quizzes) as quizzes
      from private.bookings(p_changes) b
     group by b.module_id
  ),
  done as (
    select p.user_id, b.module_id, sum(b.lessons) as lessons, sum(b.quizzes) as quizzes
      from private.bookings(p_changes) b
      join public.user_progress p on p.lesson_id = b.lesson_id and p.status = 'completed'
     where not exists (
       select from public.lesson_waivers w
        where w.user_id = p.user_id and w.lesson_id = b.lesson_id)
     group by p.user_id, b.module_id
  ),
  waived as (
    select w.user_id, b.module_id, sum(b.lessons) as lessons, sum(b.quizzes) as quizzes
      from private.bookings(p_changes) b
      join public.lesson_waivers w on w.lesson_id = b.lesson_id
     group by w.user_id, b.module_id
  ),
  changed as (
    update public.module_progress mp
       set total_lessons = x.total_lessons,
           completed_lessons = x.completed_lessons,
           total_quizzes = x.total_quizzes,
           completed_quizzes = x.completed_quizzes,
           completed_at = coalesce(mp.completed_at, case
             when private.module_done(mp.completion_rule, x.completed_lessons, x.total_lessons,
               x.completed_quizzes, x.total_quizzes) then v_now end)
      from (
        select was.user_id, was.module_id, was.status as old_status,
               was.total_lessons + t.lessons - coalesce(w.lessons, 0) as total_lessons,
               was.completed_lessons + coalesce(d.lessons, 0) as completed_lessons,
               was.total_quizzes + t.quizzes - coalesce(w.quizzes, 0) as total_quizzes,
               was.completed_quizzes + coalesce(d.quizzes, 0) as completed_quizzes
          from total t
          join public.module_progress was on was.module_id = t.module_id
          left join done d on d.module_id = was.module_id and d.user_id = was.user_id
          left join waived w on w.module_id = was.module_id and w.user_id = was.user_id
         where t.lessons <> 0 or d.lessons <> 0 or t.quizzes <> 0 or d.quizzes <> 0
            or w.lessons <> 0 or w.quizzes <> 0
      ) as x
     where mp.user_id = x.user_id and mp.module_id = x.module_id
    returning mp.user_id, mp.course_id, mp.module_id, mp.status, x.old_status
  )
  insert into public.progress_events (occurred_at, user_id, course_id, module_id, kind, data)
  select v_now, ch.user_id, ch.course_id, ch.module_id, 'module_completed', '{"by": "catalog"}'
    from changed ch
   where ch.status = 'completed' and ch.old_status <> 'completed'
   order by ch.user_id;

  -- A lesson that moved takes its learners along into modules they had not begun, and its waivers
  -- into modules where they have none; a row that is there has been settled above, and only begins.
  with moved as (
    select p.user_id, ch.lesson_id, ch.new_module_id as module_id, p.started_at, p.is_completed,
           exists (
             select from public.lesson_waivers w
              where w.user_id = p.user_id and w.lesson_id = ch.lesson_id) as is_waived,
           ch.new_weight is not null as counts, ch.new_gate as is_gate
      from unnest(p_changes) as ch
      join public.user_progress p on p.lesson_id = ch.lesson_id and p.status <> 'not_started'
     where ch.old_module_id <> ch.new_module_id and ch.new_course_id <> all (v_deferred)
    union all
    select w.user_id, ch.lesson_id, ch.new_module_id, null, false, true, ch.new_weight is not null,
           ch.new_gate
      from unnest(p_changes) as ch
      join public.lesson_waivers w on w.lesson_id = ch.lesson_id
     where ch.old_module_id <> ch.new_module_id and ch.new_course_id <> all (v_deferred)
       and not exists (
         select from public.user_progress p
          where p.user_id = w.user_id and p.lesson_id = w.lesson_id and p.status <> 'not_started')
  ),
  begun as (
    insert into public.module_progress as mp
      (user_id, module_id, course_id, completion_rule, started_at, completed_lessons,
       total_lessons, completed_quizzes, total_quizzes, completed_at)
    select d.user_id, m.id, m.course_id, m.completion_rule, d.started_at, d.lessons,
           m.total_lessons - d.waived_lessons, d.quizzes, m.total_quizzes - d.waived_quizzes,
           case when private.module_done(m.completion_rule, d.lessons,
             m.total_lessons - d.waived_lessons, d.quizzes, m.total_quizzes - d.waived_quizzes)
             then v_now end
      from (
        select x.user_id, x.module_id, min(x.started_at) as started_at,
               (count(*) filter (
                 where x.counts and x.is_completed and not x.is_waived))::integer as lessons,
               (count(*) filter (
                 where x.counts and x.is_gate and x.is_completed and not x.is_waived))::integer
                 as quizzes,
               (count(*) filter (where x.counts and x.is_waived))::integer as waived_lessons,
               (count(*) filter (where x.counts and x.is_gate and x.is_waived))::integer
                 as waived_quizzes
          from moved x
         where not exists (
             select from public.module_progress o
              where o.user_id = x.user_id and o.module_id = x.module_id
                and (o.started_at is not null or x.started_at is null))
         group by x.user_id, x.module_id
      ) as d
      join public.modules m on m.id = d.module_id
     order by d.user_id
        on conflict (user_id, module_id) do update set started_at = excluded.started_at
    returning mp.user_id, mp.course_id, mp.module_id, mp.status, mp.started_at,
      mp.xmax = 0 as is_new
  )
  insert into public.progress_events (occurred_at, user_id, course_id, module_id, kind, data)
  select v_now, b.user_id, b.course_id, b.module_id, told.kind, told.data
    from begun b
   cross join lateral (values
     (b.started_at is not null, 'module_started',
      jsonb_build_object('by', 'catalog', 'started_at', b.started_at)),
     (b.status = 'completed' and b.is_new, 'module_completed', '{"by": "catalog"}')
   ) as told (happened, kind, data)
   where told.happened
   order by b.user_id, told.kind desc;

  -- Everyone enrolled in one of these courses.
  with total as (
    select b.course_id, sum(b.lessons) as lessons, sum(b.weight) as weight
      from private.bookings(p_changes) b
     group by b.course_id
  ),
  done as (
    select p.user_id, b.course_id, sum(b.lessons) as lessons, sum(b.weight) as weight
      from private.bookings(p_changes) b
      join public.user_progress p on p.lesson_id = b.lesson_id and p.status = 'completed'
     where not exists (
       select from public.lesson_waivers w
        where w.user_id = p.user_id and w.lesson_id = b.lesson_id)
     group by p.user_id, b.course_id
  ),
  scored as (
    select p.user_id, b.course_id, sum(b.lessons) as lessons, sum(b.lessons * (p.best_score * 100)::integer) as score
      from private.bookings(p_changes) b
      join public.user_progress p on p.lesson_id = b.lesson_id and p.best_score is not null
     where not exists (
       select from public.lesson_waivers w
        where w.user_id = p.user_id and w.lesson_id = b.lesson_id)
     group by p.user_id, b.course_id
  ),
  waived as (
    select w.user_id, b.course_id, sum(b.lessons) as lessons, sum(b.weight) as weight
      from private.bookings(p_changes) b
      join public.lesson_waivers w on w.lesson_id = b.lesson_id
     group by w.user_id, b.course_id
  ),
  changed as (
    update public.enrollments e
       set total_lessons = x.total_lessons,
           total_weight = x.total_weight,
           completed_lessons = x.completed_lessons,
           completed_weight = x.completed_weight,
           score_sum = x.score_sum,
           scored_lessons = x.scored_lessons,
           progress_percent = private.percent(x.completed_weight, x.total_weight),
           completed_at = case when x.finishes then v_now else e.completed_at end,
           completion_snapshot = case
             when x.finishes then jsonb_build_object(
               'lessons', x.total_lessons, 'weight', x.total_weight,
               'catalog_version', x.catalog_version)
             else e.completion_snapshot end
      from (
        select s.*,
               s.completed_at is null and s.total_weight > 0
                 and s.completed_weight = s.total_weight as finishes
          from (
            select was.id, was.completed_at, was.progress_percent, c.catalog_version,
                   c.certificate_min_percent,
                   was.total_lessons + t.lessons - coalesce(w.lessons, 0) as total_lessons,
                   was.total_weight + t.weight - coalesce(w.weight, 0) as total_weight,
                   was.completed_lessons + coalesce(d.lessons, 0) as completed_lessons,
                   was.completed_weight + coalesce(d.weight, 0) as completed_weight,
                   was.score_sum + coalesce(sc.score, 0) as score_sum,
                   was.scored_lessons + coalesce(sc.lessons, 0) as scored_lessons
              from total t
              join public.courses c on c.id = t.course_id
              join public.enrollments was on was.course_id = t.course_id
              left join done d on d.course_id = was.course_id and d.user_id = was.user_id
              left join scored sc on sc.course_id = was.course_id and sc.user_id = was.user_id
              left join waived w on w.course_id = was.course_id and w.user_id = was.user_id
             where t.lessons <> 0 or t.weight <> 0 or d.lessons <> 0 or d.weight <> 0
                or sc.lessons <> 0 or sc.score <> 0
                or w.lessons <> 0 or w.weight <> 0
          ) as s
      ) as x
     where e.id = x.id
    returning e.id, x.finishes,
      e.completed_at is null and x.progress_percent < x.certificate_min_percent
        and e.progress_percent >= x.certificate_min_percent as crosses
  )
  select array_agg(ch.id) filter (where ch.finishes), array_agg(ch.id) filter (where ch.crosses)
    into v_finished, v_crossed
    from changed ch
   where ch.finishes or ch.crosses;
  perform private.finish_courses(v_finished, v_now, 'catalog');
  perform private.certify(v_crossed);
end
$$;
comment on function private.settle_lessons(private.lesson_change[], bigint[]) is
  'Adds what a catalogue edit changed to every counter that holds it; the caller holds the locks.';
revoke execute on function private.settle_lessons(private.lesson_change[], bigint[]) from public;

create function private.tg_lessons__settle() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_changes private.lesson_change[];
  v_course_ids bigint[];
begin
  if tg_op = 'INSERT' then
    select array_agg(row(
             n.id, null, null, null, null, n.course_id, n.module_id,
             case when n.is_countable then n.weight end, n.is_gate)::private.lesson_change),
           array_agg(distinct n.course_id)
      into v_changes, v_course_ids
      from new_rows n;
  elsif tg_op = 'DELETE' then
    select array_agg(row(
             o.id, o.course_id, o.module_id,
             case when o.is_countable then o.weight end, o.is_gate,
             null, null, null, null)::private.lesson_change),
           array_agg(distinct o.course_id)
      into v_changes, v_course_ids
      from old_rows o;
  else
    if exists (select from old_rows o where o.id not in (select n.id from new_rows n)) then
      raise exception 'lessons.id cannot be changed' using errcode = 'check_violation';
    end if;
    -- Sorted side by side, not joined: the planner takes a transition table for one row and would
    -- compare ten thousand lessons with ten thousand.
    with side as (
      select o.*, false as is_new from old_rows o
      union all
      select n.*, true from new_rows n
    ),
    pair as (
      select *
        from (
          select s.id, s.is_new,
                 lag(s.course_id) over w as old_course_id, lag(s.module_id) over w as old_module_id,
                 lag(case when s.is_countable then s.weight end) over w as old_weight,
                 lag(s.is_gate) over w as old_gate,
                 s.course_id as new_course_id, s.module_id as new_module_id,
                 case when s.is_countable then s.weight end as new_weight, s.is_gate as new_gate,
                 (lag(s.module_position) over w, lag(s.position) over w,
                  lag(s.archived_at is null) over w, lag(s.is_preview) over w)
                   is distinct from
                 (s.module_position, s.position, s.archived_at is null, s.is_preview) as reordered
            from side s
          window w as (partition by s.id order by s.is_new)
        ) as both_sides
       where both_sides.is_new
    ),
    moved as (
      select p.*,
             (p.old_course_id, p.old_module_id, p.old_weight, p.old_gate) is distinct from
             (p.new_course_id, p.new_module_id, p.new_weight, p.new_gate) as counts
        from pair p
    )
    select array_agg(row(
             m.id, m.old_course_id, m.old_module_id, m.old_weight, m.old_gate,
             m.new_course_id, m.new_module_id, m.new_weight, m.new_gate)::private.lesson_change)
             filter (where m.counts),
           (select array_agg(distinct side.course_id)
              from moved x
             cross join lateral (values (x.old_course_id), (x.new_course_id)) as side (course_id)
             where x.counts or x.reordered)
      into v_changes, v_course_ids
      from moved m;
  end if;

  if v_course_ids is null then
    return null;
  end if;
  -- A transaction that locked some courses by RPC and then edits another one raw.
  if current_setting('waymark.locked_catalog', true) is distinct from 'on'
     and not v_course_ids <@ private.locked_courses() then
    raise exception 'this transaction edits a course that it did not lock'
      using errcode = 'lock_not_available',
            hint = 'Edit it in a transaction of its own, or call private.lock_courses first.';
  end if;
  perform private.settle_lessons(coalesce(v_changes, '{}'), v_course_ids);
  return null;
end
$$;
comment on function private.tg_lessons__settle() is
  'Turns an edit of lessons into changes and settles them in the same transaction.';
revoke execute on function private.tg_lessons__settle() from public;

-- Transition tables allow one event a trigger.
create trigger _800_settle_insert after insert on public.lessons
  referencing new table as new_rows
  for each statement execute function private.tg_lessons__settle();
create trigger _800_settle_update after update on public.lessons
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.tg_lessons__settle();
create trigger _800_settle_delete after delete on public.lessons
  referencing old table as old_rows
  for each statement execute function private.tg_lessons__settle();

-- A module's rule: everyone who has begun it is judged by the new one; nobody is un-completed.
create function private.tg_modules__settle() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_deferred bigint[];
begin
  if not exists (
    select from new_rows n
      join old_rows o on o.id = n.id and o.completion_rule <> n.completion_rule)
  then
    return null;
  end if;
  v_deferred := private.defer_settling(array(
    select n.course_id
      from new_rows n
      join old_rows o on o.id = n.id and o.completion_rule <> n.completion_rule));
  with changed as (
    update public.module_progress mp
       set completion_rule = n.completion_rule,
           completed_at = coalesce(mp.completed_at, case
             when private.module_done(n.completion_rule, mp.completed_lessons, mp.total_lessons,
               mp.completed_quizzes, mp.total_quizzes) then v_now end)
      from new_rows n
      join old_rows o on o.id = n.id
      join public.module_progress was on was.module_id = n.id
     where n.completion_rule <> o.completion_rule and n.course_id <> all (v_deferred)
       and mp.user_id = was.user_id and mp.module_id = was.module_id
    returning mp.user_id, mp.course_id, mp.module_id, mp.status, was.status as old_status
  )
  insert into public.progress_events (occurred_at, user_id, course_id, module_id, kind, data)
  select v_now, ch.user_id, ch.course_id, ch.module_id, 'module_completed', '{"by": "catalog"}'
    from changed ch
   where ch.status = 'completed' and ch.old_status <> 'completed'
   order by ch.user_id;
  return null;
end
$$;
comment on function private.tg_modules__settle() is
  'Settles learners of modules whose completion rule has changed.';
revoke execute on function private.tg_modules__settle() from public;

create trigger _800_settle_update after update on public.modules
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.tg_modules__settle();

-- An enrolment starts with the counts of the moment: learners can hold progress in lessons that
-- moved into the course before they enrolled. Servers that sell a course insert here directly.
create function private.tg_enrollments__crossing() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(private.crossing_key());
  return null;
end
$$;
comment on function private.tg_enrollments__crossing() is
  'One statement may enrol into many courses, in any order.';
revoke execute on function private.tg_enrollments__crossing() from public;

create function private.tg_enrollments__counts() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_version bigint;
begin
  perform private.share_course(new.course_id);
  select c.total_lessons - waived.lessons, c.total_weight - waived.weight, done.lessons,
         done.weight, done.score, done.scored, c.catalog_version, c.settle_version
    into new.total_lessons, new.total_weight, new.completed_lessons, new.completed_weight,
         new.score_sum, new.scored_lessons, v_version, new.settled_version
    from public.courses c
   cross join lateral (
      select (count(*) filter (where p.is_completed))::integer as lessons,
             coalesce(sum(l.weight) filter (where p.is_completed), 0) as weight,
             coalesce(sum((p.best_score * 100)::integer), 0) as score,
             count(p.best_score)::integer as scored
        from public.user_progress p
        join public.lessons l on l.id = p.lesson_id
       -- By the progress rows' own course: so each lesson is looked up, and the course never walked.
       where p.user_id = new.user_id and p.course_id = c.id
         and (p.is_completed or p.best_score is not null)
         and l.is_countable and not exists (
           select from public.lesson_waivers w
            where w.user_id = p.user_id and w.lesson_id = p.lesson_id)
   ) as done
   cross join lateral (
      select count(*)::integer as lessons, coalesce(sum(l.weight), 0) as weight
        from public.lesson_waivers w
        join public.lessons l on l.id = w.lesson_id
       where w.user_id = new.user_id and l.course_id = c.id and l.is_countable
   ) as waived
   where c.id = new.course_id;
  if not found then
    return new;  -- the foreign key refuses it
  end if;
  -- An enrolment that was deleted and made again goes on with the cycle after the last finished one.
  select p.cycle + 1, p.ended_at into new.cycle, new.cycle_started_at
    from public.past_cycles p
   where p.user_id = new.user_id and p.course_id = new.course_id
   order by p.cycle desc
   limit 1;
  new.cycle := coalesce(new.cycle, 1);
  new.progress_percent := private.percent(new.completed_weight, new.total_weight);
  if new.progress_percent = 100 then
    new.completed_at := coalesce(new.completed_at, private.clock());
    new.completion_snapshot := jsonb_build_object(
      'lessons', new.total_lessons, 'weight', new.total_weight, 'catalog_version', v_version);
  end if;
  return new;
end
$$;
comment on function private.tg_enrollments__counts() is 'Fills a new enrolment''s counters by counting.';
revoke execute on function private.tg_enrollments__counts() from public;

create function private.tg_enrollments__event() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_imported boolean := current_setting('waymark.importing', true) is not distinct from 'on';
begin
  insert into public.progress_events
    (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
  values (case when v_imported then new.enrolled_at else private.clock() end,
    new.user_id, new.course_id, new.id, new.cycle, 'enrolled',
    jsonb_strip_nulls(jsonb_build_object(
      'by', case when v_imported then 'import' end,
      'enrolled_at', case when not v_imported and new.enrolled_at <> private.clock()
        then new.enrolled_at end,
      'completed_at', case when v_imported then new.completed_at end)));
  if new.settled_version > 0 then
    -- A job may have passed by modules of theirs while they were not enrolled.
    perform private.settle_enrollments(array[new.id], 'catalog', false);
  end if;
  if v_imported then
    return null;  -- what follows from it comes with the progress that is imported
  elsif new.completed_at is not null then
    perform private.finish_courses(array[new.id], private.clock(), 'enrollment');
  elsif new.progress_percent > 0 then
    perform private.certify(array[new.id]);
  end if;
  return null;
end
$$;
comment on function private.tg_enrollments__event() is
  'Every enrolment is in the history, however made; also one that finds everything done.';
revoke execute on function private.tg_enrollments__event() from public;

-- In one place for all who end an enrolment or let it go on: the learner, staff, servers.
create function private.tg_enrollments__told() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    -- Not when the learner goes, and with them their enrolments.
    if exists (select from auth.users u where u.id = old.user_id) then
      insert into public.progress_events
        (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
      values (private.clock(), old.user_id, old.course_id, old.id, old.cycle, 'unenrolled',
        '{"status": "deleted"}');
    end if;
  else
    insert into public.progress_events
      (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
    values (private.clock(), new.user_id, new.course_id, new.id, new.cycle,
      case new.status when 'active' then 'enrolled' else 'unenrolled' end,
      case new.status when 'active' then '{"again": true}'
        else jsonb_build_object('status', new.status) end);
  end if;
  return null;
end
$$;
comment on function private.tg_enrollments__told() is
  'Every end of an enrolment is in the history, and every return to it.';
revoke execute on function private.tg_enrollments__told() from public;

create trigger _000_crossing before insert on public.enrollments
  for each statement execute function private.tg_enrollments__crossing();
create trigger _100_counts before insert on public.enrollments
  for each row execute function private.tg_enrollments__counts();
create trigger _800_event after insert on public.enrollments
  for each row execute function private.tg_enrollments__event();
create trigger _810_told after update of status on public.enrollments
  for each row when (old.status <> new.status)
  execute function private.tg_enrollments__told();
create trigger _810_told_deleted after delete on public.enrollments
  for each row execute function private.tg_enrollments__told();
