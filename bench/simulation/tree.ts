import { Events, randomOf } from './events.ts'
import { Gate, Machine, Thread } from './machine.ts'
import type { Costs, Line } from './costs.ts'

/** Logins that ramet makes at once to one server, from one machine (src/connect/pace.ts). */
export const pace = 8

/** A tree of contexts and what it stands on. */
export interface Deployment {
  targets: number
  /** Hops on each level from the controller on; [] is flat. Each level is spread evenly over the one above it. */
  hops: readonly number[]
  /** Whether everything is on one machine of that many cores, as in the laboratory, or each process on one of its own. */
  shared: boolean
  cores: number
  /** ms between any two machines and back. */
  rtt: number
  /** Connects at once, of the controller in all. */
  window: number
  /** Servers that the targets are accounts of; by default as many as targets. */
  servers?: number
  /** Whether the hops stand before the clock starts, as in the laboratory. */
  hopsOpen: boolean
}

export interface Outcome {
  /** ms until all targets have answered once. */
  connect: number
  /** ms of the slowest single login, from its first byte. */
  slowest: number
  /** ms until all have answered one warm call. */
  call: number
  /** ms of CPU, of the controller and of the busiest hop. */
  controllerCpu: { connect: number; call: number }
  hopCpu: { connect: number; call: number }
}

interface Place {
  thread: Thread
  /** Of the sshd session through which it is reached; the controller has none. */
  session: Thread
  above: Place | undefined
  children: Place[]
}

const none: Place[] = []
const hasChildren = ({ children }: Place): boolean => children.length > 0

type Step = (next: () => void) => void

/** What one tree does, event by event. The same arguments give the same outcome. */
export function simulate(deployment: Deployment, costs: Costs, seed = 1): Outcome {
  const { targets, hops, shared, cores, rtt, window, servers = targets, hopsOpen } = deployment
  const events = new Events()
  const random = randomOf(seed)
  const lab = new Machine(events, cores)
  const machine = (): Machine => (shared ? lab : new Machine(events, cores))
  // A hundred thousand targets that each have a machine to themselves need none that is reckoned with.
  const nobody = new Thread(lab)
  const leafBelow = (above: Place): Place => {
    if (shared) return place(above)
    const leaf: Place = { thread: nobody, session: nobody, above, children: none }
    above.children.push(leaf)
    return leaf
  }
  const place = (above: Place | undefined): Place => {
    const on = machine()
    const made: Place = { thread: new Thread(on), session: new Thread(on), above, children: [] }
    above?.children.push(made)
    return made
  }
  /** No two logins take the same; the mean stays. */
  const vary = (milliseconds: number): number => milliseconds * (0.9 + 0.2 * random())

  const wait = (milliseconds: number): Step => (next) => (milliseconds === 0 ? next() : events.in(milliseconds, next))
  const on = (thread: Thread, milliseconds: number): Step => (next) => (milliseconds === 0 ? next() : thread.work(milliseconds, next))
  /** A target has nothing else to do: alone on its machine it takes as long as it computes. */
  const onTarget = (target: Place, milliseconds: number): Step => (shared ? on(target.thread, milliseconds) : wait(milliseconds))
  /** From the controller to a hop or back: hops between carry it on. */
  const travel = (hop: Place, session: number, forward: number): Step[] => {
    const steps: Step[] = []
    for (let at: Place = hop; at.above !== undefined; at = at.above) {
      steps.push(wait(rtt / 2), on(at.session, session), ...(at === hop ? [] : [on(at.thread, forward)]))
    }
    return steps
  }
  const run = (steps: readonly Step[], done: () => void): void => {
    const go = (index: number): void => {
      const step = steps[index]
      if (step === undefined) done()
      else step(() => go(index + 1))
    }
    go(0)
  }

  const root = place(undefined)
  const login = (target: Place): Step[] => {
    const hop = target.above === root ? undefined : target.above
    const begin = vary(costs.target.connect)
    const [accept, boot] = [0.25 * begin, 0.75 * begin]
    if (hop === undefined) {
      const own = vary(costs.direct.connect.each)
      return [on(root.thread, 0.3 * own), wait(2 * rtt), onTarget(target, accept), on(root.thread, 0.4 * own), wait(rtt + costs.target.pause),
        onTarget(target, boot), wait(rtt), on(root.thread, 0.3 * own)]
    }
    const [own, hops] = [vary(costs.behind.connect.each), vary(costs.hop.connect.each)]
    const between = (): Step[] => travel(hop, costs.session.connect.each / 4, costs.forward.connect.each / 4)
    return [on(root.thread, 0.3 * own), ...between(), on(hop.thread, 0.3 * hops), wait(2 * rtt), onTarget(target, accept), on(hop.thread, 0.3 * hops),
      ...between(), on(root.thread, 0.4 * own), ...between(), on(hop.thread, 0.2 * hops), wait(rtt + costs.target.pause), onTarget(target, boot), wait(rtt),
      on(hop.thread, 0.2 * hops), ...between(), on(root.thread, 0.3 * own)]
  }

  let slowest = 0
  const connectAll = (places: readonly Place[], done: () => void): void => {
    const all = new Gate(window)
    // A server that has one login has no queue.
    const gates = servers < places.length ? Array.from({ length: servers }, () => new Gate(pace)) : [new Gate(Infinity)]
    let left = places.length
    if (left === 0) done()
    for (const [index, target] of places.entries()) {
      const gate = gates[index % gates.length] as Gate
      all.enter(() => gate.enter(() => {
        const begun = events.now
        run(login(target), () => {
          slowest = Math.max(slowest, events.now - begun)
          gate.leave()
          all.leave()
          if (--left === 0) done()
        })
      }))
    }
  }

  const levels: Place[][] = [[root]]
  const levelOf = (count: number, below: (above: Place) => Place): Place[] => {
    const above = levels.at(-1) as Place[]
    const made = Array.from({ length: count }, (_, index) => below(above[index % above.length] as Place))
    levels.push(made)
    return made
  }
  const fixed = (line: Line): number => Math.max(0, line.fixed)
  let connected = 0
  let began = 0
  const beginTargets = (): void => {
    if (hopsOpen) began = events.now
    const leaves = levelOf(targets, leafBelow)
    const first = hops.length === 0 ? costs.direct.connect : costs.behind.connect
    root.thread.work(fixed(first), () => connectAll(leaves, () => (connected = events.now)))
  }
  const openHops = (level: number): void => {
    const count = hops[level]
    if (count === undefined) beginTargets()
    else connectAll(levelOf(count, place), () => openHops(level + 1))
  }
  openHops(0)
  events.run()
  const busiest = (): number => levels.slice(1, -1).flat().reduce((most, { thread, session }) => Math.max(most, thread.used + session.used), 0)
  const afterConnect = { controller: root.thread.used, hop: busiest() }

  const callBegan = events.now
  for (const each of levels.slice(0, -1).flat()) each.thread.used = each.session.used = 0
  let answered = callBegan
  const own = hops.length === 0 ? costs.direct.call : costs.behind.call
  /** Each answer comes back alone; what is asked crosses each link once. */
  const answer = (leaf: Place, hop: Place | undefined): void => run([
    wait(rtt / 2), onTarget(leaf, vary(costs.target.call)), wait(rtt / 2),
    ...(hop === undefined ? [] : [on(hop.thread, 0.5 * costs.hop.call.each), ...travel(hop, costs.session.call.each, costs.forward.call.each)]),
    on(root.thread, 0.6 * own.each),
  ], () => (answered = events.now))
  const spread = (at: Place): void => {
    if (at.children.some(hasChildren)) {
      for (const child of at.children) run([wait(rtt / 2), on(child.session, fixed(costs.session.call)), on(child.thread, fixed(child.children.some(hasChildren) ? costs.forward.call : costs.hop.call))], () => spread(child))
      return
    }
    // All that leaves in one tick is made before the first of it is written: a quarter of the whole, as the first write of 60 calls told (0.7 of 2.8 ms).
    const each = at === root ? own.each : costs.hop.call.each
    const [making, writing] = at === root ? [0.25, 0.15] : [0.25, 0.25]
    at.thread.work(making * each * at.children.length, () => {
      for (const leaf of at.children) run([on(at.thread, writing * each)], () => answer(leaf, at === root ? undefined : at))
    })
  }
  root.thread.work(fixed(own) + (hops.length === 0 ? 0 : 0.4 * own.each * targets), () => spread(root))
  events.run()
  return {
    connect: connected - began,
    slowest,
    call: answered - callBegan,
    controllerCpu: { connect: afterConnect.controller, call: root.thread.used },
    hopCpu: { connect: afterConnect.hop, call: busiest() },
  }
}
