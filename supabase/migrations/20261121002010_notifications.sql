-- In-app messages: one row per learner and event, whatever is retried. The mail about the same event is a
-- job written beside it; who it goes to, and whether it goes at all, is decided when it is sent.

create table public.notifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  kind text not null
    constraint kind_is_valid check (kind in (
      'course_completed', 'certificate_ready', 'certificate_revoked', 'certificate_reinstated',
      'certificate_reissued', 'attempt_graded', 'completion_expiring', 'program_completed')),
  dedupe_key text not null check (char_length(dedupe_key) between 1 and 200),
  course_id bigint,
  data jsonb not null default '{}',
  occurred_at timestamptz not null default now(),
  read_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint one_notification_per_user_and_event unique (user_id, dedupe_key)
);
comment on table public.notifications is 'In-app messages of a learner, unique per event.';
comment on column public.notifications.course_id is
  'Without foreign key: the message outlives the course.';
create index notifications_latest_idx on public.notifications (user_id, occurred_at desc, id desc);
create index notifications_unread_idx on public.notifications (user_id) where read_at is null;
create trigger _900_touch before update on public.notifications
  for each row execute function private.tg_touch_updated_at();

alter table public.notifications enable row level security;
revoke all on table public.notifications from anon, authenticated, service_role;
grant select on table public.notifications to authenticated, service_role, waymark_writer;
grant update (read_at) on table public.notifications to waymark_writer;

create policy "Learners read their own notifications" on public.notifications
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners mark their own notifications" on public.notifications
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

-- What a link in a mail shows that it is its reader's: good for ending the mails, and for nothing else.
create table private.mail_tokens (
  user_id uuid primary key references auth.users (id) on delete cascade,
  token uuid not null unique default gen_random_uuid(),
  created_at timestamptz not null default now()
);
comment on table private.mail_tokens is 'Secrets of the unsubscribe links in mails, one per learner.';
alter table private.mail_tokens enable row level security;
revoke all on table private.mail_tokens from anon, authenticated, service_role;
create policy "Nobody reads mail tokens directly" on private.mail_tokens
  for select to authenticated using (false);

create function private.notify(
  p_user_id uuid, p_kind text, p_dedupe_key text, p_course_id bigint, p_data jsonb,
  p_mail boolean default true
) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_notification_id uuid;
begin
  insert into public.notifications (user_id, kind, dedupe_key, course_id, data, occurred_at)
  values (p_user_id, p_kind, p_dedupe_key, p_course_id, coalesce(p_data, '{}'), private.clock())
      on conflict (user_id, dedupe_key) do nothing
  returning id into v_notification_id;
  if not found then
    return false;
  end if;
  if p_mail then
    insert into private.mail_tokens (user_id) values (p_user_id) on conflict do nothing;
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

-- Once for every result that staff decide: a second grading, or a regrade, that changes nothing is no
-- news. A key that was corrected may reach thousands of learners: those are told in the app alone.
create function private.tell_graded(
  p_before public.user_assessment_attempts, p_mail boolean
) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  a public.user_assessment_attempts;
begin
  select * into a from public.user_assessment_attempts where id = (p_before).id;
  if a.status <> 'graded'
     or (a.score, a.passed) is not distinct from ((p_before).score, (p_before).passed)
  then
    return;
  end if;
  perform private.notify(a.user_id, 'attempt_graded',
    'attempt_graded:' || a.id || ':' || a.score || ':' || a.passed, a.course_id,
    jsonb_build_object('attempt_id', a.id, 'lesson_id', a.lesson_id, 'score', a.score,
      'max_score', a.max_score, 'percent', a.percent, 'passed', a.passed),
    p_mail);
end
$$;
comment on function private.tell_graded(public.user_assessment_attempts, boolean) is
  'Tells a learner of a new result, given the attempt as it was before.';
revoke execute on function private.tell_graded(public.user_assessment_attempts, boolean) from public;

-- Titles and codes are a certificate's own where it is about one: the course may have another name by now.
create function private.mail_facts(p_notification_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
             'notification_id', n.id, 'kind', n.kind, 'data', n.data, 'occurred_at', n.occurred_at,
             'email', u.email, 'name', coalesce(c.learner_name, p.display_name),
             'course_id', n.course_id, 'course_title', coalesce(c.course_title, k.title),
             'certificate', case when c.id is not null then
               jsonb_build_object('id', c.id, 'code', c.code) end,
             'unsubscribe_token', t.token)
      from public.notifications n
      join auth.users u on u.id = n.user_id
      join private.mail_tokens t on t.user_id = n.user_id
      left join public.profiles p on p.id = n.user_id
      left join public.courses k on k.id = n.course_id
      left join public.certificates c on c.id = (n.data ->> 'certificate_id')::uuid
     where n.id = p_notification_id
       and u.email <> ''
       and p.mail_opt_out is not true
       -- Overtaken by events: a mail that waited must not praise what was taken back.
       and not (n.kind in ('certificate_ready', 'certificate_reinstated')
         and (c.revoked_at is not null or c.superseded_at is not null)));
end
$$;
comment on function private.mail_facts(uuid) is
  'Whom a mail goes to and what it tells; null when it should not go any more.';
revoke execute on function private.mail_facts(uuid) from public;

create function private.get_notifications(p_after uuid, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_after public.notifications;
begin
  if p_limit is null or p_limit not between 1 and 100 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 100');
  end if;
  if p_after is not null then
    select * into v_after from public.notifications n
     where n.id = p_after and n.user_id = v_user_id;
    if not found then
      perform private.fail('invalid_value', 422, 'after must be one of your own notifications');
    end if;
  end if;
  return jsonb_build_object(
    'unread', (
      select count(*) from public.notifications n
       where n.user_id = v_user_id and n.read_at is null),
    'items', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'id', x.id, 'kind', x.kind, 'course_id', x.course_id, 'data', x.data,
               'occurred_at', x.occurred_at, 'read_at', x.read_at)
               order by x.occurred_at desc, x.id desc), '[]')
        from (
          select * from public.notifications n
           where n.user_id = v_user_id
             and (p_after is null or (n.occurred_at, n.id) < (v_after.occurred_at, v_after.id))
           order by n.occurred_at desc, n.id desc
           limit p_limit
        ) as x));
end
$$;
comment on function private.get_notifications(uuid, integer) is
  'The caller''s messages, latest first, and how many are unread.';
revoke execute on function private.get_notifications(uuid, integer) from public;

create function private.mark_notifications_read(p_ids uuid[]) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_marked integer;
begin
  -- In one order, so that two tabs do not deadlock.
  perform from public.notifications n
    where n.user_id = v_user_id and n.read_at is null and (p_ids is null or n.id = any (p_ids))
    order by n.id
      for no key update;
  update public.notifications n
     set read_at = private.clock()
   where n.user_id = v_user_id and n.read_at is null and (p_ids is null or n.id = any (p_ids));
  get diagnostics v_marked = row_count;
  return jsonb_build_object(
    'marked', v_marked,
    'unread', (
      select count(*) from public.notifications n
       where n.user_id = v_user_id and n.read_at is null),
    'changed', v_marked > 0);
end
$$;
comment on function private.mark_notifications_read(uuid[]) is
  'Marks the caller''s messages read: these, or all.';
revoke execute on function private.mark_notifications_read(uuid[]) from public;

-- The same answer whatever the token: it tells nobody who is here.
create function private.unsubscribe_mail(p_token uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
begin
  insert into public.profiles as p (id, mail_opt_out)
  select t.user_id, true from private.mail_tokens t where t.token = p_token
      on conflict (id) do update set mail_opt_out = true
   where not p.mail_opt_out;
  return jsonb_build_object('unsubscribed', true);
end
$$;
comment on function private.unsubscribe_mail(uuid) is
  'Ends the mails to whom a mail''s link was sent.';
revoke execute on function private.unsubscribe_mail(uuid) from public;

grant create on schema private to waymark_writer;
alter function private.get_notifications(uuid, integer) owner to waymark_writer;
alter function private.mark_notifications_read(uuid[]) owner to waymark_writer;
revoke create on schema private from waymark_writer;

create function public.get_notifications(p_after uuid default null, p_limit integer default 20)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_notifications(p_after, p_limit); end;
comment on function public.get_notifications(uuid, integer) is
  'The caller''s messages, latest first, {unread, items}; p_after is the last one of the page before.';

create function public.mark_notifications_read(p_ids uuid[] default null) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.mark_notifications_read(p_ids); end;
comment on function public.mark_notifications_read(uuid[]) is
  'Marks the caller''s messages read, all unless ids are given. Returns {marked, unread, changed}.';

create function public.unsubscribe_mail(p_token uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.unsubscribe_mail(p_token); end;
comment on function public.unsubscribe_mail(uuid) is
  'Anyone with the token of a mail''s link: no more mails to its reader. Returns {unsubscribed}.';

revoke execute on function public.get_notifications(uuid, integer),
  public.mark_notifications_read(uuid[]), public.unsubscribe_mail(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.get_notifications(uuid, integer),
  private.get_notifications(uuid, integer),
  public.mark_notifications_read(uuid[]), private.mark_notifications_read(uuid[])
  to authenticated;
grant execute on function public.unsubscribe_mail(uuid), private.unsubscribe_mail(uuid)
  to anon, authenticated;
