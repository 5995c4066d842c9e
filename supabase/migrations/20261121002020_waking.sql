-- Waking the worker, and what it does beside its jobs.
--
-- Whatever wakes it may be lost: a notification without a listener, a request that times out. So a sweep
-- comes by now and then (pg_cron, Cloud Scheduler, the local stack's worker), and waking only makes it
-- quick. Neither pg_net nor pg_cron nor Vault need be there.

-- At most once per transaction. It never fails the learner whose transaction it is.
create function private.wake_worker() returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if current_setting('waymark.woken', true) = 'on' then
    return;
  end if;
  perform set_config('waymark.woken', 'on', true);
  perform pg_notify('waymark_jobs', '');
  if to_regnamespace('net') is null or to_regclass('vault.decrypted_secrets') is null then
    return;
  end if;
  begin
    execute $net$
      select net.http_post(
               url => u.decrypted_secret,
               headers => jsonb_build_object(
                 'Content-Type', 'application/json', 'X-Worker-Secret', s.decrypted_secret),
               body => '{}'::jsonb,
               timeout_milliseconds => 30000)
        from vault.decrypted_secrets u, vault.decrypted_secrets s
       where u.name = 'waymark_worker_url' and s.name = 'waymark_worker_secret'
    $net$;
  exception when others then
    raise warning 'waymark: the worker could not be woken: %', sqlerrm;
  end;
end
$$;
comment on function private.wake_worker() is
  'Tells the worker that there are jobs: NOTIFY, and a request by pg_net where that is set up.';
revoke execute on function private.wake_worker() from public;

create function private.tg_jobs__wake() returns trigger
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if exists (select from added) then
    perform private.wake_worker();
  end if;
  return null;
end
$$;
comment on function private.tg_jobs__wake() is 'New jobs wake the worker.';
revoke execute on function private.tg_jobs__wake() from public;

create trigger _800_wake after insert on private.jobs
  referencing new table as added
  for each statement execute function private.tg_jobs__wake();

create function private.schedule_worker(p_schedule text default '* * * * *') returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if to_regnamespace('cron') is null then
    raise exception 'pg_cron is not installed'
      using errcode = 'undefined_object', hint = 'create extension pg_cron; then call this again';
  end if;
  execute format('select cron.schedule(%L, %L, %L)',
    'waymark-worker', p_schedule, 'select private.wake_worker()');
  execute format('select cron.schedule(%L, %L, %L)',
    'waymark-maintenance', '*/5 * * * *', 'select private.run_maintenance()');
end
$$;
comment on function private.schedule_worker(text) is
  'An operator, once: has pg_cron wake the worker and run the maintenance; again to change the schedule.';
revoke execute on function private.schedule_worker(text) from public;

-- One at a time, and short: two seconds, and no waiting for locks. What is left is for the next time. A
-- part that fails leaves the others alone.
create function private.run_maintenance() returns jsonb
language plpgsql volatile security definer set search_path = '' set lock_timeout = '500ms'
as $$
declare
  v_until timestamptz := clock_timestamp() + interval '2 seconds';
  v_part text;
  v_done jsonb;
  v_count integer;
  v_report jsonb := '{}';
begin
  perform private.require_admin();
  if not pg_try_advisory_xact_lock(hashtextextended('waymark:maintenance', 0)) then
    return jsonb_build_object('busy', true);
  end if;
  -- What locks learners' rows comes last: the locks are held to the end.
  foreach v_part in array array[
    'partitions', 'rate_buckets', 'jobs', 'watching', 'statistics', 'drift', 'attempts', 'renewals']
  loop
    exit when clock_timestamp() > v_until;
    begin
      if v_part = 'partitions' then
        v_done := to_jsonb(private.make_event_partitions(24));
      elsif v_part = 'rate_buckets' then
        v_done := to_jsonb(private.purge_rate_buckets());
      elsif v_part = 'jobs' then
        -- Nothing waits for longer than a backoff, but what was put off before the clock was set back.
        update private.jobs
           set run_at = private.clock()
         where died_at is null and run_at > private.clock() + interval '3 hours';
        get diagnostics v_count = row_count;
        v_done := to_jsonb(v_count);
      elsif v_part = 'watching' then
        v_done := to_jsonb(private.purge_watch_sessions() + private.purge_client_events());
      elsif v_part = 'statistics' then
        v_done := to_jsonb(private.fold_statistics(1000));
      elsif v_part = 'renewals' then
        v_done := to_jsonb(private.tell_renewals(500));
      elsif v_part = 'drift' then
        v_done := private.check_drift(500);
      else
        v_done := private.expire_attempts(50) -> 'expired';
      end if;
      v_report := v_report || jsonb_build_object(v_part, v_done);
    exception when others then
      v_report := v_report || jsonb_build_object(v_part, 'failed: ' || sqlerrm);
    end;
  end loop;
  return v_report || jsonb_build_object('busy', false);
end
$$;
comment on function private.run_maintenance() is
  'Makes months, folds statistics, checks for drift, tells of completions that expire, ends attempts whose time is up, forgets old buckets, sessions, events, has jobs done that a clock ahead has put off.';
revoke execute on function private.run_maintenance() from public;

create function public.run_maintenance() returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.run_maintenance(); end;
comment on function public.run_maintenance() is
  'The worker and operators: a slice of all upkeep, {busy, partitions, rate_buckets, jobs, watching, statistics, drift, attempts, renewals}.';
revoke execute on function public.run_maintenance() from public, anon, authenticated, service_role;
grant execute on function public.run_maintenance(), private.run_maintenance() to service_role;
