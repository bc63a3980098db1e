import type { Clock } from '../base/clock.ts'
import { RametError } from '../router/errors.ts'
import { connectBecome } from './become.ts'
import { connectContainer } from './containers.ts'
import type { Ask, HopTarget } from './hop.ts'
import { connectLocal } from './local.ts'
import type { Connection } from './transport.ts'

export interface SpawnedWay {
  name: string
  path: readonly string[]
  /** Where a password comes from, if there may be one. */
  ask: Ask | undefined
  /** True: commands will follow one another, and no stub. */
  commands?: boolean
  signal?: AbortSignal
  clock?: Clock
}

/** The connection to a target that a program of this machine leads to. */
export function connectSpawned(target: Extract<HopTarget, { kind: 'local' | 'become' | 'container' }>, way: SpawnedWay): Connection {
  const { ask, ...rest } = way
  switch (target.kind) {
    case 'local':
      return connectLocal({ name: way.name, clock: way.clock })
    case 'become':
      return connectBecome({ ...rest, method: target.method, user: target.user, ask: ask === undefined ? undefined : (text) => askText(ask, text, way.path) })
    case 'container':
      return connectContainer({ ...rest, tool: target.tool, container: target.name, user: target.user })
  }
}

async function askText(ask: Ask, text: string, path: readonly string[]): Promise<string> {
  const answer = await ask({ ask: 'become', text })
  if (typeof answer === 'string') return answer
  throw new RametError('protocol-error', `${path.join(' > ')}: the answer to a password question was no text`, { stage: 'auth', path, outcome: 'not-sent', hint: 'Report this.' })
}
