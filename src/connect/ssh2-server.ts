import type { Socket } from 'node:net'
import ssh2 from 'ssh2'
import type { AuthContext, Connection, ParsedKey, ServerChannel } from 'ssh2'
import { corked } from './corked.ts'

export type { ServerChannel } from 'ssh2'

/** A new ed25519 key pair, as text. ssh2 1.17 makes one in about 500 that nobody can read back. */
export function newKeyPair(): { private: string; public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519')
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair
  }
}

/** An SSH server with one host key and one user key, whatever the account is called. `run` gets each command. */
export function sshServer(hostKey: string, userKey: string, run: (channel: ServerChannel, command: string) => void): (socket: Socket) => void {
  const allowed = ssh2.utils.parseKey(userKey) as ParsedKey
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => serve(connection, allowed, run))
  return (socket) => {
    corked(socket)
    server.injectSocket(socket)
  }
}

function serve(connection: Connection, allowed: ParsedKey, run: (channel: ServerChannel, command: string) => void): void {
  connection.on('authentication', (context) => (mayLogIn(context, allowed) ? context.accept() : context.reject(['publickey'])))
  connection.on('error', () => {})
  connection.on('session', (acceptSession) => {
    const session = acceptSession()
    session.on('exec', (accept, _reject, info) => run(accept(), info.command))
  })
}

function mayLogIn(context: AuthContext, allowed: ParsedKey): boolean {
  if (context.method !== 'publickey' || !context.key.data.equals(allowed.getPublicSSH())) return false
  // Without a signature the client only asks whether the key would do.
  if (context.signature === undefined) return true
  // An Error comes back, and is not thrown, where the signature has the wrong form.
  const verified: unknown = allowed.verify(context.blob as Buffer, context.signature, context.hashAlgo)
  return verified === true
}
