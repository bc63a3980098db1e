import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { root } from './source-tree.ts'

/** Controllers in processes of their own, so that a test can kill, block or watch one. */
export interface ControllerProcesses extends Disposable {
  /** A home directory that marks every process of these controllers, and of what they started on `local:`, by its environment. */
  readonly home: string
  /**
   * Runs the body of an async function: `ramet` is what the package exports, `say` writes a line that `said` waits for, and `args`
   * is what was given. `input` is what it finds on its stdin.
   */
  start(body: string, args?: Record<string, unknown>, input?: string): ControllerProcess
}

export interface ControllerProcess {
  readonly child: ChildProcess
  /** Resolves with the first line that begins with this word, without it; rejects when the process ends before. */
  said(word: string): Promise<string>
  /** Resolves with everything that it said when it has ended by itself or been killed. */
  readonly ended: Promise<{ code: number | null; signal: string | null; lines: string[]; stderr: string }>
}

export async function controllerProcesses(): Promise<ControllerProcesses> {
  const folder = mkdtempSync(join(tmpdir(), 'ramet-process-'))
  const home = join(folder, 'home')
  mkdirSync(home)
  mkdirSync(join(folder, 'dist'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  cpSync(join(root, 'dist/stub.br'), join(folder, 'dist/stub.br'))
  cpSync(join(root, 'dist/modules'), join(folder, 'dist/modules'), { recursive: true })
  const bundle = join(folder, 'dist/ramet.mjs')
  await build({
    entryPoints: [join(root, 'src/controller/index.ts')], outfile: bundle, bundle: true, format: 'esm', platform: 'node', target: 'node20',
    packages: 'external', logLevel: 'silent',
  })
  const running = new Set<ChildProcess>()
  let scripts = 0
  return {
    home,
    start(body, args = {}, input) {
      const script = join(folder, `script-${scripts++}.mjs`)
      writeFileSync(script, [
        `import * as ramet from ${JSON.stringify(bundle)}`,
        `import { pino } from 'pino'`,
        `const args = ${JSON.stringify(args)}`,
        `const say = (...words) => process.stdout.write(words.join(' ') + '\\n')`,
        `const quiet = pino({ level: 'silent' })`,
        body,
      ].join('\n'))
      // What a controller that is killed leaves in its temporary directory goes with the folder.
      const child = spawn(process.execPath, [script], { stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: home, TMPDIR: folder } })
      child.stdin?.end(input)
      running.add(child)
      return watch(child, () => running.delete(child))
    },
    [Symbol.dispose]() {
      for (const child of running) child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function watch(child: ChildProcess, over: () => void): ControllerProcess {
  const lines: string[] = []
  let waiting: (() => void)[] = []
  let rest = ''
  let stderr = ''
  let isOver = false
  const wake = (): void => {
    const awake = waiting
    waiting = []
    for (const look of awake) look()
  }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    wake()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<{ code: number | null; signal: string | null; lines: string[]; stderr: string }>((resolve) => {
    child.on('close', (code, signal) => {
      isOver = true
      over()
      resolve({ code, signal, lines, stderr })
      wake()
    })
  })
  return {
    child,
    ended,
    async said(word) {
      for (;;) {
        const line = lines.find((text) => text === word || text.startsWith(`${word} `))
        if (line !== undefined) return line.slice(word.length + 1)
        if (isOver) throw new Error(`it ended without saying ${word}; it said: ${lines.join(' | ')} ${stderr}`)
        await new Promise<void>((look) => waiting.push(look))
      }
    },
  }
}

export interface MarkedProcess {
  pid: number
  command: string
}

/** Processes whose environment holds `HOME=home`, other than those given. What has ended and was not collected counts as ended. */
export function processesOf(home: string, except: readonly (number | undefined)[] = []): MarkedProcess[] {
  return processesWith(`HOME=${home}`, except)
}

/** The same for any variable: 'NAME=value'. */
export function processesWith(variable: string, except: readonly (number | undefined)[] = []): MarkedProcess[] {
  const found: MarkedProcess[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || except.includes(Number(name))) continue
    try {
      const environment = readFileSync(`/proc/${name}/environ`, 'latin1').split('\0')
      if (!environment.includes(variable)) continue
      found.push({ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ').trim().slice(0, 100) })
    } catch {
      // It ended while we looked.
    }
  }
  return found
}
