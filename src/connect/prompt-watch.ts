import type { Clock } from '../base/clock.ts'

export interface PromptWatchOptions {
  /** The prompt that we asked the program to print, where it lets itself be told: seen whole, it is one at once. */
  own?: RegExp | undefined
  /** The program's name: with a colon behind it, it begins a message. */
  program: string
  clock: Clock
  /** Called with the unfinished line behind which the program waits. Nothing more is reported before answered(). */
  prompt(line: string): void
}

/** Milliseconds of silence behind a line that ends as prompts do, and behind any other unfinished line. */
const QUIET = 150
const LONG_QUIET = 1500
/** Bytes of an unfinished line that are kept. */
const LINE_MAX = 1024

/**
 * Finds the question in what a program prints. Prompts of PAM come in any language and take no mark of ours, so the rule is:
 * an unfinished line behind which the program falls silent. The silence matters: programs write their messages in pieces
 * ("sudo", ": ", the rest), and a password that is given to one that has not asked becomes input of what it starts.
 */
export class PromptWatch {
  state: 'watching' | 'asked' | 'closed' = 'watching'
  private readonly options: PromptWatchOptions
  private line = Buffer.alloc(0)
  private stopTimer: (() => void) | undefined

  constructor(options: PromptWatchOptions) {
    this.options = options
  }

  data(bytes: Uint8Array): void {
    if (this.state !== 'watching') return
    this.stopTimer?.()
    const joined = Buffer.concat([this.line, bytes])
    this.line = joined.subarray(joined.lastIndexOf(0x0a) + 1).subarray(-LINE_MAX)
    const text = this.line.toString('utf8')
    if (text.trim() === '') return
    if (this.options.own?.test(text) === true) this.ask()
    else this.stopTimer = this.options.clock.after(this.endsAsPrompt(text) ? QUIET : LONG_QUIET, () => this.ask())
  }

  /** The question was answered: what comes from now on is another line. */
  answered(): void {
    if (this.state !== 'asked') return
    this.line = Buffer.alloc(0)
    this.state = 'watching'
  }

  close(): void {
    this.stopTimer?.()
    this.state = 'closed'
  }

  private ask(): void {
    this.state = 'asked'
    this.options.prompt(this.line.toString('utf8'))
  }

  /** With a colon of whatever script, a question mark or a bracket; but it is not the name that stands before messages. */
  private endsAsPrompt(line: string): boolean {
    return /[:?>\]\uff1a\uff1f\u061f]\s*$/.test(line) && line.trim() !== `${this.options.program}:`
  }
}
