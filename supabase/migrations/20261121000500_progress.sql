-- Progress: what a learner has done, and the counters derived from it.
--
-- Nobody writes these tables but the functions in `private`: `authenticated` holds no INSERT,
-- UPDATE or DELETE grant. Counters (completed, total) stand beside each other on the row, percent is
-- checked against them, and completing a lesson touches one row of each table.

create table public.enrollments (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  course_id bigint not null references public.courses (id) on delete restrict,
  cohort_id uuid,
  purchase_id text check (char_length(purchase_id) <= 200),
  status text not null default 'active'
    constraint status_is_valid check (status in ('active', 'left', 'withdrawn')),
  enrolled_at timestamptz not null default now(),
  expires_at timestamptz,
  cycle integer not null default 1 check (cycle >= 1),
  cycle_started_at timestamptz,
  completed_lessons integer not null default 0,
  total_lessons integer not null default 0,
  completed_weight bigint not null default 0,
  total_weight bigint not null default 0,
  progress_percent numeric(5, 2) not null default 0,
  completed_at timestamptz,
  completion_snapshot jsonb,
  renewal_told_at timestamptz,
  last_accessed_at timestamptz,
  current_module_id uuid,
  current_lesson_id uuid,
  current_section text check (char_length(current_section) <= 200),
  view_time_seconds bigint not null default 0 check (view_time_seconds >= 0),
  score_sum bigint not null default 0,
  scored_lessons integer not null default 0,
  sort_name text collate "C" not null default '',
  frontier_lesson_id uuid,
  frontier_version bigint,
  settled_version bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint one_enrollment_per_user_and_course unique (user_id, course_id),
  constraint completed_within_total check (
    completed_lessons between 0 and total_lessons
    and completed_weight between 0 and total_weight),
  constraint percent_follows_weights check (
    progress_percent = private.percent(completed_weight, total_weight)),
  constraint full_percent_has_completed_at check (
    progress_percent < 100 or completed_at is not null),
  foreign key (cohort_id, course_id)
    references public.cohorts (id, course_id) on delete set null (cohort_id)
) with (fillfactor = 85);
comment on table public.enrollments is 'One learner in one course, with the counters behind percent.';
comment on column public.enrollments.status is
  'left: by the learner, who may come back; withdrawn: by others, who alone may take it back.';
comment on column public.enrollments.cycle_started_at is
  'When the present cycle began; null in the first one, which began with the enrolment.';
comment on column public.enrollments.completed_at is
  'First time everything countable was done in this cycle; never taken back.';
comment on column public.enrollments.renewal_told_at is
  'When the learner was told that this completion expires; null: not yet.';
comment on column public.enrollments.completion_snapshot is
  'What was required at completion: {lessons, weight, catalog_version}.';
comment on column public.enrollments.score_sum is
  'Sum of the best scores, in hundredths, of the countable lessons that have one; maintained.';
comment on column public.enrollments.scored_lessons is 'How many lessons are in score_sum; maintained.';
comment on column public.enrollments.sort_name is
  'The learner''s display name as staff''s lists are sorted by it; maintained.';
comment on column public.enrollments.frontier_lesson_id is
  'First incomplete countable lesson as of frontier_version; a cache, ask get_next_lesson instead.';
comment on column public.enrollments.frontier_version is
  'courses.catalog_version the frontier was found at; another value means: look again.';
comment on column public.enrollments.settled_version is
  'courses.settle_version that the counters hold; a lower one means: settling, the next write counts first.';
create index enrollments_course_idx on public.enrollments (course_id, id);
-- Staff's list by name, page by page. A name rarely changes, so no learner's write touches this index.
create index enrollments_name_idx on public.enrollments (course_id, sort_name, id);
-- Completions that may still have to be announced as expiring. No heartbeat changes these columns.
create index enrollments_renewal_idx on public.enrollments (course_id, completed_at)
  where completed_at is not null and renewal_told_at is null and status = 'active';
create index enrollments_cohort_idx on public.enrollments (cohort_id, course_id)
  where cohort_id is not null;

create table public.user_progress (
  user_id uuid not null references auth.users (id) on delete cascade,
  lesson_id uuid not null,
  -- For APIs that want one id a row. Nothing references it, so that the table can be
  -- hash-partitioned by user_id later; hence no unique index either.
  id uuid not null default gen_random_uuid(),
  course_id bigint not null,
  status text not null default 'in_progress'
    constraint status_is_valid check (status in ('not_started', 'in_progress', 'completed')),
  is_completed boolean not null generated always as (status = 'completed') stored,
  progress numeric(5, 4) not null default 0 check (progress between 0 and 1),
  started_at timestamptz,
  last_accessed timestamptz,
  completed_at timestamptz,
  completed_on date,
  view_time_seconds integer not null default 0 check (view_time_seconds >= 0),
  position_seconds integer not null default 0 check (position_seconds >= 0),
  watched int4multirange not null default '{}',
  attempts integer not null default 0 check (attempts >= 0),
  best_score numeric(5, 2) check (best_score between 0 and 100),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, lesson_id),
  constraint begun_has_started_at check ((status = 'not_started') = (started_at is null)),
  constraint completed_has_times check (
    (status = 'completed') = (completed_at is not null)
    and (completed_at is null) = (completed_on is null)),
  constraint completed_is_whole check (status <> 'completed' or progress = 1),
  constraint user_progress_lesson_fkey foreign key (lesson_id, course_id)
    references public.lessons (id, course_id) on update cascade on delete restrict
) with (fillfactor = 85);
comment on table public.user_progress is 'One row per learner and lesson, from the first opening on.';
comment on column public.user_progress.completed_on is
  'The day, in the learner''s zone at the time, on which daily_activity counted the completion.';
create index user_progress_lesson_idx on public.user_progress (lesson_id, course_id);

-- One predicate for the status of a module, wherever it is written.
create function private.module_done(
  p_rule text, p_completed_lessons bigint, p_total_lessons bigint, p_completed_quizzes bigint,
  p_total_quizzes bigint
) returns boolean
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return case when p_rule = 'quiz_passed' and p_total_quizzes > 0
    then p_completed_quizzes = p_total_quizzes
    else p_total_lessons > 0 and p_completed_lessons = p_total_lessons end;
end
$$;
comment on function private.module_done(text, bigint, bigint, bigint, bigint) is
  'Whether these counts complete a module of this rule.';
revoke execute on function private.module_done(text, bigint, bigint, bigint, bigint) from public;
grant execute on function private.module_done(text, bigint, bigint, bigint, bigint)
  to waymark_writer, service_role;

create table public.module_progress (
  user_id uuid not null references auth.users (id) on delete cascade,
  module_id uuid not null,
  course_id bigint not null,
  completion_rule text not null default 'all_lessons',
  completed_lessons integer not null default 0,
  total_lessons integer not null default 0,
  completed_quizzes integer not null default 0,
  total_quizzes integer not null default 0,
  status text not null generated always as (
    case when private.module_done(
        completion_rule, completed_lessons, total_lessons, completed_quizzes, total_quizzes)
      then 'completed' when started_at is null then 'not_started' else 'in_progress' end) stored,
  started_at timestamptz,
  completed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint one_row_per_user_and_module primary key (user_id, module_id),
  constraint completed_within_total check (
    completed_lessons between 0 and total_lessons
    and completed_quizzes between 0 and total_quizzes),
  constraint completed_has_completed_at check (
    completed_at is not null or not private.module_done(
      completion_rule, completed_lessons, total_lessons, completed_quizzes, total_quizzes)),
  foreign key (module_id, course_id)
    references public.modules (id, course_id) on update cascade on delete cascade
) with (fillfactor = 85);
comment on table public.module_progress is
  'One row per learner and module begun, or with a lesson waived; no row means not started.';
comment on column public.module_progress.completion_rule is
  'Copy of modules.completion_rule, so that status follows from the row alone.';
comment on column public.module_progress.completed_at is 'First time the module was complete; stays when lessons are added.';
create index module_progress_module_idx on public.module_progress (module_id, course_id);

-- Whoever has a waiver in a module has a row in module_progress too, begun or not: it holds the
-- totals that are the learner's own, so that a completion need not count waivers. A lesson with
-- waivers is not deleted before they are settled, hence restrict.
create table public.lesson_waivers (
  user_id uuid not null references auth.users (id) on delete cascade,
  lesson_id uuid not null references public.lessons (id) on delete restrict,
  reason text not null check (char_length(reason) between 1 and 2000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, lesson_id)
);
comment on table public.lesson_waivers is
  'Lessons that a learner is excused from: they do not count for this learner.';
create index lesson_waivers_lesson_idx on public.lesson_waivers (lesson_id);

create table public.daily_activity (
  user_id uuid not null references auth.users (id) on delete cascade,
  day date not null,
  lessons_completed integer not null default 0 check (lessons_completed >= 0),
  view_seconds integer not null default 0 check (view_seconds >= 0),
  attempts integer not null default 0 check (attempts >= 0),
  first_at timestamptz not null,
  last_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, day)
) with (fillfactor = 85);
comment on table public.daily_activity is
  'What a learner did on a day of their own time zone; streaks and heat maps read this.';
comment on column public.daily_activity.first_at is
  'First and last instant of the day''s activity: days either side of a change of zone are compared by them.';

create trigger _900_touch before update on public.enrollments
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.user_progress
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.module_progress
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.lesson_waivers
  for each row execute function private.tg_touch_updated_at();
create trigger _900_touch before update on public.daily_activity
  for each row execute function private.tg_touch_updated_at();

alter table public.enrollments enable row level security;
alter table public.user_progress enable row level security;
alter table public.module_progress enable row level security;
alter table public.lesson_waivers enable row level security;
alter table public.daily_activity enable row level security;
revoke all on table public.enrollments, public.user_progress, public.module_progress,
  public.lesson_waivers, public.daily_activity from anon, authenticated, service_role;
