import { existsSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'

export const DOAS_CONF = '/etc/doas.conf'

/** Test files that run beside each other share the one file: each has a part of it, which begins with this and its process id. */
const PART = /^(?=# ramet test \d+\n)/m
const OWNER = /^# ramet test (\d+)\n/

/** Not there, or made by tests. One that somebody has set up is left alone. */
export function doasIsOurs(): boolean {
  const text = rules()
  return text === '' || OWNER.test(text)
}

/** '' where there are none. */
function rules(): string {
  try {
    return readFileSync(DOAS_CONF, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** Gives this process's part of the file these lines; none: no part. Parts of test runs that were killed go. */
export function changeDoasRules(lines: readonly string[]): void {
  const release = lock()
  try {
    const others = rules().split(PART).filter((part) => {
      const owner = OWNER.exec(part)?.[1]
      return owner !== undefined && owner !== String(process.pid) && lives(owner)
    })
    const parts = lines.length === 0 ? others : [...others, `# ramet test ${process.pid}\n${lines.join('')}`]
    if (parts.length === 0) return rmSync(DOAS_CONF, { force: true })
    writeFileSync(`${DOAS_CONF}.new`, parts.join(''), { mode: 0o400 })
    renameSync(`${DOAS_CONF}.new`, DOAS_CONF)
  } finally {
    release()
  }
}

const LOCK = `${DOAS_CONF}.ramet-test`

/** Waits, 10 s at most, until no other process changes the file. */
function lock(): () => void {
  for (let tries = 0; ; tries++) {
    try {
      symlinkSync(String(process.pid), LOCK)
      return () => rmSync(LOCK, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries === 500) throw error
    }
    const owner = holder()
    if (owner !== undefined && !lives(owner)) rmSync(LOCK, { force: true })
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
  }
}

function holder(): string | undefined {
  try {
    return readlinkSync(LOCK)
  } catch {
    return undefined
  }
}

const lives = (pid: string): boolean => existsSync(`/proc/${pid}`)
