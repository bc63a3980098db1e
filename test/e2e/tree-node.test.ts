import { randomFillSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type Context, group } from '../../src/controller/index.ts'
import { failure, leakCheck, quietController } from '../helpers/e2e-lab.ts'
import { NODE_VERSIONS, nodeBinary } from '../helpers/node-binaries.ts'
import { chain, expectGone, pidOf } from '../helpers/tree-lab.ts'

type Far = typeof import('../fixtures/tasks/far.ts')
const far = new URL('../fixtures/tasks/far.ts', import.meta.url)
const sudo = process.getuid?.() === 0 ? 'sudo:root' : 'local:'

describe.each(NODE_VERSIONS.map((version, index) => [version, NODE_VERSIONS[(index + 3) % NODE_VERSIONS.length] as typeof version] as const))('a hop on Node %s', (version, other) => {
  const [node, next] = [nodeBinary(version), nodeBinary(other)]

  test.skipIf(node === undefined || next === undefined)('opens children, passes on calls, commands, streams and code, and takes them with it when it is killed', async () => {
    const noLeaks = leakCheck()
    const ramet = quietController()
    const [hop, middle, last] = (await chain(ramet, [['local:', { node: node as string }], ['local:', { node: next as string }], [sudo, { node: node as string }]])) as [Context, Context, Context]
    expect([hop, middle, last].map((context) => context.info?.nodeVersion)).toEqual([`v${version}`, `v${other}`, `v${version}`])
    const bytes = randomFillSync(Buffer.alloc(2_000_000))
    expect(bytes.equals(await last.use<Far>(far).echo(bytes))).toBe(true)
    const { stdout } = await last.exec('cat', { stdin: bytes, encoding: 'buffer' })
    expect(stdout.equals(bytes)).toBe(true)
    let sum = 0
    for await (const item of last.use<Far>(far).count(100)) sum += item
    expect(sum).toBe(4950)
    const all = [hop, middle, last]
    const answers = await group(all).call(() => process.version)
    expect([...answers.values()]).toEqual(all.map((context) => ({ ok: true, value: context.info?.nodeVersion })))
    const error = await failure(last.use<Far>(far).fails('from below'))
    expect((error.cause as Error).stack).toMatch(/fixtures\/tasks\/far\.ts:4:\d+/)
    for (const ping of await Promise.all(all.map((context) => context.ping()))) expect(ping).toBeGreaterThan(0)
    const call = failure(last.call(() => new Promise(() => {})))
    await last.exec('true')
    process.kill(pidOf(hop), 'SIGKILL')
    expect(await call).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: last.path })
    await expectGone(all.map(pidOf))
    await ramet.close()
    await noLeaks()
  }, 30_000)
})
