import { joinBytes } from '../base/bytes.ts'
import { MIN_PIECE } from './protocol.ts'

/** Joins the pieces of a message; what has gathered is bounded. */
export class Assembler {
  private pieces: Uint8Array[] | undefined
  private bytes = 0

  /** True while a message has begun and is not whole. */
  get busy(): boolean {
    return this.pieces !== undefined
  }

  /** Takes the next piece. Returns the message when this was the last one, 'too-large' when it exceeds `limit` bytes. */
  add(piece: Uint8Array, more: boolean, limit: number): Uint8Array | 'too-large' | undefined {
    if (this.pieces === undefined) {
      if (!more) return piece
      this.pieces = []
    }
    this.bytes += piece.length
    if (this.bytes > limit) {
      this.clear()
      return 'too-large'
    }
    this.pieces.push(piece)
    // A peer that sends slivers, or nothing at all, must not make us keep an object for each.
    if (this.pieces.length > 16 + this.bytes / MIN_PIECE) this.pieces = [joinBytes(this.pieces)]
    if (more) return undefined
    const message = joinBytes(this.pieces)
    this.clear()
    return message
  }

  clear(): void {
    this.pieces = undefined
    this.bytes = 0
  }
}
