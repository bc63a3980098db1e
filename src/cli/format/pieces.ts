export interface Piece {
  stream: 'stdout' | 'stderr'
  /** Whole lines; only the last piece of a stream may lack its newline. */
  bytes: Buffer
}

/** Output in its order, cut so that a line of one stream never stands inside a line of the other. */
export function wholeLines(output: readonly { stream: 'stdout' | 'stderr'; data: Buffer }[]): Piece[] {
  const pieces: Piece[] = []
  const open: Record<Piece['stream'], Buffer[]> = { stdout: [], stderr: [] }
  for (const { stream, data } of output) {
    const cut = data.lastIndexOf(10) + 1
    if (cut === 0) {
      open[stream].push(data)
      continue
    }
    pieces.push({ stream, bytes: Buffer.concat([...open[stream], data.subarray(0, cut)]) })
    open[stream] = cut < data.length ? [data.subarray(cut)] : []
  }
  for (const stream of ['stdout', 'stderr'] as const) {
    const bytes = Buffer.concat(open[stream])
    if (bytes.length > 0) pieces.push({ stream, bytes })
  }
  return pieces
}
