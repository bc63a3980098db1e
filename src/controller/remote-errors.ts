import { errorFromWire } from '../router/errors-wire.ts'
import { RametError } from '../router/errors.ts'
import { codeFrom } from './error-code.ts'
import { remapStack } from './stacks.ts'
import type { Library } from './library.ts'

/**
 * What a remote function threw, as its caller gets it: 'remote-error' with the original as `cause`, its stack in the lines
 * of the original sources. What the stub itself refused keeps its own code; what it does not have, Node's words for its code.
 */
export function remoteError(wire: unknown, path: readonly string[], library: Library): RametError {
  const cause = errorFromWire(wire)
  for (let error: unknown = cause; error instanceof Error; error = error.cause) {
    if (error.stack !== undefined) error.stack = remapStack(error.stack, library.sources)
  }
  const where = path.join(' > ')
  const code = cause.name === 'RametError' ? /^(ERR_)?MODULE_NOT_FOUND$/.test(String(cause.code)) ? 'module-not-found' : codeFrom(cause.code) : undefined
  if (code !== undefined) {
    return new RametError(code, `${where}: ${cause.message}`, { path, hint: (cause as { hint?: string }).hint ?? '', cause: cause.cause })
  }
  return new RametError('remote-error', `${where}: ${cause.name}: ${cause.message}`, {
    path,
    cause,
    hint: 'The error is the remote function\'s own; its stack is in `cause`.',
  })
}
