import { systemClock } from '../../src/base/clock.ts'
import type { HopQuestion, HopSshTarget } from '../../src/connect/hop.ts'
import type { Connection } from '../../src/connect/transport.ts'
import type { ConnectOptions } from '../../src/controller/api.ts'
import type { Jumps } from '../../src/controller/jump-way.ts'
import { LogBook } from '../../src/controller/logs.ts'
import { hopWayBySsh2 } from '../../src/controller/reach-hop-ssh.ts'
import { connectFromHop } from '../../src/remote-stub/hop-ssh2.ts'
import { LogRecords } from '../helpers/log-records.ts'
import { Pace } from '../../src/connect/pace.ts'
import type { TestServer } from '../helpers/sshd.ts'

/** Both ends of an onward connect in one process: the controller's guard, and the hop that asks it. */
export async function hopLab(address: { host: string; port: number; user: string }, options: ConnectOptions) {
  const records = new LogRecords()
  const asked: HopQuestion['ask'][] = []
  const work: Promise<unknown>[] = []
  const way = await hopWayBySsh2({ kind: 'ssh', ...address }, { sshConfig: false, ...options }, {
    name: 'web1', path: ['bastion', 'web1'], clock: systemClock, signal: new AbortController().signal,
    prompting: () => {}, unfinished: (promise) => work.push(promise), heed: () => {}, book: new LogBook(records.logger), jumps: {} as Jumps, pace: new Pace(),
  })
  const lab = {
    way, asked, records,
    target: way.target as HopSshTarget,
    /** Called before a question reaches the controller. */
    onWay: async (_question: HopQuestion): Promise<void> => {},
    ask: async (question: HopQuestion): Promise<unknown> => {
      asked.push(question.ask)
      await lab.onWay(question)
      return way.answer(question)
    },
    connect: (change: Partial<HopSshTarget> = {}): Connection =>
      connectFromHop({ ...lab.target, ...change }, (question) => lab.ask(question), { name: 'bastion > web1', clock: systemClock }),
    /** What was to be saved is. */
    settled: () => Promise.all(work),
  }
  return lab
}

/** A lab for a server of this machine, with the key that it lets in. */
export const labFor = (server: TestServer, options: ConnectOptions = {}): ReturnType<typeof hopLab> =>
  hopLab({ host: server.host, port: server.port, user: server.user }, { identityFile: server.keyFile, knownHosts: server.knownHosts, ...options })
