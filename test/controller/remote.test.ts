import { expect, test } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import { inlineGraph } from '../../src/controller/code-graph.ts'
import { remoteModule } from '../../src/controller/remote.ts'
import { Turns } from '../../src/controller/turns.ts'

test('a module whose file was wrong is read again by the next call, and nothing is sent of the calls that failed', async () => {
  let broken = true
  let loads = 0
  const sent: unknown[] = []
  const turns = new Turns()
  const graph = inlineGraph('module.exports={}', 'f')
  const module = remoteModule<{ f(x: number): string }>(async () => {
    loads += 1
    if (broken) throw new Error('does not compile')
    return graph
  }, (_graph, name, args, resolve) => {
    sent.push([name, args])
    resolve('well')
  }, () => turns, () => () => {})
  const outcomes = await Promise.allSettled([module.f(1), module.f(2), module.files()])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(loads).toBe(1)
  broken = false
  expect(await Promise.all([module.f(3), module.f(4)])).toEqual(['well', 'well'])
  expect(sent).toEqual([['f', [3]], ['f', [4]]])
  expect(await module.files()).toEqual([])
  expect(loads).toBe(2)
})

test('a call that cannot be sent costs none of those that were made while the file was read', async () => {
  const turns = new Turns()
  const graph = inlineGraph('module.exports={}', 'f')
  const module = remoteModule<{ f(x: number): string }>(async () => graph, (_graph, _name, [x], resolve) => {
    if (x === 1) throw new Error('cannot be sent')
    resolve(`sent ${String(x)}`)
  }, () => turns, () => () => {})
  expect(await Promise.allSettled([module.f(1), module.f(2)])).toMatchObject([{ status: 'rejected', reason: { message: 'cannot be sent' } }, { value: 'sent 2' }])
})

test('a module whose code has been read waits for that of the calls before it, and then leaves at once again', async () => {
  const graph = inlineGraph('module.exports={}', 'f')
  const turns = new Turns()
  const sent: unknown[] = []
  const moduleOf = (load: () => Promise<typeof graph>) => remoteModule<{ f(x: number): void }>(load, (_graph, _name, [x], resolve) => {
    sent.push(x)
    resolve(undefined)
  }, () => turns, () => () => {})
  const { promise, resolve } = deferred<typeof graph>()
  const warm = moduleOf(async () => graph)
  await warm.f(1)
  const failing = moduleOf(async () => { throw new Error('does not compile') }).f(2)
  const slow = moduleOf(() => promise).f(3)
  const calls = [warm.f(4), moduleOf(async () => graph).f(5)]
  await expect(failing).rejects.toThrow('does not compile')
  expect(sent).toEqual([1])
  resolve(graph)
  await Promise.all([slow, ...calls])
  expect(sent).toEqual([1, 3, 4, 5])
  void warm.f(6)
  expect(sent).toEqual([1, 3, 4, 5, 6])
})

test('a promise that gives a module, and a logger that is given one, call nothing', async () => {
  const sent: string[] = []
  const module = remoteModule<{ f(): string }>(async () => inlineGraph('module.exports={}', 'f'), (_graph, name) => void sent.push(name), () => new Turns(), () => () => {})
  const given = await Promise.resolve(module)
  expect(JSON.stringify({ given })).toBe('{"given":{}}')
  await module.files()
  expect(sent).toEqual([])
})
