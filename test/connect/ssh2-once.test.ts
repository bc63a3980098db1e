import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { connectSsh2 } from '../../src/connect/ssh2.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import { haveDropbear, haveSshd, startDropbear, startSshd } from '../helpers/sshd.ts'
import { startRelay } from '../helpers/tcp.ts'

const SERVERS = [
  { name: 'OpenSSH', here: haveSshd, start: () => startSshd() },
  { name: 'dropbear', here: haveDropbear, start: () => startDropbear() },
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
    expect(await ended).toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'unknown', hint: expect.stringMatching(/\w+ \w+/) as string })
    await connection.close()
    expect([relay.taken(), readFileSync(ran, 'utf8')]).toEqual([1, 'once\n'])
  }, 20_000)
})
