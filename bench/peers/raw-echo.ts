import type { Client, ClientChannel } from 'ssh2'
import { serve } from '../driver.ts'
import { echoes } from '../echo.ts'
import type { Endpoint } from '../workspace.ts'
import { connected, type Ssh2Settings } from './ssh2.ts'

/** The remote side: a Node that only echoes, on the same descriptors as a stub. */
const echo =
  'const{Socket}=require("net"),i=new Socket({fd:3,readable:true,writable:false}),' +
  'o=new Socket({fd:4,readable:false,writable:true});i.on("data",d=>o.write(d)).on("end",()=>process.exit())'
const command = `exec sh -c 'exec node -e "${echo.replaceAll('"', '\\"')}" 3<&0 4>&1 </dev/null >&2'`

/**
 * The floor of a call over ssh2: as many bytes as a small call has, through the same ssh2, sshd and pipe to a Node process
 * and back, with no protocol on top. Served as a driver.
 */
export async function serveRawEcho(settings: Ssh2Settings): Promise<void> {
  let client: Client | undefined
  let channel: ClientChannel | undefined
  await serve({
    open: async (request) => {
      const opened = client = await connected(settings, request['target'] as Endpoint)
      await new Promise<void>((resolve, reject) => opened.exec(command, (error, echoing) => {
        if (error) return reject(error)
        channel = echoing
        echoing.stderr.on('data', (text: Buffer) => process.stderr.write(text))
        resolve()
      }))
    },
    warm: async (request) => {
      if (!channel) throw new Error('not open')
      return echoes(channel, channel, request['calls'] as number, request['bytes'] as number)
    },
  })
  client?.end()
}
