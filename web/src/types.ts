/** What the Data API answers to the views; what the functions answer is in waymark.ts. */
import type { Database } from './generated/database'

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
