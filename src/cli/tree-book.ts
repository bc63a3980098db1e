import type { Context, ContextInfo } from '../controller/api.ts'
import type { Tree } from './desk.ts'
import type { TargetResult, Verdict } from './outcome.ts'
import type { TreeNode } from './tree-node.ts'
import type { Place, Step } from './ways.ts'

/**
 * Notes what is seen of a tree while targets come and go: no more of them than the concurrency allows stand at one time. What is
 * noted last of a context counts, so that a hop's link shows what it carried for all of them.
 */
export class TreeBook {
  /** By way. */
  readonly #nodes = new Map<string, TreeNode>()
  readonly #below = new Map<string, string[]>()
  readonly #controller: TreeNode

  constructor(self: ContextInfo) {
    this.#controller = { path: [], isTarget: false, state: 'connected', runtime: 'node', info: self, ping: undefined, jump: undefined, link: undefined, failure: undefined }
  }

  /** A context that stands now; `steps` lead to it. `ping`: the milliseconds of its whole round trip, once that is known. */
  seen(steps: readonly Step[], { path, state, runtime, info }: Context, tree: Tree, ping?: number): void {
    const link = tree.stats().links.find((other) => sameTexts(other.path, path))
    const node = this.#node(steps)
    // Of all that several targets behind it have measured: what a busy machine adds must not outweigh what is behind.
    Object.assign(node, { state, runtime, info, link, ...(ping === undefined ? {} : { ping: Math.min(ping, node.ping ?? Infinity) }) })
  }

  /** A target has its result; what went wrong is noted where it went wrong. */
  ended({ steps }: Place, { verdict, failure }: TargetResult): void {
    const target = this.#node(steps)
    target.isTarget = true
    if (verdict === 'ok') return
    target.state = verdict
    for (let count = 1; count < steps.length; count++) this.#node(steps.slice(0, count), verdict)
    const names = namesOf(steps)
    const path = failure?.path ?? []
    const isAbove = path.length > 0 && path.length < names.length && path.every((name, index) => name === names[index])
    Object.assign(isAbove ? this.#node(steps.slice(0, path.length)) : target, { state: verdict, failure })
  }

  /** The controller first, everybody else behind the parent. */
  nodes(): TreeNode[] {
    const below = (key: string, parent: TreeNode): TreeNode[] => (this.#below.get(key) ?? []).flatMap((child) => {
      const node = this.#nodes.get(child)!
      return [withRtt(node, parent), ...below(child, node)]
    })
    return [this.#controller, ...below(keyOf([]), { ...this.#controller, ping: 0 })]
  }

  #node(steps: readonly Step[], state: Exclude<Verdict, 'ok'> = 'unknown'): TreeNode {
    const key = keyOf(steps)
    const known = this.#nodes.get(key)
    if (known !== undefined) return known
    const node: TreeNode = {
      path: namesOf(steps), isTarget: false, state, runtime: undefined, info: undefined, ping: undefined, jump: steps.at(-1)!.jump, link: undefined, failure: undefined,
    }
    this.#nodes.set(key, node)
    const parent = keyOf(steps.slice(0, -1))
    const siblings = this.#below.get(parent)
    if (siblings === undefined) this.#below.set(parent, [key])
    else siblings.push(key)
    return node
  }
}

/** What the link adds to the round trip; the engine's own figure remembers the time when both ends were starting. */
function withRtt(node: TreeNode, { ping }: TreeNode): TreeNode {
  const { link } = node
  if (link === undefined || ping === undefined || node.ping === undefined) return node
  return { ...node, link: { ...link, rtt: Math.max(0, node.ping - ping) } }
}

function keyOf(steps: readonly Step[]): string {
  return JSON.stringify(steps.map(({ name, jump }) => [name, jump]))
}

function namesOf(steps: readonly Step[]): string[] {
  return steps.map(({ name }) => name)
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index])
}
