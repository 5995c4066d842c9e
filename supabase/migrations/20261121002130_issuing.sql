-- Issuing: in the transaction of the write that met the criteria, whichever it was. Every door that can
-- finish a course ends in private.finish_courses(), every other write that can meet a criterion in
-- private.certify(); both take sets, since a catalogue edit may finish a hundred thousand learners.
--
-- Plans are fixed, as in private.certificate_standing(). The caller holds the enrolments' rows. What makes a certificate the only one is its unique index.

select private.require_free(array[
  'private.certificate_eligibility', 'private.certify', 'private.certify_graded',
  'private.finish_courses',
  'private.get_certificate_eligibility', 'private.get_my_certificates', 'private.held_certificate',
  'private.printable_name', 'private.tg_enrollments__certificate',
  'private.tg_profiles__certificates',
  'public.get_certificate_eligibility', 'public.get_my_certificates']);

-- Forms put e-mail addresses where names belong; a certificate never shows one.
create function private.printable_name(p_name text) returns text
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return case when p_name !~ '[^\s@]@[^\s@]' then
    nullif(btrim(regexp_replace(
      regexp_replace(p_name, U&'[\200E\200F\202A-\202E\2066-\2069]', '', 'g'),
      '[\s[:cntrl:]]+', ' ', 'g')), '') end;
end
$$;
comment on function private.printable_name(text) is
  'A name as certificates print it, on one line and without marks that turn text around; null when it is none, or an e-mail address.';
revoke execute on function private.printable_name(text) from public;

create function private.certify(p_enrollment_ids uuid[], p_mail boolean default true) returns uuid[]
language plpgsql volatile security definer set search_path = ''
  set plan_cache_mode = 'force_generic_plan'
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
as $$
declare
  v_now timestamptz := private.clock();
  v_ids uuid[];
  v_issued uuid[];
begin
  v_ids := array(
    select e.id
      from unnest(p_enrollment_ids) as wanted (id)
      join public.enrollments e on e.id = wanted.id
     where not exists (
       select from public.certificates c
        where c.user_id = e.user_id and c.course_id = e.course_id and c.cycle = e.cycle
          and c.superseded_at is null));
  if v_ids = '{}' then
    return v_ids;
  end if;
  -- Somebody may be giving themselves a name just now: it is waited for, or waits for the row below.
  perform from public.profiles p
    where p.id in (select e.user_id from public.enrollments e where e.id = any (v_ids))
      and p.display_name is null
    order by p.id
      for share;
  with issued as (
    insert into public.certificates
      (user_id, course_id, enrollment_id, cycle, code, learner_name, course_title, author, hours,
       score, completed_at, completed_on, issued_at, issued_on, expires_at, template, is_mailed)
    select e.user_id, e.course_id, e.id, e.cycle, private.certificate_code(),
           private.printable_name(p.display_name), c.title, c.author, c.certificate_hours, s.score,
           d.completed_at, (d.completed_at at time zone d.zone)::date, v_now,
           (v_now at time zone d.zone)::date, s.expires_at, c.certificate_template, p_mail
      from private.certificate_standing(v_ids) s
      join public.enrollments e on e.id = s.enrollment_id
      join public.courses c on c.id = e.course_id
      left join public.profiles p on p.id = e.user_id
     cross join lateral (
       select coalesce(e.completed_at, v_now) as completed_at, coalesce(p.timezone, 'UTC') as zone
     ) as d
     where s.blocks = '[]'
     order by e.user_id
        on conflict (user_id, course_id, cycle) where superseded_at is null do nothing
    returning id
  )
  select array_agg(id) into v_issued from issued;
  -- As private.enqueue() would, in one statement. One learner does not wait behind the many of an edit
  -- or of a bulk issue.
  insert into private.jobs (kind, payload, dedupe_key, priority, run_at)
  select 'certificate.render', jsonb_build_object('certificate_id', i.id),
         'certificate.render:' || i.id,
         case when p_mail and cardinality(p_enrollment_ids) = 1 then 10 else 0 end, v_now
    from unnest(v_issued) as i (id);
  return coalesce(v_issued, '{}');
end
$$;
comment on function private.certify(uuid[], boolean) is
  'Issues the certificates that these enrolments have earned and do not have yet, and has them rendered; returns their ids.';
revoke execute on function private.certify(uuid[], boolean) from public;
grant execute on function private.certify(uuid[], boolean) to waymark_writer;

-- Only where the course asks for scores: who finished before there were certificates is not to get one
-- for going on learning (private.issue_certificates is for them).
create function private.certify_graded(v private.lesson_access) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  if v.certificate_scored and (
    (v.enrollment).completed_at is not null
    or (v.enrollment).progress_percent >= v.certificate_percent)
  then
    perform private.certify(array[(v.enrollment).id]);
  end if;
end
$$;
comment on function private.certify_graded(private.lesson_access) is
  'After a grade: it may be what the certificate has waited for.';
revoke execute on function private.certify_graded(private.lesson_access) from public;
grant execute on function private.certify_graded(private.lesson_access) to waymark_writer;

create function private.finish_courses(
  p_enrollment_ids uuid[], p_at timestamptz, p_by text default null
) returns void
language plpgsql volatile security definer set search_path = ''
  set plan_cache_mode = 'force_generic_plan'
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
as $$
declare
  v_mailed bigint;
begin
  if coalesce(p_enrollment_ids, '{}') = '{}' then
    return;
  end if;
  insert into public.progress_events
    (occurred_at, user_id, course_id, enrollment_id, cycle, kind, data)
  select p_at, e.user_id, e.course_id, e.id, e.cycle, 'course_completed',
         jsonb_strip_nulls(jsonb_build_object('by', p_by, 'snapshot', e.completion_snapshot,
           'completed_at', nullif(e.completed_at, p_at)))
    from public.enrollments e
   where e.id = any (p_enrollment_ids)
   order by e.user_id;
  perform private.certify(p_enrollment_ids);
  -- Where a certificate comes, its own mail says it all: those messages are written in one statement.
  with told as (
    select e.user_id, e.course_id, live.id as certificate_id,
           'course_completed:' || e.course_id || ':' || e.cycle as dedupe_key,
           jsonb_build_object('course_title', c.title, 'completed_at', e.completed_at,
             'certificate_id', live.id) as data
      from public.enrollments e
      join public.courses c on c.id = e.course_id
      left join public.certificates live
        on live.user_id = e.user_id and live.course_id = e.course_id and live.cycle = e.cycle
       and live.superseded_at is null
     where e.id = any (p_enrollment_ids) and e.status = 'active'
  ),
  quiet as (
    insert into public.notifications (user_id, kind, dedupe_key, course_id, data, occurred_at)
    select t.user_id, 'course_completed', t.dedupe_key, t.course_id, t.data, private.clock()
      from told t
     where t.certificate_id is not null
     order by t.user_id
        on conflict (user_id, dedupe_key) do nothing
  )
  select count(private.notify(
           t.user_id, 'course_completed', t.dedupe_key, t.course_id, t.data))
    into v_mailed
    from told t
   where t.certificate_id is null;
  if current_setting('waymark.programs', true) is distinct from 'later' then
    perform private.finish_programs(p_enrollment_ids);
  end if;
end
$$;
comment on function private.finish_courses(uuid[], timestamptz, text) is
  'What follows when courses were completed just now: history, certificate, message, programs.';
revoke execute on function private.finish_courses(uuid[], timestamptz, text) from public;
grant execute on function private.finish_courses(uuid[], timestamptz, text) to waymark_writer;

-- A learner who finished without a name to print is not kept from the certificate: the first name that
-- the profile gets completes the snapshot, and the file is made anew.
create function private.tg_profiles__certificates() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_name text := private.printable_name(new.display_name);
  v_id uuid;
begin
  for v_id in
    update public.certificates c
       set learner_name = v_name
     where c.user_id = new.id and c.learner_name is null and c.superseded_at is null
       and v_name is not null
    returning c.id
  loop
    perform private.enqueue('certificate.render', jsonb_build_object('certificate_id', v_id),
      'certificate.render.named:' || v_id, 10);
  end loop;
  return null;
end
$$;
comment on function private.tg_profiles__certificates() is
  'Fills a first name into the certificates that were issued without one.';
revoke execute on function private.tg_profiles__certificates() from public;

create trigger _800_certificates after insert or update of display_name on public.profiles
  for each row when (new.display_name is not null)
  execute function private.tg_profiles__certificates();

-- Somebody came back who had been finished, by an edit, while away.
create function private.tg_enrollments__certificate() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.certify(array[new.id]);
  return null;
end
$$;
comment on function private.tg_enrollments__certificate() is
  'Issues what only a withdrawn enrolment had blocked.';
revoke execute on function private.tg_enrollments__certificate() from public;

create trigger _800_certificate after update of status on public.enrollments
  for each row when (old.status <> 'active' and new.status = 'active')
  execute function private.tg_enrollments__certificate();

-- What learners see. Run as waymark_writer, under the owner policies ------------------------------------

create function private.held_certificate(v private.lesson_access) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if (v.enrollment).completed_at is not null
     or (v.enrollment).progress_percent >= v.certificate_percent
  then
    return (
      select private.certificate_json(c)
        from public.certificates c
       where c.user_id = (v.enrollment).user_id and c.course_id = (v.enrollment).course_id
         and c.cycle = (v.enrollment).cycle and c.superseded_at is null);
  end if;
  return null;
end
$$;
comment on function private.held_certificate(private.lesson_access) is
  'The certificate that the learner holds by now, for the answer of a write; null when none.';

create function private.certificate_eligibility(e public.enrollments) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_blocks jsonb := private.certificate_blocks(e.user_id, e.course_id);
begin
  return jsonb_build_object(
    'eligible', v_blocks = '[]',
    'blocks', v_blocks,
    'certificate', (
      select private.certificate_json(c)
        from public.certificates c
       where c.user_id = e.user_id and c.course_id = e.course_id and c.cycle = e.cycle
         and c.superseded_at is null));
end
$$;
comment on function private.certificate_eligibility(public.enrollments) is
  '{eligible, blocks, certificate} of an enrolment.';

create function private.get_certificate_eligibility(p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  e public.enrollments := private.my_enrollment(p_course_id);
begin
  return private.certificate_eligibility(e);
end
$$;
comment on function private.get_certificate_eligibility(bigint) is
  'Whether the caller has earned the course''s certificate, and what still blocks it.';

create function private.get_my_certificates(p_cursor uuid, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_after timestamptz;
begin
  if p_limit is null or p_limit not between 1 and 200 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 200');
  end if;
  if p_cursor is not null then
    select c.issued_at into v_after
      from public.certificates c
     where c.user_id = v_user_id and c.id = p_cursor;
    if not found then
      perform private.fail('invalid_value', 422, 'cursor names no certificate of yours');
    end if;
  end if;
  return (
    select jsonb_build_object(
             'certificates', coalesce(
               jsonb_agg(private.certificate_json(c) order by c.issued_at desc, c.id desc), '[]'),
             'cursor', case when count(*) = p_limit
               then (array_agg(c.id order by c.issued_at, c.id))[1] end)
      from (
        select * from public.certificates x
         where x.user_id = v_user_id
           and (p_cursor is null or (x.issued_at, x.id) < (v_after, p_cursor))
         order by x.issued_at desc, x.id desc
         limit p_limit
      ) as c);
end
$$;
comment on function private.get_my_certificates(uuid, integer) is
  'The caller''s certificates, newest first, by pages.';

create function public.get_certificate_eligibility(p_course_id bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_certificate_eligibility(p_course_id); end;
comment on function public.get_certificate_eligibility(bigint) is
  'Whether the caller has earned a course''s certificate. Returns {eligible, blocks, certificate}.';

create function public.get_my_certificates(p_cursor uuid default null, p_limit integer default 50)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_my_certificates(p_cursor, p_limit); end;
comment on function public.get_my_certificates(uuid, integer) is
  'The caller''s certificates, newest first. Returns {certificates, cursor}.';

revoke execute on function private.held_certificate from public;
revoke execute on function private.certificate_eligibility from public;
revoke execute on function private.get_certificate_eligibility from public;
revoke execute on function private.get_my_certificates from public;
revoke execute on function public.get_certificate_eligibility from public, anon, authenticated, service_role;
grant execute on function public.get_certificate_eligibility, private.get_certificate_eligibility
  to authenticated;
revoke execute on function public.get_my_certificates from public, anon, authenticated, service_role;
grant execute on function public.get_my_certificates, private.get_my_certificates to authenticated;

grant create on schema private to waymark_writer;
alter function private.held_certificate owner to waymark_writer;
alter function private.certificate_eligibility owner to waymark_writer;
alter function private.get_certificate_eligibility owner to waymark_writer;
alter function private.get_my_certificates owner to waymark_writer;
revoke create on schema private from waymark_writer;
