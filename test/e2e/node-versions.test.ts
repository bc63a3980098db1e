import { describe, expect, test } from 'vitest'
import { Controller } from '../../src/controller/index.ts'
import { nodeBinary, NODE_VERSIONS } from '../helpers/node-binaries.ts'

/** Enough of everything that a stub does to notice what one line of Node lacks; the details are tested elsewhere, once. */
describe.each(NODE_VERSIONS)('on Node %s', version => {
  const node = nodeBinary(version)

  describe.skipIf(node === undefined)('from .cache/node (npm run test:e2e fetches it)', () => {
    const connect = async () => {
      const ramet = new Controller()
      return { ramet, context: await ramet.connect('local:', { node: node!, runtime: 'node' }) }
    }

    test('a stub boots, says which Node it is, and answers pings', async () => {
      const { ramet, context } = await connect()
      expect(context.info).toMatchObject({ nodeVersion: `v${version}`, platform: 'linux' })
      expect(await context.ping()).toBeGreaterThan(0)
      await ramet.close()
    })

    test('commands run with both streams, stdin and an exit code', async () => {
      const { ramet, context } = await connect()
      expect(await context.exec('cat; echo no >&2; exit 3', { stdin: 'yes' })).toMatchObject({ stdout: 'yes', stderr: 'no\n', exitCode: 3, signal: null, truncated: false })
      expect(await context.exec('kill -TERM $$')).toMatchObject({ exitCode: null, signal: 'SIGTERM' })
      await ramet.close()
    })

    test('functions of a TypeScript file and inline ones run, in the Worker and outside of it', async () => {
      const { ramet, context } = await connect()
      const machine = context.use<typeof import('../../examples/machine.ts')>(new URL('../../examples/machine.ts', import.meta.url))
      expect((await machine.load()).cores).toBeGreaterThan(0)
      expect(await context.call((a: number, b: bigint, when: Date) => [a + 1, b + 1n, when, new Map([[undefined, new Uint8Array([1])]])], 1, 2n, new Date(5)))
        .toEqual([2, 3n, new Date(5), new Map([[undefined, new Uint8Array([1])]])])
      expect(await context.with({ isolate: 'none' }).call(() => process.version)).toBe(`v${version}`)
      await ramet.close()
    })

    test('an error comes back with what it was, and a function that spins ends with its deadline', async () => {
      const { ramet, context } = await connect()
      await expect(context.call(() => {
        const error = new TypeError('nothing of the kind') as Error & { code: string }
        error.code = 'ENOTHING'
        throw error
      })).rejects.toMatchObject({ code: 'remote-error', cause: { name: 'TypeError', message: 'nothing of the kind', code: 'ENOTHING' } })
      await expect(context.with({ timeout: 300 }).call(() => { for (;;); })).rejects.toMatchObject({ code: 'timeout' })
      expect(await context.with({ isolate: 'none' }).call(() => 'well')).toBe('well')
      await ramet.close()
    })
  })
})
