// Functions that look at the machine on which they run. Nothing in here knows of ramet: the file and what it imports
// (units.ts) are sent to the target, and run in the Node that is there, from version 12 up.
import { execFile } from 'node:child_process'
import { promises as fs } from 'node:fs'
import os from 'node:os'
import { promisify } from 'node:util'
import { gib, share } from './units.ts'

/** How busy it is. */
export function load() {
  return {
    hostname: os.hostname(),
    load: os.loadavg().map(value => value.toFixed(2)).join(' '),
    cores: os.cpus().length,
    memory: `${gib(os.totalmem() - os.freemem())} of ${gib(os.totalmem())}`,
    up: `${Math.floor(os.uptime() / 3600)} h`,
  }
}

/** Its file systems, the fullest first. */
export async function disks() {
  const { stdout } = await promisify(execFile)('df', ['-kP'])
  const rows = stdout.trim().split('\n').slice(1).map(line => line.split(/\s+/))
  return rows
    .filter(row => row[0]?.startsWith('/dev/'))
    .map(row => ({ mount: row[5] ?? '', size: Number(row[1]) * 1024, used: Number(row[2]) * 1024 }))
    .sort((a, b) => b.used / b.size - a.used / a.size)
    .map(({ mount, size, used }) => ({ mount, size: gib(size), used: share(used, size) }))
}

/** The processes that hold most memory. Linux: it reads /proc. */
export async function biggest(count = 5) {
  const found: { pid: number; name: string; bytes: number }[] = []
  for (const pid of (await fs.readdir('/proc')).filter(name => /^\d+$/.test(name))) {
    // A process may be gone by the time that its file is read.
    const status = await fs.readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    const name = /^Name:\s+(.*)$/m.exec(status)?.[1]
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
    if (name !== undefined && resident !== undefined) found.push({ pid: Number(pid), name, bytes: Number(resident) * 1024 })
  }
  return found.sort((a, b) => b.bytes - a.bytes).slice(0, count).map(({ pid, name, bytes }) => ({ pid, name, memory: gib(bytes) }))
}
