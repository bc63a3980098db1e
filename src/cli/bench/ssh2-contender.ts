import type { SshConfig } from '../../connect/ssh-config.ts'
import { Ssh2Client } from '../../connect/ssh2-client.ts'
import { offeredHostKey } from '../../connect/ssh2-host-key.ts'
import { offeredAlgorithms } from '../../connect/ssh2-protocol.ts'
import { LogBook } from '../../controller/logs.ts'
import { sshLogin } from '../../controller/ssh-login.ts'
import { connectOptions } from '../connect-flags.ts'
import type { Step } from '../ways.ts'
import type { Contender, Door, Kind } from './contender.ts'
import type { Situation } from './situation.ts'
import { check } from './work.ts'
import type { Work } from './work.ts'

/** The ssh2 library without ramet: one connection, one channel for each call. */
class PlainSsh2 implements Contender {
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

/** `configs`: of every machine of the way; each is reached by TCP from the one before it. `door`: leads to the first. */
export function plainSsh2(situation: Situation, configs: readonly SshConfig[], door: Door | undefined): Contender {
  return new PlainSsh2(async (signal) => {
    let client: Ssh2Client | undefined
    for (const [index, config] of configs.entries()) {
      client = await logIn(situation, situation.place.steps[index]!, config, signal, index === 0 ? { door } : { through: client })
    }
    return client!
  }, situation.work)
}

async function logIn(
  { flags, password, prompts, logger }: Situation, step: Step, config: SshConfig, signal: AbortSignal, { door, through }: { door?: Door | undefined; through?: Ssh2Client | undefined },
): Promise<Ssh2Client> {
  const options = { ...connectOptions(flags, { step, via: undefined, isHop: false, runtime: 'raw', password }), ...(prompts === undefined ? {} : { prompt: prompts() }) }
  const saving: Promise<unknown>[] = []
  const login = await sshLogin(config, options, {
    path: [step.name], signal, prompting: () => {}, unfinished: (work) => void saving.push(work), book: new LogBook(logger),
  })
  const { host, port, user, keys, rules, kex, cipher, hmac, hostKeyAlgorithms } = login
  let refusal: unknown
  const verify = (blob: Buffer): boolean => {
    try {
      return login.verifyHostKey(offeredHostKey(host, port, blob)) === true
    } catch (error) {
      refusal = error
      return false
    }
  }
  try {
    const algorithms = offeredAlgorithms({ serverHostKey: hostKeyAlgorithms, ...(kex && { kex }), ...(cipher && { cipher }), ...(hmac && { hmac }) })
    return await Ssh2Client.connect({ host: door?.host ?? host, port: door?.port ?? port, user, keys, password: rules.forbidden.password === undefined ? login.password : undefined, verify, algorithms, signal, through })
  } catch (error) {
    throw refusal ?? error
  } finally {
    login.close()
    await Promise.all(saving)
  }
}
