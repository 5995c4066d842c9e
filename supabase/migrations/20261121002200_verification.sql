-- What anyone may ask of a certificate: whether the code on it is good, and which places of the
-- published status list are void. Both tell the snapshot and nothing of the account behind it.

select private.require_free(array[
  'private.get_certificate_pdf', 'private.get_status_list', 'private.status_list_size',
  'private.verify_certificate', 'public.get_certificate_pdf', 'public.get_status_list',
  'public.verify_certificate']);

-- The smallest list that the Bitstring Status List specification allows: whoever fetches one does not say
-- which of so many certificates it is about.
create function private.status_list_size() returns integer
language sql immutable parallel safe security invoker set search_path = ''
as $$ select 131072 $$;
comment on function private.status_list_size() is 'Places in each published status list.';
revoke execute on function private.status_list_size() from public;

-- Guessing is what this is limited against, so a miss takes its token too: it is an answer, not a raise
-- that would give the token back. Known, unknown and impossible codes pass through the same statement.
create function private.verify_certificate(p_code text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_wait integer := private.take_token('verify', private.client_address());
  v_facts jsonb;
begin
  if v_wait > 0 then
    return private.too_many('verify', v_wait);
  end if;
  select jsonb_build_object(
           'code', c.code,
           'status', private.certificate_status(c),
           'learner_name', c.learner_name,
           'is_erased', c.user_id is null,
           'course_id', c.course_id,
           'program_id', c.program_id,
           'course_title', c.course_title,
           'author', c.author,
           'hours', c.hours,
           'score', c.score,
           'completed_at', c.completed_at,
           'completed_on', c.completed_on,
           'issued_at', c.issued_at,
           'issued_on', c.issued_on,
           'expires_at', c.expires_at,
           'revoked_at', c.revoked_at,
           'revoked_reason', c.revoked_reason,
           'superseded_at', c.superseded_at,
           'superseded_by', s.code,
           'status_list', c.status_index / private.status_list_size(),
           'status_index', c.status_index % private.status_list_size())
    into v_facts
    from public.certificates c
    left join public.certificates s on s.id = c.superseded_by
   where c.code = coalesce(private.normalise_code(p_code), '');
  if v_facts is null then
    perform set_config('response.status', '404', true);
    return jsonb_build_object('code', 'certificate_not_found',
      'message', 'Certificate not found', 'details', null, 'hint', null);
  end if;
  return v_facts;
end
$$;
comment on function private.verify_certificate(text) is
  'The snapshot behind a code and whether it is good, for anyone; limited by address.';

create function private.get_status_list(p_list bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_size integer := private.status_list_size();
  v_void jsonb;
begin
  -- The first one is there before any certificate.
  if p_list is null or p_list <> 0 and (p_list not between 0 and 1000000000 or not exists (
    select from public.certificates c where c.status_index >= p_list * v_size))
  then
    perform private.fail('status_list_not_found', 404, 'Status list not found');
  end if;
  select coalesce(jsonb_agg(c.status_index % v_size order by c.status_index), '[]')
    into v_void
    from public.certificates c
   where c.status_index >= p_list * v_size and c.status_index < (p_list + 1) * v_size
     and (c.revoked_at is not null or c.superseded_at is not null);
  return jsonb_build_object('list', p_list, 'size', v_size, 'void', v_void);
end
$$;
comment on function private.get_status_list(bigint) is
  'The places of revoked and superseded certificates in one status list, for anyone.';

create function private.get_certificate_pdf(p_certificate_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  c public.certificates;
begin
  select * into c from public.certificates
   where id = p_certificate_id and user_id = v_user_id;
  if c.id is null then
    perform private.fail('certificate_not_found', 404, 'Certificate not found');
  elsif c.revoked_at is not null then
    perform private.fail('certificate_revoked', 409, 'The certificate was revoked',
      c.revoked_reason);
  elsif c.rendered_at is null then
    perform private.fail('certificate_not_ready', 409, 'The certificate is still being made',
      null, null, '{"Retry-After": "2"}');
  end if;
  return jsonb_build_object('path', c.pdf_path, 'code', c.code);
end
$$;
comment on function private.get_certificate_pdf(uuid) is
  'Where in Storage the caller''s own certificate lies.';

create function public.verify_certificate(p_code text) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.verify_certificate(p_code); end;
comment on function public.verify_certificate(text) is
  'Whether a certificate''s code is good: status and snapshot, or 404. Anyone may ask.';

create function public.get_status_list(p_list bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_status_list(p_list); end;
comment on function public.get_status_list(bigint) is
  'Revoked and superseded places of one status list: {list, size, void}. Anyone may ask.';

create function public.get_certificate_pdf(p_certificate_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_certificate_pdf(p_certificate_id); end;
comment on function public.get_certificate_pdf(uuid) is
  'The path of the caller''s own PDF in Storage; 409 while it is being made.';

revoke execute on function private.verify_certificate from public;
revoke execute on function private.get_status_list from public;
revoke execute on function private.get_certificate_pdf from public;

revoke execute on function public.verify_certificate from public, anon, authenticated, service_role;
grant execute on function public.verify_certificate, private.verify_certificate
  to anon, authenticated, service_role;
revoke execute on function public.get_status_list from public, anon, authenticated, service_role;
grant execute on function public.get_status_list, private.get_status_list
  to anon, authenticated, service_role;
revoke execute on function public.get_certificate_pdf from public, anon, authenticated, service_role;
grant execute on function public.get_certificate_pdf, private.get_certificate_pdf to authenticated;

grant create on schema private to waymark_writer;
alter function private.get_certificate_pdf owner to waymark_writer;
revoke create on schema private from waymark_writer;
