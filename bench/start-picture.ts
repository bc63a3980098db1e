/** What one side of the comparison took. Times in ms. */
export interface Measured {
  /** Of each command and each function. */
  commands: number[]
  functions: number[]
  /** From the first connection to the last result. */
  elapsed: number
  connections: number
  bytes: number
}

const WIDTH = 50

/** A table and three pairs of bars, as lines. `block` is the character that bars are made of. */
export function picture(fresh: Measured, ramet: Measured, block: string): string[] {
  const calls = fresh.commands.length + fresh.functions.length
  const rows: [string, string, string][] = [
    ['', 'a fresh SSH connection', 'ramet'],
    ['a command, median', time(median(fresh.commands)), time(median(ramet.commands))],
    ['a function, median', time(median(fresh.functions)), time(median(ramet.functions))],
    [`all ${calls} calls`, time(fresh.elapsed), time(ramet.elapsed)],
    ['connections', String(fresh.connections), String(ramet.connections)],
    ['bytes on the wire', size(fresh.bytes), size(ramet.bytes)],
  ]
  const table = rows.map(([name, a, b]) => `  ${name.padEnd(20)}${a.padStart(24)}${b.padStart(12)}`)
  const bars = [
    pair('time', fresh.elapsed, ramet.elapsed, time, block),
    pair('connections', fresh.connections, ramet.connections, String, block),
    pair('bytes', fresh.bytes, ramet.bytes, size, block),
  ]
  return [...table, '', ...bars.flatMap(lines => [...lines, ''])]
}

function pair(name: string, fresh: number, ramet: number, format: (value: number) => string, block: string): string[] {
  const most = Math.max(fresh, ramet)
  // What is there at all gets a block.
  const bar = (value: number): string => block.repeat(Math.max(value > 0 ? 1 : 0, Math.round((value / most) * WIDTH)))
  return [
    `  ${name.padEnd(12)} fresh  ${bar(fresh)} ${format(fresh)}`,
    `  ${''.padEnd(12)} ramet  ${bar(ramet)} ${format(ramet)}`,
  ]
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

function time(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 2 : 1)} ms`
}

function size(bytes: number): string {
  return bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 1024).toFixed(1)} KiB`
}
