// A learner in a browser, with supabase-js as it comes: signs up, signs in, enrols, completes
// lessons, reads its own rows, signs out. Prints one JSON object of what it saw.
import { createClient } from '@supabase/supabase-js'
import ws from 'ws'

const { API_URL, FUNCTIONS_URL, PUBLISHABLE_KEY, ANON_KEY } = process.env
const { course, lessons, preview } = JSON.parse(process.argv[2])
const seen = {}

function client(key, options = {}) {
  return createClient(API_URL, key, { ...options, realtime: { transport: ws } })
}

// What invoke gives, with the refusal's body and headers in place of the error object.
async function invoke(supabase, path, options) {
  const { data, error } = await supabase.functions.invoke(path, options)
  if (!error) return { data }
  const { context } = error
  return {
    kind: error.name,
    status: context.status,
    body: await context.json(),
    requestId: context.headers.get('x-request-id'),
  }
}

for (const [name, key] of Object.entries({ publishable: PUBLISHABLE_KEY, anon: ANON_KEY })) {
  const visitor = client(key)
  seen[name] = {
    enroll: await invoke(visitor, `progress/courses/${course}/enroll`),
    rows: await visitor.from('user_progress').select('lesson_id'),
    outline: (await visitor.rpc('get_course_outline', { p_course_id: course })).error,
  }
}

const email = `learner-${crypto.randomUUID()}@example.com`
const password = crypto.randomUUID()
const supabase = client(PUBLISHABLE_KEY)
const signUp = await supabase.auth.signUp({ email, password })
if (signUp.error) throw signUp.error
await supabase.auth.signOut()
const signIn = await supabase.auth.signInWithPassword({ email, password })
if (signIn.error) throw signIn.error
seen.user = signIn.data.user.id

seen.before = await invoke(supabase, `progress/courses/${course}`, { method: 'GET' })
seen.notEnrolled = await invoke(supabase, `progress/lessons/${lessons[0]}/complete`)
seen.enrolled = await invoke(supabase, `progress/courses/${course}/enroll`)
seen.next = await invoke(supabase, `progress/courses/${course}/next`, { method: 'GET' })
seen.completed = []
for (const lesson of lessons.slice(0, 2)) {
  seen.completed.push(await invoke(supabase, `progress/lessons/${lesson}/complete`))
}
seen.again = await invoke(supabase, `progress/lessons/${lessons[0]}/complete`)
seen.put = await invoke(supabase, `progress/lessons/${lessons[2]}`, {
  method: 'PUT',
  body: { position_seconds: 5, last_accessed: new Date().toISOString() },
})
seen.preview = await invoke(supabase, `progress/lessons/${preview}/complete`)
seen.unknown = await invoke(supabase, `progress/lessons/${lessons[2]}/complete`, {
  body: { user_id: seen.user },
})

// Its own rows under RLS, without saying whose.
seen.rows = await supabase.from('user_progress').select('user_id, lesson_id, status')
seen.enrollments = await supabase.from('enrollments').select('user_id, progress_percent')
seen.forged = await supabase
  .from('enrollments')
  .update({ progress_percent: 100 })
  .eq('user_id', seen.user)
  .select()
seen.rpc = await supabase.rpc('get_course_summary', { p_course_id: course })

// The same functions where they live on a host of their own.
const { FunctionsClient } = await import('@supabase/functions-js')
const elsewhere = new FunctionsClient(FUNCTIONS_URL)
elsewhere.setAuth(signIn.data.session.access_token)
seen.elsewhere = await invoke(
  { functions: elsewhere },
  `progress/courses/${course}/summary`,
  { method: 'GET' },
)

// Signed out, the same client is nobody again; signed in, all is still there.
await supabase.auth.signOut()
seen.signedOut = await invoke(supabase, `progress/courses/${course}`, { method: 'GET' })
await supabase.auth.signInWithPassword({ email, password })
seen.after = await invoke(supabase, `progress/courses/${course}`, { method: 'GET' })
console.log(JSON.stringify(seen))
process.exit(0)
