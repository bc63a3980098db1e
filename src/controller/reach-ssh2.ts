import type { SshConfig } from '../connect/ssh-config.ts'
import type { Ssh2Options } from '../connect/ssh2.ts'
import type { Connection } from '../connect/transport.ts'
import type { ConnectOptions } from './api.ts'
import type { ReachContext } from './reach-context.ts'
import { sshLogin } from './ssh-login.ts'

/** Logs in to the host of a configuration by ssh2. `through`: where its SSH port is not reached from here. */
export async function loginBySsh2(
  config: SshConfig, options: ConnectOptions, context: ReachContext, through?: Pick<Ssh2Options, 'dial' | 'waits'>,
): Promise<Connection> {
  const [{ connectSsh2 }, login] = await Promise.all([import('../connect/ssh2.ts'), sshLogin(config, options, context)])
  const { host, port, user, keys, password, prompt, problems, verifyHostKey, hostKeyAlgorithms, kex, cipher, hmac } = login
  const connection = connectSsh2({
    host,
    port,
    user,
    name: context.name,
    keys,
    password,
    prompt,
    keyProblems: problems,
    verifyHostKey,
    hostKeyAlgorithms,
    algorithms: { kex, cipher, hmac },
    // The context's own timer is the one that counts.
    timeout: 0,
    prompting: context.prompting,
    signal: context.signal,
    clock: context.clock,
    ...(through ?? { turn: context.pace.turn(`${host}:${port}`) }),
  })
  connection.ready.then(login.close, login.close)
  return connection
}
