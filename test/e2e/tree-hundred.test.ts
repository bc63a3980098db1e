import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Connecting, Controller } from '../../src/controller/index.ts'
import { childrenOf, leakCheck, records } from '../helpers/e2e-lab.ts'
import { haveSshd } from '../helpers/sshd.ts'
import { type Machines, pidOf, soon, startMachines } from '../helpers/tree-lab.ts'

const COUNT = 100
/** One sshd listens on at most 16 addresses. */
const ADDRESSES = 15

/**
 * One sshd with its default of MaxStartups (from ten logins under way on it turns away three of ten, all from 100 on) plays a
 * hundred machines, so it bears the logins of all of them together, which on a hundred real ones each would bear alone.
 */
describe.skipIf(!haveSshd)('a hundred targets at once, all of them one sshd with its default MaxStartups', () => {
  let machines: Machines
  let noLeaks: () => Promise<void>
  /** ssh_config with the names of all. */
  let config: string

  beforeAll(async () => {
    noLeaks = leakCheck()
    machines = await startMachines(ADDRESSES + 1, { config: ['MaxStartups 10:30:100'] })
    config = join(machines.server.dir, 'hundred')
    writeFileSync(config, Array.from({ length: COUNT }, (_, at) => [
      `Host web${at + 1}`, `HostName 127.0.0.${2 + (at % ADDRESSES)}`, `Port ${machines.server.port}`, `User ${machines.server.user}`, '',
    ].join('\n')).join(''))
  })
  afterAll(async () => {
    await machines?.[Symbol.asyncDispose]()
    await noLeaks?.()
  })

  test.each(['behind one hop', 'from the controller'])('%s: none is lost, each is called, and has one connection however many ask', async (where) => {
    const { server, login } = machines
    await using ramet = new Controller({ logger: records().logger })
    const before = machines.logins()
    const logged = server.log().length
    const via = where === 'behind one hop' ? { via: ramet.connect(machines.at(1), login) } : {}
    const open = (at: number): Connecting => ramet.connect(`web${at + 1}`, { ...login, ...via, sshConfig: config, timeout: 60_000 })
    const contexts = await Promise.all(Array.from({ length: COUNT }, (_, at) => Promise.all([open(at), open(at)])))
    const answers = await Promise.all(contexts.flat().map((context) => context.with({ isolate: 'none' }).call(() => process.pid)))
    expect(answers).toEqual(contexts.flat().map(pidOf))
    expect(new Set(answers).size).toBe(COUNT)
    const hops = where === 'behind one hop' ? 1 : 0
    expect(machines.logins() - before).toBe(COUNT + hops)
    // It did turn some away, which were let in later.
    expect(server.log().slice(logged)).toMatch(/drop connection .* past MaxStartups/)
    expect(ramet.stats().links.filter(({ state }) => state === 'connected')).toHaveLength(COUNT + hops)
    await ramet.close()
    await soon(() => expect(childrenOf(server.pid)).toEqual([]))
  }, 120_000)
})
