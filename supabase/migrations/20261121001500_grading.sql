-- Grading: exact, set-based, and the only place that reads keys. Runs as the migrating role, so that the
-- write path (waymark_writer) can have an attempt graded without being able to read a key.

select private.require_free(array[
  'private.draw_questions', 'private.grade', 'private.grading', 'private.has_passed',
  'private.revealed_keys', 'private.score_percent']);

-- plpgsql throughout, one query each, and no helper called per row: a function with a search_path of its
-- own is never inlined, and an attempt may have a thousand questions.

-- What a grading says. points: by question, in their order; null where a person must say, and then there
-- is no score yet.
create type private.grading as (points numeric[], score numeric, correct_count integer);

-- p_manual: what staff gave, question id to points. p_kept: points that stay where keys would decide.
-- Twelve places, so that thirds that add up to a whole do so in the sum, which is rounded to nine.
-- Partial credit: multiple choice (right - wrong) / keys, not below 0; ordering and matching by places.
create function private.grade(
  p_lesson_id uuid, p_questions jsonb, p_answers jsonb, p_manual jsonb, p_kept numeric[] default null
) returns private.grading
language plpgsql stable security definer set search_path = ''
as $$
declare
  g private.grading;
begin
  select array_agg(r.points order by r.place),
         case when bool_and(r.points is not null) then round(sum(r.points), 9) end,
         count(*) filter (where r.points = r.max_points)
    into g
    from (
      select s.place, s.points as max_points, trim_scale(case
               when s.kind = 'free_text' then (p_manual ->> s.id)::numeric
               when p_kept is not null then p_kept[s.place]
               else round(s.points * coalesce(case s.kind
                 when 'single_choice' then (x.answer = k.correct)::integer
                 when 'true_false' then (x.answer = k.correct)::integer
                 when 'numeric' then (
                   abs((x.answer #>> '{}')::numeric - (k.key ->> 'answer')::numeric)
                     <= (k.key ->> 'tolerance')::numeric)::integer
                 when 'short_text' then
                   (k.key -> 'folded' ? private.fold_text(x.answer #>> '{}'))::integer
                 when 'multiple_choice' then case
                   when s.scoring = 'partial' then
                     greatest(0, 2 * jsonb_array_length(jsonb_path_query_array(
                         x.answer, '$[*] ? (@ == $correct[*])', k.key))
                       - jsonb_array_length(x.answer))::numeric / jsonb_array_length(k.correct)
                   -- Lists of different ids: equal when each holds the other.
                   else (x.answer @> k.correct and k.correct @> x.answer)::integer
                   end
                 when 'ordering' then case
                   when s.scoring = 'partial' then (
                     select count(*) filter (where i.id = k.correct -> (i.n - 1)::integer)::numeric
                            / jsonb_array_length(k.correct)
                       from jsonb_array_elements(x.answer) with ordinality as i (id, n))
                   else (x.answer = k.correct)::integer
                   end
                 when 'matching' then case
                   when s.scoring = 'partial' then (
                     select count(*) filter (where x.answer -> i.key = i.value)::numeric / count(*)
                       from jsonb_each(k.correct) as i)
                   else (x.answer @> k.correct)::integer
                   end
                 end, 0), 12)
               end) as points
        from (
          select e.place, e.body ->> 'id' as id, e.body ->> 'kind' as kind,
                 e.body ->> 'scoring' as scoring, (e.body ->> 'points')::numeric as points
            from jsonb_array_elements(p_questions) with ordinality as e (body, place)
          offset 0
        ) as s
        -- One probe per question, whatever the statistics say.
        left join lateral (
          select q.key, q.key -> 'correct' as correct from private.questions q
           where q.lesson_id = p_lesson_id and q.id = s.id
          offset 0
        ) as k on true
        left join (
          select e.key as id, nullif(e.value -> 'answer', 'null') as answer
            from jsonb_each(p_answers) as e
        ) as x on x.id = s.id
      -- Each answer is looked at once.
      offset 0
    ) as r;
  return g;
end
$$;
comment on function private.grade(uuid, jsonb, jsonb, jsonb, numeric[]) is
  'Grades answers against the keys as they are now.';
revoke execute on function private.grade(uuid, jsonb, jsonb, jsonb, numeric[]) from public;
grant execute on function private.grade(uuid, jsonb, jsonb, jsonb, numeric[]) to waymark_writer;

create function private.has_passed(p_score numeric, p_max numeric, p_pass integer) returns boolean
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return p_max > 0 and p_score * 100 >= p_pass * p_max;
end
$$;
comment on function private.has_passed(numeric, numeric, integer) is
  'A score on the pass mark passes.';
revoke execute on function private.has_passed(numeric, numeric, integer) from public;
grant execute on function private.has_passed(numeric, numeric, integer) to waymark_writer;

-- Rounding never turns a fail into a pass: a failed attempt shows less than the pass mark.
create function private.score_percent(p_score numeric, p_max numeric, p_pass integer) returns numeric
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return case
    when p_max <= 0 then 0
    when p_score * 100 >= p_pass * p_max
      then least(greatest(round(p_score * 100 / p_max, 2), p_pass), 100)
    else least(round(p_score * 100 / p_max, 2), p_pass - 0.01)
  end;
end
$$;
comment on function private.score_percent(numeric, numeric, integer) is
  'Percent to 2 places, on the side of the pass mark on which the exact score lies.';
revoke execute on function private.score_percent(numeric, numeric, integer) from public;
grant execute on function private.score_percent(numeric, numeric, integer) to waymark_writer;

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

-- The questions of a new attempt: all that are in no pool, and as many of each pool as it draws; in
-- order, options shuffled where the lesson says so. This is what the attempt freezes.
create function private.draw_questions(l public.lessons) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- An open quiz shows its questions already put together.
  if l.quiz_data ? 'questions' and not l.shuffle_options then
    return l.quiz_data -> 'questions';
  elsif l.question_pools = '{}' and not l.shuffle_options then
    return (
      select jsonb_agg(q.body order by q.position, q.id)
        from private.questions q
       where q.lesson_id = l.id and q.removed_at is null and q.pool is null);
  end if;
  return (
    select jsonb_agg(
             case when l.shuffle_options and r.body ? 'options'
               then jsonb_set(r.body, '{options}', (
                 select jsonb_agg(o order by random())
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
create function private.revealed_keys(p_lesson_id uuid, p_questions jsonb, p_points numeric[])
returns json
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select json_agg(r)
      from (
        select e.body -> 'id' as question_id, e.points, e.body -> 'points' as max_points,
               e.points = (e.body ->> 'points')::numeric as correct,
               q.key - 'folded' as key, q.explanation
          from rows from (jsonb_array_elements(p_questions), unnest(p_points))
            with ordinality as e (body, points, place)
          left join lateral (
            select k.key, k.explanation from private.questions k
             where k.lesson_id = p_lesson_id and k.id = e.body ->> 'id'
            offset 0) as q on true
         order by e.place
      ) as r);
end
$$;
comment on function private.revealed_keys(uuid, jsonb, numeric[]) is
  'Results by question with keys and explanations, for an attempt that the reveal policy has opened.';
revoke execute on function private.revealed_keys(uuid, jsonb, numeric[]) from public;
grant execute on function private.revealed_keys(uuid, jsonb, numeric[]) to waymark_writer;
