/**
 * Waymark in the browser: everything a course player asks of the backend, in one file that a site can
 * lift out as it is, with the generated types beside it. It needs nothing but a supabase-js client.
 *
 * Every command may be repeated, so this module repeats them: after `Retry-After`, and from an outbox
 * when there is no network. The database decides; what is shown before its answer is marked as pending
 * and taken back when it refuses.
 */
import type { SupabaseClient } from '@supabase/supabase-js'
import type { Database } from './generated/database'
import type { components, paths } from './generated/functions'

// What the backend answers -----------------------------------------------------------------------

/** What the functions take and answer, by its name in their description. */
export type Schemas = components['schemas']
export type Progress = Schemas['Progress']
export type Status = Progress['status']
export type Enrollment = Schemas['Enrollment']
/** Why a lesson is closed: something comes first, or its date has not come. */
export type Lock = Schemas['Lock']
export type LessonState = Schemas['CourseLesson']
export type CourseProgress = Schemas['CourseProgress']
export type NextLesson = Schemas['NextLesson']
export type Certificate = Schemas['Certificate']
export type Answer = Schemas['SavedAnswer']['answer']
export type Choice = Schemas['Choice']
export type Question = Schemas['Question']
export type QuestionResult = Schemas['QuestionResult']
export type Attempt = Schemas['Attempt']

/** The answer to a command on a lesson. */
export type Outcome = Schemas['Started'] & Partial<Schemas['Viewed']>

/** The command waits on this device until there is a network. */
export interface Queued {
  queued: true
}

export interface OfflineEvent {
  id: string
  at: string
  kind: 'start' | 'view' | 'position' | 'complete' | 'note' | 'attempt_save' | 'attempt_submit'
  lesson_id?: string
  [more: string]: unknown
}

/** A refusal: `code` is the contract (docs/reference/errors.md), `message` is for people. */
export class WaymarkError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status = 0,
    readonly details: unknown = null,
    readonly retryAfter: number | null = null,
  ) {
    super(message)
  }
}

/** What is broadcast on the learner's own channel, `waymark:<user id>`, by its event. */
export type News =
  | { event: 'progress'; payload: ProgressNews }
  | { event: 'notification'; payload: { id: string; kind: string; read_at: string | null } }
  | { event: 'certificate'; payload: { id: string; course_id: number | null; code: string } }

export interface ProgressNews {
  progress: Pick<Progress, 'lesson_id' | 'course_id' | 'status' | 'progress' | 'completed_at'> | null
  enrollment: Enrollment
}

export type Change =
  | { kind: 'progress'; outcome: Outcome }
  | { kind: 'outbox'; waiting: number }
  | { kind: 'sent' }
  | { kind: 'refused'; event: OfflineEvent; error: WaymarkError }

export interface Options {
  supabase: SupabaseClient
  /** Where the functions live, without a slash at the end. */
  functionsUrl: string
  /** Sent as `apikey`, for gateways that want one. */
  publishableKey: string
  /** Keeps the outbox; localStorage unless told otherwise. */
  storage?: Storage
}

// What may be asked ------------------------------------------------------------------------------

type Functions = Database['public']['Functions']
/** An RPC by its name, and what it takes. */
export type Rpc = {
  [Name in keyof Functions]: Record<never, never> extends Functions[Name]['Args']
    ? [name: Name, parameters?: Functions[Name]['Args']]
    : [name: Name, parameters: Functions[Name]['Args']]
}[keyof Functions]

type Filled<Path extends string> = Path extends `${infer Before}{${string}}${infer After}`
  ? `${Before}${string}${Filled<After>}`
  : Path
/** A route of the functions, its parameters filled in. */
export type Route = keyof paths extends infer Path ? (Path extends `/${infer Rest}` ? Filled<Rest> : never) : never
export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH'

// The client -------------------------------------------------------------------------------------

const LONGEST_WAIT = 15
const BATCH = 500

export class Waymark {
  readonly outbox: Outbox
  private readonly courses = new Map<number, CourseView>()
  private readonly listeners = new Set<(change: Change) => void>()
  private readonly underWay = new Map<string, Promise<Outcome | Queued>>()
  private user: string | null | undefined

  constructor(private readonly options: Options) {
    this.outbox = new Outbox(this, options.storage ?? localStorage)
  }

  /** Be told of every change; returns how to stop. */
  on(listener: (change: Change) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  tell(change: Change): void {
    if (change.kind === 'progress') this.courses.get(change.outcome.progress.course_id)?.apply(change.outcome)
    for (const listener of this.listeners) listener(change)
  }

  /** Take in what happened elsewhere. Returns whether it may show: false for an echo of what was done here. */
  hear({ event, payload }: News): boolean {
    if (event !== 'progress') return true
    return this.courses.get(payload.enrollment.course_id)?.hear(payload) ?? true
  }

  /** Say who is signed in, as often as you like: the outbox and what is shown belong to one learner. */
  signedIn(userId: string | null): void {
    // supabase-js tells the same user again with each token, and the first time a moment late: what was
    // read until then is that user's.
    if (this.user !== undefined && this.user !== userId) {
      this.courses.clear()
      this.underWay.clear()
    }
    this.user = userId
    this.outbox.open(userId)
  }

  /** The course as its learner sees it, kept current by every answer. */
  course(id: number): CourseView {
    let view = this.courses.get(id)
    if (!view) this.courses.set(id, (view = new CourseView(this, id)))
    return view
  }

  // Commands

  enroll(course: number): Promise<Schemas['Enrolled']> {
    return this.call('POST', `progress/courses/${course}/enroll`)
  }

  start(lesson: string): Promise<Outcome | Queued> {
    return this.command(lesson, 'start', `progress/lessons/${lesson}/start`)
  }

  /** Mark complete. Asked twice while the first is under way (a double click), it is asked once. */
  complete(lesson: string): Promise<Outcome | Queued> {
    return this.command(lesson, 'complete', `progress/lessons/${lesson}/complete`)
  }

  uncomplete(lesson: string): Promise<Outcome> {
    return this.report(this.call('POST', `progress/lessons/${lesson}/uncomplete`))
  }

  /** Send a heartbeat; where it cannot be sent now, the next one tells the same and more. */
  view(lesson: string, body: ViewBody, keepalive = false): Promise<Outcome | Queued> {
    return this.orLater(
      () => this.report(this.call('POST', `progress/lessons/${lesson}/view`, body, { keepalive })),
      { kind: 'view', lesson_id: lesson, ...body },
    )
  }

  startAttempt(lesson: string): Promise<Schemas['AttemptStarted']> {
    return this.call('POST', `assessments/lessons/${lesson}/attempts`)
  }

  attempts(lesson: string): Promise<Schemas['Attempts']> {
    return this.call('GET', `assessments/lessons/${lesson}/attempts`)
  }

  saveAnswers(attempt: string, answers: SavedAnswer[]): Promise<Schemas['Saved'] | Queued> {
    return this.orLater(
      () => this.call<Schemas['Saved']>('PATCH', `assessments/attempts/${attempt}`, { answers }),
      { kind: 'attempt_save', attempt_id: attempt, answers },
    )
  }

  submitAttempt(attempt: string, answers: SavedAnswer[]): Promise<Schemas['Submitted']> {
    const body = { answers, client_key: attempt }
    return this.report(this.call('POST', `assessments/attempts/${attempt}/submit`, body))
  }

  // Reads

  courseProgress(course: number): Promise<CourseProgress | null> {
    return this.call('GET', `progress/courses/${course}`)
  }

  next(course: number): Promise<NextLesson | null> {
    return this.call('GET', `progress/courses/${course}/next`)
  }

  verify(code: string): Promise<Schemas['Verified']> {
    return this.call('GET', `certificates/verify/${encodeURIComponent(code)}`)
  }

  certificates(): Promise<Schemas['Certificates']> {
    return this.call('GET', 'certificates')
  }

  certificatePdf(id: string): Promise<Schemas['CertificateFile']> {
    return this.call('GET', `certificates/${id}/pdf`)
  }

  /** Call an RPC of the Data API. */
  async rpc<T>(...[name, parameters]: Rpc): Promise<T> {
    if (!navigator.onLine) throw offline()
    const { data, error, status } = await this.options.supabase.rpc(name, parameters)
    if (error) throw asError(status, error)
    return data as T
  }

  /** Call a route of the functions, again after `Retry-After` where it says so. */
  async call<T>(
    method: Method,
    path: Route,
    body?: unknown,
    { tries = 3, keepalive = false } = {},
  ): Promise<T> {
    // Not only to save the time: without a network a session that has run out cannot be refreshed.
    if (!navigator.onLine) throw offline()
    const { supabase, functionsUrl, publishableKey } = this.options
    const { data } = await supabase.auth.getSession()
    const headers: Record<string, string> = { apikey: publishableKey }
    if (data.session) headers.Authorization = `Bearer ${data.session.access_token}`
    if (body !== undefined) headers['Content-Type'] = 'application/json'
    for (let round = 1; ; round++) {
      let answer: Response
      try {
        const sent = body === undefined ? {} : { body: JSON.stringify(body) }
        answer = await fetch(`${functionsUrl}/${path}`, { method, headers, keepalive, ...sent })
      } catch {
        throw offline()
      }
      if (answer.ok) return (await answer.json()) as T
      const retryAfter = Number(answer.headers.get('Retry-After')) || null
      const error = asError(answer.status, await answer.json().catch(() => ({})), retryAfter)
      const passing = answer.status === 429 || answer.status === 503
      const wait = retryAfter ?? round
      if (!passing || round >= tries || wait > LONGEST_WAIT) throw error
      await new Promise((resolve) => setTimeout(resolve, wait * 1000))
    }
  }

  private command(lesson: string, kind: 'start' | 'complete', path: Route): Promise<Outcome | Queued> {
    const key = `${kind} ${lesson}`
    const known = this.underWay.get(key)
    if (known) return known
    const promise = this.orLater(() => this.report(this.call<Outcome>('POST', path)), {
      kind,
      lesson_id: lesson,
    }).finally(() => this.underWay.delete(key))
    this.underWay.set(key, promise)
    return promise
  }

  private async orLater<T>(
    call: () => Promise<T>,
    event: Omit<OfflineEvent, 'id' | 'at'>,
  ): Promise<T | Queued> {
    // What is done now must not overtake what waits already.
    if (!this.outbox.waiting) {
      try {
        return await call()
      } catch (error) {
        if (!isOffline(error)) throw error
      }
    }
    this.outbox.add(event as OfflineEvent)
    return { queued: true }
  }

  private async report<T extends Outcome>(call: Promise<T>): Promise<T> {
    const outcome = await call
    this.tell({ kind: 'progress', outcome })
    return outcome
  }
}

export interface SavedAnswer {
  question_id: string
  answer: Answer
  seq: number
}

function offline(): WaymarkError {
  return new WaymarkError('offline', 'There is no connection right now')
}

export function isOffline(error: unknown): boolean {
  return error instanceof WaymarkError && error.code === 'offline'
}

export function isQueued(outcome: unknown): outcome is Queued {
  return typeof outcome === 'object' && outcome !== null && 'queued' in outcome
}

function asError(status: number, body: unknown, retryAfter: number | null = null): WaymarkError {
  const { code, message, details } = body as { code?: string; message?: string; details?: unknown }
  if (!status || (!code && message?.includes('fetch'))) {
    return offline()
  }
  return new WaymarkError(
    code ?? String(status),
    message ?? `The server answered ${status}`,
    status,
    parsed(details),
    retryAfter,
  )
}

function parsed(details: unknown): unknown {
  if (typeof details !== 'string') return details ?? null
  try {
    return JSON.parse(details)
  } catch {
    return details
  }
}

// One course ---------------------------------------------------------------------------------------

/** A course's progress: what the server said last, with what this device is about to say laid over. */
export class CourseView {
  progress: CourseProgress | null = null
  private answers = 0
  private readonly pending = new Set<string>()

  constructor(
    private readonly waymark: Waymark,
    readonly id: number,
  ) {}

  /** Read it afresh; without a network what is known stays. Null progress: not enrolled. */
  async load(): Promise<void> {
    try {
      let progress, answers
      // What was read while a command was being answered may be older than its answer.
      do {
        answers = this.answers
        progress = await this.waymark.courseProgress(this.id)
      } while (answers !== this.answers)
      this.progress = progress
    } catch (error) {
      if (!isOffline(error) || !this.progress) throw error
    }
  }

  lesson(id: string): LessonState | undefined {
    return this.progress?.lessons.find((lesson) => lesson.lesson_id === id)
  }

  /** The status to show: a tick comes with the click, before its answer. */
  status(id: string): Status {
    return this.isPending(id) ? 'completed' : (this.lesson(id)?.status ?? 'not_started')
  }

  isPending(id: string): boolean {
    return this.pending.has(id) || this.waymark.outbox.completes(id)
  }

  get completed(): number {
    const more = this.progress?.lessons.filter(
      (lesson) =>
        lesson.is_countable && lesson.status !== 'completed' && this.isPending(lesson.lesson_id),
    )
    return (this.progress?.completed ?? 0) + (more?.length ?? 0)
  }

  /** Mark a lesson complete at once, and for good when the server agrees. Throws its refusal. */
  async complete(lesson: string): Promise<Outcome | Queued> {
    this.pending.add(lesson)
    try {
      return await this.waymark.complete(lesson)
    } finally {
      this.pending.delete(lesson)
    }
  }

  /** Take in what an answer says. */
  apply({ progress, enrollment }: Outcome): void {
    this.answers++
    const lesson = this.lesson(progress.lesson_id)
    if (!lesson) return
    this.put({ progress, enrollment })
    lesson.position_seconds = progress.position_seconds
  }

  /** Take in what was broadcast; false when it says nothing new, or its own answer is on the way. */
  hear(news: ProgressNews): boolean {
    if (!this.progress) return true
    const before = JSON.stringify(this.progress)
    if (!this.pending.size) this.put(news)
    if (JSON.stringify(this.progress) === before) return false
    // What is being read at this moment may be older.
    this.answers++
    return true
  }

  private put({ progress, enrollment }: ProgressNews): void {
    const lesson = progress && this.lesson(progress.lesson_id)
    if (lesson) {
      lesson.status = progress.status
      lesson.progress = progress.progress
    }
    if (!this.progress) return
    this.progress.completed = enrollment.completed_lessons
    this.progress.total = enrollment.total_lessons
    this.progress.percent = enrollment.progress_percent
    this.progress.completed_at = enrollment.completed_at
  }
}

// Offline ------------------------------------------------------------------------------------------

/** What could not be sent, kept on the device, and sent by `progress/batch` when that is possible. */
export class Outbox {
  private key: string | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private pause = 2

  constructor(
    private readonly waymark: Waymark,
    private readonly storage: Storage,
  ) {
    addEventListener('online', () => void this.flush())
    // Another window has added or sent something.
    addEventListener('storage', ({ key }) => {
      if (key && key === this.key) this.tell()
    })
  }

  open(userId: string | null): void {
    this.key = userId && `waymark.outbox.${userId}`
    this.tell()
    void this.flush()
  }

  get waiting(): number {
    return this.read().length
  }

  completes(lesson: string): boolean {
    return this.read().some((event) => event.kind === 'complete' && event.lesson_id === lesson)
  }

  add(event: Omit<OfflineEvent, 'id' | 'at'>): void {
    // Of one session the newest heartbeat tells all that the earlier ones did.
    const kept = this.read().filter(
      (other) => !(event.kind === 'view' && other.session_id === event.session_id),
    )
    this.write([
      ...kept,
      { id: crypto.randomUUID(), at: new Date().toISOString(), ...event } as OfflineEvent,
    ])
    this.again()
  }

  /** Send what waits; events are applied once whoever sends them, so two windows may both try. */
  async flush(): Promise<void> {
    clearTimeout(this.timer)
    const key = this.key
    const events = this.read().slice(0, BATCH)
    if (!events.length) return
    let answer: Schemas['Applied']
    try {
      answer = await this.waymark.call('POST', 'progress/batch', { events }, { tries: 1 })
    } catch {
      this.again()
      return
    }
    if (key !== this.key) return
    this.pause = 2
    const sent = new Set(answer.results.map((result) => result.id))
    this.write(this.read().filter((event) => !sent.has(event.id)))
    answer.results.forEach((result, index) => {
      if (result.status !== 'refused') return
      const error = new WaymarkError(result.code ?? 'refused', result.message ?? 'Refused', 422)
      this.waymark.tell({ kind: 'refused', event: events[index]!, error })
    })
    this.waymark.tell({ kind: 'sent' })
    if (this.waiting) void this.flush()
  }

  private again(): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.flush(), this.pause * 1000)
    this.pause = Math.min(this.pause * 2, 60)
  }

  private read(): OfflineEvent[] {
    if (!this.key) return []
    return JSON.parse(this.storage.getItem(this.key) ?? '[]') as OfflineEvent[]
  }

  private write(events: OfflineEvent[]): void {
    if (!this.key) return
    if (events.length) this.storage.setItem(this.key, JSON.stringify(events))
    else this.storage.removeItem(this.key)
    this.tell()
  }

  private tell(): void {
    this.waymark.tell({ kind: 'outbox', waiting: this.waiting })
  }
}

// Watching and reading -----------------------------------------------------------------------------

type ViewBody = components['schemas']['View']

const BEAT_SECONDS = 15

/** One opening of a lesson: counts what is played or read, and reports totals that may be lost. */
export class Heartbeat {
  private readonly session = crypto.randomUUID()
  private readonly timer: ReturnType<typeof setInterval>
  private readonly controller = new AbortController()
  private counted = 0
  private reported = -1
  private lastTick = performance.now()
  private ranges: [number, number][] = []
  private lastPosition: number | null = null
  private scrolled = 0

  /** Without a video, time counts while the page is to be seen. */
  constructor(
    private readonly waymark: Waymark,
    private readonly lesson: string,
    private readonly video: HTMLVideoElement | null = null,
    private readonly onOutcome: (outcome: Outcome) => void = () => {},
  ) {
    const { signal } = this.controller
    this.timer = setInterval(() => this.tick(), 1000)
    video?.addEventListener('timeupdate', () => this.follow(), { signal })
    video?.addEventListener('seeking', () => (this.lastPosition = null), { signal })
    for (const name of ['pause', 'ended'] as const) {
      video?.addEventListener(name, () => void this.send(), { signal })
    }
    addEventListener('pagehide', () => void this.send(true), { signal })
  }

  /** How far a page was scrolled, from 0 to 1. */
  scroll(share: number): void {
    this.scrolled = Math.max(this.scrolled, Math.min(1, share))
  }

  /** Send the last heartbeat and be done. */
  async stop(): Promise<void> {
    clearInterval(this.timer)
    this.controller.abort()
    await this.send()
  }

  private get isActive(): boolean {
    if (this.video) return !this.video.paused && !this.video.ended
    return document.visibilityState === 'visible'
  }

  private tick(): void {
    const now = performance.now()
    // A machine that slept has not watched.
    if (this.isActive) this.counted += Math.min(2, (now - this.lastTick) / 1000)
    this.lastTick = now
    if (this.counted - Math.max(0, this.reported) >= BEAT_SECONDS) void this.send()
  }

  private follow(): void {
    const { currentTime, playbackRate } = this.video!
    const before = this.lastPosition
    if (before !== null && currentTime > before && currentTime - before < 1 + 2 * playbackRate) {
      const last = this.ranges.at(-1)
      if (last && Math.abs(last[1] - before) < 0.01) last[1] = currentTime
      else this.ranges.push([before, currentTime])
    }
    this.lastPosition = currentTime
  }

  private async send(keepalive = false): Promise<void> {
    const seconds = Math.floor(this.counted)
    if (seconds === 0 && this.reported < 0 && !this.lastPosition) return
    this.reported = seconds
    const body: ViewBody = { session_id: this.session, seconds }
    if (this.video) {
      body.position_seconds = Math.floor(this.video.currentTime)
      body.watched = whole(this.ranges)
    } else if (this.scrolled) {
      body.progress = this.scrolled
    }
    try {
      const outcome = await this.waymark.view(this.lesson, body, keepalive)
      if (!isQueued(outcome)) this.onOutcome(outcome)
    } catch {
      // The next heartbeat tells the same and more; refusals (not enrolled) are for commands to show.
    }
  }
}

/** Ranges united, in whole seconds, the longest 200 of them. */
export function whole(ranges: [number, number][]): [number, number][] {
  const united: [number, number][] = []
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = united.at(-1)
    if (last && from <= last[1] + 0.5) last[1] = Math.max(last[1], to)
    else united.push([from, to])
  }
  return united
    .map(([from, to]): [number, number] => [Math.floor(from), Math.round(to)])
    .filter(([from, to]) => to > from)
    .sort((a, b) => b[1] - b[0] - (a[1] - a[0]))
    .slice(0, 200)
}
