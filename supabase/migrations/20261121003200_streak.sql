-- Streaks: one rule, in one function.
--
-- Nothing is kept but the days themselves, so a streak cannot drift: what arrives late mends it, what is
-- taken back breaks it. It costs one walk through the learner's own days.

select private.require_free(array['private.streak']);

-- Each day is compared with the next one, the last with today: what would follow if it were done now is
-- still alive. A streak ends where the next day does not follow.
create function private.streak(
  p_user_id uuid, p_now timestamptz,
  out current_days integer, out longest_days integer, out last_day date
)
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_today date := private.local_day(p_user_id, p_now);
  v_moves timestamptz[] := array(
    select (past.zone ->> 'until')::timestamptz
      from public.profiles pr
     cross join jsonb_array_elements(pr.past_timezones) as past (zone)
     where pr.id = p_user_id);
  v_days integer;
  v_ends integer[];
begin
  select count(*), max(s.day), array_agg(s.n order by s.n) filter (where case
           when s.next_day - s.day <= 1 then false
           -- A day is missing between: only a change of zone, on either of the two or between, excuses it.
           when s.next_first_at - s.last_at < interval '48 hours' then not exists (
             select from unnest(v_moves) as m
              where m between least(s.first_at, s.next_first_at)
                          and greatest(s.last_at, s.next_last_at))
           else true end)
    into v_days, last_day, v_ends
    from (
      select d.day, d.first_at, d.last_at, row_number() over w as n,
             coalesce(lead(d.day) over w, v_today) as next_day,
             coalesce(lead(d.first_at) over w, p_now) as next_first_at,
             coalesce(lead(d.last_at) over w, p_now) as next_last_at
        from public.daily_activity d
       where d.user_id = p_user_id
         and (d.lessons_completed > 0 or d.attempts > 0 or d.view_seconds >= 60)
      window w as (order by d.day)
    ) as s;
  current_days := v_days - coalesce(v_ends[cardinality(v_ends)], 0);
  longest_days := (
    select max(e.n - e.before)
      from (
        select n, lag(n, 1, 0) over (order by n) as before
          from unnest(v_ends || v_days) as n
      ) as e);
end
$$;
comment on function private.streak(uuid, timestamptz) is
  'Days in a row until now, the longest such row ever, and the last day that counts.';
revoke execute on function private.streak from public;

grant create on schema private to waymark_writer;
alter function private.streak owner to waymark_writer;
revoke create on schema private from waymark_writer;
