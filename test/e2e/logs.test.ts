import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Controller, secret } from '../../src/controller/index.ts'
import { loginTo, type Records, records, targetOf } from '../helpers/e2e-lab.ts'
import { nodeBinary } from '../helpers/node-binaries.ts'
import { haveSshd } from '../helpers/sshd.ts'
import { WaysLab } from '../helpers/ways-lab.ts'

let lab: WaysLab

beforeAll(async () => {
  lab = await WaysLab.start()
})

afterAll(() => lab.stop())

function from({ all }: Records, source: string): string[] {
  return all.filter((record) => record['source'] === source).map(({ msg }) => String(msg))
}

function dropped({ all }: Records): number {
  return all.reduce((sum, record) => sum + Number(record['dropped'] ?? 0), 0)
}

/** Resident memory of a process, in MB. */
function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

describe('what remote code prints', () => {
  test.each([undefined, 'none'] as const)('arrives as records of its context, in order, with its level (isolate: %s)', async (isolate) => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    await context.with(isolate === undefined ? {} : { isolate }).call(() => {
      console.log('one %d', 1)
      console.error('two')
      console.log('three\nfour')
      process.stdout.write('fi')
      process.stdout.write('ve\n')
      console.warn(Buffer.from('six €').toString())
      process.stdout.write('no newline')
    })
    await vi.waitFor(() => expect(from(log, 'stdout')).toEqual(['one 1', 'three', 'four', 'five', 'no newline']), 10_000)
    expect(from(log, 'stderr')).toEqual(['two', 'six €'])
    expect(log.all.filter(({ source }) => source === 'stdout').every(({ level, context: of }) => level === 30 && of === 'local')).toBe(true)
    expect(log.all.filter(({ source }) => source === 'stderr').every(({ level }) => level === 40)).toBe(true)
    expect(log.all.every(({ remoteTime }) => Math.abs(Number(remoteTime) - Date.now()) < 60_000)).toBe(true)
  })

  test('on Node 12, too', async ({ skip }) => {
    const node = nodeBinary('12.22.12')
    if (node === undefined) return skip('Node 12 is not in .cache/node')
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:', { node })
    for (const isolate of [{}, { isolate: 'none' }] as const) {
      await context.with(isolate).call(() => {
        console.log('out')
        console.error('err')
      })
    }
    await vi.waitFor(() => expect([from(log, 'stdout'), from(log, 'stderr')]).toEqual([['out', 'out'], ['err', 'err']]), 10_000)
  })

  test('cannot steer a terminal or forge a line: control characters are shown', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    await context.call(() => {
      const { spawn } = require('child_process') as typeof import('node:child_process')
      console.log('\u001b[2J\u0007\u009b31m\ttab\rback')
      return new Promise((resolve) => spawn('printf', ['\\033]0;title\\007\\n'], { stdio: 'inherit' }).on('close', resolve))
    })
    await vi.waitFor(() => expect(from(log, 'output')).toEqual(['\\x1b]0;title\\x07']), 10_000)
    expect(from(log, 'stdout')).toEqual(['\\x1b[2J\\x07\\x9b31m\ttab\\x0dback'])
  })

  test('also by grandchildren that inherit its streams, and by writes to the descriptors themselves', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    await context.call(() => {
      const { spawnSync } = require('child_process') as typeof import('node:child_process')
      const { writeSync } = require('fs') as typeof import('node:fs')
      spawnSync('sh', ['-c', 'echo child out; sh -c "echo grandchild err >&2"'], { stdio: 'inherit' })
      writeSync(1, 'descriptor 1\n')
      writeSync(2, 'descriptor 2\n')
    })
    await vi.waitFor(() => expect(from(log, 'output')).toEqual(['child out', 'grandchild err', 'descriptor 1', 'descriptor 2']), 10_000)
  })

  test('by a loop that never yields arrives while it spins', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    await context.call(() => 0)
    const spin = context.call(() => {
      console.log('begun')
      const end = Date.now() + 2000
      while (Date.now() < end);
      console.log('ended')
    })
    await vi.waitFor(() => expect(from(log, 'stdout')).toEqual(['begun']), { timeout: 1800 })
    await spin
  })

  test('in records of its own through ramet/remote, with fields', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    await context.call(async () => {
      const { current } = require('ramet/remote') as typeof import('../../src/remote.ts')
      current.log.warn('disk is full', { disk: 'sda' })
      current.log.debug('a detail')
    })
    await vi.waitFor(() => expect(from(log, 'log')).toEqual(['disk is full', 'a detail']), 10_000)
    expect(log.all.find(({ msg }) => msg === 'disk is full')).toMatchObject({ level: 40, disk: 'sda', context: 'local' })
    expect(log.all.find(({ msg }) => msg === 'a detail')).toMatchObject({ level: 20 })
  })
})

describe('a flood', () => {
  test('that the context is closed behind is there to the last line, or counted', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    const prints = (lines: number): void => {
      for (let i = 0; i < lines; i++) console.log(`line ${i}`)
    }
    await context.with({ isolate: 'none' }).call(prints, 10_000)
    await context.close()
    expect(from(log, 'stdout').length + dropped(log)).toBe(10_000)
    expect(from(log, 'stdout').length).toBeGreaterThan(1000)
  })

  test('in a process of its own, which ends with the call, is there to the last line, or counted', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    await context.with({ isolate: 'process' }).call((lines: number) => {
      for (let i = 0; i < lines; i++) console.log(`line ${i} ${'x'.repeat(8000)}`)
    }, 130)
    await vi.waitFor(() => expect(from(log, 'stdout').length + dropped(log)).toBe(130), 10_000)
    expect(from(log, 'stdout').length).toBeGreaterThan(20)
  })

  test.each([undefined, 'none'] as const)('of 200,000 lines of a function is limited, and what was dropped is counted (isolate: %s)', async (isolate) => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    const before = memoryOf(context.info?.pid ?? 0)
    await context.with(isolate === undefined ? {} : { isolate }).call(() => {
      for (let i = 0; i < 200_000; i++) console.log(`line ${i}`)
    })
    expect((await context.exec('echo well')).stdout).toBe('well\n')
    expect(memoryOf(context.info?.pid ?? 0) - before).toBeLessThan(150)
    const count = (): number => from(log, 'stdout').length + dropped(log)
    await vi.waitFor(() => expect(count()).toBe(200_000), 10_000)
    expect(from(log, 'stdout').length).toBeLessThan(20_000)
    expect(from(log, 'stdout')[0]).toBe('line 0')
  }, 30_000)

  test('that never ends costs neither memory nor the answers of others', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    await context.call(() => 0)
    const before = memoryOf(context.info?.pid ?? 0)
    const flood = context.with({ timeout: 3000 }).call(() => {
      for (;;) console.log('again and again and again and again and again and again')
    })
    flood.catch(() => {})
    const took: number[] = []
    for (let i = 0; i < 100; i++) took.push(await context.ping())
    await expect(flood).rejects.toMatchObject({ code: 'timeout' })
    expect(memoryOf(context.info?.pid ?? 0) - before).toBeLessThan(100)
    expect(took.sort((a, b) => a - b)[50]).toBeLessThan(50)
  }, 30_000)

  test.skipIf(!haveSshd)('of a grandchild (`yes`) is limited here; calls are answered, and memory stays bounded', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect(targetOf(lab.server), loginTo(lab.server))
    await context.call(() => 0)
    const before = process.memoryUsage().rss
    const yes = await context.call(() => {
      const { spawn } = require('child_process') as typeof import('node:child_process')
      return spawn('sh', ['-c', 'exec yes >&2'], { stdio: 'inherit' }).pid
    })
    for (let i = 0; i < 5; i++) expect((await context.exec('echo well')).stdout).toBe('well\n')
    await vi.waitFor(() => expect(dropped(log)).toBeGreaterThan(10_000), 10_000)
    await context.exec(`kill -KILL ${yes}`)
    expect(from(log, 'output').length).toBeLessThan(20_000)
    expect((process.memoryUsage().rss - before) / 1e6).toBeLessThan(200)
  }, 30_000)

  test('of one line of 1 MiB and of bytes that look like frames, from a grandchild, never corrupts the link', async () => {
    const log = records()
    await using controller = new Controller({ logger: log.logger })
    const context = await controller.connect('local:')
    const work = context.call(() => {
      const { spawnSync } = require('child_process') as typeof import('node:child_process')
      const code = 'process.stdout.write("x".repeat(1048576)+"\\n");process.stderr.write(Buffer.alloc(65536,0xf8))'
      return spawnSync(process.execPath, ['-e', code], { stdio: 'inherit' }).status
    })
    for (let i = 0; i < 20; i++) expect((await context.exec(`echo ${i}`)).stdout).toBe(`${i}\n`)
    expect(await work).toBe(0)
    await vi.waitFor(() => expect(from(log, 'output').join('').replace(/[^x]/g, '').length).toBe(1_048_576), 10_000)
    expect(Math.max(...from(log, 'output').map(({ length }) => length))).toBeLessThanOrEqual(4 * 8192)
    expect(context.state).toBe('connected')
  })
})

describe('diagnosis', () => {
  test('RAMET_TRACE=frames shows headers and never a payload', async () => {
    const running = lab.processes.start(`
      process.env.RAMET_TRACE = 'frames'
      const controller = new ramet.Controller({ logger: quiet })
      const context = await controller.connect('local:')
      await context.call((text) => text, 'a text that nobody shall see')
      await context.exec('echo another; cat', { stdin: 'and a third' })
      await controller.close()
    `)
    const { stderr, code } = await running.ended
    expect(code).toBe(0)
    expect(stderr).not.toMatch(/nobody shall see|another|a third/)
    for (const type of ['HELLO', 'OPEN', 'DATA', 'END', 'OFFER', 'PUSH', 'GOAWAY']) expect(stderr).toMatch(new RegExp(`^[<>] local ${type} flags=\\d+ \\d+->\\d+ #\\d+ \\d+$`, 'm'))
    expect(stderr.split('\n').every((line) => /^([<>] [\w>]+ [A-Z]+ flags=\d+ \d+->\d+ #\d+ \d+)?$/.test(line))).toBe(true)
  })

  test('SIGUSR2 prints the state of every context, link, channel and queue, and ends nothing', async () => {
    const running = lab.processes.start(`
      const controller = new ramet.Controller({ logger: quiet })
      const context = await controller.connect('local:', { password: 'hidden-password', runtime: 'node' })
      const child = context.spawn('yes')
      await child.pid
      const call = context.call(() => new Promise(() => {})).catch(() => {})
      say('ready')
      await new Promise((resolve) => setTimeout(resolve, 1000))
      say('state', context.state)
      await controller.close()
    `)
    await running.said('ready')
    process.kill(running.child.pid as number, 'SIGUSR2')
    const { stderr, lines } = await running.ended
    expect(lines).toEqual(['ready', 'state connected'])
    const state = JSON.parse(stderr) as Record<string, unknown>
    expect(state).toMatchObject({
      state: 'open',
      contexts: [{ name: expect.any(String), id: 2, state: 'connected', runtime: 'node', queued: { frames: expect.any(Number), bytes: expect.any(Number) }, budget: { down: expect.any(Number), up: expect.any(Number) } }],
    })
    expect(state['channels']).toEqual(expect.arrayContaining([{ peer: 2, channel: expect.any(Number), state: expect.any(String), queued: expect.any(Number) }]))
    expect(stderr).not.toContain('hidden')
  })

  test('a secret is not what JSON, inspection or text show of it', () => {
    const hidden = secret('correct horse battery')
    expect([JSON.stringify({ hidden }), inspect({ hidden }, { showHidden: true, depth: 9 }), `${hidden as unknown as string}`].join()).not.toContain('horse')
  })

  test('a secret is refused as an argument, by its place: it would arrive without its text', async () => {
    await using controller = new Controller({ logger: records().logger })
    const context = await controller.connect('local:')
    const login = { password: secret('correct horse battery') }
    const error: unknown = await Promise.resolve(context.call((given: unknown) => given, login)).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'argument-unsupported', outcome: 'not-sent', message: expect.stringContaining('args[0].password is a Secret object'), hint: expect.stringMatching(/^Send plain data/) })
  })

  test.skipIf(!haveSshd)('a secret shows in no log, error, JSON or inspection, also of a process that fails with it', async () => {
    const hidden = secret('correct horse battery')
    const log = records()
    log.logger.info({ hidden, nested: [hidden] }, 'a record')
    expect(JSON.stringify(log.all)).not.toContain('horse')
    await using controller = new Controller({ logger: log.logger })
    const error = await controller.connect(targetOf(lab.server), { ...loginTo(lab.server), identityFile: '/dev/null', password: hidden, hostKeys: 'ignore' }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: expect.stringMatching(/auth-failed|key-unreadable/) })
    expect(inspect(error, { depth: 9 }) + JSON.stringify(error) + JSON.stringify(log.all) + JSON.stringify(controller.describe())).not.toContain('horse')
    expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain('horse')
  })
})
