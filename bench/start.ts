/**
 * `npm start`: the main job, on targets that need nothing but this machine. Three SSH servers on loopback; commands and functions run on
 * them through ramet, and the same ones through a fresh SSH connection each; then both are shown beside one another.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Controller } from 'ramet'
import { keyBlob, startEmbedded, type EmbeddedServer } from '../src/cli/bench/embedded.ts'
import { freshCall, functionCommand } from './start-fresh.ts'
import { picture, type Measured } from './start-picture.ts'

const TARGETS = 3
/** Commands and as many functions: 100 calls in all. */
const EACH = 50
const COMMAND = 'uname -n'

const machineUrl = new URL('../../examples/machine.ts', import.meta.url)
const screen = process.stdout
const block = /utf-?8/i.test(process.env['LC_ALL'] || process.env['LC_CTYPE'] || process.env['LANG'] || '') ? '\u2588' : '#'

interface Side {
  command(target: number): Promise<string>
  fn(target: number): Promise<{ hostname: string }>
}

/** Runs all calls one after the other, in turn on each target, and checks what comes back. */
async function measure(name: string, server: EmbeddedServer, begin: () => Promise<Side>): Promise<Measured> {
  const before = await server.counts()
  const commands: number[] = []
  const functions: number[] = []
  const started = performance.now()
  const side = await begin()
  let hostname: string | undefined
  for (let i = 0; i < 2 * EACH; i++) {
    const target = i % TARGETS
    const from = performance.now()
    const said = i % 2 === 0 ? (await side.command(target)).trim() : (await side.fn(target)).hostname
    const times = i % 2 === 0 ? commands : functions
    times.push(performance.now() - from)
    hostname ??= said
    if (said !== hostname || said === '') throw new Error(`${name}: call ${i + 1} answered ${JSON.stringify(said)}, not ${JSON.stringify(hostname)}`)
    if (screen.isTTY) screen.write(`\r  ${name}: ${i + 1} of ${2 * EACH} calls`)
  }
  const elapsed = performance.now() - started
  const after = await server.counts()
  screen.write(`${screen.isTTY ? '\r' : ''}  ${name}: ${2 * EACH} calls in ${(elapsed / 1000).toFixed(2)} s\n`)
  return { commands, functions, elapsed, connections: after.connections - before.connections, bytes: after.bytes - before.bytes }
}

async function byFreshConnections(server: EmbeddedServer): Promise<Measured> {
  const bundle = await readFile(new URL('./machine.cjs', import.meta.url), 'utf8')
  const line = functionCommand(bundle, 'load')
  return measure('a fresh SSH connection for each call', server, async () => ({
    command: target => freshCall(server.targets[target]!, server.privateKey, COMMAND),
    fn: async target => JSON.parse(await freshCall(server.targets[target]!, server.privateKey, line)) as { hostname: string },
  }))
}

async function byRamet(server: EmbeddedServer): Promise<Measured> {
  const ramet = new Controller()
  try {
    return await measure('ramet', server, async () => {
      const contexts = await Promise.all(server.targets.map(({ port, hostKey }) => {
        const expected = keyBlob(hostKey)
        return ramet.connect(`ssh://demo@127.0.0.1:${port}`, {
          identityFile: server.identityFile, sshConfig: false, hostKeys: key => expected.equals(key.blob), runtime: 'node',
        })
      }))
      const machines = contexts.map(context => context.use<typeof import('../examples/machine.ts')>(machineUrl))
      return {
        command: async target => (await contexts[target]!.exec(COMMAND, { check: true })).stdout,
        fn: target => machines[target]!.load(),
      }
    })
  } finally {
    await ramet.close()
  }
}

function whatNext(): string {
  return `The server is on this machine, so no network lies in between: over a real one each fresh connection waits for about
eight round trips, a call by ramet for one. Bytes and connections are what the server counted, for both alike.

On a host of yours (Node 12 or newer there; for commands alone not even that):

  npx ramet run 'uptime' -t you@host1,you@host2
  npx ramet call examples/machine.ts disks -t you@host1
  node examples/first.ts you@host1                  (Node 22.18 or newer here)

The functions are in ${fileURLToPath(machineUrl)}: change one and run it again.
`
}

async function main(): Promise<void> {
  console.log(`Starting ${TARGETS} SSH servers on 127.0.0.1 with keys made for this run.\n`)
  const server = await startEmbedded(TARGETS, new URL('../embedded-server.js', import.meta.url))
  const leave = (): void => {
    screen.write('\n')
    void server.close().then(() => process.exit(130))
  }
  process.once('SIGINT', leave)
  process.once('SIGTERM', leave)
  try {
    console.log(`${EACH} times the command '${COMMAND}' and ${EACH} times the function load() of examples/machine.ts, in turn on ${TARGETS} targets:`)
    const fresh = await byFreshConnections(server)
    const ramet = await byRamet(server)
    console.log(`\n${picture(fresh, ramet, block).join('\n')}\n${whatNext()}`)
  } finally {
    await server.close()
  }
}

await main()
