import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // The built player works in whatever folder it is put into.
  base: './',
  build: {
    target: 'es2022',
    // Pictures and films stay files: a page that forbids data: addresses can show them.
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        // Kept apart, because a site has it anyhow, and it changes less often than the player.
        codeSplitting: { groups: [{ name: 'supabase', test: /node_modules\/(@supabase|iceberg-js|tslib)/ }] },
      },
    },
  },
})
