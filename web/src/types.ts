/** What the Data API answers to the views; what the functions answer is in waymark.ts. */
import type { Lock } from './waymark'

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
    enrollment_mode: 'open' | 'invite'
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

export interface LessonRow {
  id: string
  module_id: string
  course_id: number
  title: string
  type: string
  video_url: string | null
  content: string | null
  quiz_data: unknown
  duration_seconds: number | null
  is_preview: boolean
  is_required: boolean
  completion_rule: 'manual' | 'view' | 'watch' | 'submit' | 'pass'
  min_view_seconds: number | null
  watch_percent: number
  pass_percent: number
  max_attempts: number | null
  time_limit_seconds: number | null
}

export interface Resource {
  id: string
  title: string
  url: string
  kind: string
}

export interface CourseResources {
  resources: Resource[]
  lessons: { lesson_id: string; title: string; resources: Resource[] }[]
}

export interface Note {
  id: string
  position_seconds: number | null
  body: string
  edited_at: string
}

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
