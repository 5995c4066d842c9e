
-- Demo people of the local stack, who sign in with the password "waymark-demo": three learners of
-- the demo course, and admin@example.com, an admin. Never for a project on the internet.

insert into auth.users
  (id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token,
   recovery_token, email_change, email_change_token_new, raw_app_meta_data, raw_user_meta_data,
   created_at, updated_at)
select d.id, 'authenticated', 'authenticated', d.email,
       extensions.crypt('waymark-demo', extensions.gen_salt('bf', 10)), now(), '', '', '', '',
       jsonb_build_object('provider', 'email', 'providers', '["email"]'::jsonb) || d.claims,
       jsonb_build_object('display_name', d.name, 'timezone', d.zone), now(), now()
  from (values
    ('00000000-0000-4000-8000-000000000001'::uuid, 'ada@example.com', 'Ada Demo',
     'Europe/London', '{}'::jsonb),
    ('00000000-0000-4000-8000-000000000002', 'chandra@example.com', 'Chandra Demo',
     'Asia/Kolkata', '{}'),
    ('00000000-0000-4000-8000-000000000003', 'mary@example.com', 'Mary Demo',
     'America/New_York', '{}'),
    ('00000000-0000-4000-8000-000000000009', 'admin@example.com', 'Admin Demo',
     'UTC', '{"waymark_role": "admin"}')
  ) as d (id, email, name, zone, claims)
    on conflict do nothing;

insert into auth.identities
  (id, provider, provider_id, user_id, identity_data, created_at, updated_at)
select u.id, 'email', u.id::text, u.id,
       jsonb_build_object('sub', u.id, 'email', u.email, 'email_verified', true), now(), now()
  from auth.users u
 where u.id::text like '00000000-0000-4000-8000-00000000000_'
    on conflict do nothing;

-- Supabase's own Auth server looks for the instance; the one of our local stack has no such column.
do $$
begin
  if exists (
    select from information_schema.columns
     where table_schema = 'auth' and table_name = 'users' and column_name = 'instance_id')
  then
    execute $sql$
      update auth.users set instance_id = '00000000-0000-0000-0000-000000000000'
       where instance_id is null and id::text like '00000000-0000-4000-8000-00000000000_'
    $sql$;
  end if;
end
$$;

insert into public.enrollments (user_id, course_id)
select u.id, c.id
  from auth.users u
 cross join public.courses c
 where u.id::text like '00000000-0000-4000-8000-00000000000_'
   and u.raw_app_meta_data ->> 'waymark_role' is null
   and c.slug = 'reading-maps'
    on conflict do nothing;
