import { encode } from '../router/codec.ts'
import { KEEPALIVE, OPEN_KIND } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'
import type { ContextInfo, Keepalive } from './api.ts'
import type { ContextLog } from './logs.ts'

export interface Greeting {
  id: number
  path: readonly string[]
  codeLimit: number
  keepalive: [interval: number, count: number]
}

/** Payload of the HELLO to a new context. */
export function helloTo(router: Router, greeting: Greeting): Uint8Array {
  return encode({ ...greeting, maxMessage: router.maxMessage })
}

/** Has a context send its log. */
export function openLog(router: Router, id: number, log: ContextLog): void {
  const channel = router.open(
    id,
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
  log.channel = channel
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
