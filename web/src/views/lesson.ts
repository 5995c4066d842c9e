/** The player: one lesson with its content, its trail beside it, and what brings it to an end. */
import { html, nothing, type TemplateResult } from 'lit-html'
import { createRef, ref } from 'lit-html/directives/ref.js'
import type { App, View } from '../app'
import type { LessonContent } from '../content'
import { markdown } from '../markdown'
import type { Outline, OutlineLesson } from '../types'
import { bar, clock, fileList, icon, lockReason, minutes, percentText } from '../ui'
import { Heartbeat, isQueued, WaymarkError, type CourseView, type Lock, type Outcome } from '../waymark'
import { trail } from './course'
import { Notes } from './notes'
import { Quiz } from './quiz'

export class Lesson implements View {
  title = 'Lesson'
  private outline!: Outline
  private lesson: LessonContent | null = null
  private quiz: Quiz | null = null
  private closed: string | null = null
  private isCourseDone = false
  private isOpened = false
  private heartbeat: Heartbeat | null = null
  private readonly notes: Notes
  private readonly video = createRef<HTMLVideoElement>()

  constructor(
    private readonly app: App,
    private readonly course: number,
    private readonly id: string,
  ) {
    this.notes = new Notes(app, id, () => this.video.value ?? null)
  }

  async load(): Promise<void> {
    const { app, view } = this
    const [outline] = await Promise.all([
      app.content.outline(this.course),
      app.user ? view.load() : null,
    ])
    this.outline = outline
    this.lesson = await app.content.lesson(outline, this.id)
    this.title = this.lesson?.title ?? this.entry?.title ?? 'Lesson'
    this.closed = view.status(this.id) === 'completed' ? null : lockReason(view.lesson(this.id)?.locked)
    await Promise.all([
      app.user ? this.notes.load() : null,
      this.quiz?.load(),
      this.isOpened ? null : this.begin(),
    ])
  }

  leave(): void {
    this.quiz?.leave()
    void this.heartbeat?.stop()
  }

  render(): TemplateResult {
    const { view, lesson } = this
    const { progress } = view
    return html`<div class="player">
      <aside class="side">
        <details ?open=${matchMedia('(min-width: 60rem)').matches}>
          <summary>
            <span>${this.outline.course.title}</span>
            ${progress
              ? html`<small>${percentText(progress.percent)} · ${view.completed} of ${progress.total}</small>`
              : nothing}
          </summary>
          ${trail(this.outline, view, this.id)}
        </details>
        ${progress ? bar(progress.percent, 'Progress in this course') : nothing}
      </aside>
      <article class="lesson">
        <p class="eyebrow">
          <a href="#/course/${this.course}">${icon('left')}${this.outline.course.title}</a>
        </p>
        <h1 tabindex="-1">${this.title}</h1>
        ${this.closed
          ? html`<section class="empty"><p>${icon('lock')} ${this.closed}</p></section>`
          : lesson
            ? this.content(lesson)
            : this.forbidden()}
      </article>
    </div>`
  }

  private get view(): CourseView {
    return this.app.waymark.course(this.course)
  }

  private get all(): OutlineLesson[] {
    return this.outline.modules.flatMap((module) => module.lessons)
  }

  private get entry(): OutlineLesson | undefined {
    return this.all.find((lesson) => lesson.id === this.id)
  }

  private get counts(): boolean {
    return this.view.progress !== null && !!this.lesson && !this.lesson.is_preview
  }

  /** Tell that the lesson is open, once. */
  private async begin(): Promise<void> {
    const { lesson } = this
    this.isOpened = true
    if (!lesson || !this.counts || this.closed) return
    if (lesson.quiz_data) this.quiz = new Quiz(this.app, lesson, (outcome) => this.settled(outcome))
    try {
      await Promise.all([this.app.waymark.start(this.id), this.quiz?.load()])
    } catch (error) {
      if (!(error instanceof WaymarkError) || error.code !== 'lesson_locked') throw error
      this.closed = lockReason(error.details as Lock | null) ?? error.message
    }
    if (lesson.type !== 'video') this.listen(null)
  }

  private listen(video: HTMLVideoElement | null): void {
    if (this.heartbeat || !this.counts) return
    this.heartbeat = new Heartbeat(this.app.waymark, this.id, video, (outcome) =>
      this.settled(outcome),
    )
  }

  // What is shown

  private forbidden(): TemplateResult {
    const { user } = this.app
    return html`<section class="empty">
      <p>${icon('lock')} This lesson is for those who are enrolled.</p>
      ${user
        ? html`<a class="button" href="#/course/${this.course}">To the course</a>`
        : html`<a class="button" href="#/sign-in/${encodeURIComponent(`course/${this.course}`)}">
            Sign in to track your progress
          </a>`}
    </section>`
  }

  private content(lesson: LessonContent): TemplateResult {
    return html`
      <p class="facts">
        ${[
          minutes(lesson.duration_seconds),
          lesson.is_preview ? 'preview, open to everyone' : lesson.is_required ? '' : 'optional',
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      ${this.media(lesson)} ${lesson.content ? markdown(lesson.content) : nothing}
      ${this.quiz?.render() ?? nothing}
      ${lesson.resources.length ? fileList(lesson.resources) : nothing}
      ${this.end(lesson)} ${this.app.user ? this.notes.render() : nothing}
    `
  }

  private media(lesson: LessonContent): TemplateResult | typeof nothing {
    const { video_url: url, type, title } = lesson
    if (!url) return nothing
    if (type === 'video') {
      return html`<video ${ref(this.video)} class="film" controls playsinline preload="metadata"
        src=${this.placed(url)} aria-label=${title}
        @loadedmetadata=${this.resume} @play=${this.resumed}></video>`
    }
    if (type === 'embed') {
      return html`<iframe class="film" src=${url} title=${title} loading="lazy"
        sandbox="allow-scripts allow-same-origin allow-popups" referrerpolicy="no-referrer"></iframe>`
    }
    return html`<p>
      <a class="quiet" href=${url} target="_blank" rel="noopener noreferrer">
        ${icon('link')}${type === 'live' ? 'Open the room' : 'Open'}
      </a>
    </p>`
  }

  private placed(url: string): string {
    for (const [from, to] of Object.entries(this.app.config.media ?? {})) {
      // The demo's films are WebM, which every browser plays.
      if (url.startsWith(from)) return to + url.slice(from.length).replace(/\.mp4$/, '.webm')
    }
    return url
  }

  /** Go on where it was left, on whatever device. */
  private readonly resume = ({ target }: Event): void => {
    const video = target as HTMLVideoElement
    const position = this.view.lesson(this.id)?.position_seconds ?? 0
    if (position > 2 && position < video.duration - 3 && video.currentTime < 1) {
      video.currentTime = position
      this.app.say(`Going on at ${clock(position)}`)
    }
    this.listen(video)
  }

  private readonly resumed = ({ target }: Event): void => this.listen(target as HTMLVideoElement)

  private end(lesson: LessonContent): TemplateResult {
    const { view, all } = this
    const isDone = view.status(this.id) === 'completed'
    const here = all.findIndex((entry) => entry.id === this.id)
    const after = all[here + 1]
    const before = all[here - 1]
    const link = (entry: OutlineLesson) => `#/course/${this.course}/lesson/${entry.id}`
    return html`<footer class="end">
      ${this.counts
        ? isDone
          ? html`<p class="done" role="status">
              ${icon('tick')}<b>Completed</b>
              ${view.isPending(this.id)
                ? html`<small>being saved</small>`
                : html`<button class="quiet" @click=${this.undo}>Undo</button>`}
            </p>`
          : lesson.completion_rule === 'pass' || lesson.completion_rule === 'submit'
            ? html`<p class="facts">
                ${lesson.completion_rule === 'pass'
                  ? `Done when you pass with ${lesson.pass_percent} %.`
                  : 'Done when you hand it in.'}
              </p>`
            : html`<button class="button complete" @click=${this.complete}>
                ${icon('tick')}Mark as complete
              </button>`
        : nothing}
      ${this.isCourseDone
        ? html`<p class="finished" role="status">
            ${icon('award')} <b>You have completed the course.</b>
            <a class="button" href="#/certificates">See your certificate</a>
          </p>`
        : nothing}
      <nav aria-label="Lessons">
        ${before ? html`<a class="quiet" href=${link(before)}>${icon('left')}<span>${before.title}</span></a>` : html`<span></span>`}
        ${after
          ? html`<a class=${isDone || !this.counts ? 'button' : 'quiet'} href=${link(after)}>
              <span>${after.title}</span>${icon('right')}
            </a>`
          : nothing}
      </nav>
    </footer>`
  }

  private readonly complete = async (): Promise<void> => {
    // The tick is there at once: complete() marks it as pending before it asks.
    const asked = this.view.complete(this.id)
    this.app.update()
    try {
      const outcome = await asked
      if (!isQueued(outcome)) this.settled(outcome)
    } catch (error) {
      this.app.say(`Not marked as complete: ${refusal(error)}`, 'error')
    }
    this.app.update()
  }

  private readonly undo = (): Promise<boolean> =>
    this.app.attempt(() => this.app.waymark.uncomplete(this.id))

  private settled(outcome: Outcome): void {
    if (outcome.changed && outcome.certificate) this.isCourseDone = true
    if (outcome.changed && this.view.progress?.lessons.some((lesson) => lesson.locked)) {
      // What waited for this lesson may be open now.
      void this.view.load().then(() => this.app.update(), () => {})
    }
    this.app.update()
  }
}

function refusal(error: unknown): string {
  if (!(error instanceof WaymarkError)) return String(error)
  const { rule, needed, have } = (error.details ?? {}) as Record<string, unknown>
  if (error.code === 'rule_not_met' && rule === 'watch') return `watch ${needed} % of it first (now ${have} %).`
  if (error.code === 'rule_not_met' && rule === 'view') {
    return `stay ${minutes(Number(needed) - Number(have))} longer.`
  }
  return error.message
}
