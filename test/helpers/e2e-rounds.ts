import { connect, type Socket } from 'node:net'
import { startTcp, type TcpServer } from './tcp.ts'

/** Ms without a byte after which both sides are taken to be waiting for each other. */
const QUIET = 400

/** A relay that counts how often the client had to wait for the server. */
export interface Rounds extends TcpServer {
  /** Round trips so far: times at which bytes of the client were let through after both sides had fallen silent. */
  rounds(): number
}

/**
 * A network whose round trip takes longer than any work at its ends: whatever both sides send is held until neither has sent
 * anything for a while, then let through at once. What is counted so does not depend on the speed of the machine.
 */
export async function startRounds(port: number): Promise<Rounds> {
  let rounds = 0
  const server = await startTcp((near) => {
    const far = connect({ host: '127.0.0.1', port, noDelay: true })
    const held = new Map<Socket, Buffer[]>([[near, []], [far, []]])
    let timer: NodeJS.Timeout | undefined
    let greeted = false
    const through = (): void => {
      if ((held.get(near) as Buffer[]).length > 0) rounds++
      for (const [from, to] of [[near, far], [far, near]] as const) for (const bytes of (held.get(from) as Buffer[]).splice(0)) to.write(bytes)
    }
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on('data', (bytes: Buffer) => {
        // What the server says of itself travels right behind TCP's own answer: nobody waits for it.
        if (from === far && !greeted) {
          greeted = true
          near.write(bytes)
          return
        }
        held.get(from)?.push(bytes)
        clearTimeout(timer)
        timer = setTimeout(through, QUIET)
      })
      from.on('error', () => to.destroy())
      from.on('close', () => {
        clearTimeout(timer)
        to.destroy()
      })
    }
  })
  return { ...server, rounds: () => rounds, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}
