import { setInterval } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { quietController } from '../helpers/e2e-lab.ts'
import { haveSshd } from '../helpers/sshd.ts'
import { WaysLab } from '../helpers/ways-lab.ts'

let lab: WaysLab

beforeAll(async () => {
  lab = await WaysLab.start()
})

afterAll(() => lab.stop())

// Each has processes of its own, and most of each is waiting: at once they take as long as the longest.
describe.concurrent('nothing dies of being busy', () => {
  // In CI the real thing; elsewhere the same in proportion.
  const [interval, seconds] = process.env['CI'] === undefined ? [250, 4] : [3750, 60]

  test(`a function that computes for ${seconds} s finishes, and the context answers all the while`, async () => {
    await using controller = quietController()
    const context = await controller.connect('local:', { keepalive: { interval, count: 4 } })
    const spin = context.call((ms: number) => {
      const end = Date.now() + ms
      let turns = 0
      while (Date.now() < end) turns++
      return turns
    }, seconds * 1000)
    const state = { over: false }
    void spin.finally(() => (state.over = true))
    // Asking without a pause would show no more, and take a core from whatever runs beside it.
    for await (const _ of setInterval(seconds * 5)) {
      if (state.over) break
      expect(await context.ping()).toBeLessThan(1000)
      expect((await context.exec('echo well')).stdout).toBe('well\n')
      expect(context.state).toBe('connected')
    }
    expect(await spin).toBeGreaterThan(1000)
  }, 90_000)

  test.each((['local', 'ssh2', 'openssh'] as const).filter((name) => name === 'local' || haveSshd))('over %s a command goes on while the controller itself stands still', async (transport) => {
    const { target, options } = lab.way(transport)
    // 15 s × 4 by default, and 20 s of standing still: the same proportion, and twice over.
    const [each, block] = process.env['CI'] === undefined ? [600, 1800] : [15_000, 20_000]
    const running = lab.processes.start(`
      const warnings = []
      const logger = pino({}, { write: (line) => warnings.push(JSON.parse(line).msg) })
      const controller = new ramet.Controller({ logger })
      const context = await controller.connect(args.target, { ...args.options, keepalive: { interval: args.each, count: 4 } })
      const command = context.exec('sleep ' + args.block / 2000 + '; echo done')
      const call = context.call(() => new Promise((resolve) => setTimeout(resolve, 100, 'answered')))
      await context.ping()
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, args.block)
      say('exec', (await command).stdout.trim())
      say('call', await call)
      say('state', context.state, warnings.join())
      await controller.close()
    `, { target, options, each, block })
    const { lines, code, stderr } = await running.ended
    expect({ lines, code, stderr }).toEqual({ lines: ['exec done', 'call answered', 'state connected '], code: 0, stderr: '' })
  }, 60_000)

  test('a controller that stands still for longer than a whole limit is not wrong about its targets, with any count', async () => {
    // An answer has to come within one limit, on a machine that does a lot beside this.
    const limit = process.env['CI'] === undefined ? 100 : 300
    const running = lab.processes.start(`
      const controller = new ramet.Controller({ logger: quiet })
      // Only the controller watches with this short limit: the target's own would be over.
      const context = await controller.connect('local:', { keepalive: { interval: 60_000, count: 1 } })
      const core = [...controller.contexts.cores.values()][0]
      core.near.link.watch({ interval: args.limit, count: 1 })
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve) => setTimeout(resolve, args.limit * (1.3 + 0.4 * i)))
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10 * args.limit)
      }
      await context.ping()
      say('state', context.state)
      await controller.close()
    `, { limit })
    expect((await running.ended).lines).toEqual(['state connected'])
  }, 30_000)
})
