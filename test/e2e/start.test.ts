import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { haveSshd } from '../helpers/sshd.ts'
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

test.skipIf(!haveSshd)('a guard that is stopped says so behind what it has looked at, ends with 130 and leaves no file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ramet-test-'))
  try {
    await run(process.execPath, ['build/build.mjs', 'library', 'bench'], { cwd: root })
    const guard = spawn(process.execPath, ['dist/bench/run.js', '--guard'], { cwd: root, env: { ...process.env, TMPDIR: folder }, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = new Promise((resolve) => guard.on('close', resolve))
    let said = ''
    for (const stream of [guard.stdout, guard.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text))
    guard.stdout.once('data', () => guard.kill('SIGINT'))
    expect(await ended).toBe(130)
    expect(said).toMatch(/^met .*\n(.*\n)*stopped: what is not named above was not looked at\n$/)
    expect(readdirSync(folder)).toEqual([])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
