import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import ssh2, { type Client } from 'ssh2'
import { serve } from '../driver.ts'
import { pinnedAlgorithms } from '../sshd.ts'
import type { Endpoint } from '../workspace.ts'

export interface Ssh2Settings {
  user: string
  key: string
  /** ssh2's own algorithms and not the pinned ones. */
  ownAlgorithms?: boolean
}

/** A socket as ssh2 needs it to be quick: no Nagle delay, and one write per turn for the three that it makes per packet. */
class PromptSocket extends Socket {
  #corked = false

  override write(...args: unknown[]): boolean {
    if (!this.#corked) {
      this.#corked = true
      this.cork()
      process.nextTick(() => {
        this.#corked = false
        this.uncork()
      })
    }
    return (super.write as (...args: unknown[]) => boolean)(...args)
  }
}

/** A connection of ssh2 at its best: without Nagle's delay, one write per tick, no authentication method tried but the one that will do. */
export function connected(settings: Ssh2Settings, target: Endpoint): Promise<Client> {
  const client = new ssh2.Client()
  const sock = new PromptSocket()
  sock.setNoDelay(true)
  sock.connect(target)
  const { KexAlgorithms: kex, Ciphers: cipher, HostKeyAlgorithms: hostKey } = pinnedAlgorithms
  return new Promise((resolve, reject) => {
    client.on('error', reject).once('ready', () => resolve(client)).connect({
      sock,
      username: settings.user,
      privateKey: readFileSync(settings.key),
      authHandler: ['publickey'],
      // The bench measures here, and asks its own server on loopback.
      hostVerifier: () => true,
      ...(settings.ownAlgorithms ? {} : { algorithms: { kex: [kex], cipher: [cipher], serverHostKey: [hostKey] } }),
    })
  })
}

/** What a command printed, over a channel of its own. */
export function output(client: Client, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error) return reject(error)
      const stdout: Buffer[] = []
      let stderr = ''
      channel.on('data', (bytes: Buffer) => stdout.push(bytes))
      channel.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
      channel.once('close', (code: number | null) => {
        if (code === 0) resolve(Buffer.concat(stdout).toString())
        else reject(new Error(`exit code ${code}: ${stderr}`))
      })
    })
  })
}

/** One connection and a channel per command. Served as a driver. */
export async function serveSsh2(settings: Ssh2Settings): Promise<void> {
  let client: Client | undefined
  await serve({
    open: async (request) => {
      client = await connected(settings, request['target'] as Endpoint)
    },
    exec: async (request) => {
      const times: number[] = []
      for (let i = 0; i < (request['calls'] as number); i++) {
        if (!client) throw new Error('not open')
        const begun = performance.now()
        const said = await output(client, request['command'] as string)
        times.push((performance.now() - begun) * 1000)
        if (said === '') throw new Error('it printed nothing')
        if (request['gap'] !== 0) await new Promise((resolve) => setTimeout(resolve, request['gap'] as number))
      }
      return times
    },
  })
  client?.end()
}
