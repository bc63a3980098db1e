import { program } from './program.ts'
import { realDesk } from './real-desk.ts'
import { packageVersion } from './version.ts'

/** Runs the command that this process was started with, and ends the process. */
async function main(): Promise<void> {
  const desk = realDesk()
  const code = await program(process.argv.slice(2), desk, packageVersion)
  await desk.stdout.flush()
  const lost = desk.stdout.failure
  if (lost !== undefined) desk.stderr.write(`ramet: the output is not complete: it cannot be written (${lost.message})\n`)
  await desk.stderr.flush()
  // Not by falling out of the loop: after a second ^C there are connections that nobody waits for any more.
  process.exit(lost === undefined ? code : code || 1)
}

void main()
