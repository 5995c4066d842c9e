-- Notes: what a learner writes beside a course or a lesson. A plain table of its owner's, written through
-- /rest/v1; the offline batch writes it by private.put_note.
--
-- The key begins with the owner: an id that a client has chosen means nothing to anybody else, so it
-- can neither clash with another's note nor tell that there is one. References to notes carry the owner
-- too, and so lead to one's own only.

select private.require_free(array[
  'private.put_note', 'private.require_visible', 'private.tg_notes__place', 'private.tg_notes__edited',
  'private.tg_owned__limit', 'private.tg_owned__lock', 'private.export_notes', 'public.export_notes']);

-- Visibility, as the policies of courses and lessons have it, for one of them ------------------------

grant execute on function private.my_course_ids(), private.my_closed_lesson_ids() to waymark_writer;

create function private.require_visible(p_course_id bigint, p_lesson_id uuid default null)
returns bigint
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_course_id bigint := p_course_id;
  v_found boolean;
begin
  if p_lesson_id is null then
    select c.status = 'published' or c.id in (select private.my_course_ids())
      into v_found
      from public.courses c
     where c.id = p_course_id;
    if v_found is not true then
      perform private.fail('course_not_found', 404, 'Course not found');
    end if;
  else
    select l.course_id,
           l.course_id in (select private.my_course_ids())
               and l.id not in (select private.my_closed_lesson_ids())
             or l.archived_at is null and c.status = 'published'
                and (c.content_access = 'public' or l.is_preview)
      into v_course_id, v_found
      from public.lessons l
      join public.courses c on c.id = l.course_id
     where l.id = p_lesson_id and (p_course_id is null or l.course_id = p_course_id);
    if v_found is not true then
      perform private.fail('lesson_not_found', 404, 'Lesson not found');
    end if;
  end if;
  return v_course_id;
end
$$;
comment on function private.require_visible(bigint, uuid) is
  'The course of a lesson, or the course itself, that the caller may see; else 404.';
revoke execute on function private.require_visible(bigint, uuid) from public;

create table public.notes (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  -- The course's key is checked before the lesson's: deleting a course locks in this order too.
  course_id bigint not null references public.courses (id) on delete cascade,
  lesson_id uuid,
  position_seconds integer check (position_seconds between 0 and 604800),
  body text not null check (char_length(body) between 1 and 20000),
  edited_at timestamptz not null default now(),
  words tsvector not null generated always as (to_tsvector('pg_catalog.simple', body)) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, id),
  foreign key (lesson_id, course_id)
    references public.lessons (id, course_id) on update cascade on delete cascade
);
comment on table public.notes is
  'A learner''s note on a course, or on a lesson and a position in its video. Body is markdown.';
comment on column public.notes.edited_at is
  'When its author last changed it, by their device''s clock where that was offline; the newer write wins.';
comment on column public.notes.words is
  'For text search in one''s own notes: ?words=wfts(simple).…';
create index notes_lesson_idx on public.notes (lesson_id, course_id) where lesson_id is not null;
create index notes_course_idx on public.notes (course_id, user_id);

-- Owner tables are bounded ---------------------------------------------------------------------------
-- Counted once a statement, behind a lock of the owner's that comes before any row: a learner's parallel
-- requests cannot each find room. Operators' own connections have no owner and no limit.

create function private.tg_owned__lock() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if private.uid() is not null then
    perform pg_advisory_xact_lock(hashtextextended('waymark:owned:' || private.uid(), 0));
  end if;
  return null;
end
$$;
comment on function private.tg_owned__lock() is
  'One learner''s inserts into their own tables happen one after the other.';
revoke execute on function private.tg_owned__lock() from public;

create function private.tg_owned__limit() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_limit integer := tg_argv[0];
  v_full boolean;
begin
  execute format(
    'select exists (select from public.%I t where t.user_id = $1 offset $2)', tg_table_name)
    into v_full using private.uid(), v_limit;
  if v_full then
    perform private.fail('limit_reached', 409,
      format('You can keep at most %s %s', v_limit, replace(tg_table_name, '_', ' ')),
      p_hint => 'Delete what you no longer need');
  end if;
  return null;
end
$$;
comment on function private.tg_owned__limit() is
  'Refuses a learner more rows of an owner table than its trigger says.';
revoke execute on function private.tg_owned__limit() from public;

-- Triggers of notes ----------------------------------------------------------------------------------

create function private.tg_notes__place() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  new.course_id := private.require_visible(new.course_id, new.lesson_id);
  return new;
end
$$;
comment on function private.tg_notes__place() is
  'A note stands beside what its author may see; the course follows from the lesson.';
revoke execute on function private.tg_notes__place() from public;

create function private.tg_notes__edited() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  new.edited_at := greatest(old.edited_at, private.clock());
  return new;
end
$$;
comment on function private.tg_notes__edited() is 'Changing a note through the table dates it now.';
revoke execute on function private.tg_notes__edited() from public;

create trigger _000_lock before insert on public.notes
  for each statement execute function private.tg_owned__lock();
create trigger _100_place before insert on public.notes
  for each row execute function private.tg_notes__place();
-- The batch says itself when a note was written.
create trigger _200_edited before update of body, position_seconds on public.notes
  for each row
  when (current_user <> 'waymark_writer'
    and (old.body, old.position_seconds) is distinct from (new.body, new.position_seconds))
  execute function private.tg_notes__edited();
create trigger _800_limit after insert on public.notes
  for each statement execute function private.tg_owned__limit(5000);
create trigger _900_touch before update on public.notes
  for each row execute function private.tg_touch_updated_at();

alter table public.notes enable row level security;
revoke all on table public.notes from public, anon, authenticated, service_role;
grant select on table public.notes to authenticated, service_role, waymark_writer;
grant insert (id, user_id, lesson_id, course_id, position_seconds, body),
  update (position_seconds, body), delete
  on table public.notes to authenticated;
grant insert (id, user_id, lesson_id, course_id, position_seconds, body, edited_at),
  update (lesson_id, course_id, position_seconds, body, edited_at)
  on table public.notes to waymark_writer;
grant delete on table public.notes to service_role;
create policy "Learners read their own notes" on public.notes
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners write their own notes" on public.notes
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
create policy "Learners change their own notes" on public.notes
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "Learners delete their own notes" on public.notes
  for delete to authenticated using ((select auth.uid()) = user_id);

-- From the batch -------------------------------------------------------------------------------------
-- The same end state in whatever order the writes of two devices come in: the newest stands, and of two
-- of one instant the greater, so that neither device's order of sending decides. Where a lesson is given
-- the course follows from it: it may have moved while the learner was offline.

create function private.put_note(
  p_user_id uuid, p_note_id uuid, p_course_id bigint, p_lesson_id uuid, p_position_seconds integer,
  p_body text, p_at timestamptz
) returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_course_id bigint;
begin
  if p_note_id is null then
    perform private.fail('invalid_value', 422, 'A note has an id');
  elsif p_body is null or char_length(p_body) not between 1 and 20000 then
    perform private.fail('invalid_value', 422, 'A note has 1 to 20000 characters');
  elsif p_position_seconds not between 0 and 604800 then
    perform private.fail('invalid_value', 422, 'position_seconds must be between 0 and 604800');
  end if;
  v_course_id := private.require_visible(
    case when p_lesson_id is null then p_course_id end, p_lesson_id);
  -- A batch may complete a lesson of this course after it has locked rows here.
  perform private.share_course(v_course_id);
  insert into public.notes as n
    (user_id, id, course_id, lesson_id, position_seconds, body, edited_at)
  values (p_user_id, p_note_id, v_course_id, p_lesson_id, p_position_seconds, p_body,
    least(p_at, private.clock()))
      on conflict (user_id, id) do update
     set course_id = excluded.course_id,
         lesson_id = excluded.lesson_id,
         position_seconds = excluded.position_seconds,
         body = excluded.body,
         edited_at = excluded.edited_at
   where (n.edited_at, n.body, coalesce(n.position_seconds, -1), n.course_id, coalesce(n.lesson_id::text, ''))
       < (excluded.edited_at, excluded.body, coalesce(excluded.position_seconds, -1),
          excluded.course_id, coalesce(excluded.lesson_id::text, ''));
  return found;
end
$$;
comment on function private.put_note(uuid, uuid, bigint, uuid, integer, text, timestamptz) is
  'Writes a note of the caller''s under an id of the client''s choice; false when it stands already, or a newer one.';
revoke execute on function private.put_note(uuid, uuid, bigint, uuid, integer, text, timestamptz)
  from public;

-- Export ---------------------------------------------------------------------------------------------

create function private.export_notes(p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
begin
  return (
    with note as (
      select n.*, c.title as course_title, l.title as lesson_title, l.module_position, l.module_id,
             l.position as lesson_position,
             to_char(make_interval(secs => n.position_seconds), 'HH24:MI:SS') as clock
        from public.notes n
        -- Titles as the caller sees them today; a course that was taken back keeps its secrets.
        left join public.courses c on c.id = n.course_id
          and (c.status <> 'draft' or c.id in (select private.my_course_ids()))
        left join public.lessons l on l.id = n.lesson_id and c.id is not null
       where n.user_id = v_user_id and (p_course_id is null or n.course_id = p_course_id)
    ),
    placed as (
      select n.*,
             row_number() over w as place,
             n.course_id is distinct from lag(n.course_id) over w as begins_course,
             (n.course_id, n.lesson_id) is distinct from
               (lag(n.course_id) over w, lag(n.lesson_id) over w) and n.lesson_id is not null
               as begins_lesson
        from note n
      window w as (
        order by n.course_id, n.module_position nulls first, n.module_id, n.lesson_position,
          n.lesson_id nulls first, n.position_seconds nulls first, n.created_at, n.id)
    )
    select jsonb_build_object(
             'exported_at', private.clock(),
             'notes', coalesce(jsonb_agg(jsonb_build_object(
               'id', p.id, 'course_id', p.course_id, 'course_title', p.course_title,
               'lesson_id', p.lesson_id, 'lesson_title', p.lesson_title,
               'position_seconds', p.position_seconds, 'body', p.body,
               'created_at', p.created_at, 'edited_at', p.edited_at) order by p.place), '[]'),
             'markdown', coalesce(string_agg(
               case when p.begins_course then '# '
                 || regexp_replace(coalesce(p.course_title, 'Course ' || p.course_id), '\s+', ' ', 'g')
                 || e'\n\n' else '' end
               || case when p.begins_lesson then '## '
                 || regexp_replace(coalesce(p.lesson_title, 'Lesson'), '\s+', ' ', 'g')
                 || e'\n\n' else '' end
               || coalesce('**' || p.clock || e'**\n\n', '')
               || p.body, e'\n\n' order by p.place) || e'\n', ''))
      from placed p);
end
$$;
comment on function private.export_notes(bigint) is
  'The caller''s notes, of one course or all, in learning order: as JSON and as one markdown text.';

create function public.export_notes(p_course_id bigint default null) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.export_notes(p_course_id); end;
comment on function public.export_notes(bigint) is
  'The caller''s notes, of one course or all: {exported_at, notes, markdown}.';

revoke execute on function private.export_notes from public;
revoke execute on function public.export_notes from public, anon, authenticated, service_role;
grant execute on function public.export_notes, private.export_notes to authenticated;

grant create on schema private to waymark_writer;
alter function private.require_visible owner to waymark_writer;
alter function private.tg_owned__lock owner to waymark_writer;
alter function private.tg_owned__limit owner to waymark_writer;
alter function private.tg_notes__place owner to waymark_writer;
alter function private.tg_notes__edited owner to waymark_writer;
alter function private.put_note owner to waymark_writer;
alter function private.export_notes owner to waymark_writer;
revoke create on schema private from waymark_writer;
