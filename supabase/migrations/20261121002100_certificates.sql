-- Certificates: a snapshot of who finished what and when, that no later edit of the course, the profile
-- or the account changes. Ids stand without foreign keys: the row outlives what it tells of.

create table public.certificates (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  course_id bigint not null,
  enrollment_id uuid,
  cycle integer not null default 1 check (cycle >= 1),
  code text not null unique,
  status_index bigint generated always as identity unique,
  learner_name text,
  course_title text not null,
  author text,
  hours numeric(7, 2) check (hours >= 0),
  score numeric(5, 2) check (score between 0 and 100),
  completed_at timestamptz not null,
  issued_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  revoked_reason text check (char_length(revoked_reason) <= 2000),
  reinstated_at timestamptz,
  superseded_at timestamptz,
  superseded_by uuid references public.certificates (id) on delete set null,
  template text,
  pdf_path text,
  pdf_sha256 text,
  pdf_bytes integer,
  rendered_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint superseded_has_successor check (superseded_by is null or superseded_at is not null)
);
comment on table public.certificates is 'Issued certificates; the row is a snapshot and outlives course and learner.';
comment on column public.certificates.user_id is 'Null once the learner was erased: the row is then a stub without a name.';
comment on column public.certificates.status_index is 'Place in the published revocation list.';

-- Revoked ones stand in the way too: what an admin took back is not issued again by itself.
create unique index one_certificate_per_user_course_and_cycle
  on public.certificates (user_id, course_id, cycle) where superseded_at is null;
alter table public.certificates enable row level security;
revoke all on table public.certificates from anon, authenticated, service_role;
