export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]
export type Database = {
"public": {
Tables: {
"access_overrides": {
Row: {
"available_from": string,"created_at": string,"id": string,"lesson_id": string | null,"module_id": string | null,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"available_from": string,"created_at"?: string,"id"?: string,"lesson_id"?: string | null,"module_id"?: string | null,"updated_at"?: string,"user_id": string
}
Update: {
"available_from"?: string,"created_at"?: string,"id"?: string,"lesson_id"?: string | null,"module_id"?: string | null,"updated_at"?: string,"user_id"?: string
}
Relationships: [
{
foreignKeyName: "access_overrides_lesson_id_fkey"
columns: ["lesson_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id"]
},{
foreignKeyName: "access_overrides_module_id_fkey"
columns: ["module_id"]
isOneToOne: false
referencedRelation: "modules"
referencedColumns: ["id"]
}
]
},"audit_log": {
Row: {
"action": string,"actor_id": string | null,"actor_role": string,"after": Json | null,"before": Json | null,"course_id": number | null,"created_at": string,"id": number,"occurred_at": string,"reason": string | null,"subject": string | null,"updated_at": string,"user_id": string | null
}
ComputedFields: never
Insert: {
"action": string,"actor_id"?: string | null,"actor_role": string,"after"?: Json | null,"before"?: Json | null,"course_id"?: number | null,"created_at"?: string,"id"?: never,"occurred_at"?: string,"reason"?: string | null,"subject"?: string | null,"updated_at"?: string,"user_id"?: string | null
}
Update: {
"action"?: string,"actor_id"?: string | null,"actor_role"?: string,"after"?: Json | null,"before"?: Json | null,"course_id"?: number | null,"created_at"?: string,"id"?: never,"occurred_at"?: string,"reason"?: string | null,"subject"?: string | null,"updated_at"?: string,"user_id"?: string | null
}
Relationships: [
]
},"certificates": {
Row: {
"author": string | null,"code": string,"completed_at": string,"completed_on": string,"course_id": number | null,"course_title": string,"created_at": string,"cycle": number,"enrollment_id": string | null,"expires_at": string | null,"hours": number | null,"id": string,"is_mailed": boolean,"issued_at": string,"issued_on": string,"learner_name": string | null,"pdf_bytes": number | null,"pdf_path": string | null,"pdf_sha256": string | null,"program_id": number | null,"reinstated_at": string | null,"rendered_at": string | null,"revoked_at": string | null,"revoked_reason": string | null,"score": number | null,"status_index": number,"superseded_at": string | null,"superseded_by": string | null,"template": string | null,"updated_at": string,"user_id": string | null
}
ComputedFields: never
Insert: {
"author"?: string | null,"code": string,"completed_at": string,"completed_on": string,"course_id"?: number | null,"course_title": string,"created_at"?: string,"cycle"?: number,"enrollment_id"?: string | null,"expires_at"?: string | null,"hours"?: number | null,"id"?: string,"is_mailed"?: boolean,"issued_at": string,"issued_on": string,"learner_name"?: string | null,"pdf_bytes"?: number | null,"pdf_path"?: string | null,"pdf_sha256"?: string | null,"program_id"?: number | null,"reinstated_at"?: string | null,"rendered_at"?: string | null,"revoked_at"?: string | null,"revoked_reason"?: string | null,"score"?: number | null,"status_index"?: never,"superseded_at"?: string | null,"superseded_by"?: string | null,"template"?: string | null,"updated_at"?: string,"user_id"?: string | null
}
Update: {
"author"?: string | null,"code"?: string,"completed_at"?: string,"completed_on"?: string,"course_id"?: number | null,"course_title"?: string,"created_at"?: string,"cycle"?: number,"enrollment_id"?: string | null,"expires_at"?: string | null,"hours"?: number | null,"id"?: string,"is_mailed"?: boolean,"issued_at"?: string,"issued_on"?: string,"learner_name"?: string | null,"pdf_bytes"?: number | null,"pdf_path"?: string | null,"pdf_sha256"?: string | null,"program_id"?: number | null,"reinstated_at"?: string | null,"rendered_at"?: string | null,"revoked_at"?: string | null,"revoked_reason"?: string | null,"score"?: number | null,"status_index"?: never,"superseded_at"?: string | null,"superseded_by"?: string | null,"template"?: string | null,"updated_at"?: string,"user_id"?: string | null
}
Relationships: [
{
foreignKeyName: "certificates_superseded_by_fkey"
columns: ["superseded_by"]
isOneToOne: false
referencedRelation: "certificates"
referencedColumns: ["id"]
}
]
},"cohorts": {
Row: {
"course_id": number,"created_at": string,"ends_at": string | null,"id": string,"name": string,"starts_at": string | null,"updated_at": string
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"ends_at"?: string | null,"id"?: string,"name": string,"starts_at"?: string | null,"updated_at"?: string
}
Update: {
"course_id"?: number,"created_at"?: string,"ends_at"?: string | null,"id"?: string,"name"?: string,"starts_at"?: string | null,"updated_at"?: string
}
Relationships: [
{
foreignKeyName: "cohorts_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
}
]
},"collection_items": {
Row: {
"collection_id": string,"course_id": number | null,"created_at": string,"id": string,"note_id": string | null,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"collection_id": string,"course_id"?: number | null,"created_at"?: string,"id"?: string,"note_id"?: string | null,"updated_at"?: string,"user_id"?: string
}
Update: {
"collection_id"?: string,"course_id"?: number | null,"created_at"?: string,"id"?: string,"note_id"?: string | null,"updated_at"?: string,"user_id"?: string
}
Relationships: [
{
foreignKeyName: "collection_items_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
},{
foreignKeyName: "collection_items_note_id_user_id_fkey"
columns: ["note_id","user_id"]
isOneToOne: false
referencedRelation: "notes"
referencedColumns: ["id","user_id"]
},{
foreignKeyName: "collection_items_user_id_collection_id_fkey"
columns: ["user_id","collection_id"]
isOneToOne: false
referencedRelation: "collections"
referencedColumns: ["user_id","id"]
}
]
},"collections": {
Row: {
"created_at": string,"id": string,"is_default": boolean,"name": string,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"created_at"?: string,"id"?: string,"is_default"?: boolean,"name": string,"updated_at"?: string,"user_id"?: string
}
Update: {
"created_at"?: string,"id"?: string,"is_default"?: boolean,"name"?: string,"updated_at"?: string,"user_id"?: string
}
Relationships: [
]
},"course_prerequisites": {
Row: {
"course_id": number,"created_at": string,"requires_course_id": number,"updated_at": string
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"requires_course_id": number,"updated_at"?: string
}
Update: {
"course_id"?: number,"created_at"?: string,"requires_course_id"?: number,"updated_at"?: string
}
Relationships: [
{
foreignKeyName: "course_prerequisites_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
},{
foreignKeyName: "course_prerequisites_requires_course_id_fkey"
columns: ["requires_course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
}
]
},"course_staff": {
Row: {
"course_id": number,"created_at": string,"role": string,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"role": string,"updated_at"?: string,"user_id": string
}
Update: {
"course_id"?: number,"created_at"?: string,"role"?: string,"updated_at"?: string,"user_id"?: string
}
Relationships: [
{
foreignKeyName: "course_staff_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
}
]
},"courses": {
Row: {
"author": string | null,"badges": (string)[],"catalog_version": number,"category": string | null,"certificate_enabled": boolean,"certificate_hours": number | null,"certificate_min_percent": number,"certificate_min_score": number | null,"certificate_template": string | null,"certificate_valid_months": number | null,"collections": (string)[],"content_access": string,"created_at": string,"description": string | null,"duration_minutes": number | null,"enrollment_mode": string,"has_rules": boolean,"id": number,"image_url": string | null,"is_settling": boolean,"language": string,"max_cycles": number | null,"rating": number | null,"sequential": boolean,"settle_version": number,"slug": string,"staff_may_override": boolean,"status": string,"title": string,"total_lessons": number,"total_weight": number,"updated_at": string
}
ComputedFields: never
Insert: {
"author"?: string | null,"badges"?: (string)[],"catalog_version"?: number,"category"?: string | null,"certificate_enabled"?: boolean,"certificate_hours"?: number | null,"certificate_min_percent"?: number,"certificate_min_score"?: number | null,"certificate_template"?: string | null,"certificate_valid_months"?: number | null,"collections"?: (string)[],"content_access"?: string,"created_at"?: string,"description"?: string | null,"duration_minutes"?: number | null,"enrollment_mode"?: string,"has_rules"?: boolean,"id"?: number,"image_url"?: string | null,"is_settling"?: boolean,"language"?: string,"max_cycles"?: number | null,"rating"?: number | null,"sequential"?: boolean,"settle_version"?: number,"slug": string,"staff_may_override"?: boolean,"status"?: string,"title": string,"total_lessons"?: number,"total_weight"?: number,"updated_at"?: string
}
Update: {
"author"?: string | null,"badges"?: (string)[],"catalog_version"?: number,"category"?: string | null,"certificate_enabled"?: boolean,"certificate_hours"?: number | null,"certificate_min_percent"?: number,"certificate_min_score"?: number | null,"certificate_template"?: string | null,"certificate_valid_months"?: number | null,"collections"?: (string)[],"content_access"?: string,"created_at"?: string,"description"?: string | null,"duration_minutes"?: number | null,"enrollment_mode"?: string,"has_rules"?: boolean,"id"?: number,"image_url"?: string | null,"is_settling"?: boolean,"language"?: string,"max_cycles"?: number | null,"rating"?: number | null,"sequential"?: boolean,"settle_version"?: number,"slug"?: string,"staff_may_override"?: boolean,"status"?: string,"title"?: string,"total_lessons"?: number,"total_weight"?: number,"updated_at"?: string
}
Relationships: [
]
},"daily_activity": {
Row: {
"attempts": number,"created_at": string,"day": string,"first_at": string,"last_at": string,"lessons_completed": number,"updated_at": string,"user_id": string,"view_seconds": number
}
ComputedFields: never
Insert: {
"attempts"?: number,"created_at"?: string,"day": string,"first_at": string,"last_at": string,"lessons_completed"?: number,"updated_at"?: string,"user_id": string,"view_seconds"?: number
}
Update: {
"attempts"?: number,"created_at"?: string,"day"?: string,"first_at"?: string,"last_at"?: string,"lessons_completed"?: number,"updated_at"?: string,"user_id"?: string,"view_seconds"?: number
}
Relationships: [
]
},"enrollments": {
Row: {
"cohort_id": string | null,"completed_at": string | null,"completed_lessons": number,"completed_weight": number,"completion_snapshot": Json | null,"course_id": number,"created_at": string,"current_lesson_id": string | null,"current_module_id": string | null,"current_section": string | null,"cycle": number,"cycle_started_at": string | null,"enrolled_at": string,"expires_at": string | null,"frontier_lesson_id": string | null,"frontier_version": number | null,"id": string,"last_accessed_at": string | null,"progress_percent": number,"purchase_id": string | null,"renewal_told_at": string | null,"score_sum": number,"scored_lessons": number,"settled_version": number,"sort_name": string,"status": string,"total_lessons": number,"total_weight": number,"updated_at": string,"user_id": string,"view_time_seconds": number
}
ComputedFields: never
Insert: {
"cohort_id"?: string | null,"completed_at"?: string | null,"completed_lessons"?: number,"completed_weight"?: number,"completion_snapshot"?: Json | null,"course_id": number,"created_at"?: string,"current_lesson_id"?: string | null,"current_module_id"?: string | null,"current_section"?: string | null,"cycle"?: number,"cycle_started_at"?: string | null,"enrolled_at"?: string,"expires_at"?: string | null,"frontier_lesson_id"?: string | null,"frontier_version"?: number | null,"id"?: string,"last_accessed_at"?: string | null,"progress_percent"?: number,"purchase_id"?: string | null,"renewal_told_at"?: string | null,"score_sum"?: number,"scored_lessons"?: number,"settled_version"?: number,"sort_name"?: string,"status"?: string,"total_lessons"?: number,"total_weight"?: number,"updated_at"?: string,"user_id": string,"view_time_seconds"?: number
}
Update: {
"cohort_id"?: string | null,"completed_at"?: string | null,"completed_lessons"?: number,"completed_weight"?: number,"completion_snapshot"?: Json | null,"course_id"?: number,"created_at"?: string,"current_lesson_id"?: string | null,"current_module_id"?: string | null,"current_section"?: string | null,"cycle"?: number,"cycle_started_at"?: string | null,"enrolled_at"?: string,"expires_at"?: string | null,"frontier_lesson_id"?: string | null,"frontier_version"?: number | null,"id"?: string,"last_accessed_at"?: string | null,"progress_percent"?: number,"purchase_id"?: string | null,"renewal_told_at"?: string | null,"score_sum"?: number,"scored_lessons"?: number,"settled_version"?: number,"sort_name"?: string,"status"?: string,"total_lessons"?: number,"total_weight"?: number,"updated_at"?: string,"user_id"?: string,"view_time_seconds"?: number
}
Relationships: [
{
foreignKeyName: "enrollments_cohort_id_course_id_fkey"
columns: ["cohort_id","course_id"]
isOneToOne: false
referencedRelation: "cohorts"
referencedColumns: ["id","course_id"]
},{
foreignKeyName: "enrollments_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
}
]
},"lesson_prerequisites": {
Row: {
"course_id": number,"created_at": string,"lesson_id": string,"requires_lesson_id": string,"updated_at": string
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"lesson_id": string,"requires_lesson_id": string,"updated_at"?: string
}
Update: {
"course_id"?: number,"created_at"?: string,"lesson_id"?: string,"requires_lesson_id"?: string,"updated_at"?: string
}
Relationships: [
{
foreignKeyName: "lesson_prerequisites_lesson_fkey"
columns: ["lesson_id","course_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id","course_id"]
},{
foreignKeyName: "lesson_prerequisites_requires_lesson_id_fkey"
columns: ["requires_lesson_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id"]
}
]
},"lesson_waivers": {
Row: {
"created_at": string,"lesson_id": string,"reason": string,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"created_at"?: string,"lesson_id": string,"reason": string,"updated_at"?: string,"user_id": string
}
Update: {
"created_at"?: string,"lesson_id"?: string,"reason"?: string,"updated_at"?: string,"user_id"?: string
}
Relationships: [
{
foreignKeyName: "lesson_waivers_lesson_id_fkey"
columns: ["lesson_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id"]
}
]
},"lessons": {
Row: {
"archived_at": string | null,"attempt_cooldown_seconds": number | null,"available_after_days": number | null,"available_after_previous_days": number | null,"available_from": string | null,"certificate_min_score": number | null,"completion_rule": string,"content": string | null,"counts_from": number,"course_id": number,"created_at": string,"duration_seconds": number | null,"id": string,"is_countable": boolean,"is_gate": boolean,"is_preview": boolean,"is_quiz": boolean,"is_required": boolean,"max_attempts": number | null,"min_view_seconds": number | null,"module_id": string,"module_position": number,"pass_percent": number,"position": number,"question_pools": NonNullable<Json>,"quiz_available_from": string | null,"quiz_available_until": string | null,"quiz_data": Json | null,"reveal_policy": string,"score_policy": string,"shuffle_options": boolean,"slug": string | null,"time_limit_seconds": number | null,"title": string,"type": string,"updated_at": string,"video_url": string | null,"watch_percent": number,"weight": number
}
ComputedFields: never
Insert: {
"archived_at"?: string | null,"attempt_cooldown_seconds"?: number | null,"available_after_days"?: number | null,"available_after_previous_days"?: number | null,"available_from"?: string | null,"certificate_min_score"?: number | null,"completion_rule"?: string,"content"?: string | null,"counts_from"?: number,"course_id": number,"created_at"?: string,"duration_seconds"?: number | null,"id"?: string,"is_countable"?: never,"is_gate"?: never,"is_preview"?: boolean,"is_quiz"?: never,"is_required"?: boolean,"max_attempts"?: number | null,"min_view_seconds"?: number | null,"module_id": string,"module_position": number,"pass_percent"?: number,"position"?: number,"question_pools"?: NonNullable<Json>,"quiz_available_from"?: string | null,"quiz_available_until"?: string | null,"quiz_data"?: Json | null,"reveal_policy"?: string,"score_policy"?: string,"shuffle_options"?: boolean,"slug"?: string | null,"time_limit_seconds"?: number | null,"title": string,"type"?: string,"updated_at"?: string,"video_url"?: string | null,"watch_percent"?: number,"weight"?: number
}
Update: {
"archived_at"?: string | null,"attempt_cooldown_seconds"?: number | null,"available_after_days"?: number | null,"available_after_previous_days"?: number | null,"available_from"?: string | null,"certificate_min_score"?: number | null,"completion_rule"?: string,"content"?: string | null,"counts_from"?: number,"course_id"?: number,"created_at"?: string,"duration_seconds"?: number | null,"id"?: string,"is_countable"?: never,"is_gate"?: never,"is_preview"?: boolean,"is_quiz"?: never,"is_required"?: boolean,"max_attempts"?: number | null,"min_view_seconds"?: number | null,"module_id"?: string,"module_position"?: number,"pass_percent"?: number,"position"?: number,"question_pools"?: NonNullable<Json>,"quiz_available_from"?: string | null,"quiz_available_until"?: string | null,"quiz_data"?: Json | null,"reveal_policy"?: string,"score_policy"?: string,"shuffle_options"?: boolean,"slug"?: string | null,"time_limit_seconds"?: number | null,"title"?: string,"type"?: string,"updated_at"?: string,"video_url"?: string | null,"watch_percent"?: number,"weight"?: number
}
Relationships: [
{
foreignKeyName: "lessons_module_fkey"
columns: ["module_id","course_id","module_position"]
isOneToOne: false
referencedRelation: "modules"
referencedColumns: ["id","course_id","position"]
}
]
},"module_prerequisites": {
Row: {
"course_id": number,"created_at": string,"module_id": string,"requires_module_id": string,"updated_at": string
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"module_id": string,"requires_module_id": string,"updated_at"?: string
}
Update: {
"course_id"?: number,"created_at"?: string,"module_id"?: string,"requires_module_id"?: string,"updated_at"?: string
}
Relationships: [
{
foreignKeyName: "module_prerequisites_module_fkey"
columns: ["module_id","course_id"]
isOneToOne: false
referencedRelation: "modules"
referencedColumns: ["id","course_id"]
},{
foreignKeyName: "module_prerequisites_requires_module_id_fkey"
columns: ["requires_module_id"]
isOneToOne: false
referencedRelation: "modules"
referencedColumns: ["id"]
}
]
},"module_progress": {
Row: {
"completed_at": string | null,"completed_lessons": number,"completed_quizzes": number,"completion_rule": string,"course_id": number,"created_at": string,"module_id": string,"started_at": string | null,"status": string,"total_lessons": number,"total_quizzes": number,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"completed_at"?: string | null,"completed_lessons"?: number,"completed_quizzes"?: number,"completion_rule"?: string,"course_id": number,"created_at"?: string,"module_id": string,"started_at"?: string | null,"status"?: never,"total_lessons"?: number,"total_quizzes"?: number,"updated_at"?: string,"user_id": string
}
Update: {
"completed_at"?: string | null,"completed_lessons"?: number,"completed_quizzes"?: number,"completion_rule"?: string,"course_id"?: number,"created_at"?: string,"module_id"?: string,"started_at"?: string | null,"status"?: never,"total_lessons"?: number,"total_quizzes"?: number,"updated_at"?: string,"user_id"?: string
}
Relationships: [
{
foreignKeyName: "module_progress_module_id_course_id_fkey"
columns: ["module_id","course_id"]
isOneToOne: false
referencedRelation: "modules"
referencedColumns: ["id","course_id"]
}
]
},"modules": {
Row: {
"available_after_days": number | null,"available_after_previous_days": number | null,"available_from": string | null,"completion_rule": string,"course_id": number,"created_at": string,"description": string | null,"duration_minutes": number | null,"id": string,"position": number,"slug": string | null,"title": string,"total_lessons": number,"total_quizzes": number,"updated_at": string
}
ComputedFields: never
Insert: {
"available_after_days"?: number | null,"available_after_previous_days"?: number | null,"available_from"?: string | null,"completion_rule"?: string,"course_id": number,"created_at"?: string,"description"?: string | null,"duration_minutes"?: number | null,"id"?: string,"position"?: number,"slug"?: string | null,"title": string,"total_lessons"?: number,"total_quizzes"?: number,"updated_at"?: string
}
Update: {
"available_after_days"?: number | null,"available_after_previous_days"?: number | null,"available_from"?: string | null,"completion_rule"?: string,"course_id"?: number,"created_at"?: string,"description"?: string | null,"duration_minutes"?: number | null,"id"?: string,"position"?: number,"slug"?: string | null,"title"?: string,"total_lessons"?: number,"total_quizzes"?: number,"updated_at"?: string
}
Relationships: [
{
foreignKeyName: "modules_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
}
]
},"notes": {
Row: {
"body": string,"course_id": number,"created_at": string,"edited_at": string,"id": string,"lesson_id": string | null,"position_seconds": number | null,"updated_at": string,"user_id": string,"words": unknown
}
ComputedFields: never
Insert: {
"body": string,"course_id": number,"created_at"?: string,"edited_at"?: string,"id"?: string,"lesson_id"?: string | null,"position_seconds"?: number | null,"updated_at"?: string,"user_id"?: string,"words"?: never
}
Update: {
"body"?: string,"course_id"?: number,"created_at"?: string,"edited_at"?: string,"id"?: string,"lesson_id"?: string | null,"position_seconds"?: number | null,"updated_at"?: string,"user_id"?: string,"words"?: never
}
Relationships: [
{
foreignKeyName: "notes_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
},{
foreignKeyName: "notes_lesson_id_course_id_fkey"
columns: ["lesson_id","course_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id","course_id"]
}
]
},"notifications": {
Row: {
"course_id": number | null,"created_at": string,"data": NonNullable<Json>,"dedupe_key": string,"id": string,"kind": string,"occurred_at": string,"read_at": string | null,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"course_id"?: number | null,"created_at"?: string,"data"?: NonNullable<Json>,"dedupe_key": string,"id"?: string,"kind": string,"occurred_at"?: string,"read_at"?: string | null,"updated_at"?: string,"user_id": string
}
Update: {
"course_id"?: number | null,"created_at"?: string,"data"?: NonNullable<Json>,"dedupe_key"?: string,"id"?: string,"kind"?: string,"occurred_at"?: string,"read_at"?: string | null,"updated_at"?: string,"user_id"?: string
}
Relationships: [
]
},"past_cycles": {
Row: {
"completed_at": string | null,"completed_lessons": number,"completed_weight": number,"completion_snapshot": Json | null,"course_id": number,"course_title": string,"created_at": string,"cycle": number,"ended_at": string,"enrollment_id": string,"last_accessed_at": string | null,"modules": NonNullable<Json>,"progress_percent": number,"started_at": string,"total_lessons": number,"total_weight": number,"updated_at": string,"user_id": string,"view_time_seconds": number
}
ComputedFields: never
Insert: {
"completed_at"?: string | null,"completed_lessons": number,"completed_weight": number,"completion_snapshot"?: Json | null,"course_id": number,"course_title": string,"created_at"?: string,"cycle": number,"ended_at": string,"enrollment_id": string,"last_accessed_at"?: string | null,"modules"?: NonNullable<Json>,"progress_percent": number,"started_at": string,"total_lessons": number,"total_weight": number,"updated_at"?: string,"user_id": string,"view_time_seconds": number
}
Update: {
"completed_at"?: string | null,"completed_lessons"?: number,"completed_weight"?: number,"completion_snapshot"?: Json | null,"course_id"?: number,"course_title"?: string,"created_at"?: string,"cycle"?: number,"ended_at"?: string,"enrollment_id"?: string,"last_accessed_at"?: string | null,"modules"?: NonNullable<Json>,"progress_percent"?: number,"started_at"?: string,"total_lessons"?: number,"total_weight"?: number,"updated_at"?: string,"user_id"?: string,"view_time_seconds"?: number
}
Relationships: [
]
},"past_progress": {
Row: {
"attempts": number,"best_score": number | null,"completed_at": string | null,"completed_on": string | null,"course_id": number,"created_at": string,"cycle": number,"last_accessed": string | null,"lesson_id": string,"position_seconds": number,"progress": number,"started_at": string | null,"status": string,"updated_at": string,"user_id": string,"view_time_seconds": number,"watched": unknown
}
ComputedFields: never
Insert: {
"attempts": number,"best_score"?: number | null,"completed_at"?: string | null,"completed_on"?: string | null,"course_id": number,"created_at"?: string,"cycle": number,"last_accessed"?: string | null,"lesson_id": string,"position_seconds": number,"progress": number,"started_at"?: string | null,"status": string,"updated_at"?: string,"user_id": string,"view_time_seconds": number,"watched": unknown
}
Update: {
"attempts"?: number,"best_score"?: number | null,"completed_at"?: string | null,"completed_on"?: string | null,"course_id"?: number,"created_at"?: string,"cycle"?: number,"last_accessed"?: string | null,"lesson_id"?: string,"position_seconds"?: number,"progress"?: number,"started_at"?: string | null,"status"?: string,"updated_at"?: string,"user_id"?: string,"view_time_seconds"?: number,"watched"?: unknown
}
Relationships: [
]
},"profiles": {
Row: {
"activity_history": boolean,"created_at": string,"display_name": string | null,"id": string,"mail_opt_out": boolean,"past_timezones": NonNullable<Json>,"timezone": string,"updated_at": string
}
ComputedFields: never
Insert: {
"activity_history"?: boolean,"created_at"?: string,"display_name"?: string | null,"id": string,"mail_opt_out"?: boolean,"past_timezones"?: NonNullable<Json>,"timezone"?: string,"updated_at"?: string
}
Update: {
"activity_history"?: boolean,"created_at"?: string,"display_name"?: string | null,"id"?: string,"mail_opt_out"?: boolean,"past_timezones"?: NonNullable<Json>,"timezone"?: string,"updated_at"?: string
}
Relationships: [
]
},"program_courses": {
Row: {
"course_id": number,"created_at": string,"is_required": boolean,"position": number,"program_id": number,"updated_at": string,"weight": number
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"is_required"?: boolean,"position": number,"program_id": number,"updated_at"?: string,"weight"?: number
}
Update: {
"course_id"?: number,"created_at"?: string,"is_required"?: boolean,"position"?: number,"program_id"?: number,"updated_at"?: string,"weight"?: number
}
Relationships: [
{
foreignKeyName: "program_courses_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
},{
foreignKeyName: "program_courses_program_id_fkey"
columns: ["program_id"]
isOneToOne: false
referencedRelation: "programs"
referencedColumns: ["id"]
}
]
},"program_enrollments": {
Row: {
"completed_at": string | null,"created_at": string,"enrolled_at": string,"program_id": number,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"completed_at"?: string | null,"created_at"?: string,"enrolled_at"?: string,"program_id": number,"updated_at"?: string,"user_id": string
}
Update: {
"completed_at"?: string | null,"created_at"?: string,"enrolled_at"?: string,"program_id"?: number,"updated_at"?: string,"user_id"?: string
}
Relationships: [
{
foreignKeyName: "program_enrollments_program_id_fkey"
columns: ["program_id"]
isOneToOne: false
referencedRelation: "programs"
referencedColumns: ["id"]
}
]
},"programs": {
Row: {
"author": string | null,"certificate_enabled": boolean,"certificate_hours": number | null,"certificate_template": string | null,"created_at": string,"description": string | null,"enrollment_mode": string,"id": number,"image_url": string | null,"slug": string,"status": string,"title": string,"updated_at": string
}
ComputedFields: never
Insert: {
"author"?: string | null,"certificate_enabled"?: boolean,"certificate_hours"?: number | null,"certificate_template"?: string | null,"created_at"?: string,"description"?: string | null,"enrollment_mode"?: string,"id"?: number,"image_url"?: string | null,"slug": string,"status"?: string,"title": string,"updated_at"?: string
}
Update: {
"author"?: string | null,"certificate_enabled"?: boolean,"certificate_hours"?: number | null,"certificate_template"?: string | null,"created_at"?: string,"description"?: string | null,"enrollment_mode"?: string,"id"?: number,"image_url"?: string | null,"slug"?: string,"status"?: string,"title"?: string,"updated_at"?: string
}
Relationships: [
]
},"progress_events": {
Row: {
"course_id": number,"created_at": string,"cycle": number,"data": NonNullable<Json>,"enrollment_id": string | null,"id": number,"kind": string,"lesson_id": string | null,"module_id": string | null,"occurred_at": string,"transaction_id": unknown,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"cycle"?: number,"data"?: NonNullable<Json>,"enrollment_id"?: string | null,"id"?: never,"kind": string,"lesson_id"?: string | null,"module_id"?: string | null,"occurred_at": string,"transaction_id"?: unknown,"updated_at"?: string,"user_id": string
}
Update: {
"course_id"?: number,"created_at"?: string,"cycle"?: number,"data"?: NonNullable<Json>,"enrollment_id"?: string | null,"id"?: never,"kind"?: string,"lesson_id"?: string | null,"module_id"?: string | null,"occurred_at"?: string,"transaction_id"?: unknown,"updated_at"?: string,"user_id"?: string
}
Relationships: [
]
},"resources": {
Row: {
"course_id": number,"created_at": string,"id": string,"kind": string,"lesson_id": string | null,"position": number,"title": string,"updated_at": string,"url": string
}
ComputedFields: never
Insert: {
"course_id": number,"created_at"?: string,"id"?: string,"kind"?: string,"lesson_id"?: string | null,"position"?: number,"title": string,"updated_at"?: string,"url": string
}
Update: {
"course_id"?: number,"created_at"?: string,"id"?: string,"kind"?: string,"lesson_id"?: string | null,"position"?: number,"title"?: string,"updated_at"?: string,"url"?: string
}
Relationships: [
{
foreignKeyName: "resources_course_id_fkey"
columns: ["course_id"]
isOneToOne: false
referencedRelation: "courses"
referencedColumns: ["id"]
},{
foreignKeyName: "resources_lesson_id_course_id_fkey"
columns: ["lesson_id","course_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id","course_id"]
}
]
},"user_assessment_attempts": {
Row: {
"answers": NonNullable<Json>,"client_key": string | null,"correct_count": number | null,"course_id": number,"created_at": string,"cycle": number,"expired": boolean,"expires_at": string | null,"feedback": string | null,"graded_at": string | null,"id": string,"is_imported": boolean,"lesson_id": string,"max_attempts": number | null,"max_score": number,"number": number,"pass_percent": number,"passed": boolean | null,"percent": number | null,"questions": NonNullable<Json>,"score": number | null,"started_at": string,"status": string,"submitted_at": string | null,"time_limit_seconds": number | null,"total_questions": number,"updated_at": string,"user_id": string
}
ComputedFields: never
Insert: {
"answers"?: NonNullable<Json>,"client_key"?: string | null,"correct_count"?: number | null,"course_id": number,"created_at"?: string,"cycle"?: number,"expired"?: boolean,"expires_at"?: string | null,"feedback"?: string | null,"graded_at"?: string | null,"id"?: string,"is_imported"?: boolean,"lesson_id": string,"max_attempts"?: number | null,"max_score": number,"number": number,"pass_percent": number,"passed"?: boolean | null,"percent"?: number | null,"questions": NonNullable<Json>,"score"?: number | null,"started_at": string,"status"?: string,"submitted_at"?: string | null,"time_limit_seconds"?: number | null,"total_questions": number,"updated_at"?: string,"user_id": string
}
Update: {
"answers"?: NonNullable<Json>,"client_key"?: string | null,"correct_count"?: number | null,"course_id"?: number,"created_at"?: string,"cycle"?: number,"expired"?: boolean,"expires_at"?: string | null,"feedback"?: string | null,"graded_at"?: string | null,"id"?: string,"is_imported"?: boolean,"lesson_id"?: string,"max_attempts"?: number | null,"max_score"?: number,"number"?: number,"pass_percent"?: number,"passed"?: boolean | null,"percent"?: number | null,"questions"?: NonNullable<Json>,"score"?: number | null,"started_at"?: string,"status"?: string,"submitted_at"?: string | null,"time_limit_seconds"?: number | null,"total_questions"?: number,"updated_at"?: string,"user_id"?: string
}
Relationships: [
{
foreignKeyName: "user_assessment_attempts_lesson_id_course_id_fkey"
columns: ["lesson_id","course_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id","course_id"]
}
]
},"user_progress": {
Row: {
"attempts": number,"best_score": number | null,"completed_at": string | null,"completed_on": string | null,"course_id": number,"created_at": string,"id": string,"is_completed": boolean,"last_accessed": string | null,"lesson_id": string,"position_seconds": number,"progress": number,"started_at": string | null,"status": string,"updated_at": string,"user_id": string,"view_time_seconds": number,"watched": unknown
}
ComputedFields: never
Insert: {
"attempts"?: number,"best_score"?: number | null,"completed_at"?: string | null,"completed_on"?: string | null,"course_id": number,"created_at"?: string,"id"?: string,"is_completed"?: never,"last_accessed"?: string | null,"lesson_id": string,"position_seconds"?: number,"progress"?: number,"started_at"?: string | null,"status"?: string,"updated_at"?: string,"user_id": string,"view_time_seconds"?: number,"watched"?: unknown
}
Update: {
"attempts"?: number,"best_score"?: number | null,"completed_at"?: string | null,"completed_on"?: string | null,"course_id"?: number,"created_at"?: string,"id"?: string,"is_completed"?: never,"last_accessed"?: string | null,"lesson_id"?: string,"position_seconds"?: number,"progress"?: number,"started_at"?: string | null,"status"?: string,"updated_at"?: string,"user_id"?: string,"view_time_seconds"?: number,"watched"?: unknown
}
Relationships: [
{
foreignKeyName: "user_progress_lesson_fkey"
columns: ["lesson_id","course_id"]
isOneToOne: false
referencedRelation: "lessons"
referencedColumns: ["id","course_id"]
}
]
}
}
Views: {
[_ in never]: never
}
Functions: {
"apply_events":
{ Args: { "p_events": Json }; Returns: Json
},
"archive_lesson":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"assign_cohort":
{ Args: { "p_cohort_id"?: string,"p_course_id": number,"p_reason": string,"p_user_ids": (string)[] }; Returns: Json
},
"bulk_enroll":
{ Args: { "p_cohort_id"?: string,"p_course_id": number,"p_learners": (string)[],"p_reason": string }; Returns: Json
},
"clear_certificate_exception":
{ Args: { "p_course_id": number,"p_reason": string,"p_user_id": string }; Returns: Json
},
"complete_lesson":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"complete_lesson_for":
{ Args: { "p_lesson_id": string,"p_reason": string,"p_user_id": string }; Returns: Json
},
"complete_module":
{ Args: { "p_module_id": string }; Returns: Json
},
"compute_report":
{ Args: { "p_report_id": number }; Returns: Json
},
"create_cohort":
{ Args: { "p_course_id": number,"p_ends_at"?: string,"p_name": string,"p_reason": string,"p_starts_at"?: string }; Returns: Json
},
"create_lesson":
{ Args: { "p_fields": Json,"p_module_id": string }; Returns: Json
},
"create_module":
{ Args: { "p_course_id": number,"p_fields": Json }; Returns: Json
},
"delete_course":
{ Args: { "p_course_id": number,"p_force"?: boolean }; Returns: undefined
},
"delete_lesson":
{ Args: { "p_force"?: boolean,"p_lesson_id": string }; Returns: undefined
},
"delete_program":
{ Args: { "p_force"?: boolean,"p_program_id": number }; Returns: Json
},
"delete_webhook":
{ Args: { "p_webhook_id": string }; Returns: Json
},
"drop_jobs":
{ Args: { "p_job_ids"?: (number)[],"p_kind"?: string,"p_reason"?: string }; Returns: Json
},
"enroll":
{ Args: { "p_course_id": number }; Returns: Json
},
"enroll_program":
{ Args: { "p_program_id": number }; Returns: Json
},
"excuse_lesson":
{ Args: { "p_lesson_id": string,"p_reason": string,"p_user_id": string }; Returns: Json
},
"expire_attempts":
{ Args: { "p_limit"?: number }; Returns: Json
},
"export_my_data":
{ Args: { "p_after"?: Json }; Returns: Json
},
"export_notes":
{ Args: { "p_course_id"?: number }; Returns: Json
},
"extend_enrollment":
{ Args: { "p_enrollment_id": string,"p_expires_at"?: string,"p_reason": string }; Returns: Json
},
"fail_job":
{ Args: { "p_error": string,"p_job_id": number,"p_lease": string,"p_permanent"?: boolean }; Returns: Json
},
"finish_job":
{ Args: { "p_job_id": number,"p_lease": string,"p_result"?: Json }; Returns: Json
},
"fold_statistics":
{ Args: { "p_limit"?: number }; Returns: Json
},
"get_activity_health":
{ Args: Record<PropertyKey, never>; Returns: Json
},
"get_attempts":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"get_certificate_eligibility":
{ Args: { "p_course_id": number }; Returns: Json
},
"get_certificate_pdf":
{ Args: { "p_certificate_id": string }; Returns: Json
},
"get_certificate_templates":
{ Args: { "p_name"?: string }; Returns: Json
},
"get_course_cards":
{ Args: { "p_after"?: number,"p_category"?: string,"p_limit"?: number,"p_search"?: string }; Returns: Json
},
"get_course_learner":
{ Args: { "p_course_id": number,"p_user_id": string }; Returns: Json
},
"get_course_learners":
{ Args: { "p_cohort_id"?: string,"p_course_id": number,"p_cursor"?: string,"p_direction"?: string,"p_enrolled_from"?: string,"p_enrolled_to"?: string,"p_inactive_days"?: number,"p_limit"?: number,"p_max_percent"?: number,"p_min_percent"?: number,"p_needs_help"?: boolean,"p_sort"?: string,"p_status"?: string }; Returns: Json
},
"get_course_outline":
{ Args: { "p_course_id": number }; Returns: Json
},
"get_course_progress":
{ Args: { "p_course_id": number }; Returns: Json
},
"get_course_report":
{ Args: { "p_cohort_id"?: string,"p_course_id": number,"p_enrolled_from"?: string,"p_enrolled_to"?: string }; Returns: Json
},
"get_course_resources":
{ Args: { "p_course_id": number }; Returns: Json
},
"get_course_summary":
{ Args: { "p_course_id": number }; Returns: Json
},
"get_drift_health":
{ Args: Record<PropertyKey, never>; Returns: Json
},
"get_events":
{ Args: { "p_cursor"?: string,"p_limit"?: number }; Returns: Json
},
"get_history_health":
{ Args: Record<PropertyKey, never>; Returns: Json
},
"get_learner_history":
{ Args: { "p_user_id": string }; Returns: Json
},
"get_lesson_attempts":
{ Args: { "p_cursor"?: string,"p_lesson_id": string,"p_limit"?: number,"p_status"?: string }; Returns: Json
},
"get_lesson_progress":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"get_lesson_report":
{ Args: { "p_cohort_id"?: string,"p_course_id": number,"p_enrolled_from"?: string,"p_enrolled_to"?: string,"p_min_completions"?: number }; Returns: Json
},
"get_module_progress":
{ Args: { "p_course_id": number,"p_module_id": string }; Returns: Json
},
"get_my_certificates":
{ Args: { "p_cursor"?: string,"p_limit"?: number }; Returns: Json
},
"get_my_cycles":
{ Args: { "p_course_id": number }; Returns: Json
},
"get_my_dashboard":
{ Args: { "p_cursor"?: string,"p_limit"?: number }; Returns: Json
},
"get_my_programs":
{ Args: Record<PropertyKey, never>; Returns: Json
},
"get_next_lesson":
{ Args: { "p_course_id": number }; Returns: Json
},
"get_notifications":
{ Args: { "p_after"?: string,"p_limit"?: number }; Returns: Json
},
"get_programs":
{ Args: { "p_after"?: number,"p_limit"?: number }; Returns: Json
},
"get_queue_health":
{ Args: Record<PropertyKey, never>; Returns: Json
},
"get_quiz":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"get_report_page":
{ Args: { "p_cohort_id"?: string,"p_course_id": number,"p_enrolled_from"?: string,"p_enrolled_to"?: string,"p_min_completions"?: number }; Returns: Json
},
"get_status_list":
{ Args: { "p_list": number }; Returns: Json
},
"get_webhook_deliveries":
{ Args: { "p_cursor"?: number,"p_limit"?: number,"p_webhook_id": string }; Returns: Json
},
"grade_attempt":
{ Args: { "p_attempt_id": string,"p_feedback"?: string,"p_grades": Json,"p_reason"?: string }; Returns: Json
},
"import_attempt":
{ Args: { "p_lesson_id": string,"p_percent": number,"p_reason"?: string,"p_submitted_at"?: string,"p_user_id": string }; Returns: Json
},
"import_course":
{ Args: { "p_document": Json,"p_dry_run"?: boolean }; Returns: Json
},
"import_progress":
{ Args: { "p_dry_run"?: boolean,"p_rows": Json }; Returns: Json
},
"issue_certificates":
{ Args: { "p_course_id": number,"p_cursor"?: string,"p_dry_run"?: boolean,"p_limit"?: number,"p_mail"?: boolean,"p_reason"?: string }; Returns: Json
},
"lease_jobs":
{ Args: { "p_limit"?: number,"p_seconds"?: number }; Returns: Json
},
"leave_course":
{ Args: { "p_course_id": number }; Returns: Json
},
"list_jobs":
{ Args: { "p_cursor"?: number,"p_kind"?: string,"p_limit"?: number,"p_state"?: string }; Returns: Json
},
"list_webhooks":
{ Args: Record<PropertyKey, never>; Returns: Json
},
"mark_notifications_read":
{ Args: { "p_ids"?: (string)[] }; Returns: Json
},
"merge_users":
{ Args: { "p_from": string,"p_into": string,"p_reason": string }; Returns: Json
},
"move_lesson":
{ Args: { "p_lesson_id": string,"p_module_id": string,"p_position": number }; Returns: Json
},
"move_module":
{ Args: { "p_course_id": number,"p_module_id": string,"p_position": number }; Returns: Json
},
"put_certificate_template":
{ Args: { "p_name": string,"p_paper"?: string,"p_source": string }; Returns: Json
},
"put_lesson_progress":
{ Args: { "p_last_accessed"?: string,"p_lesson_id": string,"p_position_seconds"?: number,"p_progress"?: number,"p_status"?: string }; Returns: Json
},
"put_program":
{ Args: { "p_document": Json }; Returns: Json
},
"put_secret_digest":
{ Args: { "p_digest": string,"p_name": string }; Returns: Json
},
"put_webhook":
{ Args: { "p_course_ids"?: (number)[],"p_description"?: string,"p_is_enabled"?: boolean,"p_kinds"?: (string)[],"p_url": string,"p_webhook_id"?: string }; Returns: Json
},
"recalculate":
{ Args: { "p_all"?: boolean,"p_course_id"?: number,"p_cursor"?: string,"p_dry_run"?: boolean,"p_enrollment_id"?: string,"p_limit"?: number }; Returns: Json
},
"regrade_lesson":
{ Args: { "p_allow_fail"?: boolean,"p_cursor"?: string,"p_dry_run"?: boolean,"p_lesson_id": string,"p_limit"?: number,"p_reason"?: string }; Returns: Json
},
"reinstate_certificate":
{ Args: { "p_certificate_id": string,"p_reason": string }; Returns: Json
},
"reinstate_enrollment":
{ Args: { "p_enrollment_id": string,"p_reason": string }; Returns: Json
},
"reissue_certificate":
{ Args: { "p_certificate_id": string,"p_reason": string }; Returns: Json
},
"rename_cohort":
{ Args: { "p_cohort_id": string,"p_name": string,"p_reason": string }; Returns: Json
},
"reopen_lesson_for":
{ Args: { "p_lesson_id": string,"p_reason": string,"p_user_id": string }; Returns: Json
},
"reorder_lessons":
{ Args: { "p_lesson_ids": (string)[],"p_module_id": string }; Returns: Json
},
"replace_lesson":
{ Args: { "p_lesson_id": string,"p_new_lesson_id": string,"p_reason": string }; Returns: Json
},
"report_deliveries":
{ Args: { "p_cursor": string,"p_next": string,"p_results": Json,"p_webhook_id": string }; Returns: Json
},
"rest_webhook":
{ Args: { "p_error": string,"p_gone"?: boolean,"p_webhook_id": string }; Returns: Json
},
"restore_lesson":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"retake_course":
{ Args: { "p_course_id": number }; Returns: Json
},
"retry_certificate":
{ Args: { "p_certificate_id": string,"p_reason": string }; Returns: Json
},
"retry_jobs":
{ Args: { "p_job_ids"?: (number)[],"p_kind"?: string,"p_reason"?: string }; Returns: Json
},
"retry_webhook":
{ Args: { "p_drop"?: boolean,"p_webhook_id": string }; Returns: Json
},
"revoke_certificate":
{ Args: { "p_certificate_id": string,"p_reason": string }; Returns: Json
},
"rotate_webhook_secret":
{ Args: { "p_hours"?: number,"p_webhook_id": string }; Returns: Json
},
"run_maintenance":
{ Args: Record<PropertyKey, never>; Returns: Json
},
"save_answers":
{ Args: { "p_answers": Json,"p_attempt_id": string }; Returns: Json
},
"search_catalog":
{ Args: { "p_after"?: string,"p_limit"?: number,"p_query": string }; Returns: Json
},
"set_access_override":
{ Args: { "p_available_from"?: string,"p_lesson_id"?: string,"p_module_id"?: string,"p_reason"?: string,"p_user_id": string }; Returns: Json
},
"set_certificate_exception":
{ Args: { "p_course_id": number,"p_kind": string,"p_reason": string,"p_user_id": string }; Returns: Json
},
"set_course_prerequisites":
{ Args: { "p_course_id": number,"p_requires": (number)[] }; Returns: Json
},
"set_course_status":
{ Args: { "p_course_id": number,"p_status": string }; Returns: Json
},
"set_lesson_prerequisites":
{ Args: { "p_lesson_id": string,"p_requires": (string)[] }; Returns: Json
},
"set_module_prerequisites":
{ Args: { "p_module_id": string,"p_requires": (string)[] }; Returns: Json
},
"set_quiz":
{ Args: { "p_lesson_id": string,"p_quiz": Json }; Returns: Json
},
"settle_course":
{ Args: { "p_course_id": number,"p_cursor"?: string,"p_limit"?: number }; Returns: Json
},
"start_attempt":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"start_cycle":
{ Args: { "p_course_id": number,"p_reason": string,"p_user_id": string }; Returns: Json
},
"start_lesson":
{ Args: { "p_lesson_id": string }; Returns: Json
},
"start_module":
{ Args: { "p_module_id": string }; Returns: Json
},
"submit_attempt":
{ Args: { "p_answers"?: Json,"p_attempt_id": string,"p_client_key"?: string }; Returns: Json
},
"submit_quiz":
{ Args: { "p_answers"?: Json,"p_client_key"?: string,"p_lesson_id": string }; Returns: Json
},
"take_deliveries":
{ Args: { "p_limit"?: number,"p_webhook_id": string }; Returns: Json
},
"test_webhook":
{ Args: { "p_webhook_id": string }; Returns: Json
},
"uncomplete_lesson":
{ Args: { "p_lesson_id": string,"p_reason"?: string }; Returns: Json
},
"unexcuse_lesson":
{ Args: { "p_lesson_id": string,"p_reason": string,"p_user_id": string }; Returns: Json
},
"unsubscribe_mail":
{ Args: { "p_token": string }; Returns: Json
},
"update_course":
{ Args: { "p_course_id": number,"p_fields": Json }; Returns: Json
},
"update_lesson":
{ Args: { "p_fields": Json,"p_lesson_id": string }; Returns: Json
},
"update_module":
{ Args: { "p_fields": Json,"p_module_id": string }; Returns: Json
},
"verify_certificate":
{ Args: { "p_code": string }; Returns: Json
},
"view_lesson":
{ Args: { "p_lesson_id": string,"p_position_seconds"?: number,"p_progress"?: number,"p_seconds": number,"p_section"?: string,"p_session_id": string,"p_watched"?: Json }; Returns: Json
},
"withdraw_enrollment":
{ Args: { "p_enrollment_id": string,"p_reason": string }; Returns: Json
}
}
Enums: {
[_ in never]: never
}
CompositeTypes: {
[_ in never]: never
}
}
}
type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>
type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">]
export type Tables<
DefaultSchemaTableNameOrOptions extends
| keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
| { schema: keyof DatabaseWithoutInternals },
TableName extends DefaultSchemaTableNameOrOptions extends {
schema: keyof DatabaseWithoutInternals
}
? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
: never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
Row: infer R
}
? R
: never
: DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
Row: infer R
}
? R
: never
: never
export type TablesInsert<
DefaultSchemaTableNameOrOptions extends
| keyof DefaultSchema["Tables"]
| { schema: keyof DatabaseWithoutInternals },
TableName extends DefaultSchemaTableNameOrOptions extends {
schema: keyof DatabaseWithoutInternals
}
? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
: never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
Insert: infer I
}
? I
: never
: DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
Insert: infer I
}
? I
: never
: never
export type TablesUpdate<
DefaultSchemaTableNameOrOptions extends
| keyof DefaultSchema["Tables"]
| { schema: keyof DatabaseWithoutInternals },
TableName extends DefaultSchemaTableNameOrOptions extends {
schema: keyof DatabaseWithoutInternals
}
? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
: never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
Update: infer U
}
? U
: never
: DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
Update: infer U
}
? U
: never
: never
export type Enums<
DefaultSchemaEnumNameOrOptions extends
| keyof DefaultSchema["Enums"]
| { schema: keyof DatabaseWithoutInternals },
EnumName extends DefaultSchemaEnumNameOrOptions extends {
schema: keyof DatabaseWithoutInternals
}
? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
: never = never
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
: DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
: never
export type CompositeTypes<
PublicCompositeTypeNameOrOptions extends
| keyof DefaultSchema["CompositeTypes"]
| { schema: keyof DatabaseWithoutInternals },
CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
schema: keyof DatabaseWithoutInternals
}
? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
: never = never
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
: PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
: never
export const Constants = {
"public": {
Enums: {
}
}
} as const
