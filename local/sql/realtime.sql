-- What Realtime keeps in a project's database, as far as broadcasts need it: the table that they pass
-- through, the functions that write to it, its roles and grants. On hosted Supabase, and under
-- `supabase start`, Realtime makes all this itself; here local/realtime.py stands in for it. Run as
-- supabase_admin at every start, before the migrations; safe to run again.

do $$
begin
  if not exists (select from pg_roles where rolname = 'supabase_realtime_admin') then
    create role supabase_realtime_admin nologin noinherit;
  end if;
end
$$;

create schema if not exists realtime;
grant usage on schema realtime to postgres, anon, authenticated, service_role;
grant all on schema realtime to supabase_realtime_admin;

create table if not exists realtime.messages (
  id uuid not null default gen_random_uuid(),
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default now(),
  inserted_at timestamp not null default now(),
  binary_payload bytea,
  primary key (id, inserted_at),
  constraint messages_payload_exclusive check (payload is null or binary_payload is null)
) partition by range (inserted_at);
create index if not exists messages_inserted_at_topic_index
  on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to postgres, anon, authenticated, service_role;
alter table realtime.messages owner to supabase_realtime_admin;

-- The topic that a client asks to join, for policies.
create or replace function realtime.topic() returns text language sql stable as $$
  select nullif(current_setting('realtime.topic', true), '')::text
$$;

-- Runs with the rights of its caller, and never fails it.
create or replace function realtime.send(
  payload jsonb, event text, topic text, private boolean default true
) returns void
language plpgsql as $$
declare
  v_id uuid := gen_random_uuid();
begin
  execute format('set local realtime.topic to %L', send.topic);
  insert into realtime.messages (id, payload, event, topic, private, extension)
  values (v_id, jsonb_build_object('id', v_id) || send.payload, send.event, send.topic, send.private,
    'broadcast');
exception when others then
  raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;

create or replace function realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text,
  new record, old record, level text default 'ROW'
) returns void
language plpgsql as $$
begin
  if level = 'STATEMENT' then
    raise exception 'function can only be triggered for each row, not for each statement';
  end if;
  perform realtime.send(
    jsonb_build_object('old_record', old, 'record', new, 'operation', operation,
      'table', table_name, 'schema', table_schema),
    event_name, topic_name);
end
$$;

alter function realtime.topic() owner to supabase_realtime_admin;
alter function realtime.send(jsonb, text, text, boolean) owner to supabase_realtime_admin;
alter function realtime.broadcast_changes(text, text, text, text, text, record, record, text)
  owner to supabase_realtime_admin;
-- On hosted an extension lets postgres write policies on this table, as on Storage's.
grant supabase_realtime_admin to postgres;

-- Days of messages: a few ahead, and none older than three.
do $$
declare
  v_day date;
  v_old record;
begin
  for v_day in select generate_series(current_date - 1, current_date + 3, '1 day')::date loop
    if to_regclass('realtime.messages_' || to_char(v_day, 'YYYY_MM_DD')) is null then
      execute format(
        'create table realtime.%I partition of realtime.messages for values from (%L) to (%L)',
        'messages_' || to_char(v_day, 'YYYY_MM_DD'), v_day, v_day + 1);
      execute format('alter table realtime.%I owner to supabase_realtime_admin',
        'messages_' || to_char(v_day, 'YYYY_MM_DD'));
    end if;
  end loop;
  for v_old in
    select c.oid::regclass as name
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'realtime.messages'::regclass
       and c.relname < 'messages_' || to_char(current_date - 3, 'YYYY_MM_DD')
  loop
    execute format('drop table %s', v_old.name);
  end loop;
end
$$;

do $$
begin
  if not exists (
    select from pg_publication where pubname = 'supabase_realtime_messages_publication')
  then
    create publication supabase_realtime_messages_publication for table realtime.messages;
  end if;
end
$$;
