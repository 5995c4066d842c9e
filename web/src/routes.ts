/** Which address shows which view. Addresses are in the hash: any static host can serve the player. */
import type { App, View } from './app'
import { Catalogue } from './views/catalogue'
import { Certificates, Verification } from './views/certificates'
import { Course } from './views/course'
import { Dashboard } from './views/dashboard'
import { Lesson } from './views/lesson'
import { Notifications } from './views/notifications'
import { Report } from './views/report'
import { Search } from './views/search'
import { SignIn } from './views/sign_in'

type Make = (app: App, ...parts: string[]) => View

const ROUTES: [RegExp, Make][] = [
  [/^$/, (app) => new Catalogue(app)],
  [/^course\/(\d+)$/, (app, id) => new Course(app, Number(id))],
  [/^course\/(\d+)\/lesson\/([\w-]+)$/, (app, id, lesson) => new Lesson(app, Number(id), lesson!)],
  [/^course\/(\d+)\/report$/, (app, id) => new Report(app, Number(id))],
  [/^dashboard$/, (app) => new Dashboard(app)],
  [/^search(?:\/(.*))?$/, (app, query) => new Search(app, decodeURIComponent(query ?? ''))],
  [/^sign-in(?:\/(.*))?$/, (app, back) => new SignIn(app, decodeURIComponent(back ?? ''))],
  [/^certificates$/, (app) => new Certificates(app)],
  [/^verify(?:\/(.*))?$/, (app, code) => new Verification(app, decodeURIComponent(code ?? ''))],
  [/^notifications$/, (app) => new Notifications(app)],
]

export function viewFor(app: App, hash: string): View {
  const path = hash.replace(/^#\/?/, '')
  for (const [pattern, make] of ROUTES) {
    const found = pattern.exec(path)
    if (found) return make(app, ...found.slice(1))
  }
  return new Catalogue(app)
}
