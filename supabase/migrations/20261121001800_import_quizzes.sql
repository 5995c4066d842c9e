-- Quizzes of a course document: the part of the import (private.write_course) that writes them.
--
-- A course can hold thousands of quizzes, and saving one after the other costs milliseconds each. So
-- this file saves many in a few statements, and private.save_quiz becomes the saving of one. What is
-- reported are names of fields and reasons, never a question or a key.

select private.require_free(array[
  'private.faults_of_quizzes', 'private.write_quizzes', 'private.import_quizzes']);

-- Many quizzes at once: {lesson id: quiz, or null for none} -----------------------------------------

create function private.faults_of_quizzes(p_quizzes jsonb)
returns table (lesson_id uuid, question text, reason text)
language sql stable security invoker set search_path = ''
as $$
  select z.key::uuid, f.question, f.reason
    from jsonb_each(p_quizzes) as z
   cross join lateral private.quiz_faults(z.value) as f
   where z.value <> 'null'
  union all
  -- Attempts hold answers of the old kind. Ids that we give ourselves follow the kind.
  select q.lesson_id, q.id, 'was of kind ' || q.kind || ' before: give it another id'
    from jsonb_each(p_quizzes) as z
   cross join lateral private.elements(z.value -> 'questions') as n
    join private.questions q on q.lesson_id = z.key::uuid and q.id = n.body ->> 'id'
   where q.kind <> n.body ->> 'kind'
$$;
comment on function private.faults_of_quizzes(jsonb) is
  'Every reason why quizzes cannot be given, graded or put in the place of those that are there.';
revoke execute on function private.faults_of_quizzes(jsonb) from public;

create function private.write_quizzes(p_quizzes jsonb) returns setof uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_rows jsonb;
  v_some jsonb;
  v_changed jsonb;
begin
  -- Lesson id to {question id: row}, of the quizzes that are not stored like that already. One that
  -- is needs no naming: its questions have the ids that they would get.
  with incoming as materialized (
    select z.key as lesson_id, z.value as quiz, r.rows, s.rows as stored, s.is_known
      from jsonb_each(p_quizzes) as z
     cross join lateral (
       select jsonb_object_agg(r.id, to_jsonb(r)) as rows from private.quiz_rows(z.value) as r
     ) as r
     cross join lateral (
       select count(*) > 0 as is_known,
              jsonb_object_agg(q.id, jsonb_build_object(
                'id', q.id, 'place', q.position, 'kind', q.kind, 'points', q.points,
                'pool', q.pool, 'body', q.body, 'key', q.key, 'explanation', q.explanation))
                filter (where q.removed_at is null) as rows
         from private.questions q
        where q.lesson_id = z.key::uuid
     ) as s
     where z.value <> 'null'
  )
  select coalesce(jsonb_object_agg(i.lesson_id, case when i.is_known then (
           select jsonb_object_agg(r.id, to_jsonb(r))
             from private.quiz_rows(private.name_questions(i.lesson_id::uuid, i.quiz)) as r)
           else i.rows end), '{}')
    into v_rows
    from incoming i
   where i.rows is distinct from i.stored;

  with written as (
    insert into private.questions as q
      (lesson_id, id, position, kind, points, pool, body, key, explanation)
    select z.key::uuid, r.id, r.place, r.kind, r.points, r.pool, r.body, r.key, r.explanation
      from jsonb_each(v_rows) as z
     cross join lateral jsonb_each(z.value) as e
     cross join lateral jsonb_to_record(e.value) as r (
       id text, place integer, kind text, points numeric, pool text, body jsonb, key jsonb,
       explanation text)
     order by 1, 2
        on conflict (lesson_id, id) do update
       set (position, kind, points, pool, body, key, explanation, removed_at)
         = (excluded.position, excluded.kind, excluded.points, excluded.pool, excluded.body,
            excluded.key, excluded.explanation, null)
     where (q.position, q.kind, q.points, q.pool, q.body, q.key, q.explanation, q.removed_at)
       is distinct from (excluded.position, excluded.kind, excluded.points, excluded.pool,
            excluded.body, excluded.key, excluded.explanation, null)
    returning q.lesson_id
  )
  select coalesce(jsonb_object_agg(w.lesson_id, true), '{}') into v_changed from written w;

  with gone as (
    update private.questions q
       set removed_at = private.clock()
      from (
        select z.key, z.value from jsonb_each(v_rows) as z
        union all
        select z.key, '{}' from jsonb_each(p_quizzes) as z where z.value = 'null'
      ) as kept
     where q.lesson_id = kept.key::uuid and q.removed_at is null and not kept.value ? q.id
    returning q.lesson_id
  )
  select coalesce(jsonb_object_agg(g.lesson_id, true), '{}') into v_some from gone g;
  v_changed := v_changed || v_some;

  return query
  update public.lessons l
     set question_pools = n.pools, shuffle_options = n.shuffles
    from (
      select z.key::uuid as id, coalesce(nullif(z.value -> 'pools', 'null'), '{}') as pools,
             coalesce(nullif(z.value -> 'shuffle_options', 'null')::boolean, false) as shuffles
        from jsonb_each(p_quizzes) as z
    ) as n
   where l.id = n.id
     and (v_changed ? l.id::text
          or (l.question_pools, l.shuffle_options) is distinct from (n.pools, n.shuffles))
  returning l.id;
end
$$;
comment on function private.write_quizzes(jsonb) is
  'Replaces the questions of lessons by faultless quizzes; null removes them. Returns who changed.';
revoke execute on function private.write_quizzes(jsonb) from public;

create or replace function private.save_quiz(p_lesson_id uuid, p_quiz jsonb) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_quizzes jsonb := jsonb_build_object(p_lesson_id, p_quiz);
  v_faults jsonb;
begin
  select jsonb_agg(jsonb_build_object('question', f.question, 'reason', f.reason))
    into v_faults from private.faults_of_quizzes(v_quizzes) as f;
  if v_faults is not null then
    perform private.fail('invalid_quiz', 422, 'The quiz cannot be given or graded', v_faults::text);
  end if;
  return exists (select from private.write_quizzes(v_quizzes));
end
$$;

-- The import ----------------------------------------------------------------------------------------

create function private.import_quizzes(p_course_id bigint, p_document jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_lesson_ids jsonb;
  v_slugs jsonb;
  v_asking jsonb;
  v_quizzes jsonb;
  v_faults text;
  v_incoming jsonb;
  v_rules jsonb;
  v_questions jsonb;
begin
  select coalesce(jsonb_object_agg(l.slug, l.id), '{}'), coalesce(jsonb_object_agg(l.id, l.slug), '{}'),
         coalesce(jsonb_object_agg(l.slug, true) filter (where exists (
           select from private.questions q where q.lesson_id = l.id and q.removed_at is null)), '{}')
    into v_lesson_ids, v_slugs, v_asking
    from public.lessons l
   where l.course_id = p_course_id and l.slug is not null;
  select coalesce(jsonb_object_agg(v_lesson_ids ->> i.lesson_slug, i.body -> 'quiz'), '{}')
    into v_quizzes
    from private.course_items(p_document) as i
   where i.kind = 'lesson'
     -- Nothing is to do for a lesson that neither asks nor shall ask.
     and (jsonb_typeof(i.body -> 'quiz') = 'object' or v_asking ? i.lesson_slug);

  select string_agg(t.line, e'\n')
    into v_faults
    from (
      select left('lesson ' || (v_slugs ->> f.lesson_id::text)
               || coalesce(', question ' || f.question, '') || ': ' || f.reason, 300) as line
        from private.faults_of_quizzes(v_quizzes) as f
       limit 100
    ) as t;
  if v_faults is not null then
    perform private.fail('invalid_course', 422, 'The course is not valid', v_faults);
  end if;

  -- The rules first: whether questions show outside an attempt depends on them.
  select coalesce(jsonb_object_agg(i.lesson_slug, (
           select jsonb_object_agg(d.key, coalesce(nullif(i.body -> d.key, 'null'), d.value))
             from jsonb_each(private.course_defaults('quiz')) as d)), '{}')
    into v_incoming
    from private.course_items(p_document) as i
   where i.kind = 'lesson';
  with plan as materialized (
    select o.id, o.slug, n.row as n,
           case when o is distinct from n.row
             then private.changed_fields('quiz', to_jsonb(o), to_jsonb(n.row)) else '{}' end as fields
      from public.lessons o
     cross join lateral (select jsonb_populate_record(o, v_incoming -> o.slug) as row) as n
     where o.course_id = p_course_id and v_incoming ? o.slug
  ),
  written as (
    update public.lessons l
       set (max_attempts, time_limit_seconds, attempt_cooldown_seconds, quiz_available_from,
            quiz_available_until, reveal_policy, score_policy)
         = ((p.n).max_attempts, (p.n).time_limit_seconds, (p.n).attempt_cooldown_seconds,
            (p.n).quiz_available_from, (p.n).quiz_available_until, (p.n).reveal_policy,
            (p.n).score_policy)
      from plan p
     where l.id = p.id and p.fields <> '{}'
  )
  select coalesce(jsonb_object_agg(p.slug, p.fields) filter (where p.fields <> '{}'), '{}')
    into v_rules
    from plan p;

  select coalesce(jsonb_object_agg(v_slugs ->> w.id::text, '["quiz"]'::jsonb), '{}')
    into v_questions
    from private.write_quizzes(v_quizzes) as w (id);

  return (
    select coalesce(jsonb_object_agg(u.slug,
             coalesce(v_rules -> u.slug, '[]') || coalesce(v_questions -> u.slug, '[]')), '{}')
      from (
        select key as slug from jsonb_object_keys(v_rules) as key
        union
        select key from jsonb_object_keys(v_questions) as key
      ) as u);
end
$$;
comment on function private.import_quizzes(bigint, jsonb) is
  'Makes the quizzes of a course equal to a document; says which fields of which lessons changed.';
revoke execute on function private.import_quizzes(bigint, jsonb) from public;
