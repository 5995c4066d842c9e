/** Messages of the learner, latest first; opening the page reads them. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'
import { day, icon, type IconName } from '../ui'
import type { Schemas } from '../waymark'

const KINDS: Record<string, [IconName, string]> = {
  course_completed: ['tick', 'You have completed'],
  certificate_ready: ['award', 'Your certificate is ready:'],
  certificate_revoked: ['award', 'Your certificate was revoked:'],
  certificate_reinstated: ['award', 'Your certificate is valid again:'],
  certificate_reissued: ['award', 'You have a new certificate:'],
  attempt_graded: ['quiz', 'Your answers were graded:'],
  completion_expiring: ['flame', 'Your completion expires soon:'],
  program_completed: ['award', 'You have completed all of'],
}

export class Notifications implements View {
  title = 'Messages'
  private items: Schemas['Notification'][] = []
  private hasMore = false

  constructor(private readonly app: App) {}

  async load(): Promise<void> {
    this.items = await this.page()
    if (!this.items.some((item) => !item.read_at)) return
    await this.app.waymark.rpc('mark_notifications_read')
    await this.app.countUnread()
  }

  render(): TemplateResult {
    return html`<section class="narrow">
      <h1 tabindex="-1">Messages</h1>
      ${this.items.length ? nothing : html`<p>There is nothing yet.</p>`}
      <ul class="messages">
        ${this.items.map((item) => {
          const [name, words] = KINDS[item.kind] ?? ['bell', item.kind.replaceAll('_', ' ')]
          const title = item.data.course_title ?? item.data.lesson_title ?? ''
          const isElsewhere = item.kind.startsWith('certificate') || !item.course_id
          const place = isElsewhere ? '#/certificates' : `#/course/${item.course_id}`
          return html`<li class=${item.read_at ? '' : 'fresh'}>
            ${icon(name)}
            <a href=${place}>${words} ${title}</a>
            <time datetime=${item.occurred_at}>${day(item.occurred_at)}</time>
          </li>`
        })}
      </ul>
      ${this.hasMore ? html`<button class="quiet" @click=${this.more}>Show more</button>` : nothing}
    </section>`
  }

  private async page(after: string | null = null): Promise<Schemas['Notification'][]> {
    const { items } = await this.app.waymark.rpc<Schemas['Notifications']>('get_notifications', {
      p_limit: 20,
      ...(after && { p_after: after }),
    })
    this.hasMore = items.length === 20
    return items
  }

  private readonly more = (): Promise<boolean> =>
    this.app.attempt(async () => {
      this.items = [...this.items, ...(await this.page(this.items.at(-1)!.id))]
    })
}
