-- Rate limits: how often one caller may do what costs something.
--
-- A bucket holds `burst` tokens and fills by `per_second`. What is kept of it is one instant, that at
-- which it will be full again: taking a token moves it on. So a full bucket and no row are the same,
-- a change of the rates applies at once, and there is nothing to count down. The table is unlogged: a
-- crash gives everybody a full bucket, and no limit is worth its WAL.
--
-- A refusal is an answer, not a raise (private.too_many): a raise would roll back what the call has
-- taken. Buckets are taken from before any other lock, except `attempts`: that one comes after the
-- enrolment's row, when it is known that an attempt would really start.

select private.require_free(array[
  'private.client_address', 'private.over_limit', 'private.purge_rate_buckets',
  'private.put_secret_digest', 'private.rate_buckets', 'private.rate_limits', 'private.secrets',
  'private.settings', 'private.take_token', 'private.too_many', 'public.put_secret_digest']);

create table private.rate_limits (
  bucket text primary key check (bucket ~ '^[a-z][a-z_]{0,39}$'),
  per_second numeric not null check (per_second > 0 and per_second <= 1000000),
  burst numeric not null check (burst between 1 and 1000000000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table private.rate_limits is
  'Tokens of each bucket: as many as burst at once, per_second in the long run. Without a row: no limit.';
create trigger _900_touch before update on private.rate_limits
  for each row execute function private.tg_touch_updated_at();

-- Ordinary use stays far below: a player sends a heartbeat every 10 to 60 s from each of its tabs.
insert into private.rate_limits (bucket, per_second, burst) values
  ('view', 2, 120),       -- heartbeats of a learner
  ('batch', 10, 2000),    -- events of a learner's batches: four full ones at once
  ('search', 5, 50),      -- searches of a user or, signed out, of an address
  ('verify', 2, 60),      -- certificates looked up from an address
  ('attempts', 1, 100);   -- quiz attempts that a learner starts

create unlogged table private.rate_buckets (
  bucket text not null,
  key text not null check (char_length(key) between 1 and 200),
  full_at timestamptz not null,
  primary key (bucket, key)
) with (fillfactor = 70);
comment on table private.rate_buckets is
  'When each bucket in use will be full again; a row of the past is as good as none.';

-- Secrets that callers prove themselves with. Digests only: reading this table gives nothing away.
create table private.secrets (
  name text primary key check (name ~ '^[a-z][a-z_]{0,39}$'),
  digest bytea not null check (octet_length(digest) = 32),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table private.secrets is
  'SHA-256 of secrets shared with our own servers; proxy: functions that name a visitor''s address.';
create trigger _900_touch before update on private.secrets
  for each row execute function private.tg_touch_updated_at();

create table private.settings (
  name text primary key,
  value text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint client_header_is_known check (
    name <> 'client_header' or value in ('x-forwarded-for', 'cf-connecting-ip')),
  constraint settle_limit_is_a_number check (
    name <> 'settle_limit' or value ~ '^[0-9]{1,9}$'),
  constraint report_live_rows_is_a_number check (
    name <> 'report_live_rows' or value ~ '^[0-9]{1,9}$'),
  constraint webhook_local_urls_is_a_switch check (
    name <> 'webhook_local_urls' or value in ('on', 'off'))
);
comment on table private.settings is
  'What the operator decides. client_header: where the gateway writes a visitor''s address; settle_limit: up to how many enrolments an edit settles at once; report_live_rows: up to how many rows of progress a report counts when it is asked for; webhook_local_urls: on lets webhooks go to http and private addresses.';
create trigger _900_touch before update on private.settings
  for each row execute function private.tg_touch_updated_at();
insert into private.settings (name, value)
values ('client_header', 'x-forwarded-for'), ('settle_limit', '50000'),
  ('report_live_rows', '20000'), ('webhook_local_urls', 'off');

alter table private.rate_limits enable row level security;
alter table private.rate_buckets enable row level security;
alter table private.secrets enable row level security;
alter table private.settings enable row level security;
revoke all on table private.rate_limits, private.rate_buckets, private.secrets, private.settings
  from public, anon, authenticated, service_role;
create policy "Nobody reads limits directly" on private.rate_limits
  for select to authenticated using (false);
create policy "Nobody reads buckets directly" on private.rate_buckets
  for select to authenticated using (false);
create policy "Nobody reads secrets directly" on private.secrets
  for select to authenticated using (false);
create policy "Nobody reads settings directly" on private.settings
  for select to authenticated using (false);

create function private.take_token(p_bucket text, p_key text, p_cost numeric default 1)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_span interval;
  v_cost interval;
  v_full_at timestamptz;
begin
  -- From empty to full, and the part of it that this call takes. What costs more than a whole bucket
  -- takes all of it: it would wait for ever otherwise.
  select make_interval(secs => (l.burst / l.per_second)::double precision),
         make_interval(secs => (least(greatest(p_cost, 0), l.burst) / l.per_second)::double precision)
    into v_span, v_cost
    from private.rate_limits l
   where l.bucket = p_bucket;
  if not found then
    return 0;
  end if;
  insert into private.rate_buckets as b (bucket, key, full_at)
  values (p_bucket, p_key, v_now + v_cost)
      on conflict (bucket, key) do update
     set full_at = greatest(v_now, b.full_at) + v_cost
   where b.full_at + v_cost <= v_now + v_span;
  if found then
    return 0;
  end if;
  select b.full_at into v_full_at
    from private.rate_buckets b
   where b.bucket = p_bucket and b.key = p_key;
  -- No bucket is emptier than empty, though rates rose or a clock was set back.
  if v_full_at > v_now + v_span then
    v_full_at := v_now + v_span;
    update private.rate_buckets b
       set full_at = v_full_at
     where b.bucket = p_bucket and b.key = p_key;
  end if;
  return greatest(1, ceil(extract(epoch from v_full_at + v_cost - v_span - v_now)))::integer;
end
$$;
comment on function private.take_token(text, text, numeric) is
  'Takes tokens from a bucket: 0 when they were there, else the whole seconds to wait.';
revoke execute on function private.take_token(text, text, numeric) from public;
grant execute on function private.take_token(text, text, numeric) to waymark_writer;

create function private.over_limit(p_bucket text, p_key text) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_wait integer := private.take_token(p_bucket, p_key);
begin
  if v_wait = 0 then
    return null;
  end if;
  return jsonb_build_object('code', 'rate_limited', 'status', 429,
    'message', 'Too many requests; try again later',
    'details', jsonb_build_object('limit', p_bucket, 'retry_after_seconds', v_wait)::text,
    'headers', jsonb_build_object('Retry-After', v_wait::text));
end
$$;
comment on function private.over_limit(text, text) is
  'Takes a token; what a caller without one is told, {code, status, message, details, headers}, or null.';
revoke execute on function private.over_limit(text, text) from public;
grant execute on function private.over_limit(text, text) to waymark_writer;

create function private.too_many(p_bucket text, p_seconds integer) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  perform set_config('response.status', '429', true);
  perform set_config('response.headers',
    jsonb_build_array(jsonb_build_object('Retry-After', p_seconds::text))::text, true);
  return jsonb_build_object('code', 'rate_limited',
    'message', 'Too many requests; try again later',
    'details', jsonb_build_object('limit', p_bucket, 'retry_after_seconds', p_seconds)::text,
    'hint', null);
end
$$;
comment on function private.too_many(text, integer) is
  'The 429 of a limit, as an answer: what the call has taken stays taken.';
revoke execute on function private.too_many(text, integer) from public;
grant execute on function private.too_many(text, integer) to waymark_writer;

create function private.purge_rate_buckets(p_limit integer default 10000) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from private.rate_buckets b
   where b.ctid = any (array(
     select x.ctid from private.rate_buckets x
      where x.full_at <= private.clock()
      limit p_limit
        for update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function private.purge_rate_buckets(integer) is
  'Removes buckets that are full again; returns how many.';
revoke execute on function private.purge_rate_buckets(integer) from public;

-- Who a visitor is, for limits: never what the visitor says. Our functions vouch for an address with the
-- proxy secret; otherwise it is what the last proxy before PostgREST has seen. Everything that cannot be
-- read is one address for all.
create function private.client_address() returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_headers jsonb := nullif(current_setting('request.headers', true), '')::jsonb;
  v_text text;
  v_address inet;
begin
  if v_headers ? 'x-waymark-client' and exists (
    select from private.secrets s
     where s.name = 'proxy'
       and s.digest = sha256(convert_to(v_headers ->> 'x-waymark-proxy-secret', 'UTF8')))
  then
    v_text := v_headers ->> 'x-waymark-client';
  elsif exists (
    select from private.settings s
     where s.name = 'client_header' and s.value = 'cf-connecting-ip')
  then
    v_text := v_headers ->> 'cf-connecting-ip';
  else
    v_text := regexp_replace(v_headers ->> 'x-forwarded-for', '^.*,', '');
  end if;
  -- Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
  v_text := regexp_replace(btrim(v_text), '^(?:\[([^]]*)\](?::\d+)?|([\d.]+):\d+)$', '\1\2');
  if v_text is null or not pg_input_is_valid(v_text, 'inet') then
    return 'unknown';
  end if;
  v_address := host(v_text::inet)::inet;
  if family(v_address) = 4 then
    return host(v_address);
  elsif v_address <<= inet '::ffff:0:0/96' then
    return regexp_replace(host(v_address), '^.*:', '');
  end if;
  -- A home or a phone has a whole /64 to itself, and may take a new address for each call.
  return network(set_masklen(v_address, 64))::text;
end
$$;
comment on function private.client_address() is
  'The address that a visitor is limited by; IPv6 by its /64. See docs/explanation/security.md.';
revoke execute on function private.client_address() from public;
grant execute on function private.client_address() to waymark_writer;

create function private.put_secret_digest(p_name text, p_digest text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_changed boolean;
begin
  perform private.require_admin();
  if p_name !~ '^[a-z][a-z_]{0,39}$' or p_digest !~ '^[0-9a-f]{64}$' or p_name is null
     or p_digest is null
  then
    perform private.fail('invalid_value', 422,
      'A secret has a name of a-z and _, and a SHA-256 digest of 64 hexadecimal digits');
  end if;
  insert into private.secrets as s (name, digest) values (p_name, decode(p_digest, 'hex'))
      on conflict (name) do update set digest = excluded.digest where s.digest <> excluded.digest;
  v_changed := found;
  if v_changed then
    perform private.audit('secret.set', null, null, 'secret:' || p_name);
  end if;
  return jsonb_build_object('name', p_name, 'changed', v_changed);
end
$$;
comment on function private.put_secret_digest(text, text) is
  'Operators: stores the digest of a secret that our own servers send along.';

create function public.put_secret_digest(p_name text, p_digest text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.put_secret_digest(p_name, p_digest); end;
comment on function public.put_secret_digest(text, text) is
  'Operators: stores the SHA-256 digest of a shared secret. Returns {name, changed}.';

revoke execute on function private.put_secret_digest(text, text) from public;
revoke execute on function public.put_secret_digest(text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.put_secret_digest(text, text), private.put_secret_digest(text, text)
  to service_role;
