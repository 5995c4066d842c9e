-- In-app messages: one row per learner and event, whatever is retried. The mail about the same event is a
-- job written beside it.

create table public.notifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  kind text not null
    constraint kind_is_valid check (kind in (
      'course_completed', 'certificate_ready', 'certificate_revoked', 'certificate_reinstated',
      'certificate_reissued', 'attempt_graded')),
  dedupe_key text not null check (char_length(dedupe_key) between 1 and 200),
  course_id bigint,
  data jsonb not null default '{}',
  read_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint one_notification_per_user_and_event unique (user_id, dedupe_key)
);
comment on table public.notifications is 'In-app messages of a learner, unique per event.';
alter table public.notifications enable row level security;
revoke all on table public.notifications from anon, authenticated, service_role;

create function private.notify(
  p_user_id uuid, p_kind text, p_dedupe_key text, p_course_id bigint, p_data jsonb,
  p_mail boolean default true
) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_notification_id uuid;
begin
  insert into public.notifications (user_id, kind, dedupe_key, course_id, data, created_at)
  values (p_user_id, p_kind, p_dedupe_key, p_course_id, p_data, private.clock())
      on conflict (user_id, dedupe_key) do nothing
  returning id into v_notification_id;
  if not found then
    return false;
  end if;
  if p_mail then
    perform private.enqueue('mail', jsonb_build_object('notification_id', v_notification_id),
      'mail:' || v_notification_id);
  end if;
  return true;
end
$$;
comment on function private.notify(uuid, text, text, bigint, jsonb, boolean) is
  'Tells a learner of an event once, and by mail too unless said otherwise; false when told before.';
revoke execute on function private.notify(uuid, text, text, bigint, jsonb, boolean) from public;
grant execute on function private.notify(uuid, text, text, bigint, jsonb, boolean) to waymark_writer;
