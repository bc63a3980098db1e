import { type CodeLink, type Offer, packTexts, QUICK } from '../router/code-link.ts'
import { RametError } from '../router/errors.ts'
import { MAX_QUEUED } from '../router/protocol.ts'
import type { CodeGraph, CodeModule } from './code-graph.ts'
import { readyPack } from './stub-image.ts'
import { indexSources, lookupIn, type Source, type SourceLookup } from './stacks.ts'

/** A graph with the numbers that its modules have in this tree. */
export interface NumberedGraph {
  entry: number
  offers: Offer[]
}

/**
 * All modules that this controller has named to its tree: one number per instance key, for life. Contexts know modules by
 * these numbers, so one key is one instance everywhere.
 */
export class Library {
  /** For stacks: the source of a module that was sent. */
  readonly sources: SourceLookup
  private readonly numbers = new Map<string, number>()
  private readonly modules = new Map<string, CodeModule>()
  private readonly numbered = new WeakMap<CodeGraph, NumberedGraph>()
  private readonly index = new Map<string, Source>()
  private lastPack: { hashes: string; pack: Uint8Array } | undefined

  constructor() {
    this.sources = lookupIn(this.index)
  }

  number(graph: CodeGraph): NumberedGraph {
    let numbered = this.numbered.get(graph)
    if (numbered === undefined) {
      const modules = [...graph.modules.values()]
      const numberOf = (key: string): number => {
        let number = this.numbers.get(key)
        if (number === undefined) this.numbers.set(key, (number = this.numbers.size + 1))
        return number
      }
      for (const module of modules) this.modules.set(module.hash, module)
      indexSources(this.index, graph)
      numbered = {
        entry: numberOf(graph.entry),
        offers: modules.map(({ key, hash, name, imports }) => ({
          number: numberOf(key),
          hash,
          name,
          imports: imports.map(([specifier, to]): [string, number] => [specifier, numberOf(to)]),
        })),
      }
      this.numbered.set(graph, numbered)
    }
    return numbered
  }

  /** Pushes the texts that the link's neighbour lacks and offers the modules to `dsts`. */
  ship(code: CodeLink, dsts: readonly number[], user: boolean, offers: readonly Offer[]): void {
    const lacking = code.lacking(offers.map(({ hash }) => hash))
    // First the offer: a context with little room has to know what the texts are for when they come in.
    code.offer({ dsts, user, offers: [...offers], pushed: new Set(lacking) })
    if (lacking.length > 0) code.push(lacking, this.pack(lacking))
  }

  /** Answers a NEED: texts that this link has been offered, and no others. */
  resend(code: CodeLink, hashes: readonly string[]): boolean {
    if (!hashes.every((hash) => code.wasSent(hash) && this.modules.has(hash))) return false
    const { path, queued } = code.link
    if (queued > MAX_QUEUED) throw new RametError('overflow', `${path.join(' > ')} asks for code and takes none`, { path })
    // Not compressed: whoever asks over and over must not keep us busy.
    code.push(hashes, packTexts(this.textsOf(hashes), 0))
    return true
  }

  /** Sixty targets that want the same modules get the same pack, compressed once. */
  private pack(hashes: readonly string[]): Uint8Array {
    const key = hashes.join()
    if (this.lastPack?.hashes !== key) {
      this.lastPack = { hashes: key, pack: readyPack(key) ?? packTexts(this.textsOf(hashes), QUICK) }
    }
    return this.lastPack.pack
  }

  private textsOf(hashes: readonly string[]): Uint8Array[] {
    return hashes.map((hash) => new TextEncoder().encode(this.modules.get(hash)?.text))
  }
}
