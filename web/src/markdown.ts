/** Markdown as authors and learners write it, made safe to show. */
import DOMPurify from 'dompurify'
import { html, type TemplateResult } from 'lit-html'
import { unsafeHTML } from 'lit-html/directives/unsafe-html.js'
import { marked } from 'marked'

DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  // A picture without words is taken for decoration.
  if (node.tagName === 'IMG' && !node.hasAttribute('alt')) node.setAttribute('alt', '')
  if (node.tagName !== 'A') return
  node.setAttribute('target', '_blank')
  node.setAttribute('rel', 'noopener noreferrer')
})

const RULES = {
  USE_PROFILES: { html: true },
  FORBID_TAGS: ['form', 'input', 'button', 'style'],
  FORBID_ATTR: ['style', 'id', 'class', 'name'],
}

export function markdown(text: string): TemplateResult {
  const made = marked.parse(text, { async: false, gfm: true })
  return html`<div class="prose">${unsafeHTML(DOMPurify.sanitize(made, RULES))}</div>`
}

/** Markdown of one line, as in a question. */
export function inline(text: string): TemplateResult {
  const made = marked.parseInline(text, { async: false })
  return html`${unsafeHTML(DOMPurify.sanitize(made, RULES))}`
}

/** HTML of the search, in which nothing but `<mark>` is markup. */
export function marks(text: string): TemplateResult {
  return html`${unsafeHTML(DOMPurify.sanitize(text, { ALLOWED_TAGS: ['mark'], ALLOWED_ATTR: [] }))}`
}
