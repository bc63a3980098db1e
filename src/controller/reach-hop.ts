import type { TargetAddress } from '../connect/target.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import type { HopWay } from './hop-way.ts'
import { readHopQuestion } from './hop-question.ts'
import type { ReachContext } from './reach-context.ts'
import { hopWayByOpenssh } from './reach-hop-openssh.ts'
import { hopWayBySsh2 } from './reach-hop-ssh.ts'
import { passwordSource } from './reach-spawned.ts'

/** What a hop is asked to open for a target's address, and who answers its questions. */
export async function hopWay(address: TargetAddress, options: ConnectOptions, context: ReachContext): Promise<HopWay> {
  if (options.jump !== undefined) {
    throw new RametError('config-invalid', `${context.path.join(' > ')}: jump and via exclude each other`, {
      stage: 'resolve', path: context.path, outcome: 'not-sent', hint: 'Jump to the first host, and go on via its context.' })
  }
  if (address.kind === 'ssh' && options.transport === 'openssh') return hopWayByOpenssh(address, options, context)
  if (address.kind === 'ssh') return hopWayBySsh2(address, options, context)
  // One password, one attempt: a hop that asks again gets none.
  let source = address.kind === 'become' ? passwordSource(options, context) : undefined
  const log = (level: 'info' | 'warn', text: string): void => context.book.write(level, { context: context.path.join(' > ') }, text)
  const answer = async (message: unknown): Promise<unknown> => {
    const question = readHopQuestion(message)
    if (question === undefined || question.ask !== 'become' || address.kind !== 'become') {
      const refusal = refused('not-allowed', context, 'the hop asked for something that has no part in this', 'A stub of ours does not do that: find out who runs on the hop.')
      log('warn', `refused to a hop: ${refusal.message}`)
      throw refusal
    }
    if (source === undefined) {
      throw refused('password-needed', context, `${address.method} asks for a password, and there is none to give`, 'Give a password or a prompt, or allow it without one.')
    }
    const ask = source
    source = undefined
    log('info', `gave a password for ${address.method} to a hop`)
    return ask(question)
  }
  return { target: address, answer, close: () => (source = undefined) }
}

function refused(code: RametError['code'], { path }: ReachContext, text: string, hint: string): RametError {
  return new RametError(code, `${path.join(' > ')}: ${text}`, { stage: 'auth', path, outcome: 'not-sent', hint })
}
