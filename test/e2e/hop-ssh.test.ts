import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Controller } from '../../src/controller/index.ts'
import { LogRecords } from '../helpers/log-records.ts'
import { NODE_VERSIONS, nodeBinary } from '../helpers/node-binaries.ts'
import { type TestServer, haveSshd, startSshd } from '../helpers/sshd.ts'

describe.skipIf(!haveSshd)('SSH from a hop, with ssh2 sent there (left out where there is no sshd)', () => {
  let server: TestServer
  beforeAll(async () => void (server = await startSshd()))
  afterAll(() => server.stop())

  describe.each(NODE_VERSIONS)('whose Node is %s', (version) => {
    const node = nodeBinary(version)
    test.skipIf(node === undefined)('commands and functions run behind it, and the key stays here', async () => {
      const records = new LogRecords()
      await using ramet = new Controller({ logger: records.logger })
      const hop = await ramet.connect('local:', { node: node! })
      const behind = await ramet.connect(`ssh://${server.user}@127.0.0.1:${server.port}`, {
        via: hop, identityFile: server.keyFile, knownHosts: server.knownHosts, sshConfig: false, node: process.execPath })
      expect((await behind.exec('printf %s "$SSH_CONNECTION"')).stdout).toContain('127.0.0.1')
      expect(await behind.call((a: number, b: number) => [a + b, process.version], 40, 2)).toEqual([42, process.version])
      expect(hop.info?.nodeVersion ?? '').toBe(`v${version}`)
      const signed = records.all.filter(({ text }) => text.startsWith('signed a login'))
      expect(signed).toMatchObject([{ level: 'info', fields: { user: server.user, algorithm: 'ssh-ed25519' } }])
      expect(ramet.stats().links).toMatchObject([{ transport: 'local' }, { from: hop.path.join(' > '), transport: 'ssh2' }])
    })

    test.skipIf(node === undefined)('the hop\'s own ssh logs in with our key behind an agent socket', async () => {
      const records = new LogRecords()
      await using ramet = new Controller({ logger: records.logger })
      const hop = await ramet.connect('local:', { node: node! })
      // What the account's own known_hosts says is not ours to change: ours decides who gets a signature.
      const behind = await ramet.connect(`ssh://${server.user}@127.0.0.1:${server.port}`, { via: hop, transport: 'openssh', agent: true,
        hostKeys: 'ignore', identityFile: server.keyFile, knownHosts: server.knownHosts, sshConfig: false, node: process.execPath })
      expect((await behind.exec('printf hello')).stdout).toBe('hello')
      expect(records.all.filter(({ text }) => text.startsWith('signed a login'))).toMatchObject([{ fields: { user: server.user } }])
      expect(ramet.stats().links).toMatchObject([{ transport: 'local' }, { from: hop.path.join(' > '), transport: 'openssh' }])
    })
  })
})
