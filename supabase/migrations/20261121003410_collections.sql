-- Collections: what a learner has saved, courses and notes. "Is saved" comes from here, never from
-- progress. Plain owner tables, written through /rest/v1.
--
-- Something saved without naming a collection goes into the learner's default one, which is made when it is
-- first needed. Keys carry the owner, as those of notes do.

select private.require_free(array['private.tg_collection_items__place']);

create table public.collections (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  name text not null check (char_length(name) between 1 and 100),
  is_default boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, id),
  constraint one_name_per_collection unique (user_id, name)
);
comment on table public.collections is 'A learner''s named list of saved courses and notes.';
comment on column public.collections.is_default is
  'Where things go that are saved without naming a collection; made when first needed.';
create unique index one_default_collection_idx on public.collections (user_id) where is_default;

create table public.collection_items (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  collection_id uuid not null,
  course_id bigint references public.courses (id) on delete cascade,
  note_id uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, id),
  constraint course_or_note check (num_nonnulls(course_id, note_id) = 1),
  constraint saved_once_per_collection
    unique nulls not distinct (user_id, collection_id, course_id, note_id),
  foreign key (user_id, collection_id)
    references public.collections (user_id, id) on delete cascade,
  foreign key (note_id, user_id) references public.notes (id, user_id) on delete cascade
);
comment on table public.collection_items is 'A course or a note in a collection.';
create index collection_items_course_idx on public.collection_items (course_id, user_id)
  where course_id is not null;
create index collection_items_note_idx on public.collection_items (note_id, user_id)
  where note_id is not null;

create function private.tg_collection_items__place() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if new.course_id is not null then
    perform private.require_visible(new.course_id);
  end if;
  if new.collection_id is null then
    select c.id into new.collection_id
      from public.collections c
     where c.user_id = new.user_id and c.is_default;
    if not found then
      insert into public.collections (user_id, name, is_default) values (new.user_id, 'Saved', true)
          on conflict (user_id, name) do update set is_default = true
      returning id into new.collection_id;
    end if;
  end if;
  return new;
end
$$;
comment on function private.tg_collection_items__place() is
  'Saves what its owner may see, into the default collection unless another is named.';
revoke execute on function private.tg_collection_items__place() from public;

create trigger _000_lock before insert on public.collections
  for each statement execute function private.tg_owned__lock();
create trigger _800_limit after insert on public.collections
  for each statement execute function private.tg_owned__limit(100);
create trigger _900_touch before update on public.collections
  for each row execute function private.tg_touch_updated_at();
create trigger _000_lock before insert on public.collection_items
  for each statement execute function private.tg_owned__lock();
create trigger _100_place before insert on public.collection_items
  for each row execute function private.tg_collection_items__place();
create trigger _800_limit after insert on public.collection_items
  for each statement execute function private.tg_owned__limit(5000);

alter table public.collections enable row level security;
alter table public.collection_items enable row level security;
revoke all on table public.collections, public.collection_items
  from public, anon, authenticated, service_role;

grant select on table public.collections to authenticated, service_role, waymark_writer;
grant insert (id, user_id, name), update (name), delete on table public.collections to authenticated;
grant insert (user_id, name, is_default), update (is_default)
  on table public.collections to waymark_writer;
grant delete on table public.collections to service_role;
create policy "Learners read their own collections" on public.collections
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners make their own collections" on public.collections
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
create policy "Learners rename their own collections" on public.collections
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "Learners delete their own collections" on public.collections
  for delete to authenticated using ((select auth.uid()) = user_id);

grant select on table public.collection_items to authenticated, service_role, waymark_writer;
grant insert (id, user_id, collection_id, course_id, note_id), delete
  on table public.collection_items to authenticated;
grant delete on table public.collection_items to service_role;
create policy "Learners read what they saved" on public.collection_items
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners save for themselves" on public.collection_items
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy "Learners take out what they saved" on public.collection_items
  for delete to authenticated using ((select auth.uid()) = user_id);

grant create on schema private to waymark_writer;
alter function private.tg_collection_items__place owner to waymark_writer;
revoke create on schema private from waymark_writer;
