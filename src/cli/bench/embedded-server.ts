/**
 * An SSH server for the demonstration and for a benchmark without a host: the real protocol, on loopback only, with keys that exist
 * for this run alone. A program of its own, so that its work is not counted as the client's. It talks to its parent over Node's IPC
 * and ends when that is gone.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import os from 'node:os'
import { dirname } from 'node:path'
import { newKeyPair, sshServer } from '../../connect/ssh2-server.ts'
import type { ServerChannel } from '../../connect/ssh2-server.ts'
import type { Counts, FromServer, ToServer } from './embedded.ts'

const children = new Set<ChildProcess>()
const sockets = new Set<Socket>()
const counted: Counts = { connections: 0, bytes: 0 }
let folder = ''

process.on('message', (message: ToServer) => {
  if (message.kind === 'listen') void listen(message)
  else send({ kind: 'counts', counts: counts() })
})
process.on('disconnect', () => {
  // The stubs see the end of their input and go by themselves; what is still there a second later is killed.
  for (const socket of sockets) socket.destroy()
  setTimeout(() => {
    for (const child of children) killGroup(child)
    rmSync(folder, { recursive: true, force: true })
    process.exit(0)
  }, children.size > 0 ? 1000 : 0)
})

async function listen(message: ToServer & { kind: 'listen' }): Promise<void> {
  folder = message.folder
  const user = newKeyPair()
  const targets = []
  for (let i = 0; i < message.count; i++) {
    const host = newKeyPair()
    targets.push({ port: await open(sshServer(host.private, user.public, run)), hostKey: host.public })
  }
  send({ kind: 'listening', targets, privateKey: user.private })
}

/** Listens on a free port of 127.0.0.1, with Nagle's delay off, and counts what passes. */
async function open(serve: (socket: Socket) => void): Promise<number> {
  const listener = net.createServer({ noDelay: true }, (socket) => {
    counted.connections++
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      counted.bytes += socket.bytesRead + socket.bytesWritten
    })
    serve(socket)
  })
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve)
  })
  return (listener.address() as AddressInfo).port
}

function counts(): Counts {
  let { bytes } = counted
  for (const socket of sockets) bytes += socket.bytesRead + socket.bytesWritten
  return { connections: counted.connections, bytes }
}

/** As sshd does it: the account's shell, its home, a small environment, a process group of its own. */
function run(channel: ServerChannel, command: string): void {
  const child = spawn('/bin/sh', ['-c', command], {
    cwd: os.homedir(),
    detached: true,
    env: {
      HOME: os.homedir(), USER: os.userInfo().username, SHELL: '/bin/sh',
      // The Node that runs this is the one that the targets have.
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
    },
  })
  children.add(child)
  channel.on('error', () => {})
  child.stdin.on('error', () => {})
  channel.pipe(child.stdin)
  child.stdout.pipe(channel, { end: false })
  child.stderr.pipe(channel.stderr, { end: false })
  child.once('error', () => channel.close())
  child.once('close', (code, signal) => {
    children.delete(child)
    if (signal === null) channel.exit(code ?? 1)
    else channel.exit(signal.replace('SIG', ''))
    channel.end()
  })
  // The client is gone: its program has had its end of file, and a moment to act on it.
  channel.once('close', () => setTimeout(() => children.has(child) && killGroup(child), 2000).unref())
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It ended in the meantime.
  }
}

function send(message: FromServer): void {
  process.send?.(message)
}
