import { describe, expect, it } from 'vitest'
import { EXEC_TAG } from '../../src/connect/command.ts'
import { ExecLane } from '../../src/controller/exec-lane.ts'
import { Together } from '../../src/controller/together.ts'
import type { Library } from '../../src/controller/library.ts'
import { decode, encode } from '../../src/router/codec.ts'
import type { Frame } from '../../src/router/frame.ts'
import { FrameReader } from '../../src/router/frame.ts'
import { TYPE } from '../../src/router/protocol.ts'
import { CHILD, NOTHING, Pair } from '../helpers/pair.ts'
import { settle } from '../helpers/test-clock.ts'

const nobody = { message() {}, end() {}, reset() {} }
const nameOf = Object.fromEntries(Object.entries(TYPE).map(([name, type]) => [type, name]))

function framesOf(written: readonly Uint8Array[]): Frame[] {
  const frames: Frame[] = []
  const reader = new FrameReader()
  for (const bytes of written) reader.push(bytes, (frame) => frames.push(frame))
  return frames
}

describe('a channel that is opened at the end of the tick', () => {
  it('can be opened at once, and what is sent on it then follows its OPEN', async () => {
    const heard: unknown[] = []
    const pair = new Pair({}, { opened: (channel, message) => {
      heard.push(decode(message))
      channel.handler = { ...nobody, message: (bytes) => heard.push(decode(bytes)) }
    } })
    const together = new Together(pair.root, undefined as unknown as Library)
    const channel = together.open(CHILD, encode('open'), nobody, false, false)
    together.flush()
    channel.send(encode('first'))
    await settle()
    channel.send(encode('second'))
    await settle()
    expect(heard).toEqual(['open', 'first', 'second'])
    channel.reset('cancelled')
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('for a command that is given up in the same tick is opened before it is told so', async () => {
    const heard: unknown[] = []
    const pair = new Pair({}, { opened: (channel) => {
      heard.push('open')
      channel.handler = { ...nobody, message: (bytes) => heard.push(bytes[0]) }
    } })
    const together = new Together(pair.root, undefined as unknown as Library)
    const lane = new ExecLane({
      path: ['web1'], remoteError: (wire) => new Error(String(wire)), execModule: () => 1,
      open: (message, handler) => together.open(CHILD, message, handler, false, false), flush: () => together.flush(),
    })
    const command = lane.start({ command: 'sleep 60', stdin: false })
    command.ended.catch(() => {})
    command.terminate(100)
    await settle()
    expect(heard).toEqual(['open', EXEC_TAG.terminate])
    pair.root.close()
    await settle()
  })

  it('is not sent at all when it is given up before', async () => {
    const pair = new Pair()
    const together = new Together(pair.root, undefined as unknown as Library)
    const channel = together.open(CHILD, encode('open'), nobody, false, false)
    channel.reset('cancelled')
    await settle()
    expect(framesOf(pair.rootPipe.written).map(({ type }) => nameOf[type])).toEqual(['RESET'])
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('is asked for no account, which would come before it', async () => {
    const pair = new Pair({}, { opened: (channel) => (channel.handler = nobody) })
    const together = new Together(pair.root, undefined as unknown as Library)
    const channel = together.open(CHILD, encode('open'), nobody, false, false)
    channel.settle()
    await settle()
    channel.settle()
    await settle()
    expect(framesOf(pair.rootPipe.written).map(({ type }) => nameOf[type])).toEqual(['OPEN', 'DATA'])
    channel.reset('cancelled')
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('with others in one OPEN only where nothing stands before that: a RESET would pass it', async () => {
    const pair = new Pair()
    pair.root.addRoute(3, pair.down)
    pair.rootPipe.hold()
    const together = new Together(pair.root, undefined as unknown as Library)
    // Of this tick: more than a link hands to its pipe ahead, and none of it has been given to the pipe yet.
    const open = (dst: number): ReturnType<Together['open']> => together.open(dst, encode('open'), nobody, true, false)
    const channels = [open(CHILD), open(3)]
    for (let i = 0; i < 3; i++) pair.down.sendNeighbour(TYPE.OFFER, new Uint8Array(30_000))
    await settle()
    for (const channel of channels) expect(channel.reset('cancelled')).toBe(true)
    pair.rootPipe.release()
    await settle()
    expect(framesOf(pair.rootPipe.written).map(({ type }) => nameOf[type])).toEqual(['OFFER', 'OFFER', 'OFFER'])
    expect((await pair.leftovers()).channels).toBe(0)
  })
})
