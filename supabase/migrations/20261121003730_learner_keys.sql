-- What staff's list of learners is sorted by, beside what an enrolment holds anyway: the mean of its best
-- scores, and the learner's name. Both stand on the enrolment, so that a page of a course of 100,000
-- learners reads no row of user_progress and profiles but the page's own. Neither costs a completion
-- anything: scores change with a graded attempt, names with a profile.

select private.require_free(array[
  'private.sort_name', 'private.tg_enrollments__name', 'private.tg_profiles__name',
  'private.tg_user_progress__score']);
select private.hold_tables(
  array['public.profiles', 'public.enrollments', 'public.user_progress']::regclass[]);

-- The caller holds the enrolment's row (private.open_lesson, private.open_for_staff). A lesson that does
-- not count, or not for this learner, has no part in the mean; when that changes, the edit or the waiver
-- books the score in or out. A new row with a score is counted with its enrolment or by recalculation.
create function private.tg_user_progress__score() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  update public.enrollments e
     set score_sum = e.score_sum
           + ((coalesce(new.best_score, 0) - coalesce(old.best_score, 0)) * 100)::integer,
         scored_lessons = e.scored_lessons
           + (new.best_score is not null)::integer - (old.best_score is not null)::integer
   where e.user_id = new.user_id and e.course_id = new.course_id
     and exists (select from public.lessons l where l.id = new.lesson_id and l.is_countable)
     and not exists (
       select from public.lesson_waivers w
        where w.user_id = new.user_id and w.lesson_id = new.lesson_id);
  return null;
end
$$;
comment on function private.tg_user_progress__score() is
  'Adds what a graded attempt has changed to the enrolment''s sum of scores.';
revoke execute on function private.tg_user_progress__score() from public;

create trigger _500_score after update of best_score on public.user_progress
  for each row when (old.best_score is distinct from new.best_score)
  execute function private.tg_user_progress__score();

-- Marks on letters do not count, nor does case, whatever the server's locale: Ämilie stands by amilie.
create function private.sort_name(p_name text) returns text
language plpgsql immutable parallel safe security invoker set search_path = ''
as $$
begin
  return left(regexp_replace(
    normalize(private.fold_text(p_name), NFKD), '[' || U&'\0300' || '-' || U&'\036F' || ']', '', 'g'), 100);
end
$$;
comment on function private.sort_name(text) is
  'A display name as lists are sorted by it: folded, without marks on letters.';
revoke execute on function private.sort_name(text) from public;

-- Waits for a profile that is just being renamed: its trigger below would not see this row.
create function private.tg_enrollments__name() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  new.sort_name := coalesce((
    select private.sort_name(p.display_name) from public.profiles p
     where p.id = new.user_id
       for share), '');
  return new;
end
$$;
comment on function private.tg_enrollments__name() is 'An enrolment holds its learner''s name, to be sorted by.';
revoke execute on function private.tg_enrollments__name() from public;

create trigger _200_name before insert or update of user_id on public.enrollments
  for each row execute function private.tg_enrollments__name();

create function private.tg_profiles__name() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_name text := coalesce(private.sort_name(new.display_name), '');
begin
  perform from public.enrollments e
    where e.user_id = new.id and e.sort_name <> v_name
    order by e.course_id
      for no key update;
  update public.enrollments e
     set sort_name = v_name
   where e.user_id = new.id and e.sort_name <> v_name;
  return null;
end
$$;
comment on function private.tg_profiles__name() is 'A new name goes to the learner''s enrolments.';
revoke execute on function private.tg_profiles__name() from public;

create trigger _500_name_insert after insert on public.profiles
  for each row execute function private.tg_profiles__name();
create trigger _500_name_update after update of display_name on public.profiles
  for each row when (old.display_name is distinct from new.display_name)
  execute function private.tg_profiles__name();

update public.enrollments e
   set sort_name = private.sort_name(p.display_name)
  from public.profiles p
 where p.id = e.user_id and p.display_name is not null;
update public.enrollments e
   set score_sum = s.score, scored_lessons = s.lessons
  from (
    select p.user_id, p.course_id, sum((p.best_score * 100)::integer) as score, count(*) as lessons
      from public.user_progress p
      join public.lessons l on l.id = p.lesson_id
     where p.best_score is not null and l.is_countable and not exists (
       select from public.lesson_waivers w
        where w.user_id = p.user_id and w.lesson_id = p.lesson_id)
     group by p.user_id, p.course_id) as s
 where s.user_id = e.user_id and s.course_id = e.course_id
   and (e.score_sum, e.scored_lessons) is distinct from (s.score, s.lessons);
