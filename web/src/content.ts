/** What a course holds, kept in memory: the next lesson opens at once, and without a network too. */
import type { SupabaseClient } from '@supabase/supabase-js'
import type { Database } from './generated/database'
import type { LessonRow, Outline, Resource } from './types'
import { isOffline, WaymarkError, type Waymark } from './waymark'

const COLUMNS =
  'id, module_id, course_id, title, type, video_url, content, quiz_data, duration_seconds, is_preview,' +
  ' is_required, completion_rule, min_view_seconds, watch_percent, pass_percent, max_attempts,' +
  ' time_limit_seconds, resources (id, title, url, kind)'

export type LessonContent = LessonRow & { resources: Resource[] }

export class Content {
  private readonly outlines = new Map<number, Outline>()
  private readonly lessons = new Map<string, LessonContent>()

  constructor(
    private readonly supabase: SupabaseClient<Database>,
    private readonly waymark: Waymark,
  ) {}

  /** Rights differ from learner to learner, so nothing is kept from one to the next. */
  forget(): void {
    this.outlines.clear()
    this.lessons.clear()
  }

  async outline(course: number): Promise<Outline> {
    try {
      const outline = await this.waymark.rpc<Outline>('get_course_outline', { p_course_id: course })
      this.outlines.set(course, outline)
      return outline
    } catch (error) {
      const kept = this.outlines.get(course)
      if (kept && isOffline(error)) return kept
      throw error
    }
  }

  /** A lesson with its content, or null for what the caller may not read. Brings its module along. */
  async lesson(outline: Outline, id: string): Promise<LessonContent | null> {
    const kept = this.lessons.get(id)
    if (kept) return kept
    if (!navigator.onLine) throw new WaymarkError('offline', 'This lesson is not on this device yet')
    const place = outline.modules.findIndex((module) => module.lessons.some((entry) => entry.id === id))
    const near = outline.modules.slice(place, place + 2).map((module) => module.id)
    const { data, error, status } = await this.supabase
      .from('lessons')
      .select(COLUMNS)
      .in('module_id', near)
      .returns<LessonContent[]>()
    if (error) throw new WaymarkError(error.code, error.message, status)
    for (const lesson of data) this.lessons.set(lesson.id, lesson)
    return this.lessons.get(id) ?? null
  }
}
