import { type Server, type Socket, connect, createServer } from 'node:net'

/** A TCP server on a loopback port whose connections end with it. */
export interface TcpServer extends AsyncDisposable {
  readonly port: number
  readonly sockets: Set<Socket>
  /** Connections taken so far. */
  readonly taken: () => number
}

export function startTcp(onSocket: (socket: Socket) => void = () => {}): Promise<TcpServer> {
  const sockets = new Set<Socket>()
  let taken = 0
  const server: Server = createServer({ noDelay: true }, (socket) => {
    taken++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    onSocket(socket)
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : 0, sockets, taken: () => taken,
        [Symbol.asyncDispose]: () => new Promise<void>((done) => {
          for (const socket of sockets) socket.destroy()
          server.close(() => done())
        }),
      })
    })
  })
}

/** A relay in front of an SSH server that lets its answers through only as far as a test wants. */
export interface Relay extends TcpServer {
  /** Bytes from the client that have passed. */
  fromClient: number
  /** Calls back whenever `fromClient` has grown. */
  onClient: () => void
  /** Lets through what was held, and everything after it. */
  release(): void
  /** From now on nothing passes in either direction, and nobody is told. */
  freeze(): void
}

/** `after`: the number of the server's unencrypted packets to let through before holding (3: up to and with NEWKEYS). */
export async function startRelay(port: number, after = Infinity): Promise<Relay> {
  let held: Buffer[] = []
  let holding = true
  let client: Socket | undefined
  let frozen = false
  const relay: Partial<Relay> = {
    freeze: () => void (frozen = true),
    fromClient: 0,
    onClient: () => {},
    release: () => {
      holding = false
      for (const bytes of held) client?.write(bytes)
      held = []
    },
  }
  const server = await startTcp((socket) => {
    client = socket
    const gate = new PacketGate(after)
    const upstream = connect({ host: '127.0.0.1', port, noDelay: true })
    upstream.on('error', () => socket.destroy())
    upstream.on('close', () => socket.end())
    socket.on('close', () => upstream.destroy())
    socket.on('data', (bytes) => {
      if (frozen) return
      relay.fromClient = (relay.fromClient ?? 0) + bytes.length
      upstream.write(bytes)
      relay.onClient?.()
    })
    upstream.on('data', (bytes) => {
      if (frozen) return
      if (!holding) return void socket.write(bytes)
      const pass = gate.pass(bytes)
      if (pass > 0) socket.write(bytes.subarray(0, pass))
      if (pass < bytes.length) held.push(bytes.subarray(pass))
    })
  })
  return Object.assign(relay as Relay, { port: server.port, sockets: server.sockets, taken: server.taken,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() })
}

/** Counts SSH packets in clear text: the identification line, then packets that begin with their length. */
class PacketGate {
  private left: number
  private inLine = true
  private header: number[] = []
  private body = 0
  private shut = false

  constructor(packets: number) {
    this.left = packets
  }

  /** How many of these bytes may pass. */
  pass(bytes: Buffer): number {
    if (this.left === Infinity) return bytes.length
    let at = 0
    for (; at < bytes.length && !this.shut; at++) {
      const byte = bytes[at] ?? 0
      if (this.inLine) this.inLine = byte !== 10
      else if (this.body > 0) {
        if (--this.body === 0 && --this.left === 0) this.shut = true
      } else {
        this.header.push(byte)
        if (this.header.length < 4) continue
        this.body = Buffer.from(this.header).readUInt32BE(0)
        this.header = []
      }
      if (this.left === 0) this.shut = true
    }
    return at
  }
}
