/** The player's frame: who is signed in, which view is shown, messages, and the state of the network. */
import type { SupabaseClient, User as SupabaseUser } from '@supabase/supabase-js'
import { html, nothing, render, type TemplateResult } from 'lit-html'
import { Content } from './content'
import type { Database } from './generated/database'
import { Live } from './live'
import { viewFor } from './routes'
import { icon } from './ui'
import { isOffline, Waymark, WaymarkError, type Change, type News } from './waymark'

export interface Config {
  supabaseUrl: string
  functionsUrl: string
  publishableKey: string
  /** False where the project has no Realtime. */
  realtime?: boolean
  /** Beginnings of addresses of films, and where this site has them. */
  media?: Record<string, string>
}

/** One page of the player. `load` may be called again at any time: something changed elsewhere. */
export interface View {
  title: string
  load?(): Promise<void>
  render(): TemplateResult
  leave?(): void
}

const REFRESH_MILLISECONDS = 60

export interface User {
  id: string
  email: string
  name: string
  isAdmin: boolean
}

interface Toast {
  text: string
  kind: 'info' | 'error'
}

export class App {
  readonly waymark: Waymark
  readonly content: Content
  user: User | null = null
  private readonly live: Live
  private view: View | null = null
  private state: 'loading' | 'ready' | WaymarkError = 'loading'
  private toasts: Toast[] = []
  private unread = 0
  private waiting = 0
  private isMenuOpen = false
  private opened = 0
  private staff: Promise<Set<number>> | null = null
  private refreshing: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly root: HTMLElement,
    readonly config: Config,
    readonly supabase: SupabaseClient<Database>,
  ) {
    this.waymark = new Waymark({ supabase, ...config })
    this.content = new Content(supabase, this.waymark)
    this.live = new Live(
      supabase,
      config.realtime !== false,
      (news) => this.hear(news),
      () => (document.documentElement.dataset.live = String(this.live?.isConnected ?? false)),
    )
    this.waymark.on((change) => this.changed(change))
  }

  async start(): Promise<void> {
    const { data } = await this.supabase.auth.getSession()
    this.setUser(data.session?.user)
    this.supabase.auth.onAuthStateChange((_event, session) => {
      if ((session?.user.id ?? null) === (this.user?.id ?? null)) return
      this.setUser(session?.user)
      // Calling supabase-js from inside this callback waits for itself.
      setTimeout(() => void this.open(), 0)
    })
    addEventListener('hashchange', () => void this.open())
    for (const name of ['online', 'offline']) addEventListener(name, () => this.update())
    await this.open()
  }

  go(hash: string): void {
    if (location.hash === hash) void this.open()
    else location.hash = hash
  }

  update(): void {
    render(this.frame(), this.root)
  }

  say(text: string, kind: Toast['kind'] = 'info'): void {
    const toast = { text, kind }
    this.toasts = [...this.toasts.slice(-2), toast]
    this.update()
    setTimeout(() => this.dismiss(toast), kind === 'error' ? 9000 : 5000)
  }

  /** Do something, and say what went wrong. Returns whether it went well. */
  async attempt(action: () => Promise<unknown>): Promise<boolean> {
    try {
      await action()
      return true
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error), 'error')
      return false
    } finally {
      this.update()
    }
  }

  /** Tell the other windows of this browser that something has changed here. */
  tell(): void {
    this.live.tell()
  }

  /** Show what has changed elsewhere at once, and read what follows from it a moment later. */
  private hear(news: News | null): void {
    if (news && !this.waymark.hear(news)) return
    if (news && this.state === 'ready') this.update()
    // One change is told in several rows.
    clearTimeout(this.refreshing)
    this.refreshing = setTimeout(() => this.refresh(), REFRESH_MILLISECONDS)
  }

  /** Read again what is shown, because it may have changed elsewhere. */
  refresh(): void {
    if (this.state !== 'ready') return
    const view = this.view
    void Promise.all([view?.load?.(), this.countUnread()])
      .catch(() => {})
      .finally(() => this.update())
  }

  async countUnread(): Promise<void> {
    if (!this.user) return
    const answer = await this.waymark.rpc<{ unread: number }>('get_notifications', { p_limit: 1 })
    this.unread = answer.unread
    this.update()
  }

  /** Whether the user may see how a course's learners are doing. */
  async isStaff(course: number): Promise<boolean> {
    if (!this.user || this.user.isAdmin) return !!this.user
    // Once for a sign-in: most users have no appointment at all.
    this.staff ??= (async () => {
      const { data, error } = await this.supabase.from('course_staff').select('course_id')
      if (error) this.staff = null
      return new Set(data?.map((row) => row.course_id))
    })()
    return (await this.staff).has(course)
  }

  private setUser(user: SupabaseUser | undefined): void {
    const email = user?.email ?? ''
    const name = user?.user_metadata.display_name
    this.user = user
      ? {
          id: user.id,
          email,
          name: typeof name === 'string' && name ? name : email.split('@')[0]!,
          isAdmin: user.app_metadata.waymark_role === 'admin',
        }
      : null
    this.staff = null
    this.unread = 0
    this.content.forget()
    this.waymark.signedIn(this.user?.id ?? null)
    this.live.follow(this.user?.id ?? null)
  }

  private async open(): Promise<void> {
    const opening = ++this.opened
    const isFirst = this.view === null
    this.view?.leave?.()
    const view = viewFor(this, location.hash)
    this.view = view
    this.state = 'loading'
    this.isMenuOpen = false
    this.update()
    try {
      await view.load?.()
      if (opening === this.opened) this.state = 'ready'
    } catch (error) {
      if (opening !== this.opened) return
      this.state =
        error instanceof WaymarkError ? error : new WaymarkError('failed', String(error))
    }
    if (opening !== this.opened) return
    document.title = `${view.title} · Waymark`
    this.update()
    if (!isFirst) {
      // As a page load would: start at the top, and let screen readers say where one is.
      scrollTo(0, 0)
      this.root.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
    }
    this.countUnread().catch(() => {})
  }

  private changed(change: Change): void {
    if (change.kind === 'outbox') this.waiting = change.waiting
    if (change.kind === 'progress' && change.outcome.changed) this.tell()
    if (change.kind === 'sent') {
      this.tell()
      this.say('You are back online: everything was sent.')
      this.refresh()
    }
    if (change.kind === 'refused') this.say(`Not accepted: ${change.error.message}`, 'error')
    this.update()
  }

  private dismiss(toast: Toast): void {
    this.toasts = this.toasts.filter((other) => other !== toast)
    this.update()
  }

  // What is shown

  private frame(): TemplateResult {
    return html`
      <a class="skip" href="#main" @click=${this.skip}>Skip to content</a>
      ${this.header()} ${this.network()}
      <main id="main" tabindex="-1">${this.body()}</main>
      <div class="toasts" role="status" aria-live="polite">
        ${this.toasts.map(
          (toast) => html`<div class="toast ${toast.kind}">
            <span>${toast.text}</span>
            <button class="plain" aria-label="Dismiss" @click=${() => this.dismiss(toast)}>
              ${icon('close')}
            </button>
          </div>`,
        )}
      </div>
    `
  }

  private readonly skip = (event: Event): void => {
    event.preventDefault()
    document.getElementById('main')!.focus()
  }

  private header(): TemplateResult {
    const place = location.hash
    const entry = (href: string, text: string) =>
      html`<a href=${href} aria-current=${place === href ? 'page' : nothing}>${text}</a>`
    return html`<header class="top">
      <a class="brand" href="#/"><img src="mark.svg" alt="" width="28" height="28" />Waymark</a>
      <button
        class="plain menu"
        aria-expanded=${this.isMenuOpen}
        aria-controls="nav"
        @click=${() => {
          this.isMenuOpen = !this.isMenuOpen
          this.update()
        }}
      >
        ${icon(this.isMenuOpen ? 'close' : 'list')}<span class="hidden">Menu</span>
      </button>
      <nav id="nav" aria-label="Main" class=${this.isMenuOpen ? 'open' : ''}>
        ${entry('#/', 'Courses')}
        ${this.user
          ? html`${entry('#/dashboard', 'My learning')} ${entry('#/certificates', 'Certificates')}`
          : nothing}
        ${entry('#/search', 'Search')}
        <span class="gap"></span>
        ${this.user
          ? html`<a href="#/notifications" class="bell" aria-current=${place === '#/notifications' ? 'page' : nothing}>
                ${icon('bell')}<span>Messages</span>
                ${this.unread
                  ? html`<b class="count" aria-label="${this.unread} unread">${this.unread}</b>`
                  : nothing}
              </a>
              <span class="who" title=${this.user.email}>${this.user.name}</span>
              <button class="quiet" @click=${this.signOut}>Sign out</button>`
          : html`<a class="button" href="#/sign-in">Sign in</a>`}
      </nav>
    </header>`
  }

  private readonly signOut = async (): Promise<void> => {
    await this.attempt(async () => {
      // Only here: other devices stay signed in.
      await this.supabase.auth.signOut({ scope: 'local' })
    })
    this.go('#/')
  }

  private network(): TemplateResult | typeof nothing {
    const { waiting } = this
    if (navigator.onLine && !waiting) return nothing
    const what = waiting
      ? `${waiting} ${waiting === 1 ? 'thing is' : 'things are'} kept on this device and will be sent when you are back.`
      : 'Go on learning: what you do is kept on this device and sent later.'
    return html`<p class="network" role="status">
      ${icon('cloud')}<span><b>${navigator.onLine ? 'Not sent yet.' : 'You are offline.'}</b> ${what}</span>
    </p>`
  }

  private body(): TemplateResult {
    if (this.state === 'loading') {
      return html`<div class="loading" role="status"><span class="hidden">Loading</span></div>`
    }
    if (this.state === 'ready') return this.view!.render()
    const error = this.state
    return html`<section class="empty">
      <h1 tabindex="-1">${isOffline(error) ? 'There is no connection' : 'That did not work'}</h1>
      <p>${error.message}</p>
      <p>
        <button class="button" @click=${() => void this.open()}>Try again</button>
        <a class="quiet" href="#/">All courses</a>
      </p>
    </section>`
  }
}
