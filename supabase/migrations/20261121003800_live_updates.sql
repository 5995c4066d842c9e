-- Live updates: what happens to a learner is broadcast on that learner's own private channel.
--
-- Supabase Realtime delivers what `realtime.send` writes to `realtime.messages`; who may listen is decided
-- when a channel is joined, by a policy on that table. So a change costs one row here, and nothing per
-- subscriber; docs/explanation/live-updates.md says why the tables are in no publication. The schema
-- `realtime` is not ours and may be missing or refuse: then nothing is told, and nothing fails.

select private.require_free(array['private.tg_owned__tell']);
select private.hold_tables(array['public.enrollments', 'public.user_progress',
  'public.notifications', 'public.certificates']::regclass[]);

-- At commit, so that what a command changes in several rows is told once, as it is in the end: a completed
-- lesson and its enrolment are one message. A transaction tells a bounded number: whoever changes more (an
-- import, a settling job, a regrade of a course) must not pay for each learner.
create function private.tg_owned__tell() returns trigger
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_told integer := coalesce(nullif(current_setting('waymark.told', true), ''), '0');
  e public.enrollments;
  v_event text := 'progress';
  v_news jsonb;
begin
  if new.user_id is null or v_told >= 32 or to_regnamespace('realtime') is null
     or (tg_table_name = 'enrollments'
       and current_setting('waymark.told_enrollment', true) = new.id::text)
  then
    return null;
  end if;
  perform set_config('waymark.told', (v_told + 1)::text, true);
  begin
    if tg_table_name = 'notifications' then
      v_event := 'notification';
      v_news := jsonb_build_object('id', new.id, 'kind', new.kind, 'course_id', new.course_id,
        'data', new.data, 'occurred_at', new.occurred_at, 'read_at', new.read_at);
    elsif tg_table_name = 'certificates' then
      v_event := 'certificate';
      v_news := jsonb_build_object('id', new.id, 'course_id', new.course_id,
        'program_id', new.program_id, 'cycle', new.cycle, 'code', new.code,
        'status', private.certificate_status(new), 'course_title', new.course_title,
        'issued_at', new.issued_at, 'expires_at', new.expires_at,
        'is_ready', new.rendered_at is not null);
    else
      if tg_table_name = 'user_progress' then
        v_news := jsonb_build_object('lesson_id', new.lesson_id, 'course_id', new.course_id,
          'status', new.status, 'progress', new.progress, 'completed_at', new.completed_at);
      end if;
      select * into e from public.enrollments x
       where x.user_id = new.user_id and x.course_id = new.course_id;
      perform set_config('waymark.told_enrollment', e.id::text, true);
      v_news := jsonb_build_object('progress', v_news, 'enrollment', jsonb_build_object(
        'id', e.id, 'course_id', e.course_id, 'status', e.status, 'cycle', e.cycle,
        'completed_lessons', e.completed_lessons, 'total_lessons', e.total_lessons,
        'progress_percent', e.progress_percent, 'completed_at', e.completed_at,
        'expires_at', e.expires_at));
    end if;
    perform realtime.send(v_news, v_event, 'waymark:' || new.user_id, true);
  exception when others then
    raise warning 'waymark: no live update: %', sqlerrm;
  end;
  return null;
end
$$;
comment on function private.tg_owned__tell() is
  'Broadcasts what has changed of a learner on the learner''s private channel, where there is Realtime.';
revoke execute on function private.tg_owned__tell() from public;

create constraint trigger _950_tell after insert on public.user_progress
  deferrable initially deferred for each row
  when (new.status <> 'not_started') execute function private.tg_owned__tell();
create constraint trigger _950_tell_change after update on public.user_progress
  deferrable initially deferred for each row
  when (old.status is distinct from new.status) execute function private.tg_owned__tell();

-- A heartbeat changes none of these. Nor is an edit of the course told to its learners one by one: it
-- settles their enrolments from inside a trigger on the catalogue.
create constraint trigger _950_tell after insert on public.enrollments
  deferrable initially deferred for each row execute function private.tg_owned__tell();
create constraint trigger _950_tell_change after update on public.enrollments
  deferrable initially deferred for each row
  when (pg_trigger_depth() = 0
    and (old.status, old.cycle, old.completed_lessons, old.total_lessons, old.progress_percent,
         old.completed_at, old.expires_at)
      is distinct from (new.status, new.cycle, new.completed_lessons, new.total_lessons,
         new.progress_percent, new.completed_at, new.expires_at))
  execute function private.tg_owned__tell();

create constraint trigger _950_tell after insert on public.notifications
  deferrable initially deferred for each row execute function private.tg_owned__tell();
create constraint trigger _950_tell_change after update on public.notifications
  deferrable initially deferred for each row
  when (old.read_at is distinct from new.read_at) execute function private.tg_owned__tell();

create constraint trigger _950_tell after insert on public.certificates
  deferrable initially deferred for each row execute function private.tg_owned__tell();
create constraint trigger _950_tell_change after update on public.certificates
  deferrable initially deferred for each row
  when ((old.expires_at, old.revoked_at, old.superseded_at, old.rendered_at)
    is distinct from (new.expires_at, new.revoked_at, new.superseded_at, new.rendered_at))
  execute function private.tg_owned__tell();

-- Who may join. Realtime asks by a row of the wanted topic and by realtime.topic(); both must be the
-- caller's own, so that reading the table itself would show nobody else's messages either. There is no
-- policy for INSERT: learners hear on this channel, they do not speak.
do $$
begin
  if to_regclass('realtime.messages') is null then
    raise warning 'waymark: no Realtime in this project; live updates are off'
      using hint = 'docs/how-to/live-updates.md says how to turn them on later.';
    return;
  end if;
  if not exists (
    select from pg_catalog.pg_policy p
     where p.polrelid = 'realtime.messages'::regclass
       and p.polname = 'Learners hear what happens to them')
  then
    create policy "Learners hear what happens to them" on realtime.messages
      for select to authenticated
      using (extension = 'broadcast'
        and topic = 'waymark:' || (select auth.uid())::text
        and (select realtime.topic()) = 'waymark:' || (select auth.uid())::text);
  end if;
exception when insufficient_privilege or undefined_column or undefined_function then
  raise warning 'waymark: Realtime refuses the policy of live updates: %', sqlerrm
    using hint = 'docs/how-to/live-updates.md has it, to be run as the owner of realtime.messages.';
end
$$;
