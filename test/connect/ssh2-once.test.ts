import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { connectSsh2 } from '../../src/connect/ssh2.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import { haveDropbear, haveSshd, startDropbear, startSshd } from '../helpers/sshd.ts'
import { makeKey } from './ssh-keys.ts'
import { startRelay } from '../helpers/tcp.ts'

const SERVERS = [
  { name: 'OpenSSH', here: haveSshd, start: () => startSshd(), strict: () => startSshd({ config: ['MaxAuthTries 1'] }) },
  { name: 'dropbear', here: haveDropbear, start: () => startDropbear(), strict: () => startDropbear({ args: ['-T', '1'] }) },
]

describe.each(SERVERS)('a connection to $name that is cut after the login and a command have left in one flight', ({ here, start }) => {
  test.skipIf(!here)('is not made again by itself, and nobody says that nothing ran: the command did', async () => {
    await using server = await start()
    // Three packets in clear text: KEXINIT, the key exchange's reply, NEWKEYS. The answers to all that follows are lost.
    await using relay = await startRelay(server.port, 3)
    const ran = join(server.dir, 'ran')
    const connection = connectSsh2({
      host: server.host, port: relay.port, user: server.user, keys: [privateKey(server.key, { comment: 'id' })], verifyHostKey: () => true,
    })
    const ended = connection.ready.then(() => undefined, (error: unknown) => error)
    connection.open(`echo once >> ${ran}`).pipe.end()
    await vi.waitFor(() => expect(existsSync(ran)).toBe(true), { timeout: 10_000, interval: 20 })
    for (const socket of relay.sockets) socket.destroy()
    expect(await ended).toMatchObject({
      code: 'connect-failed', stage: 'auth', outcome: 'unknown', message: expect.stringContaining('before the server had answered the login') as string,
      hint: expect.stringMatching(/\w+ \w+/) as string,
    })
    await connection.close()
    expect([relay.taken(), readFileSync(ran, 'utf8')]).toEqual([1, 'once\n'])
  }, 20_000)
})

describe.each(SERVERS)('a login at $name that is cut short', ({ here, start, strict }) => {
  test.skipIf(!here)('is a connection lost, and no refused login, while nothing of the login has been answered', async () => {
    await using server = await start()
    await using relay = await startRelay(server.port, 3)
    const connection = connectSsh2({
      host: server.host, port: relay.port, user: server.user, keys: [privateKey(server.key, { comment: 'id' })], verifyHostKey: () => true, flight: 'slow',
      onStage: (stage) => { if (stage === 'auth') setImmediate(() => relay.sockets.forEach((socket) => socket.destroy())) },
    })
    await expect(connection.ready).rejects.toMatchObject({ code: 'connect-failed', stage: 'auth', outcome: 'not-sent' })
    await connection.close()
  }, 20_000)

  test.skipIf(!here)('is a refused login where the server ends it after too many tries', async () => {
    await using server = await strict()
    const keys = ['one', 'two', 'three'].map((comment) => {
      const file = join(server.dir, comment)
      makeKey(file)
      return privateKey(readFileSync(file, 'utf8'), { comment })
    })
    const connection = connectSsh2({ host: server.host, port: server.port, user: server.user, keys, verifyHostKey: () => true })
    await expect(connection.ready).rejects.toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'not-sent' })
    await connection.close()
  }, 20_000)
})
