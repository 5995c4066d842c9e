-- Certificates: a snapshot of who finished what and when, that no later edit of the course, the profile
-- or the account changes. Ids stand without foreign keys: the row outlives what it tells of.

select private.require_free(array[
  'private.certificate_code', 'private.certificate_json', 'private.certificate_status',
  'private.normalise_code', 'public.certificates']);

create table public.certificates (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  -- One of the two: what was completed.
  course_id bigint,
  program_id bigint,
  enrollment_id uuid,
  cycle integer not null default 1 check (cycle >= 1),
  code text not null unique
    constraint code_is_valid check (
      code ~ '^[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){3}$'),
  status_index bigint generated always as identity unique,
  learner_name text,
  course_title text not null,
  author text,
  hours numeric(7, 2) check (hours >= 0),
  score numeric(5, 2) check (score between 0 and 100),
  completed_at timestamptz not null,
  completed_on date not null,
  issued_at timestamptz not null,
  issued_on date not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  revoked_reason text check (char_length(revoked_reason) <= 2000),
  reinstated_at timestamptz,
  superseded_at timestamptz,
  superseded_by uuid references public.certificates (id) on delete set null,
  template text,
  is_mailed boolean not null default true,
  pdf_path text,
  pdf_sha256 text,
  pdf_bytes integer,
  rendered_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint course_or_program check (num_nonnulls(course_id, program_id) = 1),
  constraint superseded_has_successor check (superseded_by is null or superseded_at is not null),
  constraint revoked_has_reason check ((revoked_at is null) = (revoked_reason is null)),
  constraint rendered_has_file check (
    (rendered_at is null) = (pdf_sha256 is null) and (rendered_at is null) = (pdf_bytes is null)),
  constraint stub_has_no_person check (
    user_id is not null or (learner_name is null and enrollment_id is null and pdf_path is null))
);
comment on table public.certificates is
  'Issued certificates; the row is a snapshot and outlives course and learner.';
comment on column public.certificates.user_id is
  'Null once the learner was erased: the row is then a stub without a name.';
comment on column public.certificates.learner_name is
  'Null while the learner''s profile has no name to print; the first one that it gets is filled in, and stays.';
comment on column public.certificates.course_title is 'Title of the course, or of the program.';
comment on column public.certificates.status_index is 'Place in the published revocation list.';
comment on column public.certificates.completed_on is
  'The day of completed_at where the learner was; issued_on likewise. What is printed.';
comment on column public.certificates.revoked_at is
  'Null again once reinstated; the audit log keeps what was.';
comment on column public.certificates.is_mailed is
  'Whether a mail tells its owner that it is ready; an operator who issues many may say no.';

-- Revoked ones stand in the way too: what an admin took back is not issued again by itself.
create unique index one_certificate_per_user_course_and_cycle
  on public.certificates (user_id, course_id, cycle) where superseded_at is null;
create unique index one_certificate_per_user_and_program
  on public.certificates (user_id, program_id) where superseded_at is null;
create index certificates_user_idx on public.certificates (user_id, issued_at, id);
create index certificates_superseded_by_idx on public.certificates (superseded_by)
  where superseded_by is not null;
-- What a status list is made of.
create index certificates_void_idx on public.certificates (status_index)
  where revoked_at is not null or superseded_at is not null;
create trigger _900_touch before update on public.certificates
  for each row execute function private.tg_touch_updated_at();

alter table public.certificates enable row level security;
revoke all on table public.certificates from anon, authenticated, service_role;
revoke all on sequence public.certificates_status_index_seq from anon, authenticated, service_role;
grant select on table public.certificates to authenticated, service_role, waymark_writer;
create policy "Learners read their own certificates" on public.certificates
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

-- Codes ---------------------------------------------------------------------------------------------

-- 25 of the 30 random hex digits of a version 4 UUID, which come from the system's generator: 100 bits,
-- written as 20 letters of Crockford's alphabet (no I, L, O, U) in groups for people.
create function private.certificate_code() returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_hex text := replace(gen_random_uuid()::text, '-', '');
  v_letters constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  v_bits bit(100);
  v_five integer;
  v_code text := '';
begin
  -- The 13th and the 17th digit hold the version and the variant.
  v_bits := ('x' || left(v_hex, 12) || substr(v_hex, 18, 13))::bit(100);
  for v_group in 0..3 loop
    v_five := substring(v_bits from v_group * 25 + 1 for 25)::integer;
    v_code := v_code || '-'
      || substr(v_letters, (v_five >> 20) + 1, 1)
      || substr(v_letters, (v_five >> 15 & 31) + 1, 1)
      || substr(v_letters, (v_five >> 10 & 31) + 1, 1)
      || substr(v_letters, (v_five >> 5 & 31) + 1, 1)
      || substr(v_letters, (v_five & 31) + 1, 1);
  end loop;
  return substr(v_code, 2);
end
$$;
comment on function private.certificate_code() is 'A new verification code: 100 random bits.';
revoke execute on function private.certificate_code() from public;

create function private.normalise_code(p_code text) returns text
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
declare
  v_code text := translate(
    regexp_replace(upper(left(p_code, 200)), '[^0-9A-Z]', '', 'g'), 'ILO', '110');
begin
  return case when v_code ~ '^[0-9A-HJKMNP-TV-Z]{20}$' then
    substr(v_code, 1, 5) || '-' || substr(v_code, 6, 5) || '-' || substr(v_code, 11, 5) || '-'
      || substr(v_code, 16, 5) end;
end
$$;
comment on function private.normalise_code(text) is
  'A code as people type it, in the form in which it is stored; null when it cannot be one.';
revoke execute on function private.normalise_code(text) from public;

-- What callers see ----------------------------------------------------------------------------------

create function private.certificate_status(c public.certificates) returns text
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return case
    when c.revoked_at is not null then 'revoked'
    when c.superseded_at is not null then 'superseded'
    when c.expires_at <= private.clock() then 'expired'
    else 'valid' end;
end
$$;
comment on function private.certificate_status(public.certificates) is
  'valid, revoked, superseded or expired, as of now. The one place that says so.';
revoke execute on function private.certificate_status(public.certificates) from public;
grant execute on function private.certificate_status(public.certificates) to waymark_writer;

create function private.certificate_json(c public.certificates) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', c.id,
    'course_id', c.course_id,
    'program_id', c.program_id,
    'cycle', c.cycle,
    'code', c.code,
    'status', private.certificate_status(c),
    'learner_name', c.learner_name,
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
    'superseded_by', c.superseded_by,
    'is_ready', c.rendered_at is not null);
end
$$;
comment on function private.certificate_json(public.certificates) is
  'A certificate as its owner and admins see it.';
revoke execute on function private.certificate_json(public.certificates) from public;
grant execute on function private.certificate_json(public.certificates) to waymark_writer;
