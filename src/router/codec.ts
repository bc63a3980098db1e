/**
 * The codec of control payloads and of call arguments and results: MessagePack, written out here rather than taken from a
 * library, because it is the largest part of the stub that every new target is sent. msgpackr at its leanest is 10.7 KB
 * compressed, and still needs a walk before (errors, paths, cycles, lone surrogates, -0) and one after (nesting, record and
 * reference extensions, the `__proto__` key); this is a third of that, and does all of it in one pass.
 */
export { encode } from './codec-encode.ts'
export type { EncodeOptions } from './codec-refusal.ts'
export { decode } from './codec-decode.ts'
