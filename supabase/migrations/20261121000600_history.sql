-- History: what happened to a learner's progress, and what staff and admins did.
--
-- Both tables are append-only and keep ids without foreign keys, so that they outlive what they
-- tell of. progress_events is partitioned by month; the partitions live in `private`, since RLS on
-- the parent does not protect a child that the API could name.

create table public.progress_events (
  id bigint generated always as identity,
  occurred_at timestamptz not null,
  user_id uuid not null,
  course_id bigint not null,
  module_id uuid,
  lesson_id uuid,
  enrollment_id uuid,
  cycle integer not null default 1,
  kind text not null
    constraint kind_is_valid check (kind in (
      'enrolled', 'unenrolled', 'cycle_started', 'lesson_started', 'lesson_completed',
      'lesson_uncompleted', 'lesson_waived', 'lesson_unwaived', 'lesson_carried',
      'module_started', 'module_completed', 'course_completed', 'attempt_started',
      'attempt_submitted', 'attempt_graded', 'late_event', 'accounts_merged')),
  data jsonb not null default '{}',
  transaction_id xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, id, occurred_at)
) partition by range (occurred_at);
comment on table public.progress_events is
  'Append-only history of transitions, in order of id per learner and course; docs/reference/events.md.';
comment on column public.progress_events.data is
  'What the kind tells beside its columns; with it a learner''s rows can be rebuilt.';
comment on column public.progress_events.transaction_id is
  'Writer''s transaction: readers page below the oldest running one, so that late commits are not lost.';

-- Readers of everything go on from where they were, by writer and id. Rows lie in that order, so a summary
-- of each few pages is enough to find them, and costs a writer next to nothing.
create index progress_events_order_idx on public.progress_events
  using brin (((transaction_id::text)::bigint), id) with (pages_per_range = 16, autosummarize = on);

-- No default partition: it would forbid detaching concurrently. So months are made far ahead, and a
-- missing month would refuse a completion. One is made beside the table and then attached: that waits for
-- no writer, and makes none wait.
create function private.make_event_partition(p_month date) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_name text := 'progress_events_' || to_char(p_month, 'YYYY_MM');
begin
  if to_regclass('private.' || v_name) is not null then
    return false;
  end if;
  -- Attaching takes this lock anyway: two who miss the same month come one after the other.
  lock table public.progress_events in share update exclusive mode;
  if to_regclass('private.' || v_name) is not null then
    return false;
  end if;
  execute format(
    'create table private.%I (like public.progress_events including defaults including constraints)',
    v_name);
  execute format(
    'alter table public.progress_events attach partition private.%I for values from (%L) to (%L)',
    v_name,
    date_trunc('month', p_month::timestamp) at time zone 'UTC',
    (date_trunc('month', p_month::timestamp) + interval '1 month') at time zone 'UTC');
  return true;
end
$$;
comment on function private.make_event_partition(date) is
  'Makes the partition of progress_events for the month of this day; whether it was missing.';
revoke execute on function private.make_event_partition(date) from public;

create function private.make_event_partitions(p_months_ahead integer default 24) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_month date;
  v_made integer := 0;
begin
  for v_month in
    select generate_series(
      date_trunc('month', now() at time zone 'UTC') - interval '1 month',
      date_trunc('month', now() at time zone 'UTC') + make_interval(months => p_months_ahead),
      interval '1 month')::date
  loop
    v_made := v_made + private.make_event_partition(v_month)::integer;
  end loop;
  return v_made;
end
$$;
comment on function private.make_event_partitions(integer) is
  'Makes the monthly partitions of progress_events that are missing; run it once a month.';
revoke execute on function private.make_event_partitions(integer) from public;

select private.make_event_partitions(24);

create table public.audit_log (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now(),
  actor_id uuid,
  actor_role text not null,
  action text not null check (char_length(action) <= 100),
  course_id bigint,
  user_id uuid,
  subject text,
  reason text check (char_length(reason) <= 2000),
  before jsonb,
  after jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.audit_log is
  'Append-only: who did what to whom, why, before and after. actor_id is null for servers.';

-- A learner takes their part of the log along, and it is rewritten when their account goes.
create index audit_log_user_idx on public.audit_log (user_id) where user_id is not null;
create index audit_log_actor_idx on public.audit_log (actor_id) where actor_id is not null;

alter table public.progress_events enable row level security;
alter table public.audit_log enable row level security;
revoke all on table public.progress_events, public.audit_log from anon, authenticated, service_role;
revoke all on sequence public.progress_events_id_seq, public.audit_log_id_seq
  from anon, authenticated, service_role;

create function private.check_reason(p_reason text) returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if p_reason ~ '\S' is not true or char_length(p_reason) > 2000 then
    perform private.fail('invalid_value', 422, 'A reason of at most 2000 characters is needed');
  end if;
end
$$;
comment on function private.check_reason(text) is 'Refuses commands without a reason.';
revoke execute on function private.check_reason(text) from public;

create function private.audit(
  p_action text,
  p_course_id bigint,
  p_user_id uuid,
  p_subject text,
  p_reason text default null,
  p_before jsonb default null,
  p_after jsonb default null
) returns void
language sql volatile security definer set search_path = ''
as $$
  insert into public.audit_log
    (occurred_at, actor_id, actor_role, action, course_id, user_id, subject, reason, before, after)
  values (
    private.clock(), private.uid(), coalesce(private.jwt() ->> 'role', 'operator'), p_action,
    p_course_id, p_user_id, p_subject, p_reason, p_before, p_after)
$$;
comment on function private.audit(text, bigint, uuid, text, text, jsonb, jsonb) is
  'Writes one audit row with the caller as actor.';
revoke execute on function private.audit(text, bigint, uuid, text, text, jsonb, jsonb) from public;
grant execute on function private.audit(text, bigint, uuid, text, text, jsonb, jsonb)
  to waymark_writer;
