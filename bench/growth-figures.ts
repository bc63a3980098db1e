/** Milliseconds of CPU by whom: hops by level, and everything that a target's machine does, its sshd included. */
export interface Shares {
  controller: number
  hops: number[]
  /** The sshd sessions through which the hops are reached; they carry what passes to and from the controller. */
  hopSessions: number[]
  targets: number
}

/** What one size of one shape took. */
export interface Sample {
  count: number
  /** ms until all are connected and have answered once. */
  connect: number
  connectCpu: Shares
  /** ms of CPU that the machine was busy with meanwhile and that no process of ours is charged with: interrupts, and what else ran. */
  connectOther: number
  /** ms of one call to all of them, warm. */
  call: number
  callCpu: Shares
  callOther: number
}

export interface Memory {
  count: number
  /** MB (10^6), Private_Dirty and resident of one process each; for targets and their sessions the mean. */
  controller: [dirty: number, resident: number]
  hop?: [dirty: number, resident: number]
  stub: [dirty: number, resident: number]
  session: [dirty: number, resident: number]
}

export function total({ controller, hops, hopSessions, targets }: Shares): number {
  return controller + sum(hops) + sum(hopSessions) + targets
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0)
}
