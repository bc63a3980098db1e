import type { TargetAddress } from '../connect/target.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import type { HopWay } from './hop-way.ts'
import type { ReachContext } from './reach-context.ts'

/** What a hop is asked to open for a target's address, and who answers its questions. */
export async function hopWay(address: TargetAddress, _options: ConnectOptions, context: ReachContext): Promise<HopWay> {
  const noQuestions = (): never => {
    throw new RametError('not-allowed', `${context.path.join(' > ')}: nothing is to be asked for it`, { path: context.path })
  }
  if (address.kind === 'local') return { target: { kind: 'local' }, answer: noQuestions, close: () => {} }
  throw new RametError('not-supported', `${context.name}: not yet`, { path: context.path })
}
