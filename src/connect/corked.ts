import type { Duplex } from 'node:stream'

/**
 * For those who use ssh2's own Client or Server: it writes a packet in pieces, and without Nagle's delay each would be a segment of
 * its own. Makes it one write for each tick.
 */
export function corked<Stream extends Duplex>(socket: Stream): Stream {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  let waiting = false
  socket.write = ((...args: unknown[]) => {
    if (!waiting) {
      waiting = true
      socket.cork()
      process.nextTick(() => {
        waiting = false
        socket.uncork()
      })
    }
    return write(...args)
  })
  return socket
}
