import type { RemoteModule, SentFile } from './api.ts'
import { CallPromise } from './call-promise.ts'
import { type CodeGraph, sentFiles } from './code-graph.ts'

type Send = (graph: CodeGraph, name: string, args: readonly unknown[], resolve: (value: unknown) => void, reject: (error: Error) => void) => void

/**
 * A module as the controller sees it: every property is a function that calls the remote one. The module's files are read
 * with the first call, and again after one that could not be read; later calls through the same object use what was read then,
 * and leave in the tick they are made in.
 */
export function remoteModule<M>(load: () => Promise<CodeGraph>, send: Send): RemoteModule<M> {
  let graph: CodeGraph | undefined
  let waiting: { use: (graph: CodeGraph) => void; reject: (error: Error) => void }[] = []

  const whenLoaded = (use: (graph: CodeGraph) => void, reject: (error: Error) => void): void => {
    if (graph !== undefined) {
      use(graph)
      return
    }
    // Calls made in order start in order, also those made while the files are read.
    waiting.push({ use, reject })
    if (waiting.length > 1) return
    load().then((loaded) => {
      graph = loaded
      for (const next of settled()) {
        try {
          next.use(loaded)
        } catch (error) {
          next.reject(error as Error)
        }
      }
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
    new CallPromise((resolve, reject) => whenLoaded((loaded) => send(loaded, name, args, resolve, reject), reject))
  methods.set('files', async (): Promise<SentFile[]> => sentFiles(await new Promise<CodeGraph>(whenLoaded)))

  return new Proxy(Object.create(null) as RemoteModule<M>, {
    get(_target, name) {
      // A proxy that had a `then` would be taken for a promise wherever it is returned from an async function.
      if (typeof name !== 'string' || name === 'then') return undefined
      let found = methods.get(name)
      if (found === undefined) methods.set(name, (found = method(name)))
      return found
    },
  })
}
