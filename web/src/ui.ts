/** Small pieces that several views show: icons, progress, lengths of time, locks. */
import { html, svg, nothing, type TemplateResult } from 'lit-html'
import type { Resource } from './types'
import type { Lock, Status } from './waymark'

const PATHS = {
  tick: 'M5 12.5l4.5 4.5L19 7.5',
  lock: 'M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z',
  video: 'M8 5.5v13l11-6.5z',
  article: 'M6 4h9l4 4v12H6zM9 12h7M9 16h7',
  quiz: 'M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.5',
  assignment: 'M5 19l1-4L16 5l3 3L9 18zM14 7l3 3',
  live: 'M12 11.5a1 1 0 1 0 0 .1M8.5 15a5 5 0 0 1 0-7M15.5 8a5 5 0 0 1 0 7M6 18a9 9 0 0 1 0-13M18 5a9 9 0 0 1 0 13',
  download: 'M12 4v11M7 10.5l5 5 5-5M5 20h14',
  embed: 'M4 6h16v12H4zM4 10h16',
  bookmark: 'M7 4h10v16l-5-4-5 4z',
  bell: 'M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 20.5h4',
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  up: 'M6 14l6-6 6 6',
  down: 'M6 10l6 6 6-6',
  close: 'M6 6l12 12M18 6L6 18',
  list: 'M5 7h14M5 12h14M5 17h14',
  star: 'M12 4l2.5 5.2 5.7.8-4.1 4 1 5.7-5.1-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8z',
  flame: 'M12 3c1 4 5 5.5 5 10.5a5 5 0 0 1-10 0c0-2 1-3 2-4.5.500 1.5 1 2 2 2.5C11 8.5 10.5 6 12 3z',
  award: 'M12 14a5 5 0 1 0 0-10 5 5 0 0 0 0 10zM9 13.5L8 21l4-2.5L16 21l-1-7.5',
  chart: 'M5 20V10M12 20V4M19 20v-7',
  file: 'M7 3h7l4 4v14H7zM14 3v4h4',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
  cloud: 'M7 18a4 4 0 0 1-.5-8 6 6 0 0 1 11.5 1.5A3.3 3.3 0 0 1 17.5 18zM5 5l14 15',
}
export type IconName = keyof typeof PATHS

export function icon(name: IconName, filled = false): TemplateResult {
  return html`<svg class="icon ${filled ? 'filled' : ''}" viewBox="0 0 24 24" aria-hidden="true">
    ${svg`<path d=${PATHS[name]}></path>`}
  </svg>`
}

export function lessonIcon(type: string): TemplateResult {
  return icon(type in PATHS ? (type as IconName) : 'article')
}

/** The mark of a lesson on its trail. */
export function waypoint(status: Status, isLocked: boolean, isPending = false): TemplateResult {
  const state = isLocked ? 'locked' : status
  return html`<span class="waypoint ${state} ${isPending ? 'pending' : ''}">
    ${state === 'completed' ? icon('tick') : state === 'locked' ? icon('lock') : nothing}
  </span>`
}

/** A preview is a place to look from; it takes no progress. */
export function viewpoint(): TemplateResult {
  return html`<span class="waypoint viewpoint"></span>`
}

export function statusWords(status: Status, isLocked: boolean): string {
  return isLocked ? 'locked' : status.replace('_', ' ')
}

/** Why a lesson is closed, in words. */
export function lockReason(lock: Lock | null | undefined): string | null {
  if (!lock) return null
  const first = lock.lesson ?? lock.module ?? lock.course
  const parts = [
    first && (lock.reason !== 'drip' || !lock.available_at) ? `First: ${first.title}` : '',
    lock.available_at ? `Opens on ${day(lock.available_at)}` : '',
  ]
  return parts.filter(Boolean).join(' · ') || 'Not open yet'
}

export function bar(percent: number, label: string): TemplateResult {
  return html`<progress max="100" .value=${percent} aria-label=${label}></progress>`
}

/** A figure with what it counts. */
export function tile(value: unknown, label: string, more: unknown = ''): TemplateResult {
  return html`<li><b>${value ?? '–'}</b><span>${label}</span><small>${more}</small></li>`
}

/** Files and links of a course or lesson. */
export function fileList(files: Pick<Resource, 'title' | 'url' | 'kind'>[]): TemplateResult {
  return html`<ul class="files">
    ${files.map(
      (file) => html`<li>
        <a href=${file.url} target="_blank" rel="noopener noreferrer">
          ${icon(file.kind === 'file' ? 'file' : 'link')}${file.title}
        </a>
      </li>`,
    )}
  </ul>`
}

export function percentText(percent: number): string {
  return `${Math.floor(percent)} %`
}

export function minutes(seconds: number | null | undefined): string {
  if (!seconds) return ''
  const whole = Math.max(1, Math.round(seconds / 60))
  if (whole < 60) return `${whole} min`
  return `${Math.floor(whole / 60)} h${whole % 60 ? ` ${whole % 60} min` : ''}`
}

export function clock(seconds: number): string {
  const rest = Math.max(0, Math.ceil(seconds))
  return `${Math.floor(rest / 60)}:${String(rest % 60).padStart(2, '0')}`
}

export function day(time: string): string {
  return new Date(time).toLocaleDateString(undefined, { dateStyle: 'long' })
}

/** A picture for a course without one: a hill in contour lines, the same for the same course. */
export function contours(seed: number): TemplateResult {
  const hue = [152, 28, 205, 340, 95, 258][seed % 6]!
  const rings = Array.from({ length: 9 }, (_, ring) => {
    const points = Array.from({ length: 61 }, (_, step) => {
      const angle = (step / 60) * 2 * Math.PI
      const radius =
        (ring + 1) *
        15 *
        (1 + 0.17 * Math.sin(3 * angle + seed + ring / 4) + 0.09 * Math.cos(5 * angle + seed * 2))
      return `${(210 + radius * 1.7 * Math.cos(angle)).toFixed(1)},${(95 + radius * 0.85 * Math.sin(angle)).toFixed(1)}`
    })
    return svg`<polyline points=${points.join(' ')} stroke-width=${ring % 3 ? 1 : 2}></polyline>`
  })
  return html`<svg class="contours" viewBox="0 0 400 200" preserveAspectRatio="xMidYMid slice" aria-hidden="true">
    <rect width="400" height="200" fill="hsl(${hue} 32% 30%)"></rect>
    <g fill="none" stroke="hsl(${hue} 38% 62%)">${rings}</g>
  </svg>`
}
