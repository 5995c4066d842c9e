/** The learner's own notes beside a lesson. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App } from '../app'
import { markdown } from '../markdown'
import type { Insert, Note } from '../types'
import { clock, icon } from '../ui'

export class Notes {
  private notes: Note[] = []
  private edits = 0

  constructor(
    private readonly app: App,
    private readonly lesson: string,
    private readonly video: () => HTMLVideoElement | null,
  ) {}

  async load(): Promise<void> {
    if (!navigator.onLine) return
    const { edits } = this
    const { data } = await this.table
      .select('id, position_seconds, body, edited_at')
      .eq('lesson_id', this.lesson)
      .order('position_seconds', { nullsFirst: false })
      .order('created_at')
    // What was read while something was being written may be older than that.
    if (data && edits === this.edits) this.notes = data as Note[]
  }

  render(): TemplateResult {
    return html`<section class="notes">
      <h2>Your notes</h2>
      <ul>
        ${this.notes.map(
          (note) => html`<li>
            ${note.position_seconds === null
              ? nothing
              : html`<button class="quiet time" @click=${() => this.seek(note)}>
                  ${clock(note.position_seconds)}
                </button>`}
            ${markdown(note.body)}
            <button class="plain" aria-label="Delete this note" @click=${() => this.remove(note)}>
              ${icon('close')}
            </button>
          </li>`,
        )}
      </ul>
      <form @submit=${this.add}>
        <label class="hidden" for="note">New note</label>
        <textarea id="note" name="body" rows="3" maxlength="20000" required
          placeholder="Only you see this. **Markdown** works."></textarea>
        <button class="quiet">Add note</button>
      </form>
    </section>`
  }

  private get table() {
    return this.app.supabase.from('notes')
  }

  private seek(note: Note): void {
    const video = this.video()
    if (video && note.position_seconds !== null) video.currentTime = note.position_seconds
  }

  private readonly add = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const form = event.target as HTMLFormElement
    const body = String(new FormData(form).get('body')).trim()
    if (!body) return
    const video = this.video()
    const note: Note = {
      id: crypto.randomUUID(),
      position_seconds: video && video.currentTime >= 1 ? Math.floor(video.currentTime) : null,
      body,
      edited_at: new Date().toISOString(),
    }
    this.edits++
    this.notes = [...this.notes, note]
    form.reset()
    this.app.update()
    const place = { lesson_id: this.lesson, position_seconds: note.position_seconds, body }
    const { error, status } = navigator.onLine
      ? await this.table.insert({ id: note.id, ...place } as Insert<'notes'>)
      : { error: { message: 'offline' }, status: 0 }
    this.edits++
    if (!error) return
    if (!status) {
      this.app.waymark.outbox.add({ kind: 'note', note_id: note.id, ...place })
      return
    }
    this.notes = this.notes.filter((other) => other !== note)
    this.app.say(`Not kept: ${error.message}`, 'error')
  }

  private async remove(note: Note): Promise<void> {
    const before = this.notes
    this.edits++
    this.notes = before.filter((other) => other !== note)
    this.app.update()
    const { error } = await this.table.delete().eq('id', note.id)
    this.edits++
    if (!error) return
    this.notes = before
    this.app.say(`Not deleted: ${error.message}`, 'error')
  }
}
