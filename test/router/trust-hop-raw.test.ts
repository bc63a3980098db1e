import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HOP_DOWN, HOP_UP } from '../../src/connect/hop.ts'
import type { Connecting } from '../../src/controller/api.ts'
import { decode } from '../../src/router/codec.ts'
import { ROOT, TYPE } from '../../src/router/protocol.ts'
import { TestHostKey } from '../helpers/host-key.ts'
import { besideEvilHop, type EvilScene } from '../helpers/trust-tree.ts'

/* A hop that is not ours any more, and holds a target without an interpreter: there is no stub, and the hop alone speaks. */
let { tree, hop, evil, says, end } = {} as EvilScene

beforeEach(async () => {
  ;({ tree, hop, evil, says, end } = await besideEvilHop())
})

afterEach(async () => {
  expect(tree.state(hop)).toBe('connected')
  await end()
})

/** In a box: a context that is being connected is a promise itself. */
const below = async (target: string, options: { password?: string; signal?: AbortSignal } = {}): Promise<{ leaf: Connecting }> => {
  const leaf = hop.connect(target, { runtime: 'raw', ...options })
  leaf.catch(() => {})
  await tree.settle()
  return { leaf }
}

const failure = async (promise: Promise<unknown>): Promise<Record<string, unknown>> => {
  const error = (await tree.soon(promise.then(() => ({}), (reason: unknown) => reason))) as Record<string, unknown>
  let why: unknown = error
  while ((why as Error).cause !== undefined) why = (why as Error).cause
  return { code: error['code'], path: error['path'], outcome: error['outcome'], why: (why as { code?: string }).code }
}

/** What the hop was answered, in order: [number, value] or [number, code of the refusal]. */
const answered = (): unknown[] => evil.frames.filter(({ type, channel }) => type === TYPE.DATA && channel === evil.opened(2)?.channel)
  .map(({ payload }) => decode(payload) as [number, number, unknown])
  .filter(([kind]) => kind === HOP_DOWN.ANSWER || kind === HOP_DOWN.REFUSE)
  .map(([kind, number, value]) => [number, kind === HOP_DOWN.ANSWER ? value : (value as string[])[0]])
  .toSorted(([a], [b]) => Number(a) - Number(b))

const proof = new TestHostKey('ssh-ed25519').prove(new Uint8Array(32))
/** None of them has a part in opening a container. */
const QUESTIONS = [
  ['the host key', { ask: 'host', proof }],
  ['a signature', { ask: 'sign', proof, key: 0, algorithm: 'ssh-ed25519', data: new Uint8Array(64) }],
  ['a password of SSH', { ask: 'password', proof, text: 'Password:' }],
  ['a password of sudo', { ask: 'become', text: 'Password:' }],
  ['something of no form', { ask: 'all' }],
  ['something too large to be a question', { ask: 'become', text: 'x'.repeat(5000) }],
] as const

describe('a hop with a target without an interpreter that asks', () => {
  it.each(QUESTIONS)('about %s where nothing of that kind is under way, gets a refusal and leaves a record', async (_what, question) => {
    await below('docker:leaf')
    says.up(HOP_UP.ASK, 7, question)
    await tree.settle()
    expect(answered()).toEqual([[7, 'not-allowed']])
    expect(tree.warnings()).toEqual(['refused to a hop: evil > docker:leaf: the hop asked for something that has no part in this'])
  })

  it('for the password of sudo gets it once, and then never again', async () => {
    await below('sudo:root', { password: 'open sesame' })
    for (let number = 1; number <= 4; number++) says.up(HOP_UP.ASK, number, { ask: 'become', text: 'Password:' })
    await tree.settle()
    expect(answered()).toEqual([[1, 'open sesame'], [2, 'password-needed'], [3, 'password-needed'], [4, 'password-needed']])
    expect(tree.records.all.filter(({ text }) => text === 'gave a password for sudo to a hop')).toHaveLength(1)
    expect(JSON.stringify(tree.records.all)).not.toContain('open sesame')
  })

  it('for an SSH login\'s signature where it was told to run sudo, gets a refusal and a record, and the password after it still', async () => {
    await below('sudo:root', { password: 'open sesame' })
    says.up(HOP_UP.ASK, 1, QUESTIONS[1][1])
    says.up(HOP_UP.ASK, 2, QUESTIONS[3][1])
    await tree.settle()
    expect(answered()).toEqual(expect.arrayContaining([[1, 'not-allowed'], [2, 'open sesame']]))
    expect(tree.warnings()).toHaveLength(1)
  })

  it('while the target is being closed, has asked before it could know: it gets nothing, and that is no attack', async () => {
    const wanted = new AbortController()
    const { leaf } = await below('sudo:root', { password: 'open sesame', signal: wanted.signal })
    wanted.abort()
    expect(await failure(leaf)).toMatchObject({ code: 'cancelled' })
    says.up(HOP_UP.ASK, 1, { ask: 'become', text: 'Password:' })
    await tree.settle()
    expect(answered()).toEqual([])
    expect(tree.warnings()).toEqual([])
  })

  it('for a signature once the SSH login is over, gets a refusal and a record; who goes on loses the target', async () => {
    const login = { sshConfig: false as const, hostKeys: () => true as const, identityFile: [], password: 'open sesame' }
    const leaf = hop.connect('ssh://web', { runtime: 'raw', ...login })
    leaf.catch(() => {})
    while (evil.opened(2) === undefined) await tree.settle(1)
    says.up(HOP_UP.HELLO, new Uint8Array(0))
    await tree.soon(leaf)
    says.up(HOP_UP.ASK, 1, { ask: 'password', proof, text: '' })
    await tree.settle()
    expect(answered()).toEqual([[1, 'not-allowed']])
    expect(tree.warnings()).toEqual([expect.stringContaining('is below a hop that asks what nobody expects')])
    for (let number = 2; number < 40; number++) says.up(HOP_UP.ASK, number, { ask: 'password', proof, text: '' })
    await tree.settle()
    expect(await failure(leaf.exec('id'))).toMatchObject({ code: 'link-lost', why: 'not-allowed', outcome: 'not-sent' })
    expect(tree.warnings().length).toBeLessThan(25)
    expect(JSON.stringify(answered())).not.toContain('open sesame')
    // The hop is told, and close() waits for nothing that it might still say.
    expect(evil.frames.some(({ type, channel }) => type === TYPE.RESET && channel === evil.opened(2)?.channel)).toBe(true)
    await tree.soon((await leaf).close())
  })
})

describe('a hop with a target without an interpreter that says something that no hop of ours says', () => {
  it.each([
    ['nothing', []],
    ['a kind that is none', [99]],
    ['a stage that is none', [HOP_UP.STAGE, '\u001b[2J']],
    ['a question without a number', [HOP_UP.ASK, 'x', { ask: 'host' }]],
    ['counters', [HOP_UP.STATS, [1, 2, 3, 4, 5, 6, 7, 8]]],
  ])('%s, loses that target', async (_what, message) => {
    const { leaf } = await below('docker:leaf')
    says.up(...(message as unknown[]))
    expect(await failure(leaf)).toMatchObject({ code: 'protocol-error', path: ['evil', 'docker:leaf'], outcome: 'unknown' })
  })

  it('bytes that cannot be read, loses that target', async () => {
    const { leaf } = await below('docker:leaf')
    evil.send({ dst: ROOT, src: tree.id(hop), channel: evil.opened(2)?.channel ?? 0, payload: new Uint8Array([0xc1]) })
    expect(await failure(leaf)).toMatchObject({ code: 'protocol-error', path: ['evil', 'docker:leaf'], outcome: 'unknown' })
  })

  it('an end that cannot be read, loses that target', async () => {
    const { leaf } = await below('docker:leaf')
    evil.send({ type: TYPE.END, dst: ROOT, src: tree.id(hop), channel: evil.opened(2)?.channel ?? 0, payload: new Uint8Array([0xc1]) })
    expect(await failure(leaf)).toMatchObject({ code: 'link-lost', path: ['evil', 'docker:leaf'] })
  })

  it('nothing at all when it is told to close, is not waited for', async () => {
    const { leaf } = await below('docker:leaf')
    says.up(HOP_UP.HELLO, new Uint8Array(0))
    await tree.soon((await tree.soon(leaf)).close())
    expect(evil.frames.some(({ type, channel }) => type === TYPE.RESET && channel === evil.opened(2)?.channel)).toBe(true)
  })

  it('HELLO twice, loses that target', async () => {
    const { leaf } = await below('docker:leaf')
    says.up(HOP_UP.HELLO, new Uint8Array(0))
    await tree.soon(leaf)
    says.up(HOP_UP.HELLO, new Uint8Array(0))
    await tree.settle()
    expect(await failure(leaf.exec('id'))).toMatchObject({ code: 'link-lost', why: 'protocol-error', outcome: 'not-sent' })
  })
})
