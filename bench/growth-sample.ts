import { cpuOf, machineCpu, parentOf } from './cpu.ts'
import type { Driver } from './driver.ts'
import { sum, total, type Memory, type Sample, type Shares } from './growth-figures.ts'
import { privateDirty, processTree, resident } from './memory.ts'
import type { Spent } from './ramet-growth.ts'
import type { Sshd } from './sshd.ts'
import { addresses, type Endpoint } from './workspace.ts'

/** How the contexts stand to the controller. `levels` hops are on the way to each, `width` hops beside each other on each level. */
export interface Shape {
  name: string
  width: number
  levels: number
}

/** A controller with a tree of hops, from which contexts are grown and shrunk. */
export class Growth {
  readonly #driver: Driver
  readonly #sshd: Sshd
  readonly #shape: Shape
  /** Names of the hops below which the targets go. */
  #vias: string[] = []
  /** Pids by level. */
  readonly #hops: number[][] = []
  readonly #hopSessions: number[][] = []
  #stubs: number[] = []

  constructor(driver: Driver, sshd: Sshd, shape: Shape) {
    this.#driver = driver
    this.#sshd = sshd
    this.#shape = shape
  }

  /** Opens the hops, one below the other on each of the ways. */
  async prepare(): Promise<void> {
    const { width, levels } = this.#shape
    for (let level = 0; level < levels; level++) {
      const above = this.#vias
      const [pids, sessions]: [number[], number[]] = [[], []]
      this.#vias = []
      for (let index = 0; index < width; index++) {
        const name = `hop-${level}-${index}`
        const pid = await this.#driver.request<number>('open', { name, target: this.#endpoint(level * width + index), idle: true, ...(above.length === 0 ? {} : { via: above[index] }) })
        this.#vias.push(name)
        pids.push(pid)
        sessions.push(...this.#sessionsOf(pid))
      }
      this.#hops.push(pids)
      this.#hopSessions.push(sessions)
    }
  }

  async connect(count: number): Promise<Pick<Sample, 'connect' | 'connectCpu' | 'connectOther'>> {
    const first = this.#shape.width * this.#shape.levels
    const targets = Array.from({ length: count }, (_, index) => this.#endpoint(first + index))
    const [before, machine] = [this.#cpu(), machineCpu()]
    const { took, cpu, pids } = await this.#driver.request<Spent & { pids: number[] }>('grow', { targets, vias: this.#vias })
    const { busy } = machineCpu(machine)
    this.#stubs = pids
    const connectCpu = { ...spent(before, this.#cpu()), controller: cpu }
    return { connect: took, connectCpu, connectOther: busy - total(connectCpu) }
  }

  /** Means of so many calls to all. As many go before them in every size: the targets' code is compiled as far in each. */
  async call(times = 20): Promise<Pick<Sample, 'call' | 'callCpu' | 'callOther'>> {
    await this.#driver.request('call_grown', { times })
    const [before, machine] = [this.#cpu(), machineCpu()]
    const { took, cpu } = await this.#driver.request<Spent>('call_grown', { times })
    const { busy } = machineCpu(machine)
    const callCpu = { ...mapShares(spent(before, this.#cpu()), (value) => value / times), controller: cpu }
    return { call: took, callCpu, callOther: busy / times - total(callCpu) }
  }

  async memory(): Promise<Memory> {
    await this.#driver.request('settle')
    const some = this.#stubs.slice(0, 20)
    const hop = this.#hops.at(-1)?.[0]
    return {
      count: this.#stubs.length,
      controller: memoryOf([this.#driver.pid]),
      ...(hop === undefined ? {} : { hop: memoryOf([hop]) }),
      stub: memoryOf(some),
      session: memoryOf(some.flatMap((pid) => this.#sessionsOf(pid))),
    }
  }

  /** Resolves when nothing of the contexts is left on this machine. */
  async shrink(): Promise<void> {
    await this.#driver.request('shrink')
    this.#stubs = []
    const hops = [this.#hops, this.#hopSessions].flat(2).length
    for (let looks = 0; looks < 500 && this.#sshd.pids.flatMap(processTree).length > this.#sshd.pids.length + hops; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  #endpoint(index: number): Endpoint {
    const host = addresses[index]
    if (host === undefined) throw new Error(`no address for target ${index}`)
    return { host, port: this.#sshd.port }
  }

  /** What stands between a stub and the server that listens. */
  #sessionsOf(pid: number): number[] {
    const found: number[] = []
    for (let above = parentOf(pid); above > 1 && !this.#sshd.pids.includes(above); above = parentOf(above)) found.push(above)
    return found
  }

  #cpu(): Omit<Shares, 'controller'> {
    const apart = new Set([this.#hops, this.#hopSessions].flat(2))
    return {
      hops: this.#hops.map((pids) => sum(pids.map(cpuOf))),
      hopSessions: this.#hopSessions.map((pids) => sum(pids.map(cpuOf))),
      targets: sum(this.#sshd.pids.flatMap(processTree).filter((pid) => !apart.has(pid)).map(cpuOf)),
    }
  }
}

function spent(before: Omit<Shares, 'controller'>, after: Omit<Shares, 'controller'>): Omit<Shares, 'controller'> {
  const minus = (list: number[], other: number[]): number[] => list.map((value, index) => value - (other[index] ?? 0))
  return { hops: minus(after.hops, before.hops), hopSessions: minus(after.hopSessions, before.hopSessions), targets: after.targets - before.targets }
}

function mapShares(shares: Omit<Shares, 'controller'>, change: (value: number) => number): Omit<Shares, 'controller'> {
  return { hops: shares.hops.map(change), hopSessions: shares.hopSessions.map(change), targets: change(shares.targets) }
}

function memoryOf(pids: readonly number[]): [number, number] {
  return [privateDirty(pids) / pids.length / 1e6, sum(pids.map(resident)) / pids.length / 1e6]
}
