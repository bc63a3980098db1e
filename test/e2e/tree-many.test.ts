import { randomFillSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Context, Controller, group, type LinkStats } from '../../src/controller/index.ts'
import { failure, leakCheck, records } from '../helpers/e2e-lab.ts'
import { haveSshd } from '../helpers/sshd.ts'
import { type Machines, pidOf, soon, startMachines } from '../helpers/tree-lab.ts'

type Far = typeof import('../fixtures/tasks/far.ts')
const far = new URL('../fixtures/tasks/far.ts', import.meta.url)

describe('many contexts behind one hop', () => {
  let log: ReturnType<typeof records>
  let ramet: Controller
  let hop: Context
  let noLeaks: () => Promise<void>

  beforeEach(async () => {
    noLeaks = leakCheck()
    log = records()
    ramet = new Controller({ logger: log.logger, limits: { interpreters: 100 } })
    hop = await ramet.connect('local:')
  })
  afterEach(async () => {
    await ramet.close()
    await noLeaks()
  })

  const uplink = (): LinkStats => ramet.stats().links.find(({ path }) => path.length === 1) as LinkStats
  const children = (count: number): Promise<Context[]> => Promise.all(Array.from({ length: count }, () => hop.connect('local:', { fresh: true })))

  test('40 are set up at once: none of them starts before all have been launched', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'ramet-many-'))
    // Each waits until the others have come as far: one after the other would never end.
    const script = join(dir, 'node.sh')
    writeFileSync(script, `#!/bin/sh\n: >${dir}/at.$$\nwhile [ $(ls ${dir} | grep -c at) -lt 40 ]; do sleep 0.1; done\nexec ${process.execPath} "$@"\n`, { mode: 0o755 })
    const contexts = await Promise.all(Array.from({ length: 40 }, () => hop.connect('local:', { fresh: true, node: script })))
    expect(new Set(contexts.map(pidOf)).size).toBe(40)
    rmSync(dir, { recursive: true })
  }, 40_000)

  test('code crosses the link to the hop once, whether 50 contexts want it one by one or together', async () => {
    const contexts = await children(50)
    const costs = async (work: () => Promise<unknown>): Promise<{ modules: number; bytes: number }> => {
      const before = uplink()
      await work()
      const after = uplink()
      return { modules: after.modulesSent - before.modulesSent, bytes: after.codeBytes - before.codeBytes }
    }
    const sent = new Uint8Array(1)
    const first = await costs(() => (contexts[0] as Context).use<Far>(far).echo(sent))
    expect(first.modules).toBeGreaterThan(0)
    expect(await costs(() => Promise.all(contexts.map((context) => context.use<Far>(far).echo(sent))))).toEqual({ modules: 0, bytes: 0 })
    const one = await costs(() => Promise.all(contexts.map((context) => context.call(() => 'the same new function'))))
    expect(one.modules).toBe(1)
    const together = await costs(() => group(contexts).call(() => 'another new function'))
    expect(together.modules).toBe(1)
    // Each context's own link carried every one of them.
    await Promise.all(contexts.map((context) => context.ping()))
    for (const { path, modulesSent } of ramet.stats().links) if (path.length === 2) expect(modulesSent).toBeGreaterThanOrEqual(3)
  }, 60_000)

  test('a call and a command of a group cross it in one frame each way down', async () => {
    const contexts = await children(50)
    const all = group(contexts)
    const fn = (): number => process.pid
    await all.call(fn)
    await all.exec('true')
    // What was granted or asked meanwhile is not part of it.
    await Promise.all(contexts.map((context) => context.ping()))
    const before = uplink()
    const answers = await all.call(fn)
    const after = uplink()
    expect([...answers.values()]).toEqual(contexts.map((context) => ({ ok: true, value: pidOf(context) })))
    expect(after.framesOut - before.framesOut).toBe(1)
    const single = uplink()
    await Promise.all(contexts.map((context) => context.call(fn)))
    expect(after.bytesOut - before.bytesOut).toBeLessThan((uplink().bytesOut - single.bytesOut) * 0.25)
    const commands = [...(await all.exec('echo $PPID')).values()]
    expect(commands.map((result) => result.ok && Number(result.value.stdout))).toEqual(contexts.map(pidOf))
  }, 60_000)

  test('no answer waits for another: of a group one spins, one is slow, one is closed, one is lost', async () => {
    const contexts = await children(8)
    const [spins, slow, closed, lost] = contexts as [Context, Context, Context, Context]
    const direct = await ramet.connect('local:', { fresh: true })
    const nested = await (contexts[4] as Context).connect('local:')
    const all = [...contexts, direct, hop, nested]
    await group(all).call(() => 0)
    await closed.close()
    process.kill(pidOf(lost), 'SIGKILL')
    await soon(() => expect(lost.state).toBe('lost'))
    const order: Context[] = []
    const work = group(all).with({ timeout: 3000 }).call((slowPid: number, spinPid: number) => {
      if (process.pid === spinPid) for (;;);
      return new Promise((resolve) => setTimeout(resolve, process.pid === slowPid ? 1500 : 0, process.pid))
    }, pidOf(slow), pidOf(spins))
    const singles = all.map((context) => context.call((pid: number) => process.pid === pid, pidOf(context)).then(() => order.push(context), () => {}))
    // Behind the call that spins nothing of that context's answers; all the others do.
    await soon(() => expect(order).toHaveLength(all.length - 3))
    const results = await work
    expect([...results.keys()]).toEqual(all)
    for (const [context, result] of results) {
      if (context === spins) expect(result).toMatchObject({ ok: false, error: { code: 'timeout', path: context.path } })
      else if (context === closed) expect(result).toMatchObject({ ok: false, error: { code: 'closed', outcome: 'not-sent', path: context.path } })
      else if (context === lost) expect(result).toMatchObject({ ok: false, error: { code: 'link-lost', outcome: 'not-sent', path: context.path } })
      else expect(result).toEqual({ ok: true, value: pidOf(context) })
    }
    await Promise.all(singles)
    expect(order).toHaveLength(all.length - 3)
  }, 30_000)

  test('a group whose members come and go while it is asked: each answers for itself', async () => {
    const contexts = await children(10)
    const all = group(contexts)
    await all.call(() => 0)
    const work = all.call(() => new Promise((resolve) => setTimeout(resolve, 300, 'done')))
    // After the one frame has left.
    await new Promise((resolve) => setImmediate(resolve))
    const gone = contexts.slice(0, 3)
    for (const context of gone) process.kill(pidOf(context), 'SIGKILL')
    const results = await work
    for (const [context, result] of results) {
      if (gone.includes(context)) expect(result).toMatchObject({ ok: false, error: { code: 'link-lost', outcome: 'unknown', path: context.path } })
      else expect(result).toEqual({ ok: true, value: 'done' })
    }
    const again = await all.exec('echo here')
    expect([...again.values()].map(({ ok }) => ok)).toEqual(contexts.map((context) => !gone.includes(context)))
  }, 30_000)

  test('arguments above a frame, streams and time limits work for a group, too', async () => {
    const contexts = await children(4)
    const all = group(contexts)
    const bytes = randomFillSync(Buffer.alloc(200_000))
    for (const [, result] of await all.use<Far>(far).echo(bytes)) expect(result.ok && bytes.equals(result.value)).toBe(true)
    for (const [, result] of await all.exec('base64 -w 0', { stdin: bytes })) expect(result.ok && result.value.stdout === bytes.toString('base64')).toBe(true)
    const late = await all.exec('sleep 300', { timeout: 200 })
    for (const [context, result] of late) expect(result).toMatchObject({ ok: false, error: { code: 'timeout', path: context.path } })
    const slow = await all.with({ timeout: 200 }).call(() => new Promise(() => {}))
    for (const [context, result] of slow) expect(result).toMatchObject({ ok: false, error: { code: 'timeout', path: context.path } })
    await soon(() => expect((ramet.describe()['channels'] as { peer: number }[]).length).toBe(5 + 4))
  }, 30_000)
})

describe.skipIf(!haveSshd)('many targets behind one hop, by SSH', () => {
  let machines: Machines

  beforeAll(async () => {
    machines = await startMachines(12, { config: ['MaxStartups 10:100:10'] })
  })
  afterAll(() => machines?.[Symbol.asyncDispose]())

  test('an sshd that bears ten logins at once turns none of 40 away', async () => {
    await using ramet = new Controller({ logger: records().logger })
    const hop = ramet.connect(machines.at(1), machines.login)
    const before = machines.logins()
    const contexts = await Promise.all(Array.from({ length: 40 }, (_, index) => ramet.connect(machines.at(2 + (index % 10)), { ...machines.login, via: hop, fresh: true, timeout: 60_000 })))
    expect(await Promise.all(contexts.map((context) => context.call(() => process.pid)))).toEqual(contexts.map(pidOf))
    expect(machines.logins() - before).toBe(41)
    const [, second] = ramet.stats().links
    expect(second).toMatchObject({ transport: 'ssh2', state: 'connected' })
  }, 90_000)

  test('nor 40 connections of their own to one target', async () => {
    await using ramet = new Controller({ logger: records().logger })
    const hop = ramet.connect(machines.at(1), machines.login)
    const before = machines.logins()
    const contexts = await Promise.all(Array.from({ length: 40 }, () => ramet.connect(machines.at(2), { ...machines.login, via: hop, fresh: true, timeout: 60_000 })))
    expect(new Set(contexts.map(pidOf)).size).toBe(40)
    expect(machines.logins() - before).toBe(41)
    expect(await failure(ramet.connect(machines.at(3), { ...machines.login, via: hop, knownHosts: '/dev/null' }))).toMatchObject({ code: 'host-key-unknown' })
  }, 90_000)
})
