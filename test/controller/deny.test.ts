import { describe, expect, test } from 'vitest'
import { DEFAULT_DENY, denyRules } from '../../src/controller/deny.ts'

describe('deny patterns', () => {
  test.each<[path: string, pattern: string | undefined]>([
    ['/srv/app/.env', '**/.env*'], ['/srv/app/.env.production', '**/.env*'], ['/srv/app/.envrc', '**/.env*'], ['/srv/app/.ENV', '**/.env*'],
    ['/srv/app/certs/server.pem', '**/*.pem'], ['/srv/app/server.key', '**/*.key'], ['/home/me/.ssh/id_ed25519', '**/id_ed25519*'], ['/home/me/.ssh/id_rsa', '**/id_rsa*'],
    ['/srv/app/client_secret.json', '**/*secret*'], ['/srv/app/Secrets.ts', '**/*secret*'],
    ['/srv/secret-project/src/tasks.ts', undefined], ['/srv/app/environment.ts', undefined], ['/srv/app/keys.ts', undefined], ['/srv/app/pem.ts', undefined],
    ['/srv/app/node_modules/aws/get-secret.js', undefined], ['C:\\app\\.env', '**/.env*'],
  ])('by default %s is denied by %s', (path, pattern) => {
    const rules = denyRules(DEFAULT_DENY)
    expect(rules.match(path)).toBe(pattern)
    // What the filter lets pass is never asked for.
    if (pattern !== undefined) expect(rules.filter.test(path)).toBe(true)
  })

  test.each<[pattern: string, path: string, denied: boolean]>([
    ['*.sql', '/a/b/dump.sql', true], ['*.sql', '/a/b/dump.sql.ts', false], ['/a/*.ts', '/a/b.ts', true], ['/a/*.ts', '/a/b/c.ts', false],
    ['/a/**', '/a/b/c.ts', true], ['**/private/**', '/x/private/y/z.ts', true], ['**/private/**', '/x/private.ts', false], ['**/a?c.ts', '/x/abc.ts', true], ['**/a?c.ts', '/x/a/c.ts', false],
    ['**/[x].ts', '/a/[x].ts', true], ['**/[x].ts', '/a/x.ts', false], ['**/a+(b).ts', '/q/a+(b).ts', true],
  ])('%s and %s: %s', (pattern, path, denied) => {
    expect(denyRules([pattern]).match(path)).toBe(denied ? pattern : undefined)
    if (denied) expect(denyRules([pattern]).filter.test(path)).toBe(true)
  })

  test('a later pattern wins, and without patterns nothing is denied', () => {
    expect(denyRules(['*.sql', '!ok.sql']).match('/a/ok.sql')).toBeUndefined()
    expect(denyRules(['!ok.sql', '*.sql']).match('/a/ok.sql')).toBe('*.sql')
    expect(denyRules([]).match('/a/.env')).toBeUndefined()
    expect(denyRules([]).filter.test('/a/.env')).toBe(false)
  })
})
