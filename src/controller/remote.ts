import type { RemoteModule, SentFile } from './api.ts'
import { CallPromise } from './call-promise.ts'
import { type CodeGraph, sentFiles } from './code-graph.ts'
import type { Turns } from './turns.ts'

/** A call waits to be sent, and may be given up meanwhile. What is returned is to be called when it waits no more. */
type Waits = (name: string, reject: (error: Error) => void) => () => void

type Send = (graph: CodeGraph, name: string, args: readonly unknown[], resolve: (value: unknown) => void, reject: (error: Error) => void) => void

/**
 * A module as the controller sees it: every property is a function that calls the remote one. The module's files are read
 * with the first call, and again after one that could not be read; later calls through the same object use what was read then,
 * and leave in the tick they are made in, unless a call before them (`turns`: those of the context) still waits for its code.
 */
export function remoteModule<M>(load: () => Promise<CodeGraph>, send: Send, turns: () => Turns, waits: Waits): RemoteModule<M> {
  let graph: CodeGraph | undefined
  let waiting: { use: (graph: CodeGraph) => void; reject: (error: Error) => void }[] = []

  const whenLoaded = (use: (graph: CodeGraph) => void, reject: (error: Error) => void): void => {
    if (graph !== undefined) {
      use(graph)
      return
    }
    waiting.push({ use, reject })
    if (waiting.length > 1) return
    load().then((loaded) => {
      graph = loaded
      for (const next of settled()) next.use(loaded)
    }, (error: Error) => {
      // The next call reads the file again: by then it may have been put right.
      for (const next of settled()) next.reject(error)
    })
  }
  const settled = (): typeof waiting => {
    const all = waiting
    waiting = []
    return all
  }

  const methods = new Map<string, (...args: unknown[]) => unknown>()
  const method = (name: string) => (...args: unknown[]): unknown =>
    new CallPromise((resolve, reject) => {
      const line = turns()
      if (graph !== undefined && line.idle) return send(graph, name, args, resolve, reject)
      const inTurn = line.take()
      const over = waits(name, reject)
      whenLoaded((loaded) => inTurn(() => {
        over()
        try {
          send(loaded, name, args, resolve, reject)
        } catch (error) {
          reject(error)
        }
      }), (error) => {
        over()
        reject(error)
        inTurn(() => {})
      })
    })
  methods.set('files', async (): Promise<SentFile[]> => sentFiles(await new Promise<CodeGraph>(whenLoaded)))

  return new Proxy(Object.create(null) as RemoteModule<M>, {
    get(_target, name) {
      // A proxy that had a `then` would be taken for a promise wherever it is returned from an async function; a `toJSON` would
      // be called by every logger and JSON.stringify that comes across it.
      if (typeof name !== 'string' || name === 'then' || name === 'toJSON') return undefined
      let found = methods.get(name)
      if (found === undefined) methods.set(name, (found = method(name)))
      return found
    },
  })
}
