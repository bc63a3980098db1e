import type { Prompt, PromptRequest } from '../controller/api.ts'
import { visible } from './format/escape.ts'

type Ask = (text: string) => Promise<string>

/**
 * Asks one question at a time and remembers answers, so that a hundred targets of one account ask once. A target that asks the
 * same thing again was refused the answer: then it is forgotten. Codes that hold once (interactive) are never remembered.
 */
export class Prompter {
  readonly #ask: Ask
  readonly #answers = new Map<string, string>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(ask: Ask) {
    this.#ask = ask
  }

  readonly prompt: Prompt = this.anew()

  /** For who connects to the same targets once more: what was answered holds there too, and to ask again is no refusal of it. */
  anew(): Prompt {
    /** Answers that were given to a target, by target and question. */
    const given = new Map<string, string>()
    return (request) => {
      const answer = this.#last.then(() => this.#answer(request, given))
      this.#last = answer.catch(() => {})
      return answer
    }
  }

  async #answer(request: PromptRequest, given: Map<string, string>): Promise<string> {
    const text = visible(request.text)
    if (request.kind === 'interactive') return this.#ask(text)
    const key = questionKey(request)
    const place = `${request.path.join(' > ')} ${key}`
    const known = this.#answers.get(key)
    if (known !== undefined && given.get(place) !== known) {
      given.set(place, known)
      return known
    }
    this.#answers.delete(key)
    const answer = await this.#ask(text)
    this.#answers.set(key, answer)
    given.set(place, answer)
    return answer
  }
}

/** A passphrase belongs to its key file, which the text names; a password to the account, on whichever machine. */
function questionKey({ kind, path, text }: PromptRequest): string {
  if (kind === 'passphrase') return `${kind} ${text}`
  const name = (path.at(-1) ?? '').replace(/^ssh:\/\//, '')
  const at = name.lastIndexOf('@')
  return `${kind} ${at >= 0 ? name.slice(0, at) : kind === 'become' ? name : ''}`
}
