import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { type Plugin, build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Controller } from '../../src/controller/index.ts'
import { ownModule } from '../../src/controller/stub-image.ts'
import type { RametError } from '../../src/router/errors.ts'
import { LogRecords } from '../helpers/log-records.ts'
import { type TestServer, haveSshd, startSshd } from '../helpers/sshd.ts'

/** From now on hops of this process run the hostile module in place of ours, as if somebody there had changed it. */
async function takeOver(trick: 'elsewhere' | 'ask-again', otherPort: number): Promise<void> {
  const { noDirectory, ssh2Plugins, withoutKeyFiles } = await import(new URL('../../build/ssh2.mjs', import.meta.url).href) as
    { noDirectory: Record<string, string>; ssh2Plugins: () => Plugin[]; withoutKeyFiles: Plugin }
  const { outputFiles } = await build({
    entryPoints: ['test/fixtures/modules/hostile-hop.ts'], bundle: true, write: false, format: 'cjs', platform: 'node', target: 'es2019', logLevel: 'error',
    plugins: [...ssh2Plugins(), withoutKeyFiles], define: { ...noDirectory, OTHER_PORT: String(otherPort), TRICK: JSON.stringify(trick) },
  })
  const text = outputFiles[0]?.text ?? ''
  const hash = createHash('sha256').update(text).digest('hex')
  const graph = ownModule('ssh2')
  graph.entry = hash
  graph.modules = new Map([[hash, { key: hash, hash, text, name: 'ramet/ssh2.js', file: undefined, imports: [], map: undefined }]])
}

describe.skipIf(!haveSshd)('a hop in other hands, with two real servers that our key opens (left out where there is no sshd)', () => {
  let web: TestServer
  let db: TestServer
  beforeAll(async () => {
    [web, db] = await Promise.all([startSshd(), startSshd()])
    appendFileSync(`${db.dir}/authorized_keys`, readFileSync(`${web.keyFile}.pub`))
    // The controller knows both machines.
    writeFileSync(web.knownHosts, readFileSync(web.knownHosts, 'utf8') + readFileSync(db.knownHosts, 'utf8'))
  })
  afterAll(() => Promise.all([web.stop(), db.stop()]))

  const connect = async (ramet: Controller, server: TestServer) => {
    const hop = await ramet.connect('local:', { fresh: true })
    return ramet.connect(`ssh://${server.user}@127.0.0.1:${server.port}`, { via: hop, identityFile: web.keyFile, knownHosts: web.knownHosts, sshConfig: false, node: process.execPath })
  }

  test('told to go to web, it gets no signature for db', async () => {
    await takeOver('elsewhere', db.port)
    const records = new LogRecords()
    await using ramet = new Controller({ logger: records.logger })
    const error: RametError = await connect(ramet, web).then(() => expect.fail('it was let in'), (reason: RametError) => reason)
    expect([error.code, error.stage, error.outcome]).toEqual(['host-key-changed', 'host-key', 'not-sent'])
    expect(records.all.filter(({ text }) => text.startsWith('signed'))).toEqual([])
    expect(records.all.find(({ text }) => text.startsWith('refused to a hop'))).toMatchObject({ level: 'warn', fields: { code: 'host-key-changed' } })
    expect(db.log()).not.toMatch(/Accepted|Failed publickey/)
  })

  test('once connected it gets nothing more, though it asks as before', async () => {
    await takeOver('ask-again', 0)
    const records = new LogRecords()
    await using ramet = new Controller({ logger: records.logger })
    const behind = await connect(ramet, web)
    expect((await behind.exec('echo here')).stdout).toBe('here\n')
    for (const question of [0, 1]) {
      const { text } = await records.first((record) => record.text.startsWith(`question ${question}: `))
      expect(text).toBe(`question ${question}: refused not-allowed`)
    }
    expect(records.all.filter(({ text }) => text.startsWith('signed'))).toHaveLength(1)
  })
})
