import { describe, expect, test } from 'vitest'
import { ContextLog, escapeControls, LogBook } from '../../src/controller/logs.ts'
import { encode } from '../../src/router/codec.ts'
import { LogRecords } from '../helpers/log-records.ts'
import { TestClock } from '../helpers/test-clock.ts'

function contextLog(): { log: ContextLog; records: LogRecords; clock: TestClock } {
  const records = new LogRecords()
  const clock = new TestClock()
  return { records, clock, log: new ContextLog(new LogBook(records.logger), ['web1', 'db1'], clock) }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('the log of a context', () => {
  test('names the context by its path, and keeps level, source, time and fields of a record', () => {
    const { log, records } = contextLog()
    log.record(encode([1234, 40, 'log', 'hello', 0, '{"disk":"sda"}']))
    expect(records.all).toEqual([{ level: 'warn', text: 'hello', fields: { context: 'web1 > db1', source: 'log', remoteTime: 1234, disk: 'sda' } }])
  })

  test('says how many records are missing', () => {
    const { log, records } = contextLog()
    log.record(encode([0, 30, 'stdout', 'later', 17]))
    expect(records.all[0]?.fields).toMatchObject({ dropped: 17 })
  })

  test('is not ended by a logger that throws: that is an uncaught error of the program', async () => {
    const uncaught: unknown[] = []
    const listeners = process.rawListeners('uncaughtException') as ((error: Error) => void)[]
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error) => uncaught.push(error))
    try {
      const broken = new Error('disk full')
      const refuse = (): never => {
        throw broken
      }
      const book = new LogBook({ trace: refuse, debug: refuse, info: refuse, warn: refuse, error: refuse, fatal: refuse } as never)
      new ContextLog(book, ['web1'], new TestClock()).record(encode([0, 30, 'log', 'hello', 0]))
      await new Promise((resolve) => setImmediate(resolve))
      expect(uncaught).toEqual([broken])
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    }
  })

  test.each([
    ['no array', { text: 'x' }],
    ['a text that is none', [0, 30, 'log', 5, 0]],
    ['a source that is none', [0, 30, null, 'x', 0]],
  ])('drops a record that is %s', (_name, content) => {
    const { log, records } = contextLog()
    log.record(encode(content))
    expect(records.all).toEqual([])
  })

  test('believes nothing else of what a target sends: neither level, time, length nor fields of its own', () => {
    const { log, records } = contextLog()
    log.record(encode([{ evil: 1 }, 99, `\u001b[2J${'s'.repeat(100)}`, 'x'.repeat(100_000), -5, '{"context":"web9","source":"ramet","a":"\\u001b"}']))
    const record = records.all[0]
    expect(record?.level).toBe('info')
    expect(record?.text.length).toBe(16 * 1024)
    expect(record?.fields).toEqual({ context: 'web1 > db1', source: `\\x1b[2J${'s'.repeat(28)}`, remoteTime: undefined, a: '\\x1b' })
  })

  test('limits a target that keeps to no limit of its own', () => {
    const { log, records, clock } = contextLog()
    for (let i = 0; i < 10_000; i++) log.record(encode([0, 30, 'log', `${i}`, 1]))
    expect(records.all).toHaveLength(4000)
    clock.advance(1000)
    expect(records.all.at(-1)).toMatchObject({ level: 'warn', fields: { dropped: 12_000 }, text: 'lines were dropped' })
    expect(clock.pending).toBe(0)
  })

  test('takes what comes beside the frames line by line, blank ones left out, and the last one at its end', () => {
    const { log, records } = contextLog()
    log.stray(bytes('Welcome\r\n\r\n\nto we'))
    log.stray(bytes('b1\nunfinished'))
    log.close()
    expect(records.all.map(({ text }) => text)).toEqual(['Welcome', 'to web1', 'unfinished'])
    expect(records.all.every(({ fields }) => fields['source'] === 'output')).toBe(true)
  })

  test('tells at its end what was dropped', () => {
    const { log, records, clock } = contextLog()
    log.stray(bytes('x\n'.repeat(5000)))
    log.close()
    expect(records.all).toHaveLength(4001)
    expect(records.all.at(-1)?.fields).toMatchObject({ dropped: 1000 })
    expect(clock.pending).toBe(0)
  })
})

test('control characters are shown, tabs stay, and everything else is as it was', () => {
  expect(escapeControls('a\tb\u0000\u001b[31m\r\n\u007f\u0085\u2028 ü 🎉')).toBe('a\tb\\x00\\x1b[31m\\x0d\\x0a\\x7f\\x85\\x2028 ü 🎉')
})
