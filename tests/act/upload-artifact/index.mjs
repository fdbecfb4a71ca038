// Like the real action: hidden files are left out, and no file is an error.
import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DefaultArtifactClient } from '@actions/artifact'
import { getInput, setFailed, setOutput } from '@actions/core'

const visible = (folder) =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith('.'))
    .flatMap((entry) => (entry.isDirectory() ? visible(join(folder, entry.name)) : [join(folder, entry.name)]))

try {
  const path = getInput('path', { required: true })
  const folder = statSync(path).isDirectory() ? path : dirname(path)
  const files = statSync(path).isDirectory() ? visible(path) : [path]
  if (files.length === 0) throw new Error(`no files were found with the provided path: ${path}`)
  const { id } = await new DefaultArtifactClient().uploadArtifact(getInput('name', { required: true }), files, folder)
  const { GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID } = process.env
  setOutput('artifact-id', id)
  setOutput('artifact-url', `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}/actions/runs/${GITHUB_RUN_ID}/artifacts/${id}`)
} catch (error) {
  setFailed(error.message)
}
