import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { fetchNodeBinaries, nodeBinary, NODE_VERSIONS } from './node-binaries.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Runs once before all tests: builds what targets run (the controller's side is tested from its source), and sees to the Node
 * binaries. They are fetched by `npm run test:e2e` and in CI; a plain `npm test` uses those that are there and names the others.
 */
export default async function setUp(): Promise<void> {
  execFileSync(process.execPath, [`${root}build/build.mjs`, 'stub', 'modules'], { stdio: ['ignore', 'ignore', 'inherit'] })
  if (process.env['CI'] || process.env['RAMET_TEST'] === 'e2e') {
    const failures = await fetchNodeBinaries(line => console.log(line))
    for (const line of failures) console.log(`could not be fetched: ${line}`)
  } else if (NODE_VERSIONS.some(version => nodeBinary(version) === undefined)) {
    console.log('some Node binaries are not in .cache/node: `npm run test:e2e` fetches them')
  }
  // It costs each start of Node 18 and 20 about 28 ms, and no test wants it. Workers get this environment.
  delete process.env['NODE_EXTRA_CA_CERTS']
}
