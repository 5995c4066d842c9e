-- Webhooks: a site's own server is told of each event, signed, in order, at least once.
--
-- Nothing is written when a learner completes something. Each endpoint has a cursor into the history
-- (private.read_events), and a job takes the next events from there. What was delivered leaves no row;
-- what was not is kept here, and holds back the same learner's later events at that endpoint, which are
-- kept behind it: a lane. Nobody else's wait. Where nothing gets through, the endpoint as a whole waits
-- with its cursor, and no rows gather.

select private.require_free(array[
  'private.check_webhook_url', 'private.delete_webhook', 'private.get_webhook_deliveries',
  'private.list_webhooks', 'private.put_webhook', 'private.report_deliveries',
  'private.require_webhook', 'private.rest_webhook', 'private.retry_webhook', 'private.rotate_webhook_secret', 'private.take_deliveries',
  'private.test_webhook', 'private.wake_webhooks',
  'private.webhook_deliveries', 'private.webhook_json', 'private.webhook_secret',
  'private.webhook_tries', 'private.webhooks', 'public.delete_webhook',
  'public.get_webhook_deliveries', 'public.list_webhooks', 'public.put_webhook',
  'public.report_deliveries', 'public.rest_webhook', 'public.retry_webhook', 'public.rotate_webhook_secret',
  'public.take_deliveries', 'public.test_webhook']);

create table private.webhooks (
  id uuid primary key default gen_random_uuid(),
  url text not null check (char_length(url) <= 2000),
  description text check (char_length(description) <= 200),
  kinds text[] check (cardinality(kinds) > 0),
  course_ids bigint[] check (cardinality(course_ids) > 0),
  is_enabled boolean not null default true,
  secret text not null,
  former_secret text,
  former_until timestamptz,
  cursor text not null,
  failures integer not null default 0 check (failures >= 0),
  run_at timestamptz not null default now(),
  died_at timestamptz,
  last_error text check (char_length(last_error) <= 500),
  last_delivered_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
) with (fillfactor = 85);
comment on table private.webhooks is 'Endpoints that are told of events.';
comment on column private.webhooks.kinds is 'Only events of these kinds; null: all.';
comment on column private.webhooks.cursor is 'How far the history has been read for it (private.read_events).';
comment on column private.webhooks.failures is 'Rounds in a row in which nothing got through.';
comment on column private.webhooks.run_at is 'Not before then, after such a round.';
comment on column private.webhooks.died_at is 'Given up since; private.retry_webhook goes on.';

create table private.webhook_deliveries (
  id bigint generated always as identity primary key,
  webhook_id uuid not null references private.webhooks (id) on delete cascade,
  -- An event has no key by its id alone: its month is found by its time. Null: a test.
  event_id bigint,
  occurred_at timestamptz not null,
  lane bigint not null,
  attempts integer not null default 0 check (attempts >= 0),
  run_at timestamptz not null,
  died_at timestamptz,
  last_error text check (char_length(last_error) <= 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint each_event_once unique (webhook_id, event_id)
) with (fillfactor = 85);
comment on table private.webhook_deliveries is
  'Events that an endpoint did not take, and those that wait behind them; delivered ones are deleted.';
comment on column private.webhook_deliveries.lane is
  'Whose it is, as a number that leads back to nobody: of a lane the first goes first.';
create index webhook_deliveries_lane_idx on private.webhook_deliveries (webhook_id, lane, id);

create trigger _900_touch before update on private.webhooks
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on private.webhook_deliveries
  for each row execute function private.tg_touch_updated_at();
alter table private.webhooks enable row level security;
alter table private.webhook_deliveries enable row level security;
revoke all on table private.webhooks, private.webhook_deliveries
  from public, anon, authenticated, service_role;
revoke all on sequence private.webhook_deliveries_id_seq from public, anon, authenticated, service_role;
create policy "Nobody reads webhooks directly" on private.webhooks
  for select to authenticated using (false);
create policy "Nobody reads deliveries directly" on private.webhook_deliveries
  for select to authenticated using (false);

create function private.webhook_tries() returns integer
language sql immutable parallel safe security invoker set search_path = ''
return 16;
comment on function private.webhook_tries() is
  'After so many attempts a delivery is given up: about a day, by private.backoff().';
revoke execute on function private.webhook_tries() from public;

create function private.webhook_secret() returns text
language sql volatile security invoker set search_path = ''
return 'whsec_' || encode(
  sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64');
comment on function private.webhook_secret() is 'A new signing secret, as Standard Webhooks writes it.';
revoke execute on function private.webhook_secret() from public;

-- What an address resolves to is looked at when it is called: names change.
create function private.check_webhook_url(p_url text) returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_url ~ '^https?://[^\s/?#@\\]+([/?][^\s#\\]*)?$' is not true or char_length(p_url) > 2000 then
    perform private.fail('invalid_value', 422,
      'url must be an address without user, password or fragment');
  elsif p_url like 'http:%' and not exists (
    select from private.settings s where s.name = 'webhook_local_urls' and s.value = 'on')
  then
    perform private.fail('invalid_value', 422, 'url must begin with https://');
  end if;
end
$$;
comment on function private.check_webhook_url(text) is 'Refuses what no event may be sent to.';
revoke execute on function private.check_webhook_url(text) from public;

create function private.webhook_json(w private.webhooks) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', w.id, 'url', w.url, 'description', w.description, 'kinds', w.kinds,
    'course_ids', w.course_ids, 'is_enabled', w.is_enabled,
    'state', case when not w.is_enabled then 'disabled' when w.died_at is not null then 'dead'
      when w.failures > 0 then 'failing' else 'working' end,
    'failures', w.failures, 'run_at', w.run_at, 'died_at', w.died_at, 'last_error', w.last_error,
    'last_delivered_at', w.last_delivered_at, 'cursor', w.cursor,
    'former_until', w.former_until, 'created_at', w.created_at)
    || (select jsonb_build_object('held', count(*), 'dead', count(*) filter (where d.died_at is not null))
          from private.webhook_deliveries d where d.webhook_id = w.id);
end
$$;
comment on function private.webhook_json(private.webhooks) is
  'An endpoint as admins see it, without its secrets; held: events that wait, dead: given up.';
revoke execute on function private.webhook_json(private.webhooks) from public;

-- Admins -------------------------------------------------------------------------------------------------

create function private.require_webhook(p_webhook_id uuid) returns private.webhooks
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks;
begin
  perform private.require_admin();
  select * into w from private.webhooks where id = p_webhook_id for no key update;
  if not found then
    perform private.fail('webhook_not_found', 404, 'Webhook not found');
  end if;
  return w;
end
$$;
comment on function private.require_webhook(uuid) is 'An endpoint, locked, for an admin''s command.';
revoke execute on function private.require_webhook(uuid) from public;

create function private.put_webhook(
  p_webhook_id uuid, p_url text, p_description text, p_kinds text[], p_course_ids bigint[],
  p_is_enabled boolean
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks;
  v_before jsonb;
  v_horizon text := pg_snapshot_xmin(pg_current_snapshot())::text;
begin
  perform private.require_admin();
  perform private.check_webhook_url(p_url);
  if exists (
    select from unnest(p_kinds) as k
     where k is null or not exists (
       select from pg_catalog.pg_constraint c
        where c.conrelid = 'public.progress_events'::regclass and c.conname = 'kind_is_valid'
          and pg_catalog.pg_get_constraintdef(c.oid) like '%''' || k || '''%'))
  then
    perform private.fail('invalid_value', 422, 'kinds holds one that is no kind of event');
  end if;
  if p_webhook_id is not null then
    w := private.require_webhook(p_webhook_id);
    v_before := private.webhook_json(w);
    update private.webhooks x
       set url = p_url, description = p_description, kinds = nullif(p_kinds, '{}'),
           course_ids = nullif(p_course_ids, '{}'), is_enabled = coalesce(p_is_enabled, true),
           failures = 0, run_at = private.clock(), died_at = null
     where x.id = w.id
    returning * into w;
  else
    -- From now on: the history before is for an export.
    insert into private.webhooks
      (url, description, kinds, course_ids, is_enabled, secret, cursor, run_at)
    values (p_url, p_description, nullif(p_kinds, '{}'), nullif(p_course_ids, '{}'),
      coalesce(p_is_enabled, true), private.webhook_secret(),
      v_horizon || ':' || v_horizon || ':0', private.clock())
    returning * into w;
  end if;
  perform private.audit('webhook.put', null, null, 'webhook:' || w.id, null, v_before,
    private.webhook_json(w));
  return jsonb_build_object('webhook', private.webhook_json(w),
    'secret', case when v_before is null then w.secret end);
end
$$;
comment on function private.put_webhook(uuid, text, text, text[], bigint[], boolean) is
  'Makes an endpoint, whose secret is told this once, or changes one.';
revoke execute on function private.put_webhook(uuid, text, text, text[], bigint[], boolean) from public;

create function private.list_webhooks() returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform private.require_admin();
  return jsonb_build_object('webhooks', coalesce((
    select jsonb_agg(private.webhook_json(w) order by w.created_at, w.id)
      from (select * from private.webhooks x order by x.created_at, x.id limit 1000) as w), '[]'));
end
$$;
comment on function private.list_webhooks() is 'All endpoints, and how they do.';
revoke execute on function private.list_webhooks() from public;

create function private.delete_webhook(p_webhook_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks := private.require_webhook(p_webhook_id);
begin
  perform private.audit('webhook.delete', null, null, 'webhook:' || w.id, null,
    private.webhook_json(w), null);
  delete from private.webhooks x where x.id = w.id;
  return jsonb_build_object('changed', true);
end
$$;
comment on function private.delete_webhook(uuid) is 'Takes an endpoint away, with what waits for it.';
revoke execute on function private.delete_webhook(uuid) from public;

create function private.rotate_webhook_secret(p_webhook_id uuid, p_hours integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks := private.require_webhook(p_webhook_id);
begin
  if p_hours is null or p_hours not between 0 and 720 then
    perform private.fail('invalid_value', 422, 'hours must be between 0 and 720');
  end if;
  update private.webhooks x
     set former_secret = x.secret,
         former_until = private.clock() + make_interval(hours => p_hours),
         secret = private.webhook_secret()
   where x.id = w.id
  returning * into w;
  perform private.audit('webhook.rotate', null, null, 'webhook:' || w.id, null, null,
    jsonb_build_object('former_until', w.former_until));
  return jsonb_build_object('webhook', private.webhook_json(w), 'secret', w.secret);
end
$$;
comment on function private.rotate_webhook_secret(uuid, integer) is
  'A new secret; for so many hours everything is signed with the former one too.';
revoke execute on function private.rotate_webhook_secret(uuid, integer) from public;

create function private.test_webhook(p_webhook_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks := private.require_webhook(p_webhook_id);
  v_id bigint;
begin
  -- In a lane of its own.
  insert into private.webhook_deliveries (webhook_id, occurred_at, lane, run_at)
  values (w.id, private.clock(), hashtextextended(gen_random_uuid()::text, 0), private.clock())
  returning id into v_id;
  perform private.wake_webhooks();
  return jsonb_build_object('delivery_id', v_id);
end
$$;
comment on function private.test_webhook(uuid) is 'Has a message sent that tells of nothing.';
revoke execute on function private.test_webhook(uuid) from public;

create function private.get_webhook_deliveries(
  p_webhook_id uuid, p_cursor bigint, p_limit integer
) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_admin();
  if not exists (select from private.webhooks w where w.id = p_webhook_id) then
    perform private.fail('webhook_not_found', 404, 'Webhook not found');
  elsif p_limit is null or p_limit not between 1 and 1000 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 1000');
  end if;
  return (
    select jsonb_build_object(
             'deliveries', coalesce(jsonb_agg(jsonb_build_object('id', d.id,
               'event_id', d.event_id, 'occurred_at', d.occurred_at, 'attempts', d.attempts,
               'run_at', d.run_at, 'died_at', d.died_at, 'last_error', d.last_error)
               order by d.id), '[]'),
             'cursor', case when count(*) = p_limit then max(d.id) end)
      from (
        select * from private.webhook_deliveries x
         where x.webhook_id = p_webhook_id and (p_cursor is null or x.id > p_cursor)
         order by x.id
         limit p_limit
      ) as d);
end
$$;
comment on function private.get_webhook_deliveries(uuid, bigint, integer) is
  'What an endpoint has not taken yet, and what waits behind it, by pages.';
revoke execute on function private.get_webhook_deliveries(uuid, bigint, integer) from public;

create function private.retry_webhook(p_webhook_id uuid, p_drop boolean) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks := private.require_webhook(p_webhook_id);
  v_count integer;
begin
  if p_drop then
    delete from private.webhook_deliveries d where d.webhook_id = w.id and d.died_at is not null;
  else
    update private.webhook_deliveries d
       set died_at = null, attempts = 0, run_at = private.clock()
     where d.webhook_id = w.id and (d.died_at is not null or d.attempts > 0);
  end if;
  get diagnostics v_count = row_count;
  update private.webhooks x
     set failures = 0, died_at = null, run_at = private.clock()
   where x.id = w.id;
  perform private.audit('webhook.retry', null, null, 'webhook:' || w.id, null, null,
    jsonb_build_object('deliveries', v_count, 'dropped', coalesce(p_drop, false)));
  perform private.wake_webhooks();
  return jsonb_build_object('deliveries', v_count);
end
$$;
comment on function private.retry_webhook(uuid, boolean) is
  'An endpoint, and what it did not take, starts afresh now; or what was given up is dropped.';
revoke execute on function private.retry_webhook(uuid, boolean) from public;

-- The worker ---------------------------------------------------------------------------------------------

-- Asked at each look into the queue: without endpoints it costs nothing.
create function private.wake_webhooks() returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks;
begin
  for w in
    select * from private.webhooks x
     where x.is_enabled and x.died_at is null and x.run_at <= private.clock()
     order by x.id
  loop
    continue when not exists (
      select from private.webhook_deliveries d
       where d.webhook_id = w.id and d.died_at is null and d.run_at <= private.clock()
         and not exists (
           select from private.webhook_deliveries f
            where f.webhook_id = d.webhook_id and f.lane = d.lane and f.id < d.id))
      and not private.has_events(w.cursor);
    perform private.enqueue('webhook.deliver', jsonb_build_object('webhook_id', w.id),
      'webhook.deliver:' || w.id);
  end loop;
end
$$;
comment on function private.wake_webhooks() is 'Queues a job for each endpoint that has something to be sent.';
revoke execute on function private.wake_webhooks() from public;

-- First what waits, of each lane the first; then what is new, unless so much waits that more would only
-- pile up. What is new and stands behind something comes too, marked held: the report keeps it.
create function private.take_deliveries(p_webhook_id uuid, p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c_held constant integer := 1000;
  w private.webhooks;
  v_now timestamptz := private.clock();
  v_waiting jsonb;
  v_fresh jsonb := '[]';
  v_page record;
  v_cursor text;
  v_next text;
  v_lost bigint[];
  v_pages integer := 0;
begin
  if p_limit is null or p_limit not between 1 and 500 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 500');
  end if;
  select * into w from private.webhooks x
   where x.id = p_webhook_id and x.is_enabled and x.died_at is null and x.run_at <= v_now;
  if not found then
    return jsonb_build_object('webhook', null);
  end if;
  select coalesce(jsonb_agg(jsonb_build_object('delivery_id', d.id, 'lane', d.lane::text,
           'event', private.event_json(e), 'occurred_at', d.occurred_at) order by d.id)
           filter (where d.event_id is null or e.id is not null), '[]'),
         array_agg(d.id) filter (where d.event_id is not null and e.id is null)
    into v_waiting, v_lost
    from (
      select * from private.webhook_deliveries x
       where x.webhook_id = w.id and x.died_at is null and x.run_at <= v_now and not exists (
         select from private.webhook_deliveries f
          where f.webhook_id = x.webhook_id and f.lane = x.lane and f.id < x.id)
       order by x.id
       limit p_limit
    ) as d
    left join public.progress_events e on e.id = d.event_id and e.occurred_at = d.occurred_at;
  -- Their month has been archived meanwhile.
  delete from private.webhook_deliveries d where d.id = any (v_lost);
  v_cursor := w.cursor;
  if v_waiting = '[]' and (
    select count(*) from private.webhook_deliveries d where d.webhook_id = w.id) < c_held
  then
    -- Pages that hold nothing for it are passed by.
    loop
      v_page := private.read_events(v_cursor, p_limit);
      v_pages := v_pages + 1;
      select coalesce(jsonb_agg(jsonb_build_object('delivery_id', null,
               'lane', hashtextextended(e.user_id::text, 0)::text, 'event', private.event_json(e),
               'occurred_at', e.occurred_at,
               'held', exists (
                 select from private.webhook_deliveries d
                  where d.webhook_id = w.id and d.lane = hashtextextended(e.user_id::text, 0)))
               order by e.id), '[]')
        into v_fresh
        from unnest(v_page.p_events) as e
       where (w.kinds is null or e.kind = any (w.kinds))
         and (w.course_ids is null or e.course_id = any (w.course_ids));
      v_next := v_page.p_next;
      exit when v_fresh <> '[]';
      v_cursor := v_next;
      exit when v_page.p_events = '{}' or v_pages >= 20;
    end loop;
  end if;
  if v_cursor <> w.cursor then
    update private.webhooks x set cursor = v_cursor where x.id = w.id and x.cursor = w.cursor;
  elsif v_waiting || v_fresh = '[]' then
    -- Woken for what cannot be read yet, or while too much waits: not again at once.
    update private.webhooks x set run_at = v_now + interval '5 seconds' where x.id = w.id;
  end if;
  return jsonb_build_object(
    'webhook', jsonb_build_object('id', w.id, 'url', w.url,
      'secrets', jsonb_build_array(w.secret)
        || case when w.former_until > v_now then jsonb_build_array(w.former_secret) else '[]' end,
      'may_be_local', exists (
        select from private.settings s where s.name = 'webhook_local_urls' and s.value = 'on')),
    'cursor', v_cursor,
    'next', coalesce(v_next, v_cursor),
    'deliveries', v_waiting || v_fresh);
end
$$;
comment on function private.take_deliveries(uuid, integer) is
  'What an endpoint is to be sent next: {webhook, cursor, next, deliveries}; webhook is null when it shall rest.';
revoke execute on function private.take_deliveries(uuid, integer) from public;

create function private.report_deliveries(
  p_webhook_id uuid, p_cursor text, p_next text, p_results jsonb
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  w private.webhooks;
  v_moved boolean;
begin
  select * into w from private.webhooks x where x.id = p_webhook_id for no key update;
  if not found then
    return jsonb_build_object('moved', false);
  end if;
  delete from private.webhook_deliveries d
   where d.webhook_id = w.id and d.id in (
     select (r ->> 'delivery_id')::bigint from jsonb_array_elements(p_results) as r
      where r ->> 'state' = 'done');
  update private.webhook_deliveries d
     set attempts = d.attempts + 1,
         last_error = left(r ->> 'error', 500),
         run_at = v_now + private.backoff(d.attempts + 1),
         died_at = case when d.attempts + 1 >= private.webhook_tries() then v_now end
    from jsonb_array_elements(p_results) as r
   where d.webhook_id = w.id and d.id = (r ->> 'delivery_id')::bigint and r ->> 'state' = 'failed';
  -- Another worker, whose lease ended and who went on, may have reported the same page.
  v_moved := w.cursor = p_cursor;
  if v_moved then
    insert into private.webhook_deliveries
      (webhook_id, event_id, occurred_at, lane, attempts, last_error, run_at)
    select w.id, (r ->> 'event_id')::bigint, (r ->> 'occurred_at')::timestamptz,
           (r ->> 'lane')::bigint, (r ->> 'state' = 'failed')::integer, left(r ->> 'error', 500),
           case when r ->> 'state' = 'failed' then v_now + private.backoff(1) else v_now end
      from jsonb_array_elements(p_results) with ordinality as x (r, n)
     where r ->> 'delivery_id' is null and r ->> 'state' in ('failed', 'held')
     order by n
        on conflict (webhook_id, event_id) do nothing;
  end if;
  update private.webhooks x
     set cursor = case when v_moved then p_next else x.cursor end,
         failures = 0,
         last_delivered_at = case
           when jsonb_path_exists(p_results, '$[*] ? (@.state == "done")') then v_now
           else x.last_delivered_at end,
         last_error = coalesce((
           select left(r ->> 'error', 500) from jsonb_array_elements(p_results) as r
            where r ->> 'state' = 'failed' limit 1), x.last_error)
   where x.id = w.id;
  return jsonb_build_object('moved', v_moved);
end
$$;
comment on function private.report_deliveries(uuid, text, text, jsonb) is
  'What became of deliveries: [{delivery_id, event_id, occurred_at, lane, state: done, failed or held, error}].';
revoke execute on function private.report_deliveries(uuid, text, text, jsonb) from public;

create function private.rest_webhook(p_webhook_id uuid, p_error text, p_gone boolean) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  w private.webhooks;
begin
  update private.webhooks x
     set failures = x.failures + 1,
         last_error = left(p_error, 500),
         run_at = private.clock() + private.backoff(x.failures + 1),
         is_enabled = x.is_enabled and not p_gone,
         died_at = case when x.failures + 1 >= private.webhook_tries() then private.clock() end
   where x.id = p_webhook_id
  returning * into w;
  return jsonb_build_object('run_at', w.run_at, 'dead', w.died_at is not null);
end
$$;
comment on function private.rest_webhook(uuid, text, boolean) is
  'Nothing got through: the endpoint waits with all that is for it; gone: it wants no more.';
revoke execute on function private.rest_webhook(uuid, text, boolean) from public;

-- Doors --------------------------------------------------------------------------------------------------

create function public.put_webhook(
  p_url text, p_webhook_id uuid default null, p_description text default null,
  p_kinds text[] default null, p_course_ids bigint[] default null, p_is_enabled boolean default true
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.put_webhook(
    p_webhook_id, p_url, p_description, p_kinds, p_course_ids, p_is_enabled);
end;
comment on function public.put_webhook(text, uuid, text, text[], bigint[], boolean) is
  'Admins: makes or changes an endpoint. Returns {webhook, secret}, the secret only of a new one.';

create function public.list_webhooks() returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.list_webhooks(); end;
comment on function public.list_webhooks() is 'Admins: all endpoints and how they do, {webhooks}.';

create function public.delete_webhook(p_webhook_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.delete_webhook(p_webhook_id); end;
comment on function public.delete_webhook(uuid) is 'Admins: takes an endpoint away. Returns {changed}.';

create function public.rotate_webhook_secret(p_webhook_id uuid, p_hours integer default 24)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.rotate_webhook_secret(p_webhook_id, p_hours); end;
comment on function public.rotate_webhook_secret(uuid, integer) is
  'Admins: a new secret, the former one signing beside it for some hours. Returns {webhook, secret}.';

create function public.test_webhook(p_webhook_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.test_webhook(p_webhook_id); end;
comment on function public.test_webhook(uuid) is 'Admins: sends a test message. Returns {delivery_id}.';

create function public.get_webhook_deliveries(
  p_webhook_id uuid, p_cursor bigint default null, p_limit integer default 100
) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_webhook_deliveries(p_webhook_id, p_cursor, p_limit); end;
comment on function public.get_webhook_deliveries(uuid, bigint, integer) is
  'Admins: what an endpoint has not taken, by pages, {deliveries, cursor}.';

create function public.retry_webhook(p_webhook_id uuid, p_drop boolean default false) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.retry_webhook(p_webhook_id, p_drop); end;
comment on function public.retry_webhook(uuid, boolean) is
  'Admins: tries again now, or drops what was given up. Returns {deliveries}.';

create function public.take_deliveries(p_webhook_id uuid, p_limit integer default 50) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.take_deliveries(p_webhook_id, p_limit); end;
comment on function public.take_deliveries(uuid, integer) is
  'The worker: what an endpoint is to be sent, {webhook, cursor, next, deliveries}.';

create function public.report_deliveries(
  p_webhook_id uuid, p_cursor text, p_next text, p_results jsonb
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.report_deliveries(p_webhook_id, p_cursor, p_next, p_results); end;
comment on function public.report_deliveries(uuid, text, text, jsonb) is
  'The worker: what became of it. Returns {moved}, false when another had reported it.';

create function public.rest_webhook(p_webhook_id uuid, p_error text, p_gone boolean default false)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.rest_webhook(p_webhook_id, p_error, p_gone); end;
comment on function public.rest_webhook(uuid, text, boolean) is
  'The worker: an endpoint takes nothing. Returns {run_at, dead}.';

revoke execute on function
  public.put_webhook(text, uuid, text, text[], bigint[], boolean),
  public.list_webhooks(),
  public.delete_webhook(uuid),
  public.rotate_webhook_secret(uuid, integer),
  public.test_webhook(uuid),
  public.get_webhook_deliveries(uuid, bigint, integer),
  public.retry_webhook(uuid, boolean),
  public.take_deliveries(uuid, integer),
  public.report_deliveries(uuid, text, text, jsonb),
  public.rest_webhook(uuid, text, boolean)
  from public, anon, authenticated, service_role;
grant execute on function
  public.put_webhook(text, uuid, text, text[], bigint[], boolean),
  private.put_webhook(uuid, text, text, text[], bigint[], boolean),
  public.list_webhooks(),
  private.list_webhooks(),
  public.delete_webhook(uuid),
  private.delete_webhook(uuid),
  public.rotate_webhook_secret(uuid, integer),
  private.rotate_webhook_secret(uuid, integer),
  public.test_webhook(uuid),
  private.test_webhook(uuid),
  public.get_webhook_deliveries(uuid, bigint, integer),
  private.get_webhook_deliveries(uuid, bigint, integer),
  public.retry_webhook(uuid, boolean),
  private.retry_webhook(uuid, boolean)
  to authenticated, service_role;
grant execute on function
  public.take_deliveries(uuid, integer),
  private.take_deliveries(uuid, integer),
  public.report_deliveries(uuid, text, text, jsonb),
  private.report_deliveries(uuid, text, text, jsonb),
  public.rest_webhook(uuid, text, boolean),
  private.rest_webhook(uuid, text, boolean)
  to service_role;
