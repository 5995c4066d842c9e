/** A quiz inside its lesson: start, answer (saved as one goes), hand in, and see what may be seen. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App } from '../app'
import { inline, markdown } from '../markdown'
import type { LessonRow } from '../types'
import { clock, icon, minutes } from '../ui'
import {
  isOffline,
  isQueued,
  type Answer,
  type Attempt,
  type Choice,
  type Outcome,
  type Question,
  type QuestionResult,
  type SavedAnswer,
} from '../waymark'

const PAUSE = 600

export class Quiz {
  private attempts: Attempt[] = []
  private open: Attempt | null = null
  private shown: Attempt | null = null
  private answers = new Map<string, Answer>()
  private dirty = new Set<string>()
  private seq = 0
  private saved: 'saved' | 'saving' | 'kept' | '' = ''
  private saving: ReturnType<typeof setTimeout> | undefined
  private ticking: ReturnType<typeof setInterval> | undefined
  private endsAt: number | null = null
  private isBusy = false

  constructor(
    private readonly app: App,
    private readonly lesson: LessonRow,
    private readonly onOutcome: (outcome: Outcome) => void,
  ) {}

  async load(): Promise<void> {
    try {
      this.attempts = (await this.app.waymark.attempts(this.lesson.id)).attempts
    } catch (error) {
      // What is known stays; answers are kept on the device.
      if (!isOffline(error)) throw error
      return
    }
    const open = this.attempts.find((attempt) => attempt.status === 'in_progress')
    if (open && open.id !== this.open?.id) this.take(open)
    if (!open && this.open && !this.isBusy) this.finish()
    if (this.shown) this.shown = this.attempts.find(({ id }) => id === this.shown!.id) ?? null
  }

  leave(): void {
    void this.save()
    clearInterval(this.ticking)
  }

  render(): TemplateResult {
    return html`<section class="quiz" aria-label="Quiz">
      ${this.open ? this.questions(this.open) : this.overview()}
    </section>`
  }

  // Before and after

  private overview(): TemplateResult {
    const { lesson, attempts } = this
    const used = attempts.length
    const isOver = lesson.max_attempts !== null && used >= lesson.max_attempts
    const rules = [
      lesson.completion_rule === 'pass' ? `Pass mark ${lesson.pass_percent} %` : '',
      lesson.time_limit_seconds ? `${minutes(lesson.time_limit_seconds)} to answer` : '',
      lesson.max_attempts ? `attempt ${Math.min(used + 1, lesson.max_attempts)} of ${lesson.max_attempts}` : '',
    ].filter(Boolean)
    return html`
      ${this.shown ? this.result(this.shown) : nothing}
      <div class="start">
        <p class="facts">${rules.join(' · ')}</p>
        ${isOver
          ? html`<p>All attempts were used.</p>`
          : html`<button class="button" ?disabled=${this.isBusy} @click=${this.start}>
              ${used ? 'Try again' : 'Start the quiz'}
            </button>`}
      </div>
      ${used
        ? html`<h2>Your attempts</h2>
            <ul class="attempts">
              ${attempts.map(
                (attempt) => html`<li>
                  <button class="quiet" aria-pressed=${this.shown?.id === attempt.id} @click=${() => this.show(attempt)}>
                    Attempt ${attempt.number}
                  </button>
                  <span>${verdict(attempt)}</span>
                </li>`,
              )}
            </ul>`
        : nothing}
    `
  }

  private result(attempt: Attempt): TemplateResult {
    const { results } = attempt
    return html`<div class="result ${attempt.passed ? 'passed' : attempt.status === 'graded' ? 'failed' : ''}" role="status">
        <h2 tabindex="-1">${verdict(attempt)}</h2>
        ${attempt.status === 'graded'
          ? html`<p>
              ${attempt.correct_count} of ${attempt.total_questions} right${attempt.expired
                ? '; the time was up'
                : ''}.
              ${attempt.passed ? '' : `You need ${attempt.pass_percent} %.`}
            </p>`
          : html`<p>Somebody will read your answers and give points.</p>`}
        ${attempt.feedback ? html`<p>${attempt.feedback}</p>` : nothing}
        ${results ? nothing : html`<p class="facts">The right answers are not shown yet.</p>`}
      </div>
      ${results
        ? html`<ol class="questions">
            ${attempt.questions.map((question) => {
              const entry = results.find(({ question_id }) => question_id === question.id)
              return entry ? explained(question, attempt.answers[question.id]?.answer, entry) : nothing
            })}
          </ol>`
        : nothing}`
  }

  private show(attempt: Attempt): void {
    this.shown = this.shown?.id === attempt.id ? null : attempt
    this.app.update()
  }

  private readonly start = (): Promise<boolean> =>
    this.busy(async () => {
      this.take((await this.app.waymark.startAttempt(this.lesson.id)).attempt)
      this.app.tell()
    })

  private async busy(action: () => Promise<void>): Promise<boolean> {
    this.isBusy = true
    const went = await this.app.attempt(action)
    this.isBusy = false
    this.app.update()
    return went
  }

  // Answering

  private take(attempt: Attempt): void {
    this.open = attempt
    this.shown = null
    this.saved = ''
    this.answers.clear()
    this.dirty.clear()
    for (const [id, { answer, seq }] of Object.entries(attempt.answers)) {
      this.answers.set(id, answer)
      this.seq = Math.max(this.seq, seq)
    }
    clearInterval(this.ticking)
    this.endsAt = null
    if (attempt.expires_at) {
      // By the server's clock; this device's may be wrong.
      const left = Date.parse(attempt.expires_at) - Date.parse(attempt.server_time)
      this.endsAt = Date.now() + left
      this.ticking = setInterval(() => this.tick(), 500)
    }
  }

  private tick(): void {
    if (this.endsAt !== null && Date.now() >= this.endsAt && !this.isBusy) {
      clearInterval(this.ticking)
      void this.submit()
    }
    this.app.update()
  }

  private finish(): void {
    this.open = null
    clearInterval(this.ticking)
    clearTimeout(this.saving)
  }

  private questions(attempt: Attempt): TemplateResult {
    const answered = attempt.questions.filter(({ id }) => this.answers.get(id) != null).length
    const notes = { saved: 'Saved', saving: 'Saving…', kept: 'Kept on this device', '': '' }
    return html`<form @submit=${this.handIn}>
      <div class="bar">
        <span>${answered} of ${attempt.questions.length} answered</span>
        <span role="status">${notes[this.saved]}</span>
        ${this.endsAt !== null
          ? html`<span class="timer" role="timer">${clock((this.endsAt - Date.now()) / 1000)}</span>`
          : nothing}
      </div>
      <ol class="questions">
        ${attempt.questions.map((question) => this.question(question))}
      </ol>
      <button class="button" ?disabled=${this.isBusy}>Hand in</button>
    </form>`
  }

  private question(question: Question): TemplateResult {
    return html`<li>
      <fieldset>
        <legend>${inline(question.text)}</legend>
        ${this.input(question)}
      </fieldset>
    </li>`
  }

  private input(question: Question): TemplateResult {
    const { id, kind } = question
    const answer = this.answers.get(id) ?? null
    const options = question.options ?? []
    const pick = (type: 'radio' | 'checkbox', value: string, text: TemplateResult | string, isOn: boolean, next: () => Answer) =>
      html`<label class="choice">
        <input type=${type} name=${id} value=${value} .checked=${isOn} @change=${() => this.set(id, next())} />
        <span>${text}</span>
      </label>`
    switch (kind) {
      case 'single_choice':
        return html`${options.map((option) =>
          pick('radio', option.id, inline(option.text), answer === option.id, () => option.id),
        )}`
      case 'true_false':
        return html`${[true, false].map((value) =>
          pick('radio', String(value), value ? 'True' : 'False', answer === value, () => value),
        )}`
      case 'multiple_choice': {
        const chosen = Array.isArray(answer) ? answer : []
        return html`${options.map((option) =>
          pick('checkbox', option.id, inline(option.text), chosen.includes(option.id), () =>
            chosen.includes(option.id)
              ? chosen.filter((other) => other !== option.id)
              : [...chosen, option.id],
          ),
        )}`
      }
      case 'ordering':
        return this.ordering(question, this.order(question))
      case 'matching':
        return this.matching(question, (answer ?? {}) as Record<string, string>)
      case 'free_text':
        return html`<textarea rows="6" aria-label="Your answer" .value=${(answer as string) ?? ''}
          @input=${(event: Event) => this.set(id, text(event))}></textarea>`
      case 'numeric':
      case 'short_text':
        return html`<input
          type="text"
          aria-label="Your answer"
          inputmode=${kind === 'numeric' ? 'decimal' : 'text'}
          .value=${String(answer ?? '')}
          @input=${(event: Event) =>
            this.set(id, kind === 'numeric' ? number(text(event)) : text(event))}
        />`
    }
  }

  private order(question: Question): Choice[] {
    const options = question.options ?? []
    const answer = this.answers.get(question.id)
    if (!Array.isArray(answer)) return options
    return answer.flatMap((id) => options.filter((option) => option.id === id))
  }

  private ordering(question: Question, order: Choice[]): TemplateResult {
    const move = (from: number, to: number) => {
      const ids = order.map((option) => option.id)
      ids.splice(to, 0, ...ids.splice(from, 1))
      this.set(question.id, ids)
    }
    return html`<ol class="order">
      ${order.map(
        (option, index) => html`<li>
          <span>${inline(option.text)}</span>
          <button type="button" class="plain" aria-label="Up: ${option.text}" ?disabled=${index === 0}
            @click=${() => move(index, index - 1)}>${icon('up')}</button>
          <button type="button" class="plain" aria-label="Down: ${option.text}" ?disabled=${index === order.length - 1}
            @click=${() => move(index, index + 1)}>${icon('down')}</button>
        </li>`,
      )}
    </ol>`
  }

  private matching(question: Question, answer: Record<string, string>): TemplateResult {
    const choose = (left: string, right: string) => {
      const { [left]: _, ...others } = answer
      this.set(question.id, right ? { ...others, [left]: right } : others)
    }
    return html`${(question.left ?? []).map(
      (left) => html`<label class="match">
        <span>${inline(left.text)}</span>
        <select @change=${(event: Event) => choose(left.id, (event.target as HTMLSelectElement).value)}>
          <option value="" ?selected=${!answer[left.id]}>Choose…</option>
          ${(question.right ?? []).map(
            (right) => html`<option value=${right.id} ?selected=${answer[left.id] === right.id}>${right.text}</option>`,
          )}
        </select>
      </label>`,
    )}`
  }

  private set(question: string, answer: Answer): void {
    this.answers.set(question, answer === '' ? null : answer)
    this.dirty.add(question)
    this.saved = 'saving'
    clearTimeout(this.saving)
    this.saving = setTimeout(() => void this.save(), PAUSE)
    this.app.update()
  }

  private changes(): SavedAnswer[] {
    const changes = [...this.dirty].map((id) => ({
      question_id: id,
      answer: this.answers.get(id) ?? null,
      seq: ++this.seq,
    }))
    this.dirty.clear()
    return changes
  }

  private async save(): Promise<void> {
    clearTimeout(this.saving)
    const { open } = this
    const answers = this.changes()
    if (!open || !answers.length) return
    try {
      this.saved = isQueued(await this.app.waymark.saveAnswers(open.id, answers)) ? 'kept' : 'saved'
    } catch (error) {
      this.saved = ''
      this.app.say(error instanceof Error ? error.message : String(error), 'error')
      await this.load().catch(() => {})
    }
    this.app.update()
  }

  private readonly handIn = (event: Event): void => {
    event.preventDefault()
    void this.submit()
  }

  private submit(): Promise<boolean> {
    return this.busy(async () => {
      const attempt = this.open!
      // An order is an answer as it stands, moved or not.
      for (const question of attempt.questions) {
        if (question.kind === 'ordering') {
          this.answers.set(question.id, this.order(question).map((option) => option.id))
          this.dirty.add(question.id)
        }
      }
      clearTimeout(this.saving)
      const outcome = await this.app.waymark.submitAttempt(attempt.id, this.changes()).catch(async (error) => {
        // Its time was up: it is graded on what was saved, and the list says how.
        await this.load()
        throw error
      })
      this.finish()
      this.shown = outcome.attempt
      await this.load()
      this.onOutcome(outcome)
      // The result stands above the questions, and whoever handed in is below them.
      document.querySelector<HTMLElement>('.result h2')?.focus()
    })
  }
}

function text(event: Event): string {
  return (event.target as HTMLInputElement | HTMLTextAreaElement).value
}

/** A number as people write it; what is none is sent as it is, for the server to say so. */
function number(value: string): Answer {
  const found = value.trim().replace(',', '.')
  return found === '' || Number.isNaN(Number(found)) ? null : Number(found)
}

function verdict(attempt: Attempt): string {
  if (attempt.status === 'in_progress') return 'under way'
  if (attempt.status === 'submitted') return 'Handed in'
  return `${attempt.passed ? 'Passed' : 'Not passed'} with ${attempt.percent} %`
}

function explained(question: Question, answer: Answer | undefined, result: QuestionResult): TemplateResult {
  return html`<li class=${result.correct ? 'right' : 'wrong'}>
    <p class="asked">${inline(question.text)}</p>
    <p>
      ${icon(result.correct ? 'tick' : 'close')}
      <span class="hidden">${result.correct ? 'Right' : 'Not right'}:</span>
      ${answer == null ? html`<i>no answer</i>` : inline(told(question, answer))}
      <small>${result.points ?? '–'} of ${result.max_points}</small>
    </p>
    ${result.correct || result.key == null ? nothing : html`<p class="key">Right: ${inline(told(question, rightAnswer(result.key)))}</p>`}
    ${result.explanation ? markdown(result.explanation) : nothing}
  </li>`
}

/** A key holds what is right under a name that depends on the kind of question. */
function rightAnswer(key: unknown): unknown {
  const { correct, answer, accepted } = key as Record<string, unknown>
  return correct ?? answer ?? accepted
}

/** An answer or a key in words. */
function told(question: Question, value: unknown): string {
  const named = [...(question.options ?? []), ...(question.left ?? []), ...(question.right ?? [])]
  const say = (part: unknown): string => {
    if (typeof part === 'boolean') return part ? 'True' : 'False'
    if (Array.isArray(part)) return part.map(say).join(question.kind === 'ordering' ? ' → ' : ', ')
    if (part && typeof part === 'object') {
      const entries = Object.entries(part)
      return entries.map(([left, right]) => `${say(left)}: ${say(right)}`).join('; ')
    }
    return named.find(({ id }) => id === part)?.text ?? String(part)
  }
  return say(value)
}
