import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Incoming, Outgoing, RECEIVE_WINDOW } from '../../src/connect/ssh2-flow.ts'

const bytes = (length: number, from = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => (from + i) & 255)

describe('bytes on their way to an SSH server', () => {
  it('sends no more than was lent or granted, whichever is more', () => {
    const sent: number[] = []
    const out = new Outgoing()
    const pump = (): void => out.pump((piece) => sent.push(piece.length))
    out.begin(100, true)
    out.add(bytes(1000))
    pump()
    expect([sent, out.queued, out.room]).toEqual([[100], 900, 0])
    out.grant(0)
    out.grant(250)
    pump()
    expect([sent, out.queued]).toEqual([[100, 150], 750])
    out.packet = 200
    out.grant(10_000)
    pump()
    expect([sent, out.queued]).toEqual([[100, 150, 200, 200, 200, 150], 0])
  })

  it('after the first login was refused sends everything again in order, and after it was settled never', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 8 }), fc.integer({ min: 0, max: 600 }), (sizes, loan) => {
      const out = new Outgoing()
      out.begin(loan, true)
      let at = 0
      const lost: Uint8Array[] = []
      for (const size of sizes) {
        out.add(bytes(size, at))
        at += size
        out.pump((piece) => lost.push(piece))
      }
      out.takeBack()
      expect(out.queued).toBe(at)
      const arrived: Uint8Array[] = []
      out.begin(0, false)
      out.grant(1_000_000)
      out.pump((piece) => arrived.push(piece))
      expect(Buffer.concat(arrived).equals(bytes(at))).toBe(true)
      expect(out.queued).toBe(0)
    }))
  })
})

describe('bytes on their way from an SSH server', () => {
  it('grants again only what was taken, and finds a server that sends more', () => {
    let granted = 0
    const incoming = new Incoming((count) => (granted += count))
    const half = new Uint8Array(RECEIVE_WINDOW / 2)
    expect([incoming.push(half, false), incoming.push(half, false), granted]).toEqual([true, true, 0])
    let got = 0
    incoming.onData = (piece) => (got += piece.length)
    incoming.deliver()
    expect([got, granted]).toEqual([RECEIVE_WINDOW, RECEIVE_WINDOW])
    incoming.pause()
    expect([incoming.push(half, false), incoming.push(half, false), incoming.push(bytes(1), false)]).toEqual([true, true, false])
    expect(got).toBe(RECEIVE_WINDOW)
  })

  it('keeps each stream in order when a consumer pauses in the middle', () => {
    const got: number[] = []
    const incoming = new Incoming(() => {})
    incoming.onData = (piece) => {
      got.push(piece[0] ?? -1)
      if (piece[0] === 2) incoming.pause()
    }
    for (const n of [1, 2, 3, 4]) incoming.push(Uint8Array.of(n), false)
    incoming.push(Uint8Array.of(9), true)
    expect([got, incoming.holds(false), incoming.holds(true)]).toEqual([[1, 2], true, false])
    const errors: number[] = []
    incoming.onStderr = (piece) => errors.push(piece[0] ?? -1)
    incoming.resume()
    expect([got, errors, incoming.holds(false)]).toEqual([[1, 2, 3, 4], [9], false])
  })

  it('keeps a stream in order whose taker comes forward while another one is being handed out', () => {
    const incoming = new Incoming(() => {})
    const got: number[] = []
    const errors: number[] = []
    for (const [n, stderr] of [[1, true], [2, false], [3, true], [4, false]] as const) incoming.push(Uint8Array.of(n), stderr)
    incoming.onData = (piece) => {
      got.push(piece[0] ?? -1)
      incoming.onStderr = (bytes) => errors.push(bytes[0] ?? -1)
    }
    incoming.deliver()
    incoming.deliver()
    incoming.push(Uint8Array.of(5), true)
    expect([got, errors]).toEqual([[2, 4], [1, 3, 5]])
  })

  it('delivers every stream whole and in order, whoever pauses, goes on or comes late, and from within whatever', () => {
    const step = fc.record({ act: fc.constantFrom('data', 'error', 'pause', 'resume', 'listen', 'deliver'), within: fc.constantFrom('no', 'pause', 'resume', 'listen') })
    fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let granted = 0
      let next = 0
      const sent: Record<'data' | 'error', number[]> = { data: [], error: [] }
      const got: typeof sent = { data: [], error: [] }
      const within: string[] = []
      const incoming = new Incoming((bytes) => (granted += bytes))
      const act = (what: string): void => {
        if (what === 'pause') incoming.pause()
        else if (what === 'resume') incoming.resume()
        else if (what === 'listen') incoming.onStderr = (bytes) => took('error', bytes)
        else if (what === 'deliver') incoming.deliver()
      }
      const took = (stream: 'data' | 'error', bytes: Uint8Array): void => {
        got[stream].push(...bytes)
        act(within.shift() ?? 'no')
      }
      incoming.onData = (bytes) => took('data', bytes)
      for (const { act: what, within: inside } of steps) {
        within.push(inside)
        if (what === 'data' || what === 'error') {
          const n = next++ & 255
          sent[what].push(n)
          incoming.push(Uint8Array.of(n), what === 'error')
        } else act(what)
      }
      within.length = 0
      act('listen')
      act('resume')
      act('deliver')
      expect(got).toEqual(sent)
      expect([granted, incoming.holds(false), incoming.holds(true)]).toEqual([0, false, false])
    }))
  })
})
