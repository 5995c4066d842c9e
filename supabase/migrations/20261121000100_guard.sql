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
           'enrollments', 'user_progress', 'module_progress', 'lesson_waivers', 'progress_events', 'audit_log',
           'daily_activity', 'user_assessment_attempts', 'certificates', 'notifications',
           'notes', 'collections', 'collection_items', 'lesson_prerequisites',
           'module_prerequisites', 'course_prerequisites', 'access_overrides')
      union all
      select 'function ' || n.nspname || '.' || p.proname
        from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
       where n.nspname = 'public'
         and p.proname in (
          'apply_events', 'archive_lesson', 'assign_cohort', 'bulk_enroll',
          'clear_certificate_exception', 'complete_lesson', 'complete_lesson_for',
          'complete_module', 'compute_report', 'create_cohort', 'create_lesson', 'create_module',
          'delete_course', 'delete_lesson', 'delete_program', 'delete_webhook', 'drop_jobs',
          'enroll', 'enroll_program', 'excuse_lesson', 'expire_attempts', 'export_my_data',
          'export_notes', 'extend_enrollment', 'fail_job', 'finish_job', 'fold_statistics',
          'get_activity_health', 'get_attempts', 'get_certificate_eligibility',
          'get_certificate_pdf', 'get_certificate_templates', 'get_course_cards',
          'get_course_learner', 'get_course_learners', 'get_course_outline', 'get_course_progress',
          'get_course_report', 'get_course_resources', 'get_course_summary', 'get_drift_health',
          'get_events', 'get_history_health', 'get_learner_history', 'get_lesson_attempts',
          'get_lesson_progress', 'get_lesson_report', 'get_module_progress', 'get_my_certificates',
          'get_my_cycles', 'get_my_dashboard', 'get_my_programs', 'get_next_lesson',
          'get_notifications', 'get_programs', 'get_queue_health', 'get_quiz', 'get_report_page',
          'get_status_list', 'get_webhook_deliveries', 'grade_attempt', 'import_attempt',
          'import_course', 'import_progress', 'issue_certificates', 'lease_jobs', 'leave_course',
          'list_jobs', 'list_webhooks', 'mark_notifications_read', 'merge_users', 'move_lesson',
          'move_module', 'put_certificate_template', 'put_lesson_progress', 'put_program',
          'put_secret_digest', 'put_webhook', 'recalculate', 'regrade_lesson',
          'reinstate_certificate', 'reinstate_enrollment', 'reissue_certificate', 'rename_cohort',
          'reopen_lesson_for', 'reorder_lessons', 'replace_lesson', 'report_deliveries',
          'rest_webhook', 'restore_lesson', 'retake_course', 'retry_certificate', 'retry_jobs',
          'retry_webhook', 'revoke_certificate', 'rotate_webhook_secret', 'run_maintenance',
          'save_answers', 'search_catalog', 'set_access_override', 'set_certificate_exception',
          'set_course_prerequisites', 'set_course_status', 'set_lesson_prerequisites',
          'set_module_prerequisites', 'set_quiz', 'settle_course', 'start_attempt', 'start_cycle',
          'start_lesson', 'start_module', 'submit_attempt', 'submit_quiz', 'take_deliveries',
          'test_webhook', 'uncomplete_lesson', 'unexcuse_lesson', 'unsubscribe_mail',
          'update_course', 'update_lesson', 'update_module', 'verify_certificate', 'view_lesson',
          'withdraw_enrollment')
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
            'add_counts', 'add_view_seconds', 'after_previous', 'answered', 'apply_event',
            'apply_events', 'apply_views', 'as_stored', 'assign_cohort', 'attach_event_month',
            'attempt_closed', 'attempt_json', 'attempt_refusal', 'attempt_results', 'audit',
            'backoff', 'begin_cycle', 'begin_module', 'bookings', 'bulk_enroll', 'catalog_key',
            'certificate_blocks', 'certificate_code', 'certificate_eligibility',
            'certificate_exceptions', 'certificate_fields', 'certificate_json',
            'certificate_rendered', 'certificate_standing', 'certificate_status',
            'certificate_templates', 'certify', 'certify_graded', 'changed_fields',
            'check_client_key', 'check_drift', 'check_reason', 'check_report', 'check_view',
            'check_webhook_url', 'clear_certificate_exception', 'client_address', 'client_event',
            'client_events', 'clock', 'cohort_json', 'complete_lesson', 'complete_lesson_for',
            'complete_module', 'completed_ids', 'completion_expires_at', 'compute_report',
            'constraint_culprits', 'count_learners', 'count_lesson', 'count_lessons',
            'counts_as_done', 'course_defaults', 'course_faults', 'course_items', 'course_key',
            'course_locks', 'course_reports', 'courses_done', 'covered', 'create_cohort',
            'create_lesson', 'create_module', 'crossing_key', 'dashboard_course',
            'dated_lesson_ids', 'decimal_text', 'defer_settling', 'delete_course', 'delete_lesson',
            'delete_program', 'delete_webhook', 'display_name', 'draw_questions', 'drift_checks',
            'drop_jobs', 'edit_lesson', 'edit_module', 'editors_key', 'elements', 'empty_import',
            'enqueue', 'enroll', 'enroll_program', 'enrollment_json', 'event_json',
            'event_month_digest', 'event_months', 'event_result', 'exception_answer', 'excerpt',
            'excuse_lesson', 'expire_attempts', 'export_my_data', 'export_notes',
            'extend_enrollment', 'fail', 'fail_job', 'faults_of_quizzes', 'find_next',
            'finish_attempt', 'finish_courses', 'finish_job', 'finish_programs', 'first_begun',
            'first_incomplete', 'first_incomplete_in', 'first_open', 'fold_statistics',
            'fold_statistics_door', 'fold_text', 'get_activity_health', 'get_attempts',
            'get_certificate_eligibility', 'get_certificate_pdf', 'get_certificate_templates',
            'get_course_cards', 'get_course_learner', 'get_course_learners', 'get_course_outline',
            'get_course_progress', 'get_course_report', 'get_course_resources',
            'get_course_summary', 'get_drift_health', 'get_events', 'get_history_health',
            'get_learner_history', 'get_lesson_attempts', 'get_lesson_progress',
            'get_lesson_report', 'get_module_progress', 'get_my_certificates', 'get_my_cycles',
            'get_my_dashboard', 'get_my_programs', 'get_next_lesson', 'get_notifications',
            'get_programs', 'get_queue_health', 'get_quiz', 'get_report_page', 'get_status_list',
            'get_webhook_deliveries', 'grace', 'grade', 'grade_attempt', 'grading', 'has_events',
            'has_passed', 'heal_enrollment', 'held_certificate', 'highlight', 'histogram',
            'hold_tables', 'import_attempt', 'import_course', 'import_lessons', 'import_modules',
            'import_prerequisites', 'import_progress', 'import_quizzes', 'import_resources',
            'import_row', 'import_time', 'is_admin', 'is_closed_quiz', 'is_in_order', 'is_json',
            'is_over', 'is_settling', 'issue_certificates', 'item_id', 'job_facts', 'job_state',
            'jobs', 'jwt', 'known_timezone', 'learner_cursor', 'learner_sql', 'lease_jobs',
            'leave_course', 'lesson_access', 'lesson_answer', 'lesson_change', 'lesson_dates',
            'lesson_json', 'lesson_lock', 'lesson_locks', 'lesson_report', 'lessons_json',
            'list_jobs', 'list_webhooks', 'local_day', 'lock_courses', 'lock_enrollments',
            'lock_for_cycle', 'lock_for_events', 'lock_json', 'locked_courses', 'mail_facts',
            'mail_tokens', 'make_event_partition', 'make_event_partitions',
            'mark_notifications_read', 'merge_answers', 'merge_attempts', 'merge_certificates',
            'merge_days', 'merge_enrollments', 'merge_past', 'merge_progress', 'merge_users',
            'missing_course', 'missing_module', 'module_counts', 'module_done', 'module_json',
            'move_lesson', 'move_module', 'move_rows', 'move_saved', 'my_attempt',
            'my_closed_lesson_ids', 'my_course_ids', 'my_enrollment', 'my_pace', 'my_time',
            'name_quizzes', 'needs_help_sql', 'new_attempt', 'new_lessons', 'next_event_window',
            'next_lesson', 'normalise_code', 'notify', 'offered', 'open_attempt',
            'open_certificate', 'open_course', 'open_enrollment', 'open_exception',
            'open_for_staff', 'open_lesson', 'open_module', 'open_quiz', 'over_limit',
            'pending_counts', 'percent', 'percent_of', 'personal_tables', 'plain_text',
            'prerequisite_path', 'previous_module', 'printable_name', 'progress_json',
            'purge_client_events', 'purge_rate_buckets', 'purge_watch_sessions', 'put_back',
            'put_certificate_template', 'put_lesson_progress', 'put_note', 'put_program',
            'put_secret_digest', 'put_webhook', 'question_statistics', 'question_stats',
            'questions', 'quiz_questions', 'quiz_rows', 'rate_buckets', 'rate_limits',
            'read_course_progress', 'read_event', 'read_events', 'read_import', 'read_ranges',
            'read_report', 'recalculate', 'recalculate_enrollment', 'recalculate_slice',
            'record_completion', 'record_event', 'record_late_events', 'record_merge',
            'record_position', 'record_start', 'record_uncompletion', 'record_view',
            'recount_enrollment', 'recount_modules', 'refusal_of', 'refuse', 'refuse_locked',
            'refuse_ring', 'refuse_rings', 'refuse_stranger', 'refuse_unearned', 'regrade_attempt',
            'regrade_lesson', 'reinstate_certificate', 'reissue_certificate', 'rename_cohort',
            'render_facts', 'renewal_notice', 'reopen_lesson_for', 'reorder_lessons',
            'replace_lesson', 'report_deliveries', 'report_head', 'report_lag', 'report_learners',
            'report_lessons', 'report_live_rows', 'report_pending', 'report_slices',
            'reported_percent', 'require_active', 'require_admin', 'require_author',
            'require_cohort', 'require_exception', 'require_free', 'require_grader',
            'require_module', 'require_reason', 'require_reporter', 'require_user',
            'require_visible', 'require_webhook', 'requirements_of', 'rest_webhook', 'results_open',
            'retake_block', 'retake_course', 'retry_certificate', 'retry_jobs', 'retry_webhook',
            'return_to_course', 'revealed_keys', 'revoke_certificate', 'rotate_webhook_secret',
            'rule_missing', 'run_maintenance', 'save_answers', 'save_quiz', 'schedule_worker',
            'score_percent', 'search_catalog', 'search_document', 'search_entries',
            'search_queries', 'secrets', 'sees_course', 'set_access_override',
            'set_certificate_exception', 'set_course_prerequisites', 'set_course_status',
            'set_enrollment_status', 'set_lesson_archived', 'set_lesson_prerequisites',
            'set_module_prerequisites', 'set_quiz', 'settings', 'settle_attempt', 'settle_course',
            'settle_enrollments', 'settle_lessons', 'settle_limit', 'settled', 'share_course',
            'share_courses', 'share_for_staff', 'sort_name', 'staff_attempt_json', 'start_attempt',
            'start_cycle', 'start_lesson', 'start_module', 'status_list_size', 'streak',
            'submit_answer', 'submit_attempt', 'submit_quiz', 'take_deliveries', 'take_token',
            'tell_certificate', 'tell_graded', 'tell_renewals', 'test_webhook', 'tg_catalog__edit',
            'tg_catalog__lock', 'tg_catalog__rules', 'tg_collection_items__place',
            'tg_courses__rings', 'tg_courses__search', 'tg_daily_activity__off',
            'tg_enrollments__certificate', 'tg_enrollments__counts', 'tg_enrollments__crossing',
            'tg_enrollments__event', 'tg_enrollments__name', 'tg_enrollments__told',
            'tg_jobs__wake', 'tg_lesson_prerequisites__course', 'tg_lessons__counts_from',
            'tg_lessons__cycles', 'tg_lessons__module', 'tg_lessons__quiz_data',
            'tg_lessons__rings', 'tg_lessons__search', 'tg_lessons__settle',
            'tg_module_prerequisites__course', 'tg_modules__settle', 'tg_notes__edited',
            'tg_notes__place', 'tg_owned__limit', 'tg_owned__lock', 'tg_owned__tell',
            'tg_prerequisites__fixed', 'tg_prerequisites__lock', 'tg_prerequisites__ring',
            'tg_profiles__certificates', 'tg_profiles__forget', 'tg_profiles__name',
            'tg_profiles__timezone', 'tg_program_courses__settle', 'tg_program_enrollments__finish',
            'tg_program_enrollments__lock', 'tg_touch_updated_at', 'tg_user_progress__score',
            'tg_users__certificates', 'tg_users__forget', 'tg_users__lock', 'tg_users__profile',
            'tick', 'tidy_time', 'told_fraction', 'too_many', 'touch_day', 'uid',
            'uncomplete_lesson', 'unexcuse_lesson', 'united_progress', 'unknown_fields', 'unspent',
            'unsubscribe_mail', 'update_course', 'update_lesson', 'update_module', 'velocity',
            'verify_certificate', 'view_fraction', 'view_lesson', 'view_report', 'wake_webhooks',
            'wake_worker', 'want_report', 'wanted_ids', 'watch_credit', 'watch_sessions',
            'webhook_deliveries', 'webhook_json', 'webhook_secret', 'webhook_tries', 'webhooks',
            'with_grade', 'without_count', 'write_course', 'write_quizzes', 'zone_at')
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
