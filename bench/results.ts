import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { arch, cpus, release, totalmem, type } from 'node:os'
import { dirname, join } from 'node:path'
import { median, quantile } from './stats.ts'
import type { Row } from './harness.ts'
import { python, run } from './processes.ts'
import { root } from './workspace.ts'

export interface Results {
  date: string
  /** What it ran on; no name of it. */
  machine: { cpu: string; cores: number; memory: string; system: string }
  versions: Record<string, string>
  rows: Row[]
}

/** First line of what each program says of itself; 'missing' where it is not installed. */
export async function versions(): Promise<Record<string, string>> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const asked: Record<string, string[]> = {
    // Of two results by one version, it is what tells them apart.
    'ramet at': ['git', '-C', root, 'describe', '--always', '--dirty', '--exclude=*'],
    openssh: ['ssh', '-V'],
    dropbear: ['dropbear', '-V'],
    python: [python, '--version'],
    mitogen: [python, '-c', 'import mitogen; print(".".join(map(str, mitogen.__version__)))'],
    // The program itself would make a directory in the caller's home.
    ansible: [python, '-c', 'from ansible.release import __version__; print(__version__)'],
    'ansible-mitogen': ['dpkg-query', '-W', '-f', '${Version}', 'ansible-mitogen'],
    // npm may not have let it build its encryption, which an echo over it pays for with half as much again; CONTRIBUTING.md says how it gets it.
    ssh2: [process.execPath, '-p', 'let own = "with"; try { require("ssh2/lib/protocol/crypto/build/Release/sshcrypto.node") } catch { own = "slower than it can be: without" }'
      + '; `${require("ssh2/package.json").version}, ${own} its native addon`'],
    clush: ['clush', '--version'],
    'parallel-ssh': ['parallel-ssh', '--version'],
  }
  const found: Record<string, string> = { ramet: version, node: process.version }
  for (const [name, argv] of Object.entries(asked)) {
    const done = await run(argv).catch(() => undefined)
    found[name] = (done?.code === 0 ? (done.stdout || done.stderr).split('\n')[0] : undefined)?.trim() ?? 'missing'
  }
  return found
}

export function machine(): Results['machine'] {
  const all = cpus()
  return { cpu: all[0]?.model ?? 'unknown', cores: all.length, memory: `${Math.round(totalmem() / 2 ** 30)} GiB`, system: `${type()} ${release()} ${arch()}` }
}

/** Asked before half an hour is spent on what can't be kept. The folder must be there: to make one, Node tries for ever under /proc. */
export function whyNotWritable(path: string): string | undefined {
  const folder = dirname(path)
  if (!existsSync(folder) || !statSync(folder).isDirectory()) return `${folder} is no folder`
  if (existsSync(path) && statSync(path).isDirectory()) return 'it is a folder'
  try {
    accessSync(existsSync(path) ? path : folder, constants.W_OK)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** Raw samples are kept to four digits; that is finer than any clock here, and a third of the bytes. */
export function write(path: string, results: Results): void {
  const rows = results.rows.map(({ shown: _shown, data, ...row }) => ({
    ...row,
    ...(data === undefined ? {} : { data: JSON.parse(JSON.stringify(data, (_, value: unknown) => (typeof value === 'number' ? digits(value) : value))) as unknown }),
    series: row.series.map(({ name, missing, rounds }) => {
      const all = rounds.flat()
      return missing !== undefined && all.length === 0 ? { name, missing }
        : { name, missing, median: digits(median(all)), p50to99: [0.5, 0.9, 0.99].map((q) => digits(quantile(all, q))), rounds: rounds.map((round) => round.map(digits)) }
    }),
  }))
  // Indented for people, but a round of samples stays on one line.
  const text = JSON.stringify({ ...results, rows }, null, 1).replace(/\[\s+([-\d.,\s]+?)\s+\]/g, (_, inner: string) => `[${inner.replace(/\s+/g, '')}]`)
  writeFileSync(path, text + '\n')
}

const digits = (value: number): number => Number(value.toPrecision(4))
