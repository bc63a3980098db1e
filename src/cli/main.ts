import { program } from './program.ts'
import { realDesk } from './real-desk.ts'
import { packageVersion } from './version.ts'

/** Runs the command that this process was started with, and ends the process. */
async function main(): Promise<void> {
  const desk = realDesk()
  // Nothing is left that could settle what is waited for: a defect, and no success.
  process.once('beforeExit', () => {
    process.stderr.write('ramet: internal-error: the command came to no end\n')
    process.exitCode = 1
  })
  const code = await program(process.argv.slice(2), desk, packageVersion)
  await desk.stdout.flush()
  const lost = desk.stdout.failure
  if (lost !== undefined) desk.stderr.write(`ramet: the output is not complete: it cannot be written (${lost.message})\n`)
  await desk.stderr.flush()
  // Not by falling out of the loop: after a second ^C there are connections that nobody waits for any more.
  process.exit(lost === undefined ? code : code || 1)
}

void main()
