-- Quizzes: what is asked (readable) and what is right (never readable).
--
-- Questions and keys live in private.questions. lessons.quiz_data is derived from it: what anyone who
-- may read the lesson may see before an attempt. A timed, limited or pooled quiz shows no question
-- there, since whoever has seen them all has used the attempt; nor does one with a window.

select private.require_free(array[
  'private.decimal_text', 'private.faults_of_quizzes', 'private.fold_text', 'private.get_quiz',
  'private.is_closed_quiz', 'private.item_id', 'private.name_quizzes', 'private.questions',
  'private.quiz_questions', 'private.quiz_rows', 'private.save_quiz', 'private.set_quiz',
  'private.tg_lessons__quiz_data', 'private.write_quizzes', 'public.get_quiz',
  'public.set_quiz']);

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
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return left(md5(p_question_id || ':' || p_side || ':' || p_text), 10);
end
$$;
comment on function private.item_id(text, text, text) is 'Id of an ordering or matching item.';
revoke execute on function private.item_id(text, text, text) from public;

-- Reading quizzes -----------------------------------------------------------------------------------

-- Many at once, {lesson id: quiz, or null for none}: an import can hold thousands, so each function looks
-- at all of them in one query, and calls no SQL function by question or option.

create function private.quiz_questions(p_quizzes jsonb)
returns table (
  lesson_id uuid, place integer, id text, kind text, points numeric, pool text, body jsonb)
language sql immutable security invoker set search_path = ''
as $$
  select z.key::uuid, (e.n - 1)::integer, coalesce(e.body ->> 'id', 'q' || e.n), e.body ->> 'kind',
         coalesce(private.decimal_text(e.body -> 'points'), 1), e.body ->> 'pool', e.body
    from jsonb_each(p_quizzes) as z
   cross join lateral jsonb_array_elements(
     case when jsonb_typeof(z.value -> 'questions') = 'array' then z.value -> 'questions'
       else '[]' end) with ordinality as e (body, n)
$$;
comment on function private.quiz_questions(jsonb) is
  'The questions of quizzes as their author wrote them.';
revoke execute on function private.quiz_questions(jsonb) from public;

-- Everything that makes a question unanswerable or ungradable.
create function private.faults_of_quizzes(p_quizzes jsonb)
returns table (lesson_id uuid, question text, reason text)
language sql stable security invoker set search_path = ''
as $$
  with quiz as materialized (
    select z.key::uuid as lesson_id, z.value as body,
           case when jsonb_typeof(z.value -> 'pools') = 'object' then z.value -> 'pools'
             else '{}' end as pools
      from jsonb_each(p_quizzes) as z
     where z.value <> 'null'
  ),
  q as materialized (
    select x.*, jsonb_typeof(x.body) = 'object' as is_object, o.options, o.correct, o.texts, o.ids,
           case when jsonb_typeof(x.body -> 'accepted') = 'array' then x.body -> 'accepted'
             else '[]' end as accepted,
           case when jsonb_typeof(x.body -> 'items') = 'array' then x.body -> 'items'
             else '[]' end as items,
           case when jsonb_typeof(x.body -> 'pairs') = 'array' then x.body -> 'pairs'
             else '[]' end as pairs
      from private.quiz_questions(p_quizzes) as x
      -- Counts where the kind has options, else null.
      left join lateral (
        select count(*) as options, count(*) filter (where o.body -> 'correct' = 'true') as correct,
               count(*) filter (where btrim(o.body ->> 'text') <> '') as texts,
               count(distinct coalesce(o.body ->> 'id', 'o' || o.n)) as ids
          from jsonb_array_elements(
            case when jsonb_typeof(x.body -> 'options') = 'array' then x.body -> 'options'
              else '[]' end) with ordinality as o (body, n)
      ) as o on x.kind in ('single_choice', 'multiple_choice')
  )
  select z.lesson_id, null::text, 'the quiz must be an object with a list "questions"'
    from quiz z
   where jsonb_typeof(z.body) <> 'object'
      or jsonb_typeof(z.body -> 'questions') is distinct from 'array'
  union all
  select z.lesson_id, null, 'shuffle_options must be true or false' from quiz z
   where jsonb_typeof(z.body -> 'shuffle_options') not in ('boolean', 'null')
  union all
  select z.lesson_id, null, 'pools must be an object: a name to the number of questions drawn'
    from quiz z
   where jsonb_typeof(z.body -> 'pools') not in ('object', 'null')
  union all
  select z.lesson_id, null, 'the quiz has no question' from quiz z
   where z.body -> 'questions' = '[]'
  union all
  select q.lesson_id, null, 'the quiz has more than 1000 questions' from q
   group by q.lesson_id having count(*) > 1000
  union all
  select q.lesson_id, q.id, 'must be an object' from q where not q.is_object
  union all
  select q.lesson_id, q.id, 'the id stands more than once' from q
   group by q.lesson_id, q.id having count(*) > 1
  union all
  select q.lesson_id, q.id, 'bad id' from q where q.id !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$'
  union all
  select q.lesson_id, q.id, 'unknown kind ' || coalesce(left(q.kind, 40), 'null') from q
   where q.is_object and coalesce(q.kind, '') <> all (array[
     'single_choice', 'multiple_choice', 'true_false', 'numeric', 'short_text', 'ordering',
     'matching', 'free_text'])
  union all
  select q.lesson_id, q.id, 'text is missing' from q
   where q.is_object and coalesce(btrim(q.body ->> 'text'), '') = ''
  union all
  select q.lesson_id, q.id, 'points must be a number above 0, with at most 2 decimals' from q
   where q.is_object and q.body ? 'points'
     and (private.decimal_text(q.body -> 'points') is null or q.points <= 0
          or q.points > 100000 or q.points <> round(q.points, 2))
  union all
  select q.lesson_id, q.id, 'no correct option' from q where q.correct = 0
  union all
  select q.lesson_id, q.id, q.correct || ' correct options in a single choice' from q
   where q.kind = 'single_choice' and q.correct > 1
  union all
  select q.lesson_id, q.id, 'needs at least two options' from q where q.options < 2
  union all
  select q.lesson_id, q.id, 'an option has no text' from q where q.texts < q.options
  union all
  select q.lesson_id, q.id, 'an option id stands more than once' from q where q.ids < q.options
  union all
  select q.lesson_id, q.id, 'correct must be true or false' from q
   where q.kind = 'true_false' and jsonb_typeof(q.body -> 'correct') is distinct from 'boolean'
  union all
  select q.lesson_id, q.id, 'answer must be a number' from q
   where q.kind = 'numeric' and private.decimal_text(q.body -> 'answer') is null
  union all
  select q.lesson_id, q.id, 'tolerance must be a number not below 0' from q
   where q.kind = 'numeric' and q.body ? 'tolerance'
     and coalesce(private.decimal_text(q.body -> 'tolerance'), -1) < 0
  union all
  select q.lesson_id, q.id, 'accepted must name at least one answer' from q
   where q.kind = 'short_text' and not exists (
     select from jsonb_array_elements_text(q.accepted) as a where private.fold_text(a) <> '')
  union all
  select q.lesson_id, q.id, 'items must be at least two different texts' from q
   where q.kind = 'ordering' and (
     select count(distinct i) < 2 or count(distinct i) <> count(*)
       from jsonb_array_elements_text(q.items) as i)
  union all
  select q.lesson_id, q.id, 'pairs must be at least two, each left and right text once' from q
   where q.kind = 'matching' and (
     select count(*) < 2 or count(distinct p ->> 'left') <> count(*)
         or count(distinct p ->> 'right') <> count(*)
       from jsonb_array_elements(q.pairs) as p)
  union all
  select q.lesson_id, q.id, 'scoring must be all_or_nothing or partial' from q
   where q.body ? 'scoring' and coalesce(q.body ->> 'scoring', '') <> all (array[
     'all_or_nothing', 'partial'])
  union all
  select q.lesson_id, q.id, 'pool ' || q.pool || ' draws nothing: give its number in pools'
    from q
    join quiz z on z.lesson_id = q.lesson_id
   where q.pool is not null and not z.pools ? q.pool
  union all
  select z.lesson_id, null, 'pool ' || d.key || ' draws more questions than it has, or fewer than one'
    from quiz z
   cross join lateral jsonb_each(z.pools) as d
    left join (
      select q.lesson_id, q.pool, count(*) as questions from q group by q.lesson_id, q.pool
    ) as has on has.lesson_id = z.lesson_id and has.pool = d.key
   where private.is_json(d.value, 'integer') is not true
      or d.value::numeric not between 1 and coalesce(has.questions, 0)
  union all
  -- Attempts hold answers of the old kind. Ids that we give ourselves follow the kind.
  select q.lesson_id, s.id, 'was of kind ' || s.kind || ' before: give it another id'
    from q
    join private.questions s on s.lesson_id = q.lesson_id and s.id = q.body ->> 'id'
   where s.kind <> q.kind
$$;
comment on function private.faults_of_quizzes(jsonb) is
  'Every reason why quizzes cannot be given, graded or put in the place of those that are there.';
revoke execute on function private.faults_of_quizzes(jsonb) from public;

-- Ids that the author left out. Identity is by text: a question (or option) keeps the id it has, so
-- that one inserted before it never takes over its answers, in open attempts or in a regrade. What is
-- new in a quiz that is already there is named after its text.
--
-- Hashed throughout: of a thousand quizzes the planner expects one, and would compare all with all.
create function private.name_quizzes(p_quizzes jsonb) returns jsonb
language sql stable security definer set search_path = '' set enable_nestloop = off
as $$
  with given as materialized (
    select x.lesson_id, x.place, x.kind, x.body, x.body ->> 'id' as id, x.body ->> 'text' as text,
           row_number() over (
             partition by x.lesson_id, x.kind, x.body ->> 'text', x.body ? 'id'
             order by x.place) as nth
      from private.quiz_questions(p_quizzes) as x
  ),
  stored as materialized (
    select q.lesson_id, q.id, q.kind, q.position, q.removed_at, q.body ->> 'text' as text,
           q.body -> 'options' as options
      from private.questions q
     where q.lesson_id = any (array(select z.key::uuid from jsonb_each(p_quizzes) as z))
  ),
  known as (
    select s.*, row_number() over (
             partition by s.lesson_id, s.kind, s.text
             order by s.removed_at is not null, s.position, s.id) as nth
      from stored s
     where (s.lesson_id, s.id) not in (
       select g.lesson_id, g.id from given g where g.id is not null)
  ),
  named as materialized (
    select g.lesson_id, g.place, g.kind, g.body, coalesce(g.id, k.id, case
             when a.lesson_id is null then 'q' || (g.place + 1)
             else 'q' || left(md5(g.kind || ':' || g.text || ':' || g.nth), 10) end) as id
      from given g
      left join known k on k.lesson_id = g.lesson_id and k.kind = g.kind and k.text = g.text
        and k.nth = g.nth and g.id is null
      left join (select distinct s.lesson_id from stored s) as a on a.lesson_id = g.lesson_id
  ),
  choice as materialized (
    select n.lesson_id, n.place, n.body -> 'options' as options, s.options as known
      from named n
      left join stored s on s.lesson_id = n.lesson_id and s.id = n.id
     where n.kind in ('single_choice', 'multiple_choice')
  ),
  given_option as materialized (
    select c.lesson_id, c.place, o.n, o.body, o.body ->> 'id' as id, o.body ->> 'text' as text,
           c.known is null as is_new,
           row_number() over (
             partition by c.lesson_id, c.place, o.body ->> 'text', o.body ? 'id'
             order by o.n) as nth
      from choice c
     cross join lateral jsonb_array_elements(c.options) with ordinality as o (body, n)
  ),
  known_option as (
    select c.lesson_id, c.place, o.body ->> 'id' as id, o.body ->> 'text' as text,
           row_number() over (
             partition by c.lesson_id, c.place, o.body ->> 'text' order by o.n) as nth
      from choice c
     cross join lateral jsonb_array_elements(c.known) with ordinality as o (body, n)
     where (c.lesson_id, c.place, o.body ->> 'id') not in (
       select g.lesson_id, g.place, g.id from given_option g where g.id is not null)
  ),
  named_options as (
    select g.lesson_id, g.place, jsonb_build_object('options', jsonb_agg(
             g.body || jsonb_build_object('id', coalesce(g.id, k.id, case
               when g.is_new then 'o' || g.n
               else 'o' || left(md5(g.text || ':' || g.nth), 10) end)) order by g.n)) as options
      from given_option g
      left join known_option k on k.lesson_id = g.lesson_id and k.place = g.place
        and k.text = g.text and k.nth = g.nth and g.id is null
     group by g.lesson_id, g.place
  ),
  named_quiz as (
    select n.lesson_id, jsonb_build_object('questions', jsonb_agg(
             n.body || jsonb_build_object('id', n.id) || coalesce(o.options, '{}')
             order by n.place)) as questions
      from named n
      left join named_options o on o.lesson_id = n.lesson_id and o.place = n.place
     group by n.lesson_id
  )
  select coalesce(jsonb_object_agg(z.key, z.value || n.questions), '{}')
    from jsonb_each(p_quizzes) as z
    join named_quiz n on n.lesson_id = z.key::uuid
$$;
comment on function private.name_quizzes(jsonb) is
  'Faultless quizzes with the ids that their questions and options have, or new ones.';
revoke execute on function private.name_quizzes(jsonb) from public;

-- Splits each question into what a learner sees and what is right.
create function private.quiz_rows(p_quizzes jsonb)
returns table (
  lesson_id uuid, id text, place integer, kind text, points numeric, pool text, body jsonb,
  key jsonb, explanation text)
language sql immutable security invoker set search_path = ''
as $$
  select q.lesson_id, q.id, q.place, q.kind, q.points, q.pool,
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
                         from jsonb_array_elements_text(q.body -> 'items') t) i) end,
           'left', case when q.kind = 'matching' then (
             select jsonb_agg(jsonb_build_object(
                      'id', private.item_id(q.id, 'left', p.body ->> 'left'),
                      'text', p.body ->> 'left') order by p.n)
               from jsonb_array_elements(q.body -> 'pairs') with ordinality as p (body, n)) end,
           'right', case when q.kind = 'matching' then (
             select jsonb_agg(jsonb_build_object('id', r.id, 'text', r.text) order by r.id)
               from (
                 select private.item_id(q.id, 'right', t) as id, t as text
                   from (
                     select p ->> 'right' as t from jsonb_array_elements(q.body -> 'pairs') p
                     union
                     select d from jsonb_array_elements_text(
                       case when jsonb_typeof(q.body -> 'distractors') = 'array'
                         then q.body -> 'distractors' else '[]' end) d
                   ) as x
               ) as r) end)),
         case q.kind
           when 'single_choice' then jsonb_build_object('correct', o.correct -> 0)
           when 'multiple_choice' then jsonb_build_object('correct', o.correct)
           when 'true_false' then jsonb_build_object('correct', q.body -> 'correct')
           when 'numeric' then jsonb_build_object(
             'answer', q.body ->> 'answer', 'tolerance', coalesce(q.body ->> 'tolerance', '0'))
           when 'short_text' then jsonb_build_object(
             'accepted', q.body -> 'accepted',
             'folded', (
               select jsonb_agg(distinct private.fold_text(a))
                 from jsonb_array_elements_text(q.body -> 'accepted') a))
           when 'ordering' then jsonb_build_object('correct', (
             select jsonb_agg(private.item_id(q.id, '', t.text) order by t.n)
               from jsonb_array_elements_text(q.body -> 'items') with ordinality as t (text, n)))
           when 'matching' then jsonb_build_object('correct', (
             select jsonb_object_agg(private.item_id(q.id, 'left', p ->> 'left'),
                      private.item_id(q.id, 'right', p ->> 'right'))
               from jsonb_array_elements(q.body -> 'pairs') p))
           else '{}'
         end,
         q.body ->> 'explanation'
    from private.quiz_questions(p_quizzes) as q
    left join lateral (
      select jsonb_agg(jsonb_build_object(
               'id', coalesce(x.body ->> 'id', 'o' || x.n), 'text', x.body ->> 'text')
               order by x.n) as options,
             jsonb_agg(coalesce(x.body ->> 'id', 'o' || x.n) order by x.n)
               filter (where x.body -> 'correct' = 'true') as correct
        from jsonb_array_elements(q.body -> 'options') with ordinality as x (body, n)
    ) as o on q.kind in ('single_choice', 'multiple_choice')
$$;
comment on function private.quiz_rows(jsonb) is
  'Questions of faultless quizzes as rows: body for learners, key and explanation for grading.';
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

-- Writing quizzes -----------------------------------------------------------------------------------

create function private.write_quizzes(p_quizzes jsonb) returns setof uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_ids uuid[] := array(select z.key::uuid from jsonb_each(p_quizzes) as z);
  v_asked jsonb := private.name_quizzes(p_quizzes);
  v_written jsonb;
  v_gone jsonb;
begin
  with written as (
    insert into private.questions as q
      (lesson_id, id, position, kind, points, pool, body, key, explanation)
    select r.lesson_id, r.id, r.place, r.kind, r.points, r.pool, r.body, r.key, r.explanation
      from private.quiz_rows(v_asked) as r
      -- Full, though one side would do: that is never planned as a comparison of all with all.
      full join (
        select x.* from private.questions x
         where x.lesson_id = any (v_ids) and x.removed_at is null
      ) as s on s.lesson_id = r.lesson_id and s.id = r.id
     where (r.place, r.kind, r.points, r.pool, r.body, r.key, r.explanation)
       is distinct from (s.position, s.kind, s.points, s.pool, s.body, s.key, s.explanation)
       and coalesce(r.id, '') <> ''
     order by 1, 2
        on conflict (lesson_id, id) do update
       set (position, kind, points, pool, body, key, explanation, removed_at)
         = (excluded.position, excluded.kind, excluded.points, excluded.pool, excluded.body,
            excluded.key, excluded.explanation, null)
    returning q.lesson_id
  )
  select coalesce(jsonb_object_agg(w.lesson_id, true), '{}') into v_written from written w;

  with gone as (
    update private.questions q
       set removed_at = private.clock()
     where q.lesson_id = any (v_ids) and q.removed_at is null
       and (q.lesson_id, q.id) not in (
         select x.lesson_id, x.id from private.quiz_questions(v_asked) as x)
    returning q.lesson_id
  )
  select coalesce(jsonb_object_agg(g.lesson_id, true), '{}') into v_gone from gone g;

  return query
  update public.lessons l
     set question_pools = n.pools, shuffle_options = n.shuffles
    from (
      select z.key::uuid as id, coalesce(nullif(z.value -> 'pools', 'null'), '{}') as pools,
             coalesce(nullif(z.value -> 'shuffle_options', 'null')::boolean, false) as shuffles
        from jsonb_each(p_quizzes) as z
    ) as n
   where l.id = n.id
     and (v_written ? l.id::text or v_gone ? l.id::text
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

-- Reading one back ----------------------------------------------------------------------------------

create function private.get_quiz(p_lesson_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_course_id bigint;
begin
  select l.course_id into v_course_id from public.lessons l where l.id = p_lesson_id;
  if not found then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  perform private.require_author(array[v_course_id], 'lesson');
  return (
    select jsonb_build_object(
             'shuffle_options', l.shuffle_options, 'pools', l.question_pools,
             'questions', jsonb_agg(w.question order by q.position))
      from public.lessons l
      join private.questions q on q.lesson_id = l.id and q.removed_at is null
     cross join lateral (
       select q.body - array['options', 'left', 'right']
              || jsonb_strip_nulls(jsonb_build_object(
                   'pool', q.pool, 'explanation', q.explanation))
              || case q.kind
                   when 'true_false' then q.key
                   when 'numeric' then q.key
                   when 'short_text' then q.key - 'folded'
                   when 'ordering' then jsonb_build_object('items', (
                     select jsonb_agg(o -> 'text' order by k.n)
                       from jsonb_array_elements(q.key -> 'correct') with ordinality as k (id, n)
                       join jsonb_array_elements(q.body -> 'options') as o on o -> 'id' = k.id))
                   when 'matching' then jsonb_build_object(
                     'pairs', (
                       select jsonb_agg(jsonb_build_object(
                                'left', a.body -> 'text', 'right', b -> 'text') order by a.n)
                         from jsonb_array_elements(q.body -> 'left') with ordinality as a (body, n)
                         join jsonb_array_elements(q.body -> 'right') as b
                           on b -> 'id' = q.key -> 'correct' -> (a.body ->> 'id')),
                     'distractors', (
                       select coalesce(jsonb_agg(b -> 'text'), '[]')
                         from jsonb_array_elements(q.body -> 'right') as b
                        where b -> 'id' not in (
                          select e.value from jsonb_each(q.key -> 'correct') as e)))
                   when 'free_text' then '{}'
                   else jsonb_build_object('options', (
                     select jsonb_agg(o.body || jsonb_build_object(
                              'correct', q.key -> 'correct' @> (o.body -> 'id')) order by o.n)
                       from jsonb_array_elements(q.body -> 'options') with ordinality as o (body, n)))
                 end as question
     ) as w
     where l.id = p_lesson_id
     group by l.id);
end
$$;
comment on function private.get_quiz(uuid) is
  'Authors: a lesson''s quiz as set_quiz() takes it, keys and explanations included; null for none.';
revoke execute on function private.get_quiz(uuid) from public;

create function public.get_quiz(p_lesson_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_quiz(p_lesson_id); end;
comment on function public.get_quiz(uuid) is
  'Authors and admins: a lesson''s quiz with its keys, as set_quiz() takes it; null for none.';
revoke execute on function public.get_quiz(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_quiz(uuid), private.get_quiz(uuid)
  to authenticated, service_role;

grant insert (max_attempts, time_limit_seconds, attempt_cooldown_seconds, quiz_available_from,
    quiz_available_until, reveal_policy, score_policy),
  update (max_attempts, time_limit_seconds, attempt_cooldown_seconds, quiz_available_from,
    quiz_available_until, reveal_policy, score_policy)
  on table public.lessons to service_role;
