import type { Ssh2Client } from '../../connect/ssh2-client.ts'
import type { Contender, Kind } from './contender.ts'
import { check } from './work.ts'
import type { Work } from './work.ts'

/** The ssh2 library without ramet: one connection, one channel for each call. */
export class PlainSsh2 implements Contender {
  readonly #connect: (signal: AbortSignal) => Promise<Ssh2Client>
  readonly #work: Work
  #client: Ssh2Client | undefined

  constructor(connect: (signal: AbortSignal) => Promise<Ssh2Client>, work: Work) {
    this.#connect = connect
    this.#work = work
  }

  async open(signal: AbortSignal): Promise<void> {
    this.#client = await this.#connect(signal)
  }

  async call(kind: Kind, signal: AbortSignal): Promise<void> {
    const task = this.#work.next(kind)
    check(task, await this.#client!.run(task.line, task.stdin, signal))
  }

  async close(): Promise<void> {
    this.#client?.close()
  }
}
