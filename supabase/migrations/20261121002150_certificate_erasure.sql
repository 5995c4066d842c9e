-- A learner is erased: their certificates stay as stubs without a person, so that a code on somebody's
-- wall still gets an answer; the stored files go, by jobs that the same transaction writes.

select private.require_free(array['private.tg_users__certificates']);

create function private.tg_users__certificates() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  c public.certificates;
  v_path text;
  v_lease_ends timestamptz;
begin
  for c in
    select * from public.certificates x where x.user_id = old.id order by x.id for no key update
  loop
    v_path := old.id || '/' || c.id || '.pdf';
    if c.pdf_path is not null then
      perform private.enqueue('storage.remove', jsonb_build_object('path', v_path),
        'storage.remove:' || v_path, 5);
    end if;
    -- A worker may be rendering it just now and store the file afterwards, or have died after it had stored
    -- it: so it is removed once more when every lease is over. Waiting for the jobs' rows shows them all.
    select max(j.run_at) into v_lease_ends
      from (
        select x.run_at, x.attempts from private.jobs x
         where x.dedupe_key in (
           'certificate.render:' || c.id, 'certificate.render.named:' || c.id)
           for update
      ) as j
     where j.attempts > 0;
    if v_lease_ends is not null then
      perform private.enqueue('storage.remove', jsonb_build_object('path', v_path),
        'storage.remove.late:' || c.id, 5,
        greatest(v_lease_ends, private.clock()) + interval '10 minutes');
    end if;
    update public.certificates
       set user_id = null, learner_name = null, enrollment_id = null, pdf_path = null
     where id = c.id;
  end loop;
  return null;
end
$$;
comment on function private.tg_users__certificates() is
  'Makes stubs of an erased learner''s certificates and has their files removed.';
revoke execute on function private.tg_users__certificates() from public;

create trigger waymark_certificates after delete on auth.users
  for each row execute function private.tg_users__certificates();
