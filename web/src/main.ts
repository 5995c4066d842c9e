/** Reads where the backend is (config.json, beside this page) and starts the player. */
import { createClient } from '@supabase/supabase-js'
import { App, type Config } from './app'
import type { Database } from './generated/database'
import './style.css'

const root = document.getElementById('app')!

try {
  const config = (await (await fetch('config.json')).json()) as Config
  const supabase = createClient<Database>(config.supabaseUrl, config.publishableKey)
  await new App(root, config, supabase).start()
} catch (error) {
  root.textContent = 'The course player cannot start: config.json is missing or wrong.'
  throw error
}
