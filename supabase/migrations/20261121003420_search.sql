-- Search: courses and lessons by full text, with what each caller may see and nothing else.
--
-- The text lies apart from the catalogue, in private.search_entries: plain (markup taken out), capped
-- (a tsvector holds 1 MB, and highlighting should not read more than a page), and indexed in the
-- language of its course. As a column of lessons the index would travel with every `select *`, and be
-- made anew whenever a lesson moves. Triggers keep it; who may see what is asked of the catalogue itself
-- at each search.

select private.require_free(array[
  'private.excerpt', 'private.highlight', 'private.plain_text', 'private.search_catalog',
  'private.search_document', 'private.search_entries', 'private.search_queries',
  'private.tg_courses__search', 'private.tg_lessons__search', 'public.search_catalog']);

-- A host may have the extension already, in a schema of its choice: what needs it looks for it.
create schema if not exists extensions;
create extension if not exists pg_trgm with schema extensions;

-- The table ------------------------------------------------------------------------------------------

-- Linear in the text, whatever it holds: authors write this. Single spaces are no match: each costs.
create function private.plain_text(p_text text) returns text
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
declare
  v_text text := left(p_text, 300000);
begin
  if v_text ~ '[]<&`*#>]' then
    v_text := regexp_replace(v_text, '!?\[([^][]*)\]\([^()[:space:]]*\)', '\1', 'g');
    v_text := regexp_replace(v_text, '<[^<>]*>|&(#?[[:alnum:]]{2,10});', ' ', 'g');
    v_text := regexp_replace(v_text, '(^|\n)[ \t]*(#{1,6}|>|[-*+])[ \t]+', '\1', 'g');
    v_text := regexp_replace(v_text, '\*\*|`+', '', 'g');
  end if;
  v_text := regexp_replace(v_text, ' *[[:cntrl:]][[:cntrl:] ]*|  +', ' ', 'g');
  return left(btrim(v_text), 100000);
end
$$;
comment on function private.plain_text(text) is
  'The words of a markdown or HTML text, on one line, at most 100,000 characters.';
revoke execute on function private.plain_text(text) from public;

-- Immutable as long as nobody changes the dictionaries that come with PostgreSQL. The language is text,
-- not regconfig: a column of that type would stop an upgrade of the server.
create function private.search_document(
  p_language text, p_title text, p_subtitle text, p_body text
) returns tsvector
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
declare
  v_config regconfig := p_language::regconfig;
begin
  return setweight(to_tsvector(v_config, coalesce(p_title, '')), 'A')
    || setweight(to_tsvector(v_config, coalesce(p_subtitle, '')), 'B')
    || setweight(to_tsvector(v_config, coalesce(p_body, '')), 'C');
end
$$;
comment on function private.search_document(text, text, text, text) is
  'The words of a title, a subtitle and a body, weighted A, B and C.';
revoke execute on function private.search_document(text, text, text, text) from public;

create table private.search_entries (
  id bigint generated always as identity primary key,
  course_id bigint not null references public.courses (id) on delete cascade,
  lesson_id uuid unique references public.lessons (id) on delete cascade,
  is_preview boolean not null default false,
  language text not null,
  title text not null,
  subtitle text,
  body text,
  heading tsvector not null
    generated always as (private.search_document(language, title, null, null)) stored,
  document tsvector not null
    generated always as (private.search_document(language, title, subtitle, body)) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table private.search_entries is
  'What search reads: one row per course (lesson_id null) and per lesson that is not archived.';
comment on column private.search_entries.heading is
  'The title''s words alone: small, so that the best matches of a common word are found without reading all.';
create unique index search_entries_course_idx on private.search_entries (course_id)
  where lesson_id is null;
create index search_entries_lessons_idx on private.search_entries (course_id);
create index search_entries_document_idx on private.search_entries using gin (document);
create index search_entries_courses_document_idx on private.search_entries using gin (document)
  where lesson_id is null;
do $$
begin
  execute format(
    'create index search_entries_title_idx on private.search_entries using gin (title %I.gin_trgm_ops)',
    (select n.nspname from pg_catalog.pg_extension e
       join pg_catalog.pg_namespace n on n.oid = e.extnamespace
      where e.extname = 'pg_trgm'));
end
$$;
alter table private.search_entries enable row level security;
revoke all on table private.search_entries from public, anon, authenticated, service_role;
revoke all on sequence private.search_entries_id_seq from public, anon, authenticated, service_role;
grant select on table private.search_entries to waymark_writer;
create policy "Search reads every entry" on private.search_entries
  for select to waymark_writer using (true);
create trigger _900_touch before update on private.search_entries
  for each row execute function private.tg_touch_updated_at();

create function private.tg_courses__search() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.search_entries (course_id, language, title, subtitle, body)
  values (new.id, new.language, regexp_replace(new.title, '[[:cntrl:]]', ' ', 'g'),
    concat_ws(', ', new.author, new.category), private.plain_text(new.description))
      on conflict (course_id) where lesson_id is null do update
     set language = excluded.language, title = excluded.title, subtitle = excluded.subtitle,
         body = excluded.body;
  if tg_op = 'UPDATE' and new.language <> old.language then
    update private.search_entries
       set language = new.language
     where course_id = new.id and lesson_id is not null;
  end if;
  return null;
end
$$;
comment on function private.tg_courses__search() is 'Keeps a course, and its lessons'' language, findable.';
revoke execute on function private.tg_courses__search() from public;

create function private.tg_lessons__search() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if new.archived_at is not null then
    delete from private.search_entries where lesson_id = new.id;
    return null;
  end if;
  insert into private.search_entries (course_id, lesson_id, is_preview, language, title, body)
  select new.course_id, new.id, new.is_preview, c.language,
         regexp_replace(new.title, '[[:cntrl:]]', ' ', 'g'), private.plain_text(new.content)
    from public.courses c
   where c.id = new.course_id
      on conflict (lesson_id) do update
     set course_id = excluded.course_id, is_preview = excluded.is_preview,
         language = excluded.language, title = excluded.title, body = excluded.body;
  return null;
end
$$;
comment on function private.tg_lessons__search() is 'Keeps a lesson findable while it is not archived.';
revoke execute on function private.tg_lessons__search() from public;

create trigger _810_search_insert after insert on public.courses
  for each row execute function private.tg_courses__search();
create trigger _810_search_update
  after update of language, title, author, category, description on public.courses
  for each row
  when ((old.language, old.title, old.author, old.category, old.description)
    is distinct from (new.language, new.title, new.author, new.category, new.description))
  execute function private.tg_courses__search();
create trigger _810_search_insert after insert on public.lessons
  for each row when (new.archived_at is null) execute function private.tg_lessons__search();
-- Two, so that lessons which change places need not compare their content.
create trigger _810_search_text after update of title, content on public.lessons
  for each row
  when ((old.title, old.content) is distinct from (new.title, new.content))
  execute function private.tg_lessons__search();
create trigger _820_search_place
  after update of module_id, course_id, is_preview, archived_at on public.lessons
  for each row
  when ((old.course_id, old.is_preview, old.archived_at is null)
    is distinct from (new.course_id, new.is_preview, new.archived_at is null))
  execute function private.tg_lessons__search();

insert into private.search_entries (course_id, language, title, subtitle, body)
select c.id, c.language, regexp_replace(c.title, '[[:cntrl:]]', ' ', 'g'),
       concat_ws(', ', c.author, c.category), private.plain_text(c.description)
  from public.courses c;
insert into private.search_entries (course_id, lesson_id, is_preview, language, title, body)
select l.course_id, l.id, l.is_preview, c.language, regexp_replace(l.title, '[[:cntrl:]]', ' ', 'g'),
       private.plain_text(l.content)
  from public.lessons l
  join public.courses c on c.id = l.course_id
 where l.archived_at is null;

-- The question ---------------------------------------------------------------------------------------

-- In each language that a course has: the words as websearch_to_tsquery reads them, or with the last one
-- as the beginning of a word, for who is still typing. Nothing of the question is ever read as tsquery
-- syntax.
create function private.search_queries(p_query text)
returns table (language text, query tsquery)
language plpgsql stable security invoker rows 2 set search_path = ''
as $$
declare
  v_query text := left(p_query, 200);
  v_last text := substring(v_query from '(?:^|[[:space:]"])([[:alnum:]]{2,})$');
  v_head text := left(v_query, -char_length(v_last));
  v_prefix tsquery;
begin
  -- Inside quotation marks words are meant as they stand.
  if v_last is not null and (char_length(v_head) - char_length(replace(v_head, '"', ''))) % 2 = 0 then
    v_prefix := to_tsquery('pg_catalog.simple', v_last || ':*');
  end if;
  return query
    with asked as materialized (
      select t.cfgname::text as name, t.oid::regconfig as config
        from pg_catalog.pg_ts_config t
       where t.cfgnamespace = 'pg_catalog'::regnamespace
         and exists (select from public.courses c where c.language = t.cfgname::text)
    ),
    read as materialized (
      select a.name,
             websearch_to_tsquery(a.config, v_query) || case
               when v_prefix is null then ''
               when btrim(v_head) = '' then v_prefix
               else websearch_to_tsquery(a.config, v_head) && v_prefix end as words
        from asked a
    )
    select r.name, r.words from read r where numnode(r.words) > 0;
exception when internal_error then
  -- PostgreSQL's parser gives up on dozens of minus signs ("tsquery stack too small").
  return;
end
$$;
comment on function private.search_queries(text) is
  'What a caller asks, in each language of the catalogue; empty when no word is left.';
revoke execute on function private.search_queries(text) from public;

-- The answer -----------------------------------------------------------------------------------------

create function private.excerpt(p_text text, p_query tsquery) returns text
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
declare
  v_words text;
  v_from integer;
begin
  select string_agg(distinct m[1], '|') into v_words
    from regexp_matches(p_query::text, '''([[:alnum:]]{2,})', 'g') as m;
  -- All that follows the first of them; regexp_instr would look for every one.
  v_from := char_length(p_text) - 200 - char_length(substring(
    p_text collate pg_catalog.pg_c_utf8 from '(?i)\m(?:' || v_words || ').*'));
  return case when v_from is null or v_from <= 1 then left(p_text, 2000)
    -- Not from the middle of a word.
    else regexp_replace(substr(p_text, v_from, 2000), '^\S*\s', '') end;
end
$$;
comment on function private.excerpt(text, tsquery) is
  'About 2,000 characters of a text around the first word asked for: highlighting all of a long one takes seconds.';
revoke execute on function private.excerpt(text, tsquery) from public;

-- Marks are control characters, which no entry holds, until everything else is escaped.
create function private.highlight(
  p_language text, p_text text, p_query tsquery, p_whole boolean
) returns text
language plpgsql stable parallel safe security invoker set search_path = ''
as $$
declare
  v_text text := coalesce(p_text, '');
begin
  if p_query is not null then
    v_text := ts_headline(p_language::regconfig, v_text, p_query,
      'StartSel=' || chr(2) || ', StopSel=' || chr(3) || case when p_whole
        then ', HighlightAll=true' else ', MaxFragments=1, MaxWords=40, MinWords=25' end);
  elsif not p_whole then
    v_text := left(v_text, 200);
  end if;
  v_text := replace(replace(replace(replace(replace(v_text,
    '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
  return replace(replace(v_text, chr(2), '<mark>'), chr(3), '</mark>');
end
$$;
comment on function private.highlight(text, text, tsquery, boolean) is
  'HTML of a text with what was asked for in <mark>; nothing of the text itself is HTML.';
revoke execute on function private.highlight(text, text, tsquery, boolean) from public;

-- What matches is found by an index, what the caller may see stays, the best thousand (titles first) are
-- ranked, and one page of them is read and highlighted. When no word matches anything, titles that look
-- alike are offered.
create function private.search_catalog(p_query text, p_after text, p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_wait integer := private.take_token('search', coalesce(
    private.uid()::text, private.client_address()));
  v_admin boolean := private.is_admin();
  v_mine bigint[];
  v_closed uuid[] := '{}';
  v_languages text[];
  v_queries tsquery[];
  v_similar boolean := coalesce(starts_with(p_after, '~'), false);
  v_after_score numeric;
  v_after_id bigint;
  v_trgm text;
  v_matches text;
  v_ids bigint[];
  v_scores numeric[];
begin
  if v_wait > 0 then
    return private.too_many('search', v_wait);
  elsif p_query is null or char_length(p_query) > 200 then
    perform private.fail('invalid_value', 422, 'A search has at most 200 characters');
  elsif p_limit is null or p_limit not between 1 and 50 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 50');
  elsif p_after !~ '^~?\d\.\d{1,6}:\d{1,18}$' then
    perform private.fail('invalid_value', 422, 'after is not the next of an answer');
  end if;
  v_after_score := split_part(ltrim(p_after, '~'), ':', 1)::numeric;
  v_after_id := split_part(p_after, ':', 2)::bigint;
  if not v_admin then
    v_mine := array(select private.my_course_ids());
    v_closed := array(select private.my_closed_lesson_ids());
  end if;
  select array_agg(q.language), array_agg(q.query) into v_languages, v_queries
    from private.search_queries(p_query) q;

  loop
    if v_similar then
      select quote_ident(n.nspname) into v_trgm
        from pg_catalog.pg_extension e
        join pg_catalog.pg_namespace n on n.oid = e.extnamespace
       where e.extname = 'pg_trgm';
      perform set_config('pg_trgm.word_similarity_threshold', '0.45', true);
      v_matches := format($sql$
        select s.id, s.course_id, s.lesson_id, s.is_preview, null::tsquery as query,
               %1$s.word_similarity($1, s.title)::numeric as weight
          from private.search_entries s
         where s.title operator(%1$s.%%>) $1
        $sql$, v_trgm);
    else
      v_matches := $sql$
        select s.id, s.course_id, s.lesson_id, s.is_preview, q.query,
               (s.heading @@ q.query)::integer::numeric as weight
          from unnest($2, $3) as q (language, query)
          join private.search_entries s on s.document @@ q.query and s.language = q.language
        $sql$;
    end if;
    execute format($sql$
      select array_agg(page.id order by page.score desc, page.id),
             array_agg(page.score order by page.score desc, page.id)
        from (
          select best.id, best.score
            from (
              select m.id, round(m.weight + coalesce(ts_rank(s.document, m.query, 1), 0)::numeric, 6)
                       as score
                from (
                  select x.*
                    from (%s) as x
                    join public.courses c on c.id = x.course_id
                   where $4 or c.id = any ($5) and (x.lesson_id is null or x.lesson_id <> all ($9))
                      or c.status = 'published'
                         and (x.lesson_id is null or x.is_preview or c.content_access = 'public')
                   order by x.weight desc, x.id
                   limit 1000
                ) as m
                join private.search_entries s on s.id = m.id
            ) as best
           where $6 is null or best.score < $6 or best.score = $6 and best.id > $7
           order by best.score desc, best.id
           limit $8 + 1
        ) as page
      $sql$, v_matches)
      into v_ids, v_scores
      using p_query, v_languages, v_queries, v_admin, v_mine, v_after_score, v_after_id, p_limit,
        v_closed;
    exit when v_ids is not null or v_similar or p_after is not null;
    v_similar := true;
  end loop;

  return jsonb_build_object(
    'similar', v_similar,
    'results', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'kind', case when l.id is null then 'course' else 'lesson' end,
               'course_id', c.id,
               'course_slug', c.slug,
               'course_title', c.title,
               'lesson_id', l.id,
               'module_id', l.module_id,
               'type', l.type,
               'title', coalesce(l.title, c.title),
               'score', found.score,
               'highlight', jsonb_build_object(
                 'title', private.highlight(s.language, s.title, q.query, true),
                 'text', private.highlight(s.language,
                   private.excerpt(coalesce(s.body, ''), q.query), q.query, false)))
               order by found.place), '[]')
        from unnest(v_ids[:p_limit], v_scores) with ordinality as found (id, score, place)
        join private.search_entries s on s.id = found.id
        join public.courses c on c.id = s.course_id
        left join public.lessons l on l.id = s.lesson_id
        left join unnest(v_languages, v_queries) as q (language, query)
          on q.language = s.language and not v_similar),
    'next', case when cardinality(v_ids) > p_limit
      then case when v_similar then '~' else '' end || v_scores[p_limit] || ':' || v_ids[p_limit] end);
end
$$;
comment on function private.search_catalog(text, text, integer) is
  'Courses and lessons that match and that the caller may see, best first, by pages.';

create function public.search_catalog(
  p_query text, p_after text default null, p_limit integer default 20
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.search_catalog(p_query, p_after, p_limit); end;
comment on function public.search_catalog(text, text, integer) is
  'Courses and lessons by full text: {similar, results, next}; highlights are safe HTML.';

revoke execute on function private.search_catalog from public;
revoke execute on function public.search_catalog from public, anon, authenticated, service_role;
grant execute on function public.search_catalog, private.search_catalog to anon, authenticated;

grant create on schema private to waymark_writer;
alter function private.search_queries owner to waymark_writer;
revoke create on schema private from waymark_writer;
