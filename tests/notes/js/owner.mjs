// The how-to pages on notes, saved courses and search, as a site would have them, with supabase-js as it
// comes. Prints one JSON object of what it saw.
import { createClient } from '@supabase/supabase-js'
import ws from 'ws'

const { API_URL, PUBLISHABLE_KEY } = process.env
const { token, course, lesson, word } = JSON.parse(process.argv[2])
const supabase = createClient(API_URL, PUBLISHABLE_KEY, {
  accessToken: async () => token,
  realtime: { transport: ws },
})
const seen = {}
const ok = ({ data, error }) => {
  if (error) throw new Error(JSON.stringify(error))
  return data
}

const id = crypto.randomUUID()
const note = { id, lesson_id: lesson, position_seconds: 754, body: 'The *third* knot' }
for (const body of [note.body, 'Sent again']) {
  ok(await supabase.from('notes')
    .upsert({ ...note, body }, { ignoreDuplicates: true, onConflict: 'user_id,id' }))
}
seen.first = ok(await supabase.from('notes').select('body, position_seconds').eq('id', id))
ok(await supabase.from('notes').update({ body: 'A bowline' }).eq('id', id))
seen.found = ok(await supabase.from('notes').select('id')
  .textSearch('words', 'bowline -granny', { type: 'websearch', config: 'simple' }))
seen.id = id
seen.export = ok(await supabase.rpc('export_notes', { p_course_id: course }))

ok(await supabase.from('collection_items').insert({ course_id: course }))
ok(await supabase.from('collection_items').insert({ note_id: id }))
seen.again = (await supabase.from('collection_items').insert({ course_id: course })).error.code
seen.collections = ok(await supabase.from('collections')
  .select('name, is_default, collection_items(course_id, note_id, courses(title))'))
seen.cards = ok(await supabase.rpc('get_course_cards', { p_search: word }))
seen.search = ok(await supabase.rpc('search_catalog', { p_query: word, p_limit: 20 }))
seen.mine = ok(await supabase.rpc('export_my_data'))
ok(await supabase.from('collection_items').delete().eq('course_id', course))
seen.after = ok(await supabase.rpc('get_course_cards', { p_search: word }))
console.log(JSON.stringify(seen))
