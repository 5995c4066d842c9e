-- A certificate's PDF, from the database's side: what the worker renders, what it reports, and who may
-- read the file in Storage. The worker itself never decides anything.

select private.require_free(array['private.certificate_rendered', 'private.render_facts']);

create function private.render_facts(p_certificate_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  c public.certificates;
  t private.certificate_templates;
begin
  select * into c from public.certificates where id = p_certificate_id;
  if c.user_id is null or c.superseded_at is not null then
    return null;
  end if;
  -- Where none is named: the operator's own default, or the one that ships with the renderer (null).
  select * into t from private.certificate_templates where name = coalesce(c.template, 'default');
  if not found and c.template is not null then
    -- Rather none than one that looks wrong: the job says so, and goes on once it is there.
    raise exception 'there is no certificate template "%"', c.template
      using errcode = 'undefined_object';
  end if;
  return jsonb_build_object(
    'certificate_id', c.id,
    'learner_name', coalesce(c.learner_name, 'Learner'),
    'course_title', c.course_title,
    'author', c.author,
    'completed_on', c.completed_on,
    'issued_on', c.issued_on,
    'issued_at', c.issued_at,
    'expires_on', (c.expires_at at time zone 'UTC')::date,
    'hours', c.hours,
    'score', c.score,
    'code', c.code,
    'template', t.source,
    'paper', coalesce(t.paper, 'a4'),
    'path', c.user_id || '/' || c.id || '.pdf');
end
$$;
comment on function private.render_facts(uuid) is
  'All that the renderer needs of a certificate; null when there is nothing to be rendered any more.';
revoke execute on function private.render_facts(uuid) from public;

-- In the transaction that ends the job. A file that was rendered while its learner was erased must not
-- stay: what the erasure had put off until the worker's lease is over happens now.
create function private.certificate_rendered(p_certificate_id uuid, p_sha256 text, p_bytes integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  c public.certificates;
begin
  select * into c from public.certificates where id = p_certificate_id for no key update;
  if c.user_id is null then
    update private.jobs
       set run_at = least(run_at, private.clock())
     where dedupe_key = 'storage.remove.late:' || p_certificate_id;
    return jsonb_build_object('certificate_id', p_certificate_id, 'outcome', 'erased');
  elsif c.rendered_at is not null and (c.pdf_sha256, c.pdf_bytes) = (p_sha256, p_bytes) then
    return jsonb_build_object('certificate_id', c.id, 'outcome', 'unchanged');
  end if;
  update public.certificates
     set pdf_path = c.user_id || '/' || c.id || '.pdf',
         pdf_sha256 = p_sha256,
         pdf_bytes = p_bytes,
         rendered_at = private.clock()
   where id = c.id;
  if c.revoked_at is null and c.superseded_at is null then
    perform private.notify(c.user_id,
      case when exists (select from public.certificates o where o.superseded_by = c.id)
        then 'certificate_reissued' else 'certificate_ready' end,
      'certificate_ready:' || c.id, c.course_id,
      jsonb_build_object('certificate_id', c.id, 'code', c.code, 'course_title', c.course_title),
      c.is_mailed);
  end if;
  return jsonb_build_object('certificate_id', c.id, 'outcome', 'rendered');
end
$$;
comment on function private.certificate_rendered(uuid, text, integer) is
  'The worker''s report that a certificate''s file is stored; tells its owner, once.';
revoke execute on function private.certificate_rendered(uuid, text, integer) from public;

-- Storage -------------------------------------------------------------------------------------------

-- Its tables belong to Supabase, and a project may do without them: then there is a warning, and what
-- follows can be run later. Only rows of the caller's own certificates open a file, so neither a path
-- nor a listing says anything about another's; a revoked one is not handed out any more.
do $$
begin
  if to_regclass('storage.objects') is null or to_regclass('storage.buckets') is null then
    raise warning 'waymark: no Storage in this project; certificates get no bucket and no policy';
    return;
  end if;
  insert into storage.buckets (id, name, public)
  values ('certificates', 'certificates', false)
      on conflict (id) do update set public = false;
  if not exists (
    select from pg_catalog.pg_policy p
     where p.polrelid = 'storage.objects'::regclass
       and p.polname = 'Learners read their own certificates')
  then
    create policy "Learners read their own certificates" on storage.objects
      for select to authenticated
      using (bucket_id = 'certificates' and name in (
        select c.pdf_path from public.certificates c
         where c.user_id = (select auth.uid()) and c.revoked_at is null));
  end if;
exception when insufficient_privilege or undefined_column then
  raise warning 'waymark: Storage refuses the bucket or the policy of certificates: %', sqlerrm
    using hint = 'docs/how-to/deploy.md has both, to be run as the owner of Storage.';
end
$$;
