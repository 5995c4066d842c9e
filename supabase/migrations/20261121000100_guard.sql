-- Guard: refuse to install over somebody else's objects.
--
-- Waymark may be added to a project that already has tables of its own. This file runs first and
-- changes nothing when a name that Waymark owns (now or by its published design) is taken: it
-- raises with the whole list, so that the admin can decide once. Later migrations that bring new
-- names call private.require_free() themselves. A test compares the lists with what is made.

do $$
declare
  v_clashes text;
begin
  select string_agg(found.what, ', ' order by found.what)
    into v_clashes
    from (
      -- A table makes a type of its name, so a type is in the way too.
      select 'table, view or type public.' || taken.name as what
        from (
          select c.relname as name, c.relnamespace as schema_oid from pg_catalog.pg_class c
          union
          select t.typname, t.typnamespace from pg_catalog.pg_type t
        ) as taken
        join pg_catalog.pg_namespace n on n.oid = taken.schema_oid
       where n.nspname = 'public'
         and taken.name in (
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
      select 'table, type or function private.' || taken.name
        from (
          select c.relname as name, c.relnamespace as schema_oid from pg_catalog.pg_class c
          union
          select t.typname, t.typnamespace from pg_catalog.pg_type t
          union
          select p.proname, p.pronamespace from pg_catalog.pg_proc p
        ) as taken
        join pg_catalog.pg_namespace n on n.oid = taken.schema_oid
       where n.nspname = 'private'
         and (taken.name in (
           'audit', 'begin_module', 'bookings', 'catalog_key', 'changed_fields', 'clock',
           'complete_lesson', 'complete_module', 'completed_ids', 'constraint_culprits',
           'course_defaults', 'course_faults', 'course_items', 'course_key', 'create_lesson',
           'crossing_key', 'delete_course', 'delete_lesson', 'display_name', 'edit_lesson',
           'editors_key', 'elements', 'empty_import', 'enroll', 'enrollment_json', 'fail',
           'first_begun', 'first_incomplete', 'first_incomplete_in', 'get_course_outline', 'get_course_progress',
           'get_course_summary', 'get_lesson_progress', 'get_module_progress', 'get_next_lesson',
           'import_course', 'import_lessons', 'import_modules', 'import_resources', 'is_admin',
           'is_json', 'jwt', 'known_timezone', 'lesson_access', 'lesson_answer', 'lesson_change',
           'lesson_json', 'lessons_json', 'local_day', 'lock_courses', 'module_done', 'tg_users__lock',
           'locked_courses', 'make_event_partitions', 'module_json', 'move_lesson', 'move_module',
           'my_course_ids', 'my_enrollment', 'next_lesson', 'offered', 'open_lesson',
           'open_module', 'percent', 'progress_json', 'put_lesson_progress', 'recalculate',
           'recalculate_enrollment', 'record_completion', 'record_event', 'record_start',
           'recount_enrollment', 'recount_modules', 'refuse_unearned', 'require_active',
           'require_author', 'require_free', 'require_module', 'require_user', 'rule_missing',
           'sees_course', 'set_lesson_archived', 'settle_lessons', 'share_course', 'start_lesson',
           'start_module', 'tg_catalog__edit', 'tg_catalog__lock', 'tg_enrollments__counts',
           'tg_enrollments__crossing', 'tg_enrollments__event', 'tg_lessons__module',
           'tg_lessons__settle', 'tg_modules__settle', 'tg_profiles__timezone', 'tg_touch_updated_at',
           'tg_users__profile', 'uid', 'uncomplete_lesson', 'write_course')
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
