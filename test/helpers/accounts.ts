import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changeDoasRules, DOAS_CONF, doasIsOurs } from './doas-rules.ts'

/** Real accounts of this machine, with passwords, for tests of sudo, su and doas. */
export interface Accounts extends Disposable {
  /** Name of the account that was asked for by this short name. */
  name(short: string): string
  password(short: string): string
  uid(short: string): number
  home(short: string): string
  /** A PATH in which this program is the real one, run by that account. */
  pathAs(short: string, program: 'sudo' | 'su' | 'doas'): string
  /** Processes of that account that live: 'pid command line'. */
  processes(short: string): string[]
}

export interface AccountOptions {
  /** Rules of sudoers by short name, behind the account's name: 'ALL=(ALL) ALL'. */
  sudoers?: Record<string, string>
  /** Lines of sudoers; `%short%` stands for an account. */
  sudoersLines?: string[]
  /** Lines of doas.conf, likewise. */
  doasLines?: string[]
}

/** Why there can be no accounts here, or undefined. */
export const noAccounts = process.getuid?.() !== 0 ? 'needs root, to make accounts' : missing(['useradd', 'userdel', 'chpasswd', 'setpriv', 'sudo', 'su'])

function missing(programs: string[]): string | undefined {
  const absent = programs.find((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
  return absent === undefined ? undefined : `there is no ${absent}`
}

/** Why doas cannot be tested here, or undefined. */
export const noDoas = noAccounts ?? missing(['doas']) ?? (doasIsOurs() ? undefined : `${DOAS_CONF} is there already`)

/** Where sudo keeps who has given a password lately, and who has been lectured. */
const SUDO_STATE = ['/run/sudo/ts', '/var/lib/sudo/lectured', '/var/lib/sudo/ts', '/var/mail']

export function makeAccounts(shorts: readonly string[], options: AccountOptions = {}): Accounts {
  const dir = mkdtempSync(join(tmpdir(), 'ramet-accounts-'))
  chmodSync(dir, 0o755)
  const tag = `rt${process.pid}`
  const name = (short: string): string => `${tag}${short}`
  const password = (short: string): string => `secret-${tag}-${short}`
  const home = (short: string): string => join(dir, short)
  const sudoers = join('/etc/sudoers.d', tag)
  const named = (line: string): string => `${line.replace(/%(\w+)%/g, (_, short: string) => name(short))}\n`
  const doas = options.doasLines !== undefined && noDoas === undefined
  const remove = (): void => {
    rmSync(sudoers, { force: true })
    if (doas) changeDoasRules([])
    for (const short of shorts) {
      patiently('userdel', ['-f', name(short)], true)
      for (const place of SUDO_STATE) rmSync(join(place, name(short)), { force: true })
    }
    rmSync(dir, { recursive: true, force: true })
  }
  process.once('exit', remove)
  for (const short of shorts) patiently('useradd', ['-m', '-k', '/dev/null', '-d', home(short), '-s', '/bin/bash', name(short)])
  execFileSync('chpasswd', { input: shorts.map((short) => `${name(short)}:${password(short)}\n`).join('') })
  const lines = [
    ...(options.sudoersLines ?? []).map(named),
    ...Object.entries(options.sudoers ?? {}).map(([short, rule]) => `${name(short)} ${rule}\n`),
  ]
  if (lines.length > 0) {
    // Any sudo of this machine reads all that stands there, except names with a dot: it must never see half a line.
    writeFileSync(`${sudoers}.new`, lines.join(''), { mode: 0o440 })
    renameSync(`${sudoers}.new`, sudoers)
  }
  if (doas) changeDoasRules((options.doasLines ?? []).map(named))
  const uid = (short: string): number => statSync(home(short)).uid
  return {
    name, password, home, uid,
    pathAs(short, program) {
      const bin = join(dir, `bin-${short}-${program}`)
      if (!existsSync(bin)) {
        mkdirSync(bin)
        const real = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim()
        const as = `--reuid ${name(short)} --regid ${name(short)} --init-groups`
        writeFileSync(join(bin, program), `#!/bin/sh\nexec setpriv ${as} ${real} "$@"\n`, { mode: 0o755 })
      }
      return `${bin}:${process.env['PATH'] ?? ''}`
    },
    processes: (short) => processesOf(uid(short)),
    [Symbol.dispose]() {
      process.removeListener('exit', remove)
      remove()
    },
  }
}

/** Others may hold the lock on the password file. */
function patiently(program: string, args: string[], lenient = false): void {
  for (let attempt = 1; ; attempt++) {
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    if (status === 0 || (lenient && !/lock/.test(stderr))) return
    if (attempt === 50 || !/lock/.test(stderr)) {
      if (lenient) return
      throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  }
}

function processesOf(uid: number): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      if (!new RegExp(`^Uid:\\t${uid}\\t`, 'm').test(status) || /^State:\tZ/m.test(status)) return []
      return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim().slice(0, 120)}`]
    } catch {
      return []
    }
  })
}

/** Where this text stands in a command line or an environment of this machine: 'pid file', the first few. */
export function publiclySeen(text: string): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => ['cmdline', 'environ'].flatMap((file) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(text) ? [`${pid} ${file}`] : []
    } catch {
      return []
    }
  })).slice(0, 5)
}
