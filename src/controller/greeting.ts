import { encode } from '../router/codec.ts'
import type { Link } from '../router/link.ts'
import { KEEPALIVE, OPEN_KIND, TYPE } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'
import type { ContextInfo, Keepalive } from './api.ts'
import type { ContextLog } from './logs.ts'

export interface Greeting {
  id: number
  path: readonly string[]
  codeLimit: number
  keepalive: [interval: number, count: number]
}

/** The first frames to a new child: who it is, and a channel for its log. */
export function greet(router: Router, link: Link, greeting: Greeting, log: ContextLog): void {
  link.sendNeighbour(TYPE.HELLO, encode({ ...greeting, maxMessage: router.maxMessage }))
  const channel = router.open(
    greeting.id,
    encode([OPEN_KIND.LOG]),
    {
      message: (bytes, credit) => {
        log.record(bytes)
        channel.consumed(credit)
      },
      end: () => {},
      reset: () => {},
    },
    true,
    false,
  )
}

export function keepaliveOf({ interval = KEEPALIVE.interval, count = KEEPALIVE.count }: Partial<Keepalive> = {}): Keepalive {
  return { interval, count }
}

/** What a child said of itself; undefined when it is nothing of the kind. */
export function readHello(content: unknown): ContextInfo | undefined {
  const [pid, nodeVersion, platform, arch, hostname] = (Array.isArray(content) ? content : []) as unknown[]
  const words = [nodeVersion, platform, arch, hostname]
  if (typeof pid !== 'number' || !words.every((word) => typeof word === 'string' && word.length <= 256)) return undefined
  return { pid, nodeVersion, platform, arch, hostname } as ContextInfo
}
