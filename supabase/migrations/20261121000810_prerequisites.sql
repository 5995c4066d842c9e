-- What must be done before a lesson, a module or a course opens, and whom it opens for at another time.
--
-- Prerequisites are rows of three tables; dates and `sequential` are columns of the catalogue. None of
-- it is asked where courses.has_rules and courses.sequential are false, which triggers see to.
--
-- No lesson may wait for itself, by whatever way: a check follows every new row. What could close a ring
-- together waits for one another first, for the last of all advisory locks (see the settling migration).

create table public.lesson_prerequisites (
  lesson_id uuid not null,
  requires_lesson_id uuid not null references public.lessons (id) on delete cascade,
  -- The lesson's course; follows it when it moves.
  course_id bigint not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (lesson_id, requires_lesson_id),
  constraint lesson_prerequisites_lesson_fkey foreign key (lesson_id, course_id)
    references public.lessons (id, course_id) on update cascade on delete cascade
);
comment on table public.lesson_prerequisites is 'A lesson opens when the lessons that it requires are completed.';
create index lesson_prerequisites_course_idx on public.lesson_prerequisites (course_id, lesson_id);
create index lesson_prerequisites_requires_idx on public.lesson_prerequisites (requires_lesson_id);

create table public.module_prerequisites (
  module_id uuid not null,
  requires_module_id uuid not null references public.modules (id) on delete cascade,
  course_id bigint not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (module_id, requires_module_id),
  constraint module_prerequisites_module_fkey foreign key (module_id, course_id)
    references public.modules (id, course_id) on update cascade on delete cascade
);
comment on table public.module_prerequisites is 'A module opens when the modules that it requires are completed.';
create index module_prerequisites_course_idx on public.module_prerequisites (course_id, module_id);
create index module_prerequisites_requires_idx on public.module_prerequisites (requires_module_id);

create table public.course_prerequisites (
  course_id bigint not null references public.courses (id) on delete cascade,
  requires_course_id bigint not null references public.courses (id) on delete cascade,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (course_id, requires_course_id)
);
comment on table public.course_prerequisites is
  'A course opens, for enrolment and for work, when the courses that it requires are completed.';
create index course_prerequisites_requires_idx on public.course_prerequisites (requires_course_id);

create table public.access_overrides (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  module_id uuid references public.modules (id) on delete cascade,
  lesson_id uuid references public.lessons (id) on delete cascade,
  available_from timestamptz not null check (isfinite(available_from)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint one_module_or_lesson check (num_nonnulls(module_id, lesson_id) = 1),
  unique (user_id, module_id),
  unique (user_id, lesson_id)
);
comment on table public.access_overrides is
  'When a module or lesson with dates opens for one learner, whatever its dates say.';
create index access_overrides_module_idx on public.access_overrides (module_id)
  where module_id is not null;
create index access_overrides_lesson_idx on public.access_overrides (lesson_id)
  where lesson_id is not null;

create trigger _900_touch before update on public.lesson_prerequisites
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.module_prerequisites
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.course_prerequisites
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.access_overrides
  for each row execute function private.tg_touch_updated_at();

-- Who reads and writes ------------------------------------------------------------------------------
-- Prerequisites are part of the catalogue, as modules are. A row is made and taken away, never changed.

alter table public.lesson_prerequisites enable row level security;
alter table public.module_prerequisites enable row level security;
alter table public.course_prerequisites enable row level security;
alter table public.access_overrides enable row level security;
revoke all on table public.lesson_prerequisites, public.module_prerequisites,
  public.course_prerequisites, public.access_overrides
  from public, anon, authenticated, service_role;

-- lesson_prerequisites
grant select on table public.lesson_prerequisites to anon, authenticated, service_role, waymark_writer;
grant insert (lesson_id, requires_lesson_id, course_id), delete
  on table public.lesson_prerequisites to service_role;
create policy "Anyone reads the lesson prerequisites of published courses"
  on public.lesson_prerequisites
  for select to anon using (course_id in (select c.id from public.courses c));
create policy "Users read the lesson prerequisites of courses they see"
  on public.lesson_prerequisites
  for select to authenticated using (course_id in (select c.id from public.courses c));
create policy "The write path reads every lesson prerequisite" on public.lesson_prerequisites
  for select to waymark_writer using (true);

-- module_prerequisites
grant select on table public.module_prerequisites to anon, authenticated, service_role, waymark_writer;
grant insert (module_id, requires_module_id, course_id), delete
  on table public.module_prerequisites to service_role;
create policy "Anyone reads the module prerequisites of published courses"
  on public.module_prerequisites
  for select to anon using (course_id in (select c.id from public.courses c));
create policy "Users read the module prerequisites of courses they see"
  on public.module_prerequisites
  for select to authenticated using (course_id in (select c.id from public.courses c));
create policy "The write path reads every module prerequisite" on public.module_prerequisites
  for select to waymark_writer using (true);

-- course_prerequisites
grant select on table public.course_prerequisites to anon, authenticated, service_role, waymark_writer;
grant insert (course_id, requires_course_id), delete
  on table public.course_prerequisites to service_role;
create policy "Anyone reads the prerequisites of published courses" on public.course_prerequisites
  for select to anon using (course_id in (select c.id from public.courses c));
create policy "Users read the prerequisites of courses they see" on public.course_prerequisites
  for select to authenticated using (course_id in (select c.id from public.courses c));
create policy "The write path reads every course prerequisite" on public.course_prerequisites
  for select to waymark_writer using (true);

-- access_overrides
grant select on table public.access_overrides to authenticated, service_role, waymark_writer;
grant insert (user_id, module_id, lesson_id, available_from), update (available_from), delete
  on table public.access_overrides to service_role;
create policy "Learners read their own overrides" on public.access_overrides
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);

-- Rings ---------------------------------------------------------------------------------------------

-- One step: what must be done for this to be done. Nodes are named kind:id.
create function private.requirements_of(p_nodes text[]) returns table (node text, requires text)
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return query
  with nodes as materialized (
    select n.name, split_part(n.name, ':', 1) as kind, split_part(n.name, ':', 2) as id
      from unnest(p_nodes) as n (name)
  ),
  asked_lessons as materialized (
    select n.name, l.id, l.course_id, l.module_id, l.module_position, l.position,
           c.sequential and l.is_countable as in_sequence
      from nodes n
      join public.lessons l on l.id = case when n.kind = 'lesson' then n.id::uuid end
      join public.courses c on c.id = l.course_id
  )
  select a.name, 'lesson:' || r.requires_lesson_id
    from asked_lessons a
    join public.lesson_prerequisites r on r.lesson_id = a.id
  union all
  select a.name, 'module:' || r.requires_module_id
    from asked_lessons a
    join public.module_prerequisites r on r.module_id = a.module_id
  union all
  select a.name, 'course:' || r.requires_course_id
    from asked_lessons a
    join public.course_prerequisites r on r.course_id = a.course_id
  union all
  -- Of a sequential course the farthest of these waits for all that the others wait for.
  select far.name, 'lesson:' || l.id
    from (
      select distinct on (a.course_id) a.*
        from asked_lessons a
       where a.in_sequence
       order by a.course_id, a.module_position desc, a.module_id desc, a.position desc, a.id desc
    ) as far
    join public.lessons l
      on l.course_id = far.course_id and l.is_countable
     and (l.module_position, l.module_id, l.position, l.id)
       < (far.module_position, far.module_id, far.position, far.id)
  union all
  select n.name, 'module:' || r.requires_module_id
    from nodes n
    join public.module_prerequisites r on r.module_id = case when n.kind = 'module' then n.id::uuid end
  union all
  select n.name, 'lesson:' || l.id
    from nodes n
    join public.lessons l on l.module_id = case when n.kind = 'module' then n.id::uuid end
   where l.is_countable
  union all
  select n.name, 'course:' || r.requires_course_id
    from nodes n
    join public.course_prerequisites r
      on r.course_id = case when n.kind = 'course' then n.id::bigint end
  union all
  select n.name, 'module:' || m.id
    from nodes n
    join public.modules m on m.course_id = case when n.kind = 'course' then n.id::bigint end
   where m.total_lessons > 0;
end
$$;
comment on function private.requirements_of(text[]) is
  'What these lessons, modules and courses wait for, one step on, by every kind of rule.';
revoke execute on function private.requirements_of(text[]) from public;

-- Level by level, each node once: a shortest way, however many ways there are.
create function private.prerequisite_path(p_from text, p_to text[]) returns text[]
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_asked jsonb := jsonb_build_object(p_from, null);
  v_level text[] := array[p_from];
  v_new jsonb;
  v_path text[];
begin
  while not v_asked ?| p_to loop
    select coalesce(jsonb_object_agg(step.requires, step.node), '{}') into v_new
      from (
        select distinct on (r.requires) r.requires, r.node
          from private.requirements_of(v_level) r
         where not v_asked ? r.requires
         order by r.requires, r.node
      ) as step;
    if v_new = '{}' then
      return null;
    end if;
    v_asked := v_asked || v_new;
    v_level := array(select jsonb_object_keys(v_new));
  end loop;
  v_path := array(
    select t.node from unnest(p_to) with ordinality as t (node, n)
     where v_asked ? t.node order by t.n limit 1);
  while v_path[1] <> p_from loop
    v_path := (v_asked ->> v_path[1]) || v_path;
  end loop;
  return v_path;
end
$$;
comment on function private.prerequisite_path(text, text[]) is
  'The shortest way on which the first waits for one of the others; null when it does not.';
revoke execute on function private.prerequisite_path(text, text[]) from public;

-- What a module or course requires, its lessons wait for: a ring may lead through one of them only.
create function private.refuse_ring(p_node text, p_requires text) returns void
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_kind text := split_part(p_node, ':', 1);
  v_id text := split_part(p_node, ':', 2);
  v_path text[] := private.prerequisite_path(p_requires, p_node || array(
    select 'lesson:' || l.id from public.lessons l
     where l.module_id = case when v_kind = 'module' then v_id::uuid end
        or l.course_id = case when v_kind = 'course' then v_id::bigint end
     order by l.module_position, l.module_id, l.position, l.id));
  v_ring jsonb;
begin
  if v_path is null then
    return;
  end if;
  select jsonb_agg(jsonb_build_object(
           'kind', split_part(x.node, ':', 1),
           'id', case when c.id is null then to_jsonb(split_part(x.node, ':', 2)) else to_jsonb(c.id) end,
           'title', coalesce(l.title, m.title, c.title)) order by x.n)
    into v_ring
    from unnest(v_path[cardinality(v_path)] || v_path[:cardinality(v_path) - 1])
           with ordinality as x (node, n)
    left join public.lessons l on 'lesson:' || l.id = x.node
    left join public.modules m on 'module:' || m.id = x.node
    left join public.courses c on 'course:' || c.id = x.node;
  perform private.fail('prerequisite_cycle', 409,
    'These prerequisites would wait for one another, and none could be begun',
    jsonb_build_object('cycle', v_ring)::text,
    'details names the cycle: each waits for the next, the last for the first');
end
$$;
comment on function private.refuse_ring(text, text) is
  'Refuses a prerequisite that waits for what requires it, and names the ring.';
revoke execute on function private.refuse_ring(text, text) from public;

create function private.tg_prerequisites__lock() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('waymark:prerequisites', 0));
  return null;
end
$$;
comment on function private.tg_prerequisites__lock() is
  'New prerequisites wait for one another until commit: two of them could close a ring that neither sees.';
revoke execute on function private.tg_prerequisites__lock() from public;

create function private.tg_lesson_prerequisites__course() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  new.course_id := coalesce(new.course_id, (
    select l.course_id from public.lessons l where l.id = new.lesson_id));
  return new;
end
$$;
comment on function private.tg_lesson_prerequisites__course() is 'Fills course_id from the lesson.';
revoke execute on function private.tg_lesson_prerequisites__course() from public;

create function private.tg_module_prerequisites__course() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  new.course_id := coalesce(new.course_id, (
    select m.course_id from public.modules m where m.id = new.module_id));
  return new;
end
$$;
comment on function private.tg_module_prerequisites__course() is 'Fills course_id from the module.';
revoke execute on function private.tg_module_prerequisites__course() from public;

-- Most courses require what comes earlier in them, and then no way leads back: one look at all of a
-- course's rows instead of a search for each.
create function private.is_in_order(p_course_id bigint) returns boolean
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return not exists (
      select from public.course_prerequisites r where r.course_id = p_course_id)
    and not exists (
      select from public.lesson_prerequisites r
        join public.lessons l on l.id = r.lesson_id
        join public.lessons o on o.id = r.requires_lesson_id
       where r.course_id = p_course_id
         and (o.course_id <> p_course_id
              or (o.module_position, o.module_id, o.position, o.id)
                 >= (l.module_position, l.module_id, l.position, l.id)))
    and not exists (
      select from public.module_prerequisites r
        join public.modules m on m.id = r.module_id
        join public.modules o on o.id = r.requires_module_id
       where r.course_id = p_course_id
         and (o.course_id <> p_course_id or (o.position, o.id) >= (m.position, m.id)));
end
$$;
comment on function private.is_in_order(bigint) is
  'Whether all that a course''s lessons and modules require comes before them in this course.';
revoke execute on function private.is_in_order(bigint) from public;

create function private.tg_prerequisites__ring() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_kind text := tg_argv[0];
  v_course_ids bigint[] := array(select distinct n.course_id from new_rows n);
  v_course_id bigint;
  r record;
begin
  -- One by one: in a query the planner would ask again for every row.
  foreach v_course_id in array v_course_ids loop
    continue when private.is_in_order(v_course_id);
    for r in
      select v_kind || ':' || (x.body ->> (v_kind || '_id')) as node,
             v_kind || ':' || (x.body ->> ('requires_' || v_kind || '_id')) as requires
        from (select to_jsonb(n) as body from new_rows n where n.course_id = v_course_id) as x
    loop
      perform private.refuse_ring(r.node, r.requires);
    end loop;
  end loop;
  return null;
end
$$;
comment on function private.tg_prerequisites__ring() is 'Refuses rings, whichever door a row came by.';
revoke execute on function private.tg_prerequisites__ring() from public;

create function private.tg_prerequisites__fixed() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  raise exception 'a prerequisite is made and taken away, never changed'
    using errcode = 'check_violation';
end
$$;
comment on function private.tg_prerequisites__fixed() is
  'Leaves one way for new prerequisites to come: the one that looks for rings.';
revoke execute on function private.tg_prerequisites__fixed() from public;

-- Order, place and what counts close rings too. Every ring has a prerequisite in it, and one that an edit
-- of a course closes has one of that course's.
create function private.refuse_rings(p_course_id bigint) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  r record;
begin
  if private.is_in_order(p_course_id) then
    return;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('waymark:prerequisites', 0));
  for r in
    select 'lesson:' || x.lesson_id as node, 'lesson:' || x.requires_lesson_id as requires
      from public.lesson_prerequisites x where x.course_id = p_course_id
    union all
    select 'module:' || x.module_id, 'module:' || x.requires_module_id
      from public.module_prerequisites x where x.course_id = p_course_id
    union all
    select 'course:' || x.course_id, 'course:' || x.requires_course_id
      from public.course_prerequisites x where x.course_id = p_course_id
  loop
    perform private.refuse_ring(r.node, r.requires);
  end loop;
end
$$;
comment on function private.refuse_rings(bigint) is
  'Refuses an edit that closed a ring through any prerequisite of this course.';
revoke execute on function private.refuse_rings(bigint) from public;

create function private.tg_lessons__rings() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_course_ids bigint[];
  v_course_id bigint;
begin
  -- An import edits first and says later what requires what; then it looks by itself.
  if current_setting('waymark.rings_later', true) = 'on' then
    return null;
  elsif tg_op = 'INSERT' then
    v_course_ids := array(select distinct n.course_id from new_rows n order by 1);
  else
    v_course_ids := array(
      select distinct n.course_id
        from new_rows n
        join old_rows o on o.id = n.id
       where (n.course_id, n.module_id, n.module_position, n.position, n.is_countable)
         is distinct from (o.course_id, o.module_id, o.module_position, o.position, o.is_countable)
       order by 1);
  end if;
  foreach v_course_id in array v_course_ids loop
    perform private.refuse_rings(v_course_id);
  end loop;
  return null;
end
$$;
comment on function private.tg_lessons__rings() is
  'Looks for rings where lessons came, counted or moved, by themselves or with their module.';
revoke execute on function private.tg_lessons__rings() from public;

create function private.tg_courses__rings() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if current_setting('waymark.rings_later', true) is distinct from 'on' then
    perform private.refuse_rings(new.id);
  end if;
  return null;
end
$$;
comment on function private.tg_courses__rings() is 'Looks for rings in a course that becomes sequential.';
revoke execute on function private.tg_courses__rings() from public;

create trigger _820_rings_insert after insert on public.lessons
  referencing new table as new_rows
  for each statement execute function private.tg_lessons__rings();
create trigger _820_rings_update after update on public.lessons
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.tg_lessons__rings();
create trigger _820_rings after update of sequential on public.courses
  for each row when (new.sequential and not old.sequential)
  execute function private.tg_courses__rings();

create trigger _000_edit before insert or update or delete on public.lesson_prerequisites
  for each statement execute function private.tg_catalog__edit();
create trigger _000_edit before insert or update or delete on public.module_prerequisites
  for each statement execute function private.tg_catalog__edit();
create trigger _000_edit before insert or update or delete on public.course_prerequisites
  for each statement execute function private.tg_catalog__edit();
-- By name behind the editors.
create trigger _010_lock before insert on public.lesson_prerequisites
  for each statement execute function private.tg_prerequisites__lock();
create trigger _010_lock before insert on public.module_prerequisites
  for each statement execute function private.tg_prerequisites__lock();
create trigger _010_lock before insert on public.course_prerequisites
  for each statement execute function private.tg_prerequisites__lock();
create trigger _100_course before insert on public.lesson_prerequisites
  for each row execute function private.tg_lesson_prerequisites__course();
create trigger _100_course before insert on public.module_prerequisites
  for each row execute function private.tg_module_prerequisites__course();
create trigger _800_ring after insert on public.lesson_prerequisites
  referencing new table as new_rows
  for each statement execute function private.tg_prerequisites__ring('lesson');
create trigger _110_fixed before update on public.lesson_prerequisites
  for each row
  when ((old.lesson_id, old.requires_lesson_id) is distinct from (new.lesson_id, new.requires_lesson_id))
  execute function private.tg_prerequisites__fixed();
create trigger _800_ring after insert on public.module_prerequisites
  referencing new table as new_rows
  for each statement execute function private.tg_prerequisites__ring('module');
create trigger _110_fixed before update on public.module_prerequisites
  for each row
  when ((old.module_id, old.requires_module_id) is distinct from (new.module_id, new.requires_module_id))
  execute function private.tg_prerequisites__fixed();
create trigger _800_ring after insert on public.course_prerequisites
  referencing new table as new_rows
  for each statement execute function private.tg_prerequisites__ring('course');
create trigger _110_fixed before update on public.course_prerequisites
  for each row
  when ((old.course_id, old.requires_course_id) is distinct from (new.course_id, new.requires_course_id))
  execute function private.tg_prerequisites__fixed();

-- The flag ------------------------------------------------------------------------------------------

create function private.tg_catalog__rules() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_course_ids bigint[];
begin
  if tg_op = 'INSERT' then
    v_course_ids := array(select distinct n.course_id from new_rows n);
  elsif tg_op = 'DELETE' then
    v_course_ids := array(select distinct o.course_id from old_rows o);
  else
    v_course_ids := array(
      select o.course_id from old_rows o union select n.course_id from new_rows n);
  end if;
  update public.courses c
     set has_rules = not c.has_rules
   where c.id = any (v_course_ids)
     and c.has_rules <> (
       exists (
         select from public.lessons l
          where l.course_id = c.id
            and (l.available_from is not null or l.available_after_days is not null
                 or l.available_after_previous_days is not null))
       or exists (
         select from public.modules m
          where m.course_id = c.id
            and (m.available_from is not null or m.available_after_days is not null
                 or m.available_after_previous_days is not null))
       or exists (select from public.lesson_prerequisites r where r.course_id = c.id)
       or exists (select from public.module_prerequisites r where r.course_id = c.id)
       or exists (select from public.course_prerequisites r where r.course_id = c.id));
  return null;
end
$$;
comment on function private.tg_catalog__rules() is
  'Keeps courses.has_rules, for whatever table holds a rule and a course_id.';
revoke execute on function private.tg_catalog__rules() from public;

create trigger _810_rules_insert after insert on public.modules
  referencing new table as new_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_update after update on public.modules
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_delete after delete on public.modules
  referencing old table as old_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_insert after insert on public.lessons
  referencing new table as new_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_update after update on public.lessons
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_delete after delete on public.lessons
  referencing old table as old_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_insert after insert on public.lesson_prerequisites
  referencing new table as new_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_delete after delete on public.lesson_prerequisites
  referencing old table as old_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_insert after insert on public.module_prerequisites
  referencing new table as new_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_delete after delete on public.module_prerequisites
  referencing old table as old_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_insert after insert on public.course_prerequisites
  referencing new table as new_rows
  for each statement execute function private.tg_catalog__rules();
create trigger _810_rules_delete after delete on public.course_prerequisites
  referencing old table as old_rows
  for each statement execute function private.tg_catalog__rules();
