-- Quizzes of a course document: the part of the import (private.write_course) that writes them.
--
-- What is reported are names of fields and reasons, never a question or a key.

select private.require_free(array['private.import_quizzes']);

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
            quiz_available_until, reveal_policy, score_policy, certificate_min_score)
         = ((p.n).max_attempts, (p.n).time_limit_seconds, (p.n).attempt_cooldown_seconds,
            (p.n).quiz_available_from, (p.n).quiz_available_until, (p.n).reveal_policy,
            (p.n).score_policy, (p.n).certificate_min_score)
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
