-- Attempts at a lesson's quiz. The row is made at the start, with everything that governs it frozen;
-- the server's clock ends it; grading happens here.
--
-- Locks: the learner's user_progress row first, always. It serialises everything about one learner and
-- one lesson, so numbers have no gaps and a maximum cannot be overrun by a second tab.

select private.require_free(array[
  'public.start_attempt', 'public.get_attempts', 'public.save_answers', 'public.submit_attempt',
  'public.submit_quiz', 'public.grade_attempt', 'public.regrade_lesson',
  'public.get_lesson_attempts', 'public.import_attempt', 'public.expire_attempts']);

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
comment on column public.user_assessment_attempts.answers is
  'Question id to {answer, seq}; a save with a lower seq than the stored one is ignored.';
comment on column public.user_assessment_attempts.client_key is
  'The submit''s idempotency key: submitting again with it answers the same.';
-- The race-safe maximum of one open attempt.
create unique index one_open_attempt_idx on public.user_assessment_attempts (user_id, lesson_id)
  where status = 'in_progress';
create unique index one_attempt_per_client_key_idx
  on public.user_assessment_attempts (user_id, lesson_id, client_key) where client_key is not null;
create index attempts_lesson_idx on public.user_assessment_attempts (lesson_id, course_id);
create index attempts_expiry_idx on public.user_assessment_attempts (expires_at)
  where status = 'in_progress' and expires_at is not null;
create trigger _900_touch before update on public.user_assessment_attempts
  for each row execute function private.tg_touch_updated_at();

-- Results by question are apart, since the learner reads the attempt's own row: they open by policy.
create table private.attempt_results (
  attempt_id uuid primary key
    references public.user_assessment_attempts (id) on delete cascade,
  results jsonb not null,
  manual jsonb not null default '{}',
  graded_by uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table private.attempt_results is
  'Points by question of a submitted attempt; manual holds what staff gave, {question id: points}.';
alter table private.attempt_results enable row level security;
revoke all on table private.attempt_results from public, anon, authenticated, service_role;
grant select, insert (attempt_id, results) on table private.attempt_results to waymark_writer;
create policy "The write path reads its caller's results" on private.attempt_results
  for select to waymark_writer
  using (attempt_id in (select a.id from public.user_assessment_attempts a));
create policy "The write path adds its caller's results" on private.attempt_results
  for insert to waymark_writer
  with check (attempt_id in (select a.id from public.user_assessment_attempts a));
create trigger _900_touch before update on private.attempt_results
  for each row execute function private.tg_touch_updated_at();

-- Statistics by question: one row per (question, shard), so that learners of one course who submit at
-- once seldom meet in a row; a report sums 16 rows a question.
create table private.question_stats (
  lesson_id uuid not null references public.lessons (id) on delete cascade,
  question_id text not null,
  shard smallint not null check (shard between 0 and 15),
  asked integer not null default 0,
  answered integer not null default 0,
  correct integer not null default 0,
  points numeric(14, 4) not null default 0,
  choices jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (lesson_id, question_id, shard)
) with (fillfactor = 70);
comment on table private.question_stats is
  'How often a question was asked, answered and right, and which options were chosen; sum over shards.';
alter table private.question_stats enable row level security;
revoke all on table private.question_stats from public, anon, authenticated, service_role;
create policy "Nobody reads statistics directly" on private.question_stats
  for select to authenticated using (false);

alter table public.user_assessment_attempts enable row level security;
revoke all on table public.user_assessment_attempts from public, anon, authenticated, service_role;
grant select on table public.user_assessment_attempts
  to authenticated, service_role, waymark_writer;
grant insert (user_id, lesson_id, course_id, cycle, number, started_at, expires_at, pass_percent,
    max_attempts, time_limit_seconds, questions, total_questions, max_score),
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

alter table public.progress_events drop constraint kind_is_valid;
alter table public.progress_events add constraint kind_is_valid check (kind in (
  'enrolled', 'lesson_started', 'lesson_completed', 'lesson_uncompleted', 'module_completed',
  'course_completed', 'attempt_started', 'attempt_submitted', 'attempt_graded'));

-- What the write path may now set beside completion.
grant update (attempts, best_score) on table public.user_progress to waymark_writer;
grant insert (attempts), update (attempts) on table public.daily_activity to waymark_writer;

grant execute on function private.elements(jsonb), private.is_json(jsonb, text),
  private.decimal_text(jsonb) to waymark_writer;

-- Answers -------------------------------------------------------------------------------------------

-- Late network packets of an answer given in time still count; no client can use these seconds alone.
create function private.grace() returns interval
language sql immutable parallel safe security invoker set search_path = ''
return interval '5 seconds';
comment on function private.grace() is 'How long after its end an attempt still takes answers.';

create function private.is_over(a public.user_assessment_attempts, p_at timestamptz) returns boolean
language sql immutable parallel safe security invoker set search_path = ''
return (a).expires_at is not null and p_at > (a).expires_at + private.grace();
comment on function private.is_over(public.user_assessment_attempts, timestamptz) is
  'Whether the time of an attempt is up, grace included.';

create function private.results_open(a public.user_assessment_attempts, l public.lessons)
returns boolean
language sql stable security invoker set search_path = ''
as $$
  select (a).status <> 'in_progress' and case (l).reveal_policy
    when 'never' then false
    when 'after_submit' then true
    when 'after_pass' then exists (
      select from public.user_assessment_attempts x
       where x.user_id = (a).user_id and x.lesson_id = (a).lesson_id and x.cycle = (a).cycle
         and x.passed)
    when 'after_last_attempt' then (l).max_attempts is not null and (
      select count(*) from public.user_assessment_attempts x
       where x.user_id = (a).user_id and x.lesson_id = (a).lesson_id and x.cycle = (a).cycle
         and x.status <> 'in_progress') >= (l).max_attempts
  end
$$;
comment on function private.results_open(public.user_assessment_attempts, public.lessons) is
  'The reveal policy: may the learner see results, keys and explanations of this attempt?';

create function private.attempt_json(a public.user_assessment_attempts, l public.lessons)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'id', (a).id,
    'lesson_id', (a).lesson_id,
    'course_id', (a).course_id,
    'number', (a).number,
    'cycle', (a).cycle,
    'status', (a).status,
    'started_at', (a).started_at,
    'expires_at', (a).expires_at,
    'server_time', private.clock(),
    'submitted_at', (a).submitted_at,
    'graded_at', (a).graded_at,
    'expired', (a).expired,
    'pass_percent', (a).pass_percent,
    'max_attempts', (a).max_attempts,
    'time_limit_seconds', (a).time_limit_seconds,
    'total_questions', (a).total_questions,
    'score', (a).score,
    'max_score', (a).max_score,
    'percent', (a).percent,
    'passed', (a).passed,
    'correct_count', (a).correct_count,
    'feedback', (a).feedback,
    'questions', (a).questions,
    'answers', (a).answers,
    'results', case when private.results_open(a, l) then private.revealed_keys(
      (a).lesson_id, (a).questions,
      (select r.results from private.attempt_results r where r.attempt_id = (a).id)) end)
$$;
comment on function private.attempt_json(public.user_assessment_attempts, public.lessons) is
  'An attempt as its learner sees it; results only when the reveal policy has opened them.';

-- [{question_id, answer, seq?}] merged into what is stored: per question the highest seq wins. Without
-- seq an answer is the newest.
create function private.merge_answers(a public.user_assessment_attempts, p_answers jsonb)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_fault text;
begin
  if p_answers is null or p_answers = 'null' then
    return a.answers;
  end if;
  if jsonb_typeof(p_answers) <> 'array' then
    perform private.fail('invalid_answer', 422, 'answers must be a list');
  elsif pg_column_size(p_answers) > 1048576 then
    perform private.fail('body_too_large', 413, 'The answers are over 1 MiB');
  end if;
  select string_agg(distinct f.fault, '; ')
    into v_fault
    from (
      select case
        when jsonb_typeof(e.body) <> 'object' then 'an entry is no object'
        when e.body - array['question_id', 'answer', 'seq'] <> '{}' then 'an entry has unknown fields'
        when jsonb_typeof(e.body -> 'question_id') is distinct from 'string' then
          'an entry has no question_id'
        when not e.body ? 'answer' then 'an entry has no answer'
        when e.body ? 'seq' and private.is_json(e.body -> 'seq', 'integer') is not true then
          'seq must be an integer'
        when q.body is null then 'unknown question ' || left(e.body ->> 'question_id', 64)
        else (e.body ->> 'question_id') || ' ' || private.answer_fault(q.body, e.body -> 'answer')
      end as fault
        from private.elements(p_answers) e
        left join private.elements(a.questions) q on q.body ->> 'id' = e.body ->> 'question_id'
       limit 2000
    ) as f;
  if v_fault is not null then
    perform private.fail('invalid_answer', 422, 'An answer does not fit its question',
      left(v_fault, 2000));
  end if;
  return a.answers || coalesce((
    select jsonb_object_agg(n.id, jsonb_build_object('answer', n.answer, 'seq', n.seq))
      from (
        select distinct on (e.body ->> 'question_id')
               e.body ->> 'question_id' as id, e.body -> 'answer' as answer,
               coalesce((e.body ->> 'seq')::integer,
                 coalesce((a.answers -> (e.body ->> 'question_id') ->> 'seq')::integer, 0) + 1) as seq
          from private.elements(p_answers) e
         order by e.body ->> 'question_id', 3 desc, e.place desc
      ) as n
     where n.seq > coalesce((a.answers -> n.id ->> 'seq')::integer, -1)), '{}');
end
$$;
comment on function private.merge_answers(public.user_assessment_attempts, jsonb) is
  'Stored answers with newer ones merged in; refuses what does not fit the questions.';

-- Statistics move by what one attempt's results say (p_sign 1), or said before (-1).
create function private.count_results(
  a public.user_assessment_attempts, p_results jsonb, p_sign integer
) returns void
language sql volatile security definer set search_path = ''
as $$
  insert into private.question_stats as s
    (lesson_id, question_id, shard, asked, answered, correct, points, choices)
  select (a).lesson_id, r.body ->> 'question_id', abs(hashtext((a).user_id::text) % 16),
         p_sign,
         p_sign * coalesce(given.answer <> 'null', false)::integer,
         p_sign * coalesce((r.body ->> 'correct')::boolean, false)::integer,
         p_sign * coalesce((r.body ->> 'points')::numeric, 0),
         coalesce(given.choices, '{}')
    from private.elements(p_results) r
   cross join lateral (
     select x.answer,
            case when jsonb_typeof(x.answer) = 'array' and q.body ->> 'kind' = 'multiple_choice'
                   then (select jsonb_object_agg(c, p_sign) from unnest(private.texts(x.answer)) c)
                 when q.body ->> 'kind' in ('single_choice', 'true_false') and x.answer <> 'null'
                   then jsonb_build_object(x.answer #>> '{}', p_sign) end as choices
       from (select (a).answers -> (r.body ->> 'question_id') -> 'answer' as answer) x
       left join private.elements((a).questions) q
         on q.body ->> 'id' = r.body ->> 'question_id'
   ) as given
   order by r.body ->> 'question_id'
      on conflict (lesson_id, question_id, shard) do update
     set asked = s.asked + excluded.asked,
         answered = s.answered + excluded.answered,
         correct = s.correct + excluded.correct,
         points = s.points + excluded.points,
         choices = case when excluded.choices = '{}' then s.choices else s.choices || (
           select jsonb_object_agg(c.key, coalesce((s.choices ->> c.key)::integer, 0) + c.value::integer)
             from jsonb_each_text(excluded.choices) c) end,
         updated_at = now()
$$;
comment on function private.count_results(public.user_assessment_attempts, jsonb, integer) is
  'Adds an attempt''s results to the statistics of its questions, or takes them out.';
revoke execute on function private.count_results(public.user_assessment_attempts, jsonb, integer)
  from public;
grant execute on function private.count_results(public.user_assessment_attempts, jsonb, integer)
  to waymark_writer;

-- Ends an attempt: grades what is stored, and lets everything follow that a grade decides. The caller
-- holds the learner's user_progress row.
create function private.finish_attempt(
  v private.lesson_access, a public.user_assessment_attempts, p_at timestamptz, p_expired boolean,
  p_client_key text
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_results jsonb := coalesce(private.grade(a.lesson_id, a.questions, a.answers, '{}'), '[]');
begin
  insert into private.attempt_results (attempt_id, results) values (a.id, v_results);
  update public.user_assessment_attempts x
     set status = 'submitted',
         submitted_at = case when p_expired then least(p_at, x.expires_at) else p_at end,
         expired = p_expired,
         answers = a.answers,
         client_key = p_client_key
   where x.id = a.id
  returning x.* into a;
  update public.user_progress p
     set attempts = p.attempts + 1
   where p.user_id = a.user_id and p.lesson_id = a.lesson_id
  returning p into v.progress;
  insert into public.daily_activity as d (user_id, day, attempts, first_at, last_at)
  values (a.user_id, private.local_day(a.user_id, a.submitted_at), 1, a.submitted_at, a.submitted_at)
      on conflict (user_id, day) do update
     set attempts = d.attempts + 1,
         first_at = least(d.first_at, excluded.first_at),
         last_at = greatest(d.last_at, excluded.last_at);
  perform private.record_event('attempt_submitted', v, p_at, jsonb_build_object(
    'attempt_id', a.id, 'number', a.number, 'expired', a.expired));
  return private.settle_attempt(v, a, v_results, p_at);
end
$$;
comment on function private.finish_attempt(
  private.lesson_access, public.user_assessment_attempts, timestamptz, boolean, text) is
  'Submits an attempt: grades it, counts it, and completes the lesson when its rule is now fulfilled.';

-- With all points known the attempt is graded, and best score, statistics and completion follow.
create function private.settle_attempt(
  v private.lesson_access, a public.user_assessment_attempts, p_results jsonb, p_at timestamptz
) returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v_score numeric;
  v_correct integer;
  v_open integer;
begin
  select coalesce(sum((r.body ->> 'points')::numeric), 0),
         count(*) filter (where (r.body ->> 'correct')::boolean),
         count(*) filter (where r.body -> 'points' = 'null')
    into v_score, v_correct, v_open
    from private.elements(p_results) r;
  if v_open = 0 then
    update public.user_assessment_attempts x
       set status = 'graded',
           graded_at = p_at,
           score = v_score,
           percent = private.score_percent(v_score, x.max_score, x.pass_percent),
           passed = x.max_score > 0 and v_score * 100 >= x.pass_percent * x.max_score,
           correct_count = v_correct
     where x.id = a.id
    returning x.* into a;
    perform private.count_results(a, p_results, 1);
    update public.user_progress p
       set best_score = greatest(p.best_score, a.percent)
     where p.user_id = a.user_id and p.lesson_id = a.lesson_id
    returning p into v.progress;
    perform private.record_event('attempt_graded', v, p_at, jsonb_build_object(
      'attempt_id', a.id, 'number', a.number, 'percent', a.percent, 'passed', a.passed));
  end if;
  if (v.progress).status <> 'completed' and (v.lesson).completion_rule in ('submit', 'pass')
     and private.rule_missing(v.lesson, v.progress) is null
  then
    v := private.record_completion(v, p_at);
  else
    v.changed := false;
    v.next_lesson_id := private.next_lesson(v);
  end if;
  return v;
end
$$;
comment on function private.settle_attempt(
  private.lesson_access, public.user_assessment_attempts, jsonb, timestamptz) is
  'Writes the grade of a submitted attempt once every question has its points.';

-- Commands ------------------------------------------------------------------------------------------

-- Opens the lesson and locks the learner's row of it; an open attempt whose time is up is ended now.
create function private.open_quiz(p_user_id uuid, p_lesson_id uuid, p_at timestamptz)
returns private.lesson_access
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  v private.lesson_access := private.open_lesson(p_user_id, p_lesson_id);
  a public.user_assessment_attempts;
begin
  v := private.record_start(v, p_at);
  select * into a from public.user_assessment_attempts x
   where x.user_id = p_user_id and x.lesson_id = p_lesson_id and x.status = 'in_progress';
  if a.id is not null and private.is_over(a, p_at) then
    v := private.finish_attempt(v, a, p_at, true, null);
  end if;
  return v;
end
$$;
comment on function private.open_quiz(uuid, uuid, timestamptz) is
  'As open_lesson(), with the learner''s row locked and an expired attempt graded.';

create function private.begin_attempt(v private.lesson_access, p_at timestamptz)
returns public.user_assessment_attempts
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  l public.lessons := v.lesson;
  a public.user_assessment_attempts;
  v_used integer;
  v_last timestamptz;
  v_questions jsonb;
begin
  select * into a from public.user_assessment_attempts x
   where x.user_id = (v.enrollment).user_id and x.lesson_id = l.id and x.status = 'in_progress';
  if a.id is not null then
    return a;
  end if;
  v_questions := private.draw_questions(l);
  if v_questions is null then
    perform private.fail('no_quiz', 422, 'This lesson has no quiz');
  elsif p_at < l.quiz_available_from then
    perform private.fail('quiz_not_open', 409, 'This quiz is not open yet',
      jsonb_build_object('available_from', l.quiz_available_from)::text);
  elsif p_at >= l.quiz_available_until then
    perform private.fail('quiz_closed', 409, 'This quiz is closed',
      jsonb_build_object('available_until', l.quiz_available_until)::text);
  end if;
  select coalesce(max(x.number), 0), max(x.submitted_at) into v_used, v_last
    from public.user_assessment_attempts x
   where x.user_id = (v.enrollment).user_id and x.lesson_id = l.id
     and x.cycle = (v.enrollment).cycle;
  if v_used >= l.max_attempts then
    perform private.fail('attempts_exhausted', 409, 'No attempts are left',
      jsonb_build_object('max_attempts', l.max_attempts)::text);
  elsif v_last + make_interval(secs => l.attempt_cooldown_seconds) > p_at then
    perform private.fail('attempt_cooldown', 409, 'The next attempt is not open yet',
      jsonb_build_object('available_from',
        v_last + make_interval(secs => l.attempt_cooldown_seconds))::text,
      p_headers => jsonb_build_object('Retry-After', ceil(extract(epoch from
        v_last + make_interval(secs => l.attempt_cooldown_seconds) - p_at))::text));
  end if;
  insert into public.user_assessment_attempts as x
    (user_id, lesson_id, course_id, cycle, number, started_at, expires_at, pass_percent,
     max_attempts, time_limit_seconds, questions, total_questions, max_score)
  values (
    (v.enrollment).user_id, l.id, l.course_id, (v.enrollment).cycle, v_used + 1, p_at,
    least(p_at + make_interval(secs => l.time_limit_seconds), l.quiz_available_until),
    l.pass_percent, l.max_attempts, l.time_limit_seconds, v_questions,
    jsonb_array_length(v_questions),
    (select sum((q.body ->> 'points')::numeric) from private.elements(v_questions) q))
  returning x.* into a;
  perform private.record_event('attempt_started', v, p_at,
    jsonb_build_object('attempt_id', a.id, 'number', a.number));
  return a;
end
$$;
comment on function private.begin_attempt(private.lesson_access, timestamptz) is
  'The open attempt, or a new one where window, maximum and cool-down allow it.';

create function private.start_attempt(p_lesson_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v private.lesson_access := private.open_quiz(private.require_user(), p_lesson_id, v_now);
  a public.user_assessment_attempts := private.begin_attempt(v, v_now);
begin
  return jsonb_build_object('attempt', private.attempt_json(a, v.lesson))
    || private.lesson_answer(v);
end
$$;
comment on function private.start_attempt(uuid) is 'Starts an attempt; while one is open, that one.';

create function private.get_attempts(p_lesson_id uuid) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  l public.lessons;
  v_attempts jsonb;
  v_reported numeric;
begin
  select * into l from public.lessons where id = p_lesson_id;
  if l.id is null or not private.sees_course(v_user_id, l.course_id) then
    perform private.fail('lesson_not_found', 404, 'Lesson not found');
  end if;
  select coalesce(jsonb_agg(private.attempt_json(a, l) order by a.cycle, a.number), '[]'),
         case l.score_policy
           when 'best' then max(a.percent)
           when 'average' then round(avg(a.percent), 2)
           when 'first' then (array_agg(a.percent order by a.cycle, a.number)
             filter (where a.percent is not null))[1]
           when 'last' then (array_agg(a.percent order by a.cycle desc, a.number desc)
             filter (where a.percent is not null))[1]
         end
    into v_attempts, v_reported
    from (
      select * from public.user_assessment_attempts x
       where x.user_id = v_user_id and x.lesson_id = p_lesson_id
       order by x.cycle desc, x.number desc
       limit 200
    ) as a;
  return jsonb_build_object('lesson_id', p_lesson_id, 'score_policy', l.score_policy,
    'reported_percent', v_reported, 'attempts', v_attempts);
end
$$;
comment on function private.get_attempts(uuid) is
  'The caller''s attempts at a lesson, the last 200, and the percent its score policy reports.';

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
create function private.attempt_closed(a public.user_assessment_attempts, l public.lessons)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  perform set_config('response.status', '409', true);
  return jsonb_build_object('code', 'attempt_closed', 'message', 'This attempt has ended',
    'details', jsonb_build_object('attempt_id', (a).id, 'status', (a).status,
      'expired', (a).expired, 'percent', (a).percent, 'passed', (a).passed)::text,
    'hint', null);
end
$$;
comment on function private.attempt_closed(public.user_assessment_attempts, public.lessons) is
  'The 409 for answers to an attempt that has ended, without rolling back its grading.';

create function private.save_answers(p_attempt_id uuid, p_answers jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  a public.user_assessment_attempts := private.my_attempt(v_user_id, p_attempt_id);
  v private.lesson_access := private.open_quiz(v_user_id, a.lesson_id, v_now);
  v_answers jsonb;
begin
  a := private.my_attempt(v_user_id, p_attempt_id);
  if a.status <> 'in_progress' then
    return private.attempt_closed(a, v.lesson);
  end if;
  v_answers := private.merge_answers(a, p_answers);
  update public.user_assessment_attempts x
     set answers = v_answers
   where x.id = a.id and x.answers <> v_answers
  returning x.* into a;
  return jsonb_build_object('attempt', private.attempt_json(
    private.my_attempt(v_user_id, p_attempt_id), v.lesson));
end
$$;
comment on function private.save_answers(uuid, jsonb) is
  'Autosave: merges answers by question; an older save never wins.';

create function private.submit_attempt(p_attempt_id uuid, p_answers jsonb, p_client_key text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  a public.user_assessment_attempts := private.my_attempt(v_user_id, p_attempt_id);
  v private.lesson_access := private.open_quiz(v_user_id, a.lesson_id, v_now);
begin
  a := private.my_attempt(v_user_id, p_attempt_id);
  if a.status <> 'in_progress' then
    -- The same submit again, or one without new answers: the same answer again.
    if p_client_key is not null and a.client_key = p_client_key
       or p_answers is null or p_answers in ('null', '[]') then
      v.next_lesson_id := private.next_lesson(v);
      v.changed := false;
      return private.submit_answer(v, a);
    end if;
    return private.attempt_closed(a, v.lesson);
  end if;
  a.answers := private.merge_answers(a, p_answers);
  v := private.finish_attempt(v, a, v_now, false, p_client_key);
  return private.submit_answer(v, private.my_attempt(v_user_id, p_attempt_id))
    || '{"changed": true}';
end
$$;
comment on function private.submit_attempt(uuid, jsonb, text) is
  'Ends an attempt with its last answers and grades it; the same client key answers the same again.';

create function private.submit_answer(
  v private.lesson_access, a public.user_assessment_attempts
) returns jsonb
language sql stable security invoker set search_path = ''
return jsonb_build_object('attempt', private.attempt_json(a, (v).lesson))
  || private.lesson_answer(v)
  || jsonb_build_object('next_lesson_id', (v).next_lesson_id, 'certificate', null, 'changed', false);
comment on function private.submit_answer(private.lesson_access, public.user_assessment_attempts) is
  '{attempt, progress, enrollment, next_lesson_id, certificate, changed}.';

create function private.submit_quiz(p_lesson_id uuid, p_answers jsonb, p_client_key text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_user_id uuid := private.require_user();
  v_now timestamptz := private.clock();
  v private.lesson_access := private.open_quiz(v_user_id, p_lesson_id, v_now);
  a public.user_assessment_attempts;
begin
  if p_client_key is not null then
    select * into a from public.user_assessment_attempts x
     where x.user_id = v_user_id and x.lesson_id = p_lesson_id and x.client_key = p_client_key;
    if found then
      v.next_lesson_id := private.next_lesson(v);
      return private.submit_answer(v, a);
    end if;
  end if;
  a := private.begin_attempt(v, v_now);
  a.answers := private.merge_answers(a, coalesce(p_answers, '[]'));
  v := private.finish_attempt(v, a, v_now, false, p_client_key);
  return private.submit_answer(v, private.my_attempt(v_user_id, a.id)) || '{"changed": true}';
end
$$;
comment on function private.submit_quiz(uuid, jsonb, text) is 'Start and submit in one go.';

-- Doors ---------------------------------------------------------------------------------------------

create function public.start_attempt(p_lesson_id uuid) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.start_attempt(p_lesson_id); end;
comment on function public.start_attempt(uuid) is
  'Starts an attempt at a lesson''s quiz, or returns the open one. Returns {attempt, progress, enrollment}.';

create function public.get_attempts(p_lesson_id uuid) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_attempts(p_lesson_id); end;
comment on function public.get_attempts(uuid) is
  'The caller''s attempts at a lesson. Returns {lesson_id, score_policy, reported_percent, attempts}.';

create function public.save_answers(p_attempt_id uuid, p_answers jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.save_answers(p_attempt_id, p_answers); end;
comment on function public.save_answers(uuid, jsonb) is
  'Autosave of [{question_id, answer, seq}]. Returns {attempt}; 409 attempt_closed once it has ended.';

create function public.submit_attempt(
  p_attempt_id uuid, p_answers jsonb default null, p_client_key text default null
) returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.submit_attempt(p_attempt_id, p_answers, p_client_key); end;
comment on function public.submit_attempt(uuid, jsonb, text) is
  'Submits and grades. Returns {attempt, progress, enrollment, next_lesson_id, certificate, changed}.';

create function public.submit_quiz(
  p_lesson_id uuid, p_answers jsonb default null, p_client_key text default null
) returns jsonb
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
revoke execute on function private.open_quiz from public;
revoke execute on function private.begin_attempt from public;
revoke execute on function private.start_attempt from public;
revoke execute on function private.get_attempts from public;
revoke execute on function private.my_attempt from public;
revoke execute on function private.attempt_closed from public;
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
alter function private.open_quiz owner to waymark_writer;
alter function private.begin_attempt owner to waymark_writer;
alter function private.start_attempt owner to waymark_writer;
alter function private.get_attempts owner to waymark_writer;
alter function private.my_attempt owner to waymark_writer;
alter function private.attempt_closed owner to waymark_writer;
alter function private.save_answers owner to waymark_writer;
alter function private.submit_attempt owner to waymark_writer;
alter function private.submit_answer owner to waymark_writer;
alter function private.submit_quiz owner to waymark_writer;
revoke create on schema private from waymark_writer;
