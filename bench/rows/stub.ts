import { closeSync, fsyncSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { packageVersion } from '../../src/cli/version.ts'
import { launchLine } from '../../src/connect/first-stage.ts'
import { fetchNodeBinaries, nodeBinary, NODE_VERSIONS } from '../../test/helpers/node-binaries.ts'
import type { Driver } from '../driver.ts'
import { interleave, rowOf, within, type Benchmark, type Row, type Side } from '../harness.ts'
import { address, type Maybe } from '../lab.ts'
import { privateDirty, processTree } from '../memory.ts'
import { root, type Endpoint } from '../workspace.ts'

const megabyte = 1e6

/** Milliseconds after which a stub counts as idle: garbage of its start is collected or stays. */
const idleAfter = 2000

/** What a stub that waits costs its machine, on every Node that a target may have. */
export const stubMemory: Benchmark = {
  name: 'stub-memory',
  async *rows(lab) {
    const target = address(await lab.sshd())
    const failures = await fetchNodeBinaries((line) => process.stderr.write(line + '\n'))
    const before: Side[] = []
    const after: Side[] = []
    for (const version of NODE_VERSIONS) {
      const binary = nodeBinary(version)
      if (binary !== undefined) onDisk(binary)
      const missing = failures.find((line) => line.includes(version)) ?? 'its binary was not fetched'
      const sides = binary === undefined ? [{ name: `Node ${version}`, missing }, { name: `Node ${version}`, missing }] as const
        : stubSides(`Node ${version}`, lab.ramet(), target, binary)
      before.push(sides[0])
      after.push(sides[1])
    }
    // Stubs on different binaries share no page that counts here, so all of them wait at the same time.
    const rounds = lab.rounds(3)
    const first = memoryRow('stub-memory-before', 'idle stub, Private_Dirty of all its processes, before the first user call')
    const second = memoryRow('stub-memory-after', 'the same, after the first user call')
    first.series = (await Promise.all(before.map((one) => interleave([one], rounds, { warmUp: false })))).flat()
    second.series = (await Promise.all(after.map((one) => interleave([one], rounds, { warmUp: false })))).flat()
    const accepted = NODE_VERSIONS.find((version) => version.startsWith('20.')) ?? NODE_VERSIONS[0]
    within(first, `Node ${accepted}`, 12, '12 MB')
    within(second, `Node ${accepted}`, 22, '22 MB')
    yield first
    yield second
  },
}

/** Pages of a file that was just fetched and is not written out yet count as dirty in whoever runs it. */
function onDisk(file: string): void {
  const fd = openSync(file, 'r')
  fsyncSync(fd)
  closeSync(fd)
}

function memoryRow(name: string, figure: string): Row {
  return rowOf(name, figure, 'MB', [])
}

/** One stub without a user call and one after its first: a new stub in each round. */
function stubSides(name: string, ramet: Maybe<Driver>, target: Endpoint, binary: string): [Side, Side] {
  if ('missing' in ramet) return [{ name, missing: ramet.missing }, { name, missing: ramet.missing }]
  const round = async (idle: boolean): Promise<number> => {
    const pid = await ramet.request<number>('open', { name: 'a', target, node: [binary], idle })
    await new Promise((resolve) => setTimeout(resolve, idleAfter))
    const bytes = privateDirty(processTree(pid))
    await ramet.request('shut', { name: 'a' })
    return bytes / megabyte
  }
  return [{ name, round: () => round(true) }, { name, round: () => round(false) }]
}

/** What is sent before the stub has said anything: the line that starts it, and what goes down the pipe, counted by a program that stands before Node. */
export const stubBytes: Benchmark = {
  name: 'stub-bytes',
  async *rows(lab) {
    const target = address(await lab.sshd())
    const ramet = lab.ramet()
    const { size } = statSync(join(root, 'dist', 'stub.br'))
    // Without a `node` of its own, which is one of this row.
    const line = Buffer.byteLength(launchLine({ version: packageVersion(), stubSize: size, nonce: '0'.repeat(32) }))
    const round = async (driver: Driver): Promise<number> => {
      const count = lab.workspace.file('stub-bytes', '')
      const node = [process.execPath, join(root, 'bench', 'peers', 'count-input.cjs'), count, process.execPath]
      await driver.request('open', { name: 'a', target, node, idle: true })
      await driver.request('shut', { name: 'a' })
      return line + Number(readFileSync(count, 'utf8') || NaN)
    }
    const sides: Side[] = ['missing' in ramet ? { name: 'ramet', missing: ramet.missing } : { name: 'ramet', round: () => round(ramet) }]
    const row = rowOf('stub-bytes', 'bytes sent before HELLO', 'B', await interleave(sides, lab.rounds(3), { warmUp: false }))
    within(row, 'ramet', 20_000, '20 KB')
    yield row
  },
}
