/** A course before and while it is taken: what it holds, how far one is, and where to go on. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'
import { markdown } from '../markdown'
import type { CourseResources, Outline, OutlineLesson } from '../types'
import {
  bar,
  contours,
  fileList,
  icon,
  lessonIcon,
  lockReason,
  minutes,
  percentText,
  statusWords,
  viewpoint,
  waypoint,
} from '../ui'
import type { CourseView, NextLesson } from '../waymark'

/** The trail of a course: every module and lesson with where its learner stands. */
export function trail(
  outline: Outline,
  view: CourseView,
  current?: string,
): TemplateResult {
  const isEnrolled = view.progress !== null
  const entry = (lesson: OutlineLesson): TemplateResult => {
    const state = view.lesson(lesson.id)
    const status = view.status(lesson.id)
    // What is finished stays open.
    const reason = status === 'completed' ? null : lockReason(state?.locked)
    const isOpen = isEnrolled || lesson.is_preview || outline.course.content_access === 'public'
    const kind = lesson.is_preview ? 'preview' : lesson.is_required ? '' : 'optional'
    const inside = html`
      ${lesson.is_preview
        ? viewpoint()
        : waypoint(status, !!reason, view.isPending(lesson.id))}
      <span class="name">
        <span>${lesson.title}</span>
        <small>
          ${lessonIcon(lesson.type)} ${[minutes(lesson.duration_seconds), kind].filter(Boolean).join(' · ')}
          ${reason ? html`<span class="reason">${reason}</span>` : nothing}
        </small>
      </span>
      <span class="hidden">${isEnrolled && !lesson.is_preview ? statusWords(status, !!reason) : ''}</span>
    `
    const isCurrent = current === lesson.id
    return html`<li class=${isCurrent ? 'current' : ''}>
      ${isOpen && !reason
        ? html`<a href="#/course/${outline.course.id}/lesson/${lesson.id}" aria-current=${isCurrent ? 'step' : nothing}>${inside}</a>`
        : html`<span class="closed">${inside}</span>`}
    </li>`
  }
  return html`<ol class="trail">
    ${outline.modules.map((module) => {
      const counted = module.lessons.filter((lesson) => lesson.is_required && !lesson.is_preview)
      const done = counted.filter((lesson) => view.status(lesson.id) === 'completed').length
      return html`<li class="module">
        <h3>
          ${module.title}
          ${isEnrolled ? html`<small>${done} of ${counted.length}</small>` : nothing}
        </h3>
        ${current || !module.description ? nothing : html`<p>${module.description}</p>`}
        <ol>
          ${module.lessons.map(entry)}
        </ol>
      </li>`
    })}
  </ol>`
}

export class Course implements View {
  title = 'Course'
  private outline!: Outline
  private resources: CourseResources | null = null
  private next: NextLesson | null = null
  private isEnrolling = false
  private isStaff = false

  constructor(
    private readonly app: App,
    private readonly id: number,
  ) {}

  async load(): Promise<void> {
    const { waymark, user } = this.app
    const [outline, resources, next, isStaff] = await Promise.all([
      this.app.content.outline(this.id),
      waymark.rpc<CourseResources | null>('get_course_resources', { p_course_id: this.id }),
      user ? waymark.next(this.id) : null,
      this.app.isStaff(this.id),
      user ? this.view.load() : null,
    ])
    this.outline = outline
    this.resources = resources
    this.next = next
    this.isStaff = isStaff
    this.title = outline.course.title
  }

  render(): TemplateResult {
    const { course } = this.outline
    const files = this.resources?.resources ?? []
    const facts = [course.author, `${course.total_lessons} lessons`, minutes((course.duration_minutes ?? 0) * 60)]
    return html`<article class="course">
      <header class="banner">
        <div class="picture">
          ${course.image_url ? html`<img src=${course.image_url} alt="" />` : contours(course.id)}
        </div>
        <div class="words">
          ${course.category ? html`<p class="eyebrow">${course.category}</p>` : nothing}
          <h1 tabindex="-1">${course.title}</h1>
          <p class="facts">
            ${facts.filter(Boolean).join(' · ')}
            ${course.rating ? html`<span class="rating">${icon('star', true)}${course.rating}</span>` : nothing}
          </p>
          ${this.progress()} ${this.action()}
          ${this.isStaff
            ? html`<p class="staff"><a class="quiet" href="#/course/${this.id}/report">${icon('chart')}Report</a></p>`
            : nothing}
        </div>
      </header>
      <div class="columns">
        <section>
          <h2>What is in it</h2>
          ${trail(this.outline, this.view)}
        </section>
        <aside>
          ${course.description ? html`<h2>About this course</h2>${markdown(course.description)}` : nothing}
          ${files.length ? html`<h2>Resources</h2>${fileList(files)}` : nothing}
        </aside>
      </div>
    </article>`
  }

  private get view(): CourseView {
    return this.app.waymark.course(this.id)
  }

  private progress(): TemplateResult | typeof nothing {
    const { progress, completed } = this.view
    if (!progress) return nothing
    return html`<p class="percent">
      ${bar(progress.percent, 'Progress in this course')}
      <span>${percentText(progress.percent)} · ${completed} of ${progress.total} lessons</span>
    </p>`
  }

  private action(): TemplateResult {
    const { app, outline } = this
    if (!app.user) {
      return html`<a class="button" href="#/sign-in/${encodeURIComponent(`course/${this.id}`)}">
        Sign in to track your progress
      </a>`
    }
    if (this.view.progress) {
      const { progress } = this.view
      const next = this.next
      const hasBegun = progress.lessons.some((lesson) => lesson.status !== 'not_started')
      return html`<p class="actions">
        ${next?.lesson_id && !next.locked
          ? html`<a class="button" href="#/course/${this.id}/lesson/${next.lesson_id}">
              ${next.review ? 'Look again' : hasBegun ? 'Continue learning' : 'Start learning'}
            </a>`
          : next?.locked
            ? html`<span class="reason">${icon('lock')}${lockReason(next.locked)}</span>`
            : nothing}
        ${progress.completed_at
          ? html`<a class="quiet" href="#/certificates">${icon('award')}Your certificate</a>`
          : nothing}
      </p>`
    }
    const { enrollment_mode: mode } = outline.course
    if (mode !== 'open') {
      // A site that sells courses puts its own button here.
      const words = mode === 'paid' ? 'This course is open to who has bought it.' : 'This course is by invitation.'
      return html`<p class="facts">${words}</p>`
    }
    return html`<button class="button" ?disabled=${this.isEnrolling} @click=${this.enroll}>Enrol</button>`
  }

  private readonly enroll = async (): Promise<void> => {
    this.isEnrolling = true
    this.app.update()
    await this.app.attempt(async () => {
      await this.app.waymark.enroll(this.id)
      this.app.tell()
      await this.load()
      this.app.say('You are enrolled. Have a good walk.')
    })
    this.isEnrolling = false
    this.app.update()
  }
}
