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
           'move_module', 'delete_course', 'set_quiz', 'start_attempt', 'get_attempts',
           'save_answers', 'submit_attempt', 'submit_quiz', 'get_lesson_attempts', 'grade_attempt',
           'regrade_lesson', 'import_attempt', 'expire_attempts', 'fold_statistics',
           'get_my_dashboard')
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
           'add_counts', 'all_graded', 'answer_fault', 'attempt_closed', 'attempt_json',
           'attempt_refusal', 'attempt_results', 'audit', 'begin_attempt', 'begin_module',
           'bookings', 'catalog_key', 'changed_fields', 'check_client_key', 'clock',
           'complete_lesson', 'complete_module', 'completed_ids', 'constraint_culprits',
           'course_defaults', 'course_faults', 'course_items', 'course_key', 'create_lesson',
           'crossing_key', 'decimal_text', 'delete_course', 'delete_lesson', 'display_name',
           'draw_questions', 'edit_lesson', 'editors_key', 'elements', 'empty_import', 'enroll',
           'enrollment_json', 'expire_attempts', 'fail', 'finish_attempt', 'first_begun',
           'first_incomplete', 'first_incomplete_in', 'fold_statistics', 'fold_statistics_door',
           'fold_text', 'fraction', 'get_attempts', 'get_course_outline', 'get_course_progress',
           'get_course_summary', 'get_lesson_attempts', 'get_lesson_progress',
           'get_module_progress', 'get_next_lesson', 'grace', 'grade', 'grade_attempt',
           'has_passed', 'import_attempt', 'import_course', 'import_lessons', 'import_modules',
           'import_resources', 'is_admin', 'is_closed_quiz', 'is_json', 'is_over', 'is_seq',
           'item_id', 'jwt', 'known_timezone', 'lesson_access', 'lesson_answer', 'lesson_change',
           'lesson_json', 'lessons_json', 'local_day', 'lock_courses', 'lock_enrollments',
           'locked_courses', 'make_event_partitions', 'merge_answers', 'module_done', 'module_json',
           'move_lesson', 'move_module', 'my_attempt', 'my_course_ids', 'my_enrollment',
           'name_options', 'name_questions', 'next_lesson', 'offered', 'open_attempt',
           'open_for_staff', 'open_lesson', 'open_module', 'open_quiz', 'pending_counts', 'percent',
           'progress_json', 'put_lesson_progress', 'question_statistics', 'question_stats',
           'questions', 'quiz_faults', 'quiz_questions', 'quiz_rows', 'recalculate',
           'recalculate_enrollment', 'record_completion', 'record_event', 'record_start',
           'recount_enrollment', 'recount_modules', 'refuse', 'refuse_unearned', 'regrade_lesson',
           'replace_results', 'require_active', 'require_author', 'require_free', 'require_grader',
           'require_module', 'require_user', 'results_open', 'revealed_keys', 'rule_missing',
           'save_answers', 'save_quiz', 'score_percent', 'sees_course', 'set_lesson_archived',
           'set_quiz', 'settle_attempt', 'settle_lessons', 'share_course', 'staff_attempt_json',
           'start_attempt', 'start_lesson', 'start_module', 'submit_answer', 'submit_attempt',
           'submit_quiz', 'texts', 'tg_catalog__edit', 'tg_catalog__lock', 'tg_enrollments__counts',
           'tg_enrollments__crossing', 'tg_enrollments__event', 'tg_lessons__module',
           'tg_lessons__quiz_data', 'tg_lessons__settle', 'tg_modules__settle',
           'tg_profiles__timezone', 'tg_touch_updated_at', 'tg_users__lock', 'tg_users__profile',
           'total_points', 'uid', 'uncomplete_lesson', 'write_course',
           'dashboard_course', 'find_next', 'get_my_dashboard', 'my_pace', 'streak', 'touch_day',
           'velocity')
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
