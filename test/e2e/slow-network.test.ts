import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loginTo, quietController } from '../helpers/e2e-lab.ts'
import { haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'
import { startTcp, type TcpServer } from '../helpers/tcp.ts'

/** A relay in front of an SSH server that carries so many bytes per ms to it, once told to be slow, and its answers as they come. */
async function slowRelay(port: number, rate: number): Promise<TcpServer & { slow: () => void }> {
  let slow = false
  const relay = await startTcp((socket) => {
    const upstream: Socket = connect({ host: '127.0.0.1', port, noDelay: true })
    upstream.on('error', () => socket.destroy())
    upstream.on('data', (bytes) => socket.write(bytes))
    upstream.on('close', () => socket.end())
    socket.on('close', () => upstream.destroy())
    socket.on('data', (bytes) => {
      upstream.write(bytes)
      if (!slow) return
      socket.pause()
      setTimeout(() => socket.resume(), bytes.length / rate)
    })
  })
  return Object.assign(relay, { slow: () => void (slow = true) })
}

describe.skipIf(!haveSshd).concurrent('a network that takes longer for what is on its way than a neighbour may be silent', () => {
  let server: TestServer
  let dir: string
  beforeAll(async () => {
    server = await startSshd()
    dir = mkdtempSync(join(tmpdir(), 'ramet-slow-'))
    const text = randomBytes(3_000_000).toString('base64')
    writeFileSync(join(dir, 'large.mjs'), `export const text = '${text}'\nexport function size() { return text.length }\n`)
  })
  afterAll(async () => {
    await server.stop()
    rmSync(dir, { recursive: true })
  })

  // SSH keeps 2 MiB under way, which take 3 s here; a PING behind them may take 2.
  test.each(['ssh2', 'openssh'] as const)('costs nothing: over %s large code arrives, and the target answers as before', async (transport) => {
    await using relay = await slowRelay(server.port, 700)
    await using controller = quietController()
    const target = `ssh://${server.user}@127.0.0.1:${relay.port}`
    const context = await controller.connect(target, { ...loginTo(server), hostKeys: 'ignore', transport, keepalive: { interval: 400, count: 4 } })
    await context.call(() => 0)
    relay.slow()
    expect(await context.use<{ size(): number }>(pathToFileURL(join(dir, 'large.mjs'))).size()).toBe(4_000_000)
    expect(context.state).not.toBe('lost')
    expect(await context.call(() => 1)).toBe(1)
  }, 30_000)
})
