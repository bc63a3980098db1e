import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import { BootPipe } from '../../src/connect/boot.ts'
import type { Connection, ProcessEnd, RemoteProcess } from '../../src/connect/transport.ts'
import type { RametError } from '../../src/router/errors.ts'
import { EXIT, MAX_NOISE } from '../../src/router/protocol.ts'
import { memoryPipe, type MemoryPipe } from '../helpers/memory-pipe.ts'
import { settle } from '../helpers/test-clock.ts'

/** A boot against a target that the test plays. */
class Boot {
  readonly far: MemoryPipe
  readonly pipe: BootPipe
  readonly got: Uint8Array[] = []
  readonly stray: Uint8Array[] = []
  readonly ended = deferred<ProcessEnd>()
  closed: Error | undefined | 'not yet' = 'not yet'
  command = ''
  killed = false
  private printError: (bytes: Uint8Array) => void = () => {}
  private readonly near: MemoryPipe

  constructor() {
    ;[this.near, this.far] = memoryPipe()
    const process: RemoteProcess = {
      pipe: this.near,
      stderr: (listener) => (this.printError = listener),
      exited: this.ended.promise,
      kill: () => (this.killed = true),
    }
    const open = (command: string): RemoteProcess => {
      this.command = command
      return process
    }
    this.pipe = new BootPipe({ open } as unknown as Connection, {
      version: '1.2.3',
      stub: new Uint8Array([1, 2, 3]),
      path: ['web1'],
      stray: (bytes) => this.stray.push(bytes.slice()),
    })
    this.pipe.start({ data: (bytes) => this.got.push(bytes.slice()), drain: () => {}, closed: (cause) => (this.closed = cause) })
  }

  /** What the stub makes of the two words at the end of its command line. */
  get nonce(): Buffer {
    const [, half = '', other = ''] = /'([0-9a-f]{16})' '([0-9a-f]{16})'$/.exec(this.command) ?? []
    return Buffer.from(half + other, 'hex')
  }

  print(bytes: Uint8Array): void {
    this.near.inject(new Uint8Array(bytes))
  }

  complain(text: string): void {
    this.printError(new TextEncoder().encode(text))
  }

  async end(exitCode: number | null, signal: string | null = null): Promise<RametError> {
    this.near.cut()
    await settle(3)
    this.ended.resolve({ exitCode, signal })
    await settle(3)
    return this.closed as RametError
  }
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

describe('a boot', () => {
  it('sends the stub at once, behind a command line that does not hold the nonce in one piece', async () => {
    const boot = new Boot()
    await settle(3)
    expect(boot.nonce).toHaveLength(16)
    expect(boot.command).not.toContain(boot.nonce.toString('hex'))
    expect(boot.command).toMatch(/^exec sh -c ': ramet 1\.2\.3 for /)
    const text = boot.command.replace(/^exec sh -c '[^']*' ramet( '[^']*')+$/, '')
    expect([text, /[\\\n!]/.test(boot.command)]).toEqual(['', false])
  })

  it('delivers exactly what follows the nonce, whatever came before it and however it was cut', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
        fc.nat({ max: 15 }),
        (noise, rest, sizes, prefix) => {
          const boot = new Boot()
          // Noise that ends like the nonce begins is the hard case.
          const before = Buffer.concat([noise, boot.nonce.subarray(0, prefix)])
          // A nonce that ends as it begins is there earlier, by its own beginning: one in 256 does.
          fc.pre(Buffer.concat([before, boot.nonce]).indexOf(boot.nonce) === before.length)
          for (const piece of cut(Buffer.concat([before, boot.nonce, rest]), sizes)) boot.print(piece)
          expect(Buffer.concat(boot.got).equals(rest)).toBe(true)
          expect(Buffer.concat(boot.stray).equals(before)).toBe(true)
          expect([boot.pipe.state, boot.pipe.noise]).toEqual(['open', before.length])
        },
      ),
    )
  })

  it('is given up when noise reaches the limit, and not before', async () => {
    for (const sizes of [[MAX_NOISE + 100], [4096], [1000, 24]]) {
      const boot = new Boot()
      for (const piece of cut(new Uint8Array(MAX_NOISE + 100), sizes)) boot.print(piece)
      expect(boot.closed).toMatchObject({ code: 'boot-noise', stage: 'launch', path: ['web1'], outcome: 'not-sent' })
      expect(boot.killed).toBe(true)
    }
    const enough = new Boot()
    enough.print(Buffer.concat([new Uint8Array(MAX_NOISE - 1), enough.nonce, Buffer.from('x')]))
    expect(Buffer.concat(enough.got).toString()).toBe('x')
  })

  it('takes a command line that is printed back for noise', () => {
    const boot = new Boot()
    boot.print(Buffer.from(`+ ${boot.command}\n`))
    expect(boot.pipe.state).toBe('booting')
    boot.print(Buffer.concat([boot.nonce, Buffer.from([1])]))
    expect(boot.got).toEqual([new Uint8Array([1])])
  })

  it.each([
    [EXIT.NO_NODE, 'ramet: no node in /usr/bin\n', 'no-interpreter', 'interpreter'],
    [EXIT.OLD_NODE, 'ramet: /usr/bin/node is v10.24.1\n', 'interpreter-too-old', 'interpreter'],
    [EXIT.EOF, '', 'boot-eof', 'stub'],
    [1, 'This account is currently not available.\n', 'boot-eof', 'launch'],
  ])('that ends with exit code %i says why', async (code, said, error, stage) => {
    const boot = new Boot()
    boot.complain(said)
    const cause = await boot.end(code)
    expect(cause).toMatchObject({ code: error, stage, path: ['web1'], outcome: 'not-sent' })
    expect(cause.hint).not.toBe('')
    if (said !== '' && code !== EXIT.NO_NODE) expect(cause.message).toContain(said.trim().split(' is ').at(-1))
  })

  it.each([
    ['an error of Node\'s own', "node:net:186\n  throw new ERR(type);\n  ^\n\nTypeError [ERR]: Unsupported fd type: FILE\n    at createHandle (node:net:186:9)\n    at new Socket (node:net:425:20) {\n  code: 'ERR'\n}\n\nNode.js v20.20.2\n",
      "throw new ERR(type); / TypeError [ERR]: Unsupported fd type: FILE / code: 'ERR'"],
    ['a fatal one', '\n#\n# Fatal process OOM in Failed to reserve virtual memory\n#\n', '# Fatal process OOM in Failed to reserve virtual memory'],
    ['several lines of a login script', 'welcome\nlicense server not found\n许可证已过期\n', 'welcome / license server not found / 许可证已过期'],
  ])('that ends with %s tells the last lines that say something', async (_what, said, told) => {
    const boot = new Boot()
    boot.complain(said)
    const { message } = await boot.end(1)
    expect(message).toBe(`web1 ended the session with exit code 1 before the stub ran; it said: ${told}`)
  })

  it('that is lost without a word of the process is unknown', async () => {
    expect(await new Boot().end(null)).toMatchObject({ code: 'boot-eof', outcome: 'unknown' })
  })
})
