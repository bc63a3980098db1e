/** Fails on the first byte above 127: the stub travels through shells, `node -e` and terminals of every locale. */
export function assertAscii(name, bytes) {
  const at = bytes.findIndex(byte => byte > 127)
  if (at === -1) return
  const around = Buffer.from(bytes.subarray(Math.max(0, at - 30), at + 30)).toString()
  throw new Error(`${name} has a byte that is not ASCII at offset ${at}, in: ${around}`)
}

export function kib(bytes) {
  return `${(bytes / 1024).toFixed(1)} KiB`
}
