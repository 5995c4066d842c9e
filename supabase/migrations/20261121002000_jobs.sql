-- The job queue: an outbox. What must happen outside the database (a PDF, a mail, a file to remove) is
-- a row written in the transaction that decided it, so it exists exactly when the decision does.
--
-- A job is due when run_at has passed. Leasing moves run_at ahead, to when the lease ends: a worker that
-- dies gives its jobs back by doing nothing. The lease's token makes a late worker's answer void.

create table private.jobs (
  id bigint generated always as identity primary key,
  kind text not null check (char_length(kind) between 1 and 100),
  payload jsonb not null default '{}',
  dedupe_key text unique check (char_length(dedupe_key) <= 300),
  priority smallint not null default 0,
  run_at timestamptz not null default now(),
  attempts integer not null default 0 check (attempts >= 0),
  max_attempts integer not null default 10 check (max_attempts >= 1),
  lease uuid,
  died_at timestamptz,
  last_error text check (char_length(last_error) <= 2000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
) with (fillfactor = 85);
comment on table private.jobs is 'Outbox of work for the job worker; a job that is done is deleted.';
comment on column private.jobs.run_at is 'When it is due; while leased, when the lease ends.';
comment on column private.jobs.died_at is 'Dead letter since: attempts used up, or a failure that no retry can mend.';
create index jobs_due_idx on private.jobs (priority desc, run_at, id) where died_at is null;
alter table private.jobs enable row level security;
revoke all on table private.jobs from anon, authenticated, service_role;
create trigger _900_touch before update on private.jobs
  for each row execute function private.tg_touch_updated_at();

create function private.enqueue(
  p_kind text, p_payload jsonb, p_dedupe_key text default null, p_priority smallint default 0,
  p_run_at timestamptz default null
) returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_job_id bigint;
begin
  insert into private.jobs as j (kind, payload, dedupe_key, priority, run_at)
  values (p_kind, p_payload, p_dedupe_key, p_priority, coalesce(p_run_at, private.clock()))
      on conflict (dedupe_key) do update
     set died_at = null, attempts = 0, payload = excluded.payload, run_at = excluded.run_at
   where j.died_at is not null
  returning j.id into v_job_id;
  return v_job_id;
end
$$;
comment on function private.enqueue(text, jsonb, text, smallint, timestamptz) is
  'Adds a job, in the caller''s transaction; null when one with this dedupe key is already waiting. A dead one comes back to life.';
revoke execute on function private.enqueue(text, jsonb, text, smallint, timestamptz) from public;
grant execute on function private.enqueue(text, jsonb, text, smallint, timestamptz) to waymark_writer;
