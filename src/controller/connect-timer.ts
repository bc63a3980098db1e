import { RametError, type Stage } from '../router/errors.ts'

export { ConnectTimer } from '../connect/connect-timer.ts'

const LATER = ', or give it more time (timeout, --connect-timeout).'
const TIMEOUTS: Record<Stage, { waits: string; hint: string }> = {
  resolve: { waits: 'its configuration, name or keys were not read by then', hint: `Look at the DNS server, Match exec and the agent${LATER}` },
  tcp: { waits: 'no answer to a TCP connection', hint: `Check the address, routes and firewalls on the way${LATER}` },
  'host-key': { waits: 'the server did not finish the key exchange', hint: `Check that an SSH server listens there, and its load${LATER}` },
  auth: { waits: 'the server did not finish the login', hint: `Look into the server's log (DNS, PAM and directory services are slow when they are broken)${LATER}` },
  ssh: { waits: 'ssh had not started a command by then', hint: `Try the same with ssh itself, with -v${LATER}` },
  launch: { waits: 'the login shell did not start the stub', hint: `Look at what its login scripts do: they may wait for something${LATER}` },
  interpreter: { waits: 'Node did not start', hint: `Look at the load of the machine${LATER}` },
  stub: { waits: 'the stub did not arrive', hint: `Look at the network on the way${LATER}` },
  hello: { waits: 'the stub was started and said no word', hint: `Look at the load of the machine${LATER}` },
}

/** The error for a context that was not connected in time, by the stage at which it stood. `way`: what a jump host had not done. */
export function connectTimeout(stage: Stage, path: readonly string[], ms: number, way?: string): RametError {
  const { waits, hint } = stage === 'tcp' && way !== undefined ? { waits: way, hint: `Check that machine, and routes and firewalls between it and the target${LATER}` } : TIMEOUTS[stage]
  return new RametError('connect-timeout', `${path.join(' > ')} was not connected within ${ms} ms: ${waits}`, { stage, path, outcome: 'not-sent', hint })
}
