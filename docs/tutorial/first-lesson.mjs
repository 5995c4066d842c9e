// A learner's first lessons, as a site would do it with supabase-js. Needs a running `bin/dev`.
//   node docs/tutorial/first-lesson.mjs
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createClient } from '@supabase/supabase-js'
import ws from 'ws' // Node before 22 has no WebSocket of its own; browsers do

const root = fileURLToPath(new URL('../..', import.meta.url))
const env = process.env.API_URL ? process.env : statusOf('bin/dev')
const supabase = createClient(env.API_URL, env.PUBLISHABLE_KEY, {
  realtime: { transport: ws },
})

// 1. Sign up. Locally that signs in at once; hosted projects may ask to confirm the address first.
const email = `learner-${crypto.randomUUID()}@example.com`
const password = crypto.randomUUID()
ok(await supabase.auth.signUp({ email, password }))

// 2. Find the demo course and enrol.
const course = ok(
  await supabase.from('courses').select('id, title').eq('slug', 'reading-maps').single(),
)
console.log(`enrolling in "${course.title}"`)
ok(await invoke(`progress/courses/${course.id}/enroll`))

// 3. Work: complete the first three lessons, each where "continue learning" points.
for (let i = 0; i < 3; i++) {
  const next = ok(await invoke(`progress/courses/${course.id}/next`, 'GET'))
  ok(await invoke(`progress/lessons/${next.lesson_id}/start`))
  const done = ok(await invoke(`progress/lessons/${next.lesson_id}/complete`))
  console.log(`lesson ${i + 1}: ${done.enrollment.progress_percent} %`)
}

// 4. Sign out and in again: everything is still there, and only the learner's own rows show.
await supabase.auth.signOut()
ok(await supabase.auth.signInWithPassword({ email, password }))
const rows = ok(await supabase.from('user_progress').select('lesson_id, status'))
const summary = ok(await invoke(`progress/courses/${course.id}/summary`, 'GET'))
console.log(`${rows.length} lessons touched, ${summary.completed} of ${summary.total} completed`)

function invoke(path, method = 'POST') {
  return supabase.functions.invoke(path, { method })
}

function ok({ data, error }) {
  if (error) throw error
  return data
}

function statusOf(command) {
  const text = execFileSync(command, ['status', '-o', 'env'], { cwd: root, encoding: 'utf8' })
  return Object.fromEntries(
    [...text.matchAll(/^(\w+)="?(.*?)"?$/gm)].map(([, name, value]) => [name, value]),
  )
}
