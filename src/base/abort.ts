/**
 * AbortController for Node 12 and 14, which have none: as much of it as remote functions use. Newer Nodes use their own.
 */
class SmallSignal {
  aborted = false
  reason: unknown
  onabort: (() => void) | undefined
  private listeners: (() => void)[] = []

  addEventListener(_type: 'abort', listener: () => void): void {
    this.listeners.push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.listeners = this.listeners.filter((other) => other !== listener)
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason
  }

  fire(reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    for (const listener of [this.onabort, ...this.listeners]) {
      try {
        listener?.()
      } catch (error) {
        // As in newer Nodes: whoever aborts is not to blame.
        process.nextTick(() => {
          throw error
        })
      }
    }
  }
}

class SmallController {
  readonly signal = new SmallSignal()

  abort(reason?: unknown): void {
    this.signal.fire(reason)
  }
}

export function abortController(): AbortController {
  return typeof AbortController === 'function' ? new AbortController() : (new SmallController() as unknown as AbortController)
}
