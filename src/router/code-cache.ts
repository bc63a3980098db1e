import { createHash } from 'node:crypto'
import { MAX_CODE } from './protocol.ts'

/** SHA-256 of a module's text, lower-case hex: its name everywhere. */
export function hashOf(text: Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}

/**
 * Module texts in RAM by hash, bounded in bytes by trim(); the least recently used leave first. Its first entry is the stub
 * itself, which never leaves: that is what a hop ships to its children.
 */
export class CodeCache {
  private readonly texts = new Map<string, Uint8Array>()
  private readonly pinned = new Set<string>()
  private readonly limit: number
  private held = 0

  constructor(limit = MAX_CODE) {
    this.limit = limit
  }

  get bytes(): number {
    return this.held
  }

  /** Keeps a text under its own hash, which is computed here and not believed. */
  add(text: Uint8Array, pin = false): string {
    const hash = hashOf(text)
    if (pin) this.pinned.add(hash)
    this.keep(hash, text)
    return hash
  }

  /** Keeps a text under a hash that this process has computed. */
  keep(hash: string, text: Uint8Array): void {
    if (this.texts.has(hash)) return
    this.texts.set(hash, text)
    this.held += text.length
  }

  has(hash: string): boolean {
    return this.texts.has(hash)
  }

  get(hash: string): Uint8Array | undefined {
    const text = this.texts.get(hash)
    if (text !== undefined) {
      this.texts.delete(hash)
      this.texts.set(hash, text)
    }
    return text
  }

  /** Lets go of what is too much. No part of add(): what has come in together is used together first. */
  trim(): void {
    for (const [hash, text] of this.texts) {
      if (this.held <= this.limit) return
      if (this.pinned.has(hash)) continue
      this.texts.delete(hash)
      this.held -= text.length
    }
  }
}
