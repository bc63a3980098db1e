import { program } from './program.ts'
import { realDesk } from './real-desk.ts'
import { packageVersion } from './version.ts'

const desk = realDesk()
const code = await program(process.argv.slice(2), desk, packageVersion)
await Promise.all([desk.stdout.flush(), desk.stderr.flush()])
// Not by falling out of the loop: after a second ^C there are connections that nobody waits for any more.
process.exit(code)
