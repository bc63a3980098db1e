import { randomBytes } from 'node:crypto'
import type { Kind } from './contender.ts'

/** The function that every contender has to call. Closed and on one line: it also travels inside a shell's quotes. */
export const echo = (text: string): string => text

/** One call's work. */
export interface Task {
  kind: Kind
  /** What has to come back: new for each call. */
  text: string
  /** The line for a shell on the target. */
  line: string
  /** What the line reads; undefined: nothing. */
  stdin: string | undefined
}

/** Bytes of the part of the text that is new each time. */
const MARK = 16

/**
 * What is asked of the target, for everybody alike. Without payload a command says a word, and a function gets and returns it; with
 * one so many bytes go there and come back. `node`: what starts a Node on the target for those who have no ramet there.
 */
export class Work {
  readonly payload: number
  node = 'node'
  readonly #rest: string

  constructor(payload: number) {
    this.payload = payload
    this.#rest = 'x'.repeat(Math.max(0, payload - MARK))
  }

  /** What the two kinds are, for people. */
  describe(kind: Kind): string {
    if (kind === 'command') return this.payload === 0 ? 'echo WORD' : `cat, ${this.payload} bytes there and back`
    return this.payload === 0 ? 'text => text' : `text => text, ${this.payload} bytes there and back`
  }

  next(kind: Kind): Task {
    const mark = randomBytes(MARK / 2).toString('hex')
    const text = this.payload === 0 ? mark : (mark + this.#rest).slice(0, this.payload)
    const stdin = this.payload === 0 ? undefined : text
    if (kind === 'command') return { kind, text, line: stdin === undefined ? `echo ${text}` : 'cat', stdin }
    return { kind, text, line: `${this.node} -e '${stdin === undefined ? `console.log((${echo.toString()})("${text}"))` : READ_AND_CALL}'`, stdin }
  }
}

const READ_AND_CALL = `let s="";process.stdin.on("data",d=>s+=d).on("end",()=>console.log((${echo.toString()})(s)))`

/** Throws unless the result is in the output. What a login shell prints besides is let through. */
export function check({ text }: Task, output: string): void {
  if (!output.includes(text)) throw new Error(`answered ${JSON.stringify(output.slice(0, 60))} in place of ${JSON.stringify(text.slice(0, 60))}`)
}

/** A word for any shell on the target. Undefined where no quoting serves all of them. */
export function quoted(path: string): string | undefined {
  if (/^[\w./@%+,:=-]+$/.test(path)) return path
  return /['\\!\p{C}]/u.test(path) ? undefined : `'${path}'`
}
