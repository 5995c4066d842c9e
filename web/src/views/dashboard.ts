/** What a learner has done, is doing, and goes on with. */
import { html, nothing, svg, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'
import { bar, clock, day, icon, lockReason, minutes, percentText, tile } from '../ui'
import type { Schemas } from '../waymark'

type Answer = Schemas['Dashboard']
type Enrolled = Answer['courses'][number]

/** A course to go on with, and the one button that does. */
export function resume(course: Enrolled): TemplateResult {
  const place = course.resume
  return html`<article class="resume">
    <div>
      <p class="eyebrow">${course.title}</p>
      <h3>${place ? place.title : 'Nothing left to do'}</h3>
      ${place
        ? html`<p class="facts">
            ${place.module_title}${place.position_seconds
              ? html` · stopped at ${clock(place.position_seconds)}`
              : nothing}
          </p>`
        : nothing}
      <p class="percent">
        ${bar(course.percent, `Progress in ${course.title}`)}<span>${percentText(course.percent)}</span>
      </p>
    </div>
    ${place?.locked
      ? html`<span class="reason">${icon('lock')} ${lockReason(place.locked)}</span>`
      : place
      ? html`<a class="button" href="#/course/${course.course_id}/lesson/${place.lesson_id}">
          ${place.review ? 'Look again' : 'Continue learning'}<span class="hidden">: ${course.title}</span>
        </a>`
      : nothing}
  </article>`
}

export class Dashboard implements View {
  title = 'My learning'
  private answer: Answer | null = null

  constructor(private readonly app: App) {}

  async load(): Promise<void> {
    this.answer = await this.app.waymark.call<Answer>('GET', 'analytics/me')
  }

  render(): TemplateResult {
    const { totals, seconds, streak, velocity, courses, activity, today } = this.answer!
    return html`
      <h1 tabindex="-1">My learning</h1>
      <ul class="tiles">
        ${tile(
          html`${icon('flame', streak.current > 0)}${streak.current}`,
          streak.current === 1 ? 'day in a row' : 'days in a row',
          `longest: ${streak.longest}`,
        )}
        ${tile(totals.lessons.completed, 'lessons done', `of ${totals.lessons.total}`)}
        ${tile(totals.quizzes.passed, 'quizzes passed', `of ${totals.quizzes.total}`)}
        ${tile(minutes(seconds.week) || '0 min', 'learned this week', `${minutes(seconds.all) || '0 min'} in all`)}
      </ul>
      ${velocity.expected_finish
        ? html`<p class="facts">
            ${velocity.lessons_per_week} lessons a week: at this pace you are through by
            ${day(velocity.expected_finish)}.
          </p>`
        : nothing}
      <section>
        <h2>The last year</h2>
        ${heatMap(activity, today)}
      </section>
      <section>
        <h2>Courses</h2>
        ${courses.length
          ? courses.map(resume)
          : html`<p>You are in no course yet. <a href="#/">Find one</a>.</p>`}
      </section>
    `
  }
}

/** A square a day, a column a week, darker the more was done. */
function heatMap(activity: Answer['activity'], today: string): TemplateResult {
  const done = new Map(activity.map((entry) => [entry.day, entry]))
  const last = new Date(`${today}T00:00:00Z`)
  const first = new Date(last)
  first.setUTCDate(last.getUTCDate() - 364)
  // Columns begin on Mondays.
  first.setUTCDate(first.getUTCDate() - ((first.getUTCDay() + 6) % 7))
  const squares: TemplateResult[] = []
  const months: TemplateResult[] = []
  let month = -1
  for (let at = new Date(first), index = 0; at <= last; at.setUTCDate(at.getUTCDate() + 1), index++) {
    const column = Math.floor(index / 7)
    const row = index % 7
    const name = at.toISOString().slice(0, 10)
    const entry = done.get(name)
    const amount = entry ? entry.lessons + entry.attempts + entry.seconds / 900 : 0
    const level = amount === 0 ? 0 : amount < 1 ? 1 : amount < 3 ? 2 : amount < 6 ? 3 : 4
    if (row === 0 && at.getUTCMonth() !== month) {
      month = at.getUTCMonth()
      const label = at.toLocaleDateString(undefined, { month: 'short', timeZone: 'UTC' })
      if (column < 52) months.push(svg`<text x=${column * 13} y="9">${label}</text>`)
    }
    squares.push(
      svg`<rect class="level${level}" x=${column * 13} y=${14 + row * 13} width="11" height="11" rx="2.5"><title>${name}: ${words(entry)}</title></rect>`,
    )
  }
  const label = `${activity.length} ${activity.length === 1 ? 'day' : 'days'} of learning in the last year`
  return html`<div class="heat" tabindex="0" role="group" aria-label=${label}>
    <svg viewBox="0 0 689 106" role="img" aria-label=${label}>${months}${squares}</svg>
  </div>`
}

function words(entry: Answer['activity'][number] | undefined): string {
  if (!entry) return 'nothing'
  const parts = [`${entry.lessons} lessons`, `${entry.attempts} quizzes`, minutes(entry.seconds)]
  return parts.filter(Boolean).join(', ')
}
