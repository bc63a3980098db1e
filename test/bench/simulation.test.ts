import { expect, test } from 'vitest'
import { lineThrough, type Costs, type Line } from '../../bench/simulation/costs.ts'
import { Events, Heap, randomOf } from '../../bench/simulation/events.ts'
import { Gate, Machine, Thread } from '../../bench/simulation/machine.ts'
import { pace, simulate, type Deployment } from '../../bench/simulation/tree.ts'

test('events run by time, those of one time in the order in which they were planned, and later ones may be planned on the way', () => {
  const events = new Events()
  const seen: [string, number][] = []
  const note = (name: string) => (): void => void seen.push([name, events.now])
  events.in(5, note('c'))
  events.in(1, () => {
    note('a')()
    events.in(4, note('d'))
    events.in(0, note('b'))
  })
  events.run()
  expect(seen).toEqual([['a', 1], ['b', 1], ['c', 5], ['d', 5]])
})

test('a heap gives back in order whatever was put in', () => {
  const random = randomOf(7)
  const numbers = Array.from({ length: 500 }, () => Math.floor(random() * 100))
  const heap = new Heap<number>((a, b) => a - b)
  for (const number of numbers) heap.push(number)
  expect(numbers.map(() => heap.pop())).toEqual([...numbers].sort((a, b) => a - b))
  expect(heap.pop()).toBeUndefined()
})

test('threads share the cores of a machine alike, and one thread has one core at most', () => {
  const events = new Events()
  const machine = new Machine(events, 2)
  const ends: number[] = []
  for (const work of [10, 10, 10, 40]) machine.work(work, () => ends.push(events.now))
  // Four on two cores: at half speed until the three of 10 have ended at 20, then 30 more alone at full speed.
  events.run()
  expect(ends).toEqual([20, 20, 20, 50])
})

test('work that comes later slows down what runs already, and no work is lost', () => {
  const events = new Events()
  const machine = new Machine(events, 1)
  const ends: number[] = []
  machine.work(10, () => ends.push(events.now))
  events.in(5, () => machine.work(2, () => ends.push(events.now)))
  events.run()
  expect(ends).toEqual([9, 12])
})

test('a thread does one thing after the other on however many cores', () => {
  const events = new Events()
  const thread = new Thread(new Machine(events, 8))
  const ends: number[] = []
  for (const work of [3, 4]) thread.work(work, () => ends.push(events.now))
  events.run()
  expect([ends, thread.used]).toEqual([[3, 7], 7])
})

test('a gate lets in as many as it has room for, in the order in which they came', () => {
  const gate = new Gate(2)
  const inside: number[] = []
  for (const number of [1, 2, 3, 4]) gate.enter(() => inside.push(number))
  expect(inside).toEqual([1, 2])
  gate.leave()
  gate.leave()
  expect(inside).toEqual([1, 2, 3, 4])
})

const each = (cost: number): Line => ({ fixed: 0, each: cost })
const costs: Costs = {
  direct: { connect: each(4), call: each(0.1) },
  behind: { connect: each(2), call: each(0.05) },
  hop: { connect: each(4), call: each(0.1) },
  session: { connect: each(0.4), call: each(0.02) },
  forward: { connect: each(1), call: each(0.05) },
  target: { connect: 50, call: 0.2, pause: 0 },
}
const deployment: Deployment = { targets: 1000, hops: [], shared: false, cores: 2, rtt: 0, window: Infinity, hopsOpen: true }

test('many targets on machines of their own take as long as the controller computes; a single one as long as everybody', () => {
  const many = simulate(deployment, costs)
  expect(many.controllerCpu.connect / 4000).toBeCloseTo(1, 1)
  expect(many.connect / many.controllerCpu.connect).toBeCloseTo(1, 1)
  expect(many.call / 100).toBeCloseTo(1, 1)
  const { connect } = simulate({ ...deployment, targets: 1, rtt: 100 }, costs)
  // 54 ms of computing, give or take a tenth, and four round trips.
  expect(connect).toBeGreaterThan(448)
  expect(connect).toBeLessThan(460)
})

test('targets that share the cores of one machine with the controller take what all compute, divided by the cores', () => {
  const { connect } = simulate({ ...deployment, targets: 200, shared: true }, costs)
  expect(connect / (200 * 54 / 2)).toBeCloseTo(1, 1)
})

test('hops beside each other share the work that would be too much for one of them', () => {
  const slow: Costs = { ...costs, hop: { connect: each(40), call: each(4) } }
  const one = simulate({ ...deployment, hops: [1] }, slow)
  const four = simulate({ ...deployment, hops: [4] }, slow)
  expect(one.connect / four.connect).toBeCloseTo(4, 0)
  expect(one.hopCpu.connect / four.hopCpu.connect).toBeCloseTo(4, 0)
  expect(one.call / four.call).toBeCloseTo(4, 0)
})

test('what a first level of hops passes on costs it, and its own way is one more stretch', () => {
  const few: Deployment = { ...deployment, targets: 1, rtt: 100 }
  // What a login takes the target differs from one run to the other by more than what is looked at here.
  const quick: Costs = { ...costs, target: { ...costs.target, connect: 0 } }
  const [near, far] = [simulate({ ...few, hops: [1] }, quick), simulate({ ...few, hops: [1, 1] }, quick)]
  // The request, the question and the answer to it, and the result each pass one stretch more.
  expect(far.connect - near.connect).toBeGreaterThan(200)
  expect(far.connect - near.connect).toBeLessThan(205)
  expect(far.call - near.call).toBeGreaterThan(100)
})

test.each([['controller', [], 65], ['hop', [1], 75]] as const)('no target hears of a call before its %s has made those to all of its siblings', (_, hops, written) => {
  const one: Costs = { ...costs, direct: { ...costs.direct, call: each(100) }, behind: { ...costs.behind, call: each(0) }, hop: { ...costs.hop, call: each(100) },
    session: { ...costs.session, call: each(0) }, target: { ...costs.target, call: 60 } }
  const { call } = simulate({ ...deployment, targets: 2, hops, cores: 10, shared: true }, one)
  // Both are made after 50; the first answer comes a target's 60, give or take a tenth, after it was asked, and then there are two to take in.
  const expected = written + 60 + (hops.length === 0 ? 2 * 60 : 2 * 50)
  expect(Math.abs(call - expected)).toBeLessThan(7)
})

test('hops that are not open yet have to be connected first', () => {
  const open = simulate({ ...deployment, targets: 10, hops: [1] }, costs)
  const shut = simulate({ ...deployment, targets: 10, hops: [1], hopsOpen: false }, costs)
  expect(shut.connect - open.connect).toBeGreaterThan(45)
})

test('eight logins at once go to one server, however many may go to all', () => {
  const far: Deployment = { ...deployment, targets: 8 * pace, rtt: 1000, servers: 1 }
  const { connect } = simulate(far, costs)
  expect(Math.floor(connect / 4000)).toBe(8)
  expect(Math.floor(simulate({ ...far, servers: 8 }, costs).connect / 4000)).toBe(1)
  expect(Math.floor(simulate({ ...far, servers: 8, window: 16 }, costs).connect / 4000)).toBe(4)
})

test('the same seed gives the same outcome, another one another', () => {
  const few: Deployment = { ...deployment, targets: 50, hops: [2], rtt: 3 }
  expect(simulate(few, costs, 1)).toEqual(simulate(few, costs, 1))
  expect(simulate(few, costs, 2)).not.toEqual(simulate(few, costs, 1))
})

test('a cost through two sizes has no negative part: where the two disagree with a line, the larger size counts', () => {
  expect(lineThrough(3, 12, 10)).toEqual({ fixed: 2, each: 1 })
  expect(lineThrough(1, 20, 10)).toEqual({ fixed: 0, each: 2 })
  expect(lineThrough(30, 20, 10)).toEqual({ fixed: 0, each: 2 })
})
