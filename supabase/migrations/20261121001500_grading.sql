-- Grading: exact, set-based, and the only place that reads keys. Runs as the migrating role, so that the
-- write path (waymark_writer) can have an attempt graded without being able to read a key.

select private.require_free(array['private.answer_fault', 'private.fraction', 'private.grade']);

-- Shape of an answer, against the question as the learner was shown it. Null clears an answer.
create function private.answer_fault(p_question jsonb, p_answer jsonb) returns text
language sql immutable security invoker set search_path = ''
as $$
  select case
    when p_answer is null or p_answer = 'null' then null
    else case p_question ->> 'kind'
      when 'single_choice' then case
        when jsonb_typeof(p_answer) <> 'string'
          or not p_question -> 'options' @> jsonb_build_array(jsonb_build_object('id', p_answer))
        then 'must be the id of one option' end
      when 'multiple_choice' then case
        when jsonb_typeof(p_answer) <> 'array' or exists (
          select from private.elements(p_answer) a
           where jsonb_typeof(a.body) <> 'string'
              or not p_question -> 'options' @> jsonb_build_array(jsonb_build_object('id', a.body)))
          or (select count(distinct a.body) <> count(*) from private.elements(p_answer) a)
        then 'must be a list of different option ids' end
      when 'true_false' then case
        when jsonb_typeof(p_answer) <> 'boolean' then 'must be true or false' end
      when 'numeric' then case
        when private.decimal_text(p_answer) is null then 'must be a decimal number' end
      when 'short_text' then case
        when jsonb_typeof(p_answer) <> 'string' or char_length(p_answer #>> '{}') > 1000
        then 'must be a text of at most 1000 characters' end
      when 'ordering' then case
        when jsonb_typeof(p_answer) <> 'array' or (
          select coalesce(jsonb_agg(a.body order by a.body), '[]') from private.elements(p_answer) a)
          <> (select jsonb_agg(o.body -> 'id' order by o.body -> 'id')
                from private.elements(p_question -> 'options') o)
        then 'must be a list of all item ids, each once' end
      when 'matching' then case
        when jsonb_typeof(p_answer) <> 'object' or exists (
          select from jsonb_each(
            case when jsonb_typeof(p_answer) = 'object' then p_answer else '{}' end) as a
           where not p_question -> 'left' @> jsonb_build_array(jsonb_build_object('id', a.key))
              or not p_question -> 'right' @> jsonb_build_array(jsonb_build_object('id', a.value)))
        then 'must map ids of the left to ids of the right' end
      when 'free_text' then case
        when jsonb_typeof(p_answer) <> 'string' or char_length(p_answer #>> '{}') > 100000
        then 'must be a text of at most 100000 characters' end
    end
  end
$$;
comment on function private.answer_fault(jsonb, jsonb) is
  'Why an answer does not fit its question, or null.';
revoke execute on function private.answer_fault(jsonb, jsonb) from public;
grant execute on function private.answer_fault(jsonb, jsonb) to waymark_writer;

-- The part of a question's points that an answer earns, 0 to 1; null where a person must say.
create function private.fraction(p_kind text, p_scoring text, p_key jsonb, p_answer jsonb)
returns numeric
language sql immutable security invoker set search_path = ''
as $$
  select case
    when p_kind = 'free_text' then null
    when p_answer is null or p_answer = 'null' then 0
    else case p_kind
      when 'single_choice' then (p_answer = p_key -> 'correct')::integer
      when 'true_false' then (p_answer = p_key -> 'correct')::integer
      when 'numeric' then (
        abs(private.decimal_text(p_answer) - (p_key ->> 'answer')::numeric)
          <= (p_key ->> 'tolerance')::numeric)::integer
      when 'short_text' then (exists (
        select from unnest(private.texts(p_key -> 'accepted')) a
         where private.fold_text(a) = private.fold_text(p_answer #>> '{}')))::integer
      when 'multiple_choice' then (
        select case when p_scoring = 'partial'
          then greatest(0, (chosen.hits - chosen.misses)::numeric / jsonb_array_length(p_key -> 'correct'))
          else (chosen.misses = 0 and chosen.hits = jsonb_array_length(p_key -> 'correct'))::integer
          end
          from (
            select count(*) filter (where p_key -> 'correct' @> a.body) as hits,
                   count(*) filter (where not p_key -> 'correct' @> a.body) as misses
              from private.elements(p_answer) a) as chosen)
      when 'ordering' then (
        select case when p_scoring = 'partial'
          then count(*) filter (where a.body = p_key -> 'correct' -> a.place)::numeric
                 / jsonb_array_length(p_key -> 'correct')
          else (p_answer = p_key -> 'correct')::integer end
          from private.elements(p_answer) a)
      when 'matching' then (
        select case when p_scoring = 'partial'
          then count(*) filter (where p_answer -> k.key = k.value)::numeric / count(*)
          else (count(*) filter (where p_answer -> k.key = k.value) = count(*))::integer end
          from jsonb_each(p_key -> 'correct') as k)
    end
  end
$$;
comment on function private.fraction(text, text, jsonb, jsonb) is
  'Share of a question''s points that an answer earns; partial credit: multiple choice (right - wrong) / keys, not below 0; ordering and matching by places.';
revoke execute on function private.fraction(text, text, jsonb, jsonb) from public;

-- Results of the questions of one attempt, in their order: [{question_id, points, max_points, correct}].
-- points is null where staff must grade; what they gave before is kept (p_manual: id to points).
create function private.grade(
  p_lesson_id uuid, p_questions jsonb, p_answers jsonb, p_manual jsonb
) returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_agg(jsonb_build_object(
           'question_id', g.id, 'points', g.points, 'max_points', g.max_points,
           'correct', g.points = g.max_points) order by g.place)
    from (
      select s.place, s.body ->> 'id' as id, (s.body ->> 'points')::numeric as max_points,
             case when s.body ->> 'kind' = 'free_text'
               then (p_manual ->> (s.body ->> 'id'))::numeric
               else round((s.body ->> 'points')::numeric * private.fraction(
                 s.body ->> 'kind', s.body ->> 'scoring', q.key,
                 p_answers -> (s.body ->> 'id') -> 'answer'), 4) end as points
        from private.elements(p_questions) s
        left join private.questions q on q.lesson_id = p_lesson_id and q.id = s.body ->> 'id'
    ) as g
$$;
comment on function private.grade(uuid, jsonb, jsonb, jsonb) is
  'Grades answers against the keys as they are now.';
revoke execute on function private.grade(uuid, jsonb, jsonb, jsonb) from public;
grant execute on function private.grade(uuid, jsonb, jsonb, jsonb) to waymark_writer;

-- Rounding never turns a fail into a pass: a failed attempt shows less than the pass mark.
create function private.score_percent(p_score numeric, p_max numeric, p_pass integer) returns numeric
language sql immutable parallel safe security invoker set search_path = ''
return case
  when p_max <= 0 then 0
  when p_score * 100 >= p_pass * p_max
    then least(greatest(round(p_score * 100 / p_max, 2), p_pass), 100)
  else least(round(p_score * 100 / p_max, 2), p_pass - 0.01)
end;
comment on function private.score_percent(numeric, numeric, integer) is
  'Percent to 2 places, on the side of the pass mark on which the exact score lies.';
revoke execute on function private.score_percent(numeric, numeric, integer) from public;
grant execute on function private.score_percent(numeric, numeric, integer) to waymark_writer;

-- The questions of a new attempt: all that are in no pool, and as many of each pool as it draws; in
-- order, options shuffled where the lesson says so. This is what the attempt freezes.
create function private.draw_questions(l public.lessons) returns jsonb
language sql volatile security definer set search_path = ''
as $$
  with ranked as (
    select q.*, row_number() over (partition by q.pool order by random()) as draw
      from private.questions q
     where q.lesson_id = (l).id and q.removed_at is null
  )
  select jsonb_agg(
           case when (l).shuffle_options and r.body ? 'options'
             then private.question_json(r.id, r.kind, r.points, r.body) || jsonb_build_object(
               'options', (select jsonb_agg(o.body order by random())
                             from private.elements(r.body -> 'options') o))
             else private.question_json(r.id, r.kind, r.points, r.body) end
           order by r.position, r.id)
    from ranked r
   where r.pool is null or r.draw <= coalesce(((l).question_pools ->> r.pool)::integer, 0)
$$;
comment on function private.draw_questions(public.lessons) is
  'The frozen question set of a new attempt; null when the lesson has no quiz.';
revoke execute on function private.draw_questions(public.lessons) from public;
grant execute on function private.draw_questions(public.lessons) to waymark_writer;

create function private.revealed_keys(p_lesson_id uuid, p_questions jsonb, p_results jsonb)
returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_agg(r.body || jsonb_build_object('key', q.key, 'explanation', q.explanation)
           order by r.place)
    from private.elements(p_results) r
    left join private.questions q
      on q.lesson_id = p_lesson_id and q.id = r.body ->> 'question_id'
   where p_questions @> jsonb_build_array(jsonb_build_object('id', r.body ->> 'question_id'))
$$;
comment on function private.revealed_keys(uuid, jsonb, jsonb) is
  'Results with keys and explanations, for an attempt that the reveal policy has opened.';
revoke execute on function private.revealed_keys(uuid, jsonb, jsonb) from public;
grant execute on function private.revealed_keys(uuid, jsonb, jsonb) to waymark_writer;
