import ssh2 from 'ssh2'
import { describe, expect, it, onTestFinished } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import { type Turn, Pace } from '../../src/connect/pace.ts'
import { connectSsh2 } from '../../src/connect/ssh2.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import type { Connection } from '../../src/connect/transport.ts'
import { newKey } from '../helpers/new-key.ts'
import { haveSshd, startSshd } from '../helpers/sshd.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

/** Resolves when the turn is given back. */
function watched(): { turn: Turn; back: Promise<void>; isBack(): boolean } {
  const { promise, resolve } = deferred<void>()
  const turn = new Pace().turn('somewhere')
  let done = false
  return {
    turn: { begin: turn.begin, done: () => {
      done = true
      resolve()
    } },
    back: promise,
    isBack: () => done,
  }
}

/** A server that lets everybody in and opens a channel only when the test says so. */
async function startServer(ident: string): Promise<{ port: number; accept(): Promise<void> }> {
  const { promise, resolve } = deferred<() => void>()
  const server = new ssh2.Server({ hostKeys: [newKey()], ident }, (connection) => {
    connection.on('error', () => {})
    connection.on('authentication', (context) => context.accept())
    connection.on('session', (accept) => resolve(() => void accept()))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', () => listening()))
  onTestFinished(() => new Promise<void>((closed) => server.close(() => closed())))
  return { port: (server.address() as { port: number }).port, accept: async () => (await promise)() }
}

function login(port: number, turn: Turn, clock: TestClock): Connection {
  const connection = connectSsh2({ host: '127.0.0.1', port, user: 'me', keys: [privateKey(newKey(), { comment: 'id' })], verifyHostKey: () => true, turn, clock })
  onTestFinished(() => connection.close())
  return connection
}

describe('the turn of a login', () => {
  it('is kept until the server has begun to serve it: the next would be one too many until then', async () => {
    const server = await startServer('OpenSSH_9.9')
    const { turn, back, isBack } = watched()
    const connection = login(server.port, turn, new TestClock())
    const started = connection.open('anything')
    await connection.ready
    await settle()
    expect(isBack()).toBe(false)
    await server.accept()
    await back
    expect(started.pipe.pending).toBe(0)
  })

  it('is given back at once where nothing was asked and the server says nothing by itself', async () => {
    const server = await startServer('Odd_1.0')
    const { turn, back, isBack } = watched()
    await login(server.port, turn, new TestClock()).ready
    await back
    expect(isBack()).toBe(true)
  })

  it('is given back after a second where a server keeps silent that should speak', async () => {
    const server = await startServer('OpenSSH_9.9')
    const clock = new TestClock()
    const { turn, back, isBack } = watched()
    await login(server.port, turn, clock).ready
    await settle()
    clock.advance(999)
    await settle()
    expect(isBack()).toBe(false)
    clock.advance(1)
    await back
  })

  it('is given back when the connection ends, and leaves no timer', async () => {
    const server = await startServer('OpenSSH_9.9')
    const clock = new TestClock()
    const { turn, back } = watched()
    const connection = login(server.port, turn, clock)
    await connection.ready
    await connection.close()
    await back
    expect(clock.pending).toBe(0)
  })

  it.skipIf(!haveSshd)('is given back by a real sshd without a channel and without time (left out where there is none)', async () => {
    await using server = await startSshd()
    const { turn, back, isBack } = watched()
    const connection = connectSsh2({
      host: server.host, port: server.port, user: server.user, keys: [privateKey(server.key, { comment: 'id' })], verifyHostKey: () => true, turn, clock: new TestClock(),
    })
    await connection.ready
    await back
    expect(isBack()).toBe(true)
    await connection.close()
  })
})
