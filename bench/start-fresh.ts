import net from 'node:net'
import ssh2 from 'ssh2'
import { keyBlob, type EmbeddedTarget } from '../src/cli/bench/embedded.ts'
import { corked } from '../src/connect/corked.ts'

/**
 * The other side of the comparison, at its best: a new SSH connection for each call through the same library that ramet uses, without
 * Nagle's delay, one write per tick, and no authentication method tried but the one that will do.
 */
export async function freshCall(target: EmbeddedTarget, privateKey: string, command: string): Promise<string> {
  const client = new ssh2.Client()
  const expected = keyBlob(target.hostKey)
  try {
    await new Promise<void>((resolve, reject) => {
      client.on('error', reject).once('ready', resolve).connect({
        sock: corked(net.connect({ port: target.port, host: '127.0.0.1', noDelay: true })),
        username: 'demo',
        privateKey,
        authHandler: ['publickey'],
        hostVerifier: (key: Buffer) => key.equals(expected),
      })
    })
    return await new Promise<string>((resolve, reject) => {
      client.once('close', () => reject(new Error('the connection ended before the command did')))
      client.exec(command, (error, channel) => {
        if (error) return reject(error)
        const stdout: Buffer[] = []
        const stderr: Buffer[] = []
        channel.on('data', (bytes: Buffer) => stdout.push(bytes))
        channel.stderr.on('data', (bytes: Buffer) => stderr.push(bytes))
        channel.once('close', (code: number | null) => {
          if (code === 0) resolve(Buffer.concat(stdout).toString())
          else reject(new Error(`exit code ${code}: ${Buffer.concat(stderr).toString()}`))
        })
        channel.end()
      })
    })
  } finally {
    client.end()
  }
}

/** The shell line that runs one exported function of a bundle in `node -e` and prints its result as JSON. */
export function functionCommand(bundle: string, name: string): string {
  const program = `${bundle.trim()}\n;Promise.resolve(module.exports.${name}()).then(value=>console.log(JSON.stringify(value)))`
  return `node -e '${program.replaceAll("'", String.raw`'\''`)}'`
}
