import { randomFillSync } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Context, Controller } from '../../src/controller/index.ts'
import type { RametError } from '../../src/router/errors.ts'
import { LogRecords } from '../helpers/log-records.ts'
import { NODE_VERSIONS, nodeBinary } from '../helpers/node-binaries.ts'

type Matrix = typeof import('../fixtures/tasks/matrix.ts')
const matrix = new URL('../fixtures/tasks/matrix.ts', import.meta.url)

const thrown = (promise: Promise<unknown>): Promise<RametError> => promise.then(() => expect.fail('it should have been refused'), (error: RametError) => error)
const isolations = ['worker', 'none'] as const

describe.each(NODE_VERSIONS)('on Node %s', (version) => {
  const node = nodeBinary(version)
  const major = Number(version.split('.')[0])

  describe.skipIf(node === undefined)('from .cache/node (npm run test:e2e fetches it)', () => {
    const records = new LogRecords()
    let ramet: Controller
    let context: Context

    beforeAll(async () => {
      ramet = new Controller({ logger: records.logger })
      context = await ramet.connect('local:', { node: node!, runtime: 'node' })
    })
    afterAll(() => ramet.close())

    const openChannels = () => ramet.describe()['channels'] as unknown[]

    test('the stub boots and says which Node it is', () => {
      expect(context.info).toMatchObject({ nodeVersion: `v${version}`, platform: 'linux', arch: 'x64' })
      expect(context.runtime).toBe('node')
    })

    test.each(isolations)('a TypeScript module with imports, JSON and builtins runs (isolate: %s)', async (isolate) => {
      const t = context.with({ isolate }).use<Matrix>(matrix)
      const about = await t.about()
      expect(about).toMatchObject({ version: `v${version}`, hash: '2d711642', label: '<label>' })
      expect(about.thread === 0).toBe(isolate === 'none')
      expect(Object.entries(about.settings)).toEqual([['name', 'settings'], ['list', [1, 2.5, 'three']], ['__proto__', 'a key like any other']])
      expect(about.url).toMatch(/^ramet:\/[0-9a-f]{12}\//)
      expect(await t.late()).toBe('<late>/function')
      expect(await t.count()).toBe(1)
      expect(await t.count()).toBe(2)
    })

    test.each(isolations)('a function is called as it stands (isolate: %s)', async (isolate) => {
      const where = context.with({ isolate })
      expect(await where.call((a: number, b: { c?: bigint }) => [a ** 2, b?.c ?? 0n, process.version], 3, { c: 4n })).toEqual([9, 4n, `v${version}`])
      expect(await where.call(async () => (await import('node:path')).basename('/a/b'))).toBe('b')
    })

    test('every type of value comes back as it was', async () => {
      const t = context.use<Matrix>(matrix)
      const values = [
        undefined, null, true, 0, -0, 1.5, NaN, -Infinity, 2 ** 53, 10n, -(2n ** 63n), 2n ** 200n, '', 'ü€😀', '\ud800', new Date(5), new Map<unknown, unknown>([[{ a: 1 }, new Set([1, 'b'])]]),
        new Uint8Array([1, 2]), new Float64Array([0.5]), [1, [2, [3]]], { a: undefined, b: { __proto__x: 1 } }, /a+/gi,
      ]
      for (const isolate of isolations) {
        const echoed = (await context.with({ isolate }).use<Matrix>(matrix).echo(values)) as unknown[]
        expect(echoed).toEqual(values)
        expect(Object.is(echoed[4], -0)).toBe(true)
      }
      expect(await t.echo(undefined)).toBe(undefined)
    })

    test.each(isolations)('20 MiB go there and come back (isolate: %s)', async (isolate) => {
      const t = context.with({ isolate }).use<Matrix>(matrix)
      const sent = randomFillSync(Buffer.alloc(20 * 1024 * 1024))
      const back = (await t.echo(new Uint8Array(sent))) as Uint8Array
      expect(Buffer.compare(back, sent)).toBe(0)
    }, 30_000)

    test.each(isolations)('generators answer as async iterables, and hear when their reader stops (isolate: %s)', async (isolate) => {
      const t = context.with({ isolate, timeout: 10_000 }).use<Matrix>(matrix)
      const closed = t.whenClosed()
      const got: number[] = []
      for await (const { i, left } of t.numbers(1000)) {
        got.push(i)
        // `current` is known in a generator's body, too.
        expect(left).toBeGreaterThan(Date.now() - 10_000)
        if (i === 9) break
      }
      expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      await closed
      const all: number[] = []
      for await (const digit of t.digits()) all.push(digit)
      expect(all).toEqual([1, 2])
    })

    test.each(isolations)('`current` is that of the call in calls that run at once, through everything that they await (isolate: %s)', async (isolate) => {
      // A context of its own: also the very first calls must be told apart, while others still run.
      const fresh = await ramet.connect('local:', { node: node!, runtime: 'node', fresh: true })
      const start = Date.now()
      const results = await Promise.all([1, 2, 3, 4].map((n) => fresh.with({ isolate, timeout: n * 10_000 }).use<Matrix>(matrix).whoami(`call ${n}`, n * 10)))
      for (const [index, result] of results.entries()) {
        expect(result).toMatchObject({ name: `call ${index + 1}`, same: true, aborted: false, path: fresh.path })
        expect(new Set([result.before, result.timer, result.file, result.callback]).size).toBe(1)
        expect(result.before! - start - (index + 1) * 10_000).toBeGreaterThanOrEqual(0)
        expect(result.before! - start - (index + 1) * 10_000).toBeLessThan(9_000)
      }
      const record = await records.first(({ text }) => text.includes('here is call 3'))
      expect(record).toMatchObject({ level: 'info', fields: { source: 'log', name: 'call 3', context: fresh.path.join(' > ') } })
      await fresh.close()
    })

    test.each(isolations)('an abort and a deadline reach the function (isolate: %s)', async (isolate) => {
      const t = context.with({ isolate }).use<Matrix>(matrix)
      await t.traces()
      const abort = new AbortController()
      const aborted = thrown(context.with({ isolate, signal: abort.signal }).use<Matrix>(matrix).untilAborted())
      await t.count()
      abort.abort(new Error('enough'))
      expect(await aborted).toMatchObject({ code: 'cancelled', outcome: 'unknown', cause: { message: 'enough' } })
      expect(await t.traces()).toEqual(['aborted: cancelled'])
      expect(await thrown(context.with({ isolate, timeout: 30 }).use<Matrix>(matrix).untilAborted())).toMatchObject({ code: 'timeout', outcome: 'unknown' })
      expect(await t.traces()).toEqual(['aborted: timeout'])
      expect(openChannels()).toHaveLength(1)
    })

    test.each(isolations)('`current` is known to what a call does once it was given up: a listener of its signal, the end of its generator (isolate: %s)', async (isolate) => {
      const t = context.with({ isolate, timeout: 20_000 }).use<Matrix>(matrix)
      await t.traces()
      const closed = t.whenClosed()
      // While others run it has to be told apart from them.
      const others = [t.waits(300), t.waits(300)]
      let deadline: number | undefined
      for await (deadline of t.asksAtItsEnd()) break
      await closed
      expect(await t.traces()).toEqual([`listener: ${deadline}`, `finally: ${deadline}`])
      expect(await Promise.all(others)).toEqual(['waited', 'waited'])
    })

    test.each(isolations)('what a listener of the signal throws is logged and ends no other call (isolate: %s)', async (isolate) => {
      const t = context.with({ isolate }).use<Matrix>(matrix)
      await t.count()
      records.all.length = 0
      const causing = thrown(context.with({ isolate, timeout: 50 }).use<Matrix>(matrix).throwsWhenAborted())
      const other = t.waits(500)
      expect(await causing).toMatchObject({ code: 'timeout' })
      expect(await records.first(({ text }) => text.includes('thrown by a listener of 1'))).toMatchObject({ level: 'error' })
      expect(await other).toBe('waited')
    })

    test.each(isolations)('an error arrives with name, message, code, cause and the lines of the TypeScript file (isolate: %s)', async (isolate) => {
      const error = await thrown(context.with({ isolate }).use<Matrix>(matrix).fail())
      expect(error).toMatchObject({ code: 'remote-error', outcome: 'failed', path: context.path, cause: { name: 'TypeError', message: 'it failed', code: 'EFAIL', cause: { name: 'RangeError', message: 'the cause' } } })
      const cause = error.cause as Error & { cause: Error }
      const file = fileURLToPath(matrix)
      expect(cause.stack?.split('\n')[1]).toContain(`${file}:133:17`)
      expect(cause.cause.stack?.split('\n')[1]).toContain(`${file}:132:17`)
    })

    test('commands run through the stub', async () => {
      const result = await context.exec('cat; echo no >&2; exit 3', { stdin: 'yes' })
      expect(result).toMatchObject({ stdout: 'yes', stderr: 'no\n', exitCode: 3, signal: null, truncated: false })
      expect(await context.exec('kill -TERM $$')).toMatchObject({ exitCode: null, signal: 'SIGTERM' })
      expect(await context.exec(['printf', '%s', "a 'b' $c"])).toMatchObject({ stdout: "a 'b' $c" })
      expect((await context.exec('head -c 3000000 /dev/zero', { encoding: 'buffer' })).stdout).toHaveLength(3_000_000)
      const error = await thrown(context.exec('echo begun; sleep 60', { timeout: 300 }))
      expect(error).toMatchObject({ code: 'timeout', result: { stdout: 'begun\n' } })
    })

    test('what code prints and logs becomes records of the context', async () => {
      await context.use<Matrix>(matrix).prints()
      expect(await records.first(({ text }) => text === 'on stdout')).toMatchObject({ level: 'info', fields: { source: 'stdout' } })
      expect(await records.first(({ text }) => text === 'on stderr')).toMatchObject({ level: 'warn', fields: { source: 'stderr' } })
    })

    test.each([
      ['throwsInTimer', 'TypeError', 'thrown in a timer'], ['throwsAfterAwait', 'TypeError', 'thrown after an await'], ['rejectsUnseen', 'RangeError', 'nobody looks'],
    ] as const)('%s: an error that nobody catches ends the call that caused it, no other, and is logged', async (name, type, message) => {
      for (const isolate of isolations) {
        records.all.length = 0
        const t = context.with({ isolate }).use<Matrix>(matrix)
        // Node 12 does not say whose a rejected promise is: it ends the call that runs alone, and no call when several run.
        const alone = major === 12 && name === 'rejectsUnseen'
        const before = alone ? 'waited' : t.waits(150)
        const causing = thrown(t[name]())
        const after = alone ? 'waited' : t.waits(150)
        expect(await causing).toMatchObject({ code: 'remote-error', cause: { name: type, message } })
        expect([await before, await after]).toEqual(['waited', 'waited'])
        expect(await records.first(({ text }) => text.includes(message))).toMatchObject({ level: 'error' })
      }
    })

    test('an error of a call that has answered already is logged and ends no other', async () => {
      for (const isolate of isolations) {
        records.all.length = 0
        const t = context.with({ isolate }).use<Matrix>(matrix)
        expect(await t.leavesBomb()).toBe('left')
        const other = t.waits(60)
        const { text: logged } = await records.first(({ text, level }) => level === 'error' && text.includes('a late bomb'))
        // Nobody else hears of it: the log has the lines of the TypeScript file.
        expect(logged).toContain(`${fileURLToPath(matrix)}:119:11`)
        expect(await other).toBe('waited')
      }
    })

    test('a call that spins ends with its deadline, and with it the Worker; the next call starts another', async () => {
      const t = context.use<Matrix>(matrix)
      await t.count()
      const other = thrown(t.waits(60_000))
      expect(await thrown(context.with({ timeout: 100 }).use<Matrix>(matrix).spin())).toMatchObject({ code: 'timeout', outcome: 'unknown' })
      expect(await other).toMatchObject({ code: 'worker-exited', outcome: 'unknown', path: context.path })
      expect(await t.count()).toBe(1)
      expect(openChannels()).toHaveLength(1)
    })

    test.each(['spin', 'spinLater'] as const)('a call that spins is not ended when another is given up (%s)', async (name) => {
      const t = context.use<Matrix>(matrix)
      await t.count()
      const waiting = context.with({ timeout: 60 }).use<Matrix>(matrix)
      records.all.length = 0
      // One that began before it and one that waits behind it.
      const [early, spinning] = [thrown(waiting.untilAborted()), t[name](2400)]
      await records.first(({ text }) => text === 'spins from now on')
      const late = thrown(waiting.echo(1))
      expect(await early).toMatchObject({ code: 'timeout' })
      expect(await late).toMatchObject({ code: 'timeout' })
      expect(await spinning).toBe('spun')
      expect(await t.count()).toBeGreaterThan(1)
    })

    test('a call that waited behind one that spins, was given up and spins itself is ended', async () => {
      const t = context.use<Matrix>(matrix)
      records.all.length = 0
      const first = t.spin(1200)
      await records.first(({ text }) => text === 'spins from now on')
      expect(await thrown(context.with({ timeout: 50 }).use<Matrix>(matrix).spin())).toMatchObject({ code: 'timeout' })
      expect(await first).toBe('spun')
      expect(await t.count()).toBe(1)
    })

    test('process.exit() ends the Worker alone: its other calls are unknown, the context goes on', async () => {
      const t = context.use<Matrix>(matrix)
      const inline = context.with({ isolate: 'none' }).use<Matrix>(matrix)
      await t.count()
      await inline.count()
      const [other, outside, exiting] = [thrown(t.waits(60_000)), inline.waits(200), thrown(t.exit(3))]
      expect(await exiting).toMatchObject({ code: 'worker-exited', outcome: 'unknown', message: expect.stringMatching(/exit code 3/) })
      expect(await other).toMatchObject({ code: 'worker-exited', outcome: 'unknown' })
      expect(await outside).toBe('waited')
      expect(await t.count()).toBe(1)
      expect(await inline.count()).toBeGreaterThan(1)
      expect(context.state).toBe('connected')
    })

    test('20,000 calls leave nothing behind', async () => {
      for (const isolate of isolations) {
        const t = context.with({ isolate, timeout: 60_000 }).use<Matrix>(matrix)
        const round = async (calls: number): Promise<void> => {
          for (let done = 0; done < calls; done += 500) await Promise.all(Array.from({ length: 500 }, (_, n) => t.echo(n)))
        }
        await round(4000)
        const before = await t.heap()
        await round(20_000)
        expect(await t.heap() - before).toBeLessThan(1024 * 1024)
        expect(openChannels()).toHaveLength(1)
      }
    }, 60_000)
  })
})
