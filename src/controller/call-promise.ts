/**
 * A call under way: a promise that can also be iterated. An array or another iterable that came as a whole is walked
 * through; anything else is refused when it is iterated.
 */
export class CallPromise<T> extends Promise<T> {
  // then() gives plain promises: what a caller derives from a call is no call any more.
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    const result: unknown = await this
    if (result !== null && typeof result === 'object') {
      if (Symbol.asyncIterator in result) {
        yield* result as AsyncIterable<unknown>
        return
      }
      if (Symbol.iterator in result) {
        yield* result as Iterable<unknown>
        return
      }
    }
    throw new TypeError('the function answered with a single value, which cannot be iterated')
  }
}
