import { RametError, type ErrorCode, type Stage } from '../router/errors.ts'
import type { ProcessEnd } from './transport.ts'

export interface Said {
  text: string
  /** It came from the machine, whose shell may say what it likes: ssh itself has said nothing. */
  byShell: boolean
}

/**
 * What ssh's own failure was, by its messages; undefined where the code is the command's. `withheld`: the caller gave a password,
 * a passphrase or a prompt, which do not reach ssh.
 */
export function failureOf(name: string, end: ProcessEnd, said: string | Said, withheld = false): RametError | undefined {
  const { text: stderr, byShell } = typeof said === 'string' ? { text: said, byShell: false } : said
  if (end.exitCode !== 255 && end.signal === null) return undefined
  const lines = stderr.replace(/\r/g, '').split('\n').map((line) => line.replace(/[\x00-\x1f\x7f-\xff]/g, '?').trim()).filter((line) => line !== '')
  const [, code, stage, usual] = FAILURES.find(([pattern]) => !byShell && pattern.test(stderr))
    ?? [/^/, 'ssh-failed', 'ssh', 'Try the same with ssh itself, with -v.']
  const hint = withheld && code === 'auth-failed' ? WITHHELD : usual
  // Which line of which file is in the way, and what the server showed.
  const telling = code.startsWith('host-key') ? lines.filter((line) => /^Offending |SHA256:/.test(line)) : []
  const words = [...telling, ...lines.filter((line) => !telling.includes(line)).slice(-3)].join(' / ') || (end.signal === null ? 'it said nothing' : `ended by ${end.signal}`)
  return new RametError(code, `${name}: ssh failed: ${words.slice(0, 600)}`, { stage, path: [name], outcome: stage === 'ssh' ? 'unknown' : 'not-sent', hint })
}

const WITHHELD = "ssh is given no password or passphrase, and asks nobody: take transport 'ssh2', or add the key to an agent. Else check the user name and its authorized_keys."

const FAILURES: [RegExp, ErrorCode, Stage, string][] = [
  [/could not resolve hostname|name or service not known/i, 'resolve-failed', 'resolve', 'Check the spelling, DNS, and HostName in the SSH configuration.'],
  [/host identification has changed|host key for .* has changed/i, 'host-key-changed', 'host-key', 'If the server was set up anew, remove its old line from known_hosts (ssh-keygen -R); else treat the network as hostile.'],
  [/revoked host key|host key .* revoked/i, 'host-key-revoked', 'host-key', 'The key is marked @revoked in known_hosts: do not connect.'],
  [/host key verification failed|no .* host key is known/i, 'host-key-unknown', 'host-key', 'Compare the fingerprint and add the key to known_hosts.'],
  [/unable to negotiate|no matching .* found/i, 'algorithm-mismatch', 'host-key', 'Allow an algorithm that the server offers, in the SSH configuration.'],
  [/permission denied|too many authentication failures|no supported authentication methods/i, 'auth-failed', 'auth', 'Check the user name, and that the key is in its authorized_keys.'],
  [/connection refused/i, 'connect-refused', 'tcp', 'Check the port, and that the SSH server runs.'],
  [/timed out/i, 'connect-timeout', 'tcp', 'Check the address, routes and firewalls on the way.'],
  [/no route to host|network is unreachable|host is down/i, 'connect-failed', 'tcp', 'Check routes and firewalls on the way.'],
  [/kex_exchange_identification|banner exchange|connection (closed|reset)/i, 'connect-failed', 'tcp', 'The server may have too many logins under way (MaxStartups) or have banned this address for a while (PerSourcePenalties).'],
  [/session open refused|administratively prohibited|exec request failed/i, 'launch-failed', 'launch', 'The server allows fewer sessions per connection (MaxSessions), or no commands.'],
]
