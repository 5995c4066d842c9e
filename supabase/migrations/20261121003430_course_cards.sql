-- The catalogue as a site shows it: a page of course cards with the caller's own state on them, and the
-- files and links of a course, each in one call.

select private.require_free(array[
  'private.get_course_cards', 'private.get_course_resources', 'public.get_course_cards',
  'public.get_course_resources']);

-- First the page's ids, newest course first, each by an index of its own; then everything about them at
-- once. Learners keep the archived courses that they are enrolled in.
create function private.get_course_cards(
  p_search text, p_category text, p_after bigint, p_limit integer
) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.uid();
  v_before bigint := coalesce(p_after, 9223372036854775807);
  v_ids bigint[];
begin
  if p_limit is null or p_limit not between 1 and 100 then
    perform private.fail('invalid_value', 422, 'limit must be between 1 and 100');
  elsif char_length(p_search) > 200 then
    perform private.fail('invalid_value', 422, 'A search has at most 200 characters');
  end if;
  if btrim(p_search) <> '' then
    -- What matches comes first, by the index of words: walking the catalogue by id could take all of it.
    v_ids := array(
      with match as materialized (
        select s.course_id
          from private.search_queries(p_search) q
          join private.search_entries s
            on s.lesson_id is null and s.document @@ q.query and s.language = q.language
      )
      select c.id
        from match m
        join public.courses c on c.id = m.course_id
       where c.status = 'published' and c.id < v_before
         and (p_category is null or c.category = p_category)
       order by c.id desc
       limit p_limit + 1);
  elsif p_category is not null then
    v_ids := array(
      select c.id from public.courses c
       where c.status = 'published' and c.category = p_category and c.id < v_before
       order by c.id desc
       limit p_limit + 1);
  else
    v_ids := array(
      select c.id from public.courses c
       where c.status = 'published' and c.id < v_before
       order by c.id desc
       limit p_limit + 1);
  end if;
  if v_user_id is not null then
    v_ids := v_ids || array(
      select c.id
        from public.enrollments e
        join public.courses c on c.id = e.course_id
       where e.user_id = v_user_id and e.status = 'active' and c.status = 'archived'
         and c.id < v_before
         and (p_category is null or c.category = p_category)
         and (p_search is null or btrim(p_search) = '' or exists (
           select from private.search_entries s
             join private.search_queries(p_search) q
               on s.document @@ q.query and s.language = q.language
            where s.course_id = c.id and s.lesson_id is null))
       order by c.id desc
       limit p_limit + 1);
  end if;
  v_ids := array(select id from unnest(v_ids) as id order by id desc limit p_limit + 1);
  return jsonb_build_object(
    'courses', (
      select coalesce(jsonb_agg(jsonb_build_object(
               'id', c.id,
               'slug', c.slug,
               'title', c.title,
               'author', c.author,
               'category', c.category,
               'description', c.description,
               'image_url', c.image_url,
               'duration_minutes', c.duration_minutes,
               'rating', c.rating,
               'badges', c.badges,
               'collections', c.collections,
               'language', c.language,
               'status', c.status,
               'enrollment_mode', c.enrollment_mode,
               'content_access', c.content_access,
               'total_lessons', c.total_lessons,
               'is_enrolled', e.id is not null,
               'percent', e.progress_percent,
               'settling', coalesce(e.settled_version < c.settle_version, false),
               'completed_at', e.completed_at,
               'last_accessed_at', e.last_accessed_at,
               'is_saved', exists (
                 select from public.collection_items i
                  where i.course_id = c.id and i.user_id = v_user_id))
               order by c.id desc), '[]')
        from public.courses c
        left join public.enrollments e
          on e.user_id = v_user_id and e.course_id = c.id and e.status = 'active'
       where c.id = any (v_ids[:p_limit])),
    'next', case when cardinality(v_ids) > p_limit then v_ids[p_limit] end);
end
$$;
comment on function private.get_course_cards(text, text, bigint, integer) is
  'A page of the catalogue with the caller''s percent and saved flag.';

create function public.get_course_cards(
  p_search text default null, p_category text default null, p_after bigint default null,
  p_limit integer default 24
) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_course_cards(p_search, p_category, p_after, p_limit); end;
comment on function public.get_course_cards(text, text, bigint, integer) is
  'The catalogue, newest course first, with the caller''s percent and saved flag: {courses, next}.';

-- An invoker, so that the policies of the three tables decide what there is to see.
create function private.get_course_resources(p_course_id bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select jsonb_build_object(
           'course_id', c.id,
           'resources', (
             select coalesce(jsonb_agg(jsonb_build_object(
                      'id', r.id, 'title', r.title, 'url', r.url, 'kind', r.kind)
                      order by r.position, r.id), '[]')
               from public.resources r
              where r.course_id = c.id and r.lesson_id is null),
           'lessons', (
             select coalesce(jsonb_agg(owned.lesson order by owned.module_position, owned.module_id,
                      owned.position, owned.id), '[]')
               from (
                 select l.module_position, l.module_id, l.position, l.id,
                        jsonb_build_object('lesson_id', l.id, 'module_id', l.module_id,
                          'title', l.title, 'resources', jsonb_agg(jsonb_build_object(
                            'id', r.id, 'title', r.title, 'url', r.url, 'kind', r.kind)
                            order by r.position, r.id)) as lesson
                   from public.lessons l
                   join public.resources r on r.lesson_id = l.id
                  where l.course_id = c.id and l.archived_at is null
                  group by l.id
               ) as owned))
    from public.courses c
   where c.id = p_course_id;
end;
comment on function private.get_course_resources(bigint) is
  'The files and links of a course and its lessons that the caller may read; null for a course unseen.';

create function public.get_course_resources(p_course_id bigint) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_course_resources(p_course_id); end;
comment on function public.get_course_resources(bigint) is
  'Files and links of a course and its lessons: {course_id, resources, lessons}, or null.';

revoke execute on function private.get_course_cards from public;
revoke execute on function private.get_course_resources from public;
revoke execute on function public.get_course_cards from public, anon, authenticated, service_role;
grant execute on function public.get_course_cards, private.get_course_cards to anon, authenticated;
revoke execute on function public.get_course_resources from public, anon, authenticated, service_role;
grant execute on function public.get_course_resources, private.get_course_resources
  to anon, authenticated;

grant create on schema private to waymark_writer;
alter function private.get_course_cards owner to waymark_writer;
revoke create on schema private from waymark_writer;
