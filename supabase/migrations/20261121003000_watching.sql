-- Watch time: heartbeats of players and pages, credited by the clock.
--
-- A session reports how many seconds it has been watched in all, so a heartbeat that is lost, repeated or
-- late does no harm: the highest counts. What a session reports anew is paid in seconds of the clock, and
-- the learner has each second of it once, whatever sessions, tabs and devices ask: watch_credit holds
-- the seconds that are spent. So any number of sessions together gain no more than the time that has
-- passed, and the order in which two devices report does not matter.
-- docs/explanation/watch-time.md has the arithmetic.
--
-- A heartbeat updates five rows that it finds by their keys, and touches no index: HOT updates, as long as
-- nothing that changes here gets into one. Rows of a learner that are not of one course (watch_credit,
-- daily_activity) are locked behind the enrolment's, in this order.

select private.require_free(array[
  'private.add_view_seconds', 'private.check_view', 'private.my_time',
  'private.purge_watch_sessions',
  'private.read_ranges', 'private.record_view', 'private.tick',
  'private.tidy_time', 'private.unspent', 'private.view_fraction', 'private.view_lesson',
  'private.view_report',
  'private.watch_credit', 'private.watch_sessions', 'public.view_lesson']);

-- No foreign key to the lesson, which would be one more index: rows go with their learner, or by age.
create table private.watch_sessions (
  user_id uuid not null references auth.users (id) on delete cascade,
  session_id uuid not null,
  lesson_id uuid not null,
  seconds integer not null check (seconds between 0 and 604800),
  begun integer not null,
  until integer not null,
  position_seconds integer,
  created_at timestamptz not null default now(),
  primary key (user_id, session_id, lesson_id)
) with (fillfactor = 70);
comment on table private.watch_sessions is
  'The most seconds that each session has reported of a lesson.';
comment on column private.watch_sessions.begun is
  'When it can have begun by its first report (see private.tick): it is paid no earlier time.';
comment on column private.watch_sessions.position_seconds is
  'Where it stood in its last report: one that says the same again is a repetition.';
comment on column private.watch_sessions.until is 'Where the seconds that it reported last end.';

create table private.watch_credit (
  user_id uuid primary key references auth.users (id) on delete cascade,
  spent int4multirange not null default '{}'
) with (fillfactor = 70);
comment on table private.watch_credit is
  'Seconds of the clock (see private.tick) of the last four weeks that some session was credited for.';

alter table private.watch_sessions enable row level security;
alter table private.watch_credit enable row level security;
revoke all on table private.watch_sessions, private.watch_credit
  from public, anon, authenticated, service_role;
grant select, insert (user_id, session_id, lesson_id, seconds, begun, until, position_seconds),
    update (seconds, until, position_seconds)
  on table private.watch_sessions to waymark_writer;
grant select, insert (user_id, spent), update (spent) on table private.watch_credit to waymark_writer;
create policy "The write path reads its caller's sessions" on private.watch_sessions
  for select to waymark_writer using ((select auth.uid()) = user_id);
create policy "The write path adds its caller's sessions" on private.watch_sessions
  for insert to waymark_writer with check ((select auth.uid()) = user_id);
create policy "The write path advances its caller's sessions" on private.watch_sessions
  for update to waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "The write path reads its caller's time" on private.watch_credit
  for select to waymark_writer using ((select auth.uid()) = user_id);
create policy "The write path adds its caller's time" on private.watch_credit
  for insert to waymark_writer with check ((select auth.uid()) = user_id);
create policy "The write path spends its caller's time" on private.watch_credit
  for update to waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

-- Time --------------------------------------------------------------------------------------------

create function private.tick(p_at timestamptz) returns integer
language plpgsql stable parallel safe security invoker set search_path = ''
as $$
begin
  return floor(extract(epoch from p_at))::bigint - 1577836800;
end
$$;
comment on function private.tick(timestamptz) is
  'The second of the clock, counted from 2020-01-01: four bytes until 2088.';

-- Of more than sixty-four pieces the smallest gaps are closed, as if they were spent.
create function private.tidy_time(p_spent int4multirange) returns int4multirange
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
declare
  v_whole int4multirange;
begin
  if (select count(*) from unnest(p_spent)) <= 64 then
    return p_spent;
  end if;
  v_whole := int4multirange(range_merge(
    p_spent * int4multirange(int4range(upper(p_spent) - 28 * 86400, null))));
  return v_whole - (
    select range_agg(g.gap)
      from (
        select x as gap
          from unnest(v_whole - p_spent) as x
         order by upper(x) - lower(x) desc
         limit 40
      ) as g);
end
$$;
comment on function private.tidy_time(int4multirange) is
  'Keeps what a learner''s time is remembered by small: the last four weeks, the largest gaps.';

-- Of p_wanted seconds between p_from and p_to as many as are left of the learner's time: those from
-- p_start on, and instead of what is spent there the latest others.
create function private.unspent(
  p_spent int4multirange, p_wanted integer, p_from integer, p_start integer, p_to integer
) returns int4multirange
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
declare
  v_taken int4multirange := int4multirange(int4range(p_start, p_start + p_wanted));
  v_free int4multirange;
  v_missing integer;
begin
  if p_from >= p_to then
    return '{}';
  elsif p_start >= p_from and not v_taken && p_spent then
    return v_taken;
  end if;
  v_free := int4multirange(int4range(p_from, p_to)) - p_spent;
  v_taken := v_taken * v_free;
  v_missing := p_wanted - private.covered(v_taken);
  return v_taken + coalesce((
    select range_agg(int4range(
             greatest(lower(f.piece), upper(f.piece) - v_missing + f.later), upper(f.piece)))
      from (
        select x as piece,
               coalesce(sum(upper(x) - lower(x)) over (
                 order by lower(x) desc rows between unbounded preceding and 1 preceding),
                 0)::integer as later
          from unnest(v_free - v_taken) as x
      ) as f
     where f.later < v_missing), '{}');
end
$$;
comment on function private.unspent(int4multirange, integer, integer, integer, integer) is
  'Seconds of the clock that no session has been credited for yet.';

create function private.my_time(p_user_id uuid) returns int4multirange
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_spent int4multirange;
begin
  loop
    select c.spent into v_spent from private.watch_credit c where c.user_id = p_user_id
       for no key update;
    if found then
      return v_spent;
    end if;
    insert into private.watch_credit (user_id) values (p_user_id) on conflict (user_id) do nothing;
  end loop;
end
$$;
comment on function private.my_time(uuid) is 'What is spent of a learner''s time, locked until commit.';

-- Credited seconds count on the learner's days on which they passed, each piece in the zone that it began in.
create function private.add_view_seconds(
  p_user_id uuid, p_taken int4multirange, p_seconds integer
) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_first timestamptz := to_timestamp(lower(p_taken) + 1577836800::bigint);
  v_last timestamptz := to_timestamp(upper(p_taken) + 1577836800::bigint);
  v_zone text := private.zone_at(p_user_id, v_first);
  v_day date := (v_first at time zone v_zone)::date;
begin
  if p_taken = int4multirange(range_merge(p_taken))
     and ((v_last - interval '1 second') at time zone v_zone)::date = v_day
  then
    perform private.touch_day(p_user_id, v_day, v_first, v_last, p_seconds => p_seconds);
    return;
  end if;
  perform private.touch_day(p_user_id, s.day, s.first_at, s.last_at, p_seconds => s.seconds)
     from (
       select z.day, min(z.since) as first_at, max(z.until) as last_at,
              sum(extract(epoch from z.until - z.since))::integer as seconds
         from (
           select y.day::date as day,
                  greatest(x.since, y.day at time zone x.zone) as since,
                  least(x.until, (y.day + interval '1 day') at time zone x.zone) as until
             from (
               select p.since, to_timestamp(upper(p.piece) + 1577836800::bigint) as until,
                      private.zone_at(p_user_id, p.since) as zone
                 from (
                   select r as piece, to_timestamp(lower(r) + 1577836800::bigint) as since
                     from unnest(p_taken) as r
                 ) as p
             ) as x
            cross join lateral generate_series(
              date_trunc('day', x.since at time zone x.zone),
              date_trunc('day', (x.until - interval '1 second') at time zone x.zone),
              interval '1 day') as y (day)
         ) as z
        where z.until > z.since
        group by z.day
        order by z.day
     ) as s;
end
$$;
comment on function private.add_view_seconds(uuid, int4multirange, integer) is
  'Adds credited seconds to the days, in the learner''s zone, on which they passed.';

-- What a heartbeat says ----------------------------------------------------------------------------

create function private.read_ranges(p_ranges jsonb) returns int4multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  v_fits boolean;
  v_ranges int4multirange;
begin
  if p_ranges is null or p_ranges = 'null' then
    return '{}';
  elsif jsonb_typeof(p_ranges) <> 'array' or jsonb_array_length(p_ranges) > 200 then
    perform private.fail('invalid_value', 422, 'watched must be a list of at most 200 ranges');
  end if;
  select bool_and(x.fits), range_agg(case when x.fits then
           int4range((x.r ->> 0)::numeric::integer, (x.r ->> 1)::numeric::integer) end)
    into v_fits, v_ranges
    from (
      select r, case
               when jsonb_typeof(r) <> 'array' then false
               when jsonb_array_length(r) <> 2 then false
               when jsonb_typeof(r -> 0) <> 'number' or jsonb_typeof(r -> 1) <> 'number' then false
               else (r ->> 0)::numeric % 1 = 0 and (r ->> 1)::numeric % 1 = 0
                 and (r ->> 0)::numeric between 0 and (r ->> 1)::numeric
                 and (r ->> 1)::numeric <= 604800 end as fits
        from jsonb_array_elements(p_ranges) as r
    ) as x;
  if not v_fits then
    perform private.fail('invalid_value', 422,
      'watched must hold pairs [from, to] of whole seconds, 0 <= from <= to <= 604800');
  end if;
  return coalesce(v_ranges, '{}');
end
$$;
comment on function private.read_ranges(jsonb) is 'A client''s [[from, to], …] as ranges, or 422.';

-- How far a lesson is: a video by what was watched of it, a quiz by what was answered, else as told.
create function private.view_fraction(
  p_user_id uuid, l public.lessons, p_covered integer, p_position_seconds integer,
  p_progress numeric
) returns numeric
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if l.type = 'quiz' then
    return (
      select private.answered(a) from public.user_assessment_attempts a
       where a.user_id = p_user_id and a.lesson_id = l.id and a.cycle = (
         select e.cycle from public.enrollments e
          where e.user_id = p_user_id and e.course_id = l.course_id)
       order by a.number desc
       limit 1);
  elsif l.type = 'video' and l.duration_seconds is not null then
    return least(trunc(p_covered::numeric / l.duration_seconds, 4), 1);
  end if;
  return greatest(private.told_fraction(l, p_progress), case
    when p_position_seconds < l.duration_seconds then
      trunc(p_position_seconds::numeric / l.duration_seconds, 4)
    when p_position_seconds >= l.duration_seconds then 1 end);
end
$$;
comment on function private.view_fraction(uuid, public.lessons, integer, integer, numeric) is
  'The fraction of a lesson that a heartbeat tells; null when it tells none.';

create type private.view_report as (
  at timestamptz,
  seconds integer,
  position_seconds integer,
  watched int4multirange,
  section text,
  progress numeric
);

-- Heartbeats of one session, in order, up to the one that completes the lesson; p_changed tells of each
-- whether it changed anything. Late ones (of a batch, or overtaken) add what they know, and move neither
-- position nor place back; repeated ones write nothing. Each row is written once, however many come.
create function private.record_view(
  inout v private.lesson_access, p_session_id uuid, p_reports private.view_report[],
  out p_changed boolean[]
) returns record
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  -- As long as the longest pause between heartbeats; jitter and reordering stay well within.
  c_slack constant integer := 60;
  l public.lessons := v.lesson;
  e public.enrollments;
  v_since timestamptz := coalesce((v.enrollment).cycle_started_at, (v.enrollment).enrolled_at);
  -- What lies ahead of the clock was written before the clock was set back, and has begun.
  v_clock constant integer := private.tick(private.clock());
  v_cycle constant integer := case when (v.enrollment).cycle_started_at is not null
    then least(private.tick((v.enrollment).cycle_started_at), v_clock) end;
  n public.user_progress;
  s private.watch_sessions;
  r private.view_report;
  v_is_rule boolean := l.completion_rule in ('view', 'watch');
  v_is_known boolean;
  v_is_new boolean;
  v_is_newest boolean;
  v_started boolean := false;
  v_reported boolean := false;
  v_changed boolean;
  v_opened timestamptz;
  v_now integer;
  v_wanted integer;
  v_start integer;
  v_spent int4multirange;
  v_taken int4multirange;
  v_all_taken int4multirange := '{}';
  v_credit integer := 0;
  v_covered integer;
  v_piece int4range;
  v_length integer;
  v_fraction numeric;
begin
  select * into s from private.watch_sessions x
   where x.user_id = (v.enrollment).user_id and x.session_id = p_session_id and x.lesson_id = l.id;
  v_is_known := found;
  -- A session of an older cycle: the player begins another one when its course begins anew.
  if coalesce(s.begun, private.tick(p_reports[1].at) - p_reports[1].seconds + c_slack)
     < v_cycle
  then
    v.changed := false;
    v.next_lesson_id := private.next_lesson(v);
    v.missing := private.rule_missing(l, v.progress);
    p_changed := array_fill(false, array[cardinality(p_reports)]);
    return;
  end if;
  -- The lesson was opened when its session began, whatever has been lost since.
  select greatest(min(x.at - make_interval(secs => x.seconds)), v_since,
           private.clock() - interval '28 days')
    into v_opened
    from unnest(p_reports) as x;
  if (v.progress).user_id is null or (v.progress).started_at > v_opened then
    v := private.record_start(v, v_opened, p_reports[1].at);
    v_started := v.changed;
  end if;
  e := v.enrollment;
  n := v.progress;
  v_covered := private.covered(n.watched);

  foreach r in array p_reports loop
    v_changed := false;
    v_now := private.tick(r.at);

    -- Seconds not reported before, paid from the time since the session began. They follow on its
    -- last ones, since heartbeats may be late, unless it has paused for longer: then they end now.
    v_is_new := not v_is_known or r.seconds > s.seconds
      or r.seconds = s.seconds and r.position_seconds <> coalesce(s.position_seconds, -1);
    if v_is_new then
      v_wanted := r.seconds - coalesce(s.seconds, 0);
      v_start := v_now - v_wanted;
      if not v_is_known then
        -- A session may go on to another lesson, but it does not begin anew there.
        s.begun := greatest(v_now - r.seconds, v_cycle, (
          select min(x.begun) from private.watch_sessions x
           where x.user_id = e.user_id and x.session_id = p_session_id));
      elsif v_start - s.until between 0 and c_slack then
        v_start := s.until;
      end if;
      s.seconds := r.seconds;
      s.until := greatest(s.until, v_start + v_wanted);
      s.position_seconds := r.position_seconds;
      v_is_known := true;
      v_reported := true;
      if v_wanted > 0 then
        v_spent := coalesce(v_spent, private.my_time(e.user_id));
        v_taken := private.unspent(v_spent, v_wanted,
          greatest(least(s.begun, v_clock) - c_slack, least(private.tick(v_since), v_clock) - c_slack,
            v_clock - 28 * 86400),
          v_start, v_now);
        if not isempty(v_taken) then
          v_changed := true;
          v_spent := v_spent + v_taken;
          v_all_taken := v_all_taken + v_taken;
          v_length := private.covered(v_taken);
          v_credit := v_credit + v_length;
          n.view_time_seconds := n.view_time_seconds + v_length;
        end if;
      end if;
    end if;

    -- Playback runs at twice the speed at most. A piece that is somewhat longer than credit allows is
    -- cut; of one that is more than twice as long nothing is believed.
    r.watched := r.watched * int4multirange(int4range(0, coalesce(l.duration_seconds, 604800)))
      - n.watched;
    if not isempty(r.watched) then
      for v_piece in select x from unnest(r.watched) as x loop
        v_length := upper(v_piece) - lower(v_piece);
        if v_length <= 2 * (2 * n.view_time_seconds - v_covered) then
          v_length := least(v_length, 2 * n.view_time_seconds - v_covered);
          v_covered := v_covered + v_length;
          n.watched := n.watched
            + int4multirange(int4range(lower(v_piece), lower(v_piece) + v_length));
          v_changed := true;
        end if;
      end loop;
      -- Of more than two hundred pieces the longest.
      if (select count(*) from unnest(n.watched)) > 200 then
        n.watched := (
          select range_agg(x.piece)
            from (
              select y as piece from unnest(n.watched) as y
               order by upper(y) - lower(y) desc limit 200
            ) as x);
        v_covered := private.covered(n.watched);
      end if;
    end if;

    v_is_newest := v_is_new and (r.at >= coalesce(n.last_accessed, r.at)
      or n.last_accessed > private.clock());
    if v_is_newest and least(r.position_seconds, l.duration_seconds) <> n.position_seconds
       and r.position_seconds is not null
    then
      n.position_seconds := least(r.position_seconds, l.duration_seconds);
      v_changed := true;
    end if;
    if not n.is_completed then
      v_fraction := private.view_fraction(
        e.user_id, l, v_covered, r.position_seconds, r.progress);
      if v_fraction > n.progress then
        n.progress := v_fraction;
        v_changed := true;
      end if;
    end if;
    v_is_newest := v_is_newest and (r.at >= coalesce(e.last_accessed_at, r.at)
      or e.last_accessed_at > private.clock());
    v_changed := v_changed or v_is_newest and r.section <> coalesce(e.current_section, '');
    v_changed := coalesce(v_changed, false);
    p_changed := p_changed || v_changed;
    if v_changed then
      n.last_accessed := greatest(n.last_accessed, r.at);
      e.last_accessed_at := greatest(e.last_accessed_at, r.at);
      if v_is_newest then
        e.current_section := coalesce(
          r.section, case when e.current_lesson_id = l.id then e.current_section end);
        e.current_module_id := l.module_id;
        e.current_lesson_id := l.id;
      end if;
      exit when v_is_rule and not n.is_completed and private.rule_missing(l, n) is null;
    end if;
  end loop;

  if v_reported then
    insert into private.watch_sessions as x
      (user_id, session_id, lesson_id, seconds, begun, until, position_seconds)
    values (e.user_id, p_session_id, l.id, s.seconds, s.begun, s.until, s.position_seconds)
        on conflict (user_id, session_id, lesson_id) do update
       set seconds = excluded.seconds,
           until = excluded.until,
           position_seconds = excluded.position_seconds;
  end if;
  if v_credit > 0 then
    update private.watch_credit c set spent = private.tidy_time(v_spent)
     where c.user_id = e.user_id;
  end if;
  v.next_lesson_id := case when e.frontier_version = v.catalog_version then e.frontier_lesson_id
    else private.first_incomplete(e.user_id, e.course_id) end;
  if true = any (p_changed) then
    update public.user_progress p
       set view_time_seconds = n.view_time_seconds,
           watched = n.watched,
           position_seconds = n.position_seconds,
           progress = n.progress,
           last_accessed = n.last_accessed
     where p.user_id = e.user_id and p.lesson_id = l.id
    returning p into v.progress;
    update public.enrollments x
       set view_time_seconds = x.view_time_seconds + v_credit,
           last_accessed_at = e.last_accessed_at,
           current_module_id = e.current_module_id,
           current_lesson_id = e.current_lesson_id,
           current_section = e.current_section,
           frontier_lesson_id = v.next_lesson_id,
           frontier_version = v.catalog_version
     where x.user_id = e.user_id and x.course_id = e.course_id
    returning x into v.enrollment;
  end if;
  if v_credit > 0 then
    perform private.add_view_seconds(e.user_id, v_all_taken, v_credit);
  end if;
  v.changed := true = any (p_changed);
  if not (v.progress).is_completed then
    v.missing := private.rule_missing(l, v.progress);
    if v.changed and v_is_rule and v.missing is null then
      v := private.record_completion(v, (v.progress).last_accessed);
    end if;
  end if;
  p_changed[1] := p_changed[1] or v_started;
  v.changed := v.changed or v_started;
end
$$;
comment on function private.record_view(private.lesson_access, uuid, private.view_report[]) is
  'Writes heartbeats of a lesson that open_lesson() let through, and completes it when that is earned.';

create function private.view_lesson(
  p_lesson_id uuid, p_session_id uuid, p_seconds integer, p_position_seconds integer,
  p_watched jsonb, p_section text, p_progress numeric
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_wait integer;
  v_watched int4multirange;
  v private.lesson_access;
  v_before integer;
begin
  v_wait := private.take_token('view', v_user_id::text);
  if v_wait > 0 then
    return private.too_many('view', v_wait);
  end if;
  v_watched := private.check_view(
    p_session_id, p_seconds, p_position_seconds, p_watched, p_section, p_progress);
  v := private.open_lesson(v_user_id, p_lesson_id);
  v_before := coalesce((v.progress).view_time_seconds, 0);
  v := (private.record_view(v, p_session_id, array[row(
    private.clock(), p_seconds, p_position_seconds, v_watched, p_section, p_progress
  )::private.view_report])).v;
  return private.lesson_answer(v) || jsonb_build_object(
    'next_lesson_id', private.offered(v, v.next_lesson_id),
    'certificate', private.held_certificate(v),
    'credited_seconds', coalesce((v.progress).view_time_seconds, 0) - v_before,
    'missing', v.missing,
    'changed', v.changed);
end
$$;
comment on function private.view_lesson(uuid, uuid, integer, integer, jsonb, text, numeric) is
  'A heartbeat: credits time, watched ranges and position, and completes by the rule.';

-- Refuses what no player would send, the same for live heartbeats and for those of a batch.
create function private.check_view(
  p_session_id uuid, p_seconds integer, p_position_seconds integer, p_watched jsonb,
  p_section text, p_progress numeric
) returns int4multirange
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  if p_session_id is null or p_seconds is null then
    perform private.fail('invalid_value', 422, 'session_id and seconds are needed');
  elsif p_seconds not between 0 and 604800 then
    perform private.fail('invalid_value', 422, 'seconds must be between 0 and 604800');
  elsif p_position_seconds not between 0 and 604800 then
    perform private.fail('invalid_value', 422, 'position_seconds must be between 0 and 604800');
  elsif char_length(p_section) not between 1 and 200 then
    perform private.fail('invalid_value', 422, 'section must have 1 to 200 characters');
  elsif p_progress not between 0 and 1 then
    perform private.fail('invalid_value', 422, 'progress must be between 0 and 1');
  end if;
  return private.read_ranges(p_watched);
end
$$;
comment on function private.check_view(uuid, integer, integer, jsonb, text, numeric) is
  'The ranges of a heartbeat whose values can be; 422 otherwise.';

create function public.view_lesson(
  p_lesson_id uuid, p_session_id uuid, p_seconds integer, p_position_seconds integer default null,
  p_watched jsonb default null, p_section text default null, p_progress numeric default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.view_lesson(
    p_lesson_id, p_session_id, p_seconds, p_position_seconds, p_watched, p_section, p_progress);
end;
comment on function public.view_lesson(uuid, uuid, integer, integer, jsonb, text, numeric) is
  'A heartbeat every 10 to 60 s. Returns {progress, enrollment, next_lesson_id, certificate, credited_seconds, missing, changed}.';

-- A session lasts seven days at most, and its heartbeats are credited for four weeks.
create function private.purge_watch_sessions(p_limit integer default 10000) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.watch_sessions s
   where s.ctid = any (array(
     select x.ctid from private.watch_sessions x
      where x.created_at < private.clock() - interval '60 days'
      limit p_limit
        for update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function private.purge_watch_sessions(integer) is
  'Removes sessions that nothing can come of any more; returns how many.';

revoke execute on function private.tick from public;
revoke execute on function private.tidy_time from public;
revoke execute on function private.unspent from public;
revoke execute on function private.my_time from public;
revoke execute on function private.add_view_seconds from public;
revoke execute on function private.read_ranges from public;
revoke execute on function private.view_fraction from public;
revoke execute on function private.record_view from public;
revoke execute on function private.view_lesson from public;
revoke execute on function private.check_view from public;
revoke execute on function private.purge_watch_sessions from public;
revoke execute on function public.view_lesson from public, anon, authenticated, service_role;
grant execute on function public.view_lesson, private.view_lesson to authenticated;

grant create on schema private to waymark_writer;
alter function private.tick owner to waymark_writer;
alter function private.tidy_time owner to waymark_writer;
alter function private.unspent owner to waymark_writer;
alter function private.my_time owner to waymark_writer;
alter function private.add_view_seconds owner to waymark_writer;
alter function private.read_ranges owner to waymark_writer;
alter function private.view_fraction owner to waymark_writer;
alter function private.record_view owner to waymark_writer;
alter function private.view_lesson owner to waymark_writer;
alter function private.check_view owner to waymark_writer;
revoke create on schema private from waymark_writer;
