import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HopQuestion } from '../../src/connect/hop.ts'
import { sshString } from '../../src/connect/key-blob.ts'
import { loginData, publicKeyRequest } from '../../src/connect/userauth.ts'
import { TestHostKey } from '../helpers/host-key.ts'
import { countingKey, guardLab, newSession, refusal, signQuestion } from './guard-lab.ts'

/**
 * A hop that is not ours any more. It can reach two hosts: web1, to which it is asked to connect, and db, to which our key would
 * open the door as well. Whatever it asks while it connects to web1, it gets no signature that db would take.
 */
const hostileHop = () => {
  const lab = guardLab()
  const db = new TestHostKey('ssh-ed25519')
  const sign = lab.guard.answer.bind(lab.guard)
  /** Asks, is refused, and has got nothing signed by it. */
  const fails = async (question: unknown): Promise<string> => {
    const before = lab.key.signed.length
    const { code } = await refusal(sign(question))
    expect(lab.key.signed.length).toBe(before)
    expect(lab.logs.at(-1)).toMatchObject({ level: 'warn', fields: { code, context: 'bastion > web1' } })
    return code
  }
  return { ...lab, db, fails }
}
const withData = (question: Extract<HopQuestion, { ask: 'sign' }>, data: Uint8Array): HopQuestion => ({ ...question, data })

describe('a hostile hop that connects to web1 gets no signature for db', () => {
  it('with the session and the proof of db', async () => {
    const { db, key, fails } = hostileHop()
    expect(await fails(signQuestion(db.prove(newSession()), key))).toBe('host-key-changed')
  })

  it('with the session of db and the host key of web1, signed by db', async () => {
    const { db, host, key, fails } = hostileHop()
    const proof = db.prove(newSession())
    expect(await fails(signQuestion({ ...proof, blob: host.blob }, key))).toBe('host-key-refused')
  })

  it('with a proof of web1, honest, and a login to db\'s session under it', async () => {
    const { host, key, fails } = hostileHop()
    expect(await fails(signQuestion(host.prove(newSession()), key, { sessionId: newSession() }))).toBe('not-allowed')
  })

  it('with the proof of web1 replayed for the session of db', async () => {
    const { db, host, key, guard, fails } = hostileHop()
    const mine = host.prove(newSession())
    await guard.answer(signQuestion(mine, key))
    const theirs = db.prove(newSession())
    expect(await fails(signQuestion({ ...mine, sessionId: theirs.sessionId }, key))).toBe('host-key-refused')
    expect(await fails(signQuestion({ ...theirs, blob: mine.blob }, key))).toBe('host-key-refused')
    expect(await fails(signQuestion({ ...theirs, signature: mine.signature }, key))).toBe('host-key-refused')
    expect(await fails(signQuestion(theirs, key))).toBe('host-key-changed')
  })

  it('after web1 was accepted, by the id of an accepted session with the key of db', async () => {
    const { db, host, key, guard, fails } = hostileHop()
    const mine = host.prove(newSession())
    await guard.answer({ ask: 'host', proof: mine })
    expect(await fails(signQuestion(db.prove(mine.sessionId), key))).toBe('not-allowed')
  })

  it('by a forged signature, an empty one, one that web1 made over something else', async () => {
    const { host, key, fails } = hostileHop()
    const proof = host.prove(newSession())
    for (const signature of [randomBytes(83), Buffer.concat([sshString('ssh-ed25519'), sshString(randomBytes(64))]), host.sign(newSession()), Buffer.of(0)]) {
      expect(await fails(signQuestion({ ...proof, signature }, key))).toBe('host-key-refused')
    }
    expect(await fails(signQuestion({ ...proof, signature: new Uint8Array(0) }, key))).toBe('not-allowed')
  })
})

describe('a hostile hop with the right proof gets a signature over nothing but the login meant', () => {
  it.each([
    ['another user', (p: Parts) => publicKeyRequest('root', 'ssh-ed25519', p.blob, true)],
    ['another key', () => publicKeyRequest('deploy', 'ssh-ed25519', countingKey().publicBlob, true)],
    ['another algorithm in the request than asked for', (p: Parts) => publicKeyRequest('deploy', 'ssh-rsa', p.blob, true)],
    ['a request without a signature to follow', (p: Parts) => publicKeyRequest('deploy', 'ssh-ed25519', p.blob, false)],
    ['another service', (p: Parts) => rewritten(p, 'ssh-connection', 'ssh-userauth')],
    ['another method', (p: Parts) => rewritten(p, 'publickey', 'hostbased')],
    ['the host-bound method', (p: Parts) => Buffer.concat([Buffer.of(50), sshString('deploy'), sshString('ssh-connection'),
      sshString('publickey-hostbound-v00@openssh.com'), Buffer.of(1), sshString('ssh-ed25519'), sshString(p.blob), sshString(randomBytes(51))])],
    ['another message', (p: Parts) => Buffer.concat([Buffer.of(51), p.request.subarray(1)])],
    ['trailing bytes', (p: Parts) => Buffer.concat([p.request, Buffer.of(0)])],
    ['a cut request', (p: Parts) => p.request.subarray(0, -1)],
    ['any true that is not 1', (p: Parts) => {
      const at = p.request.indexOf('publickey') + 9
      return Buffer.concat([p.request.subarray(0, at), Buffer.of(255), p.request.subarray(at + 1)])
    }],
  ] as [string, (parts: Parts) => Uint8Array][])('not with %s', async (_, request) => {
    const { host, key, guard, fails } = hostileHop()
    const proof = host.prove(newSession())
    const good = signQuestion(proof, key)
    const parts = { blob: key.publicBlob, request: publicKeyRequest('deploy', 'ssh-ed25519', key.publicBlob, true) }
    expect(await fails(withData(good, loginData(proof.sessionId, request(parts))))).toBe('not-allowed')
    // The one request that is right still gets its signature: what was refused has used up nothing.
    expect(await guard.answer(good)).toBeInstanceOf(Uint8Array)
  })

  it('not over what other programs take signatures of', async () => {
    const { host, key, fails } = hostileHop()
    const good = signQuestion(host.prove(newSession()), key)
    const sshsig = Buffer.concat([Buffer.from('SSHSIG'), sshString('git'), sshString(''), sshString('sha512'), sshString(randomBytes(64))])
    for (const data of [sshsig, randomBytes(32), good.data.slice(4), Buffer.from('-----BEGIN CERTIFICATE REQUEST-----')]) {
      expect(await fails(withData(good, data))).toBe('not-allowed')
    }
  })

  it('not with a key that it was not told of', async () => {
    const { host, key, fails } = hostileHop()
    const good = signQuestion(host.prove(newSession()), key)
    for (const index of [1, -1, 0.5, NaN, Infinity, '0', '__proto__', undefined, null]) expect(await fails({ ...good, key: index })).toBe('not-allowed')
  })

  it('not in a session that it makes up once the count is used', async () => {
    const { host, key, guard, fails } = hostileHop()
    await guard.answer(signQuestion(host.prove(newSession()), key))
    await guard.answer(signQuestion(host.prove(newSession()), key))
    for (let i = 0; i < 20; i++) expect(await fails(signQuestion(host.prove(newSession()), key))).toBe('not-allowed')
    expect(key.signed).toHaveLength(2)
  })
})

describe('a hostile hop that asks when nothing is being connected', () => {
  it('gets nothing, whatever it asks', async () => {
    const { host, key, guard, fails } = hostileHop()
    const proof = host.prove(newSession())
    await guard.answer({ ask: 'host', proof })
    guard.close()
    guard.close()
    for (const question of [signQuestion(proof, key), { ask: 'host', proof }, { ask: 'password', proof, text: '' }, { ask: 'interactive', proof, text: '' }]) {
      expect(await fails(question)).toBe('not-allowed')
    }
  })

  it('gets no password of sudo from the guard of an SSH login', async () => {
    const { fails } = hostileHop()
    expect(await fails({ ask: 'become', text: 'Password:' })).toBe('not-allowed')
  })
})

describe('a hostile hop that sends anything', () => {
  it('is refused with an error, and nothing is thrown or signed', async () => {
    const { key, fails } = hostileHop()
    for (const question of [undefined, null, 1, 'sign', [], ['sign'], {}, { ask: 'sign' }, { ask: 'sign', proof: null }, { ask: '__proto__' }, () => {}]) {
      expect(await fails(question)).toBe('not-allowed')
    }
    expect(key.signed).toEqual([])
  })

  it('is refused where a field is missing, of another type or too large', async () => {
    const { host, key, fails } = hostileHop()
    const good = signQuestion(host.prove(newSession()), key)
    for (const field of ['ask', 'proof', 'key', 'algorithm', 'data']) {
      for (const value of [undefined, null, true, {}, [], Buffer.alloc(0), Buffer.alloc(100_000), 'x'.repeat(5000)]) {
        expect(await fails({ ...good, [field]: value })).toBe('not-allowed')
      }
    }
    for (const field of ['blob', 'signature', 'sessionId']) {
      for (const value of [undefined, 'text', Buffer.alloc(0), Buffer.alloc(5000)]) {
        expect(await fails({ ...good, proof: { ...good.proof, [field]: value } })).toBe('not-allowed')
      }
    }
  })

  it('cannot change what it has shown after it was looked at', async () => {
    const { host, key, guard } = hostileHop()
    const good = signQuestion(host.prove(newSession()), key)
    const shared = { ...good, proof: { ...good.proof, sessionId: Buffer.from(good.proof.sessionId) }, data: Buffer.from(good.data) }
    const answer = guard.answer(shared)
    shared.data.fill(0)
    shared.proof.sessionId.fill(0)
    await answer
    expect(key.signed[0]).toEqual(Buffer.from(good.data))
  })

  it('is refused for any change of one byte of the data', async () => {
    await fc.assert(fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
      const { host, key, fails } = hostileHop()
      const good = signQuestion(host.prove(newSession()), key)
      const data = Buffer.from(good.data)
      data[at % data.length] = (data[at % data.length] ?? 0) ^ bits
      expect(await fails(withData(good, data))).toBe('not-allowed')
    }), { numRuns: 150 })
  })
})

interface Parts {
  blob: Uint8Array
  request: Buffer
}

/** The honest request with one of its strings replaced. */
function rewritten({ request }: Parts, from: string, to: string): Buffer {
  const at = request.indexOf(sshString(from))
  return Buffer.concat([request.subarray(0, at), sshString(to), request.subarray(at + 4 + from.length)])
}
