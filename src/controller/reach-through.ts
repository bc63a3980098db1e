import type { SshConfig } from '../connect/ssh-config.ts'
import type { Connection } from '../connect/transport.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import type { ConnectOptions } from './api.ts'
import type { JumpWay } from './jump-way.ts'
import type { ReachContext } from './reach-context.ts'
import { loginBySsh2 } from './reach-ssh2.ts'

/** Logs in to a host by ssh2 through another machine, which is let go of with the connection. */
export async function loginThrough(way: JumpWay, config: SshConfig, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  const { hostName, port } = config
  const turn = way.pace.turn(`${hostName}:${port}`)
  const dial = async (signal: AbortSignal): Promise<Pipe> => {
    try {
      return await way.dial(hostName, port, signal)
    } catch (error) {
      throw isRametError(error) && !signal.aborted ? failedOnTheWay(error, way, context) : error
    }
  }
  try {
    const connection = await loginBySsh2(config, options, context, { dial, turn, waits: () => way.waits(hostName, port), behind: way.ready })
    context.unfinished(ended(connection).then(() => way.release()))
    return connection
  } catch (error) {
    context.unfinished(way.release())
    throw error
  }
}

/** What went wrong with the jump host, as an error of the target. */
function failedOnTheWay(error: RametError, way: JumpWay, { name, path }: ReachContext): RametError {
  const { code, message, stage, hint } = error
  const text = message.startsWith(way.name) ? message : `${way.name}: ${message}`
  return new RametError(code, `${name}: jump host ${text}`, { stage: stage ?? 'tcp', path, outcome: 'not-sent', hint, cause: error })
}

/** Resolves when nothing of a connection is left, however it ends. */
async function ended(connection: Connection): Promise<void> {
  await connection.ready.then(() => new Promise<void>((resolve) => connection.onClose(() => resolve())), () => {})
  await connection.close()
}
