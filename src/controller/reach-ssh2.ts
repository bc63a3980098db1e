import type { SshConfig } from '../connect/ssh-config.ts'
import type { Ssh2Options } from '../connect/ssh2.ts'
import type { Turn } from '../connect/pace.ts'
import { dialEarly, dialTcp, type EarlyPipe, type TcpTarget } from '../connect/tcp.ts'
import type { Connection } from '../connect/transport.ts'
import type { ConnectOptions } from './api.ts'
import type { ReachContext } from './reach-context.ts'
import { sshLogin } from './ssh-login.ts'

/** Logs in to the host of a configuration by ssh2. `through`: where its SSH port is not reached from here. */
export async function loginBySsh2(
  config: SshConfig, options: ConnectOptions, context: ReachContext, through?: Pick<Ssh2Options, 'dial' | 'turn' | 'waits' | 'behind'>,
): Promise<Connection> {
  const early = through === undefined ? dialNow(config, context) : undefined
  const needed = Promise.all([import('../connect/ssh2-client-side.ts'), sshLogin(config, options, context)])
  needed.catch(() => early?.drop())
  const [{ connectSsh2 }, login] = await needed
  const { host, port, user, keys, password, prompt, rules, reachTime, problems, verifyHostKey, hostKeyAlgorithms, kex, cipher, hmac } = login
  const connection = connectSsh2({
    host,
    port,
    user,
    name: context.name,
    keys,
    password,
    prompt,
    rules,
    reachTime,
    keyProblems: problems,
    verifyHostKey,
    hostKeyAlgorithms,
    algorithms: { kex, cipher, hmac },
    // The context's own timer is the one that counts.
    timeout: 0,
    prompting: context.prompting,
    signal: context.signal,
    clock: context.clock,
    ...(through ?? { turn: early?.turn, first: early?.pipe, ...againFrom(config, context) }),
  })
  connection.ready.then(login.close, () => {
    login.close()
    // Given up before it was taken, it would stay open.
    early?.drop()
  })
  return connection
}

/** The server has work of its own before it speaks: it does that while keys and known hosts are read here. */
function dialNow(config: SshConfig, { name, pace, signal }: ReachContext): { turn: Turn; pipe: EarlyPipe; drop(): void } {
  const target = tcpTarget(config, name)
  const turn = pace.turn(`${target.host}:${target.port}`)
  const { pipe, drop } = dialEarly(target, turn.begin(signal), signal)
  return {
    turn,
    pipe,
    drop: () => {
      turn.done()
      drop()
    },
  }
}

function tcpTarget({ hostName: host, port, addressFamily, bindAddress: from }: SshConfig, name: string): TcpTarget {
  return { host, port, name, from, family: addressFamily === 'any' ? undefined : addressFamily === 'inet' ? 4 : 6 }
}

/** How later tries dial where the configuration says more than host and port. */
function againFrom(config: SshConfig, { name }: ReachContext): Pick<Ssh2Options, 'dial'> {
  const target = tcpTarget(config, name)
  return target.from === undefined && target.family === undefined ? {} : { dial: (signal) => dialTcp(target, signal) }
}
