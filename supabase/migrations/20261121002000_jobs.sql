-- The job queue: an outbox. What must happen outside the database (a PDF, a mail, a file to remove) is
-- a row written in the transaction that decided it, so it exists exactly when the decision does.
--
-- A job is due when run_at has passed. Leasing moves run_at ahead, to when the lease ends: a worker that
-- dies gives its jobs back by doing nothing. The lease's token makes a late worker's answer void.
--
-- A job holds ids; what a worker needs to know (its facts) is looked up when it takes the job, so nothing
-- outdated is rendered or sent. What a dedupe key stands for must not change while a job of it waits: a
-- worker may have read the facts already. What changes has another key.

create table private.jobs (
  id bigint generated always as identity primary key,
  kind text not null check (char_length(kind) between 1 and 100),
  payload jsonb not null default '{}',
  dedupe_key text unique check (char_length(dedupe_key) <= 300),
  priority integer not null default 0,
  run_at timestamptz not null default now(),
  attempts integer not null default 0 check (attempts >= 0),
  max_attempts integer not null default 25 check (max_attempts >= 1),
  lease uuid,
  died_at timestamptz,
  last_error text check (char_length(last_error) <= 2000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
) with (fillfactor = 85);
comment on table private.jobs is 'Outbox of work for the job worker; a job that is done is deleted.';
comment on column private.jobs.run_at is 'When it is due; while leased, when the lease ends.';
comment on column private.jobs.attempts is 'How often a worker took it.';
comment on column private.jobs.lease is
  'Token of the worker that holds it. Still there once run_at has passed: that worker has died.';
comment on column private.jobs.died_at is
  'Dead letter since: attempts used up, or a failure that no retry can mend.';
create index jobs_due_idx on private.jobs (priority desc, run_at, id) where died_at is null;
alter table private.jobs enable row level security;
revoke all on table private.jobs from anon, authenticated, service_role;
create policy "Nobody reads jobs directly" on private.jobs
  for select to authenticated using (false);
create trigger _900_touch before update on private.jobs
  for each row execute function private.tg_touch_updated_at();

create function private.enqueue(
  p_kind text, p_payload jsonb, p_dedupe_key text default null, p_priority integer default 0,
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
  if found then
    perform private.wake_worker();
  end if;
  return v_job_id;
end
$$;
comment on function private.enqueue(text, jsonb, text, integer, timestamptz) is
  'Adds a job, in the caller''s transaction; null when one with this dedupe key is already waiting. A dead one comes back to life.';
revoke execute on function private.enqueue(text, jsonb, text, integer, timestamptz) from public;
grant execute on function private.enqueue(text, jsonb, text, integer, timestamptz) to waymark_writer;

-- What the worker needs to know of a job, by kind; null when there is nothing to do any more.
create function private.job_facts(p_kind text, p_payload jsonb) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_kind = 'certificate.render' then
    return private.render_facts((p_payload ->> 'certificate_id')::uuid);
  elsif p_kind = 'course.settle' then
    return (select p_payload from public.courses c
             where c.id = (p_payload ->> 'course_id')::bigint and c.is_settling);
  elsif p_kind = 'report.compute' then
    return (select p_payload from private.course_reports r
             where r.id = (p_payload ->> 'report_id')::bigint and r.is_wanted);
  elsif p_kind = 'webhook.deliver' then
    return (select p_payload from private.webhooks w
             where w.id = (p_payload ->> 'webhook_id')::uuid and w.is_enabled
               and w.died_at is null);
  elsif p_kind = 'mail' then
    return private.mail_facts((p_payload ->> 'notification_id')::uuid);
  end if;
  return p_payload;
end
$$;
comment on function private.job_facts(text, jsonb) is
  'Facts of a job as they are now; null when there is nothing left to do.';
revoke execute on function private.job_facts(text, jsonb) from public;

-- 5 s, 10 s, 20 s … 2 h, a quarter more or less, so that what failed together does not come back
-- together. 25 attempts outlast a day's outage of the mail server or Storage.
create function private.backoff(p_attempts integer) returns interval
language sql volatile security invoker set search_path = ''
return make_interval(secs => least(7200, 5 * 2 ^ (greatest(p_attempts, 1) - 1)) * (0.75 + random() / 2));
comment on function private.backoff(integer) is 'How long a job waits after so many attempts.';
revoke execute on function private.backoff(integer) from public;

create function private.put_back(p_job_id bigint, p_error text, p_permanent boolean)
returns private.jobs
language sql volatile security definer set search_path = ''
as $$
  update private.jobs
     set lease = null,
         last_error = left(coalesce(p_error, 'no reason was given'), 2000),
         died_at = case when p_permanent or attempts >= max_attempts then private.clock() end,
         run_at = private.clock() + private.backoff(attempts)
   where id = p_job_id
  returning *
$$;
comment on function private.put_back(bigint, text, boolean) is
  'After a failed attempt: due again later, or dead.';
revoke execute on function private.put_back(bigint, text, boolean) from public;

-- Who held a job when its lease ran out may have died of it: it is handed out alone from then on, so that
-- it takes no others down with it again and again.
create function private.lease_jobs(p_limit integer, p_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  j private.jobs;
  v_suspect boolean;
  v_facts jsonb;
  v_leased jsonb := '[]';
  v_settled integer := 0;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 100');
  elsif p_seconds is null or p_seconds not between 1 and 3600 then
    perform private.fail('invalid_value', 422, 'seconds must be between 1 and 3600');
  end if;
  perform private.wake_webhooks();
  for j in
    select * from private.jobs x
     where x.died_at is null and x.run_at <= v_now
     order by x.priority desc, x.run_at, x.id
     limit p_limit
       for update skip locked
  loop
    v_suspect := j.lease is not null;
    continue when v_suspect and v_leased <> '[]';
    if v_suspect and j.attempts >= j.max_attempts then
      perform private.put_back(j.id, 'The worker died of it, or took too long, every time', true);
      v_settled := v_settled + 1;
      continue;
    end if;
    begin
      v_facts := private.job_facts(j.kind, j.payload);
    exception when others then
      -- Somebody else's edit may have broken what this one job rests on: the others go on.
      update private.jobs set attempts = attempts + 1 where id = j.id;
      perform private.put_back(j.id, 'Its facts cannot be read: ' || sqlerrm, false);
      v_settled := v_settled + 1;
      continue;
    end;
    if v_facts is null then
      delete from private.jobs where id = j.id;
      v_settled := v_settled + 1;
      continue;
    end if;
    update private.jobs
       set lease = gen_random_uuid(),
           attempts = attempts + 1,
           run_at = v_now + make_interval(secs => p_seconds),
           last_error = case when v_suspect then 'The worker died of it, or took too long'
             else last_error end
     where id = j.id
    returning * into j;
    v_leased := v_leased || jsonb_build_object(
      'id', j.id, 'lease', j.lease, 'kind', j.kind, 'attempts', j.attempts,
      'payload', j.payload, 'facts', v_facts);
    exit when v_suspect;
  end loop;
  return jsonb_build_object(
    'jobs', v_leased,
    'settled', v_settled,
    'remaining', (
      select count(*)
        from (
          select from private.jobs x
           where x.died_at is null and x.run_at <= v_now
           limit 1000
        ) as due));
end
$$;
comment on function private.lease_jobs(integer, integer) is
  'Hands out due jobs with their facts, for so many seconds; jobs without facts are finished.';
revoke execute on function private.lease_jobs(integer, integer) from public;

-- What a finished job changes, and its end, in one transaction. A certificate's row comes before its
-- job's: who asks for a rendering takes them in that order too.
create function private.finish_job(p_job_id bigint, p_lease uuid, p_result jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  j private.jobs;
  v_certificate_id uuid;
begin
  select * into j from private.jobs where id = p_job_id and lease = p_lease;
  if found and j.kind = 'certificate.render' then
    v_certificate_id := (j.payload ->> 'certificate_id')::uuid;
    perform from public.certificates c where c.id = v_certificate_id for no key update;
  end if;
  delete from private.jobs where id = p_job_id and lease = p_lease;
  if not found then
    return jsonb_build_object('finished', false);
  end if;
  if j.kind = 'certificate.render' then
    perform private.certificate_rendered(
      v_certificate_id, p_result ->> 'sha256', (p_result ->> 'bytes')::integer);
  elsif j.kind in ('course.settle', 'report.compute')
    and private.job_facts(j.kind, j.payload) is not null
  then
    -- Not all of it was done, or what asks for it came in meanwhile and found this job waiting.
    perform private.enqueue(j.kind, j.payload, j.dedupe_key, j.priority);
  end if;
  return jsonb_build_object('finished', true);
end
$$;
comment on function private.finish_job(bigint, uuid, jsonb) is
  'Ends a job and writes what came of it; finished is false when the lease was lost.';
revoke execute on function private.finish_job(bigint, uuid, jsonb) from public;

create function private.fail_job(
  p_job_id bigint, p_lease uuid, p_error text, p_permanent boolean
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  j private.jobs;
begin
  perform from private.jobs where id = p_job_id and lease = p_lease for update;
  if not found then
    return jsonb_build_object('failed', false, 'dead', false, 'run_at', null);
  end if;
  j := private.put_back(p_job_id, p_error, coalesce(p_permanent, false));
  return jsonb_build_object(
    'failed', true, 'dead', j.died_at is not null,
    'run_at', case when j.died_at is null then j.run_at end);
end
$$;
comment on function private.fail_job(bigint, uuid, text, boolean) is
  'Ends an attempt that failed; failed is false when the lease was lost.';
revoke execute on function private.fail_job(bigint, uuid, text, boolean) from public;

-- Operators ------------------------------------------------------------------------------------------

create function private.job_state(j private.jobs) returns text
language sql stable security invoker set search_path = ''
return case
  when (j).died_at is not null then 'dead'
  when (j).run_at <= private.clock() then 'due'
  when (j).lease is not null then 'leased'
  else 'waiting'
end;
comment on function private.job_state(private.jobs) is 'due, leased, waiting (for a later time) or dead.';
revoke execute on function private.job_state(private.jobs) from public;

create function private.list_jobs(p_state text, p_kind text, p_cursor bigint, p_limit integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 1000');
  elsif p_state not in ('due', 'leased', 'waiting', 'dead') then
    perform private.fail('invalid_value', 422, 'state must be due, leased, waiting or dead');
  end if;
  return (
    select jsonb_build_object(
             'jobs', coalesce(jsonb_agg(jsonb_build_object(
               'id', x.id, 'kind', x.kind, 'state', x.state, 'payload', x.payload,
               'priority', x.priority, 'run_at', x.run_at, 'attempts', x.attempts,
               'max_attempts', x.max_attempts, 'died_at', x.died_at, 'last_error', x.last_error,
               'created_at', x.created_at) order by x.id), '[]'),
             'cursor', case when count(*) = p_limit then max(x.id) end)
      from (
        select j.*, private.job_state(j) as state
          from private.jobs j
         where (p_kind is null or j.kind = p_kind)
           and (p_state is null or private.job_state(j) = p_state)
           and (p_cursor is null or j.id > p_cursor)
         order by j.id
         limit p_limit
      ) as x);
end
$$;
comment on function private.list_jobs(text, text, bigint, integer) is
  'The queue by pages, in order of id.';
revoke execute on function private.list_jobs(text, text, bigint, integer) from public;

create function private.retry_jobs(p_job_ids bigint[], p_kind text, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_ids bigint[];
begin
  -- In id order, and none that a worker holds.
  select coalesce(array_agg(t.id order by t.id), '{}') into v_ids
    from (
      select j.id from private.jobs j
       where (p_job_ids is null or j.id = any (p_job_ids))
         and (p_kind is null or j.kind = p_kind)
         and (j.died_at is not null or (p_job_ids is not null and j.lease is null))
       order by j.id
         for update
    ) as t;
  update private.jobs
     set died_at = null, attempts = 0, run_at = private.clock()
   where id = any (v_ids);
  if v_ids <> '{}' then
    perform private.audit('jobs.retry', null, null, 'jobs', p_reason, null,
      jsonb_build_object('ids', v_ids));
    perform private.wake_worker();
  end if;
  return jsonb_build_object('retried', cardinality(v_ids), 'changed', v_ids <> '{}');
end
$$;
comment on function private.retry_jobs(bigint[], text, text) is
  'Dead jobs, all or those of a kind, start afresh; by id also those that wait for their next attempt.';
revoke execute on function private.retry_jobs(bigint[], text, text) from public;

create function private.drop_jobs(p_job_ids bigint[], p_kind text, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_dropped jsonb;
begin
  if p_job_ids is null and p_kind is null then
    perform private.fail('invalid_value', 422, 'Say which: ids, or a kind whose dead jobs go');
  end if;
  with dropped as (
    delete from private.jobs j
     where (p_job_ids is null or j.id = any (p_job_ids))
       and (p_kind is null or j.kind = p_kind)
       and (p_job_ids is not null or j.died_at is not null)
    returning j.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
           'id', d.id, 'kind', d.kind, 'payload', d.payload, 'last_error', d.last_error)
           order by d.id), '[]')
    into v_dropped
    from dropped d;
  if v_dropped <> '[]' then
    perform private.audit('jobs.drop', null, null, 'jobs', p_reason, v_dropped, null);
  end if;
  return jsonb_build_object(
    'dropped', jsonb_array_length(v_dropped), 'changed', v_dropped <> '[]');
end
$$;
comment on function private.drop_jobs(bigint[], text, text) is
  'Takes jobs out of the queue for good: by id, or the dead ones of a kind.';
revoke execute on function private.drop_jobs(bigint[], text, text) from public;

create function private.get_queue_health() returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_build_object(
           'depth', count(*) filter (where q.state <> 'dead'),
           'due', count(*) filter (where q.state = 'due'),
           'leased', count(*) filter (where q.state = 'leased'),
           'waiting', count(*) filter (where q.state = 'waiting'),
           'dead', count(*) filter (where q.state = 'dead'),
           -- How long the job that is due longest has been waiting for a worker.
           'oldest_due_seconds', coalesce(extract(epoch from
             private.clock() - min(q.run_at) filter (where q.state = 'due'))::integer, 0),
           'oldest_seconds', coalesce(extract(epoch from
             private.clock() - min(q.created_at) filter (where q.state <> 'dead'))::integer, 0))
    from (select j.run_at, j.created_at, private.job_state(j) as state from private.jobs j) as q
$$;
comment on function private.get_queue_health() is 'Depth, ages and dead letters of the queue.';
revoke execute on function private.get_queue_health() from public;

-- Doors: for the worker and for operators, who hold the service key -----------------------------------

create function public.lease_jobs(p_limit integer default 10, p_seconds integer default 60)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.lease_jobs(p_limit, p_seconds); end;
comment on function public.lease_jobs(integer, integer) is
  'The worker: takes due jobs, {jobs: [{id, lease, kind, attempts, payload, facts}], settled, remaining}.';

create function public.finish_job(p_job_id bigint, p_lease uuid, p_result jsonb default '{}')
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.finish_job(p_job_id, p_lease, p_result); end;
comment on function public.finish_job(bigint, uuid, jsonb) is
  'The worker: a job is done. Returns {finished}, false when another worker has it by now.';

create function public.fail_job(
  p_job_id bigint, p_lease uuid, p_error text, p_permanent boolean default false
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.fail_job(p_job_id, p_lease, p_error, p_permanent); end;
comment on function public.fail_job(bigint, uuid, text, boolean) is
  'The worker: an attempt failed. Returns {failed, dead, run_at}.';

create function public.list_jobs(
  p_state text default null, p_kind text default null, p_cursor bigint default null,
  p_limit integer default 100
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.list_jobs(p_state, p_kind, p_cursor, p_limit); end;
comment on function public.list_jobs(text, text, bigint, integer) is
  'Operators: the queue by pages, {jobs, cursor}.';

create function public.retry_jobs(
  p_job_ids bigint[] default null, p_kind text default null, p_reason text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.retry_jobs(p_job_ids, p_kind, p_reason); end;
comment on function public.retry_jobs(bigint[], text, text) is
  'Operators: dead jobs start afresh. Returns {retried, changed}.';

create function public.drop_jobs(
  p_job_ids bigint[] default null, p_kind text default null, p_reason text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.drop_jobs(p_job_ids, p_kind, p_reason); end;
comment on function public.drop_jobs(bigint[], text, text) is
  'Operators: takes jobs out of the queue. Returns {dropped, changed}.';

create function public.get_queue_health() returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_queue_health(); end;
comment on function public.get_queue_health() is
  'Operators: {depth, due, leased, waiting, dead, oldest_due_seconds, oldest_seconds}.';

revoke execute on function public.lease_jobs(integer, integer),
  public.finish_job(bigint, uuid, jsonb),
  public.fail_job(bigint, uuid, text, boolean),
  public.list_jobs(text, text, bigint, integer),
  public.retry_jobs(bigint[], text, text),
  public.drop_jobs(bigint[], text, text),
  public.get_queue_health()
  from public, anon, authenticated, service_role;
grant execute on function public.lease_jobs(integer, integer),
  private.lease_jobs(integer, integer),
  public.finish_job(bigint, uuid, jsonb),
  private.finish_job(bigint, uuid, jsonb),
  public.fail_job(bigint, uuid, text, boolean),
  private.fail_job(bigint, uuid, text, boolean),
  public.list_jobs(text, text, bigint, integer),
  private.list_jobs(text, text, bigint, integer),
  public.retry_jobs(bigint[], text, text),
  private.retry_jobs(bigint[], text, text),
  public.drop_jobs(bigint[], text, text),
  private.drop_jobs(bigint[], text, text),
  public.get_queue_health(),
  private.get_queue_health()
  to service_role;
