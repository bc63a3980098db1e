import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { Ssh2Client } from '../../src/connect/ssh2-client.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import { newKeyPair, sshServer } from '../../src/connect/ssh2-server.ts'

test('a command that was given up while its channel opened is not waited for', async () => {
  const [host, user] = [newKeyPair(), newKeyPair()]
  // It answers no command.
  const listener = createServer(sshServer(host.private, user.public, () => {})).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const client = await Ssh2Client.connect({
    host: '127.0.0.1', port, user: 'me', keys: [privateKey(user.private, { comment: 'key' })], verify: () => true, algorithms: {}, signal: new AbortController().signal,
  })
  const stop = new AbortController()
  const running = client.run('true', undefined, stop.signal)
  stop.abort()
  await expect(running).rejects.toThrow(/exit code/)
  client.close()
  await new Promise((closed) => void listener.close(closed))
}, 10_000)
