import { execFile } from 'node:child_process'
import { chmodSync, chownSync, existsSync, lchownSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

/** What the launcher starts: it prints a word and what it sees around it, and ends with 7 where it is told to 'fail'. */
const command = (word: string): string => `
const say = async () => console.log('${word}', require('node:path').basename(__filename), require.resolve('./command.cjs') === __filename, typeof module, typeof exports, __dirname.length > 1)
say().then(() => process.exit(process.argv[2] === 'fail' ? 7 : 0))
`

let folder: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ramet-launch-'))
  mkdirSync(join(folder, 'home'))
  await buildLauncher('one')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function buildLauncher(id: string): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, '../../src/cli/launch.ts')], outfile: join(folder, 'cli.cjs'), bundle: true, format: 'cjs', platform: 'node', target: 'node20', logLevel: 'silent',
    define: { RAMET_BUILD: JSON.stringify(id), 'import.meta.dirname': '__dirname' },
  })
}

/** With `uid`: as that account, and without HOME. */
async function start(argv: string[], env: Record<string, string> = {}, uid?: number): Promise<string> {
  const { PATH } = process.env
  const run = promisify(execFile)(process.execPath, [join(folder, 'cli.cjs'), ...argv], {
    cwd: folder, ...(uid === undefined ? { env: { PATH, HOME: join(folder, 'home'), ...env } } : { uid, env: { PATH, ...env } }),
  })
  const { code, stdout, stderr } = await run.then((done) => ({ code: 0, ...done }), (error: { code: number; stdout: string; stderr: string }) => error)
  expect(stderr).toBe('')
  expect(code).toBe(argv[0] === 'fail' ? 7 : 0)
  return stdout.trim()
}

const said = (word: string): string => `${word} command.cjs true object object true`
const cache = (): string => join(folder, 'home', '.cache', 'ramet')
const write = (word: string): void => writeFileSync(join(folder, 'command.cjs'), command(word))
const only = (): string => {
  const names = readdirSync(cache())
  expect(names).toHaveLength(1)
  return join(cache(), names[0]!)
}

describe('what the first run has compiled', () => {
  // V8 compares the length of a text only: another word of this length shows which of the two is run.
  test('is what the next one runs, until the build is another', async () => {
    write('first')
    expect(await start(['run'])).toBe(said('first'))
    write('later')
    expect(await start(['run'])).toBe(said('first'))
    await buildLauncher('two')
    expect(await start(['run'])).toBe(said('later'))
    expect(readdirSync(cache())).toHaveLength(2)
  })

  test('is kept for this account alone, and where XDG_CACHE_HOME says', async () => {
    write('first')
    await start(['run'], { XDG_CACHE_HOME: join(folder, 'elsewhere') })
    expect(existsSync(cache())).toBe(false)
    const { stdout } = await promisify(execFile)('ls', ['-lR', join(folder, 'elsewhere')])
    expect(stdout).toMatch(/^drwx------.* ramet$/m)
    expect(stdout).toMatch(/^-rw-------.* one-v/m)
  })

  test('is kept of no run that had nothing to do or failed, and of none where that is switched off', async () => {
    write('first')
    for (const argv of [[], ['--version'], ['run', '--help'], ['run', 'x', '-h'], ['fail']]) await start(argv)
    await start(['run'], { NODE_DISABLE_COMPILE_CACHE: '1' })
    expect(existsSync(cache())).toBe(false)
  })

  test('is not run where others may have written it', async () => {
    write('first')
    await start(['run'])
    write('later')
    chmodSync(only(), 0o620)
    expect(await start(['run'])).toBe(said('later'))
    // That run has replaced it.
    write('third')
    expect(await start(['run'])).toBe(said('later'))
  })

  test.skipIf(process.geteuid?.() !== 0)('is not run where it is somebody else\'s (needs root)', async () => {
    write('first')
    await start(['run'])
    write('later')
    chownSync(only(), 65534, 65534)
    expect(await start(['run'])).toBe(said('later'))
  })

  test('is not run through a symbolic link', async () => {
    write('first')
    await start(['run'])
    const kept = only()
    renameSync(kept, join(folder, 'moved'))
    symlinkSync(join(folder, 'moved'), kept)
    write('later')
    expect(await start(['run'])).toBe(said('later'))
  })

  test('is compiled anew where it is damaged', async () => {
    write('first')
    await start(['run'])
    const kept = only()
    const whole = readFileSync(kept)
    // V8 looks at the first bytes and the length only.
    const zeroed = Buffer.from(whole).fill(0, whole.length >> 1)
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(1000, 7), whole.subarray(0, whole.length >> 1), zeroed]) {
      writeFileSync(kept, bytes)
      expect(await start(['run'])).toBe(said('first'))
      expect(readFileSync(only()).length).toBeGreaterThan(whole.length / 2)
    }
  })

  test('is not run under the name of another build', async () => {
    write('first')
    await start(['run'])
    const kept = only()
    await buildLauncher('two')
    write('later')
    renameSync(kept, kept.replace('one-', 'two-'))
    expect(await start(['run'])).toBe(said('later'))
  })

  test('is done without where it cannot be kept', async () => {
    write('first')
    writeFileSync(join(folder, 'home', '.cache'), 'a file')
    expect(await start(['run'])).toBe(said('first'))
    expect(await start(['run'], { HOME: '/dev/null' })).toBe(said('first'))
    expect(await start(['run'], { HOME: join(folder, 'none') })).toBe(said('first'))
    expect(existsSync(join(folder, 'none')), 'a home that is not there').toBe(false)
  })

  test('is not kept in the folder that it is started in, whatever HOME says', async () => {
    write('first')
    for (const HOME of ['', 'relative']) expect(await start(['run'], { HOME })).toBe(said('first'))
    expect(readdirSync(folder).sort()).toEqual(['cli.cjs', 'command.cjs', 'home'])
  })

  test.skipIf(process.geteuid?.() !== 0)('is done without where the account has no home and no entry (needs root)', async () => {
    write('first')
    chmodSync(folder, 0o755)
    expect(await start(['run'], {}, 54_321)).toBe(said('first'))
  })

  test('is kept of four builds at most, the newest, and nothing else is removed', async () => {
    write('first')
    mkdirSync(cache(), { recursive: true })
    await buildLauncher('f'.repeat(16))
    const other = (age: number): string => `${String(age).repeat(16)}-v20.0.0-x64`
    for (let age = 1; age <= 6; age++) {
      for (const name of [other(age), `letter-${age}`]) {
        writeFileSync(join(cache(), name), '')
        utimesSync(join(cache(), name), 1_700_000_000 - age, 1_700_000_000 - age)
      }
    }
    await start(['run'])
    const names = readdirSync(cache()).sort()
    expect(names.filter((name) => /^\d/.test(name))).toEqual([1, 2, 3].map(other))
    expect(names.filter((name) => name.startsWith('letter'))).toHaveLength(6)
    expect(names).toHaveLength(10)
  })

  test.skipIf(process.geteuid?.() !== 0)('is not kept by root in somebody else\'s home (needs root)', async () => {
    write('first')
    const home = join(folder, 'home')
    chownSync(home, 54_321, 54_321)
    expect(await start(['run'])).toBe(said('first'))
    expect(readdirSync(home)).toEqual([])
    // Nor wherever a link of theirs leads.
    mkdirSync(join(folder, 'roots'))
    symlinkSync(join(folder, 'roots'), join(home, '.cache'))
    lchownSync(join(home, '.cache'), 54_321, 54_321)
    expect(await start(['run'])).toBe(said('first'))
    expect(readdirSync(join(folder, 'roots'))).toEqual([])
  })
})
