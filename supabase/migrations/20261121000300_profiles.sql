-- Profiles: what Waymark knows of a person beside auth.users. A learner's own row, written through
-- /rest/v1 by its owner.

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text check (char_length(display_name) between 1 and 200),
  timezone text not null default 'UTC',
  past_timezones jsonb not null default '[]',
  mail_opt_out boolean not null default false,
  activity_history boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.profiles is 'One row per user: name shown to staff and on certificates, time zone.';
comment on column public.profiles.timezone is
  'IANA zone in which the learner''s days are counted; an unknown one becomes UTC.';
comment on column public.profiles.past_timezones is
  'Zones left behind, oldest first, at most 50: [{until, timezone}]. What happened before counts there.';
comment on column public.profiles.mail_opt_out is 'No mails to this learner; messages in the app go on.';

comment on column public.profiles.activity_history is
  'Whether days of activity are kept, for streaks and heat maps; false forgets them and keeps no more.';

alter table public.profiles enable row level security;

-- Asking PostgreSQL for the time in that zone is the cheap test: pg_timezone_names reads a directory
-- tree. The pattern keeps out POSIX forms such as "FOO+3" and "Foo/Bar5", which PostgreSQL would accept.
create function private.known_timezone(p_timezone text) returns text
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if p_timezone is null
     or p_timezone !~ '^([A-Za-z_]+(/[A-Za-z_-]+)+|Etc/GMT[+-]?[0-9]{1,2})$' then
    return 'UTC';
  end if;
  perform now() at time zone p_timezone;
  return p_timezone;
exception when invalid_parameter_value then
  return 'UTC';
end
$$;
comment on function private.known_timezone(text) is 'The IANA zone as given, or UTC when unknown.';
revoke execute on function private.known_timezone(text) from public;

-- A zone that has counted a day is remembered with the instant it was left, so that what a client reports
-- late still counts in the zone of its time. Before the first day there is nothing to remember: the site
-- has only now learnt where its learner is.
create function private.tg_profiles__timezone() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  new.timezone := private.known_timezone(new.timezone);
  -- Not in one condition: profiles are made below, before there is a table of days to ask.
  if tg_op = 'UPDATE' and new.timezone <> old.timezone then
    if exists (select from public.daily_activity d where d.user_id = new.id) then
      new.past_timezones := old.past_timezones
        || jsonb_build_object('until', private.clock(), 'timezone', old.timezone);
      if jsonb_array_length(new.past_timezones) > 50 then
        new.past_timezones := new.past_timezones - 0;
      end if;
    end if;
  end if;
  return new;
end
$$;
comment on function private.tg_profiles__timezone() is
  'A bad time zone becomes UTC; one that has counted days is kept among the past ones.';
revoke execute on function private.tg_profiles__timezone() from public;

create trigger _100_timezone before insert or update of timezone on public.profiles
  for each row execute function private.tg_profiles__timezone();
create trigger _900_touch before update on public.profiles
  for each row execute function private.tg_touch_updated_at();

create function private.display_name(p_meta jsonb) returns text
language sql immutable security invoker set search_path = ''
as $$
  select nullif(btrim(left(coalesce(
    p_meta ->> 'display_name', p_meta ->> 'full_name', p_meta ->> 'name'), 200)), '')
$$;
comment on function private.display_name(jsonb) is 'The name a sign-up form put into user metadata.';
revoke execute on function private.display_name(jsonb) from public;

-- A sign-up must never fail because of us: whatever goes wrong here is a warning in the log, and
-- the learner can still insert the row later.
create function private.tg_users__profile() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into public.profiles (id, display_name, timezone)
  values (
    new.id,
    private.display_name(new.raw_user_meta_data),
    coalesce(new.raw_user_meta_data ->> 'timezone', 'UTC'))
  on conflict (id) do nothing;
  return null;
exception when others then
  raise warning 'waymark: no profile for a new user: %', sqlerrm;
  return null;
end
$$;
comment on function private.tg_users__profile() is 'Makes the profile at sign-up; cannot fail it.';
revoke execute on function private.tg_users__profile() from public;

create trigger waymark_profile after insert on auth.users
  for each row execute function private.tg_users__profile();

insert into public.profiles (id, display_name, timezone)
select id, private.display_name(raw_user_meta_data),
       coalesce(raw_user_meta_data ->> 'timezone', 'UTC')
  from auth.users
    on conflict (id) do nothing;

revoke all on table public.profiles from anon, authenticated, service_role;
grant select on table public.profiles to authenticated, service_role, waymark_writer;
grant insert (id, display_name, timezone, mail_opt_out, activity_history)
  on table public.profiles to authenticated, service_role;
grant update (display_name, timezone, mail_opt_out, activity_history)
  on table public.profiles to authenticated, service_role;

create policy "Users read their own profile" on public.profiles
  for select to authenticated, waymark_writer using ((select auth.uid()) = id);
create policy "Users insert their own profile" on public.profiles
  for insert to authenticated with check ((select auth.uid()) = id);
create policy "Users update their own profile" on public.profiles
  for update to authenticated
  using ((select auth.uid()) = id) with check ((select auth.uid()) = id);
