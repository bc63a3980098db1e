import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/helpers/longest-first.ts'

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** What talks to real servers and real Node binaries. */
const realThings = ['test/e2e/**/*.test.ts', 'test/contract/**/*.test.ts', 'test/connect/{ssh2,connection}*.test.ts', 'test/remote-stub/hop-*.test.ts']

/** `vitest run` is everything; `vitest run --mode e2e` is what needs a real sshd and real Node binaries, which it fetches. */
export default defineConfig(({ mode }) => {
  if (mode === 'e2e') process.env['RAMET_TEST'] = 'e2e'
  return {
    resolve: {
      alias: [
        { find: /^ramet\/remote$/, replacement: path('./src/remote.ts') },
        { find: /^ramet$/, replacement: path('./src/controller/index.ts') },
      ],
    },
    test: {
      include: mode === 'e2e' ? realThings : ['test/**/*.test.ts'],
      exclude: ['test/fixtures/**'],
      globalSetup: ['./test/helpers/set-up.ts'],
      reporters: ['default', './test/helpers/left-out.ts'],
      // Most of what the long files do is wait: on two cores, too, they run beside one another.
      maxWorkers: Math.max(2, availableParallelism() - 1),
      sequence: { sequencer: LongestFirst },
      testTimeout: 15_000,
      hookTimeout: 30_000,
    },
  }
})
