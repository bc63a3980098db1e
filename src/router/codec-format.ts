/**
 * The numbers that the two halves of the codec share. The format is plain MessagePack; what MessagePack lacks travels in these
 * extension types, whose bodies are MessagePack values or raw bytes, so any other decoder can step over them.
 */
export const EXT_UNDEFINED = 0 // one zero byte
export const EXT_DATE = 1 // float64, ms since 1970; NaN is an invalid date
export const EXT_MAP = 2 // key, value, key, value …
export const EXT_SET = 3 // item, item …
export const EXT_REGEXP = 4 // source, flags
export const EXT_ERROR = 5 // name, message, stack | undefined, { hidden properties }, { enumerable properties }
export const EXT_BIGINT = 6 // sign byte (1 is negative), magnitude big-endian; int64 goes as MessagePack's own d3
export const EXT_BINARY = 7 // kind (an index of BINARY_KINDS), bytes in little-endian element order
export const EXT_UTF16 = 8 // UTF-16LE: a string with lone surrogates, which UTF-8 cannot carry

/** What EXT_BINARY carries. A Uint8Array (so a Buffer too) is MessagePack's own `bin`. Append only. */
export const BINARY_KINDS = [
  ArrayBuffer, DataView, Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
  Float32Array, Float64Array, BigInt64Array, BigUint64Array,
] as const

/** Levels of nesting that one message may have: far from what a default stack holds, on the oldest Node too. */
export const MAX_DEPTH = 500

/**
 * What one message may build, in units of about 8 to 16 bytes of heap: 2^25 array items or 4 million small objects. The bytes
 * of a message do not bound it: two of them make a Uint8Array of 200, so 64 MiB of them would kill the process that decodes.
 * The sender counts the same way, so an honest message is refused before it leaves.
 */
export const MAX_COST = 1 << 25
export const COST_CONTAINER = 8
export const COST_BOXED = 32
export const COST_ERROR = 512
