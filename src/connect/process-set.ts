interface Counted {
  readonly bytesIn: number
  readonly bytesOut: number
  /** Ends it; resolves when nothing of it is left. */
  destroy(): Promise<void>
}

/** The processes of one connection, each of which has pipes of its own: those that run, and what all of them have carried. */
export class ProcessSet<T extends Counted> {
  private readonly running = new Set<T>()
  private readonly before = { bytesIn: 0, bytesOut: 0 }

  /** `over`: when it carries nothing any more. */
  add(item: T, over: Promise<unknown>): void {
    this.running.add(item)
    void over.then(() => {
      this.running.delete(item)
      this.before.bytesIn += item.bytesIn
      this.before.bytesOut += item.bytesOut
    })
  }

  stats(): { bytesIn: number; bytesOut: number } {
    let { bytesIn, bytesOut } = this.before
    for (const item of this.running) {
      bytesIn += item.bytesIn
      bytesOut += item.bytesOut
    }
    return { bytesIn, bytesOut }
  }

  async destroy(how: (item: T) => Promise<void> = (item) => item.destroy()): Promise<void> {
    await Promise.all([...this.running].map(how))
  }
}
