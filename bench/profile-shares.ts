/** What of a .cpuprofile is read here. Times in microseconds. */
export interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[]
  samples: number[]
  timeDeltas: number[]
}

/** Native functions that are the system's work and not JavaScript's, by name. */
const writes = /^(writeBuffer|writev|writeUtf8String|writeLatin1String)$/
const kinds: readonly [kind: string, is: (name: string, url: string) => boolean][] = [
  ['garbage', (name) => name === '(garbage collector)'],
  ['writes to the system', (name) => writes.test(name)],
  ['encryption', (_, url) => /internal\/crypto|node:crypto/.test(url)],
  ['loading code', (name, url) => /compile|wrapSafe|brotli|processChunkSync/i.test(name) || /modules\/|bootstrap\//.test(url)],
  ["Node's streams and queues", (_, url) => url.startsWith('node:')],
  ['the program (with ssh2)', (_, url) => url !== ''],
  ['the engine itself', () => true],
]

/** A profile as text: busy time in all and per unit of work, its shares by kind, and the functions that take most of it. */
export function shares({ nodes, samples, timeDeltas }: CpuProfile, count: number): string {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const byKind = new Map<string, number>()
  const byFunction = new Map<string, number>()
  let busy = 0
  for (const [index, sample] of samples.entries()) {
    const { functionName, url, lineNumber } = frames.get(sample) ?? { functionName: '(idle)', url: '', lineNumber: 0 }
    if (functionName === '(idle)') continue
    const time = (timeDeltas[index] ?? 0) / 1000
    busy += time
    const kind = kinds.find(([, is]) => is(functionName, url))?.[0] ?? ''
    byKind.set(kind, (byKind.get(kind) ?? 0) + time)
    const name = `${functionName === '' ? '(top level)' : functionName} ${url.split('/').slice(-2).join('/')}${url === '' ? '' : `:${lineNumber + 1}`}`.trim()
    byFunction.set(name, (byFunction.get(name) ?? 0) + time)
  }
  const share = (time: number): string => `${(time / busy * 100).toFixed(0)} %`
  return [
    `  busy ${busy.toFixed(0)} ms, ${(busy / count * 1000).toFixed(1)} us each`,
    `  ${descending(byKind).map(([kind, time]) => `${kind} ${share(time)}`).join(', ')}`,
    ...descending(byFunction).slice(0, 8).map(([name, time]) => `  ${(time / count * 1000).toFixed(2).padStart(9)} us  ${share(time).padStart(5)}  ${name}`),
  ].join('\n')
}

const descending = (times: Map<string, number>): [string, number][] => [...times].sort(([, a], [, b]) => b - a)
