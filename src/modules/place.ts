import { statSync } from 'node:fs'
import { homedir } from 'node:os'
import { Pipes } from './pipes.ts'
import type { ServiceHost } from './service.ts'
import { WarmShells } from './warm-shells.ts'

/** What commands of one host have in common. */
export interface Place {
  home: string
  pipes: Pipes
  shells: WarmShells
}
/** Of the whole process: it is the process that has the descriptors. */
const pipes = new Pipes()
const places = new WeakMap<ServiceHost, Place>()

export function placeOf(host: ServiceHost): Place {
  let place = places.get(host)
  if (place === undefined) {
    const home = homeDirectory(host)
    place = { home, pipes, shells: new WarmShells({ cwd: home, env: host.environment, processes: host.processes, pipes }) }
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
