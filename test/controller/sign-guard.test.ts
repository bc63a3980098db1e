import { readFileSync } from 'node:fs'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fingerprint } from '../../src/connect/key-blob.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import type { LoginRules } from '../../src/connect/login-rules.ts'
import type { PromptRequest } from '../../src/controller/api.ts'
import type { GuardedLogin } from '../../src/controller/sign-guard.ts'
import { RametError } from '../../src/router/errors.ts'
import { type KeyKind, hasProgram, makeKey, temporaryDirectory } from '../connect/ssh-keys.ts'
import { HOST_KEY_TYPES, TestHostKey } from '../helpers/host-key.ts'
import { PATH, countingKey, guardLab, newSession, refusal, signQuestion } from './guard-lab.ts'

describe('an honest hop', () => {
  it('gets a signature for the login that it was told of, and the log names both keys', async () => {
    const { host, key, guard, logs, shown } = guardLab()
    const question = signQuestion(host.prove(newSession()), key)
    const signature = Buffer.from(await guard.answer(question) as Uint8Array)
    expect(signature.toString('latin1', 4, 15)).toBe('ssh-ed25519')
    const ours = ssh2.utils.parseKey(`ssh-ed25519 ${Buffer.from(key.publicBlob).toString('base64')}`) as ssh2.ParsedKey
    expect(ours.verify(Buffer.from(question.data), signature.subarray(19))).toBe(true)
    expect(shown).toEqual([`web1 ${fingerprint(host.blob)}`])
    expect(logs).toEqual([{ level: 'info', text: expect.stringContaining('signed a login as deploy') as string, fields: {
      context: 'bastion > web1', user: 'deploy', key: fingerprint(key.publicBlob), algorithm: 'ssh-ed25519', hostKey: fingerprint(host.blob) } }])
  })

  it.each(HOST_KEY_TYPES)('is believed with a host key of type %s', async (type) => {
    const host = new TestHostKey(type)
    const { key, guard } = guardLab({ verifyHostKey: ({ blob }) => host.blob.equals(blob) })
    const proof = host.prove(newSession())
    expect(await guard.answer({ ask: 'host', proof })).toBe(true)
    await guard.answer(signQuestion(proof, key))
    expect(key.signed).toHaveLength(1)
  })

  it('may ask about the host first, and about each key and algorithm once', async () => {
    const keys = [countingKey(), countingKey()]
    const { host, guard, shown } = guardLab({ keys })
    const proof = host.prove(newSession())
    expect(await guard.answer({ ask: 'host', proof })).toBe(true)
    for (const [index, key] of keys.entries()) await guard.answer(signQuestion(proof, key, { index }))
    expect(shown).toHaveLength(1)
    expect((await refusal(guard.answer(signQuestion(proof, keys[1] as (typeof keys)[0], { index: 1 })))).code).toBe('not-allowed')
    expect(keys.map(({ signed }) => signed.length)).toEqual([1, 1])
  })

  it('may begin one more session when a login of the first was refused, with the same host key', async () => {
    const { host, key, guard, shown } = guardLab()
    const first = host.prove(newSession())
    expect((await refusal(guard.answer({ ask: 'host', proof: { ...first, sessionId: newSession() } }))).code).toBe('host-key-refused')
    await guard.answer(signQuestion(first, key))
    const second = host.prove(newSession())
    await guard.answer(signQuestion(second, key))
    expect(shown).toHaveLength(1)
    const third = await refusal(guard.answer(signQuestion(host.prove(newSession()), key)))
    expect([third.code, third.outcome]).toEqual(['not-allowed', 'not-sent'])
    expect(key.signed).toHaveLength(2)
  })

  it('may not begin another session before any login was tried', async () => {
    const { host, guard } = guardLab()
    await guard.answer({ ask: 'host', proof: host.prove(newSession()) })
    expect((await refusal(guard.answer({ ask: 'host', proof: host.prove(newSession()) }))).code).toBe('not-allowed')
  })

  it('hears that a key cannot sign in a way that lets it go on', async () => {
    const broken = { ...countingKey(), sign: () => { throw new Error('no such token') } }
    const { host, guard } = guardLab({ keys: [broken] })
    const error = await refusal(guard.answer(signQuestion(host.prove(newSession()), broken)))
    expect([error.code, error.stage]).toEqual(['key-unreadable', 'auth'])
    expect(error.message).toMatch(/bastion > web1: .*no such token/)
  })
})

describe.skipIf(!hasProgram('ssh-keygen'))('login keys made by ssh-keygen', () => {
  const directory = temporaryDirectory()
  afterAll(directory.remove)
  const made: Partial<Record<KeyKind, string>> = {}
  beforeAll(() => {
    for (const kind of ['ed25519', 'ecdsa', 'rsa'] as const) made[kind] = makeKey(directory.file(kind), kind).path
  })

  it.each([
    ['ed25519', ['ssh-ed25519'], ['rsa-sha2-256', 'ssh-rsa', '', 'ssh-ed25519-cert-v01@openssh.com']],
    ['ecdsa', ['ecdsa-sha2-nistp256'], ['ecdsa-sha2-nistp384', 'ssh-ed25519']],
    ['rsa', ['rsa-sha2-256', 'rsa-sha2-512'], ['ssh-rsa', 'ssh-ed25519', 'rsa-sha2-256-cert-v01@openssh.com']],
  ] as const)('%s signs by the algorithms of its kind and by no other', async (kind, good, bad) => {
    const key = countingKey(privateKey(readFileSync(made[kind] ?? '', 'utf8'), { comment: kind }))
    const { host, guard } = guardLab({ keys: [key] })
    const proof = host.prove(newSession())
    for (const algorithm of good) expect(await guard.answer(signQuestion(proof, key, { algorithm }))).toBeInstanceOf(Uint8Array)
    for (const algorithm of bad) expect((await refusal(guard.answer(signQuestion(proof, key, { algorithm })))).code).toBe('not-allowed')
    expect(key.signed).toHaveLength(good.length)
  })

  it('an RSA certificate signs with SHA-2, under the names of certificates', async () => {
    const key = { ...countingKey(), type: 'ssh-rsa-cert-v01@openssh.com' }
    const { host, guard } = guardLab({ keys: [key] })
    const proof = host.prove(newSession())
    await guard.answer(signQuestion(proof, key, { algorithm: 'rsa-sha2-512-cert-v01@openssh.com' }))
    for (const algorithm of ['ssh-rsa-cert-v01@openssh.com', 'rsa-sha2-512']) {
      expect((await refusal(guard.answer(signQuestion(proof, key, { algorithm })))).code).toBe('not-allowed')
    }
  })
})

describe('host keys', () => {
  it.each([
    ['undefined', () => undefined], ['1', () => 1], ['a promise of true', () => Promise.resolve(true)], ['a rejected promise', () => Promise.reject(new Error('no'))],
    ['an object', () => ({})], ['a throw', () => { throw new Error('no') }],
  ])('are refused when the caller\'s function gives %s', async (_, verifyHostKey) => {
    const { host, key, guard } = guardLab({ verifyHostKey })
    const error = await refusal(guard.answer(signQuestion(host.prove(newSession()), key)))
    expect([error.code, error.stage, error.path]).toEqual(['host-key-refused', 'host-key', PATH])
    expect(key.signed).toEqual([])
  })

  it('are shown to nobody before the host has proven that it owns them', async () => {
    const { host, guard, shown } = guardLab()
    const proof = host.prove(newSession())
    expect((await refusal(guard.answer({ ask: 'host', proof: { ...proof, signature: new TestHostKey('ssh-ed25519').sign(proof.sessionId) } }))).code).toBe('host-key-refused')
    expect(shown).toEqual([])
  })

  it('that policy refuses are refused with its own error', async () => {
    const mine = new RametError('host-key-unknown', 'never seen', { hint: 'add it' })
    const { host, guard, logs } = guardLab({ verifyHostKey: () => { throw mine } })
    expect(await refusal(guard.answer({ ask: 'host', proof: host.prove(newSession()) }))).toBe(mine)
    expect(logs).toEqual([{ level: 'warn', fields: { context: 'bastion > web1', code: 'host-key-unknown' }, text: 'refused to a hop: never seen' }])
  })
})

describe('passwords and answers', () => {
  const prompted = (answers: (string | Error)[]) => {
    const asked: PromptRequest[] = []
    const prompt = async (request: PromptRequest): Promise<string> => {
      asked.push(request)
      const answer = answers.shift() ?? new Error('no terminal')
      if (answer instanceof Error) throw answer
      return answer
    }
    return { asked, prompt }
  }

  it('leave only for a host that has proven its key', async () => {
    const { asked, prompt } = prompted(['typed'])
    const { host, guard } = guardLab({ password: 'secret', prompt })
    const proof = host.prove(newSession())
    const forged = { ...proof, signature: new TestHostKey('ssh-ed25519').sign(proof.sessionId) }
    for (const ask of ['password', 'interactive'] as const) expect((await refusal(guard.answer({ ask, proof: forged, text: 'Password:' }))).code).toBe('host-key-refused')
    expect(asked).toEqual([])
  })

  it('that were given leave once; then a person is asked, three times at most', async () => {
    const { asked, prompt } = prompted(['a', 'b', 'c', 'd'])
    const { host, guard, logs } = guardLab({ password: 'secret', prompt })
    const proof = host.prove(newSession())
    const ask = (): Promise<unknown> => guard.answer({ ask: 'password', proof, text: 'whatever the hop likes' })
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual(['secret', 'a', 'b', 'c'])
    expect((await refusal(ask())).code).toBe('not-allowed')
    expect(asked).toEqual([1, 2, 3].map(() => ({ kind: 'password', path: PATH, text: 'Password for deploy@web1: ' })))
    expect(JSON.stringify(logs)).not.toContain('secret')
    expect(logs.filter(({ level }) => level === 'info')).toHaveLength(4)
  })

  it('without anybody to ask are refused by name', async () => {
    const { host, guard } = guardLab({ password: 'secret' })
    const proof = host.prove(newSession())
    await guard.answer({ ask: 'password', proof, text: '' })
    expect((await refusal(guard.answer({ ask: 'password', proof, text: '' }))).code).toBe('prompt-needed')
    expect((await refusal(guard.answer({ ask: 'interactive', proof, text: 'Code?' }))).code).toBe('prompt-needed')
  })

  it('questions of the server come with nothing that a terminal would obey', async () => {
    const { asked, prompt } = prompted(['42'])
    const { host, guard } = guardLab({ prompt })
    expect(await guard.answer({ ask: 'interactive', proof: host.prove(newSession()), text: 'a\nCode \x1b[2J\u202e\u009b' })).toBe('42')
    expect(asked[0]?.text).toBe('a\nCode ?[2J??')
  })

  it('do not leave when connecting was given up while a person typed', async () => {
    let type: (text: string) => void = () => {}
    const { host, guard } = guardLab({ prompt: () => new Promise((resolve) => (type = resolve)) })
    const answer = guard.answer({ ask: 'interactive', proof: host.prove(newSession()), text: 'Code?' })
    guard.close()
    type('42')
    expect((await refusal(answer)).code).toBe('not-allowed')
  })
})

describe('what the SSH configuration forbids', () => {
  const lab = (forbidden: LoginRules['forbidden'], change: Partial<GuardedLogin> & { prompts?: number } = {}) => {
    const asked: PromptRequest[] = []
    const { prompts = 3, ...login } = change
    const made = guardLab({ prompt: async (request) => (asked.push(request), 'typed'), rules: { forbidden, prompts }, ...login })
    const proof = made.host.prove(newSession())
    return { ...made, asked, ask: (ask: 'password' | 'interactive') => made.guard.answer({ ask, proof, text: 'Password: ' }) }
  }

  it.each([
    ['password', { password: 'PasswordAuthentication no' }],
    ['interactive', { 'keyboard-interactive': 'KbdInteractiveAuthentication no' }],
  ] as const)('a hop that asks a person by it (%s) gets nothing', async (ask, forbidden) => {
    const { ask: question, asked } = lab(forbidden)
    const error = await refusal(question(ask))
    expect([error.code, error.outcome]).toEqual(['not-allowed', 'not-sent'])
    expect(error.message).toContain('which the SSH configuration forbids')
    expect(asked).toEqual([])
  })

  it('a password that is given is given as the answer to a question where only that is allowed, and never where neither is', async () => {
    const password = 'PasswordAuthentication no'
    expect(await lab({ password }, { password: 'given' }).ask('password')).toBe('given')
    const both = lab({ password, 'keyboard-interactive': 'not in PreferredAuthentications' }, { password: 'given' })
    expect((await refusal(both.ask('password'))).code).toBe('not-allowed')
  })

  it('a person is asked for a password as often as NumberOfPasswordPrompts says', async () => {
    const { ask, asked } = lab({}, { prompts: 1 })
    expect(await ask('password')).toBe('typed')
    expect((await refusal(ask('password'))).message).toContain('asked a person too often')
    expect(asked).toHaveLength(1)
    const nobody = lab({}, { prompts: 0 })
    for (const each of ['password', 'interactive'] as const) expect((await refusal(nobody.ask(each))).code).toBe('not-allowed')
    expect(nobody.asked).toEqual([])
  })
})
