import { statSync } from 'node:fs'
import { homedir } from 'node:os'
import type { ServiceHost } from './service.ts'
import { WarmShells } from './warm-shells.ts'

/** What commands of one host have in common. */
export interface Place {
  home: string
  shells: WarmShells
}
const places = new WeakMap<ServiceHost, Place>()

export function placeOf(host: ServiceHost): Place {
  let place = places.get(host)
  if (place === undefined) {
    const home = homeDirectory(host)
    place = { home, shells: new WarmShells({ cwd: home, env: host.environment, processes: host.processes }) }
    places.set(host, place)
  }
  return place
}

/** As sshd does: an account whose home is missing works in the root directory. */
function homeDirectory(host: ServiceHost): string {
  const home = host.environment['HOME'] || homedir()
  try {
    return statSync(home).isDirectory() ? home : '/'
  } catch {
    return '/'
  }
}
