// Bundles the stand-in into .cache/upload-artifact, a folder that act takes as the action.
import { copyFileSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const out = here('../../../.cache/upload-artifact')

mkdirSync(out, { recursive: true })
copyFileSync(here('action.yml'), `${out}/action.yml`)
await build({
  entryPoints: [here('index.mjs')],
  outfile: `${out}/index.mjs`,
  bundle: true,
  platform: 'node',
  format: 'esm',
  // The artifact client finds its message types by class name.
  keepNames: true,
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  logLevel: 'error',
})
