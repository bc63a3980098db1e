import { describe, expect, it } from 'vitest'
import { Pace } from '../../src/connect/pace.ts'
import { settle } from '../helpers/test-clock.ts'

const never = (): AbortSignal => new AbortController().signal

describe('logins through one machine', () => {
  it('to one place are eight at once; the next begins when one is done', async () => {
    const pace = new Pace()
    const begun: number[] = []
    const turns = Array.from({ length: 20 }, (_, at) => {
      const turn = pace.turn('web:22')
      void turn.begin(never()).then(() => begun.push(at))
      return turn
    })
    await settle(2)
    expect(begun).toHaveLength(8)
    turns[3]?.done()
    turns[3]?.done()
    await settle(2)
    expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
    for (const turn of turns) turn.done()
    await settle(2)
    const again = pace.turn('web:22')
    await again.begin(never())
    again.done()
  })

  it('to other places do not wait for them', async () => {
    const pace = new Pace()
    const turns = Array.from({ length: 8 }, () => pace.turn('web:22'))
    await Promise.all(turns.map((turn) => turn.begin(never())))
    await pace.turn('db:22').begin(never())
    expect(turns).toHaveLength(8)
  })

  it('begin once, also where a connection is tried again', async () => {
    const pace = new Pace()
    const turn = pace.turn('web:22')
    for (let i = 0; i < 20; i++) await turn.begin(never())
    const others = Array.from({ length: 7 }, () => pace.turn('web:22'))
    await Promise.all(others.map((other) => other.begin(never())))
    let ninth = false
    const late = pace.turn('web:22')
    void late.begin(never()).then(() => (ninth = true))
    await settle(2)
    expect(ninth).toBe(false)
    turn.done()
    await settle(2)
    expect(ninth).toBe(true)
  })

  it('that are given up while they wait take no place', async () => {
    const pace = new Pace()
    const turns = Array.from({ length: 8 }, () => pace.turn('web:22'))
    await Promise.all(turns.map((turn) => turn.begin(never())))
    const abort = new AbortController()
    const gone = pace.turn('web:22')
    const waiting = gone.begin(abort.signal)
    const next = pace.turn('web:22')
    const nextBegins = next.begin(never())
    abort.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    gone.done()
    turns[0]?.done()
    await nextBegins
  })
})
