-- Course import: makes a course equal to a document (docs/reference/course-format.md), for admins.
--
-- One more door of the catalogue edits: it locks the course, writes only what differs, and leaves
-- counters to the settling triggers. Rows are found by slug, so an edited document updates in place
-- and progress stays. Lessons that the document no longer has are archived. Rows made by hand have
-- no slug and are left alone.
--
-- bin/admin checks a file in full and in words for its author; what is checked here is what must
-- never be wrong, whoever calls.
--
-- Quizzes, and the lessons' columns about them, come in later migrations: private.import_quizzes, which
-- write_course calls, writes them.

-- Reading the document ------------------------------------------------------------------------------

create function private.elements(p_list jsonb)
returns table (place integer, body jsonb)
language sql immutable security invoker set search_path = ''
as $$
  select (e.n - 1)::integer, e.value
    from jsonb_array_elements(
      case when jsonb_typeof(p_list) = 'array' then p_list else '[]' end) with ordinality as e (value, n)
$$;
comment on function private.elements(jsonb) is 'A list with places from 0; nothing for what is no list.';
revoke execute on function private.elements(jsonb) from public;

create function private.course_items(p_document jsonb)
returns table (kind text, place integer, module_slug text, lesson_slug text, body jsonb)
language sql immutable security invoker set search_path = ''
as $$
  with course as (
    select case when jsonb_typeof(p_document) = 'object'
             then p_document - array['waymark', 'modules', 'certificate'] else p_document end as body
  ),
  module as (
    select m.place, m.body ->> 'slug' as slug, m.body
      from private.elements(p_document -> 'modules') as m
  ),
  lesson as (
    select l.place, m.slug as module_slug, l.body ->> 'slug' as slug, l.body
      from module m
     cross join lateral private.elements(m.body -> 'lessons') as l
  )
  select 'course', 0, null::text, null::text, body from course
  union all
  select 'certificate', 0, null, null, p_document -> 'certificate'
   where p_document -> 'certificate' <> 'null'
  union all
  -- Lessons are items of their own; what is no list stays where it will be found to be none.
  select 'module', place, slug, null,
         case when jsonb_typeof(body -> 'lessons') = 'array' then body - 'lessons' else body end
    from module
  union all
  select 'lesson', place, module_slug, slug, body from lesson
  union all
  select 'resource', r.place, null, null, r.body
    from course c cross join lateral private.elements(c.body -> 'resources') as r
  union all
  select 'resource', r.place, l.module_slug, l.slug, r.body
    from lesson l cross join lateral private.elements(l.body -> 'resources') as r
$$;
comment on function private.course_items(jsonb) is
  'The course, its certificate''s rules, modules, lessons and resources of a document, one row each, in their lists'' order.';
revoke execute on function private.course_items(jsonb) from public;

create function private.certificate_fields(p_document jsonb) returns jsonb
language sql immutable parallel safe security invoker set search_path = ''
as $$
  select coalesce(jsonb_object_agg('certificate_' || f.key, f.value)
           filter (where f.value <> 'null'), '{}')
    from jsonb_each(case when jsonb_typeof(p_document -> 'certificate') = 'object'
      then p_document -> 'certificate' else '{}' end) as f
$$;
comment on function private.certificate_fields(jsonb) is
  'The rules under a document''s certificate, by the names of the course''s columns.';
revoke execute on function private.certificate_fields(jsonb) from public;

create function private.is_json(p_value jsonb, p_type text) returns boolean
language sql immutable security invoker set search_path = ''
return case p_type
  when 'integer' then
    case when jsonb_typeof(p_value) = 'number'
      then p_value::numeric % 1 = 0 and abs(p_value::numeric) < 2147483648 else false end
  when 'texts' then
    jsonb_typeof(p_value) = 'array'
    and not jsonb_path_exists(p_value, 'strict $[*] ? (@.type() != "string")')
  when 'time' then
    jsonb_typeof(p_value) = 'string'
    and p_value #>> '{}' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$'
  else jsonb_typeof(p_value) = p_type
end;
comment on function private.is_json(jsonb, text) is
  'Whether a value has a JSON type; "integer", "texts" (a list of strings) and "time" beside the usual.';
revoke execute on function private.is_json(jsonb, text) from public;

-- What the table constraints below cannot say: shape, unknown fields, duplicates.
create function private.course_faults(p_document jsonb) returns text[]
language sql stable security invoker set search_path = ''
as $$
  with known (kind, fields, required) as (
    values
      ('course', '{"slug": "string", "title": "string", "author": "string", "category": "string",
        "description": "string", "language": "string", "image_url": "string",
        "duration_minutes": "integer",
        "rating": "number", "badges": "texts", "collections": "texts", "status": "string",
        "enrollment_mode": "string", "content_access": "string", "sequential": "boolean",
        "requires": "texts", "resources": "array"}'::jsonb,
        array['slug', 'title', 'status']),
      ('certificate', '{"enabled": "boolean", "min_percent": "number", "min_score": "number",
        "valid_months": "integer", "hours": "number", "template": "string"}', '{}'),
      ('module', '{"slug": "string", "title": "string", "description": "string",
        "duration_minutes": "integer", "completion_rule": "string", "available_from": "time",
        "available_after_days": "integer", "available_after_previous_days": "integer",
        "requires": "texts", "lessons": "array"}',
        array['slug', 'title']),
      ('lesson', '{"slug": "string", "title": "string", "type": "string", "content": "string",
        "video_url": "string", "duration_seconds": "integer", "is_preview": "boolean",
        "is_required": "boolean", "weight": "integer", "completion_rule": "string",
        "min_view_seconds": "integer", "watch_percent": "integer", "pass_percent": "integer",
        "available_from": "time", "available_after_days": "integer",
        "available_after_previous_days": "integer", "requires": "texts", "quiz": "object", "max_attempts": "integer", "time_limit_seconds": "integer",
        "attempt_cooldown_seconds": "integer", "quiz_available_from": "time",
        "quiz_available_until": "time", "reveal_policy": "string", "score_policy": "string",
        "certificate_min_score": "number", "resources": "array"}', array['slug', 'title']),
      ('resource', '{"title": "string", "url": "string", "kind": "string"}', array['title', 'url'])
  ),
  item as (
    select i.*, k.fields, k.required,
           i.kind || coalesce(
             ' ' || case i.kind when 'module' then i.module_slug when 'lesson' then i.lesson_slug
                      when 'resource' then i.body ->> 'title' end,
             case when i.kind not in ('course', 'certificate') then ' ' || i.place end, '') as name
      from private.course_items(p_document) as i
      join known k on k.kind = i.kind
  ),
  fault (message) as (
    select 'the document must be an object with waymark: 1 and a list modules that is not empty'
     where p_document -> 'waymark' is distinct from '1'
        or jsonb_typeof(p_document -> 'modules') is distinct from 'array'
        or p_document -> 'modules' = '[]'
    union all
    select i.name || ': must be an object' from item i where jsonb_typeof(i.body) <> 'object'
    union all
    select i.name || case when i.fields ? f.key
             then ': ' || f.key || ' must be ' || (i.fields ->> f.key)
             else ': unknown field ' || f.key end
      from item i
     cross join lateral jsonb_each(
       case when jsonb_typeof(i.body) = 'object' then i.body else '{}' end) as f
     where (f.value <> 'null' or not i.fields ? f.key)
       and private.is_json(f.value, i.fields ->> f.key) is not true
    union all
    select i.name || ': ' || f.key || ' is missing'
      from item i
     cross join lateral unnest(i.required) as f (key)
     where jsonb_typeof(i.body) = 'object' and i.body ->> f.key is null
    union all
    select 'module ' || i.module_slug || ': the slug stands ' || count(*) || ' times'
      from item i where i.kind = 'module' group by i.module_slug having count(*) > 1
       and i.module_slug is not null
    union all
    select 'lesson ' || i.lesson_slug || ': the slug stands ' || count(*) || ' times'
      from item i where i.kind = 'lesson' group by i.lesson_slug having count(*) > 1
       and i.lesson_slug is not null
    union all
    select coalesce('lesson ' || i.lesson_slug, 'course') || ': the resource ' || (i.body ->> 'url')
             || ' stands ' || count(*) || ' times'
      from item i where i.kind = 'resource'
     group by i.lesson_slug, i.body ->> 'url' having count(*) > 1 and i.body ->> 'url' is not null
  )
  select coalesce(array_agg(shown.message), '{}')
    from (select left(message, 300) as message from fault limit 100) as shown
$$;
comment on function private.course_faults(jsonb) is
  'What is wrong with the shape of a course document; empty when nothing is.';
revoke execute on function private.course_faults(jsonb) from public;

-- The constraint itself is asked which items break it, so that both can never differ.
create function private.constraint_culprits(
  p_document jsonb, p_table text, p_constraint text
) returns text
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_check text;
  v_culprits text;
begin
  select pg_get_expr(c.conbin, c.conrelid) into v_check
    from pg_catalog.pg_constraint c
   where c.conrelid = to_regclass('public.' || quote_ident(p_table)) and c.contype = 'c'
     and c.conname = p_constraint;
  if not found then
    return null;
  end if;
  execute format(
    $query$
      select string_agg(x.name || ' breaks ' || %L || ': ' || %L, e'\n')
        from (
          select i.kind || ' ' || case when i.kind = 'resource' then i.body ->> 'title'
                   else coalesce(i.lesson_slug, i.module_slug, i.body ->> 'slug') end as name
            from private.course_items($1) i
           cross join lateral jsonb_populate_record(
             null::public.%I, private.course_defaults(i.kind) || jsonb_strip_nulls(i.body)
               || case when i.kind = 'course' then private.certificate_fields($1) else '{}' end) as r
           where i.kind || 's' = %L and (%s) is false
           limit 100
        ) as x
    $query$, p_constraint, v_check, p_table, p_table, v_check)
    into v_culprits using p_document;
  return v_culprits;
end
$$;
comment on function private.constraint_culprits(jsonb, text, text) is
  'Which items of a document break this check constraint, in words; null when none is known.';
revoke execute on function private.constraint_culprits(jsonb, text, text) from public;

-- The keys are the fields that a document governs; leaving one out means this value.
create function private.course_defaults(p_kind text) returns jsonb
language sql immutable parallel safe security invoker set search_path = ''
return case p_kind
  when 'course' then
    '{"title": null, "author": null, "category": null, "description": null,
      "language": "english", "image_url": null,
      "duration_minutes": null, "rating": null, "badges": [], "collections": [], "status": null,
      "enrollment_mode": "open", "content_access": "enrolled", "sequential": false,
      "certificate_enabled": true,
      "certificate_min_percent": 100, "certificate_min_score": null,
      "certificate_valid_months": null, "certificate_hours": null,
      "certificate_template": null}'::jsonb
  when 'module' then
    '{"position": null, "title": null, "description": null, "duration_minutes": null,
      "completion_rule": "all_lessons", "available_from": null, "available_after_days": null,
      "available_after_previous_days": null}'
  when 'lesson' then
    '{"module_id": null, "position": null, "title": null, "type": "article", "video_url": null,
      "content": null, "duration_seconds": null, "is_preview": false, "is_required": true,
      "weight": 1, "completion_rule": "manual", "min_view_seconds": null, "watch_percent": 90,
      "pass_percent": 70, "available_from": null, "available_after_days": null,
      "available_after_previous_days": null, "archived_at": null}'
  when 'quiz' then
    '{"max_attempts": null, "time_limit_seconds": null, "attempt_cooldown_seconds": null,
      "quiz_available_from": null, "quiz_available_until": null, "reveal_policy": "after_submit",
      "score_policy": "best", "certificate_min_score": null}'
  when 'resource' then '{"position": null, "title": null, "url": null, "kind": "link"}'
end;
comment on function private.course_defaults(text) is
  'The fields of a course, module, lesson, its quiz or a resource that an import governs, with their defaults.';
revoke execute on function private.course_defaults(text) from public;

create function private.changed_fields(p_kind text, p_old jsonb, p_new jsonb) returns text[]
language sql immutable security invoker set search_path = ''
as $$
  select coalesce(array_agg(f.key order by f.key), '{}')
    from jsonb_object_keys(private.course_defaults(p_kind)) as f (key)
   where p_old -> f.key is distinct from p_new -> f.key
$$;
comment on function private.changed_fields(text, jsonb, jsonb) is
  'The governed fields in which two rows differ.';
revoke execute on function private.changed_fields(text, jsonb, jsonb) from public;

-- Writing it, part by part --------------------------------------------------------------------------
-- Each part returns what it did: lists of slugs, or slug: fields. Only rows that differ are written.
-- What belongs together is looked up in JSON objects, not joined: the planner knows nothing of the
-- size of a document, and a nested loop over ten thousand lessons squared is minutes.

create function private.import_modules(p_course_id bigint, p_document jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_existing jsonb;
  v_incoming jsonb;
  v_created jsonb;
  v_report jsonb;
begin
  select coalesce(jsonb_object_agg(m.slug, m.id), '{}') into v_existing
    from public.modules m
   where m.course_id = p_course_id and m.slug is not null;
  select jsonb_object_agg(i.module_slug, private.course_defaults('module')
           || jsonb_strip_nulls(i.body) || jsonb_build_object('position', i.place))
    into v_incoming
    from private.course_items(p_document) as i
   where i.kind = 'module';

  with made as (
    insert into public.modules
      (course_id, slug, position, title, description, duration_minutes, completion_rule,
       available_from, available_after_days, available_after_previous_days)
    select p_course_id, m.slug, m.position, m.title, m.description, m.duration_minutes,
           m.completion_rule, m.available_from, m.available_after_days,
           m.available_after_previous_days
      from jsonb_each(v_incoming) as i
     cross join lateral jsonb_populate_record(null::public.modules, i.value) as m
     where not v_existing ? i.key
    returning slug, position
  )
  select coalesce(jsonb_agg(slug order by position), '[]') into v_created from made;

  with plan as materialized (
    select o.id, o.slug, o.position as old_position, n.row as n,
           case when o is distinct from n.row
             then private.changed_fields('module', to_jsonb(o), to_jsonb(n.row)) else '{}' end as fields
      from public.modules o
     cross join lateral (
       select jsonb_populate_record(o, v_incoming -> o.slug) as row
     ) as n
     where o.course_id = p_course_id and v_incoming ? o.slug and v_existing ? o.slug
  ),
  written as (
    update public.modules m
       set (position, title, description, duration_minutes, completion_rule, available_from,
            available_after_days, available_after_previous_days)
         = ((p.n).position, (p.n).title, (p.n).description, (p.n).duration_minutes,
            (p.n).completion_rule, (p.n).available_from, (p.n).available_after_days,
            (p.n).available_after_previous_days)
      from plan p
     where m.id = p.id and p.fields <> '{}'
  ),
  -- A new number alone says little: of interest is who changed places.
  told as (
    select p.*,
           case when row_number() over (order by p.old_position, p.id)
                   <> row_number() over (order by (p.n).position)
             then p.fields else array_remove(p.fields, 'position') end as told_fields
      from plan p
  )
  select jsonb_build_object(
           'created', v_created,
           'updated', coalesce(
             jsonb_object_agg(t.slug, t.told_fields) filter (where t.told_fields <> '{}'), '{}'),
           'renumbered', count(*) filter (where t.told_fields = '{}' and t.fields <> '{}'))
    into v_report
    from told t;
  return v_report;
end
$$;
comment on function private.import_modules(bigint, jsonb) is
  'Makes the modules of a course equal to a document: {created, updated, renumbered}.';
revoke execute on function private.import_modules(bigint, jsonb) from public;

-- New lessons first, then everything else in one statement: were a lesson archived before its
-- replacement is there, learners who lack just that one would be told that they finished.
create function private.import_lessons(p_course_id bigint, p_document jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_module_ids jsonb;
  v_module_slugs jsonb;
  v_existing jsonb;
  v_incoming jsonb;
  v_created jsonb;
  v_report jsonb;
begin
  select jsonb_object_agg(m.slug, m.id) filter (where m.slug is not null),
         jsonb_object_agg(m.id, coalesce(m.slug, m.title))
    into v_module_ids, v_module_slugs
    from public.modules m
   where m.course_id = p_course_id;
  select coalesce(jsonb_object_agg(l.slug, l.id), '{}') into v_existing
    from public.lessons l
   where l.course_id = p_course_id and l.slug is not null;
  select coalesce(jsonb_object_agg(i.lesson_slug, private.course_defaults('lesson')
           || jsonb_strip_nulls(i.body - array['resources', 'quiz'])
           || jsonb_build_object(
                'position', i.place, 'module_id', v_module_ids -> i.module_slug)), '{}')
    into v_incoming
    from private.course_items(p_document) as i
   where i.kind = 'lesson';

  with made as (
    insert into public.lessons
      (module_id, course_id, slug, position, title, type, video_url, content, duration_seconds,
       is_preview, is_required, weight, completion_rule, min_view_seconds, watch_percent,
       pass_percent, available_from, available_after_days, available_after_previous_days)
    select l.module_id, p_course_id, l.slug, l.position, l.title, l.type, l.video_url, l.content,
           l.duration_seconds, l.is_preview, l.is_required, l.weight, l.completion_rule,
           l.min_view_seconds, l.watch_percent, l.pass_percent, l.available_from,
           l.available_after_days, l.available_after_previous_days
      from jsonb_each(v_incoming) as i
     cross join lateral jsonb_populate_record(null::public.lessons, i.value) as l
     where not v_existing ? i.key
    returning slug, module_position, position
  )
  select coalesce(jsonb_agg(slug order by module_position, position), '[]') into v_created from made;

  with plan as materialized (
    select o.id, o.slug, o.module_id, o.position as old_position, n.row as n,
           case when o is distinct from n.row
             then private.changed_fields('lesson', to_jsonb(o), to_jsonb(n.row)) else '{}' end as fields,
           v_incoming ? o.slug as is_wanted, o.archived_at is not null as was_archived,
           v_incoming ? o.slug and o.archived_at is null and (n.row).module_id = o.module_id
             as is_kept
      from public.lessons o
     cross join lateral (
       select jsonb_populate_record(o, coalesce(
         v_incoming -> o.slug,
         jsonb_build_object('archived_at', coalesce(o.archived_at, private.clock())))) as row
     ) as n
     where o.course_id = p_course_id and v_existing ? o.slug
  ),
  written as (
    update public.lessons l
       set (module_id, position, title, type, video_url, content, duration_seconds, is_preview,
            is_required, weight, completion_rule, min_view_seconds, watch_percent, pass_percent,
            available_from, available_after_days, available_after_previous_days, archived_at)
         = ((p.n).module_id, (p.n).position, (p.n).title, (p.n).type, (p.n).video_url,
            (p.n).content, (p.n).duration_seconds, (p.n).is_preview, (p.n).is_required,
            (p.n).weight, (p.n).completion_rule, (p.n).min_view_seconds, (p.n).watch_percent,
            (p.n).pass_percent, (p.n).available_from, (p.n).available_after_days,
            (p.n).available_after_previous_days, (p.n).archived_at)
      from plan p
     where l.id = p.id and p.fields <> '{}'
  ),
  -- A new number alone says little: of interest is who changed places in a module.
  told as (
    select p.*,
           array_remove(array_remove(
             case when p.is_kept
                   and row_number() over (
                     partition by p.module_id, p.is_kept order by p.old_position, p.id)
                    <> row_number() over (
                     partition by p.module_id, p.is_kept order by (p.n).position)
               then p.fields else array_remove(p.fields, 'position') end,
             'module_id'), 'archived_at') as told_fields
      from plan p
  )
  select jsonb_build_object(
           'created', v_created,
           'updated', coalesce(
             jsonb_object_agg(t.slug, t.told_fields) filter (where t.told_fields <> '{}'), '{}'),
           'moved', coalesce(
             jsonb_object_agg(t.slug, jsonb_build_object(
               'from', v_module_slugs -> t.module_id::text,
               'to', v_module_slugs -> (t.n).module_id::text))
               filter (where (t.n).module_id <> t.module_id), '{}'),
           'archived', coalesce(jsonb_agg(t.slug order by t.slug)
             filter (where not t.is_wanted and not t.was_archived), '[]'),
           'restored', coalesce(jsonb_agg(t.slug order by t.slug)
             filter (where t.is_wanted and t.was_archived), '[]'),
           'renumbered', count(*) filter (where t.fields = '{position}' and t.told_fields = '{}'))
    into v_report
    from told t;
  return v_report;
end
$$;
comment on function private.import_lessons(bigint, jsonb) is
  'Makes the lessons of a course equal to a document: {created, updated, moved, archived, restored, renumbered}.';
revoke execute on function private.import_lessons(bigint, jsonb) from public;

create function private.import_resources(p_course_id bigint, p_document jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_lesson_ids jsonb;
  v_slugs jsonb;
  v_existing jsonb;
  v_incoming jsonb;
  v_owners jsonb := '[]';
  v_some jsonb;
begin
  select coalesce(jsonb_object_agg(l.slug, l.id), '{}'), coalesce(jsonb_object_agg(l.id, l.slug), '{}')
    into v_lesson_ids, v_slugs
    from public.lessons l
   where l.course_id = p_course_id and l.slug is not null and l.archived_at is null;

  -- A resource is known by its owner and address; owner null is the course itself.
  select coalesce(jsonb_object_agg(concat_ws(' ', r.lesson_id, r.url), r.id), '{}')
    into v_existing
    from public.resources r
   where r.course_id = p_course_id
     -- Links of archived lessons stay with them, as do those of lessons made by hand.
     and (r.lesson_id is null or v_slugs ? r.lesson_id::text);
  select coalesce(jsonb_object_agg(
           concat_ws(' ', v_lesson_ids ->> i.lesson_slug, i.body ->> 'url'),
           private.course_defaults('resource') || jsonb_strip_nulls(i.body)
             || jsonb_build_object(
                  'lesson_id', v_lesson_ids -> i.lesson_slug, 'position', i.place)), '{}')
    into v_incoming
    from private.course_items(p_document) as i
   where i.kind = 'resource';

  with gone as (
    delete from public.resources r
     where r.course_id = p_course_id
       and v_existing ? concat_ws(' ', r.lesson_id, r.url)
       and not v_incoming ? concat_ws(' ', r.lesson_id, r.url)
    returning r.lesson_id
  )
  select coalesce(jsonb_agg(lesson_id), '[]') into v_some from gone;
  v_owners := v_owners || v_some;

  with changed as (
    update public.resources r
       set title = n.title, kind = n.kind, position = n.position
      from public.resources o
     cross join lateral jsonb_populate_record(
       o, v_incoming -> concat_ws(' ', o.lesson_id, o.url)) as n
     where o.course_id = p_course_id and v_incoming ? concat_ws(' ', o.lesson_id, o.url)
       and r.id = o.id and (r.title, r.kind, r.position) is distinct from (n.title, n.kind, n.position)
    returning r.lesson_id
  )
  select coalesce(jsonb_agg(lesson_id), '[]') into v_some from changed;
  v_owners := v_owners || v_some;

  with made as (
    insert into public.resources (course_id, lesson_id, position, title, url, kind)
    select p_course_id, n.lesson_id, n.position, n.title, n.url, n.kind
      from jsonb_each(v_incoming) as i
     cross join lateral jsonb_populate_record(null::public.resources, i.value) as n
     where not v_existing ? i.key
    returning lesson_id
  )
  select coalesce(jsonb_agg(lesson_id), '[]') into v_some from made;
  v_owners := v_owners || v_some;

  return jsonb_build_object(
    'course', v_owners @> '[null]',
    'lessons', (
      select coalesce(jsonb_object_agg(v_slugs ->> o.lesson_id, '["resources"]'::jsonb), '{}')
        from jsonb_array_elements_text(v_owners) as o (lesson_id)
       where o.lesson_id is not null));
end
$$;
comment on function private.import_resources(bigint, jsonb) is
  'Makes the resources of a course and its lessons equal to a document; says whose changed.';
revoke execute on function private.import_resources(bigint, jsonb) from public;

-- What requires what, by slug. New rows come after old ones went: a document may turn an order round.
create function private.import_prerequisites(p_course_id bigint, p_document jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_ids jsonb;
  v_faults text;
  v_wanted jsonb;
  v_changed jsonb;
begin
  -- kind and slug: id; what the document no longer has requires and is required as before.
  select jsonb_object_agg(x.name, x.id) into v_ids
    from (
      select 'module ' || m.slug as name, to_jsonb(m.id) as id
        from public.modules m where m.course_id = p_course_id and m.slug is not null
      union all
      select 'lesson ' || l.slug, to_jsonb(l.id)
        from public.lessons l
       where l.course_id = p_course_id and l.slug is not null and l.archived_at is null
      union all
      select 'course ' || c.slug, to_jsonb(c.id)
        from public.courses c
       where c.id = p_course_id or c.slug in (
         select r #>> '{}' from private.elements(p_document -> 'requires') as e (n, r))
    ) as x;
  select string_agg(left(x.line, 300), e'\n') into v_faults
    from (
      select i.kind || ' ' || (i.body ->> 'slug') || ': requires ' || (e.body #>> '{}')
               || ', and there is no such ' || i.kind as line
        from private.course_items(p_document) as i
       cross join lateral private.elements(i.body -> 'requires') as e
       where i.kind in ('course', 'module', 'lesson')
         and not v_ids ? (i.kind || ' ' || (e.body #>> '{}'))
       limit 100
    ) as x;
  if v_faults is not null then
    perform private.fail('invalid_course', 422, 'The course is not valid', v_faults);
  end if;
  -- kind and id: the ids that it shall require.
  select jsonb_object_agg(i.kind || ':' || (v_ids ->> (i.kind || ' ' || (i.body ->> 'slug'))), coalesce((
           select jsonb_object_agg(v_ids ->> (i.kind || ' ' || (e.body #>> '{}')), true)
             from private.elements(i.body -> 'requires') as e), '{}'))
    into v_wanted
    from private.course_items(p_document) as i
   where i.kind in ('course', 'module', 'lesson');

  with gone as (
    delete from public.lesson_prerequisites r
     where r.course_id = p_course_id
       and not coalesce(v_wanted -> ('lesson:' || r.lesson_id) ? r.requires_lesson_id::text, true)
    returning 'lesson:' || r.lesson_id as node
  ),
  gone_modules as (
    delete from public.module_prerequisites r
     where r.course_id = p_course_id
       and not coalesce(v_wanted -> ('module:' || r.module_id) ? r.requires_module_id::text, true)
    returning 'module:' || r.module_id as node
  ),
  gone_courses as (
    delete from public.course_prerequisites r
     where r.course_id = p_course_id
       and not v_wanted -> ('course:' || r.course_id) ? r.requires_course_id::text
    returning 'course:' || r.course_id as node
  )
  select coalesce(jsonb_agg(x.node), '[]') into v_changed
    from (select * from gone union all select * from gone_modules union all select * from gone_courses) as x;

  with wanted as materialized (
    select split_part(w.key, ':', 1) as kind, split_part(w.key, ':', 2) as id, q.key as requires
      from jsonb_each(v_wanted) as w
     cross join lateral jsonb_object_keys(w.value) as q (key)
  ),
  made as (
    insert into public.lesson_prerequisites as r (lesson_id, requires_lesson_id)
    select w.id::uuid, w.requires::uuid from wanted w where w.kind = 'lesson'
        on conflict do nothing
    returning 'lesson:' || r.lesson_id as node
  ),
  made_modules as (
    insert into public.module_prerequisites as r (module_id, requires_module_id)
    select w.id::uuid, w.requires::uuid from wanted w where w.kind = 'module'
        on conflict do nothing
    returning 'module:' || r.module_id as node
  ),
  made_courses as (
    insert into public.course_prerequisites as r (course_id, requires_course_id)
    select w.id::bigint, w.requires::bigint from wanted w where w.kind = 'course'
        on conflict do nothing
    returning 'course:' || r.course_id as node
  )
  select v_changed || coalesce(jsonb_agg(x.node), '[]') into v_changed
    from (select * from made union all select * from made_modules union all select * from made_courses) as x;

  return (
    select jsonb_build_object(
             'course', coalesce(bool_or(n.kind = 'course'), false),
             'modules', coalesce(jsonb_object_agg(n.slug, '["requires"]'::jsonb)
               filter (where n.kind = 'module'), '{}'),
             'lessons', coalesce(jsonb_object_agg(n.slug, '["requires"]'::jsonb)
               filter (where n.kind = 'lesson'), '{}'))
      from (
        select split_part(i.key, ' ', 1) as kind, split_part(i.key, ' ', 2) as slug
          from jsonb_each_text(v_ids) as i
         where v_changed ? (split_part(i.key, ' ', 1) || ':' || i.value)
      ) as n);
end
$$;
comment on function private.import_prerequisites(bigint, jsonb) is
  'Makes what a course, its modules and lessons require equal to a document; says whose changed.';
revoke execute on function private.import_prerequisites(bigint, jsonb) from public;

create function private.empty_import() returns jsonb
language sql immutable parallel safe security invoker set search_path = ''
return '{"created": {"course": false, "modules": [], "lessons": []},
  "updated": {"course": [], "modules": {}, "lessons": {}}, "moved": {"lessons": {}},
  "archived": {"lessons": []}, "restored": {"lessons": []}, "deleted": {"modules": []},
  "renumbered": {"modules": 0, "lessons": 0}}'::jsonb;
comment on function private.empty_import() is 'The report of an import that changed nothing.';
revoke execute on function private.empty_import() from public;

create function private.write_course(p_document jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_slug text := p_document ->> 'slug';
  v_old public.courses;
  n public.courses;
  v_created boolean := false;
  v_course_id bigint;
  v_fields text[];
  v_modules jsonb;
  v_lessons jsonb;
  v_resources jsonb;
  v_requires jsonb;
  v_quizzes jsonb;
  v_updated jsonb;
  v_deleted text[];
  v_report jsonb;
begin
  -- The catalogue key comes before any row: a new course's row is touched to lock the course.
  perform private.lock_courses('{}');
  select id into v_course_id from public.courses where slug = v_slug;
  if not found then
    insert into public.courses (slug, title)
    values (v_slug, p_document ->> 'title')
        on conflict (slug) do nothing
    returning id into v_course_id;
    v_created := found;
    if not found then  -- somebody else made it while we waited
      select id into v_course_id from public.courses where slug = v_slug;
    end if;
  end if;
  perform private.lock_courses(array[v_course_id]);
  select * into v_old from public.courses
   where id = v_course_id and slug = v_slug for no key update;
  if not found then
    perform private.fail('try_again', 503, 'The course is being edited; try again',
      p_headers => '{"Retry-After": "1"}');
  end if;

  perform set_config('waymark.rings_later', 'on', true);
  n := jsonb_populate_record(v_old, private.course_defaults('course')
    || jsonb_strip_nulls(p_document - array['modules', 'certificate'])
    || private.certificate_fields(p_document));
  v_fields := private.changed_fields('course', to_jsonb(v_old), to_jsonb(n));
  if v_fields <> '{}' then
    update public.courses
       set (title, author, category, description, language, image_url, duration_minutes, rating, badges,
            collections, status, enrollment_mode, content_access, sequential, certificate_enabled,
            certificate_min_percent, certificate_min_score, certificate_valid_months,
            certificate_hours, certificate_template)
         = (n.title, n.author, n.category, n.description, n.language, n.image_url, n.duration_minutes,
            n.rating, n.badges, n.collections, n.status, n.enrollment_mode, n.content_access,
            n.sequential, n.certificate_enabled, n.certificate_min_percent, n.certificate_min_score,
            n.certificate_valid_months, n.certificate_hours, n.certificate_template)
     where id = v_course_id;
  end if;

  v_modules := private.import_modules(v_course_id, p_document);
  v_lessons := private.import_lessons(v_course_id, p_document);

  -- Modules that left the document go, unless archived or hand-made lessons still live there.
  with gone as (
    delete from public.modules m
     where m.course_id = v_course_id and m.slug is not null
       and not exists (
         select from private.course_items(p_document) i
          where i.kind = 'module' and i.module_slug = m.slug)
       and not exists (select from public.lessons l where l.module_id = m.id)
    returning m.slug
  )
  select array_agg(slug order by slug) into v_deleted from gone;

  v_quizzes := private.import_quizzes(v_course_id, p_document);
  v_resources := private.import_resources(v_course_id, p_document);
  if (v_resources -> 'course')::boolean then
    v_fields := array_append(v_fields, 'resources');
  end if;
  v_requires := private.import_prerequisites(v_course_id, p_document);
  perform set_config('waymark.rings_later', '', true);
  perform private.refuse_rings(v_course_id);
  if (v_requires -> 'course')::boolean then
    v_fields := array_append(v_fields, 'requires');
  end if;
  -- What a new lesson asks and links to is part of its making.
  select coalesce(jsonb_object_agg(
           u.key, coalesce(v_lessons -> 'updated' -> u.key, '[]')
             || coalesce(v_quizzes -> u.key, '[]')
             || coalesce(v_resources -> 'lessons' -> u.key, '[]')
             || coalesce(v_requires -> 'lessons' -> u.key, '[]')), '{}')
    into v_updated
    from (
      select key from jsonb_object_keys(v_lessons -> 'updated') as key
      union
      select key from jsonb_object_keys(v_quizzes) as key
      union
      select key from jsonb_object_keys(v_resources -> 'lessons') as key
      union
      select key from jsonb_object_keys(v_requires -> 'lessons') as key
    ) as u
   where not v_lessons -> 'created' ? u.key;

  v_report := jsonb_build_object(
    'course_id', v_course_id,
    'slug', v_slug,
    'created', jsonb_build_object(
      'course', v_created, 'modules', v_modules -> 'created', 'lessons', v_lessons -> 'created'),
    'updated', jsonb_build_object(
      'course', case when v_created then '[]' else to_jsonb(v_fields) end,
      'modules', (
        select coalesce(jsonb_object_agg(
                 u.key, coalesce(v_modules -> 'updated' -> u.key, '[]')
                   || coalesce(v_requires -> 'modules' -> u.key, '[]')), '{}')
          from (
            select key from jsonb_object_keys(v_modules -> 'updated') as key
            union
            select key from jsonb_object_keys(v_requires -> 'modules') as key
          ) as u
         where not v_modules -> 'created' ? u.key),
      'lessons', v_updated),
    'moved', jsonb_build_object('lessons', v_lessons -> 'moved'),
    'archived', jsonb_build_object('lessons', v_lessons -> 'archived'),
    'restored', jsonb_build_object('lessons', v_lessons -> 'restored'),
    'deleted', jsonb_build_object('modules', to_jsonb(coalesce(v_deleted, '{}'))),
    'renumbered', jsonb_build_object(
      'modules', v_modules -> 'renumbered', 'lessons', v_lessons -> 'renumbered'));
  v_report := v_report || jsonb_build_object('changed',
    v_report - array['course_id', 'slug'] <> private.empty_import());
  if (v_report -> 'changed')::boolean then
    perform private.audit('course.import', v_course_id, null, 'course:' || v_course_id, null, null,
      v_report);
  end if;
  return v_report;
end
$$;
comment on function private.write_course(jsonb) is
  'Makes a course equal to a document of the right shape and returns the report.';
revoke execute on function private.write_course(jsonb) from public;

-- The door ------------------------------------------------------------------------------------------

create function private.import_course(p_document jsonb, p_dry_run boolean) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_faults text[];
  v_report jsonb;
  v_table text;
  v_constraint text;
begin
  perform private.require_admin('Only admins import courses');
  v_faults := private.course_faults(p_document);
  if v_faults <> '{}' then
    perform private.fail(
      'invalid_course', 422, 'The course is not valid', array_to_string(v_faults, e'\n'));
  end if;
  begin
    v_report := private.write_course(p_document);
    if p_dry_run is distinct from false then
      raise sqlstate 'WMDRY';
    end if;
  exception
    -- A dry run does everything and takes it back: its report cannot differ from the real one.
    when sqlstate 'WMDRY' then
      if (v_report -> 'created' -> 'course')::boolean then
        v_report := v_report || '{"course_id": null}';
      end if;
    when check_violation or not_null_violation or numeric_value_out_of_range
      or datetime_field_overflow or invalid_datetime_format then
      get stacked diagnostics v_table = table_name, v_constraint = constraint_name;
      perform private.fail('invalid_course', 422, 'The course is not valid', coalesce(
        private.constraint_culprits(p_document, v_table, v_constraint), sqlerrm));
  end;
  return v_report;
end
$$;
comment on function private.import_course(jsonb, boolean) is
  'Checks who calls and what, then writes the course, or only says what it would write.';
revoke execute on function private.import_course(jsonb, boolean) from public;

create function public.import_course(p_document jsonb, p_dry_run boolean default false)
returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.import_course(p_document, p_dry_run); end;
comment on function public.import_course(jsonb, boolean) is
  'Admins: makes a course equal to a document; returns what that changed, or would change.';

revoke execute on function public.import_course from public, anon, authenticated, service_role;
grant execute on function public.import_course, private.import_course to authenticated, service_role;
