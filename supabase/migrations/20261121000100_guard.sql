-- Guard: refuse to install over somebody else's objects.
--
-- Waymark may be added to a project that already has tables of its own. This file runs first and
-- changes nothing when a name that Waymark owns (now or by its published design) is taken: it
-- raises with the whole list, so that the admin can decide once. Later migrations that bring new
-- names call private.require_free() themselves.

do $$
declare
  v_clashes text;
begin
  select string_agg(found.what, ', ' order by found.what)
    into v_clashes
    from (
      select 'table or view ' || n.nspname || '.' || c.relname as what
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where n.nspname = 'public'
         and c.relname in (
           'profiles', 'courses', 'course_staff', 'cohorts', 'modules', 'lessons', 'resources',
           'enrollments', 'user_progress', 'module_progress', 'progress_events', 'audit_log',
           'daily_activity', 'user_assessment_attempts', 'certificates', 'notifications',
           'notes', 'collections', 'collection_items')
      union all
      select 'function ' || n.nspname || '.' || p.proname
        from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
       where n.nspname = 'public'
         and p.proname in (
           'enroll', 'start_lesson', 'complete_lesson', 'uncomplete_lesson',
           'put_lesson_progress', 'start_module', 'complete_module', 'get_lesson_progress',
           'get_course_progress', 'get_course_summary', 'get_module_progress',
           'get_next_lesson', 'get_course_outline', 'recalculate', 'import_course',
           'create_lesson', 'move_lesson', 'archive_lesson', 'restore_lesson', 'delete_lesson',
           'move_module', 'delete_course')
      union all
      select 'table, view or function private.' || taken.name
        from (
          select c.relname as name, c.relnamespace as schema_oid from pg_catalog.pg_class c
          union
          select p.proname, p.pronamespace from pg_catalog.pg_proc p
        ) as taken
        join pg_catalog.pg_namespace n on n.oid = taken.schema_oid
       where n.nspname = 'private'
         and (taken.name in (
           'fail', 'uid', 'require_user', 'require_free', 'clock', 'is_admin', 'percent',
           'settle_lessons', 'lock_courses', 'my_course_ids')
           or taken.name like 'progress\_events\_%')
    ) as found;

  if v_clashes is not null then
    raise exception 'Waymark cannot be installed: these names are already taken: %', v_clashes
      using errcode = 'duplicate_object',
            hint = 'Rename or drop them, or install Waymark into a project of its own. '
                   'Nothing was changed.';
  end if;
end
$$;
