-- Quizzes: what is asked (readable) and what is right (never readable).
--
-- Questions and keys live in private.questions. lessons.quiz_data is derived from it: what anyone who
-- may read the lesson may see before an attempt. A timed, limited or pooled quiz shows no question
-- there, since whoever has seen them all has used the attempt; nor does one with a window.

select private.require_free(array[
  'private.decimal_text', 'private.faults_of_quizzes', 'private.fold_text',
  'private.is_closed_quiz', 'private.item_id', 'private.name_options', 'private.name_questions',
  'private.questions', 'private.quiz_faults',
  'private.quiz_questions', 'private.quiz_rows', 'private.save_quiz', 'private.set_quiz',
  'private.texts', 'private.tg_lessons__quiz_data', 'private.write_quizzes', 'public.set_quiz']);

alter table public.lessons
  add column max_attempts integer check (max_attempts between 1 and 1000),
  add column time_limit_seconds integer check (time_limit_seconds between 5 and 604800),
  add column attempt_cooldown_seconds integer
    check (attempt_cooldown_seconds between 1 and 31536000),
  add column quiz_available_from timestamptz,
  add column quiz_available_until timestamptz
    constraint quiz_window_is_valid check (quiz_available_until > quiz_available_from),
  add column reveal_policy text not null default 'after_submit'
    constraint reveal_policy_is_valid check (
      reveal_policy in ('never', 'after_submit', 'after_pass', 'after_last_attempt')),
  add column score_policy text not null default 'best'
    constraint score_policy_is_valid check (score_policy in ('best', 'last', 'first', 'average')),
  add column shuffle_options boolean not null default false,
  add column question_pools jsonb not null default '{}'
    constraint question_pools_is_object check (jsonb_typeof(question_pools) = 'object');
comment on column public.lessons.reveal_policy is
  'When a learner sees results, keys and explanations of a submitted attempt.';
comment on column public.lessons.score_policy is 'Which attempt''s percent is reported as the quiz''s.';
comment on column public.lessons.question_pools is
  'Pool name to the number of its questions that each attempt draws.';

create table private.questions (
  lesson_id uuid not null references public.lessons (id) on delete cascade,
  id text not null check (id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$'),
  position integer not null,
  kind text not null
    constraint kind_is_valid check (kind in (
      'single_choice', 'multiple_choice', 'true_false', 'numeric', 'short_text', 'ordering',
      'matching', 'free_text')),
  points numeric(8, 2) not null check (points > 0),
  pool text,
  body jsonb not null,
  key jsonb not null,
  explanation text,
  removed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (lesson_id, id)
);
comment on table private.questions is
  'Questions with their keys. body is what a learner may see; key and explanation are not.';
comment on column private.questions.removed_at is
  'Taken out of the quiz; kept for the attempts that had it.';
alter table private.questions enable row level security;
revoke all on table private.questions from public, anon, authenticated, service_role, waymark_writer;
create policy "Nobody reads keys" on private.questions for select to authenticated using (false);
create trigger _900_touch before update on private.questions
  for each row execute function private.tg_touch_updated_at();

-- Normal forms --------------------------------------------------------------------------------------

-- NFKC, one space for any run of them, and case folded: lower case by the Unicode table whatever the
-- database's locale, and the two letters whose folding is not their lower case.
create function private.fold_text(p_text text) returns text
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return replace(replace(
    lower(btrim(regexp_replace(
      normalize(p_text, NFKC) collate pg_catalog.pg_c_utf8, '\s+', ' ', 'g'))),
    U&'\00DF', 'ss'), U&'\03C2', U&'\03C3');
end
$$;
comment on function private.fold_text(text) is
  'Short answers are compared in this form: NFKC, white space folded and trimmed, lower case.';
revoke execute on function private.fold_text(text) from public;

create function private.decimal_text(p_value jsonb) returns numeric
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return case
    when jsonb_typeof(p_value) in ('number', 'string')
     and length(p_value #>> '{}') <= 64
     and p_value #>> '{}' ~ '^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?$'
    then (p_value #>> '{}')::numeric end;
end
$$;
comment on function private.decimal_text(jsonb) is
  'A decimal number given as a JSON number or as text, exact; null when it is none.';
revoke execute on function private.decimal_text(jsonb) from public;

-- An item of an ordering or matching question is named after its text alone, so neither its id nor the
-- place it is stored at says where it belongs.
create function private.item_id(p_question_id text, p_side text, p_text text) returns text
language sql immutable parallel safe security invoker set search_path = ''
return left(md5(p_question_id || ':' || p_side || ':' || p_text), 10);
comment on function private.item_id(text, text, text) is 'Id of an ordering or matching item.';
revoke execute on function private.item_id(text, text, text) from public;

-- Reading a quiz ------------------------------------------------------------------------------------

create function private.quiz_questions(p_quiz jsonb)
returns table (place integer, id text, kind text, points numeric, pool text, body jsonb)
language sql immutable security invoker set search_path = ''
as $$
  select e.place, coalesce(e.body ->> 'id', 'q' || (e.place + 1)), e.body ->> 'kind',
         coalesce(private.decimal_text(e.body -> 'points'), 1), e.body ->> 'pool', e.body
    from private.elements(p_quiz -> 'questions') as e
$$;
comment on function private.quiz_questions(jsonb) is 'The questions of a quiz as its author wrote them.';
revoke execute on function private.quiz_questions(jsonb) from public;

create function private.texts(p_list jsonb) returns text[]
language sql immutable parallel safe security invoker set search_path = ''
as $$
  select coalesce(array_agg(e.value order by e.n), '{}')
    from jsonb_array_elements_text(
      case when jsonb_typeof(p_list) = 'array' then p_list else '[]' end)
      with ordinality as e (value, n)
$$;
comment on function private.texts(jsonb) is 'A JSON list as text array; empty for what is no list.';
revoke execute on function private.texts(jsonb) from public;

-- Ids that the author left out. Identity is by text: a question (or option) keeps the id it has, so
-- that one inserted before it never takes over its answers, in open attempts or in a regrade. What is
-- new in a quiz that is already there is named after its text.
create function private.name_options(p_options jsonb, p_known jsonb) returns jsonb
language sql immutable security invoker set search_path = ''
as $$
  with given as (
    select e.place, e.body, e.body ->> 'id' as id, e.body ->> 'text' as text,
           row_number() over (
             partition by e.body ->> 'text', e.body ? 'id' order by e.place) as nth
      from private.elements(p_options) e
  ),
  known as (
    select k.body ->> 'id' as id, k.body ->> 'text' as text,
           row_number() over (partition by k.body ->> 'text' order by k.place) as nth
      from private.elements(p_known) k
     where k.body ->> 'id' not in (select g.id from given g where g.id is not null)
  )
  select coalesce(jsonb_agg(
           g.body || jsonb_build_object('id', coalesce(g.id, k.id, case
             when p_known is null then 'o' || (g.place + 1)
             else 'o' || left(md5(g.text || ':' || g.nth), 10) end))
           order by g.place), '[]')
    from given g
    left join known k on g.id is null and k.text = g.text and k.nth = g.nth
$$;
comment on function private.name_options(jsonb, jsonb) is
  'Options with the ids that they have, or new ones.';
revoke execute on function private.name_options(jsonb, jsonb) from public;

create function private.name_questions(p_lesson_id uuid, p_quiz jsonb) returns jsonb
language sql stable security definer set search_path = ''
as $$
  with given as (
    select e.place, e.body, e.body ->> 'id' as id, e.body ->> 'kind' as kind,
           e.body ->> 'text' as text,
           row_number() over (
             partition by e.body ->> 'kind', e.body ->> 'text', e.body ? 'id' order by e.place) as nth
      from private.elements(p_quiz -> 'questions') e
  ),
  known as (
    select q.id, q.kind, q.body ->> 'text' as text,
           row_number() over (
             partition by q.kind, q.body ->> 'text'
             order by q.removed_at is not null, q.position, q.id) as nth
      from private.questions q
     where q.lesson_id = p_lesson_id
       and q.id not in (select g.id from given g where g.id is not null)
  ),
  named as (
    select g.place, g.body, coalesce(g.id, k.id, case
             when not exists (select from private.questions q where q.lesson_id = p_lesson_id)
             then 'q' || (g.place + 1)
             else 'q' || left(md5(g.kind || ':' || g.text || ':' || g.nth), 10) end) as id
      from given g
      left join known k on g.id is null and k.kind = g.kind and k.text = g.text and k.nth = g.nth
  )
  select p_quiz || jsonb_build_object('questions', jsonb_agg(
           n.body || jsonb_build_object('id', n.id) || case
             when n.body ->> 'kind' in ('single_choice', 'multiple_choice') then jsonb_build_object(
               'options', private.name_options(n.body -> 'options', q.body -> 'options'))
             else '{}' end
           order by n.place))
    from named n
    left join private.questions q on q.lesson_id = p_lesson_id and q.id = n.id
$$;
comment on function private.name_questions(uuid, jsonb) is
  'A faultless quiz with the ids that its questions and options have, or new ones.';
revoke execute on function private.name_questions(uuid, jsonb) from public;

-- Everything that makes a question unanswerable or ungradable, by question.
create function private.quiz_faults(p_quiz jsonb)
returns table (question text, reason text)
language sql stable security invoker set search_path = ''
as $$
  with q as (
    select x.*, jsonb_typeof(x.body) = 'object' as is_object,
           (select count(*) from private.elements(x.body -> 'options')) as options,
           (select count(*) from private.elements(x.body -> 'options') o
             where o.body -> 'correct' = 'true') as correct
      from private.quiz_questions(p_quiz) x
  )
  select null::text, 'the quiz must be an object with a list "questions"'
   where jsonb_typeof(p_quiz) is distinct from 'object'
      or jsonb_typeof(p_quiz -> 'questions') is distinct from 'array'
  union all
  select null, 'shuffle_options must be true or false'
   where p_quiz ? 'shuffle_options'
     and jsonb_typeof(p_quiz -> 'shuffle_options') not in ('boolean', 'null')
  union all
  select null, 'pools must be an object: a name to the number of questions drawn'
   where p_quiz ? 'pools' and jsonb_typeof(p_quiz -> 'pools') not in ('object', 'null')
  union all
  select null, 'the quiz has no question' where p_quiz -> 'questions' = '[]'
  union all
  select null, 'the quiz has more than 1000 questions'
   where jsonb_array_length(case when jsonb_typeof(p_quiz -> 'questions') = 'array'
     then p_quiz -> 'questions' else '[]' end) > 1000
  union all
  select q.id, 'must be an object' from q where not q.is_object
  union all
  select q.id, 'the id stands more than once' from q group by q.id having count(*) > 1
  union all
  select q.id, 'bad id' from q where q.id !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$'
  union all
  select q.id, 'unknown kind ' || coalesce(left(q.kind, 40), 'null') from q
   where q.is_object and coalesce(q.kind, '') <> all (array[
     'single_choice', 'multiple_choice', 'true_false', 'numeric', 'short_text', 'ordering',
     'matching', 'free_text'])
  union all
  select q.id, 'text is missing' from q
   where q.is_object and coalesce(btrim(q.body ->> 'text'), '') = ''
  union all
  select q.id, 'points must be a number above 0, with at most 2 decimals' from q
   where q.is_object and q.body ? 'points'
     and (private.decimal_text(q.body -> 'points') is null or q.points <= 0
          or q.points > 100000 or q.points <> round(q.points, 2))
  union all
  select q.id, 'no correct option' from q
   where q.kind in ('single_choice', 'multiple_choice') and q.correct = 0
  union all
  select q.id, q.correct || ' correct options in a single choice' from q
   where q.kind = 'single_choice' and q.correct > 1
  union all
  select q.id, 'needs at least two options' from q
   where q.kind in ('single_choice', 'multiple_choice') and q.options < 2
  union all
  select q.id, 'an option has no text' from q
   where q.kind in ('single_choice', 'multiple_choice') and exists (
     select from private.elements(q.body -> 'options') o
      where coalesce(btrim(o.body ->> 'text'), '') = '')
  union all
  select q.id, 'an option id stands more than once' from q
   where q.kind in ('single_choice', 'multiple_choice') and exists (
     select from private.elements(q.body -> 'options') o
      group by coalesce(o.body ->> 'id', 'o' || (o.place + 1)) having count(*) > 1)
  union all
  select q.id, 'correct must be true or false' from q
   where q.kind = 'true_false' and jsonb_typeof(q.body -> 'correct') is distinct from 'boolean'
  union all
  select q.id, 'answer must be a number' from q
   where q.kind = 'numeric' and private.decimal_text(q.body -> 'answer') is null
  union all
  select q.id, 'tolerance must be a number not below 0' from q
   where q.kind = 'numeric' and q.body ? 'tolerance'
     and coalesce(private.decimal_text(q.body -> 'tolerance'), -1) < 0
  union all
  select q.id, 'accepted must name at least one answer' from q
   where q.kind = 'short_text' and not exists (
     select from unnest(private.texts(q.body -> 'accepted')) a where private.fold_text(a) <> '')
  union all
  select q.id, 'items must be at least two different texts' from q
   where q.kind = 'ordering' and (
     select count(distinct i) < 2 or count(distinct i) <> count(*)
       from unnest(private.texts(q.body -> 'items')) i)
  union all
  select q.id, 'pairs must be at least two, each left and right text once' from q
   where q.kind = 'matching' and (
     select count(*) < 2 or count(distinct p.body ->> 'left') <> count(*)
         or count(distinct p.body ->> 'right') <> count(*)
       from private.elements(q.body -> 'pairs') p)
  union all
  select q.id, 'scoring must be all_or_nothing or partial' from q
   where q.body ? 'scoring' and coalesce(q.body ->> 'scoring', '') <> all (array[
     'all_or_nothing', 'partial'])
  union all
  select q.id, 'pool ' || q.pool || ' draws nothing: give its number in pools' from q
   where q.pool is not null and p_quiz -> 'pools' -> q.pool is null
  union all
  select null, 'pool ' || d.key || ' draws more questions than it has, or fewer than one'
    from jsonb_each(case when jsonb_typeof(p_quiz -> 'pools') = 'object'
      then p_quiz -> 'pools' else '{}' end) as d
   where private.is_json(d.value, 'integer') is not true
      or d.value::numeric < 1
      or d.value::numeric > (select count(*) from q where q.pool = d.key)
$$;
comment on function private.quiz_faults(jsonb) is
  'Every reason why a quiz cannot be given or graded, with the question it lies in.';
revoke execute on function private.quiz_faults(jsonb) from public;

-- Splits each question into what a learner sees and what is right.
create function private.quiz_rows(p_quiz jsonb)
returns table (
  id text, place integer, kind text, points numeric, pool text, body jsonb, key jsonb,
  explanation text)
language sql immutable security invoker set search_path = ''
as $$
  select q.id, q.place, q.kind, q.points, q.pool,
         jsonb_strip_nulls(jsonb_build_object(
           'id', q.id,
           'kind', q.kind,
           'points', q.points,
           'text', q.body ->> 'text',
           'media', q.body -> 'media',
           'scoring', case when q.kind in ('multiple_choice', 'ordering', 'matching')
             then coalesce(q.body ->> 'scoring', 'all_or_nothing') end,
           'options', case q.kind
             when 'single_choice' then o.options
             when 'multiple_choice' then o.options
             when 'ordering' then (
               select jsonb_agg(jsonb_build_object('id', i.id, 'text', i.text) order by i.id)
                 from (select private.item_id(q.id, '', t) as id, t as text
                         from unnest(private.texts(q.body -> 'items')) t) i) end,
           'left', case when q.kind = 'matching' then (
             select jsonb_agg(jsonb_build_object(
                      'id', private.item_id(q.id, 'left', p.body ->> 'left'),
                      'text', p.body ->> 'left') order by p.place)
               from private.elements(q.body -> 'pairs') p) end,
           'right', case when q.kind = 'matching' then (
             select jsonb_agg(jsonb_build_object('id', r.id, 'text', r.text) order by r.id)
               from (
                 select private.item_id(q.id, 'right', t) as id, t as text
                   from (select p.body ->> 'right' as t
                           from private.elements(q.body -> 'pairs') p
                         union
                         select d from unnest(private.texts(q.body -> 'distractors')) d) x) r) end)),
         case q.kind
           when 'single_choice' then jsonb_build_object('correct', o.correct -> 0)
           when 'multiple_choice' then jsonb_build_object('correct', o.correct)
           when 'true_false' then jsonb_build_object('correct', q.body -> 'correct')
           when 'numeric' then jsonb_build_object(
             'answer', private.decimal_text(q.body -> 'answer')::text,
             'tolerance', coalesce(private.decimal_text(q.body -> 'tolerance'), 0)::text)
           when 'short_text' then jsonb_build_object(
             'accepted', q.body -> 'accepted',
             'folded', (
               select jsonb_agg(distinct private.fold_text(a))
                 from unnest(private.texts(q.body -> 'accepted')) a))
           when 'ordering' then jsonb_build_object('correct', (
             select jsonb_agg(private.item_id(q.id, '', t.text) order by t.n)
               from unnest(private.texts(q.body -> 'items')) with ordinality as t (text, n)))
           when 'matching' then jsonb_build_object('correct', (
             select jsonb_object_agg(private.item_id(q.id, 'left', p.body ->> 'left'),
                      private.item_id(q.id, 'right', p.body ->> 'right'))
               from private.elements(q.body -> 'pairs') p))
           else '{}'
         end,
         q.body ->> 'explanation'
    from private.quiz_questions(p_quiz) q
   cross join lateral (
     select jsonb_agg(jsonb_build_object(
              'id', coalesce(x.body ->> 'id', 'o' || (x.place + 1)), 'text', x.body ->> 'text')
              order by x.place) as options,
            coalesce(jsonb_agg(coalesce(x.body ->> 'id', 'o' || (x.place + 1)) order by x.place)
              filter (where x.body -> 'correct' = 'true'), '[]') as correct
       from private.elements(q.body -> 'options') x
   ) as o
$$;
comment on function private.quiz_rows(jsonb) is
  'A quiz''s questions as rows: body for learners, key and explanation for grading.';
revoke execute on function private.quiz_rows(jsonb) from public;

-- What may be seen before an attempt ----------------------------------------------------------------

create function private.is_closed_quiz(l public.lessons) returns boolean
language sql immutable security invoker set search_path = ''
return (l).max_attempts is not null or (l).time_limit_seconds is not null
  or (l).question_pools <> '{}'
  or (l).quiz_available_from is not null or (l).quiz_available_until is not null;
comment on function private.is_closed_quiz(public.lessons) is
  'Timed, pooled, limited or with a window: questions show inside an attempt only.';
revoke execute on function private.is_closed_quiz(public.lessons) from public;

create function private.tg_lessons__quiz_data() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  select case when count(*) > 0 then jsonb_strip_nulls(jsonb_build_object(
           'total_questions', count(*) filter (where q.pool is null) + (
             select coalesce(sum(d.value::integer), 0) from jsonb_each_text(new.question_pools) d),
           'shuffle_options', new.shuffle_options,
           'questions', case when not private.is_closed_quiz(new) then
             jsonb_agg(q.body order by q.position)
           end)) end
    into new.quiz_data
    from private.questions q
   where q.lesson_id = new.id and q.removed_at is null;
  return new;
end
$$;
comment on function private.tg_lessons__quiz_data() is 'Derives quiz_data from the questions.';
revoke execute on function private.tg_lessons__quiz_data() from public;

create trigger _200_quiz_data before update of quiz_data, max_attempts, time_limit_seconds,
  quiz_available_from, quiz_available_until, question_pools, shuffle_options on public.lessons
  for each row execute function private.tg_lessons__quiz_data();

-- Writing a quiz ------------------------------------------------------------------------------------

-- Many at once, {lesson id: quiz, or null for none}: an import can hold thousands, and one after the
-- other each would cost milliseconds.

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

create function private.save_quiz(p_lesson_id uuid, p_quiz jsonb) returns boolean
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
comment on function private.save_quiz(uuid, jsonb) is
  'Replaces a lesson''s questions; null removes them. Returns whether anything changed.';
revoke execute on function private.save_quiz(uuid, jsonb) from public;

create function private.set_quiz(p_lesson_id uuid, p_quiz jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  l public.lessons := private.edit_lesson(p_lesson_id);
  v_changed boolean;
begin
  v_changed := private.save_quiz(p_lesson_id, p_quiz);
  if v_changed then
    perform private.audit('lesson.quiz', l.course_id, null, 'lesson:' || l.id, null,
      l.quiz_data - 'questions',
      (select x.quiz_data - 'questions' from public.lessons x where x.id = l.id));
  end if;
  return jsonb_build_object('changed', v_changed,
    'quiz_data', (select x.quiz_data from public.lessons x where x.id = l.id));
end
$$;
comment on function private.set_quiz(uuid, jsonb) is 'Authors: replaces a lesson''s quiz, audited.';
revoke execute on function private.set_quiz(uuid, jsonb) from public;

create function public.set_quiz(p_lesson_id uuid, p_quiz jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.set_quiz(p_lesson_id, p_quiz); end;
comment on function public.set_quiz(uuid, jsonb) is
  'Authors and admins: replaces a lesson''s questions and keys; null removes them.';
revoke execute on function public.set_quiz(uuid, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.set_quiz(uuid, jsonb), private.set_quiz(uuid, jsonb)
  to authenticated, service_role;

grant insert (max_attempts, time_limit_seconds, attempt_cooldown_seconds, quiz_available_from,
    quiz_available_until, reveal_policy, score_policy),
  update (max_attempts, time_limit_seconds, attempt_cooldown_seconds, quiz_available_from,
    quiz_available_until, reveal_policy, score_policy)
  on table public.lessons to service_role;
