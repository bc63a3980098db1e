/**
 * The codec of control payloads and of call arguments and results: MessagePack, written out here rather than taken from a
 * library, because it is the largest part of the stub that every new target is sent. msgpackr at its leanest is 10.7 KB
 * compressed, and still needs a walk before (errors, paths, cycles, lone surrogates, -0) and one after (nesting, record and
 * reference extensions, the `__proto__` key); this is a third of that, and does all of it in one pass.
 *
 * Carried: what JSON carries, and undefined (a property or an item; a hole becomes it), NaN, ±Infinity, -0, lone surrogates,
 * bigint, Date, RegExp, Map, Set, ArrayBuffer, DataView, typed arrays (a Buffer arrives as a Uint8Array), errors (as the
 * standard class that `name` says, with message, stack, code, cause and own properties). Class instances and objects without
 * prototype arrive as plain objects of their own enumerable properties. `toJSON` means nothing here. An object that is met
 * twice arrives twice; named properties of an array, symbol keys and lastIndex of a RegExp stay behind.
 */
export { encode } from './codec-encode.ts'
export type { EncodeOptions } from './codec-refusal.ts'
export { decode } from './codec-decode.ts'
