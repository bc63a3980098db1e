import { type Outcome, RametError, type Stage } from '../router/errors.ts'
import { codeFrom } from './error-code.ts'
import { type HopWay, STAGES } from './hop-way.ts'
import { escapeControls } from './logs.ts'

const OUTCOMES: readonly unknown[] = ['not-sent', 'failed', 'unknown'] satisfies Outcome[]
/** Characters of a hop's sentence that are believed to be one. */
const LONGEST = 4096

/**
 * The error that a hop reports for a context below it. `path`: that context's; `way`: how it is being reached. Whatever is not as it
 * should be becomes 'link-lost'.
 */
export function hopFailure(content: unknown, path: readonly string[], way?: HopWay): RametError {
  const [code, message, stage, outcome, hint] = (Array.isArray(content) ? content : []) as unknown[]
  const text = typeof message === 'string' ? escapeControls(message.slice(0, LONGEST)) : 'was lost, and its hop did not say why'
  const where = path.join(' > ')
  const failure = new RametError(codeFrom(code) ?? 'link-lost', text.startsWith(where) ? text : `${where}: ${text}`, {
    path,
    outcome: OUTCOMES.includes(outcome) ? (outcome as Outcome) : 'unknown',
    hint: typeof hint === 'string' ? escapeControls(hint.slice(0, LONGEST)) : '',
    ...(STAGES.includes(stage) ? { stage: stage as Stage } : {}),
  })
  return way?.explain?.(failure) ?? failure
}
