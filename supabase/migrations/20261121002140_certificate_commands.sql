-- What admins do with certificates: take back, give back, correct, render again, issue to those who
-- finished before certificates were switched on, and allow or deny single learners. Every command asks
-- for a reason, is audited, and does nothing the second time. The audit names no learner's name: it
-- outlives the learner.

select private.require_free(array[
  'private.clear_certificate_exception', 'private.issue_certificates', 'private.open_certificate',
  'private.reinstate_certificate', 'private.reissue_certificate', 'private.require_reason',
  'private.retry_certificate', 'private.revoke_certificate', 'private.set_certificate_exception',
  'private.tell_certificate', 'public.clear_certificate_exception', 'public.issue_certificates',
  'public.reinstate_certificate', 'public.reissue_certificate', 'public.retry_certificate',
  'public.revoke_certificate', 'public.set_certificate_exception']);

create function private.require_reason(p_reason text) returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_admin();
  perform private.check_reason(p_reason);
end
$$;
comment on function private.require_reason(text) is
  'Refuses callers who are not admins, and commands without a reason.';
revoke execute on function private.require_reason(text) from public;

create function private.open_certificate(p_certificate_id uuid, p_reason text)
returns public.certificates
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.certificates;
begin
  perform private.require_reason(p_reason);
  select * into c from public.certificates where id = p_certificate_id for no key update;
  if not found then
    perform private.fail('certificate_not_found', 404, 'Certificate not found');
  end if;
  return c;
end
$$;
comment on function private.open_certificate(uuid, text) is
  'Locks a certificate for an admin''s command with a reason, or refuses.';
revoke execute on function private.open_certificate(uuid, text) from public;

create function private.tell_certificate(c public.certificates, p_kind text) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- By the time too: what is revoked a second time is news again. Nobody is told of a stub.
  if c.user_id is not null then
    perform private.notify(c.user_id, p_kind,
      p_kind || ':' || c.id || ':' || extract(epoch from private.clock()), c.course_id,
      jsonb_strip_nulls(jsonb_build_object('certificate_id', c.id, 'code', c.code,
        'course_title', c.course_title, 'reason', c.revoked_reason)));
  end if;
end
$$;
comment on function private.tell_certificate(public.certificates, text) is
  'Tells the owner what an admin did with a certificate.';
revoke execute on function private.tell_certificate(public.certificates, text) from public;

create function private.revoke_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.certificates := private.open_certificate(p_certificate_id, p_reason);
  v_changed boolean := c.revoked_at is null;
begin
  if c.superseded_at is not null then
    perform private.fail('certificate_superseded', 409,
      'This certificate was replaced by another one',
      jsonb_build_object('superseded_by', c.superseded_by)::text);
  end if;
  if v_changed then
    update public.certificates
       set revoked_at = private.clock(), revoked_reason = p_reason, reinstated_at = null
     where id = c.id
    returning * into c;
    perform private.audit('certificate.revoke', c.course_id, c.user_id, 'certificate:' || c.id,
      p_reason, '{"revoked_at": null}', jsonb_build_object('revoked_at', c.revoked_at));
    perform private.tell_certificate(c, 'certificate_revoked');
  end if;
  return jsonb_build_object('certificate', private.certificate_json(c), 'changed', v_changed);
end
$$;
comment on function private.revoke_certificate(uuid, text) is
  'Takes a certificate back; it is not issued again by itself.';
revoke execute on function private.revoke_certificate(uuid, text) from public;

create function private.reinstate_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.certificates := private.open_certificate(p_certificate_id, p_reason);
  v_before public.certificates := c;
  v_changed boolean := c.revoked_at is not null;
begin
  if v_changed then
    update public.certificates
       set revoked_at = null, revoked_reason = null, reinstated_at = private.clock()
     where id = c.id
    returning * into c;
    perform private.audit('certificate.reinstate', c.course_id, c.user_id, 'certificate:' || c.id,
      p_reason,
      jsonb_build_object('revoked_at', v_before.revoked_at, 'reason', v_before.revoked_reason),
      '{"revoked_at": null}');
    perform private.tell_certificate(c, 'certificate_reinstated');
  end if;
  return jsonb_build_object('certificate', private.certificate_json(c), 'changed', v_changed);
end
$$;
comment on function private.reinstate_certificate(uuid, text) is 'A revoked certificate is valid again.';
revoke execute on function private.reinstate_certificate(uuid, text) from public;

-- A new snapshot in a new row with a new code: name, and title, author, hours and template where the
-- course is still there. When it was earned, and with which score, is no matter of correction.
create function private.reissue_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.certificates := private.open_certificate(p_certificate_id, p_reason);
  v_now timestamptz := private.clock();
  n public.certificates;
begin
  if c.superseded_by is not null then
    -- Asked again: the answer is what came of it.
    select * into n from public.certificates where id = c.superseded_by;
    return jsonb_build_object('certificate', private.certificate_json(n), 'changed', false);
  elsif c.user_id is null then
    perform private.fail('certificate_erased', 409, 'The learner of this certificate was erased');
  elsif c.revoked_at is not null then
    perform private.fail('certificate_revoked', 409,
      'This certificate is revoked', p_hint => 'Reinstate it first');
  end if;
  update public.certificates set superseded_at = v_now where id = c.id;
  insert into public.certificates
    (user_id, course_id, program_id, enrollment_id, cycle, code, learner_name, course_title, author, hours,
     score, completed_at, completed_on, issued_at, issued_on, expires_at, template)
  select c.user_id, c.course_id, c.program_id, c.enrollment_id, c.cycle, private.certificate_code(),
         private.printable_name(p.display_name), coalesce(k.title, c.course_title),
         case when k.id is null then c.author else k.author end,
         case when k.id is null then c.hours else k.certificate_hours end, c.score,
         c.completed_at, c.completed_on, v_now,
         (v_now at time zone coalesce(p.timezone, 'UTC'))::date, c.expires_at,
         case when k.id is null then c.template else k.certificate_template end
    from (select) as one
    left join public.profiles p on p.id = c.user_id
    left join public.courses k on k.id = c.course_id
  returning * into n;
  update public.certificates set superseded_by = n.id where id = c.id;
  perform private.enqueue('certificate.render', jsonb_build_object('certificate_id', n.id),
    'certificate.render:' || n.id, 10);
  perform private.audit('certificate.reissue', c.course_id, c.user_id, 'certificate:' || c.id,
    p_reason, jsonb_build_object('code', c.code),
    jsonb_build_object('id', n.id, 'code', n.code));
  return jsonb_build_object('certificate', private.certificate_json(n), 'changed', true);
end
$$;
comment on function private.reissue_certificate(uuid, text) is
  'Replaces a certificate by one with a new snapshot and code; the old code then says so.';
revoke execute on function private.reissue_certificate(uuid, text) from public;

create function private.retry_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.certificates := private.open_certificate(p_certificate_id, p_reason);
  v_queued boolean;
begin
  if c.superseded_at is not null then
    perform private.fail('certificate_superseded', 409,
      'This certificate was replaced by another one',
      jsonb_build_object('superseded_by', c.superseded_by)::text);
  elsif c.user_id is null then
    perform private.fail('certificate_erased', 409, 'The learner of this certificate was erased');
  end if;
  v_queued := private.enqueue('certificate.render', jsonb_build_object('certificate_id', c.id),
    'certificate.render:' || c.id, 10) is not null;
  if v_queued then
    perform private.audit('certificate.retry', c.course_id, c.user_id, 'certificate:' || c.id,
      p_reason, jsonb_build_object('rendered_at', c.rendered_at));
  end if;
  return jsonb_build_object('certificate', private.certificate_json(c), 'changed', v_queued);
end
$$;
comment on function private.retry_certificate(uuid, text) is
  'Has a certificate''s file made again; changed is false while that is queued already.';
revoke execute on function private.retry_certificate(uuid, text) from public;

-- By slices that fit the timeouts. Dates of completion are the enrolment's; the date of issue is today's.
create function private.issue_certificates(
  p_course_id bigint, p_dry_run boolean, p_mail boolean, p_cursor uuid, p_limit integer,
  p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_ids uuid[];
  v_open uuid[];
  v_eligible integer;
  v_issued integer := 0;
  v_blocked jsonb;
begin
  perform private.require_reason(case when p_dry_run then 'dry run' else p_reason end);
  if p_limit is null or p_limit not between 1 and 5000 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 5000');
  elsif not exists (select from public.courses where id = p_course_id) then
    perform private.fail('course_not_found', 404, 'Course not found');
  end if;
  if not p_dry_run then
    perform private.share_course(p_course_id);
  end if;
  v_ids := array(
    select e.id from public.enrollments e
     where e.course_id = p_course_id and (p_cursor is null or e.id > p_cursor)
     order by e.id
     limit p_limit);
  if not p_dry_run then
    perform from public.enrollments e where e.id = any (v_ids) order by e.id for no key update;
  end if;
  v_open := array(
    select e.id from public.enrollments e
     where e.id = any (v_ids) and not exists (
       select from public.certificates c
        where c.user_id = e.user_id and c.course_id = e.course_id and c.cycle = e.cycle
          and c.superseded_at is null));
  with standing as materialized (
    select s.blocks from private.certificate_standing(v_open) s
  )
  select count(*) filter (where s.blocks = '[]'), (
           select coalesce(jsonb_object_agg(t.code, t.n), '{}')
             from (
               select b ->> 'code' as code, count(*) as n
                 from standing x
                cross join lateral jsonb_array_elements(x.blocks) b
                group by b ->> 'code'
             ) as t)
    into v_eligible, v_blocked
    from standing s;
  if not p_dry_run then
    v_issued := cardinality(private.certify(v_open, p_mail));
    if v_issued > 0 then
      perform private.audit('certificate.issue', p_course_id, null, 'course:' || p_course_id,
        p_reason, null, jsonb_build_object('issued', v_issued, 'mail', p_mail,
          'after', p_cursor, 'to', v_ids[cardinality(v_ids)]));
    end if;
  end if;
  return jsonb_build_object(
    'dry_run', p_dry_run,
    'checked', cardinality(v_ids),
    'held', cardinality(v_ids) - cardinality(v_open),
    'eligible', v_eligible,
    'issued', v_issued,
    'blocked', v_blocked,
    'changed', v_issued > 0,
    'cursor', case when cardinality(v_ids) = p_limit then v_ids[p_limit] end);
end
$$;
comment on function private.issue_certificates(bigint, boolean, boolean, uuid, integer, text) is
  'Issues to learners who met the criteria before there were certificates, by slices; without mail unless asked.';
revoke execute on function private.issue_certificates(bigint, boolean, boolean, uuid, integer, text)
  from public;

create function private.set_certificate_exception(
  p_user_id uuid, p_course_id bigint, p_kind text, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_before private.certificate_exceptions;
  e public.enrollments;
  v_changed boolean;
begin
  perform private.require_reason(p_reason);
  if coalesce(p_kind, '') not in ('allow', 'deny') then
    perform private.fail('invalid_value', 422, 'kind must be allow or deny');
  end if;
  perform private.share_course(p_course_id);
  select * into e from public.enrollments
   where user_id = p_user_id and course_id = p_course_id
     for no key update;
  select * into v_before from private.certificate_exceptions
   where user_id = p_user_id and course_id = p_course_id;
  begin
    insert into private.certificate_exceptions as x (user_id, course_id, kind, reason)
    values (p_user_id, p_course_id, p_kind, p_reason)
        on conflict (user_id, course_id) do update
       set kind = excluded.kind, reason = excluded.reason
     where (x.kind, x.reason) is distinct from (excluded.kind, excluded.reason);
    v_changed := found;
  exception when foreign_key_violation then
    perform private.fail('invalid_value', 422, 'There is no such learner or no such course');
  end;
  if v_changed then
    perform private.audit('certificate.exception', p_course_id, p_user_id,
      'course:' || p_course_id, p_reason, jsonb_build_object('kind', v_before.kind),
      jsonb_build_object('kind', p_kind));
  end if;
  if e.id is not null then
    perform private.certify(array[e.id]);
  end if;
  return private.certificate_eligibility(e)
    || jsonb_build_object('exception', p_kind, 'changed', v_changed);
end
$$;
comment on function private.set_certificate_exception(uuid, bigint, text, text) is
  'Allows a learner the certificate whatever the rules say, or denies it.';
revoke execute on function private.set_certificate_exception(uuid, bigint, text, text) from public;

create function private.clear_certificate_exception(
  p_user_id uuid, p_course_id bigint, p_reason text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_before private.certificate_exceptions;
  e public.enrollments;
begin
  perform private.require_reason(p_reason);
  perform private.share_course(p_course_id);
  select * into e from public.enrollments
   where user_id = p_user_id and course_id = p_course_id
     for no key update;
  delete from private.certificate_exceptions
   where user_id = p_user_id and course_id = p_course_id
  returning * into v_before;
  if v_before.kind is not null then
    perform private.audit('certificate.exception', p_course_id, p_user_id,
      'course:' || p_course_id, p_reason, jsonb_build_object('kind', v_before.kind),
      '{"kind": null}');
  end if;
  if e.id is not null then
    perform private.certify(array[e.id]);
  end if;
  return private.certificate_eligibility(e)
    || jsonb_build_object('exception', null, 'changed', v_before.kind is not null);
end
$$;
comment on function private.clear_certificate_exception(uuid, bigint, text) is
  'Takes a learner off the allow or deny list: the rules judge again, at once.';
revoke execute on function private.clear_certificate_exception(uuid, bigint, text) from public;

-- Doors ---------------------------------------------------------------------------------------------

create function public.revoke_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.revoke_certificate(p_certificate_id, p_reason); end;
comment on function public.revoke_certificate(uuid, text) is
  'Admins: takes a certificate back. Returns {certificate, changed}.';

create function public.reinstate_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.reinstate_certificate(p_certificate_id, p_reason); end;
comment on function public.reinstate_certificate(uuid, text) is
  'Admins: a revoked certificate is valid again. Returns {certificate, changed}.';

create function public.reissue_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.reissue_certificate(p_certificate_id, p_reason); end;
comment on function public.reissue_certificate(uuid, text) is
  'Admins: replaces a certificate by one with a new snapshot and code. Returns the new one, {certificate, changed}.';

create function public.retry_certificate(p_certificate_id uuid, p_reason text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.retry_certificate(p_certificate_id, p_reason); end;
comment on function public.retry_certificate(uuid, text) is
  'Admins: has a certificate''s file made again. Returns {certificate, changed}.';

create function public.issue_certificates(
  p_course_id bigint, p_dry_run boolean default true, p_mail boolean default false,
  p_cursor uuid default null, p_limit integer default 1000, p_reason text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.issue_certificates(p_course_id, coalesce(p_dry_run, true),
    coalesce(p_mail, false), p_cursor, p_limit, p_reason);
end;
comment on function public.issue_certificates(bigint, boolean, boolean, uuid, integer, text) is
  'Admins: issues to learners who finished before, by slices; a dry run unless told, no mail unless asked.';

create function public.set_certificate_exception(
  p_user_id uuid, p_course_id bigint, p_kind text, p_reason text
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.set_certificate_exception(p_user_id, p_course_id, p_kind, p_reason);
end;
comment on function public.set_certificate_exception(uuid, bigint, text, text) is
  'Admins: allows or denies a learner the certificate of a course. Returns {eligible, blocks, certificate, exception, changed}.';

create function public.clear_certificate_exception(
  p_user_id uuid, p_course_id bigint, p_reason text
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic
  select private.clear_certificate_exception(p_user_id, p_course_id, p_reason);
end;
comment on function public.clear_certificate_exception(uuid, bigint, text) is
  'Admins: takes a learner off the allow or deny list. Returns as set_certificate_exception.';

revoke execute on function public.revoke_certificate from public, anon, authenticated, service_role;
grant execute on function public.revoke_certificate, private.revoke_certificate
  to authenticated, service_role;
revoke execute on function public.reinstate_certificate from public, anon, authenticated, service_role;
grant execute on function public.reinstate_certificate, private.reinstate_certificate
  to authenticated, service_role;
revoke execute on function public.reissue_certificate from public, anon, authenticated, service_role;
grant execute on function public.reissue_certificate, private.reissue_certificate
  to authenticated, service_role;
revoke execute on function public.retry_certificate from public, anon, authenticated, service_role;
grant execute on function public.retry_certificate, private.retry_certificate
  to authenticated, service_role;
revoke execute on function public.issue_certificates from public, anon, authenticated, service_role;
grant execute on function public.issue_certificates, private.issue_certificates
  to authenticated, service_role;
revoke execute on function public.set_certificate_exception from public, anon, authenticated, service_role;
grant execute on function public.set_certificate_exception, private.set_certificate_exception
  to authenticated, service_role;
revoke execute on function public.clear_certificate_exception from public, anon, authenticated, service_role;
grant execute on function public.clear_certificate_exception, private.clear_certificate_exception
  to authenticated, service_role;
