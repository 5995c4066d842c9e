-- Grading: exact, set-based, and the only place that reads keys. Runs as the migrating role, so that the
-- write path (waymark_writer) can have an attempt graded without being able to read a key.

select private.require_free(array[
  'private.answer_fault', 'private.draw_questions', 'private.fraction', 'private.grade',
  'private.has_passed', 'private.revealed_keys', 'private.score_percent', 'private.total_points']);

-- plpgsql throughout, expressions rather than queries where there is one, and no helper called per row: a function with a search_path of its own is never
-- inlined, SQL functions are planned anew in every query, and an attempt may have a thousand questions.

-- Shape of an answer, against the question as the learner was shown it. Null clears an answer.
create function private.answer_fault(p_question jsonb, p_answer jsonb) returns text
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  v_ids jsonb;
begin
  if p_answer is null or p_answer = 'null' then
    return null;
  end if;
  case p_question ->> 'kind'
    when 'single_choice' then
      if jsonb_typeof(p_answer) <> 'string'
         or not p_question -> 'options' @> jsonb_build_array(jsonb_build_object('id', p_answer))
      then
        return 'must be the id of one option';
      end if;
    when 'multiple_choice' then
      v_ids := jsonb_path_query_array(p_question, '$.options[*].id');
      if jsonb_typeof(p_answer) <> 'array' or not v_ids @> p_answer then
        return 'must be a list of different option ids';
      elsif jsonb_array_length(p_answer) <> jsonb_array_length(jsonb_path_query_array(
        v_ids, '$[*] ? (@ == $chosen[*])', jsonb_build_object('chosen', p_answer)))
      then
        return 'must be a list of different option ids';
      end if;
    when 'true_false' then
      if jsonb_typeof(p_answer) <> 'boolean' then
        return 'must be true or false';
      end if;
    when 'numeric' then
      if private.decimal_text(p_answer) is null then
        return 'must be a decimal number';
      end if;
    when 'short_text' then
      if jsonb_typeof(p_answer) <> 'string' or char_length(p_answer #>> '{}') > 1000 then
        return 'must be a text of at most 1000 characters';
      end if;
    when 'ordering' then
      v_ids := jsonb_path_query_array(p_question, '$.options[*].id');
      if jsonb_typeof(p_answer) <> 'array' then
        return 'must be a list of all item ids, each once';
      elsif jsonb_array_length(p_answer) <> jsonb_array_length(v_ids)
         or not (v_ids @> p_answer and p_answer @> v_ids)
      then
        return 'must be a list of all item ids, each once';
      end if;
    when 'matching' then
      if jsonb_typeof(p_answer) <> 'object' then
        return 'must map ids of the left to ids of the right';
      elsif not (
        jsonb_path_query_array(p_question, '$.left[*].id')
          @> jsonb_path_query_array(p_answer, '$.keyvalue().key')
        and jsonb_path_query_array(p_question, '$.right[*].id')
          @> jsonb_path_query_array(p_answer, '$.*'))
      then
        return 'must map ids of the left to ids of the right';
      end if;
    when 'free_text' then
      if jsonb_typeof(p_answer) <> 'string' or char_length(p_answer #>> '{}') > 100000 then
        return 'must be a text of at most 100000 characters';
      end if;
  end case;
  return null;
end
$$;
comment on function private.answer_fault(jsonb, jsonb) is
  'Why an answer does not fit its question, or null.';
revoke execute on function private.answer_fault(jsonb, jsonb) from public;
grant execute on function private.answer_fault(jsonb, jsonb) to waymark_writer;

-- The part of a question's points that an answer earns, 0 to 1; null where a person must say.
create function private.fraction(p_kind text, p_scoring text, p_key jsonb, p_answer jsonb)
returns numeric
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  v_correct jsonb := p_key -> 'correct';
  v_hits integer;
begin
  if p_kind = 'free_text' then
    return null;
  elsif p_answer is null or p_answer = 'null' then
    return 0;
  end if;
  case p_kind
    when 'single_choice', 'true_false' then
      return (p_answer = v_correct)::integer;
    when 'numeric' then
      return (abs(private.decimal_text(p_answer) - (p_key ->> 'answer')::numeric)
        <= (p_key ->> 'tolerance')::numeric)::integer;
    when 'short_text' then
      return (p_key -> 'folded' ? private.fold_text(p_answer #>> '{}'))::integer;
    when 'multiple_choice' then
      if p_scoring = 'partial' then
        v_hits := jsonb_array_length(jsonb_path_query_array(
          p_answer, '$[*] ? (@ == $correct[*])', p_key));
        return greatest(0, 2 * v_hits - jsonb_array_length(p_answer))::numeric
          / jsonb_array_length(v_correct);
      end if;
      -- Lists of different ids: each holds the other.
      return (p_answer @> v_correct and v_correct @> p_answer)::integer;
    when 'ordering' then
      if p_scoring = 'partial' then
        return (
          select count(*) filter (where a.id = v_correct -> (a.n - 1)::integer)::numeric
                 / jsonb_array_length(v_correct)
            from jsonb_array_elements(p_answer) with ordinality as a (id, n));
      end if;
      return (p_answer = v_correct)::integer;
    when 'matching' then
      if p_scoring = 'partial' then
        return (
          select count(*) filter (where p_answer -> k.key = k.value)::numeric / count(*)
            from jsonb_each(v_correct) as k);
      end if;
      return (p_answer @> v_correct)::integer;
  end case;
end
$$;
comment on function private.fraction(text, text, jsonb, jsonb) is
  'Share of a question''s points that an answer earns; partial credit: multiple choice (right - wrong) / keys, not below 0; ordering and matching by places.';
revoke execute on function private.fraction(text, text, jsonb, jsonb) from public;

-- Results of the questions of one attempt, in their order: [{question_id, points, max_points, correct}].
-- points is null where staff must grade; what they gave before is kept (p_manual: id to points). Twelve
-- places, so that thirds that add up to a whole do so in the sum (private.total_points).
create function private.grade(
  p_lesson_id uuid, p_questions jsonb, p_answers jsonb, p_manual jsonb
) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    -- Materialised: each answer is looked at once.
    with graded as materialized (
        select s.place, s.id, s.points as max_points,
               trim_scale(case
                 when s.kind = 'free_text' then (p_manual ->> s.id)::numeric
                 else round(s.points * coalesce(private.fraction(
                   s.kind, s.scoring, q.key, x.value -> 'answer'), 0), 12) end) as points
          from (
            select e.place, e.body ->> 'id' as id, e.body ->> 'kind' as kind,
                   e.body ->> 'scoring' as scoring, (e.body ->> 'points')::numeric as points
              from jsonb_array_elements(p_questions) with ordinality as e (body, place)
          ) as s
          -- offset 0: one probe per question, whatever the statistics say.
          left join lateral (
            select k.key from private.questions k
             where k.lesson_id = p_lesson_id and k.id = s.id
            offset 0) as q on true
          left join jsonb_each(p_answers) as x on x.key = s.id
    )
    select jsonb_agg(jsonb_build_object(
             'question_id', g.id, 'points', g.points, 'max_points', g.max_points,
             'correct', g.points = g.max_points) order by g.place)
      from graded g);
end
$$;
comment on function private.grade(uuid, jsonb, jsonb, jsonb) is
  'Grades answers against the keys as they are now.';
revoke execute on function private.grade(uuid, jsonb, jsonb, jsonb) from public;
grant execute on function private.grade(uuid, jsonb, jsonb, jsonb) to waymark_writer;

create function private.total_points(p_results jsonb) returns numeric
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  return (
    select coalesce(round(sum((r ->> 'points')::numeric), 9), 0)
      from jsonb_array_elements(p_results) r);
end
$$;
comment on function private.total_points(jsonb) is
  'The points of all results; what their twelve places lack of the exact sum is rounded away.';
revoke execute on function private.total_points(jsonb) from public;
grant execute on function private.total_points(jsonb) to waymark_writer;

create function private.has_passed(p_score numeric, p_max numeric, p_pass integer) returns boolean
language sql immutable parallel safe security invoker set search_path = ''
return p_max > 0 and p_score * 100 >= p_pass * p_max;
comment on function private.has_passed(numeric, numeric, integer) is
  'A score on the pass mark passes.';
revoke execute on function private.has_passed(numeric, numeric, integer) from public;
grant execute on function private.has_passed(numeric, numeric, integer) to waymark_writer;

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
create function private.reported_percent(p_policy text, p_percents numeric[]) returns numeric
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return case p_policy
    when 'first' then p_percents[1]
    when 'last' then p_percents[cardinality(p_percents)]
    when 'average' then (select round(avg(p), 2) from unnest(p_percents) p)
    else (select max(p) from unnest(p_percents) p) end;
end
$$;
comment on function private.reported_percent(text, numeric[]) is
  'What a score policy reports of the percents of a learner''s graded attempts, in their order.';
revoke execute on function private.reported_percent(text, numeric[]) from public;
grant execute on function private.reported_percent(text, numeric[]) to waymark_writer;

create function private.draw_questions(l public.lessons) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if l.question_pools = '{}' and not l.shuffle_options then
    return (
      select jsonb_agg(q.body order by q.position, q.id)
        from private.questions q
       where q.lesson_id = l.id and q.removed_at is null and q.pool is null);
  end if;
  return (
    select jsonb_agg(
             case when l.shuffle_options and r.body ? 'options'
               then r.body || jsonb_build_object(
                 'options', (select jsonb_agg(o order by random())
                               from jsonb_array_elements(r.body -> 'options') o))
               else r.body end
             order by r.position, r.id)
      from (
        select q.id, q.position, q.pool, q.body,
               row_number() over (partition by q.pool order by random()) as draw
          from private.questions q
         where q.lesson_id = l.id and q.removed_at is null
      ) as r
     where r.pool is null or r.draw <= coalesce((l.question_pools ->> r.pool)::integer, 0));
end
$$;
comment on function private.draw_questions(public.lessons) is
  'The frozen question set of a new attempt; null when the lesson has no quiz.';
revoke execute on function private.draw_questions(public.lessons) from public;
grant execute on function private.draw_questions(public.lessons) to waymark_writer;

-- json, not jsonb, from here to the answer: text is put together once, where jsonb would be taken apart
-- and built again at every level.
create function private.revealed_keys(p_lesson_id uuid, p_results jsonb) returns json
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select json_agg(json_build_object(
               'question_id', r.body -> 'question_id',
               'points', r.body -> 'points',
               'max_points', r.body -> 'max_points',
               'correct', r.body -> 'correct',
               'key', q.key - 'folded',
               'explanation', q.explanation)
             order by r.place)
      from jsonb_array_elements(p_results) with ordinality as r (body, place)
      left join lateral (
        select k.* from private.questions k
         where k.lesson_id = p_lesson_id and k.id = r.body ->> 'question_id'
        offset 0) as q on true);
end
$$;
comment on function private.revealed_keys(uuid, jsonb) is
  'Results with keys and explanations, for an attempt that the reveal policy has opened.';
revoke execute on function private.revealed_keys(uuid, jsonb) from public;
grant execute on function private.revealed_keys(uuid, jsonb) to waymark_writer;
