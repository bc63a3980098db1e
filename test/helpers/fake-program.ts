import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Programs of ours in place of sudo, docker and others: shell scripts in a directory that stands first in PATH. */
export interface FakePrograms extends Disposable {
  readonly dir: string
  /** An environment in which these are found. */
  readonly env: NodeJS.ProcessEnv
  /** Makes one. `body` is shell text; its arguments have been written down before it runs. */
  add(name: string, body: string): void
  /** Takes one away again, with what it has left. */
  remove(name: string): void
  /** The arguments of its last run. */
  args(name: string): string[]
  /** A file that a script can write to, as `$FAKE/name`; undefined while there is none. */
  file(name: string): string | undefined
}

export function fakePrograms(): FakePrograms {
  const dir = mkdtempSync(join(tmpdir(), 'ramet-fake-'))
  const file = (name: string): string | undefined => (existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8') : undefined)
  return {
    dir,
    env: { ...process.env, PATH: `${dir}:${process.env['PATH'] ?? ''}` },
    file,
    add(name, body) {
      const record = `FAKE=${dir}; { for word in "$@"; do printf '%s\\0' "$word"; done; } >"$FAKE/${name}.args"`
      writeFileSync(join(dir, name), `#!/bin/sh\n${record}\n${body}\n`, { mode: 0o755 })
    },
    remove(name) {
      for (const each of [name, `${name}.args`, `${name}.runs`]) rmSync(join(dir, each), { force: true })
    },
    args: (name) => file(`${name}.args`)?.split('\0').slice(0, -1) ?? [],
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  }
}
