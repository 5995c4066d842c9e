/** What the Data API answers to the views; what the functions answer is in waymark.ts. */
import type { Database } from './generated/database'
import type { Lock } from './waymark'

/** What a new row may leave out because a trigger fills it in is more than the generated type knows. */
export type Insert<Table extends keyof Database['public']['Tables']> =
  Database['public']['Tables'][Table]['Insert']
type Row<Table extends keyof Database['public']['Tables']> = Database['public']['Tables'][Table]['Row']

export interface CourseCard {
  id: number
  slug: string
  title: string
  author: string | null
  category: string | null
  description: string | null
  image_url: string | null
  duration_minutes: number | null
  rating: number | null
  badges: string[]
  status: string
  total_lessons: number
  is_enrolled: boolean
  percent: number | null
  completed_at: string | null
  is_saved: boolean
}

export interface OutlineLesson {
  id: string
  title: string
  type: string
  duration_seconds: number | null
  is_preview: boolean
  is_required: boolean
  completion_rule: string
}

export interface Outline {
  course: {
    id: number
    title: string
    author: string | null
    category: string | null
    description: string | null
    image_url: string | null
    duration_minutes: number | null
    rating: number | null
    enrollment_mode: 'open' | 'invite' | 'paid'
    content_access: 'public' | 'enrolled'
    total_lessons: number
  }
  modules: {
    id: string
    title: string
    description: string | null
    lessons: OutlineLesson[]
  }[]
}

export type LessonRow = Pick<
  Row<'lessons'>,
  | 'id' | 'module_id' | 'course_id' | 'title' | 'type' | 'video_url' | 'content' | 'quiz_data'
  | 'duration_seconds' | 'is_preview' | 'is_required' | 'completion_rule' | 'min_view_seconds'
  | 'watch_percent' | 'pass_percent' | 'max_attempts' | 'time_limit_seconds'
>

export type Resource = Pick<Row<'resources'>, 'id' | 'title' | 'url' | 'kind'>

export interface CourseResources {
  resources: Resource[]
  lessons: { lesson_id: string; title: string; resources: Resource[] }[]
}

export type Note = Pick<Row<'notes'>, 'id' | 'position_seconds' | 'body' | 'edited_at'>

export interface DashboardAnswer {
  today: string
  timezone: string
  totals: Record<'courses' | 'modules' | 'lessons', { total: number; completed: number }> & {
    quizzes: { total: number; submitted: number; passed: number }
  }
  seconds: { today: number; week: number; all: number }
  streak: { current: number; longest: number; last_day: string | null }
  velocity: { lessons_per_week: number; expected_finish: string | null }
  activity: { day: string; lessons: number; seconds: number; attempts: number }[]
  courses: {
    course_id: number
    title: string
    percent: number
    total: number
    completed: number
    completed_at: string | null
    resume: {
      lesson_id: string
      title: string
      type: string
      module_title: string
      position_seconds: number
      review: boolean
      locked?: Lock | null
    } | null
  }[]
}

export interface Message {
  id: string
  kind: string
  course_id: number | null
  data: Record<string, unknown>
  occurred_at: string
  read_at: string | null
}

export interface SearchAnswer {
  similar: boolean
  results: {
    kind: 'course' | 'lesson'
    course_id: number
    course_title: string
    lesson_id: string | null
    type: string | null
    title: string
    highlight: { title: string | null; text: string | null } | null
  }[]
}

export interface CourseReport {
  title: string
  as_of: string
  refreshing: boolean
  settling: boolean
  learners: Record<
    'enrolled' | 'started' | 'active_7_days' | 'active_30_days' | 'completed',
    number
  > & { completion_rate: number | null }
  percent: { average: number | null; distribution: number[] | null }
  days_to_complete: { median: number | null }
  scores: { count: number; average: number | null }
  certificates: { issued: number }
}

export interface LessonReport {
  lessons: {
    lesson_id: string
    title: string
    module_title: string
    learners: number
    completed: number
    completion_rate: number | null
    stopped: number
    seconds: { median: number | null }
    quiz: { fail_rate: number | null; scores: { average: number | null } } | null
  }[]
  hard_lessons: { lesson_id: string; title: string; attempts_per_pass: number; fail_rate: number | null }[]
}
