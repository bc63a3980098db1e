import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync, closeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'

/** The real program in processes of its own; only the engine is a stand-in. */
let folder: string
let script: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ramet-cli-'))
  script = join(folder, 'cli.js')
  const standIn = fileURLToPath(new URL('./stand-in-controller.ts', import.meta.url))
  await build({
    entryPoints: [fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))], outdir: folder, entryNames: 'cli', bundle: true, splitting: true,
    format: 'esm', platform: 'node', target: 'node20', outExtension: { '.js': '.mjs' }, external: ['pino', 'esbuild', 'acorn', 'ssh2'], logLevel: 'silent',
    plugins: [{ name: 'stand-in', setup: (plugin) => plugin.onResolve({ filter: /controller\/index\.ts$/ }, () => ({ path: standIn })) }],
  })
  script = join(folder, 'cli.mjs')
}, 30_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

interface Running {
  child: ChildProcess
  /** Resolves once stderr holds the text. */
  says(text: string): Promise<void>
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>
}

function start(...argv: string[]): Running {
  const child = spawn(process.execPath, [script, ...argv], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, TERM: 'xterm' } })
  let stdout = ''
  let stderr = ''
  let look = (): void => {}
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    look()
  })
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  const says = (text: string): Promise<void> => new Promise((resolve) => {
    look = () => {
      if (stderr.includes(text)) resolve()
    }
    look()
  })
  return { child, says, ended }
}

describe('the process', () => {
  it.each([[['--version'], 0], [['--help'], 0], [['run', '--help'], 0], [['bench', '--help'], 0], [['bench', 'x'], 1], [['rnu'], 1], [['run', 'x'], 1], [['call', 'none.ts', 'f', '-t', 'a'], 1]])('%j loads no engine', async (argv, code) => {
    const result = await start(...argv).ended
    expect(result.code).toBe(code)
    expect(result.stderr).not.toContain('[engine]')
    expect(result.stdout + result.stderr).not.toBe('')
  })

  it('says its version', async () => {
    // Bundled elsewhere, it has no manifest above it.
    expect((await start('--version').ended).stdout).toMatch(/^(\d+\.\d+\.\d+.*|unknown)\n$/)
  })

  // /dev/full refuses each write as a full disk does.
  it.skipIf(!existsSync('/dev/full'))('says that its output could not be written, and ends with 1', async () => {
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, [script, 'run', 'x', '-t', 'a'], { stdio: ['ignore', full, 'pipe'], env: { PATH: process.env.PATH } })
    closeSync(full)
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => { stderr += text })
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect(stderr).toMatch(/^ramet: the output is not complete: it cannot be written \(ENOSPC/m)
    expect(code).toBe(1)
  })

  it('writes everything before it ends: 4 MiB through a pipe', async () => {
    const result = await start('run', 'x', '-t', 'big').ended
    expect(result.code).toBe(0)
    expect(result.stdout.length).toBe(result.stdout.indexOf('\n') + 1 + 4 * 1024 * 1024)
  })

  it('is no success where nothing is left to wait for', async () => {
    const { code, stderr } = await start('run', 'x', '-t', 'forgets').ended
    expect(stderr).toBe('[engine]\nramet: internal-error: the command came to no end\n')
    expect(code).toBe(1)
  })

  it('ends quietly when the reader goes', async () => {
    const { child, ended } = start('run', 'x', '-t', 'big,hang', '-c', '1')
    child.stdout!.once('data', () => child.stdout!.destroy())
    const { code, stderr } = await ended
    expect(code).toBe(1)
    expect(stderr.replace(/^\[(engine|hangs)\]\n/gm, '')).toBe('')
  })

  it.each([['SIGINT', 130], ['SIGTERM', 143]] as const)('cancels on %s, says what is unknown and ends with %i', async (signal, exitCode) => {
    const { child, says, ended } = start('run', 'x', '-t', 'hang')
    await says('[hangs]')
    child.kill(signal)
    const { code, stderr } = await ended
    expect(code).toBe(exitCode)
    expect(stderr).toContain('outcome unknown (may have run, may still run): hang\n')
  })

  it('leaves at once on the second ^C', async () => {
    const { child, says, ended } = start('run', 'x', '-t', 'deaf')
    await says('[hangs]')
    child.kill('SIGINT')
    await says('once more leaves at once')
    child.kill('SIGINT')
    const { code, stderr } = await ended
    expect(code).toBe(130)
    expect(stderr).toContain('outcome unknown (may have run, may still run): deaf\n')
  })

  it('leaves at once on the second ^C, too, when nobody has read what it printed', async () => {
    const { child, says } = start('run', 'x', '-t', 'big,deaf', '-c', '1')
    const exited = new Promise((resolve) => child.on('exit', resolve))
    onTestFinished(() => void child.kill('SIGKILL'))
    child.stdout!.pause()
    await says('[hangs]')
    child.kill('SIGINT')
    await says('once more leaves at once')
    child.kill('SIGINT')
    expect(await exited).toBe(130)
    child.stdout!.destroy()
  })

  // script makes a terminal, and reads it only while somebody reads script.
  it.skipIf(!existsSync('/usr/bin/script'))('goes on when its terminal takes nothing, and leaves at once on the second ^C (left out where there is no script)', async () => {
    const command = `echo $$ >&3; exec '${process.execPath}' '${script}' run x -t big,deaf -c 1 2>&3`
    const child = spawn('/usr/bin/script', ['-qec', command, '/dev/null'], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'], env: { PATH: process.env.PATH, TERM: 'xterm', SHELL: '/bin/sh' } })
    const exited = new Promise((resolve) => child.on('exit', resolve))
    const words = child.stdio[3] as Readable
    onTestFinished(() => void child.kill('SIGKILL'))
    let said = ''
    const says = async (text: string): Promise<void> => {
      while (!said.includes(text)) said += String((await once(words, 'data'))[0])
    }
    await says('[hangs]')
    const pid = Number.parseInt(said)
    process.kill(pid, 'SIGINT')
    await says('once more leaves at once')
    process.kill(pid, 'SIGINT')
    await says('outcome unknown (may have run, may still run): deaf')
    child.stdout!.resume()
    expect(await exited).toBe(130)
  })

  it('offers no prompt when nobody can answer', async () => {
    expect((await start('run', 'x', '-t', 'asks').ended).stdout).toContain('no prompt')
  })
})
