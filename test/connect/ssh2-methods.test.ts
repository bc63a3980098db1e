import ssh2 from 'ssh2'
import { describe, expect, it } from 'vitest'
import { type LoginRules, NO_RULES } from '../../src/connect/login-rules.ts'
import { type Ssh2Options, connectSsh2 } from '../../src/connect/ssh2.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import type { Connection } from '../../src/connect/transport.ts'
import { deferred } from '../../src/base/deferred.ts'
import { RametError } from '../../src/router/errors.ts'
import { newKey } from '../helpers/new-key.ts'
import { startTcp } from '../helpers/tcp.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

const failure = async (connection: Connection): Promise<RametError> => {
  const error: unknown = await connection.ready.then(() => undefined, (reason: unknown) => reason)
  await connection.close()
  if (!(error instanceof RametError)) throw new Error(`expected a RametError, got ${String(error)}`)
  return error
}

/** A server that refuses every login, offers these methods, and remembers what was tried. */
async function refusing(offers: ssh2.AuthenticationType[], ident = 'Odd_1.0', prompts = [{ prompt: 'Password: ', echo: false }, { prompt: 'Code: ', echo: false }]) {
  const tried: string[] = []
  const server = new ssh2.Server({ hostKeys: [newKey()], ident }, (connection) => {
    connection.on('error', () => {})
    connection.on('authentication', (context) => {
      tried.push(context.method)
      if (context.method !== 'keyboard-interactive') return context.reject(offers)
      context.prompt(prompts, () => context.reject(offers))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const { port } = server.address() as { port: number }
  return { port, tried, [Symbol.asyncDispose]: () => new Promise<void>((done) => server.close(() => done())) }
}

const ALL: ssh2.AuthenticationType[] = ['publickey', 'password', 'keyboard-interactive']
const rules = (change: Partial<LoginRules>): LoginRules => ({ ...NO_RULES, ...change })

describe('the methods that the configuration allows', () => {
  const base = (port: number): Ssh2Options => ({ host: '127.0.0.1', port, user: 'me', name: 'web1', verifyHostKey: () => true })
  const key = privateKey(newKey(), { comment: 'id' })

  it.each([
    ['all, in the usual order', {}, ['publickey', 'keyboard-interactive', 'keyboard-interactive', 'keyboard-interactive', 'password', 'password', 'password']],
    ['in the order of PreferredAuthentications', { order: ['password', 'publickey'], forbidden: { 'keyboard-interactive': 'x' }, prompts: 1 }, ['none', 'password', 'publickey']],
    ['questions before keys', { order: ['keyboard-interactive', 'publickey', 'password'], prompts: 1 }, ['none', 'keyboard-interactive', 'publickey', 'password']],
    ['without keys', { forbidden: { publickey: 'x' }, prompts: 1 }, ['none', 'keyboard-interactive', 'password']],
    ['without asking anybody', { prompts: 0 }, ['publickey']],
    ['none at all', { order: [], forbidden: { publickey: 'x', password: 'x', 'keyboard-interactive': 'x' } }, ['none']],
  ] satisfies [string, Partial<LoginRules>, string[]][])('are tried %s', async (_, change, tried) => {
    for (const ident of ['Odd_1.0', 'OpenSSH_9.9']) {
      await using server = await refusing(ALL, ident)
      const error = await failure(connectSsh2({ ...base(server.port), keys: [key], prompt: async () => 'guess', rules: rules(change) }))
      expect([server.tried, error.code, error.stage, error.outcome]).toEqual([tried, 'auth-failed', 'auth', 'not-sent'])
    }
  })

  it('a password that is given goes where it may, and counts as no question', async () => {
    const tried = async (change: Partial<LoginRules>): Promise<string[]> => {
      await using server = await refusing(ALL)
      await failure(connectSsh2({ ...base(server.port), password: 'given', rules: rules(change) }))
      return server.tried
    }
    expect(await tried({ prompts: 0 })).toEqual(['none', 'password'])
    expect(await tried({ forbidden: { password: 'x', 'keyboard-interactive': 'x' } })).toEqual(['none'])
  })

  it('a server that has nothing to ask a person is not asked to again: the password has its turn before the server loses patience', async () => {
    for (const password of [undefined, 'given']) {
      await using server = await refusing(ALL, 'OpenSSH_9.9', [])
      await failure(connectSsh2({ ...base(server.port), keys: [key], password, prompt: async () => 'guess', rules: rules({ prompts: 1 }) }))
      expect(server.tried).toEqual(password === undefined ? ['publickey', 'keyboard-interactive', 'password'] : ['publickey', 'password', 'keyboard-interactive', 'password'])
    }
  })

  it('errors name what the configuration forbids of what the server takes, and say what to do about it', async () => {
    await using server = await refusing(['publickey', 'password'])
    const forbidden = { publickey: 'PubkeyAuthentication no', 'keyboard-interactive': 'KbdInteractiveAuthentication no', password: 'not in PreferredAuthentications' }
    const error = await failure(connectSsh2({ ...base(server.port), keys: [key], password: 'given', rules: rules({ order: [], forbidden }) }))
    expect(error.code).toBe('auth-failed')
    expect(error.message).toContain('the server offers publickey, password; the SSH configuration forbids publickey (PubkeyAuthentication no), password (not in PreferredAuthentications)')
    expect(error.message).not.toContain('Kbd')
    expect(error.hint).toMatch(/^Change the SSH configuration/)
    const half = await failure(connectSsh2({ ...base(server.port), keys: [key], password: 'given', rules: rules({ forbidden: { password: 'PasswordAuthentication no' } }) }))
    expect(half.message).toMatch(/tried key id; .*; the SSH configuration forbids password \(PasswordAuthentication no\)/)
    expect(half.hint).toMatch(/authorized_keys.*Change the SSH configuration/)
  })

  it('where nobody may be asked the error is prompt-needed, and names NumberOfPasswordPrompts', async () => {
    await using server = await refusing(['password'])
    const error = await failure(connectSsh2({ ...base(server.port), prompt: () => Promise.reject(new Error('asked')), rules: rules({ prompts: 0 }) }))
    expect([error.code, server.tried]).toEqual(['prompt-needed', ['none']])
    expect(error.message).toContain('NumberOfPasswordPrompts 0')
    expect(error.hint).toContain('Give a key or a password.')
  })

  it('where the server takes passwords and no key, the hint is about the password', async () => {
    await using server = await refusing(['password', 'keyboard-interactive'])
    for (const password of [undefined, 'wrong']) {
      const error = await failure(connectSsh2({ ...base(server.port), keys: [key], password }))
      expect([error.code, error.hint]).toEqual(['auth-failed', 'Check the user name and its password (password, prompt, --ask-password): the server goes on with that and with no key.'])
    }
  })

  it('where the server takes only what ssh2 does not know, the hint names the transport that does', async () => {
    await using server = await refusing(['hostbased'])
    const error = await failure(connectSsh2(base(server.port)))
    expect([error.code, error.hint]).toEqual(['auth-failed', 'Only transport openssh knows hostbased.'])
  })
})

describe('the time to reach a server', () => {
  it('ends at its limit whatever the server has not done, and names the setting', async () => {
    for (const [word, stage] of [[undefined, 'tcp'], ['SSH-2.0-Odd_1.0\r\n', 'host-key']] as const) {
      const clock = new TestClock()
      const heard = deferred<void>()
      await using server = await startTcp((socket) => {
        if (word !== undefined) socket.write(word)
        socket.once('data', () => heard.resolve())
      })
      const options: Ssh2Options = { host: '127.0.0.1', port: server.port, user: 'me', name: 'web1', clock, timeout: 0, reachTime: 5000 }
      // One that never gets as far as TCP, and one that does.
      const connection = connectSsh2(word === undefined ? { ...options, dial: () => new Promise(() => {}) } : options)
      await (word === undefined ? settle() : heard.promise)
      clock.advance(4999)
      await settle()
      expect(connection.stage).toBe(stage)
      clock.advance(1)
      const error = await failure(connection)
      expect([error.code, error.stage, error.outcome, clock.pending]).toEqual(['connect-timeout', stage, 'not-sent', 0])
      expect(error.message).toMatch(/web1: the server was not reached within 5000 ms, the ConnectTimeout of the SSH configuration/)
    }
  })

  it('is over with the key exchange: a login may take longer', async () => {
    const clock = new TestClock()
    const asked = deferred<ssh2.AuthContext>()
    const server = new ssh2.Server({ hostKeys: [newKey()], ident: 'Odd_1.0' }, (connection) => {
      connection.on('error', () => {})
      connection.on('authentication', (context) => asked.resolve(context))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
    const { port } = server.address() as { port: number }
    const connection = connectSsh2({ host: '127.0.0.1', port, user: 'me', clock, timeout: 0, reachTime: 5000, verifyHostKey: () => true })
    const context = await asked.promise
    clock.advance(60_000)
    context.accept()
    await connection.ready
    await connection.close()
    expect(clock.pending).toBe(0)
    await new Promise<void>((done) => server.close(() => done()))
  })

  it('begins when the machine before it is there', async () => {
    const clock = new TestClock()
    const there = deferred<void>()
    const connection = connectSsh2({ host: 'x', port: 22, user: 'me', clock, timeout: 0, reachTime: 5000, dial: () => new Promise(() => {}), behind: there.promise })
    await settle()
    clock.advance(60_000)
    await settle()
    expect(connection.stage).toBe('tcp')
    there.resolve()
    await settle()
    clock.advance(5000)
    expect((await failure(connection)).code).toBe('connect-timeout')
  })
})
