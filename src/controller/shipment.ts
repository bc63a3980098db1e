import type { CodeLink } from '../router/code-link.ts'
import type { CodeGraph } from './code-graph.ts'
import type { Library } from './library.ts'
import type { Together } from './together.ts'

/** What of the library one context has been offered, on its main thread and in its Worker. */
export class Shipment {
  private readonly modules: Library
  private readonly id: number
  private readonly offered = { main: new Set<number>(), user: new Set<number>() }

  /** `id`: the context's. */
  constructor(modules: Library, id: number) {
    this.modules = modules
    this.id = id
  }

  /** Offers what the context has not been offered yet, and returns the number of the graph's entry. `together`: at the end of the tick. */
  ship(code: CodeLink | undefined, graph: CodeGraph, user: boolean, together?: Together): number {
    const { entry, offers } = this.modules.number(graph)
    const offered = user ? this.offered.user : this.offered.main
    if (!offered.has(entry) && code !== undefined) {
      const fresh = offers.filter(({ number }) => !offered.has(number))
      for (const { number } of fresh) offered.add(number)
      if (together === undefined) this.modules.ship(code, [this.id], user, fresh)
      else together.ship(code, this.id, user, fresh)
    }
    return entry
  }
}
