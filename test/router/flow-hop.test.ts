import { describe, expect, it } from 'vitest'
import { INITIAL_CREDIT, MAX_LINK, MAX_QUEUED } from '../../src/router/protocol.ts'
import { type Stream, WideTree } from '../helpers/wide-tree.ts'

const MIB = 1024 * 1024
const LEAVES = 50

/** Starts a stream to every leaf from `from` on. */
const others = (tree: WideTree, from: number, bytes: number): Stream[] => Array.from({ length: LEAVES - from }, (_, i) => tree.down(from + i, bytes))

describe('fifty contexts behind one hop', () => {
  it('of which one takes nothing of a stream of 256 MiB: the hop keeps little, and the others are as fast as without it', async () => {
    const alone = new WideTree(LEAVES)
    const usual = await alone.turns(others(alone, 1, 4 * MIB))
    const tree = new WideTree(LEAVES)
    tree.pipes[0]?.hold()
    tree.down(0, 256 * MIB)
    let most = 0
    const turns = await tree.turns(others(tree, 1, 4 * MIB), () => (most = Math.max(most, tree.atHop)))
    expect(turns).toBeLessThan(1.5 * usual)
    // What waits for the one at the end, and at most what the link may have under way for the others.
    expect(tree.atHop).toBeLessThanOrEqual(MAX_LINK / 4 + 100_000)
    expect(most).toBeLessThan(3 * MAX_LINK)
  }, 60_000)

  it('of which one takes nothing of a stream of single bytes: what the hop keeps is bounded with the headers', async () => {
    const tree = new WideTree(LEAVES)
    tree.pipes[0]?.hold()
    const stream = tree.down(0, 100_000, 1)
    let most = 0
    for (let i = 0; i < 20; i++) await tree.turns([], () => (most = Math.max(most, tree.atHop)))
    expect(most).toBeGreaterThan(INITIAL_CREDIT / 2)
    expect(most).toBeLessThan(INITIAL_CREDIT + 1024)
    tree.pipes[0]?.release()
    await tree.turns([stream])
  }, 60_000)

  it('of which ten take nothing: the others go on', async () => {
    const tree = new WideTree(LEAVES)
    for (let i = 0; i < 10; i++) {
      tree.pipes[i]?.hold()
      tree.down(i, 16 * MIB)
    }
    const streams = others(tree, 10, MIB)
    await tree.turns(streams)
    expect(streams.every(({ reset }) => reset === undefined)).toBe(true)
    expect(tree.atHop).toBeLessThan(MAX_LINK + 2 * MIB)
    // They get theirs in the end.
    for (const pipe of tree.pipes) pipe.release()
    await tree.turns(tree.streams)
  }, 60_000)

  it('that all send while the uplink takes nothing: the hop keeps what was granted, and loses none of it', async () => {
    const tree = new WideTree(LEAVES)
    tree.uplink.hold()
    const streams = Array.from({ length: LEAVES }, (_, i) => tree.up(i, MIB))
    let most = 0
    for (let i = 0; i < 20; i++) await tree.turns([], () => (most = Math.max(most, tree.atHop)))
    expect(most).toBeLessThan(3 * MAX_LINK)
    tree.uplink.release()
    await tree.turns(streams)
  }, 60_000)
})

describe('two hundred and fifty contexts behind one hop', () => {
  it.each(['up', 'down'] as const)('with a stream each, %s, over a link that takes nothing for a while: nobody\'s is given up', async (direction) => {
    const tree = new WideTree(250)
    const streams = Array.from({ length: 250 }, (_, i) => tree[direction](i, MIB / 4))
    if (direction === 'up') await tree.turns([])
    tree.uplink.hold()
    tree.uplink.other.hold()
    let most = 0
    for (let i = 0; i < 20; i++) await tree.turns([], () => (most = Math.max(most, tree.atHop, tree.atRoot)))
    expect(most).toBeLessThan(MAX_QUEUED)
    tree.uplink.release()
    tree.uplink.other.release()
    await tree.turns(streams)
    expect(streams.filter(({ reset }) => reset !== undefined)).toEqual([])
  }, 60_000)
})
