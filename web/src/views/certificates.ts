/** The learner's certificates, and the page on which anyone checks one. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'
import { day, icon } from '../ui'
import { WaymarkError, type Certificate, type Schemas } from '../waymark'

export class Certificates implements View {
  title = 'Certificates'
  private items: Certificate[] = []

  constructor(private readonly app: App) {}

  async load(): Promise<void> {
    this.items = (await this.app.waymark.certificates()).certificates
  }

  render(): TemplateResult {
    return html`<h1 tabindex="-1">Certificates</h1>
      ${this.items.length
        ? nothing
        : html`<p>Complete a course, and its certificate is here. <a href="#/">To the courses</a></p>`}
      <ul class="certificates">
        ${this.items.map(
          (item) => html`<li>
            ${paper(item)}
            <p class="actions">
              ${item.status === 'valid' || item.status === 'expired'
                ? html`<button class="button" @click=${() => this.download(item)}>
                    ${icon('download')}Download PDF
                  </button>`
                : nothing}
              <a class="quiet" href="#/verify/${item.code}">Verification page</a>
            </p>
          </li>`,
        )}
      </ul>`
  }

  private download(item: Certificate): Promise<boolean> {
    return this.app.attempt(async () => {
      try {
        const { url } = await this.app.waymark.certificatePdf(item.id)
        const link = document.createElement('a')
        link.href = url
        link.download = `${item.course_title}.pdf`
        link.target = '_blank'
        link.rel = 'noopener'
        link.click()
      } catch (error) {
        if (!(error instanceof WaymarkError) || error.code !== 'certificate_not_ready') throw error
        this.app.say('The PDF is being made. Try again in a moment.')
      }
    })
  }
}

const VERDICTS: Record<string, string> = {
  valid: 'This certificate is valid.',
  revoked: 'This certificate was revoked.',
  superseded: 'This certificate was replaced by a newer one.',
  expired: 'This certificate has expired.',
  unknown: 'No certificate has this code.',
}

export class Verification implements View {
  title = 'Check a certificate'
  private found: Schemas['Verified'] | null = null

  constructor(
    private readonly app: App,
    private readonly code: string,
  ) {}

  async load(): Promise<void> {
    if (!this.code) return
    try {
      this.found = await this.app.waymark.verify(this.code)
    } catch (error) {
      if (!(error instanceof WaymarkError) || error.status !== 404) throw error
      this.found = null
    }
  }

  render(): TemplateResult {
    const { found, code } = this
    const status = found?.status ?? 'unknown'
    return html`<section class="narrow">
      <h1 tabindex="-1">Check a certificate</h1>
      <form class="search" @submit=${this.submit}>
        <label class="hidden" for="code">Code on the certificate</label>
        <input id="code" name="code" .value=${code} placeholder="Code on the certificate" required />
        <button class="button">Check</button>
      </form>
      ${code
        ? html`<p class="verdict ${status}" role="status">
            ${icon(status === 'valid' ? 'tick' : 'close')}${VERDICTS[status]}
          </p>`
        : nothing}
      ${found ? paper(found) : nothing}
      ${found?.superseded_by
        ? html`<p><a href="#/verify/${found.superseded_by}">The one that replaced it</a></p>`
        : nothing}
    </section>`
  }

  private readonly submit = (event: SubmitEvent): void => {
    event.preventDefault()
    const code = String(new FormData(event.target as HTMLFormElement).get('code'))
    this.app.go(`#/verify/${encodeURIComponent(code.trim())}`)
  }
}

function paper(item: Certificate | Schemas['Verified']): TemplateResult {
  return html`<article class="paper ${item.status}">
    ${icon('award')}
    <p class="eyebrow">Certificate of completion</p>
    <h2>${item.learner_name ?? 'Name withdrawn'}</h2>
    <p>has completed</p>
    <h3>${item.course_title}</h3>
    <p class="facts">
      ${[day(item.completed_on), item.author, item.hours && `${item.hours} hours`, item.score !== null && `${item.score} %`]
        .filter(Boolean)
        .join(' · ')}
    </p>
    <p class="code">${item.code}</p>
    ${item.status !== 'valid' ? html`<p class="stamp">${item.status}</p>` : nothing}
    ${item.revoked_reason ? html`<p>${item.revoked_reason}</p>` : nothing}
  </article>`
}
