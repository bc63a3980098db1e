import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { root } from '../helpers/source-tree.ts'

const run = promisify(execFile)

test('npm start runs 100 calls each way over its own SSH server, shows the two, says what to try next, and leaves no file behind', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ramet-test-'))
  try {
    await run(process.execPath, ['build/build.mjs', 'library', 'start'], { cwd: root })
    const { stdout, stderr } = await run(process.execPath, ['dist/bench/start.js'], { cwd: root, env: { ...process.env, TMPDIR: folder }, timeout: 55_000 })
    expect(stderr).toBe('')
    expect(stdout).toMatch(/a fresh SSH connection for each call: 100 calls in \d/)
    expect(stdout).toMatch(/ramet: 100 calls in \d/)
    expect(stdout).toMatch(/^ {2}connections +100 +3$/m)
    expect(stdout).toMatch(/npx ramet run 'uptime' -t/)
    expect(readdirSync(folder)).toEqual([])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
