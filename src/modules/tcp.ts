import { connect } from 'node:net'
import type { Service, ServiceChannel, ServiceHost } from './service.ts'

/** The first message, before any byte of the connection: it is there. */
const CONNECTED = Buffer.of(1)

/**
 * Connects to a TCP port from here and relays bytes: messages are what was read and what is to be written, after CONNECTED.
 * The peer's end of file ends the connection's direction; the connection's end ends the channel.
 */
export const dial: Service = (channel: ServiceChannel, _host: ServiceHost, name: string, port: number) => {
  let state: 'connecting' | 'open' | 'over' = 'connecting'
  const socket = connect({ host: name, port })
  // Not by the option: Node before 16.17 does not know it.
  socket.setNoDelay(true)
  const over = (end: () => void): void => {
    if (state === 'over') return
    state = 'over'
    end()
  }
  socket.on('connect', () => {
    if (state !== 'connecting') return
    state = 'open'
    channel.send(CONNECTED)
  })
  socket.on('data', (bytes: Buffer) => {
    if (state === 'open' && !channel.send(bytes)) socket.pause()
  })
  socket.on('error', (error) => over(() => channel.fail(error)))
  socket.on('end', () => over(() => channel.end(null)))
  socket.on('close', () => over(() => channel.end(null)))
  channel.onMessage = (bytes) => {
    // What the operating system has not taken is not granted again.
    socket.write(bytes, () => channel.consumed(bytes.length))
  }
  channel.onEnd = () => void socket.end()
  channel.onWritable = () => void socket.resume()
  channel.onReset = () => {
    over(() => {})
    socket.destroy()
  }
}
