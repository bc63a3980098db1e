import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import ssh2, { type ClientChannel } from 'ssh2'
import { serve } from '../driver.ts'
import { pinnedAlgorithms } from '../sshd.ts'
import type { Endpoint } from '../workspace.ts'

/** The remote side: a Node that only echoes, on the same descriptors as a stub. */
const echo =
  'const{Socket}=require("net"),i=new Socket({fd:3,readable:true,writable:false}),' +
  'o=new Socket({fd:4,readable:false,writable:true});i.on("data",d=>o.write(d)).on("end",()=>process.exit())'
const command = `exec sh -c 'exec node -e "${echo.replaceAll('"', '\\"')}" 3<&0 4>&1 </dev/null >&2'`

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

/**
 * The floor of a call over ssh2: as many bytes as a small call has, through the same ssh2, sshd and pipe to a Node process
 * and back, with no protocol on top. Served as a driver.
 */
export async function serveRawEcho(settings: { user: string; key: string }): Promise<void> {
  const client = new ssh2.Client()
  let channel: ClientChannel | undefined
  await serve({
    open: (request) => {
      const target = request['target'] as Endpoint
      return new Promise<void>((resolve, reject) => {
        client.on('error', reject)
        client.on('ready', () => client.exec(command, (error, opened) => {
          if (error) return reject(error)
          channel = opened
          opened.stderr.on('data', (text: Buffer) => process.stderr.write(text))
          resolve()
        }))
        const sock = new PromptSocket()
        sock.setNoDelay(true)
        sock.connect(target)
        client.connect({
          sock,
          username: settings.user,
          privateKey: readFileSync(settings.key),
          authHandler: ['publickey'],
          // The bench measures here, and asks its own server on loopback.
          hostVerifier: () => true,
          algorithms: { kex: [pinnedAlgorithms.KexAlgorithms], cipher: [pinnedAlgorithms.Ciphers], serverHostKey: [pinnedAlgorithms.HostKeyAlgorithms] },
        })
      })
    },
    warm: async (request) => {
      if (!channel) throw new Error('not open')
      return echoes(channel, request['calls'] as number, request['bytes'] as number)
    },
  })
  client.end()
}

/** Microseconds of each echo. */
function echoes(channel: ClientChannel, calls: number, bytes: number): Promise<number[]> {
  const message = Buffer.alloc(bytes, 'r')
  const times: number[] = []
  return new Promise((resolve, reject) => {
    let missing = bytes
    let begun = performance.now()
    const next = (): void => {
      missing = bytes
      begun = performance.now()
      channel.write(message)
    }
    const onData = (chunk: Buffer): void => {
      missing -= chunk.length
      if (missing > 0) return
      times.push((performance.now() - begun) * 1000)
      if (times.length < calls) return next()
      channel.off('data', onData)
      resolve(times)
    }
    channel.on('data', onData)
    channel.once('close', () => reject(new Error('the echo ended')))
    next()
  })
}
