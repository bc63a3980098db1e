const dumps = new Set<() => Record<string, unknown>>()

function print(): void {
  for (const dump of dumps) process.stderr.write(`${JSON.stringify(dump(), null, 2)}\n`)
}

/** On SIGUSR2 `dump` is written to stderr as JSON, until the function returned is called. */
export function watchSignal(dump: () => Record<string, unknown>): () => void {
  if (dumps.size === 0) process.on('SIGUSR2', print)
  dumps.add(dump)
  return () => {
    dumps.delete(dump)
    if (dumps.size === 0) process.off('SIGUSR2', print)
  }
}
