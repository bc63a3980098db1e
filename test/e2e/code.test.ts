import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Context, Controller, group } from '../../src/controller/index.ts'
import type { RametError } from '../../src/router/errors.ts'
import { type Project, project } from '../controller/project.ts'
import { nodeBinary } from '../helpers/node-binaries.ts'

const thrown = (promise: Promise<unknown>): Promise<RametError> => promise.then(() => expect.fail('it should have been refused'), (error: RametError) => error)

interface Counter {
  add(by: number): number
  total(): number
}
/** Files of equal name and text are one module: each test has a text of its own. */
const counterOf = (test: number): string => `export const test = ${test}\nlet sum = 0\nexport const add = (by: number): number => (sum += by)\nexport const total = (): number => sum\n`
const entry = (step: number): string => `import { add, total as sum } from './counter.ts'\nexport const bump = (): number => add(${step})\nexport const total = (): number => sum()\n`
interface Entry {
  bump(): number
  total(): number
}

describe.each(['20.20.2', '12.22.12'] as const)('code on Node %s', (version) => {
  const node = nodeBinary(version)

  describe.skipIf(node === undefined)('from .cache/node (npm run test:e2e fetches it)', () => {
    const open = async (limits: { code?: number; message?: number } = {}): Promise<{ ramet: Controller; context: Context }> => {
      const ramet = new Controller({ limits })
      return { ramet, context: await ramet.connect('local:', { node: node!, runtime: 'node' }) }
    }
    let ramet: Controller
    let context: Context
    let files: Project
    let tests = 0
    let counter: string

    beforeAll(async () => {
      ({ ramet, context } = await open())
    })
    afterAll(() => ramet.close())
    beforeEach(() => {
      counter = counterOf(++tests)
      files = project({ 'counter.ts': counter, 'one.ts': entry(1), 'two.ts': entry(100) })
    })
    afterEach(() => files.remove())

    const stats = (of = ramet, index = 0) => of.stats().links[index]!
    /** What `work` added to the numbers of the link. */
    const shipped = async (work: () => Promise<unknown>) => {
      const { modulesSent, modulesReused, codeBytes } = stats()
      await work()
      const after = stats()
      return { sent: after.modulesSent - modulesSent, reused: after.modulesReused - modulesReused, bytes: after.codeBytes - codeBytes }
    }

    test('a module keeps its state between calls and between the handles of use()', async () => {
      const first = context.use<Counter>(files.path('counter.ts'))
      expect([await first.add(2), await first.add(3)]).toEqual([2, 5])
      const again = await shipped(async () => expect(await context.use<Counter>(files.path('counter.ts')).total()).toBe(5))
      expect(again).toEqual({ sent: 0, reused: 0, bytes: 0 })
    })

    test('two entries that import a module share its one instance, and its text is sent once', async () => {
      const one = await shipped(async () => expect(await context.use<Entry>(files.path('one.ts')).bump()).toBe(1))
      expect(one.sent).toBe(2)
      expect(one.bytes).toBeGreaterThan(0)
      const two = await shipped(async () => expect(await context.use<Entry>(files.path('two.ts')).bump()).toBe(101))
      expect(two).toMatchObject({ sent: 1, reused: 0 })
      expect(await context.use<Counter>(files.path('counter.ts')).total()).toBe(101)
    })

    test('an edit sends what changed; that and its importers start anew, the rest keeps its state', async () => {
      const one = context.use<Entry>(files.path('one.ts'))
      await one.bump()
      await context.use<Entry>(files.path('two.ts')).bump()
      await files.write('two.ts', entry(1000))
      const edited = await shipped(async () => expect(await context.use<Entry>(files.path('two.ts')).bump()).toBe(1101))
      expect(edited).toMatchObject({ sent: 1, reused: 0 })
      // A handle stays with what it read first.
      expect(await one.bump()).toBe(1102)
      await files.write('counter.ts', `${counter}// edited\nexport const more = 1\n`)
      const below = await shipped(async () => expect(await context.use<Entry>(files.path('two.ts')).bump()).toBe(1000))
      expect(below).toMatchObject({ sent: 1, reused: 1 })
      expect(await one.total()).toBe(1102)
      await files.write('counter.ts', counter)
      expect(await context.use<Entry>(files.path('two.ts')).total()).toBe(1102)
    })

    test('each context has instances of its own, and so have the Worker and the main thread', async () => {
      const other = await ramet.connect('local:', { node: node!, runtime: 'node', fresh: true })
      const inline = context.with({ isolate: 'none' })
      expect(await context.use<Counter>(files.path('counter.ts')).add(1)).toBe(1)
      const reused = await shipped(async () => expect(await inline.use<Counter>(files.path('counter.ts')).add(10)).toBe(10))
      expect(reused).toEqual({ sent: 0, reused: 1, bytes: 0 })
      expect(await other.use<Counter>(files.path('counter.ts')).add(100)).toBe(100)
      expect(stats(ramet, 1).modulesSent).toBe(1)
      expect([await context.use<Counter>(files.path('counter.ts')).total(), await inline.use<Counter>(files.path('counter.ts')).total()]).toEqual([1, 10])
      await other.close()
    })

    test('files() names what would leave this machine, and sends nothing', async () => {
      const nothing = await shipped(async () => {
        const sent = await context.use<Entry>(files.path('one.ts')).files()
        expect(sent.map(({ file }) => file).sort()).toEqual([files.path('counter.ts'), files.path('one.ts')])
        for (const { bytes, hash } of sent) {
          expect(bytes).toBeGreaterThan(50)
          expect(hash).toMatch(/^[0-9a-f]{64}$/)
        }
      })
      expect(nothing).toEqual({ sent: 0, reused: 0, bytes: 0 })
    })

    const framesOut = async (work: () => Promise<unknown>): Promise<number> => {
      const before = stats().framesOut
      await work()
      return stats().framesOut - before
    }

    test('a file whose name is denied, one that does not compile and one that is missing are refused before anything is sent', async () => {
      await files.write('secrets.json', '{"a":1}')
      await files.write('denied.ts', "import data from './secrets.json'\nexport const f = () => data\n")
      await files.write('broken.ts', 'export const f = () => {\n  return }}\n')
      await files.write('missing.ts', "import './nowhere.ts'\nexport const f = () => 1\n")
      const refuse = async (name: string) => thrown(context.use<{ f(): void }>(files.path(name)).f())
      expect(await framesOut(async () => {
        expect(await refuse('denied.ts')).toMatchObject({ code: 'module-denied', outcome: 'not-sent', message: expect.stringContaining(`${files.path('denied.ts')}:1:18: ${files.path('secrets.json')} may not be sent`) })
        expect(await refuse('broken.ts')).toMatchObject({ code: 'module-failed', outcome: 'not-sent', message: expect.stringContaining(`${files.path('broken.ts')}:2:11`) })
        expect(await refuse('missing.ts')).toMatchObject({ code: 'module-not-found', outcome: 'not-sent', message: expect.stringContaining(`${files.path('missing.ts')}:1:8`) })
        expect(await refuse('absent.ts')).toMatchObject({ code: 'module-not-found', outcome: 'not-sent' })
      })).toBe(0)
    })

    test('what is not there is missing as Node says it to code that is prepared for it, and ends a call that is not as ours', async () => {
      await files.write('parts.cjs', `
        const told = (e) => [e instanceof Error, e.code, e.message.startsWith("Cannot find module 'no-such-part'")]
        exports.optional = () => { try { return require('no-such-part') } catch (e) { return told(e) } }
        exports.lazily = (name) => import(name).then(() => 'found', told)
        exports.needed = (name) => require(name)
        exports.lazilyNeeded = async (name) => { await import(name) }
      `)
      await files.write('parts.ts', "export const lazily = async (name: string): Promise<unknown> => { try { return (await import(name)).sep } catch (e: any) { return e.code } }\n")
      interface Parts { optional(): unknown; lazily(name: string): unknown; needed(name: string): unknown; lazilyNeeded(name: string): unknown }
      for (const isolate of ['worker', 'none'] as const) {
        const parts = context.with({ isolate }).use<Parts>(files.path('parts.cjs'))
        expect(await parts.optional()).toEqual([true, 'MODULE_NOT_FOUND', true])
        expect(await parts.lazily('no-such-part')).toEqual([true, 'ERR_MODULE_NOT_FOUND', true])
        expect(await parts.lazily('os')).toBe('found')
        for (const call of [parts.needed('no-such-part'), parts.lazilyNeeded('no-such-part')]) {
          expect(await thrown(call)).toMatchObject({
            code: 'module-not-found', outcome: 'failed', path: context.path, message: expect.stringMatching(/Cannot find module 'no-such-part', .*parts\.cjs/), hint: expect.stringContaining('sent along'),
          })
        }
        const esm = context.with({ isolate }).use<Parts>(files.path('parts.ts'))
        expect([await esm.lazily('no-such-part'), await esm.lazily('path')]).toEqual(['ERR_MODULE_NOT_FOUND', '/'])
        expect(await context.with({ isolate }).call((name: string) => import(name).then(() => 'found', (e: { code: string }) => e.code), 'no-such-part')).toBe('ERR_MODULE_NOT_FOUND')
      }
    })

    test('a module that throws while it is loaded fails every call with that error, until it is edited', async () => {
      await files.write('loads.ts', "import { add } from './counter.ts'\nadd(1)\nthrow new RangeError('not today')\nexport const f = () => 1\n")
      for (const isolate of ['worker', 'none'] as const) {
        const where = context.with({ isolate })
        for (let round = 0; round < 2; round++) {
          const error = await thrown(where.use<{ f(): number }>(files.path('loads.ts')).f())
          expect(error).toMatchObject({ code: 'remote-error', cause: { name: 'RangeError', message: 'not today' } })
          expect((error.cause as Error).stack).toContain(`${files.path('loads.ts')}:3:7`)
        }
        // It was run once for each call.
        expect(await where.use<Counter>(files.path('counter.ts')).total()).toBe(2)
      }
      await files.write('loads.ts', 'export const f = () => 1\n')
      expect(await context.use<{ f(): number }>(files.path('loads.ts')).f()).toBe(1)
    })

    test('an export that is not there is named, and those that are', async () => {
      const error = await thrown(context.use<{ sub(): number }>(files.path('counter.ts')).sub())
      expect(error).toMatchObject({ code: 'export-missing', message: expect.stringContaining("'sub'"), hint: 'It exports: add, total.', path: context.path })
      expect(await thrown(context.use<{ toString(): number }>(files.path('counter.ts')).toString())).toMatchObject({ code: 'export-missing' })
    })

    test('a function that captures variables is refused before anything is sent, naming them', async () => {
      const captured = 5
      expect(await framesOut(async () => {
        expect(await thrown(context.call(() => captured + files.path.length))).toMatchObject({ code: 'captured-variables', outcome: 'not-sent', message: expect.stringMatching(/captured.*files/) })
      })).toBe(0)
    })

    test('what cannot travel is refused where it is, with the path to it', async () => {
      // The code itself may go: only the call is refused.
      const echo = (value: object): object => value
      expect(await context.call(echo, {})).toEqual({})
      expect(await framesOut(async () => {
        expect(await thrown(context.call(echo, { a: [1, { f: () => 1 }] }))).toMatchObject({ code: 'argument-unsupported', outcome: 'not-sent', message: expect.stringContaining('args[0].a[1].f') })
        const cyclic: Record<string, unknown> = {}
        cyclic['self'] = [cyclic]
        expect(await thrown(context.call(echo, cyclic))).toMatchObject({ code: 'argument-unsupported', message: expect.stringMatching(/args\[0\]\.self.*contains itself/) })
      })).toBe(0)
      for (const isolate of ['worker', 'none'] as const) {
        expect(await thrown(context.with({ isolate }).call(() => ({ list: [0, Symbol('s')] })))).toMatchObject({ code: 'result-unsupported', message: expect.stringContaining('result.list[1]'), path: context.path })
      }
    })

    test('an argument of 200 MiB is refused here and a result beyond the limit there, naming the limit; smaller ones go on', async () => {
      const error = await thrown(context.call((bytes: Uint8Array) => bytes.length, new Uint8Array(200 * 1024 * 1024)))
      expect(error).toMatchObject({ code: 'message-too-large', outcome: 'not-sent', path: context.path, message: expect.stringMatching(/67,?108,?864|64 MiB/), hint: expect.stringContaining('limits.message') })
      const small = await open({ message: 100_000 })
      for (const isolate of ['worker', 'none'] as const) {
        const where = small.context.with({ isolate })
        expect(await thrown(where.call((length: number) => new Uint8Array(length), 100_001))).toMatchObject({ code: 'message-too-large', message: expect.stringMatching(/100,?000/) })
        expect(await where.call((length: number) => new Uint8Array(length), 99_000)).toHaveLength(99_000)
        expect(await thrown(where.call((bytes: Uint8Array) => bytes.length, new Uint8Array(100_000)))).toMatchObject({ code: 'message-too-large', outcome: 'not-sent' })
      }
      await small.ramet.close()
    })

    test('a context that may keep little code asks again for what it let go of', async () => {
      const padding = (name: string): string => `export const name = (): string => '${name}'\nexport const exit = (): void => process.exit(0)\nexport const pad = '${name.repeat(2000)}'\n`
      interface Named {
        name(): string
        exit(): void
      }
      for (const name of ['a', 'b', 'c']) await files.write(`${name}.ts`, padding(name))
      await files.write('all.ts', "import { pad } from './a.ts'\nimport { name } from './b.ts'\nexport { name, exit } from './c.ts'\nexport const length = () => pad.length + name().length\n")
      const small = await open({ code: 7500 })
      const use = (name: string, isolate: 'worker' | 'none') => small.context.with({ isolate }).use<Named>(files.path(`${name}.ts`))
      const sent = () => stats(small.ramet).modulesSent
      for (const name of ['a', 'b', 'c']) expect(await use(name, 'worker').name()).toBe(name)
      expect(sent()).toBe(3)
      // Sent for the Worker, wanted for the main thread: of the first the cache has let go, the last is there still.
      expect(await use('c', 'none').name()).toBe('c')
      expect(sent()).toBe(3)
      expect(await use('a', 'none').name()).toBe('a')
      expect(sent()).toBe(4)
      // Commands use code, too.
      expect(await small.context.exec('echo well')).toMatchObject({ stdout: 'well\n' })
      expect(await small.context.exec('echo well')).toMatchObject({ stdout: 'well\n' })
      // The next Worker needs all that the last one had.
      expect(await thrown(use('b', 'worker').exit())).toMatchObject({ code: 'worker-exited' })
      expect(await Promise.all(['a', 'b', 'c'].map((name) => use(name, 'worker').name()))).toEqual(['a', 'b', 'c'])
      // One graph must fit.
      expect(await thrown(use('all', 'worker').name())).toMatchObject({ code: 'module-failed', outcome: 'not-sent', hint: expect.stringContaining('limits.code') })
      await small.ramet.close()
    })

    test('a group answers for each of its contexts, and a failure of one keeps no other', async () => {
      const other = await ramet.connect('local:', { node: node!, runtime: 'node', fresh: true })
      await context.use<Counter>(files.path('counter.ts')).add(7)
      const both = group([context, other])
      expect(await both.use<Counter>(files.path('counter.ts')).add(1)).toEqual(new Map([[context, { ok: true, value: 8 }], [other, { ok: true, value: 1 }]]))
      expect((await both.call((a: number) => a * 2, 4)).get(other)).toEqual({ ok: true, value: 8 })
      expect((await both.exec('echo x')).get(context)).toMatchObject({ ok: true, value: { stdout: 'x\n' } })
      await other.close()
      const after = await both.use<Counter>(files.path('counter.ts')).total()
      expect(after.get(context)).toEqual({ ok: true, value: 8 })
      expect(after.get(other)).toMatchObject({ ok: false, error: { code: 'closed', outcome: 'not-sent' } })
    })

    test('calls made in order start in order, whatever code has to come first, and interleave at awaits', async () => {
      await files.write('order.ts', 'const order: string[] = []\nexport const note = async (name: string) => {\n  order.push(name)\n  await null\n  order.push(name)\n}\nexport const noted = () => order.splice(0)\n')
      await files.write('large.ts', `export { note } from './order.ts'\nexport const data = ${JSON.stringify(Array.from({ length: 100_000 }, (_, index) => Math.sin(index)))}\n`)
      interface Order {
        note(name: string): Promise<void>
        noted(): string[]
      }
      for (const isolate of ['worker', 'none'] as const) {
        const order = context.with({ isolate }).use<Order>(files.path('order.ts'))
        // The first calls wait for the files to be read; all leave in the order in which they were made.
        await Promise.all(['a', 'b', 'c'].map((name) => order.note(name)))
        expect((await order.noted()).filter((name, index, all) => all.indexOf(name) === index)).toEqual(['a', 'b', 'c'])
        const large = context.with({ isolate }).use<Order>(files.path('large.ts'))
        await large.files()
        await Promise.all([large.note('large'), order.note('x'), order.note('y')])
        expect((await order.noted()).filter((name, index, all) => all.indexOf(name) === index)).toEqual(['large', 'x', 'y'])
        await files.write('large.ts', `export { note } from './order.ts'\nexport const data = ${JSON.stringify(Array.from({ length: 100_000 }, (_, index) => Math.cos(index)))}\n`)
      }
    })

    test('calls of one context made in order start in order, whichever way they are made and whatever has to be read first', async () => {
      await files.write('order.ts', `export const test = ${tests}\nconst order: string[] = (globalThis as any).order${tests} = []\nexport const note = (name: string) => void order.push(name)\nexport const noted = () => order.splice(0)\n`)
      await files.write('unread.ts', "export { note } from './order.ts'\nexport * as net from 'node:net'\n")
      await files.write('broken.ts', 'export const note = () => {{\n')
      interface Order {
        note(name: string): void
        noted(): string[]
      }
      const order = context.use<Order>(files.path('order.ts'))
      await order.note('read')
      await order.noted()
      const sleeping = context.call(() => new Promise<void>((resolve) => { Object.assign(globalThis, { wakeOrder: resolve }) }))
      sleeping.catch(() => {})
      const key = `order${tests}`
      const broken = thrown(context.use<Order>(files.path('broken.ts')).note('broken'))
      await Promise.all([
        context.use<Order>(files.path('unread.ts')).note('unread'),
        context.call((name: string) => void (globalThis as unknown as Record<string, string[]>)[name]!.push('function'), key),
        order.note('warm'),
        group([context]).use<Order>(files.path('order.ts')).note('group'),
        context.with({ timeout: 60_000 }).use<Order>(files.path('order.ts')).note('with'),
      ])
      expect(await order.noted()).toEqual(['unread', 'function', 'warm', 'group', 'with'])
      expect(await broken).toMatchObject({ code: 'module-failed' })
      // A call that leaves at once does not overtake one of a group, which leaves at the end of the tick.
      const members = group([context]).use<Order>(files.path('order.ts'))
      await members.note('read')
      await order.noted()
      await Promise.all([members.note('group'), order.note('warm')])
      expect(await order.noted()).toEqual(['group', 'warm'])
      // Nobody waited for the call that was still running.
      await context.call(() => (globalThis as unknown as { wakeOrder(): void }).wakeOrder())
      await sleeping
    })

    test('stacks name the right file where two have the same text', async () => {
      const text = "export const fails = () => {\n  throw new Error('here')\n}\n"
      await files.write('x/same.ts', text)
      await files.write('y/same.ts', text)
      for (const name of ['x/same.ts', 'y/same.ts', 'x/same.ts']) {
        const error = await thrown(context.use<{ fails(): void }>(files.path(name)).fails())
        expect((error.cause as Error).stack).toContain(`${files.path(name)}:2:9`)
      }
    })
  })
})
