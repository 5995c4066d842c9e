-- Attempts at a lesson's quiz. The row is made at the start, with everything that governs it frozen;
-- the server's clock ends it; grading happens here.
--
-- Locks: the enrolment's row first, as everywhere. It serialises everything about one learner in one
-- course, so numbers have no gaps and a maximum cannot be overrun by a second tab.

select private.require_free(array[
  'private.add_counts', 'private.attempt_closed', 'private.attempt_json',
  'private.attempt_refusal', 'private.attempt_results', 'private.check_client_key',
  'private.finish_attempt', 'private.fold_statistics', 'private.get_attempts', 'private.grace',
  'private.is_over', 'private.merge_answers', 'private.my_attempt', 'private.new_attempt',
  'private.open_attempt', 'private.open_quiz',
  'private.pending_counts', 'private.question_statistics', 'private.question_stats',
  'private.refuse', 'private.results_open', 'private.save_answers', 'private.settle_attempt',
  'private.start_attempt', 'private.submit_answer', 'private.submit_attempt',
  'private.submit_quiz', 'private.with_grade', 'public.get_attempts', 'public.save_answers',
  'public.start_attempt', 'public.submit_attempt', 'public.submit_quiz']);

create table public.user_assessment_attempts (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  lesson_id uuid not null,
  course_id bigint not null,
  cycle integer not null default 1,
  number integer not null check (number >= 1),
  status text not null default 'in_progress'
    constraint status_is_valid check (status in ('in_progress', 'submitted', 'graded')),
  is_imported boolean not null default false,
  started_at timestamptz not null,
  expires_at timestamptz,
  submitted_at timestamptz,
  graded_at timestamptz,
  expired boolean not null default false,
  -- Frozen at the start.
  pass_percent integer not null,
  max_attempts integer,
  time_limit_seconds integer,
  questions jsonb not null,
  total_questions integer not null check (total_questions >= 0),
  max_score numeric(12, 4) not null check (max_score >= 0),
  answers jsonb not null default '{}',
  client_key text check (char_length(client_key) between 1 and 200),
  score numeric(12, 4),
  percent numeric(5, 2),
  passed boolean,
  correct_count integer,
  feedback text check (char_length(feedback) <= 20000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint one_number_per_attempt unique (user_id, lesson_id, cycle, number),
  constraint submitted_has_time check ((status = 'in_progress') = (submitted_at is null)),
  constraint graded_has_score check (
    (status = 'graded') = (graded_at is not null and score is not null and percent is not null
      and passed is not null and correct_count is not null)),
  constraint score_within_max check (score between 0 and max_score),
  foreign key (lesson_id, course_id)
    references public.lessons (id, course_id) on update cascade on delete restrict
) with (fillfactor = 85);
comment on table public.user_assessment_attempts is
  'One row per attempt at a lesson''s quiz, with its rules and questions as they were at the start.';
comment on column public.user_assessment_attempts.cycle is
  'The learner''s cycle in the lesson''s course; below 1: of a cycle that was over before the lesson came here.';
comment on column public.user_assessment_attempts.answers is
  'Question id to {answer, seq}; a save with a lower seq than the stored one is ignored.';
comment on column public.user_assessment_attempts.client_key is
  'The submit''s idempotency key: submitting again with it answers the same.';
-- The race-safe maximum of one open attempt.
create unique index one_open_attempt_idx on public.user_assessment_attempts (user_id, lesson_id)
  where status = 'in_progress';
create unique index one_attempt_per_client_key_idx
  on public.user_assessment_attempts (user_id, lesson_id, client_key) where client_key is not null;
create index attempts_lesson_idx on public.user_assessment_attempts (lesson_id, course_id, id);
create index attempts_expiry_idx on public.user_assessment_attempts (expires_at)
  where status = 'in_progress' and expires_at is not null;
create trigger _900_touch before update on public.user_assessment_attempts
  for each row execute function private.tg_touch_updated_at();

-- Results by question are apart, since the learner reads the attempt's own row: they open by policy.
create table private.attempt_results (
  attempt_id uuid primary key
    references public.user_assessment_attempts (id) on delete cascade,
  lesson_id uuid not null,
  points numeric[] not null,
  manual jsonb not null default '{}',
  graded_by uuid,
  stats text not null default 'none'
    constraint stats_is_valid check (stats in ('none', 'pending', 'counted')),
  counted numeric[],
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint only_pending_replaces check (counted is null or stats = 'pending')
);
comment on table private.attempt_results is
  'Points of a submitted attempt, by its questions in order (null: a person must say); manual holds what staff gave, {question id: points}.';
comment on column private.attempt_results.stats is
  'none: not graded yet; pending: question_stats lacks it; counted: question_stats holds it.';
comment on column private.attempt_results.counted is
  'While pending after a regrade: the older points, which question_stats still holds.';
create index attempt_results_pending_idx on private.attempt_results (lesson_id)
  where stats = 'pending';
-- A large quiz is compressed at each write: lz4 does it in a fraction of the time, where the server has it.
do $$
begin
  alter table public.user_assessment_attempts
    alter column questions set compression lz4, alter column answers set compression lz4;
exception when feature_not_supported then
  null;
end
$$;
alter table private.attempt_results enable row level security;
revoke all on table private.attempt_results from public, anon, authenticated, service_role;
grant select, insert (attempt_id, lesson_id, points, stats) on table private.attempt_results
  to waymark_writer;
create policy "The write path reads its caller's results" on private.attempt_results
  for select to waymark_writer
  using (exists (select from public.user_assessment_attempts a where a.id = attempt_id));
create policy "The write path adds its caller's results" on private.attempt_results
  for insert to waymark_writer
  with check (exists (select from public.user_assessment_attempts a where a.id = attempt_id));
create trigger _900_touch before update on private.attempt_results
  for each row execute function private.tg_touch_updated_at();

-- Statistics by question. A submit touches none of these rows: it leaves its results pending, and
-- private.fold_statistics() adds them up later, so that learners who submit at once never wait for one
-- another. Readers add what is still pending (private.question_statistics).
create table private.question_stats (
  lesson_id uuid not null references public.lessons (id) on delete cascade,
  question_id text not null,
  asked bigint not null default 0,
  answered bigint not null default 0,
  correct bigint not null default 0,
  points numeric not null default 0,
  choices jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (lesson_id, question_id)
);
comment on table private.question_stats is
  'How often a question was asked, answered and right, and which options were chosen; see stats.';
alter table private.question_stats enable row level security;
revoke all on table private.question_stats from public, anon, authenticated, service_role;
create policy "Nobody reads statistics directly" on private.question_stats
  for select to authenticated using (false);
create trigger _900_touch before update on private.question_stats
  for each row execute function private.tg_touch_updated_at();

alter table public.user_assessment_attempts enable row level security;
revoke all on table public.user_assessment_attempts from public, anon, authenticated, service_role;
grant select on table public.user_assessment_attempts
  to authenticated, service_role, waymark_writer;
grant insert (id, user_id, lesson_id, course_id, cycle, number, status, started_at, expires_at,
    submitted_at, graded_at, pass_percent, max_attempts, time_limit_seconds, questions,
    total_questions, max_score, answers, client_key, score, percent, passed, correct_count),
  update (status, submitted_at, graded_at, expired, answers, client_key, score, percent, passed,
    correct_count)
  on table public.user_assessment_attempts to waymark_writer;
create policy "Learners read their own attempts" on public.user_assessment_attempts
  for select to authenticated, waymark_writer using ((select auth.uid()) = user_id);
create policy "Learners start their own attempts" on public.user_assessment_attempts
  for insert to authenticated, waymark_writer with check ((select auth.uid()) = user_id);
create policy "Learners advance their own attempts" on public.user_assessment_attempts
  for update to authenticated, waymark_writer
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

-- What the write path may now set beside completion.
grant update (attempts, best_score) on table public.user_progress to waymark_writer;

grant execute on function private.elements(jsonb), private.is_json(jsonb, text),
  private.decimal_text(jsonb) to waymark_writer;

-- Answers -------------------------------------------------------------------------------------------

-- Late network packets of an answer given in time still count; no client can use these seconds alone.
create function private.grace() returns interval
language sql immutable parallel safe security invoker set search_path = ''
return interval '5 seconds';
comment on function private.grace() is 'How long after its end an attempt still takes answers.';

create function private.is_over(p_expires_at timestamptz, p_at timestamptz) returns boolean
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return p_expires_at is not null and p_at > p_expires_at + private.grace();
end
$$;
comment on function private.is_over(timestamptz, timestamptz) is
  'Whether the time of an attempt is up, grace included.';

create function private.results_open(a public.user_assessment_attempts, l public.lessons)
returns boolean
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if a.status = 'in_progress' then
    return false;
  end if;
  case l.reveal_policy
    when 'after_submit' then
      return true;
    when 'after_pass' then
      return exists (
        select from public.user_assessment_attempts x
         where x.user_id = a.user_id and x.lesson_id = a.lesson_id and x.cycle = a.cycle
           and x.passed);
    when 'after_last_attempt' then
      return l.max_attempts is not null and l.max_attempts <= (
        select count(*) from public.user_assessment_attempts x
         where x.user_id = a.user_id and x.lesson_id = a.lesson_id and x.cycle = a.cycle
           and x.status <> 'in_progress');
    else
      return false;
  end case;
end
$$;
comment on function private.results_open(public.user_assessment_attempts, public.lessons) is
  'The reveal policy: may the learner see results, keys and explanations of this attempt?';

create function private.attempt_json(a public.user_assessment_attempts, l public.lessons)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_results json;
begin
  if private.results_open(a, l) then
    v_results := private.revealed_keys(a.lesson_id, a.questions,
      (select r.points from private.attempt_results r where r.attempt_id = a.id));
  end if;
  return json_build_object(
    'id', a.id,
    'lesson_id', a.lesson_id,
    'course_id', a.course_id,
    'number', a.number,
    'cycle', a.cycle,
    'status', a.status,
    'started_at', a.started_at,
    'expires_at', a.expires_at,
    'server_time', private.clock(),
    'submitted_at', a.submitted_at,
    'graded_at', a.graded_at,
    'expired', a.expired,
    'pass_percent', a.pass_percent,
    'max_attempts', a.max_attempts,
    'time_limit_seconds', a.time_limit_seconds,
    'total_questions', a.total_questions,
    'score', a.score,
    'max_score', a.max_score,
    'percent', a.percent,
    'passed', a.passed,
    'correct_count', a.correct_count,
    'feedback', a.feedback,
    'questions', a.questions,
    'answers', a.answers,
    'results', v_results);
end
$$;
comment on function private.attempt_json(public.user_assessment_attempts, public.lessons) is
  'An attempt as its learner sees it; results only when the reveal policy has opened them.';

-- [{question_id, answer, seq?}] merged into what is stored: per question the highest seq wins. Without
-- seq an answer is the newest. Null clears one.
create function private.merge_answers(p_questions jsonb, p_stored jsonb, p_answers jsonb)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_faults text[];
  v_newer jsonb;
begin
  if p_answers is null or p_answers = 'null' then
    return p_stored;
  end if;
  if jsonb_typeof(p_answers) <> 'array' then
    perform private.fail('invalid_answer', 422, 'answers must be a list');
  elsif pg_column_size(p_answers) > 1048576 then
    perform private.fail('body_too_large', 413, 'The answers are over 1 MiB');
  end if;
  -- Of several for one question the last of the highest seq stays: a later key replaces an earlier one.
  select array_agg(n.fault) filter (where n.fault is not null),
         jsonb_object_agg(n.id, jsonb_build_object('answer', n.answer, 'seq', n.seq)
             order by n.seq, n.place)
           filter (where n.fault is null and n.seq > coalesce(n.stored, -1))
    into v_faults, v_newer
    from (
      select f.*, case when f.fault is null then coalesce((f.body -> 'seq')::bigint,
               coalesce(f.stored, 0) + 1) end as seq
        from (
          select e.*, x.seq as stored, case
              when jsonb_typeof(e.body) <> 'object' then 'an entry is no object'
              when e.body - array['question_id', 'answer', 'seq'] <> '{}' then
                'an entry has unknown fields'
              when jsonb_typeof(e.body -> 'question_id') is distinct from 'string' then
                'an entry has no question_id'
              when e.answer is null then 'an entry has no answer'
              -- What every JSON reader holds exactly.
              when e.body ? 'seq' and case when jsonb_typeof(e.body -> 'seq') = 'number'
                then (e.body -> 'seq')::numeric % 1 <> 0
                  or (e.body -> 'seq')::numeric not between 0 and 9007199254740991
                else true end
              then 'seq must be an integer from 0 to 9007199254740991'
              -- By its place: what callers wrote is not for the database's log.
              when q.body is null then 'entry ' || e.place || ' names an unknown question'
              when e.answer = 'null' then null
              -- The answer's shape, against the question as the learner was shown it.
              else e.id || ' ' || case q.body ->> 'kind'
                when 'single_choice' then case
                  when jsonb_typeof(e.answer) <> 'string' or not q.body -> 'options'
                    @> jsonb_build_array(jsonb_build_object('id', e.answer))
                  then 'must be the id of one option' end
                when 'multiple_choice' then case
                  when jsonb_typeof(e.answer) <> 'array' then 'must be a list of different option ids'
                  when jsonb_array_length(e.answer) <> jsonb_array_length(jsonb_path_query_array(
                    q.body, 'strict $.options[*].id ? (@ == $chosen[*])',
                    jsonb_build_object('chosen', e.answer)))
                  then 'must be a list of different option ids' end
                when 'true_false' then case
                  when jsonb_typeof(e.answer) <> 'boolean' then 'must be true or false' end
                when 'numeric' then case
                  when private.decimal_text(e.answer) is null then 'must be a decimal number' end
                when 'short_text' then case
                  when jsonb_typeof(e.answer) <> 'string' or char_length(e.answer #>> '{}') > 1000
                  then 'must be a text of at most 1000 characters' end
                when 'ordering' then case
                  when jsonb_typeof(e.answer) <> 'array' then 'must be a list of all item ids, each once'
                  when jsonb_array_length(e.answer) <> jsonb_array_length(q.body -> 'options')
                    or not e.answer @> jsonb_path_query_array(q.body, '$.options[*].id')
                  then 'must be a list of all item ids, each once' end
                when 'matching' then case
                  when jsonb_typeof(e.answer) <> 'object' then
                    'must map ids of the left to ids of the right'
                  when not (
                    jsonb_path_query_array(q.body, '$.left[*].id')
                      @> jsonb_path_query_array(e.answer, '$.keyvalue().key')
                    and jsonb_path_query_array(q.body, '$.right[*].id')
                      @> jsonb_path_query_array(e.answer, '$.*'))
                  then 'must map ids of the left to ids of the right' end
                when 'free_text' then case
                  when jsonb_typeof(e.answer) <> 'string' or char_length(e.answer #>> '{}') > 100000
                  then 'must be a text of at most 100000 characters' end
                end
              end as fault
            from (
              select a.place, a.body, a.body ->> 'question_id' as id, a.body -> 'answer' as answer
                from jsonb_array_elements(p_answers) with ordinality as a (body, place)
              offset 0
            ) as e
            left join jsonb_array_elements(p_questions) as q (body) on q.body ->> 'id' = e.id
            left join (
              select s.key as id, (s.value ->> 'seq')::bigint as seq from jsonb_each(p_stored) as s
            ) as x on x.id = e.id
          -- Each entry is looked at once.
          offset 0
        ) as f
      offset 0
    ) as n;
  if v_faults is not null then
    perform private.fail('invalid_answer', 422, 'An answer does not fit its question', (
      select left(string_agg(distinct f, '; '), 2000) from unnest(v_faults) as f));
  end if;
  return p_stored || coalesce(v_newer, '{}');
end
$$;
comment on function private.merge_answers(jsonb, jsonb, jsonb) is
  'Stored answers with newer ones merged in; refuses what does not fit the questions.';

-- Statistics ----------------------------------------------------------------------------------------

create function private.add_counts(p_some jsonb, p_more jsonb) returns jsonb
language sql immutable security invoker set search_path = ''
as $$
  select coalesce(jsonb_object_agg(t.key, t.n) filter (where t.n <> 0), '{}')
    from (
      select x.key, sum(x.value::bigint) as n
        from (
          select * from jsonb_each_text(p_some) union all select * from jsonb_each_text(p_more)
        ) as x
       group by x.key
    ) as t
$$;
comment on function private.add_counts(jsonb, jsonb) is 'Sums two objects of counts by key.';
revoke execute on function private.add_counts(jsonb, jsonb) from public;

-- What pending attempts add to the statistics, less what regraded ones had added before.
create function private.pending_counts(p_lesson_id uuid, p_attempt_ids uuid[])
returns table (
  lesson_id uuid, question_id text, asked bigint, answered bigint, correct bigint, points numeric,
  choices jsonb)
language sql stable security definer set search_path = ''
as $$
  with waiting as (
    select r.*, a.answers, a.questions
      from private.attempt_results r
      join public.user_assessment_attempts a on a.id = r.attempt_id
     where r.stats = 'pending'
       and (p_lesson_id is null or r.lesson_id = p_lesson_id)
       and (p_attempt_ids is null or r.attempt_id = any (p_attempt_ids))
  ),
  entry as (
    select w.lesson_id, n.sign, e.body ->> 'id' as question_id, e.body ->> 'kind' as kind, e.points,
           e.points = (e.body ->> 'points')::numeric as correct, x.value -> 'answer' as answer
      from waiting w
     cross join lateral (values (1, w.points), (-1, w.counted)) as n (sign, points)
     cross join lateral rows from (jsonb_array_elements(w.questions), unnest(n.points))
       as e (body, points)
      left join lateral jsonb_each(w.answers) as x on x.key = e.body ->> 'id'
     where n.points is not null
  ),
  chosen as (
    select c.lesson_id, c.question_id, jsonb_object_agg(c.choice, c.n) as choices
      from (
        select e.lesson_id, e.question_id, o.choice, sum(e.sign) as n
          from entry e
         cross join lateral (
           select t from jsonb_array_elements_text(
             case when e.kind = 'multiple_choice' and e.answer <> 'null' then e.answer
               else '[]' end) as t
           union all
           select e.answer #>> '{}' where e.kind in ('single_choice', 'true_false')
         ) as o (choice)
         where o.choice is not null
         group by e.lesson_id, e.question_id, o.choice
      ) as c
     group by c.lesson_id, c.question_id
  )
  select t.lesson_id, t.question_id, t.asked, t.answered, t.correct, t.points,
         coalesce(c.choices, '{}')
    from (
      select e.lesson_id, e.question_id, sum(e.sign) as asked,
             sum(e.sign) filter (where e.answer <> 'null') as answered,
             sum(e.sign) filter (where e.correct) as correct,
             sum(e.sign * e.points) as points
        from entry e
       group by e.lesson_id, e.question_id
    ) as t
    left join chosen c on c.lesson_id = t.lesson_id and c.question_id = t.question_id
$$;
comment on function private.pending_counts(uuid, uuid[]) is
  'Counts by question of attempts whose results are not in question_stats yet.';
revoke execute on function private.pending_counts(uuid, uuid[]) from public;

create function private.question_statistics(p_lesson_id uuid)
returns table (
  question_id text, asked bigint, answered bigint, correct bigint, points numeric, choices jsonb)
language sql stable security definer set search_path = ''
as $$
  select coalesce(s.question_id, p.question_id),
         coalesce(s.asked, 0) + coalesce(p.asked, 0),
         coalesce(s.answered, 0) + coalesce(p.answered, 0),
         coalesce(s.correct, 0) + coalesce(p.correct, 0),
         coalesce(s.points, 0) + coalesce(p.points, 0),
         private.add_counts(coalesce(s.choices, '{}'), coalesce(p.choices, '{}'))
    from (select * from private.question_stats x where x.lesson_id = p_lesson_id) as s
    full join private.pending_counts(p_lesson_id, null) as p on p.question_id = s.question_id
$$;
comment on function private.question_statistics(uuid) is
  'The statistics of a lesson''s questions, as of every graded attempt.';
revoke execute on function private.question_statistics(uuid) from public;

create function private.fold_statistics(p_limit integer) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_ids uuid[];
begin
  -- One at a time; attempts that somebody is grading now are left for the next.
  if not pg_try_advisory_xact_lock(hashtextextended('waymark:statistics', 0)) then
    return 0;
  end if;
  select array_agg(r.attempt_id) into v_ids
    from (
      select x.attempt_id from private.attempt_results x
       where x.stats = 'pending'
       limit least(greatest(coalesce(p_limit, 1000), 1), 10000)
         for update skip locked
    ) as r;
  if v_ids is null then
    return 0;
  end if;
  insert into private.question_stats as s
    (lesson_id, question_id, asked, answered, correct, points, choices)
  select p.lesson_id, p.question_id, p.asked, coalesce(p.answered, 0), coalesce(p.correct, 0),
         coalesce(p.points, 0), p.choices
    from private.pending_counts(null, v_ids) p
      on conflict (lesson_id, question_id) do update
     set asked = s.asked + excluded.asked,
         answered = s.answered + excluded.answered,
         correct = s.correct + excluded.correct,
         points = s.points + excluded.points,
         choices = private.add_counts(s.choices, excluded.choices);
  update private.attempt_results r
     set stats = 'counted', counted = null
   where r.attempt_id = any (v_ids);
  return cardinality(v_ids);
end
$$;
comment on function private.fold_statistics(integer) is
  'Adds pending results to the statistics of their questions; returns of how many attempts.';
revoke execute on function private.fold_statistics(integer) from public;

-- Grading an attempt --------------------------------------------------------------------------------

-- Ends an attempt: grades its answers, and lets everything follow that a grade decides. One that was
-- never stored (it has no created_at) is written once, as it ends. The caller holds the enrolment's row.
create function private.finish_attempt(
  v private.lesson_access, a public.user_assessment_attempts, p_at timestamptz, p_expired boolean,
  p_client_key text
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  g private.grading := private.grade(a.lesson_id, a.questions, a.answers, '{}');
begin
  a.status := 'submitted';
  a.submitted_at := case when p_expired then least(p_at, a.expires_at) else p_at end;
  a.expired := p_expired;
  a.client_key := p_client_key;
  a := private.with_grade(a, g, p_at);
  if a.created_at is null then
    insert into public.user_assessment_attempts
      (id, user_id, lesson_id, course_id, cycle, number, status, started_at, expires_at,
       submitted_at, graded_at, pass_percent, max_attempts, time_limit_seconds, questions,
       total_questions, max_score, answers, client_key, score, percent, passed, correct_count)
    values
      (a.id, a.user_id, a.lesson_id, a.course_id, a.cycle, a.number, a.status, a.started_at,
       a.expires_at, a.submitted_at, a.graded_at, a.pass_percent, a.max_attempts,
       a.time_limit_seconds, a.questions, a.total_questions, a.max_score, a.answers, a.client_key,
       a.score, a.percent, a.passed, a.correct_count);
  else
    update public.user_assessment_attempts x
       set status = a.status,
           submitted_at = a.submitted_at,
           graded_at = a.graded_at,
           expired = a.expired,
           answers = a.answers,
           client_key = a.client_key,
           score = a.score,
           percent = a.percent,
           passed = a.passed,
           correct_count = a.correct_count
     where x.id = a.id;
  end if;
  insert into private.attempt_results (attempt_id, lesson_id, points, stats)
  values (a.id, a.lesson_id, g.points,
    case when a.status = 'graded' then 'pending' else 'none' end);
  return private.settle_attempt(v, a, p_at, true);
end
$$;
comment on function private.finish_attempt(
  private.lesson_access, public.user_assessment_attempts, timestamptz, boolean, text) is
  'Submits an attempt: grades it, counts it, and completes the lesson when its rule is now fulfilled.';

-- The score is on the side of the pass mark on which its exact value lies, not the stored one.
create function private.with_grade(
  a public.user_assessment_attempts, g private.grading, p_at timestamptz
) returns public.user_assessment_attempts
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if g.score is not null then
    a.status := 'graded';
    a.graded_at := p_at;
    a.score := g.score;
    a.percent := private.score_percent(g.score, a.max_score, a.pass_percent);
    a.passed := private.has_passed(g.score, a.max_score, a.pass_percent);
    a.correct_count := g.correct_count;
  end if;
  return a;
end
$$;
comment on function private.with_grade(
  public.user_assessment_attempts, private.grading, timestamptz) is
  'The attempt as graded, where every question has its points.';

-- What follows from a stored attempt: counters, best score, history, completion.
create function private.settle_attempt(
  v private.lesson_access, a public.user_assessment_attempts, p_at timestamptz, p_submitted boolean
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  if a.cycle <> (v.enrollment).cycle then
    -- A person's grade for an older cycle: the attempt keeps it, the present cycle knows nothing of it.
    v.changed := false;
    v.next_lesson_id := private.next_lesson(v);
    return v;
  end if;
  if p_submitted or a.status = 'graded' then
    update public.user_progress p
       set attempts = p.attempts + p_submitted::integer,
           progress = greatest(p.progress, case when p_submitted then private.answered(a) end),
           best_score = greatest(p.best_score, a.percent)
     where p.user_id = a.user_id and p.lesson_id = a.lesson_id
    returning p into v.progress;
  end if;
  if p_submitted then
    perform private.touch_day(
      a.user_id, private.local_day(a.user_id, a.submitted_at), a.submitted_at, a.submitted_at,
      p_attempts => 1);
    perform private.record_event('attempt_submitted', v, p_at, jsonb_build_object(
      'attempt_id', a.id, 'number', a.number, 'expired', a.expired,
      'seconds', greatest(extract(epoch from a.submitted_at - a.started_at), 0)::integer));
  end if;
  if a.status = 'graded' then
    perform private.record_event('attempt_graded', v, p_at, jsonb_build_object(
      'attempt_id', a.id, 'number', a.number, 'percent', a.percent, 'passed', a.passed));
  end if;
  -- Staff may grade late what was handed in while the enrolment ran; a withdrawn one earns nothing.
  if (v.progress).status <> 'completed' and (v.lesson).completion_rule in ('submit', 'pass')
     and (v.enrollment).status = 'active'
     and ((v.enrollment).expires_at is null or (v.enrollment).expires_at > a.submitted_at)
     and private.rule_missing(v.lesson, v.progress) is null
  then
    v := private.record_completion(v, p_at);
  else
    v.changed := false;
    v.next_lesson_id := private.next_lesson(v);
  end if;
  perform private.certify_graded(v);
  return v;
end
$$;
comment on function private.settle_attempt(
  private.lesson_access, public.user_assessment_attempts, timestamptz, boolean) is
  'Lets everything follow from an attempt that was submitted or graded.';

create function private.answered(a public.user_assessment_attempts) returns numeric
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return (
    select trunc(count(*)::numeric / nullif((a).total_questions, 0), 4)
      from jsonb_each((a).answers) as x
     where x.value -> 'answer' <> 'null');
end
$$;
comment on function private.answered(public.user_assessment_attempts) is
  'Which part of an attempt''s questions has an answer.';

-- Commands ------------------------------------------------------------------------------------------

-- Opens the lesson; an open attempt whose time is up is ended now, and v.changed says so. What was begun
-- may be handed in though the lesson is locked by now (p_begun); a new attempt may not start. What comes
-- for an attempt of an older cycle opens nothing.
create function private.open_quiz(
  p_user_id uuid, p_lesson_id uuid, p_at timestamptz, p_begun boolean, p_cycle integer default null
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v private.lesson_access := private.open_lesson(p_user_id, p_lesson_id, p_begun);
  a public.user_assessment_attempts;
begin
  v.changed := false;
  if p_cycle < (v.enrollment).cycle then
    return v;
  end if;
  v := private.record_start(v, p_at);
  v.changed := false;
  if exists (
    select from public.user_assessment_attempts x
     where x.user_id = p_user_id and x.lesson_id = p_lesson_id and x.status = 'in_progress'
       and private.is_over(x.expires_at, p_at))
  then
    a := private.open_attempt(p_user_id, p_lesson_id);
    v := private.finish_attempt(v, a, p_at, true, null);
    v.changed := true;
  end if;
  return v;
end
$$;
comment on function private.open_quiz(uuid, uuid, timestamptz, boolean, integer) is
  'As open_lesson(), with the lesson begun and an expired attempt graded (changed tells).';

create function private.open_attempt(p_user_id uuid, p_lesson_id uuid)
returns public.user_assessment_attempts
language plpgsql stable security invoker set search_path = ''
as $$
declare
  a public.user_assessment_attempts;
begin
  select * into a from public.user_assessment_attempts x
   where x.user_id = p_user_id and x.lesson_id = p_lesson_id and x.status = 'in_progress';
  return a;
end
$$;
comment on function private.open_attempt(uuid, uuid) is 'The open attempt of a lesson, or null.';

-- Why no new attempt may start: {code, status, message, details, headers}; null when one may.
create function private.attempt_refusal(
  v private.lesson_access, p_questions jsonb, p_at timestamptz
) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  l public.lessons := v.lesson;
  v_used integer;
  v_again timestamptz;
begin
  if v.lock is not null then
    return jsonb_build_object('code', 'lesson_locked', 'status', 409,
      'message', 'This lesson is locked', 'details', v.lock::text);
  elsif p_questions is null then
    return jsonb_build_object('code', 'no_quiz', 'status', 422,
      'message', 'This lesson has no quiz');
  elsif p_at < l.quiz_available_from then
    return jsonb_build_object('code', 'quiz_not_open', 'status', 409,
      'message', 'This quiz is not open yet',
      'details', jsonb_build_object('available_from', l.quiz_available_from)::text);
  elsif p_at >= l.quiz_available_until then
    return jsonb_build_object('code', 'quiz_closed', 'status', 409,
      'message', 'This quiz is closed',
      'details', jsonb_build_object('available_until', l.quiz_available_until)::text);
  end if;
  select coalesce(max(x.number), 0),
         max(x.submitted_at) + make_interval(secs => l.attempt_cooldown_seconds)
    into v_used, v_again
    from public.user_assessment_attempts x
   where x.user_id = (v.enrollment).user_id and x.lesson_id = l.id
     and x.cycle = (v.enrollment).cycle;
  if v_used >= l.max_attempts then
    return jsonb_build_object('code', 'attempts_exhausted', 'status', 409,
      'message', 'No attempts are left',
      'details', jsonb_build_object('max_attempts', l.max_attempts)::text);
  elsif v_again > p_at then
    return jsonb_build_object('code', 'attempt_cooldown', 'status', 409,
      'message', 'The next attempt is not open yet',
      'details', jsonb_build_object('available_from', v_again)::text,
      'headers', jsonb_build_object(
        'Retry-After', ceil(extract(epoch from v_again - p_at))::text));
  end if;
  return private.over_limit('attempts', (v.enrollment).user_id::text);
end
$$;
comment on function private.attempt_refusal(private.lesson_access, jsonb, timestamptz) is
  'What keeps a learner from a new attempt: a lock, no quiz, window, maximum, cool-down or rate limit.';

-- Refuses. A raise rolls back, so where this very call has graded an expired attempt (p_keep) the
-- refusal is an answer instead, with its status set.
create function private.refuse(p_refusal jsonb, p_keep boolean) returns json
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  if not p_keep then
    perform private.fail(p_refusal ->> 'code', (p_refusal ->> 'status')::integer,
      p_refusal ->> 'message', p_refusal ->> 'details',
      p_headers => coalesce(p_refusal -> 'headers', '{}'));
  end if;
  perform set_config('response.status', p_refusal ->> 'status', true);
  perform set_config('response.headers', coalesce((
    select jsonb_agg(jsonb_build_object(h.key, h.value))
      from jsonb_each(p_refusal -> 'headers') as h), '[]')::text, true);
  return json_build_object('code', p_refusal -> 'code', 'message', p_refusal -> 'message',
    'details', p_refusal -> 'details', 'hint', null);
end
$$;
comment on function private.refuse(jsonb, boolean) is
  'Refuses by a raise, or, where something must stay, by an answer with the refusal''s status.';

create function private.new_attempt(
  v private.lesson_access, p_questions jsonb, p_at timestamptz
) returns public.user_assessment_attempts
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  l public.lessons := v.lesson;
  a public.user_assessment_attempts;
begin
  a.id := gen_random_uuid();
  a.user_id := (v.enrollment).user_id;
  a.lesson_id := l.id;
  a.course_id := l.course_id;
  a.cycle := (v.enrollment).cycle;
  a.number := 1 + coalesce((
    select max(x.number) from public.user_assessment_attempts x
     where x.user_id = a.user_id and x.lesson_id = a.lesson_id and x.cycle = a.cycle), 0);
  a.status := 'in_progress';
  a.started_at := p_at;
  a.expires_at := least(p_at + make_interval(secs => l.time_limit_seconds), l.quiz_available_until);
  a.expired := false;
  a.pass_percent := l.pass_percent;
  a.max_attempts := l.max_attempts;
  a.time_limit_seconds := l.time_limit_seconds;
  a.questions := p_questions;
  a.total_questions := jsonb_array_length(p_questions);
  a.max_score := (
    select sum((q ->> 'points')::numeric) from jsonb_array_elements(p_questions) q);
  a.answers := '{}';
  perform private.record_event('attempt_started', v, p_at,
    jsonb_build_object('attempt_id', a.id, 'number', a.number));
  return a;
end
$$;
comment on function private.new_attempt(private.lesson_access, jsonb, timestamptz) is
  'A new attempt with everything that governs it frozen; the caller stores it.';

create function private.start_attempt(p_lesson_id uuid) returns json
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_user_id uuid := private.require_user();
  v private.lesson_access := private.open_quiz(v_user_id, p_lesson_id, v_now,
    (private.open_attempt(v_user_id, p_lesson_id)).id is not null);
  a public.user_assessment_attempts := private.open_attempt(v_user_id, p_lesson_id);
  v_questions jsonb;
  v_refusal jsonb;
  v_answer jsonb;
begin
  if a.id is null then
    v_questions := private.draw_questions(v.lesson);
    v_refusal := private.attempt_refusal(v, v_questions, v_now);
    if v_refusal is not null then
      return private.refuse(v_refusal, v.changed);
    end if;
    a := private.new_attempt(v, v_questions, v_now);
    insert into public.user_assessment_attempts
      (id, user_id, lesson_id, course_id, cycle, number, started_at, expires_at, pass_percent,
       max_attempts, time_limit_seconds, questions, total_questions, max_score)
    values
      (a.id, a.user_id, a.lesson_id, a.course_id, a.cycle, a.number, a.started_at, a.expires_at,
       a.pass_percent, a.max_attempts, a.time_limit_seconds, a.questions, a.total_questions,
       a.max_score);
  end if;
  v_answer := private.lesson_answer(v);
  return json_build_object('attempt', private.attempt_json(a, v.lesson),
    'progress', v_answer -> 'progress', 'enrollment', v_answer -> 'enrollment');
end
$$;
comment on function private.start_attempt(uuid) is 'Starts an attempt; while one is open, that one.';

create function private.get_attempts(p_lesson_id uuid) returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  l public.lessons;
  v_attempts json;
  v_reported numeric;
begin
  select * into l from public.lessons where id = p_lesson_id;
  if l.id is null or not private.sees_course(v_user_id, l.course_id) then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  select coalesce(json_agg(private.attempt_json(a, l) order by a.cycle, a.number), '[]')
    into v_attempts
    from (
      select * from public.user_assessment_attempts x
       where x.user_id = v_user_id and x.lesson_id = p_lesson_id
       order by x.cycle desc, x.number desc
       limit 200
    ) as a;
  select private.reported_percent(l.score_policy, array_agg(a.percent order by a.number))
    into v_reported
    from public.user_assessment_attempts a
   where a.user_id = v_user_id and a.lesson_id = p_lesson_id and a.status = 'graded'
     and a.cycle = (
       select e.cycle from public.enrollments e
        where e.user_id = v_user_id and e.course_id = l.course_id);
  return json_build_object('lesson_id', p_lesson_id, 'score_policy', l.score_policy,
    'reported_percent', v_reported, 'attempts', v_attempts);
end
$$;
comment on function private.get_attempts(uuid) is
  'The caller''s attempts at a lesson, the last 200, and the percent that its score policy reports of this cycle.';

-- Finds the caller's attempt and opens its quiz; other people's are not found.
create function private.my_attempt(p_user_id uuid, p_attempt_id uuid)
returns public.user_assessment_attempts
language plpgsql stable security invoker set search_path = ''
as $$
declare
  a public.user_assessment_attempts;
begin
  select * into a from public.user_assessment_attempts x
   where x.id = p_attempt_id and x.user_id = p_user_id;
  if not found then
    perform private.fail('attempt_not_found', 404, 'Attempt not found');
  end if;
  return a;
end
$$;
comment on function private.my_attempt(uuid, uuid) is 'The caller''s own attempt, or 404.';

-- Said without a raise: what opening the quiz may just have graded must stay.
create function private.attempt_closed(a public.user_assessment_attempts) returns json
language sql volatile security invoker set search_path = ''
return private.refuse(jsonb_build_object(
  'code', 'attempt_closed', 'status', 409, 'message', 'This attempt has ended',
  'details', jsonb_build_object('attempt_id', (a).id, 'status', (a).status,
    'expired', (a).expired, 'percent', (a).percent, 'passed', (a).passed)::text), true);
comment on function private.attempt_closed(public.user_assessment_attempts) is
  'The 409 for answers to an attempt that has ended, without rolling back its grading.';

-- The submit's key, when it is one; used up by another attempt it would answer for that one.
create function private.check_client_key(
  p_user_id uuid, p_lesson_id uuid, p_attempt_id uuid, p_client_key text
) returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if char_length(p_client_key) not between 1 and 200 then
    perform private.fail('invalid_value', 422, 'client_key must have 1 to 200 characters');
  elsif exists (
    select from public.user_assessment_attempts x
     where x.user_id = p_user_id and x.lesson_id = p_lesson_id and x.client_key = p_client_key
       and x.id <> p_attempt_id)
  then
    perform private.fail('conflict', 409, 'This client_key submitted another attempt');
  end if;
end
$$;
comment on function private.check_client_key(uuid, uuid, uuid, text) is
  'Refuses a client key of the wrong length, or of another attempt.';

-- What a submit has changed of the attempt in hand: its questions and answers, which may be large, are
-- not fetched a second time.
create function private.as_stored(a public.user_assessment_attempts)
returns public.user_assessment_attempts
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  select x.status, x.submitted_at, x.graded_at, x.expired, x.client_key, x.score, x.percent,
         x.passed, x.correct_count
    into a.status, a.submitted_at, a.graded_at, a.expired, a.client_key, a.score, a.percent,
         a.passed, a.correct_count
    from public.user_assessment_attempts x
   where x.id = a.id;
  return a;
end
$$;
comment on function private.as_stored(public.user_assessment_attempts) is
  'The attempt with its grade as it is stored now.';

create function private.save_answers(p_attempt_id uuid, p_answers jsonb) returns json
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  a public.user_assessment_attempts := private.my_attempt(v_user_id, p_attempt_id);
  v private.lesson_access := private.open_quiz(v_user_id, a.lesson_id, v_now, true, a.cycle);
  v_answers jsonb;
begin
  a := private.my_attempt(v_user_id, p_attempt_id);
  if a.status <> 'in_progress' then
    return private.attempt_closed(a);
  end if;
  v_answers := private.merge_answers(a.questions, a.answers, p_answers);
  if v_answers <> a.answers then
    a.answers := v_answers;
    update public.user_assessment_attempts x set answers = v_answers where x.id = a.id;
    update public.user_progress p set progress = private.answered(a)
     where p.user_id = v_user_id and p.lesson_id = a.lesson_id and p.progress < private.answered(a);
  end if;
  return json_build_object('attempt', private.attempt_json(a, v.lesson));
end
$$;
comment on function private.save_answers(uuid, jsonb) is
  'Autosave: merges answers by question; an older save never wins.';

create function private.submit_attempt(p_attempt_id uuid, p_answers jsonb, p_client_key text)
returns json
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  a public.user_assessment_attempts := private.my_attempt(v_user_id, p_attempt_id);
  v private.lesson_access := private.open_quiz(v_user_id, a.lesson_id, v_now, true, a.cycle);
begin
  a := private.my_attempt(v_user_id, p_attempt_id);
  if a.status <> 'in_progress' then
    -- The same submit again, or one without new answers: the same answer again.
    if p_client_key is not null and a.client_key = p_client_key
       or p_answers is null or p_answers in ('null', '[]') then
      v.next_lesson_id := private.next_lesson(v);
      return private.submit_answer(v, a, false);
    end if;
    return private.attempt_closed(a);
  end if;
  perform private.check_client_key(v_user_id, a.lesson_id, a.id, p_client_key);
  a.answers := private.merge_answers(a.questions, a.answers, p_answers);
  v := private.finish_attempt(v, a, v_now, false, p_client_key);
  return private.submit_answer(v, private.as_stored(a), true);
end
$$;
comment on function private.submit_attempt(uuid, jsonb, text) is
  'Ends an attempt with its last answers and grades it; the same client key answers the same again.';

create function private.submit_answer(
  v private.lesson_access, a public.user_assessment_attempts, p_changed boolean
) returns json
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_answer jsonb := private.lesson_answer(v);
begin
  return json_build_object('attempt', private.attempt_json(a, v.lesson),
    'progress', v_answer -> 'progress', 'enrollment', v_answer -> 'enrollment',
    'next_lesson_id', private.offered(v, v.next_lesson_id),
    'certificate', private.held_certificate(v), 'changed', p_changed);
end
$$;
comment on function private.submit_answer(
  private.lesson_access, public.user_assessment_attempts, boolean) is
  '{attempt, progress, enrollment, next_lesson_id, certificate, changed}.';

create function private.submit_quiz(p_lesson_id uuid, p_answers jsonb, p_client_key text)
returns json
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  v private.lesson_access := private.open_quiz(v_user_id, p_lesson_id, v_now, exists (
    select from public.user_assessment_attempts x
     where x.user_id = v_user_id and x.lesson_id = p_lesson_id
       and (x.status = 'in_progress' or x.client_key = p_client_key)));
  a public.user_assessment_attempts;
  v_questions jsonb;
  v_refusal jsonb;
begin
  if p_client_key is not null then
    select * into a from public.user_assessment_attempts x
     where x.user_id = v_user_id and x.lesson_id = p_lesson_id and x.client_key = p_client_key;
    if found then
      v.next_lesson_id := private.next_lesson(v);
      return private.submit_answer(v, a, false);
    end if;
    perform private.check_client_key(v_user_id, p_lesson_id, null, p_client_key);
  end if;
  if v.changed then
    -- These answers were meant for the attempt that just ended, and must not use up the next one.
    select * into a from public.user_assessment_attempts x
     where x.user_id = v_user_id and x.lesson_id = p_lesson_id
     order by x.cycle desc, x.number desc limit 1;
    return private.attempt_closed(a);
  end if;
  a := private.open_attempt(v_user_id, p_lesson_id);
  if a.id is null then
    v_questions := private.draw_questions(v.lesson);
    v_refusal := private.attempt_refusal(v, v_questions, v_now);
    if v_refusal is not null then
      return private.refuse(v_refusal, false);
    end if;
    a := private.new_attempt(v, v_questions, v_now);
  end if;
  a.answers := private.merge_answers(a.questions, a.answers, p_answers);
  v := private.finish_attempt(v, a, v_now, false, p_client_key);
  return private.submit_answer(v, private.as_stored(a), true);
end
$$;
comment on function private.submit_quiz(uuid, jsonb, text) is 'Start and submit in one go.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.start_attempt(p_lesson_id uuid) returns json
language sql volatile security invoker set search_path = ''
begin atomic select private.start_attempt(p_lesson_id); end;
comment on function public.start_attempt(uuid) is
  'Starts an attempt at a lesson''s quiz, or returns the open one. Returns {attempt, progress, enrollment}.';

create function public.get_attempts(p_lesson_id uuid) returns json
language sql stable security invoker set search_path = ''
begin atomic select private.get_attempts(p_lesson_id); end;
comment on function public.get_attempts(uuid) is
  'The caller''s attempts at a lesson. Returns {lesson_id, score_policy, reported_percent, attempts}.';

create function public.save_answers(p_attempt_id uuid, p_answers jsonb) returns json
language sql volatile security invoker set search_path = ''
begin atomic select private.save_answers(p_attempt_id, p_answers); end;
comment on function public.save_answers(uuid, jsonb) is
  'Autosave of [{question_id, answer, seq}]. Returns {attempt}; 409 attempt_closed once it has ended.';

create function public.submit_attempt(
  p_attempt_id uuid, p_answers jsonb default null, p_client_key text default null
) returns json
language sql volatile security invoker set search_path = ''
begin atomic select private.submit_attempt(p_attempt_id, p_answers, p_client_key); end;
comment on function public.submit_attempt(uuid, jsonb, text) is
  'Submits and grades. Returns {attempt, progress, enrollment, next_lesson_id, certificate, changed}.';

create function public.submit_quiz(
  p_lesson_id uuid, p_answers jsonb default null, p_client_key text default null
) returns json
language sql volatile security invoker set search_path = ''
begin atomic select private.submit_quiz(p_lesson_id, p_answers, p_client_key); end;
comment on function public.submit_quiz(uuid, jsonb, text) is
  'Starts, submits and grades in one go. Returns as submit_attempt.';

-- The whole path belongs to the writer; callers may execute what stands behind a door, and no more.
revoke execute on function private.grace from public;
revoke execute on function private.is_over from public;
revoke execute on function private.results_open from public;
revoke execute on function private.attempt_json from public;
revoke execute on function private.merge_answers from public;
revoke execute on function private.finish_attempt from public;
revoke execute on function private.settle_attempt from public;
revoke execute on function private.answered from public;
revoke execute on function private.open_quiz from public;
revoke execute on function private.open_attempt from public;
revoke execute on function private.attempt_refusal from public;
revoke execute on function private.refuse from public;
revoke execute on function private.check_client_key from public;
revoke execute on function private.new_attempt from public;
revoke execute on function private.start_attempt from public;
revoke execute on function private.get_attempts from public;
revoke execute on function private.my_attempt from public;
revoke execute on function private.attempt_closed from public;
revoke execute on function private.with_grade from public;
revoke execute on function private.as_stored from public;
revoke execute on function private.save_answers from public;
revoke execute on function private.submit_attempt from public;
revoke execute on function private.submit_answer from public;
revoke execute on function private.submit_quiz from public;

revoke execute on function public.start_attempt from public, anon, authenticated, service_role;
grant execute on function public.start_attempt, private.start_attempt to authenticated;
revoke execute on function public.get_attempts from public, anon, authenticated, service_role;
grant execute on function public.get_attempts, private.get_attempts to authenticated;
revoke execute on function public.save_answers from public, anon, authenticated, service_role;
grant execute on function public.save_answers, private.save_answers to authenticated;
revoke execute on function public.submit_attempt from public, anon, authenticated, service_role;
grant execute on function public.submit_attempt, private.submit_attempt to authenticated;
revoke execute on function public.submit_quiz from public, anon, authenticated, service_role;
grant execute on function public.submit_quiz, private.submit_quiz to authenticated;

grant create on schema private to waymark_writer;
alter function private.grace owner to waymark_writer;
alter function private.is_over owner to waymark_writer;
alter function private.results_open owner to waymark_writer;
alter function private.attempt_json owner to waymark_writer;
alter function private.merge_answers owner to waymark_writer;
alter function private.finish_attempt owner to waymark_writer;
alter function private.settle_attempt owner to waymark_writer;
alter function private.answered owner to waymark_writer;
alter function private.open_quiz owner to waymark_writer;
alter function private.open_attempt owner to waymark_writer;
alter function private.attempt_refusal owner to waymark_writer;
alter function private.refuse owner to waymark_writer;
alter function private.check_client_key owner to waymark_writer;
alter function private.new_attempt owner to waymark_writer;
alter function private.start_attempt owner to waymark_writer;
alter function private.get_attempts owner to waymark_writer;
alter function private.my_attempt owner to waymark_writer;
alter function private.with_grade owner to waymark_writer;
alter function private.as_stored owner to waymark_writer;
alter function private.attempt_closed owner to waymark_writer;
alter function private.save_answers owner to waymark_writer;
alter function private.submit_attempt owner to waymark_writer;
alter function private.submit_answer owner to waymark_writer;
alter function private.submit_quiz owner to waymark_writer;
revoke create on schema private from waymark_writer;
