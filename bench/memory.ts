import { list, read } from './proc.ts'

/** A process and everything it started, as far as it is still its descendant. */
export function processTree(pid: number): number[] {
  const children: number[] = []
  for (const task of list(`/proc/${pid}/task`)) {
    children.push(...read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number))
  }
  return [pid, ...children.flatMap(processTree)]
}

/** Bytes that these processes alone would give back if they ended and that nothing on disk backs. */
export function privateDirty(pids: readonly number[]): number {
  return sum(pids.map((pid) => kilobytes(read(`/proc/${pid}/smaps_rollup`), 'Private_Dirty'))) * 1024
}

/** Resident bytes of one process. */
export function resident(pid: number): number {
  return kilobytes(read(`/proc/${pid}/status`), 'VmRSS') * 1024
}

function kilobytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? NaN)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
