import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { deferred } from '../../src/base/deferred.ts'
import { RawControl } from '../../src/connect/raw-control.ts'
import { RawLane } from '../../src/connect/raw.ts'
import { connectSsh2 } from '../../src/connect/ssh2.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import { losesChannels } from '../../src/connect/ssh2-session.ts'
import type { Connection, ProcessEnd, RemoteProcess } from '../../src/connect/transport.ts'
import { runCommand } from '../../src/controller/exec.ts'
import { Controller } from '../../src/controller/index.ts'
import type { Pipe } from '../../src/router/pipe.ts'
import { haveDropbear, haveSshd, startDropbear, startSshd } from '../helpers/sshd.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

test('the versions that close what they have not started when another process ends', () => {
  const known = ['dropbear_2022.82', 'dropbear_2022.83', 'dropbear_2024.84', 'dropbear_2024.85']
  expect(known.filter(losesChannels)).toEqual(known)
  expect(['dropbear_2020.81', 'dropbear_2024.86', 'dropbear_2025.89', 'dropbear', 'OpenSSH_9.2p1', ''].filter(losesChannels)).toEqual([])
})

/** A lane to such a server, whose processes only stand there, and the clock of both. */
function frailLane(): { lane: RawLane; clock: TestClock; opened: () => number; end: (at: number) => Promise<void>; start: () => void } {
  const clock = new TestClock()
  const processes: { ended: (how: ProcessEnd) => void }[] = []
  const connection: Connection = {
    name: 'box', transport: 'ssh2', stage: 'launch', ready: Promise.resolve(), losesChannels: true,
    open: () => {
      const exited = deferred<ProcessEnd>()
      processes.push({ ended: exited.resolve })
      const pipe: Pipe = { pending: 0, start: ({ closed }) => void exited.promise.then(() => closed()), write() {}, end() {}, close() {}, pause() {}, resume() {} }
      return { pipe, exited: exited.promise, stderr() {}, kill: () => exited.resolve({ exitCode: null, signal: 'SIGKILL' }) }
    },
    close: () => Promise.resolve(), onClose() {}, stats: () => ({ bytesIn: 0, bytesOut: 0 }),
  }
  const lane = new RawLane(connection, { clock })
  return {
    lane, clock, opened: () => processes.length,
    start: () => void lane.start({ command: 'x' }).ended.catch(() => {}),
    end: async (at) => {
      processes[at]?.ended({ exitCode: 1, signal: null })
      await settle()
    },
  }
}

test('a command waits for the one before to be gone, a second at most', async () => {
  const { lane, clock, opened, start, end } = frailLane()
  for (let i = 0; i < 4; i++) start()
  await settle()
  expect(opened()).toBe(1)
  await end(0)
  expect(opened()).toBe(2)
  clock.advance(999)
  expect(opened()).toBe(2)
  clock.advance(1)
  expect(opened()).toBe(3)
  await end(1)
  expect(opened()).toBe(3)
  clock.advance(1000)
  expect(opened()).toBe(4)
  for (let at = 0; at < 4; at++) await end(at)
  await lane.close()
})

test('what ends commands waits for one that has just ended, too, and leaves like a command', async () => {
  const clock = new TestClock()
  const opened: string[] = []
  const left: RemoteProcess[] = []
  let held = 300
  const say: ((text: string) => void)[] = []
  const control = new RawControl({
    clock, hold: () => held, left: (process) => void left.push(process),
    open: (line) => {
      opened.push(line)
      const pipe: Pipe = { pending: 0, start: ({ data }) => void say.push((text) => data(Buffer.from(text))), write() {}, end() {}, close() {}, pause() {}, resume() {} }
      return { pipe, exited: new Promise(() => {}), stderr() {}, kill() {} }
    },
  })
  const first = control.run('kill 1')
  const second = control.run('kill 2')
  clock.advance(299)
  expect(opened).toEqual([])
  control.resume()
  expect(opened, 'still held').toEqual([])
  held = 0
  control.resume()
  expect(opened).toHaveLength(1)
  clock.advance(1000)
  expect(opened).toHaveLength(1)
  say[0]?.('ramet-done 1\nramet-done 2\n')
  await Promise.all([first, second])
  expect(left).toHaveLength(1)
  control.close()
})

test('what ends commands is sent again when its channel was lost before anybody read there, and not when it was read', async () => {
  const clock = new TestClock()
  const lines: string[] = []
  const channels: { say(text: string): void; lose(): void }[] = []
  const control = new RawControl({
    clock,
    open: () => {
      const end = deferred<ProcessEnd>()
      const pipe: Pipe = {
        pending: 0, end() {}, close() {}, pause() {}, resume() {}, write: (bytes) => void lines.push(Buffer.from(bytes).toString()),
        start: ({ data, closed }) => void channels.push({
          say: (text) => data(Buffer.from(text)),
          lose: () => {
            end.resolve({ exitCode: null, signal: null })
            closed()
          },
        }),
      }
      return { pipe, exited: end.promise, stderr() {}, kill() {} }
    },
  })
  let done = false
  void control.run('kill 1').then(() => (done = true))
  channels[0]?.lose()
  await settle()
  expect(done).toBe(false)
  clock.advance(200)
  expect(lines).toEqual([expect.stringContaining('kill 1;'), expect.stringContaining('kill 1;')])
  channels[1]?.say('noise\n')
  channels[1]?.lose()
  await settle()
  expect(done).toBe(true)
  clock.advance(10_000)
  expect(channels).toHaveLength(2)
  control.close()
})

test.skipIf(!haveSshd)('commands that read wait for a channel, too, where the server allows few (left out where there is no sshd)', async () => {
  await using server = await startSshd({ config: ['MaxSessions 3'] })
  const connection = connectSsh2({ host: server.host, port: server.port, user: server.user, keys: [privateKey(server.key, { comment: 'id' })], verifyHostKey: () => true, name: 'box' })
  const lane = new RawLane(connection)
  const run = (size: number): Promise<string> => runCommand(lane, 'cat', { stdin: Buffer.alloc(size, 97), encoding: 'buffer' }, { name: 'box', path: ['box'], clock: systemClock }).then(({ stdout }) => `${stdout.length}`)
  const sizes = [5, 300_000, 0, 70_000, 1, 2_000_000, 9, 33_000]
  expect(await Promise.all(sizes.map(run))).toEqual(sizes.map(String))
  await lane.close()
  await connection.close()
}, 60_000)

test.skipIf(!haveDropbear)('behind a hop: the same commands on dropbear each run once, and one that ends may end another (left out where there is no dropbear)', async () => {
  await using server = await startDropbear()
  const ramet = new Controller()
  const hop = await ramet.connect('local:')
  const box = await ramet.connect(`ssh://${server.user}@${server.host}:${server.port}`, { identityFile: server.keyFile, knownHosts: server.knownHosts, sshConfig: false, via: hop, runtime: 'raw' })
  const ran = join(server.dir, 'ran')
  const one = async (at: number): Promise<string> => (await box.exec(`echo ${at} >> ${ran}; cat`, { stdin: `line ${at}` })).stdout
  const results: string[] = []
  for (let at = 0; at < 36; at++) results.push(await one(at))
  for (let at = 36; at < 72; at += 12) results.push(...await Promise.all(Array.from({ length: 12 }, (_, more) => one(at + more))))
  expect(results).toEqual(Array.from({ length: 72 }, (_, at) => `line ${at}`))
  expect(readFileSync(ran, 'utf8').trim().split('\n').map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 72 }, (_, at) => at))
  for (let at = 0; at < 3; at++) {
    const stop = new AbortController()
    const long = box.exec('sleep 1000', { signal: stop.signal })
    await box.exec('true')
    stop.abort()
    await expect(long).rejects.toMatchObject({ code: 'cancelled' })
    await expect(one(72 + at)).resolves.toBe(`line ${72 + at}`)
  }
  await ramet.close()
}, 60_000)

test.skipIf(!haveDropbear)('commands back to back on dropbear, which closes channels that it opens while a process ends: each runs once (left out where there is none)', async () => {
  await using server = await startDropbear()
  const connection = connectSsh2({ host: server.host, port: server.port, user: server.user, keys: [privateKey(server.key, { comment: 'id' })], verifyHostKey: () => true, name: 'box' })
  const lane = new RawLane(connection)
  const ran = join(server.dir, 'ran')
  const one = async (at: number): Promise<string> => {
    const { stdout, exitCode } = await runCommand(lane, `echo ${at} >> ${ran}; cat`, { stdin: `line ${at}` }, { name: 'box', path: ['box'], clock: systemClock })
    return `${String(stdout)} ${exitCode}`
  }
  const results: string[] = []
  for (let at = 0; at < 36; at++) results.push(await one(at))
  // Twelve at a time, of which eight have a channel.
  for (let at = 36; at < 72; at += 12) results.push(...await Promise.all(Array.from({ length: 12 }, (_, more) => one(at + more))))
  expect(results).toEqual(Array.from({ length: 72 }, (_, at) => `line ${at} 0`))
  expect(readFileSync(ran, 'utf8').trim().split('\n').map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 72 }, (_, at) => at))
  await lane.close()
  await connection.close()
}, 60_000)
