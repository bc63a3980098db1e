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

test('of what a command prints no more is kept than any call of the bench prints, and of its complaints the end', async () => {
  const [host, user] = [newKeyPair(), newKeyPair()]
  const MEGABYTE = 1024 * 1024
  const listener = createServer(sshServer(host.private, user.public, (channel, command) => {
    const output = command === 'print' ? channel : channel.stderr
    for (let i = 0; i < 8; i++) output.write(Buffer.alloc(MEGABYTE, 'x'))
    output.write('the end', () => {
      channel.exit(command === 'print' ? 0 : 3)
      channel.end()
    })
  })).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const client = await Ssh2Client.connect({
    host: '127.0.0.1', port, user: 'me', keys: [privateKey(user.private, { comment: 'key' })], verify: () => true, algorithms: {}, signal: new AbortController().signal,
  })
  const printed = await client.run('print', undefined, new AbortController().signal)
  expect(printed.length).toBeGreaterThanOrEqual(4 * MEGABYTE)
  expect(printed.length).toBeLessThan(5 * MEGABYTE)
  await expect(client.run('complain', undefined, new AbortController().signal)).rejects.toThrow(/^exit code 3: x{293}the end$/)
  client.close()
  await new Promise((closed) => void listener.close(closed))
}, 20_000)
