import type { RametError } from '../router/errors.ts'
import type { RemoteProcess } from './transport.ts'

/** A process that never came to be: its pipe is closed with the cause as soon as somebody listens. */
export function failedProcess(cause: RametError): RemoteProcess {
  return {
    pipe: {
      pending: 0,
      start: (sink) => process.nextTick(() => sink.closed(cause)),
      write: () => {}, pause: () => {}, resume: () => {}, end: () => {}, close: () => {},
    },
    stderr: () => {},
    exited: Promise.resolve({ exitCode: null, signal: null }),
    kill: () => {},
  }
}
