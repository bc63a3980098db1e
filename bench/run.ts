/** npm run bench: ramet against its peers on this machine. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { guard } from './guard.ts'
import { brokenRow, print, type Benchmark, type Row } from './harness.ts'
import { Lab } from './lab.ts'
import { serveRawEcho } from './peers/raw-echo.ts'
import { serveSshChain, type SshChainSettings } from './peers/ssh-chain.ts'
import { serveSsh2 } from './peers/ssh2.ts'
import { serveRamet, type RametSettings } from './ramet-driver.ts'
import { figures, newestResults, withFigures } from './readme-figures.ts'
import { profile } from './profile.ts'
import { growthMarkers, growthSection } from './readme-growth.ts'
import { picture, pictureFile } from './readme-picture.ts'
import { machine, versions, whyNotWritable, write } from './results.ts'
import { bytesPerCall } from './rows/bytes.ts'
import { cli32 } from './rows/cli.ts'
import { connectFirstCall } from './rows/connect.ts'
import { exec } from './rows/exec.ts'
import { fleet60 } from './rows/fleet.ts'
import { growth } from './rows/growth.ts'
import { hundred, hundredBytes, hundredLoop } from './rows/hundred.ts'
import { pipelined } from './rows/pipelined.ts'
import { rtt50NewCode, rttConnect, rttWarm } from './rows/rtt.ts'
import { stubBytes, stubMemory } from './rows/stub.ts'
import { tree32, treeConnect, treeRtt50, treeThrough } from './rows/tree-connect.ts'
import { treeCode, treeFanOut } from './rows/tree-crowd.ts'
import { treePing, treeStreams } from './rows/tree-hop.ts'
import { treeWarm } from './rows/tree-warm.ts'
import { warmCall } from './rows/warm.ts'
import { stayAlive, systemClock } from '../src/base/clock.ts'
import { deferred } from '../src/base/deferred.ts'
import { withinTime } from '../src/base/within-time.ts'
import { verdicts } from './verdicts.ts'
import { root, Workspace } from './workspace.ts'

/** ms for what a benchmark runs on to end. */
const CLOSING = 20_000

const benchmarks: readonly Benchmark[] = [
  connectFirstCall, warmCall, pipelined, exec, rttWarm, rtt50NewCode, rttConnect, bytesPerCall, stubMemory, stubBytes, fleet60, cli32,
  hundred, hundredLoop, hundredBytes,
  treeConnect, treeThrough, tree32, treeWarm, treeRtt50, treeCode, treeFanOut, treePing, treeStreams, growth,
]

/** The drivers are this program too, so that one file is built. */
const drivers: Record<string, (settings: RametSettings & SshChainSettings) => Promise<void>> = { 'ramet': serveRamet, 'raw-echo': serveRawEcho, 'ssh2': serveSsh2, 'ssh-chain': serveSshChain }

const usage = `npm run bench -- [options]: ramet against its peers on this machine
  --only NAME,NAME   these benchmarks only
  --list             their names
  --samples N        rounds of each comparison
  --short            a quick look: fewer rounds, a tenth of the calls
  --out FILE         where the results go; without it a full run writes bench/results/DATE.json and any other writes none
  --readme           writes the newest results into the README and its picture, and measures nothing
  --profile          where controller, hop and target spend their time; nothing is judged
  --guard            what CI looks at: counts that must not grow, and ratios that must not double
  --help             this`

const known = {
  'help': { type: 'boolean' },
  'only': { type: 'string' },
  'samples': { type: 'string' },
  'short': { type: 'boolean' },
  'out': { type: 'string' },
  'list': { type: 'boolean' },
  'readme': { type: 'boolean' },
  'guard': { type: 'boolean' },
  'profile': { type: 'boolean' },
  'driver': { type: 'string' },
} as const
const values = given()

if (values.driver !== undefined) {
  await drivers[values.driver]?.(JSON.parse(process.argv.at(-1) ?? '') as RametSettings & SshChainSettings)
  // What a measured library may have left open is no reason to stay.
  process.exit(0)
} else if (values.help) {
  console.log(usage)
} else if (values.list) {
  console.log(benchmarks.map(({ name }) => name).join('\n'))
} else if (values.readme) {
  const { file, results } = newestResults(root)
  const readme = join(root, 'README.md')
  writeFileSync(readme, withFigures(withFigures(readFileSync(readme, 'utf8'), figures(file, results)), growthSection(results), growthMarkers))
  writeFileSync(join(root, pictureFile), picture(results))
} else if (values.profile) {
  await profile()
} else if (values.guard) {
  process.exitCode = await guard()
} else {
  process.exitCode = await main()
  // Whatever a benchmark that was stopped still waits for is no reason to stay.
  if (process.exitCode === 130) process.exit()
}

/** What is no option of ours is named, with those that are. */
function given(): ReturnType<typeof parseArgs<{ options: typeof known }>>['values'] {
  try {
    const { values, positionals } = parseArgs({ options: known, allowPositionals: true })
    // A driver's settings stand last; a benchmark's name there would be meant for --only.
    if (values.driver === undefined && positionals[0] !== undefined) throw new Error(`'${positionals[0]}' is no option; --only ${positionals.join(',')} runs what is called so`)
    return values
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`)
    process.exit(1)
  }
}

async function main(): Promise<number> {
  const only = values.only?.split(',')
  const unknown = only?.find((name) => !benchmarks.some((benchmark) => benchmark.name === name))
  const samples = values.samples === undefined ? undefined : Number(values.samples)
  if (unknown !== undefined || (samples !== undefined && !(Number.isInteger(samples) && samples > 0))) {
    console.error(unknown !== undefined ? `no benchmark '${unknown}'; --list names them` : '--samples takes a whole number from 1 up')
    return 1
  }
  const full = only === undefined && values.short !== true && samples === undefined
  const date = new Date().toISOString()
  const file = values.out ?? (full ? join(root, 'bench', 'results', `${date.slice(0, 16).replaceAll(':', '')}.json`) : undefined)
  const unwritable = file === undefined ? undefined : whyNotWritable(file)
  if (unwritable !== undefined) {
    console.error(`can't write ${file}: ${unwritable}`)
    return 1
  }
  const options = { short: values.short ?? false, ...(samples === undefined ? {} : { samples }) }
  let stopped = false
  const halt = deferred<never>()
  halt.promise.catch(() => {})
  const stop = (): void => {
    stopped = true
    // Closing what a benchmark runs on makes most of it fail at once; the rest is not waited for. What was measured so far is printed.
    halt.reject(new Error('stopped'))
  }
  // Before there is anything that would be left.
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  const workspace = new Workspace()
  const found = await versions()
  const { cpu, cores, memory, system } = machine()
  console.log(`${cpu}, ${cores} cores, ${memory}, ${system}`)
  console.log(Object.entries(found).map(([name, version]) => `${name} ${version}`).join(' · '))
  console.log('Medians of interleaved rounds. Every program uses curve25519-sha256, aes128-gcm and ed25519 except where a row says default.\n')

  const rows: Row[] = []
  let lab: Lab | undefined
  try {
    for (const benchmark of benchmarks) {
      if (stopped || (only && !only.includes(benchmark.name))) continue
      lab = new Lab(workspace, options)
      try {
        const measured = benchmark.rows(lab)[Symbol.asyncIterator]()
        for (;;) {
          const next = await Promise.race([measured.next(), halt.promise])
          if (next.done === true) break
          rows.push(next.value)
          console.log(print(next.value) + '\n')
        }
      } catch (error) {
        const broken = brokenRow(benchmark.name, error)
        rows.push(broken)
        console.log(print(broken) + '\n')
      } finally {
        const over = stayAlive()
        await withinTime(lab.close(), systemClock, CLOSING)
        over()
      }
    }
  } finally {
    workspace.close()
  }
  // What was stopped is no full run, but it may have been told where to go.
  const out = stopped ? rows.length > 0 ? values.out : undefined : file
  if (out !== undefined) write(out, { date, machine: machine(), versions: found, rows })
  const { lines, allMet } = verdicts(rows, options)
  console.log(lines.join('\n'))
  if (out !== undefined) console.log(`results: ${out}`)
  if (stopped) return 130
  return allMet ? 0 : 1
}
