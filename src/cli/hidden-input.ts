import { openSync } from 'node:fs'
import { ReadStream, WriteStream } from 'node:tty'
import { RametError } from '../router/errors.ts'

/** The keyboard and screen of the person, whatever stdin and stdout are. */
export interface Terminal {
  /** Characters as they are typed, without echo, until close(). */
  onText(listener: (text: string) => void): void
  write(text: string): void
  close(): void
}

/** Longest answer, in characters. */
const LONGEST = 4096

/**
 * Shows `text` and reads one line that is not shown. Rejects with 'cancelled' on ^C, on ^D in an empty line and when the signal
 * aborts; `interrupt` is called for ^C, because a terminal without echo makes no signal of it.
 */
export async function readHidden(terminal: Terminal, text: string, signal: AbortSignal, interrupt: () => void): Promise<string> {
  let onAbort: (() => void) | undefined
  let interrupted = false
  terminal.write(text)
  try {
    return await new Promise<string>((resolve, reject) => {
      const cancel = (): void => reject(new RametError('cancelled', 'the question was not answered', { outcome: 'not-sent', hint: 'Answer it, or log in by a key of an agent, which asks nothing.' }))
      if (signal.aborted) return cancel()
      onAbort = cancel
      signal.addEventListener('abort', cancel)
      let line = ''
      terminal.onText((typed) => {
        for (const char of typed) {
          if (char === '\r' || char === '\n') return resolve(line)
          if (char === '\u0003') {
            interrupted = true
            return cancel()
          }
          if (char === '\u0004' && line === '') return cancel()
          if (char === '\u007f' || char === '\b') line = [...line].slice(0, -1).join('')
          else if (char === '\u0015') line = ''
          else if (char >= ' ' && line.length < LONGEST) line += char
        }
      })
    })
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort)
    terminal.write('\n')
    terminal.close()
    // Only now: the signal may end the process, and the terminal has to have its echo back.
    if (interrupted) interrupt()
  }
}

/** The process's controlling terminal. Throws when it has none. */
export function controllingTerminal(): Terminal {
  const input = new ReadStream(openSync('/dev/tty', 'r'))
  const output = new WriteStream(openSync('/dev/tty', 'w'))
  input.setRawMode(true)
  input.setEncoding('utf8')
  return {
    onText: (listener) => void input.on('data', (data) => listener(String(data))),
    write: (text) => void output.write(text),
    close: () => {
      input.setRawMode(false)
      input.destroy()
      output.end()
    },
  }
}
