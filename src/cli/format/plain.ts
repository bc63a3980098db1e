/**
 * What remote functions return, as JSON can say it: Date → ISO text, bigint → text, Map → array of pairs, Set → array,
 * bytes → { base64 }, NaN and infinities → text, undefined → null (left out of objects), Error → { name, message }.
 * A value that contains itself has '[circular]' at that place.
 */
export function plain(value: unknown): unknown {
  return plainOne(value, []) ?? null
}

function plainOne(value: unknown, parents: readonly object[]): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'function' || typeof value === 'symbol') return String(value)
  if (typeof value !== 'object' || value === null) return value
  if (parents.includes(value)) return '[circular]'
  const inside = [...parents, value]
  const each = (item: unknown): unknown => plainOne(item, inside) ?? null
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (value instanceof RegExp) return String(value)
  if (value instanceof Map) return [...value].map(([key, item]) => [each(key), each(item)])
  if (value instanceof Set) return [...value].map(each)
  if (ArrayBuffer.isView(value)) return { base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }
  if (value instanceof ArrayBuffer) return { base64: Buffer.from(value).toString('base64') }
  if (Array.isArray(value)) return value.map(each)
  if (value instanceof Error) return { name: value.name, message: value.message }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainOne(item, inside)]))
}
