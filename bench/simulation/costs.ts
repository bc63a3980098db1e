/** A cost that has a part of its own and a part for each context, ms of CPU. */
export interface Line {
  fixed: number
  each: number
}

/** What everybody pays for connecting a context and for a call to it, in ms of CPU; measured with one context and with ten; a call, with a hundred. */
export interface Costs {
  /** The controller, for targets that it reaches itself. */
  direct: { connect: Line; call: Line }
  /** The controller, for targets behind hops. */
  behind: { connect: Line; call: Line }
  /** The hop before the targets. */
  hop: { connect: Line; call: Line }
  /** The sshd session of the link on which all that a hop gets arrives. */
  session: { connect: Line; call: Line }
  /** A hop above that one. */
  forward: { connect: Line; call: Line }
  /** All of a target's machine, and what the kernel does for everybody without charging it to a process. `pause`: ms that a login takes in which nobody computes. */
  target: { connect: number; call: number; pause: number }
}

/** What goes through two points: what one costs, and what `count` cost together. A part that would be negative is none. */
export function lineThrough(one: number, many: number, count: number): Line {
  const each = (many - one) / (count - 1)
  const fixed = one - each
  // Many for less than one is noise: what is known then is the mean.
  return each <= 0 || fixed < 0 ? { fixed: 0, each: many / count } : { fixed, each }
}
