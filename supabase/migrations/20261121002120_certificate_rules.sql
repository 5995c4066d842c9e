-- Who gets a certificate, and what still keeps one from it. The rules of a course stand in its columns
-- certificate_*, those of a lesson in lessons.certificate_min_score; admins may allow or deny single
-- learners. One function judges, and everything that issues or explains asks it.

select private.require_free(array[
  'private.certificate_blocks', 'private.certificate_exceptions',
  'private.certificate_standing']);

create table private.certificate_exceptions (
  user_id uuid not null references auth.users (id) on delete cascade,
  course_id bigint not null references public.courses (id) on delete cascade,
  kind text not null
    constraint kind_is_valid check (kind in ('allow', 'deny')),
  reason text not null check (char_length(reason) between 1 and 2000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, course_id)
);
comment on table private.certificate_exceptions is
  'Learners who get a certificate whatever the course''s rules say, or none; by admins, with a reason.';
create index certificate_exceptions_course_idx on private.certificate_exceptions (course_id);
create trigger _900_touch before update on private.certificate_exceptions
  for each row execute function private.tg_touch_updated_at();
alter table private.certificate_exceptions enable row level security;
revoke all on table private.certificate_exceptions
  from public, anon, authenticated, service_role, waymark_writer;
create policy "Nobody reads exceptions directly" on private.certificate_exceptions
  for select to authenticated using (false);

-- The lessons whose scores matter. Without it, finishing a course would walk through all its lessons.
-- squawk-ignore require-concurrent-index-creation
create index lessons_scored_idx on public.lessons (course_id)
  where quiz_data is not null or completion_rule in ('submit', 'pass')
     or certificate_min_score is not null;

-- For one learner as for a hundred thousand, by one plan that probes indexes row by row: one made for few
-- rows, or before the tables had any, must not meet many. The score is the mean of what the lessons' score policies
-- report, by weight, over countable lessons with a quiz; a quiz not taken counts 0, one that waits for
-- a person's grade is left out.
create function private.certificate_standing(p_enrollment_ids uuid[])
returns table (enrollment_id uuid, score numeric, expires_at timestamptz, blocks jsonb)
language plpgsql stable security definer set search_path = ''
  set plan_cache_mode = 'force_generic_plan'
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
as $$
declare
  v_now timestamptz := private.clock();
begin
  return query
  with mark as (
    select e.id, l.id as lesson_id, l.title, l.weight, l.is_countable,
           l.certificate_min_score as needed,
           private.reported_percent(l.score_policy, array_agg(a.percent order by a.number)
             filter (where a.status = 'graded')) as have,
           bool_or(a.status = 'submitted') is true as is_pending,
           l.quiz_data is not null as is_quiz
      from unnest(p_enrollment_ids) as wanted (id)
      join public.enrollments e on e.id = wanted.id
      join public.lessons l on l.course_id = e.course_id
       and (l.quiz_data is not null or l.completion_rule in ('submit', 'pass')
            or l.certificate_min_score is not null)
       and l.archived_at is null and not l.is_preview
       and not exists (
         select from public.lesson_waivers w
          where w.user_id = e.user_id and w.lesson_id = l.id)
      left join public.user_assessment_attempts a
        on a.user_id = e.user_id and a.lesson_id = l.id and a.cycle = e.cycle
     group by e.id, l.id
  ),
  total as (
    select m.id,
           case when count(m.have) > 0 then round(
             sum(m.weight * coalesce(m.have, 0)) filter (where m.counts)
               / nullif(sum(m.weight) filter (where m.counts), 0), 2) end as score,
           coalesce(bool_or(m.is_countable and m.is_pending and m.have is null), false)
             as is_pending,
           coalesce(jsonb_agg(jsonb_build_object(
             'code', 'lesson_score_too_low', 'lesson_id', m.lesson_id, 'title', m.title,
             'needed', m.needed, 'have', m.have) order by m.lesson_id)
             filter (where m.needed > coalesce(m.have, -1)), '[]') as blocks
      from (
        select mark.*,
               mark.is_countable and (mark.have is not null or mark.is_quiz and not mark.is_pending)
                 as counts
          from mark
      ) as m
     group by m.id
  ),
  standing as (
    select e.*, c.certificate_enabled, c.certificate_min_percent, c.certificate_min_score,
           t.score, coalesce(t.is_pending, false) as is_pending, coalesce(t.blocks, '[]') as blocks,
           x.kind as exception, live.revoked_at,
           ((coalesce(e.completed_at, v_now) at time zone coalesce(p.timezone, 'UTC'))::date
             + make_interval(months => c.certificate_valid_months)) at time zone 'UTC' as valid_until
      from unnest(p_enrollment_ids) as wanted (id)
      join public.enrollments e on e.id = wanted.id
      join public.courses c on c.id = e.course_id
      left join total t on t.id = e.id
      left join public.profiles p on p.id = e.user_id
      left join private.certificate_exceptions x
        on x.user_id = e.user_id and x.course_id = e.course_id
      left join public.certificates live
        on live.user_id = e.user_id and live.course_id = e.course_id and live.cycle = e.cycle
       and live.superseded_at is null
  )
  select s.id, s.score, s.valid_until,
         case when s.exception = 'allow' then '[]' else
           to_jsonb(array_remove(array[
             case when not s.certificate_enabled then
               jsonb_build_object('code', 'certificates_off') end,
             case when s.exception = 'deny' then jsonb_build_object('code', 'denied') end,
             case when s.status <> 'active' then
               jsonb_build_object('code', 'enrollment_inactive') end,
             case when s.completed_at is null and s.progress_percent < s.certificate_min_percent then
               jsonb_build_object('code', 'percent_too_low',
                 'needed', s.certificate_min_percent, 'have', s.progress_percent) end,
             case when s.valid_until <= v_now then jsonb_build_object(
               'code', 'completion_expired', 'expired_at', s.valid_until) end,
             case when s.certificate_min_score > coalesce(s.score, 0) then
               jsonb_build_object('code', 'score_too_low',
                 'needed', s.certificate_min_score, 'have', s.score)
             when s.certificate_min_score is not null and s.is_pending then
               jsonb_build_object('code', 'grade_pending') end
           ], null)) || s.blocks end
         || case when s.revoked_at is null then '[]' else
           jsonb_build_array(jsonb_build_object('code', 'certificate_revoked')) end
    from standing s;
end
$$;
comment on function private.certificate_standing(uuid[]) is
  'Score, expiry and what blocks a certificate, of each of these enrolments. The one predicate.';
revoke execute on function private.certificate_standing(uuid[]) from public;

create function private.certificate_blocks(p_user_id uuid, p_course_id bigint) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select s.blocks
      from private.certificate_standing(array(
        select e.id from public.enrollments e
         where e.user_id = p_user_id and e.course_id = p_course_id)) s),
    '[{"code": "not_enrolled"}]');
end
$$;
comment on function private.certificate_blocks(uuid, bigint) is
  'What still keeps a learner from the course''s certificate: [{code, figures…}]; empty when nothing does.';
revoke execute on function private.certificate_blocks(uuid, bigint) from public;
grant execute on function private.certificate_blocks(uuid, bigint) to waymark_writer;
