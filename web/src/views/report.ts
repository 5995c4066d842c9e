/** For staff: how a course's learners are doing, and where they struggle. */
import { html, nothing, svg, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'
import { bar, icon, minutes, percentText, tile } from '../ui'
import { WaymarkError, type Schemas } from '../waymark'

const AGAIN_SECONDS = 5

export class Report implements View {
  title = 'Report'
  private course: Schemas['CourseReport'] | null = null
  private lessons: Schemas['LessonReport'] | null = null
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly app: App,
    private readonly id: number,
  ) {}

  async load(): Promise<void> {
    const { waymark } = this.app
    try {
      const [course, lessons] = await Promise.all([
        waymark.call<Schemas['CourseReport']>('GET', `analytics/courses/${this.id}`),
        waymark.call<Schemas['LessonReport']>('GET', `analytics/courses/${this.id}/lessons`),
      ])
      this.course = course
      this.lessons = lessons
      this.title = `Report: ${course.title}`
    } catch (error) {
      // A large course is counted by a job first.
      if (!(error instanceof WaymarkError) || error.code !== 'report_not_ready') throw error
      this.timer = setTimeout(() => this.app.refresh(), AGAIN_SECONDS * 1000)
    }
  }

  leave(): void {
    clearTimeout(this.timer)
  }

  render(): TemplateResult {
    const { course, lessons } = this
    if (!course || !lessons) {
      return html`<section class="empty" role="status">
        <h1 tabindex="-1">Report</h1>
        <p>It is being counted for the first time. This page shows it as soon as it is there.</p>
      </section>`
    }
    const { learners, percent, scores, certificates } = course
    return html`
      <p class="eyebrow"><a href="#/course/${this.id}">${icon('left')}${course.title}</a></p>
      <h1 tabindex="-1">How learners are doing</h1>
      <p class="facts">
        Counted ${new Date(course.as_of).toLocaleString()}${course.refreshing ? ', being counted again' : ''}.
        ${course.settling ? 'The course is being settled after an edit.' : ''}
      </p>
      <ul class="tiles">
        ${tile(number(learners.enrolled), learners.enrolled === 1 ? 'learner' : 'learners', `${number(learners.started)} have started`)}
        ${tile(number(learners.active_7_days), 'active this week', `${number(learners.active_30_days)} in 30 days`)}
        ${tile(
          share(learners.completion_rate),
          'completed',
          `${number(learners.completed)} learners, ${number(certificates.issued)} certificates`,
        )}
        ${tile(share(percent.average), 'average progress')}
        ${tile(course.days_to_complete.median, 'days to complete', 'median')}
        ${tile(share(scores.average), 'average score', `of ${number(scores.count)} scores`)}
      </ul>
      <section>
        <h2>How far they are</h2>
        ${histogram(percent.distribution, 'Learners by progress')}
      </section>
      <section>
        <h2>Lessons</h2>
        <div class="scroll" tabindex="0" role="group" aria-label="Lessons">
          <table class="report">
            <thead>
              <tr>
                <th scope="col">Lesson</th>
                <th scope="col">Completed</th>
                <th scope="col">Stopped here</th>
                <th scope="col">Time</th>
                <th scope="col">Quiz failed</th>
                <th scope="col">Score</th>
              </tr>
            </thead>
            <tbody>
              ${lessons.lessons.map(
                (lesson) => html`<tr>
                  <th scope="row">${lesson.title}<small>${lesson.module_title}</small></th>
                  <td class="wide">
                    ${bar(lesson.completion_rate ?? 0, `${lesson.title}: completed`)}
                    <small>${number(lesson.completed)} of ${number(lesson.learners)}</small>
                  </td>
                  <td>${lesson.stopped || '–'}</td>
                  <td>${minutes(lesson.seconds.median) || '–'}</td>
                  <td>${share(lesson.quiz?.fail_rate) ?? '–'}</td>
                  <td>${share(lesson.quiz?.scores.average) ?? '–'}</td>
                </tr>`,
              )}
            </tbody>
          </table>
        </div>
      </section>
      ${lessons.hard_lessons.length
        ? html`<section>
            <h2>Where they struggle</h2>
            <ol class="hard">
              ${lessons.hard_lessons.map(
                (lesson) => html`<li>
                  <b>${lesson.title}</b>
                  <small>
                    ${lesson.attempts_per_pass} attempts for a pass, ${share(lesson.fail_rate)} of them
                    failed
                  </small>
                </li>`,
              )}
            </ol>
          </section>`
        : nothing}
    `
  }
}

function number(value: number): string {
  return value.toLocaleString()
}

function share(value: number | null | undefined): string | null {
  return value == null ? null : percentText(value)
}

/** A column for each tenth. */
function histogram(counts: number[] | null, label: string): TemplateResult {
  const all = counts ?? []
  const most = Math.max(1, ...all)
  const words = all.map((count, bin) => `${bin * 10} %: ${count}`).join(', ')
  return html`<div class="heat" tabindex="0" role="group" aria-label=${label}>
    <svg viewBox="0 0 ${all.length * 60} 130" role="img" aria-label="${label}: ${words}">
      ${all.map((count, bin) => {
        const height = (90 * count) / most
        return svg`<g>
          <rect class="level4" x=${bin * 60 + 6} y=${105 - height} width="48" height=${height} rx="3"></rect>
          <text x=${bin * 60 + 30} y=${98 - height} text-anchor="middle">${count || ''}</text>
          <text x=${bin * 60 + 30} y="122" text-anchor="middle">${bin * 10} %</text>
        </g>`
      })}
    </svg>
  </div>`
}
