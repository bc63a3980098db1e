import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Context } from '../../src/controller/api.ts'
import { unpackTexts } from '../../src/router/code-link.ts'
import { PACK, TYPE } from '../../src/router/protocol.ts'
import { NOTHING_LEFT, type ScriptedTarget, TrustTree } from '../helpers/trust-tree.ts'

let tree: TrustTree
let hop: Context
let leaf: Context
let script: ScriptedTarget

beforeEach(async () => {
  tree = new TrustTree()
  hop = await tree.connect('hop')
  leaf = await tree.below(hop, 'evil')
  script = tree.evil('evil')
})

afterEach(async () => expect(await tree.leftovers()).toEqual(NOTHING_LEFT))

const pushes = (): Uint8Array[] => script.frames.filter(({ type }) => type === TYPE.PUSH).map(({ payload }) => payload)

it('code goes on from a hop as it came there, compressed once', async () => {
  void leaf.call(() => 'a function that nobody has seen').catch(() => undefined)
  await vi.waitFor(() => expect(pushes()).toHaveLength(1))
  const { pushed } = tree.parent('hop').host
  expect(pushes().map((push) => Buffer.from(push).toString('hex'))).toEqual([Buffer.from(pushed?.pack ?? []).toString('hex')])
  expect(pushes()[0]?.[0]).toBe(PACK.BROTLI)
})

it('what the hop has from several pushes is packed by the hop, and by nobody twice', async () => {
  const { host } = tree.parent('hop')
  const texts = ['first', 'second'].map((text) => Buffer.from(text.repeat(1000)))
  const hashes = texts.map((text) => host.texts.add(text))
  const [once, again] = [tree.parent('hop').pack(hashes, false), tree.parent('hop').pack(hashes, false)]
  expect(unpackTexts(once).map((text) => Buffer.from(text).toString())).toEqual(texts.map(String))
  expect(again).toBe(once)
  await tree.settle()
})
