import { Module, createRequire } from 'node:module'
import { Queue } from '../base/queue.ts'
import type { CodeCache } from '../router/code-cache.ts'
import type { Offer } from '../router/code-link.ts'
import { RametError } from '../router/errors.ts'
import type { ErrorCode } from '../router/errors.ts'

/** A CommonJS module of Node, as far as we use it. */
interface NodeModule {
  exports: Record<string, unknown>
  require(specifier: string): unknown
  filename: string
  url: string
  paths: string[]
  loaded: boolean
  _compile(text: string, filename: string): void
}
type NodeModuleClass = new (id: string) => NodeModule

/** `text`: held from when a call of it was made until it has run, which may be much later (import() in a function). The cache is bounded. */
interface Held extends Offer {
  text?: Uint8Array | undefined
}

/**
 * Modules in RAM. An instance belongs to a module number: unchanged modules keep their instance, and with it their
 * state, for as long as the thread lives; two instances of one number never exist in a thread.
 */
export class Loader {
  private readonly offers = new Map<number, Held>()
  private readonly instances = new Map<number, NodeModule>()
  private readonly texts: CodeCache
  private readonly own: Record<string, unknown>
  private readonly need: (hashes: string[]) => void
  private readonly waiting = new Queue<{ number: number; fn: () => void }>()

  /**
   * `own` holds what shipped code imports from us, by specifier ('ramet/remote'). `need` is told of texts that somebody
   * waits for; whether they are on their way already is its business.
   */
  constructor(texts: CodeCache, own: Record<string, unknown>, need: (hashes: string[]) => void) {
    this.texts = texts
    this.own = own
    this.need = need
  }

  offer(offers: readonly Offer[]): void {
    for (const offer of offers) this.offers.set(offer.number, offer)
    this.arrived()
  }

  /** Texts or offers have come in: whoever waits may go on. */
  arrived(): void {
    for (let next = this.waiting.peek(); next !== undefined; next = this.waiting.peek()) {
      const missing: string[] = []
      if (!this.known(next.number, new Set(), missing) || missing.length > 0) {
        if (missing.length > 0) this.need(missing)
        return
      }
      this.waiting.shift()
      next.fn()
    }
  }

  /** Whether the module has been run. */
  loaded(number: number): boolean {
    return this.instances.has(number)
  }

  /**
   * Calls `fn` once the module and all that it imports are there: at once, or when the last text has come in. What was
   * asked for in order happens in order, whether its texts are here or on their way.
   */
  whenReady(number: number, fn: () => void): void {
    this.waiting.push({ number, fn })
    if (this.waiting.length === 1) this.arrived()
  }

  /** Runs the module if that has not been done, and returns its exports. Throws what the module throws. */
  load(number: number): Record<string, unknown> {
    const running = this.instances.get(number)
    if (running !== undefined) return running.exports
    const offer = this.offers.get(number)
    const text = offer?.text
    if (!offer || !text) throw new RametError('module-not-found', `module ${number} is not here`)
    const filename = `ramet:/${offer.hash.slice(0, 12)}/${offer.name}`
    const module = new (Module as unknown as NodeModuleClass)(filename)
    const imports = new Map(offer.imports)
    module.filename = filename
    module.url = filename
    module.paths = []
    module.require = (specifier: string) => this.require(specifier, imports, offer.name)
    this.instances.set(number, module)
    try {
      // Not vm: only code compiled this way may use import().
      module._compile(Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8'), filename)
    } catch (error) {
      this.instances.delete(number)
      throw error
    }
    module.loaded = true
    offer.text = undefined
    return module.exports
  }

  private require(specifier: string, imports: Map<string, number>, from: string): unknown {
    const number = imports.get(specifier)
    if (number !== undefined) return this.load(number)
    if (specifier in this.own) return this.own[specifier]
    const require = createRequire(`${process.cwd()}/`)
    try {
      return require(specifier)
    } catch (error) {
      // Node before 14.18 does not know the prefix.
      if (specifier.startsWith('node:') && (error as { code?: string }).code === 'MODULE_NOT_FOUND') {
        try {
          return require(specifier.slice(5))
        } catch {}
      }
      if ((error as { code?: string }).code === 'MODULE_NOT_FOUND') {
        // Node's code and first words: packages with optional parts look at them. An uncaught one is 'module-not-found' to the caller.
        throw new RametError('MODULE_NOT_FOUND' as ErrorCode, `Cannot find module '${specifier}', which ${from} requires`, { cause: error })
      }
      throw error
    }
  }

  /** Whether the module and all that it imports have been offered; adds the hashes of texts that are not here to `missing`. */
  private known(number: number, seen: Set<number>, missing: string[]): boolean {
    if (this.instances.has(number) || seen.has(number)) return true
    seen.add(number)
    const offer = this.offers.get(number)
    if (offer === undefined) return false
    offer.text = offer.text || this.texts.get(offer.hash)
    if (!offer.text) missing.push(offer.hash)
    return offer.imports.every(([, imported]) => this.known(imported, seen, missing))
  }
}
