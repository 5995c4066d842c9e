/** Sign in, or sign up, with e-mail and password. */
import { html, nothing, type TemplateResult } from 'lit-html'
import type { App, View } from '../app'

export class SignIn implements View {
  title = 'Sign in'
  private isNew = false
  private isBusy = false
  private problem = ''

  constructor(
    private readonly app: App,
    private readonly back: string,
  ) {}

  render(): TemplateResult {
    const { isNew } = this
    return html`<section class="narrow">
      <h1 tabindex="-1">${isNew ? 'Make an account' : 'Sign in'}</h1>
      <p>Sign in to track your progress: every lesson, on every device.</p>
      <form @submit=${this.submit}>
        ${isNew
          ? html`<label>Your name, as on a certificate
              <input name="name" autocomplete="name" required maxlength="200" /></label>`
          : nothing}
        <label>E-mail<input name="email" type="email" autocomplete="username" required /></label>
        <label>Password
          <input
            name="password"
            type="password"
            required
            minlength=${isNew ? 8 : 1}
            autocomplete=${isNew ? 'new-password' : 'current-password'}
          /></label>
        <p class="problem" role="alert">${this.problem}</p>
        <button class="button" ?disabled=${this.isBusy}>${isNew ? 'Sign up' : 'Sign in'}</button>
      </form>
      <p>
        ${isNew ? 'You have an account?' : 'New here?'}
        <button class="quiet" @click=${this.turn}>${isNew ? 'Sign in' : 'Sign up'}</button>
      </p>
    </section>`
  }

  private readonly turn = (): void => {
    this.isNew = !this.isNew
    this.problem = ''
    this.app.update()
  }

  private readonly submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const form = new FormData(event.target as HTMLFormElement)
    const email = String(form.get('email'))
    const password = String(form.get('password'))
    const { auth } = this.app.supabase
    this.isBusy = true
    this.problem = ''
    this.app.update()
    const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone
    const { data, error } = this.isNew
      ? await auth.signUp({
          email,
          password,
          options: { data: { display_name: String(form.get('name')), timezone } },
        })
      : await auth.signInWithPassword({ email, password })
    this.isBusy = false
    if (error) this.problem = error.message
    else if (!data.session) this.problem = 'Look into your mail: there is a link that confirms your address.'
    else this.app.go(`#/${this.back}`)
    this.app.update()
  }
}
