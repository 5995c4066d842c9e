/** Search in courses and lessons. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'
import { marks } from '../markdown'
import type { SearchAnswer } from '../types'
import { icon, lessonIcon } from '../ui'

export class Search implements View {
  title = 'Search'
  private answer: SearchAnswer | null = null

  constructor(
    private readonly app: App,
    private readonly query: string,
  ) {}

  async load(): Promise<void> {
    if (!this.query.trim()) return
    this.answer = await this.app.waymark.rpc<SearchAnswer>('search_catalog', { p_query: this.query })
  }

  render(): TemplateResult {
    const { answer, query } = this
    return html`<section class="narrow">
      <h1 tabindex="-1">Search</h1>
      <form role="search" class="search" @submit=${this.submit}>
        <label class="hidden" for="query">Words to look for</label>
        <input id="query" name="query" type="search" .value=${query} maxlength="200" placeholder="contour lines" />
        <button class="button">${icon('search')}Search</button>
      </form>
      ${answer
        ? html`<p role="status">
              ${answer.results.length
                ? answer.similar
                  ? 'Nothing has these words. This looks alike:'
                  : `${answer.results.length} found`
                : 'Nothing was found.'}
            </p>
            <ul class="results">
              ${answer.results.map(
                (result) => html`<li>
                  <a href="#/course/${result.course_id}${result.lesson_id ? `/lesson/${result.lesson_id}` : ''}">
                    ${result.type ? lessonIcon(result.type) : nothing}
                    <span>${result.highlight?.title ? marks(result.highlight.title) : result.title}</span>
                  </a>
                  ${result.kind === 'lesson' ? html`<small>${result.course_title}</small>` : nothing}
                  ${result.highlight?.text ? html`<p>${marks(result.highlight.text)}</p>` : nothing}
                </li>`,
              )}
            </ul>`
        : nothing}
    </section>`
  }

  private readonly submit = (event: SubmitEvent): void => {
    event.preventDefault()
    const query = String(new FormData(event.target as HTMLFormElement).get('query'))
    this.app.go(`#/search/${encodeURIComponent(query)}`)
  }
}
