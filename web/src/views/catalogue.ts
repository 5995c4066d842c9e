/** All courses, with the caller's own state on them; visitors see the same without it. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'
import { bar, contours, icon, minutes, percentText } from '../ui'
import type { CourseCard, Insert } from '../types'
import type { Schemas } from '../waymark'
import { resume } from './dashboard'

export class Catalogue implements View {
  title = 'Courses'
  private courses: CourseCard[] = []
  private next: number | null = null
  private last: Schemas['Dashboard']['courses'][number] | null = null

  constructor(private readonly app: App) {}

  async load(): Promise<void> {
    const { waymark, user } = this.app
    const [page, mine] = await Promise.all([
      this.page(null),
      user ? waymark.rpc<Schemas['Dashboard']>('get_my_dashboard', { p_limit: 1 }) : null,
    ])
    this.courses = page.courses
    this.next = page.next
    const last = mine?.courses[0]
    this.last = last && last.percent > 0 && !last.completed_at ? last : null
  }

  render(): TemplateResult {
    const { user } = this.app
    return html`
      <div class="hero">
        <h1 tabindex="-1">${user ? `Good to see you, ${user.name}` : 'Courses that remember where you are'}</h1>
        ${user
          ? nothing
          : html`<p>
              <a class="button" href="#/sign-in">Sign in to track your progress</a>
              <span>or look around first.</span>
            </p>`}
        ${this.last ? resume(this.last) : nothing}
      </div>
      <h2 class="hidden">All courses</h2>
      <ul class="cards">
        ${this.courses.map((course) => this.card(course))}
      </ul>
      ${this.courses.length ? nothing : html`<p class="empty">There is no course here yet.</p>`}
      ${this.next
        ? html`<p class="more"><button class="quiet" @click=${this.more}>Show more</button></p>`
        : nothing}
    `
  }

  private page(after: number | null): Promise<{ courses: CourseCard[]; next: number | null }> {
    return this.app.waymark.rpc('get_course_cards', after ? { p_after: after } : {})
  }

  private readonly more = (): Promise<boolean> =>
    this.app.attempt(async () => {
      const page = await this.page(this.next)
      this.courses = [...this.courses, ...page.courses]
      this.next = page.next
    })

  private card(course: CourseCard): TemplateResult {
    const facts = [course.author, minutes((course.duration_minutes ?? 0) * 60)].filter(Boolean)
    return html`<li class="card">
      <a href="#/course/${course.id}" class="picture" tabindex="-1" aria-hidden="true">
        ${course.image_url
          ? html`<img src=${course.image_url} alt="" loading="lazy" />`
          : contours(course.id)}
      </a>
      <div class="words">
        <p class="badges">
          ${course.category ? html`<span>${course.category}</span>` : nothing}
          ${course.badges.map((badge) => html`<span>${badge}</span>`)}
          ${course.status === 'archived' ? html`<span>Archived</span>` : nothing}
        </p>
        <h3><a href="#/course/${course.id}">${course.title}</a></h3>
        <p class="description">${course.description}</p>
        <p class="facts">
          <span>${facts.join(' · ')}</span>
          ${course.rating
            ? html`<span class="rating">${icon('star', true)}<span class="hidden">Rated</span>${course.rating}</span>`
            : nothing}
        </p>
        ${course.is_enrolled
          ? html`<p class="percent">
              ${bar(course.percent ?? 0, `Progress in ${course.title}`)}
              <span>${course.completed_at ? 'Completed' : percentText(course.percent ?? 0)}</span>
            </p>`
          : nothing}
      </div>
      ${this.app.user
        ? html`<button
            class="plain save"
            aria-pressed=${course.is_saved}
            aria-label="Save ${course.title}"
            title=${course.is_saved ? 'Saved' : 'Save'}
            @click=${() => this.save(course)}
          >
            ${icon('bookmark', course.is_saved)}
          </button>`
        : nothing}
    </li>`
  }

  /** Shown at once, and taken back when it is refused. */
  private async save(course: CourseCard): Promise<void> {
    const items = this.app.supabase.from('collection_items')
    const was = course.is_saved
    course.is_saved = !was
    this.app.update()
    const { error } = was
      ? await items.delete().eq('course_id', course.id)
      : await items.insert({ course_id: course.id } as Insert<'collection_items'>)
    if (error && error.code !== '23505') {
      course.is_saved = was
      this.app.say(`Not saved: ${error.message}`, 'error')
    }
  }
}
