import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FlowTree, NOTHING_UNDER_WAY, type Plan } from '../helpers/flow-tree.ts'
import { settle } from '../helpers/test-clock.ts'

const KIB = 1024

const size = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 2 * KIB }) },
  { weight: 3, arbitrary: fc.integer({ min: 30 * KIB, max: 34 * KIB }) },
  { weight: 2, arbitrary: fc.integer({ min: 60 * KIB, max: 200 * KIB }) },
  { weight: 1, arbitrary: fc.integer({ min: 200 * KIB, max: 1200 * KIB }) },
)

const plan: fc.Arbitrary<Plan> = fc.record({
  distance: fc.integer({ min: 1, max: 2 }),
  opening: size,
  down: fc.option(fc.array(size, { maxLength: 5 }), { nil: undefined }),
  downEnd: size,
  up: fc.array(size, { maxLength: 5 }),
  upEnd: size,
  lingers: fc.boolean(),
})

type Step =
  | { do: 'open'; plans: Plan[] }
  | { do: 'hold'; pipe: number }
  | { do: 'release'; pipe: number }
  | { do: 'read'; which: number; up: boolean; most: number }
  | { do: 'reset'; which: number; acceptor: boolean }
  | { do: 'advance'; ms: number }
  | { do: 'wait'; turns: number }
  | { do: 'cut'; pipe: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('open' as const), plans: fc.array(plan, { minLength: 1, maxLength: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('hold' as const), pipe: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release' as const), pipe: fc.nat(3) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('read' as const), which: fc.nat(40), up: fc.boolean(), most: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const), which: fc.nat(40), acceptor: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(50) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), turns: fc.integer({ min: 1, max: 8 }) }) },
)

async function take(tree: FlowTree, step: Step): Promise<void> {
  const conversation = (which: number) => tree.conversations[which % Math.max(1, tree.conversations.length)]
  if (step.do === 'open') for (const one of step.plans) tree.open(one)
  else if (step.do === 'hold') tree.pipes[step.pipe]?.hold()
  else if (step.do === 'release') tree.pipes[step.pipe]?.release()
  else if (step.do === 'cut') tree.pipes[step.pipe]?.close()
  else if (step.do === 'advance') tree.clock.advance(step.ms)
  else if (step.do === 'wait') await settle(step.turns)
  else if (step.do === 'read') {
    const one = conversation(step.which)
    if (one?.plan.lingers === false) (step.up ? one.up : one.down).read(step.most)
  } else {
    const one = conversation(step.which)
    const channel = (step.acceptor ? one?.acceptor : one?.opener)?.channel
    channel?.reset('cancelled')
    if (one !== undefined && !step.acceptor && channel?.state === 'closed') one.error ??= { code: 'cancelled' } as never
  }
  expect(tree.violations()).toEqual([])
}

describe('flow control, whatever happens', () => {
  it('brings every message once, in order and whole, and lets no channel wait for one that is idle', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), fc.integer({ min: 64 * KIB, max: 600 * KIB }), async (steps, budget) => {
        const tree = new FlowTree(budget)
        for (const one of steps) await take(tree, one)
        tree.release()
        const active = tree.conversations.filter((one) => !one.plan.lingers)
        for (const one of active) one.eager()
        const left = (): unknown[] => active.filter((one) => !one.over).map((one) => ({ plan: one.plan, up: one.up.received, down: one.down.received }))
        await tree.run(() => left().length === 0)
        expect(left()).toEqual([])
        expect(tree.violations()).toEqual([])
        for (const one of tree.conversations) {
          one.finishing = true
          one.eager()
        }
        await tree.run(() => tree.conversations.every((one) => one.over))
        await settle()
        expect(tree.conversations.filter((one) => !one.over)).toEqual([])
        expect(tree.violations()).toEqual([])
        expect(tree.lost).toEqual([])
        expect(tree.leftovers).toEqual(NOTHING_UNDER_WAY)
      }),
      { numRuns: 150, interruptAfterTimeLimit: 8_000 },
    )
  }, 60_000)

  it('leaves nothing of any channel when a link is cut in the middle', async () => {
    const cut = fc.record({ do: fc.constant('cut' as const), pipe: fc.nat(3) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), cut, fc.array(step, { maxLength: 5 }), async (before, between, after) => {
        const tree = new FlowTree(200 * KIB)
        for (const one of [...before, between, ...after]) await take(tree, one)
        tree.release()
        for (const router of tree.routers) router.close()
        await settle()
        expect(tree.conversations.filter((one) => !one.over)).toEqual([])
        expect(tree.leftovers).toEqual(NOTHING_UNDER_WAY)
      }),
      { numRuns: 80, interruptAfterTimeLimit: 10_000 },
    )
  }, 60_000)
})
