import { describe, expect, it } from 'vitest'
import { commandChannel } from '../../src/connect/ssh2-channel-kind.ts'
import { type ChannelOwner, SshChannel } from '../../src/connect/ssh2-channel.ts'
import type { SshProtocol } from '../../src/connect/ssh2-protocol.ts'
import { ChannelPipe } from '../../src/controller/channel-pipe.ts'
import type { Channel } from '../../src/router/channel.ts'
import { RametError } from '../../src/router/errors.ts'
import { PIPE_LOW_WATER, type Pipe } from '../../src/router/pipe.ts'
import { settle } from '../helpers/test-clock.ts'

/** Counts the drains of a pipe, and those of them that came while it was written to. */
function watched(pipe: Pipe): { write(size: number): void; drains(): { all: number; within: number } } {
  let writing = false
  let all = 0
  let within = 0
  pipe.start({ data() {}, closed() {}, drain() {
    all++
    if (writing) within++
  } })
  return {
    write: (size) => {
      writing = true
      pipe.write(new Uint8Array(size))
      writing = false
    },
    drains: () => ({ all, within }),
  }
}

describe('a pipe tells that there is room again, but never from within write()', () => {
  it('over a channel to a module', async () => {
    const pipe = new ChannelPipe(() => new RametError('connect-failed', 'no'))
    let queued = 0
    // What an earlier message waited for has come with this one: the channel says so while it sends.
    const channel = {
      get queued() {
        return queued
      },
      send: () => {
        if (queued === 0) pipe.handler.writable?.()
        return true
      },
      consumed() {},
    }
    pipe.attach(channel as unknown as Channel)
    pipe.handler.message(new Uint8Array(0), 0)
    const { write, drains } = watched(pipe)
    await settle()
    queued = PIPE_LOW_WATER + 1
    write(40_000)
    expect(drains()).toEqual({ all: 0, within: 0 })
    queued = 0
    write(40_000)
    expect(drains()).toEqual({ all: 0, within: 0 })
    await settle()
    expect(drains()).toEqual({ all: 1, within: 0 })
  })

  it('over a channel of an SSH connection', async () => {
    let wire = 0
    const protocol = { session() {}, exec() {}, channelData() {}, _kexinit: undefined }
    const owner: ChannelOwner = {
      protocol: () => protocol as unknown as SshProtocol, wirePending: () => wire, gone() {}, fail() {}, error: (code, text) => new RametError(code, text),
    }
    const channel = new SshChannel(commandChannel('cat', owner), owner)
    channel.launch(0, 0)
    channel.opened(0, 1024 * 1024, 32 * 1024)
    const { write, drains } = watched(channel)
    await settle()
    wire = PIPE_LOW_WATER + 1
    write(100_000)
    expect(drains()).toEqual({ all: 0, within: 0 })
    wire = 0
    write(100_000)
    expect(drains()).toEqual({ all: 0, within: 0 })
    await settle()
    expect(drains()).toEqual({ all: 1, within: 0 })
  })

  it('over a channel of an SSH connection whose wire holds just as much as it may without a word', async () => {
    let wire = 0
    const protocol = { session() {}, exec() {}, _kexinit: undefined, channelData: (_: number, bytes: Uint8Array) => (wire += bytes.length) }
    const owner: ChannelOwner = {
      protocol: () => protocol as unknown as SshProtocol, wirePending: () => wire, gone() {}, fail() {}, error: (code, text) => new RametError(code, text),
    }
    const channel = new SshChannel(commandChannel('cat', owner), owner)
    channel.launch(0, 0)
    channel.opened(0, 10, 32 * 1024)
    const { write, drains } = watched(channel)
    await settle()
    write(PIPE_LOW_WATER + 10)
    expect([channel.pending, drains()]).toEqual([PIPE_LOW_WATER + 10, { all: 0, within: 0 }])
    wire = 0
    // Of a wire with this much in it no drain is to be expected: it was never above the mark.
    channel.adjust(PIPE_LOW_WATER)
    expect([channel.pending, drains()]).toEqual([PIPE_LOW_WATER, { all: 1, within: 0 }])
  })
})
