import { describe, expect, it } from 'vitest'
import { RametError } from '../../src/router/errors.ts'
import { deferred } from '../../src/base/deferred.ts'
import type { ExecOptions, ExecResult } from '../../src/controller/api.ts'
import { FakeDesk, settle } from './fake-desk.ts'
import { ended } from './fake-tree.ts'
import type { FakeTarget } from './fake-tree.ts'

const refused = new RametError('connect-refused', 'db1: nothing listens on port 22', {
  stage: 'tcp', path: ['db1'], outcome: 'not-sent', hint: 'Is sshd running there?', cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', stack: undefined }),
})

const three: Record<string, FakeTarget> = {
  web1: { exec: async () => ended({ stdout: 'hello\n' }) },
  web2: { exec: async () => ended({ output: [['stdout', 'one\ntw'], ['stderr', 'bad\n'], ['stdout', 'o']], exitCode: 3 }) },
  db1: { connect: () => Promise.reject(refused) },
}

describe('ramet run', () => {
  it('prints a header and the output per target, failures in full, and the summary on stderr', async () => {
    const desk = new FakeDesk(three)
    expect(await desk.run('run', 'x', '-t', 'web1,web2,db1', '-c', '1')).toBe(1)
    expect(desk.stdout.text).toBe([
      'web1: ok (0.00 s)', 'hello',
      'web2: failed: exit code 3 (0.00 s)', 'one', 'err| bad', 'two',
      'db1: unreachable (0.00 s)',
      '  connect-refused at stage tcp: db1: nothing listens on port 22',
      '  caused by Error [ECONNREFUSED]: connect ECONNREFUSED',
      '  path: db1', '  outcome: not-sent', '  hint: Is sshd running there?', '',
    ].join('\n'))
    expect(desk.stderr.text).toBe('3 targets: 1 ok, 1 failed, 1 unreachable in 0.00 s\nfailed: web2\nunreachable: db1\n')
  })

  it('writes one JSON document in the shape of Bolt', async () => {
    const desk = new FakeDesk(three)
    expect(await desk.run('run', 'x', '-t', 'web1,web2,db1', '-c', '1', '--format', 'json')).toBe(1)
    expect(JSON.parse(desk.stdout.text)).toEqual({
      items: [
        { target: 'web1', status: 'success', value: { stdout: 'hello\n', stderr: '', merged_output: 'hello\n', exit_code: 0, duration: 0.005 } },
        {
          target: 'web2', status: 'failure', value: {
            stdout: 'one\ntwo', stderr: 'bad\n', merged_output: 'one\ntwbad\no', exit_code: 3, duration: 0.005,
            _error: {
              kind: 'puppetlabs.tasks/command-error', issue_code: 'COMMAND_ERROR', code: 'exec-failed', msg: 'The command failed with exit code 3',
              details: { exit_code: 3, path: ['web2'], outcome: 'failed' },
            },
          },
        },
        {
          target: 'db1', status: 'failure', value: {
            _error: {
              kind: 'puppetlabs.tasks/connect-error', issue_code: 'CONNECT_ERROR', code: 'connect-refused', msg: 'db1: nothing listens on port 22',
              details: {
                stage: 'tcp', path: ['db1'], outcome: 'not-sent', hint: 'Is sshd running there?',
                cause: { name: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
              },
            },
          },
        },
      ],
      target_count: 3, elapsed_time: 0,
    })
    expect(desk.stderr.text).toBe('')
  })

  it('writes one event per line, each as it happens', async () => {
    const gate = deferred<ExecResult<Buffer>>()
    const desk = new FakeDesk({ ...three, slow: { exec: () => gate.promise } })
    const done = desk.run('command', 'run', 'x y', '-t', 'web1,slow', '--format', 'jsonl')
    await settle()
    const lines = (): unknown[] => desk.stdout.text.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)
    expect(lines()).toEqual([
      { v: 1, type: 'run-start', elapsed: 0, command: 'run', object: 'x y', target_count: 2 },
      { v: 1, type: 'target-start', target: 'web1', elapsed: 0 },
      { v: 1, type: 'target-start', target: 'slow', elapsed: 0 },
      { v: 1, type: 'result', target: 'web1', elapsed: 0, status: 'success', verdict: 'ok', duration: 0, value: expect.objectContaining({ stdout: 'hello\n' }) },
    ])
    desk.clock.move(1250)
    gate.resolve(ended({ signal: 'SIGKILL' }))
    expect(await done).toBe(1)
    expect(lines().slice(4)).toEqual([
      {
        v: 1, type: 'result', target: 'slow', elapsed: 1.25, status: 'failure', verdict: 'failed', duration: 1.25,
        value: expect.objectContaining({ exit_code: null, signal: 'SIGKILL', _error: expect.objectContaining({ msg: 'The command was ended by SIGKILL' }) }),
      },
      { v: 1, type: 'summary', elapsed: 1.25, target_count: 2, ok: 1, failed: 1, unreachable: 0, cancelled: 0, unknown: 0, elapsed_time: 1.25, exit_code: 1 },
    ])
  })

  it('asks for no interpreter unless it is told to, and hands every flag on in milliseconds', async () => {
    let options: ExecOptions | undefined
    let command: string | string[] | undefined
    const desk = new FakeDesk({ 'deploy@web1:2222': { exec: async (given, more) => (command = given, options = more, ended({})) } })
    desk.files['in.txt'] = 'input'
    const flags = ['--cwd', '/srv', '--env', 'A=1=2', '--env', 'B', '--stdin', 'in.txt', '--timeout', '1.5', '--connect-timeout', '0.25', '--user', 'deploy', '--port', '2222', '--private-key', 'k1',
      '--private-key', 'k2', '--host-keys', 'accept', '--known-hosts', 'kh', '--ssh-config', 'none', '--transport', 'openssh', '--node', '/opt/node']
    expect(await desk.run('run', 'x', '-t', 'web1', ...flags)).toBe(0)
    expect(command).toBe('x')
    expect(options).toEqual({ encoding: 'buffer', cwd: '/srv', env: { A: '1=2', B: undefined }, stdin: Buffer.from('input'), timeout: 1500, signal: expect.any(AbortSignal) })
    expect(desk.tree.connects).toEqual([{
      target: 'deploy@web1:2222',
      options: {
        runtime: 'raw', identityFile: ['k1', 'k2'], hostKeys: 'accept', knownHosts: ['kh'], sshConfig: false, transport: 'openssh', node: '/opt/node', timeout: 250,
        signal: expect.any(AbortSignal),
      },
    }])
    await desk.run('run', 'x', '-t', 'web2', '--runtime', 'node')
    expect(desk.tree.connects[1]?.options.runtime).toBe('node')
  })

  it('takes several words as an argv, a file or stdin as the text', async () => {
    const commands: unknown[] = []
    const desk = new FakeDesk({ a: { exec: async (command) => (commands.push(command), ended({})) } })
    desk.files['job.sh'] = 'echo 1\necho 2\n'
    desk.stdin = 'echo 3'
    await desk.run('run', '-t', 'a', '--', 'ls', '-l', 'my file')
    await desk.run('run', '@job.sh', '-t', 'a')
    await desk.run('run', '-', '-t', 'a')
    expect(commands).toEqual([['ls', '-l', 'my file'], 'echo 1\necho 2\n', 'echo 3'])
  })

  it.each([
    [['run', '@none.sh', '-t', 'a'], "can't read none.sh: there is no such file"],
    [['run', 'x', '-t', '@none'], "can't read none: there is no such file"],
    [['run', '', '-t', 'a'], 'the command is empty'],
    [['run', '-', '-t', '-'], 'stdin can be read for one purpose only'],
    [['run', '-', '--stdin', '-', '-t', 'a'], 'stdin can be read for one purpose only'],
    [['run', 'cat', '--stdin', '-', '-t', 'b,-'], 'stdin can be read for one purpose only'],
    [['run', 'x', '--env', '1A=2', '-t', 'a'], "'1A' is no name of an environment variable"],
    [['run', 'x', '-t', 'a', '--ask-password'], '--ask-password needs a terminal'],
  ])('refuses %j before anything is contacted', async (argv, message) => {
    const desk = new FakeDesk()
    desk.stdin = 'x'
    expect(await desk.run(...argv)).toBe(1)
    expect(desk.stderr.text).toContain(message)
    expect(desk.opened).toEqual([])
  })

  it('gives a target with a bad name its own failure, and goes on with the others', async () => {
    const desk = new FakeDesk(three)
    expect(await desk.run('run', 'x', '-t', '-oProxyCommand=touch', '-t', 'web1')).toBe(1)
    expect(desk.stdout.text).toContain('target-invalid')
    expect(desk.stdout.text).toContain('web1: ok')
    expect(desk.tree.connects.map(({ target }) => target)).toEqual(['web1'])
  })

  it('shows what a command had printed before its time was over', async () => {
    const late = Object.assign(new RametError('timeout', 'web1: the command took longer than 1 s', { path: ['web1'] }), { result: ended({ stdout: 'half', signal: 'SIGTERM' }) })
    const desk = new FakeDesk({ web1: { exec: () => Promise.reject(late) } })
    expect(await desk.run('run', 'x', '-t', 'web1', '--timeout', '1')).toBe(1)
    expect(desk.stdout.text).toBe('web1: failed (0.00 s)\nhalf\n  timeout: web1: the command took longer than 1 s\n  path: web1\n  outcome: failed\n')
  })

  it('reports a defect of ours with its stack, as a failure of that target', async () => {
    const desk = new FakeDesk({ web1: { exec: () => Promise.reject(new TypeError('x is undefined')) } })
    expect(await desk.run('run', 'x', '-t', 'web1')).toBe(1)
    expect(desk.stdout.text).toMatch(/^web1: outcome unknown .*\n {2}internal-error: x is undefined\n {2}caused by TypeError: x is undefined\n {4}at /)
  })

  it('works on no more than -c targets at once, and closes each before the next begins', async () => {
    const gates = Array.from({ length: 7 }, () => deferred<ExecResult<Buffer>>())
    const targets = Object.fromEntries(gates.map((gate, index) => [`h${index + 1}`, { exec: () => gate.promise }]))
    const desk = new FakeDesk(targets)
    const done = desk.run('run', 'x', '-t', 'h[1-7]', '-c', '3')
    await settle()
    expect(desk.tree.connects).toHaveLength(3)
    gates[1]!.resolve(ended({}))
    await settle()
    expect(desk.tree.connects.map(({ target }) => target)).toEqual(['h1', 'h2', 'h3', 'h4'])
    for (const gate of gates) gate.resolve(ended({}))
    expect(await done).toBe(0)
    expect(desk.tree).toMatchObject({ open: 0, mostOpen: 3, closed: 1 })
    expect(desk.stderr.text).toBe('7 targets: 7 ok in 0.00 s\n')
    expect(desk.listening).toBe(0)
    expect(desk.clock.waiting).toBe(0)
  })

  it('takes 100 targets at once by default', async () => {
    const gate = deferred<ExecResult<Buffer>>()
    const desk = new FakeDesk(Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`h${index + 1}`, { exec: () => gate.promise }])))
    const done = desk.run('run', 'x', '-t', 'h[1-150]')
    await settle()
    expect(desk.tree.connects).toHaveLength(100)
    gate.resolve(ended({}))
    expect(await done).toBe(0)
    expect(desk.tree.connects).toHaveLength(150)
    // Node warns of a leak where many listen to one signal.
    expect(new Set(desk.tree.connects.map(({ options }) => options.signal)).size).toBe(150)
  })
})

describe('output of targets', () => {
  const evil = 'a\u001b[2Jb\u001b]0;title\u0007c\u009b31md\re\u202ef\tg\r\n'

  it('never reaches a terminal unescaped', async () => {
    const desk = new FakeDesk({ web1: { exec: async () => ended({ stdout: Buffer.concat([Buffer.from(evil), Buffer.from([0x9b, 0x33, 0xff, 0xc3, 0xa9])]) }) } })
    desk.stdout.isTTY = true
    desk.env.NO_COLOR = '1'
    await desk.run('run', 'x', '-t', 'web1')
    expect(desk.stdout.text).toBe('web1: ok (0.00 s)\na\\x1b[2Jb\\x1b]0;title\\x07c\\x9b31md\\re\\u202ef\tg\n\\x9b3\\xffé\n')
  })

  it('leaves byte by byte for a file or a pipe', async () => {
    const bytes = Buffer.concat([Buffer.from(evil), Buffer.from([0xff, 0x00, 0x0a])])
    const desk = new FakeDesk({ web1: { exec: async () => ended({ stdout: bytes }) } })
    await desk.run('run', 'x', '-t', 'web1')
    expect(desk.stdout.bytes).toEqual(Buffer.concat([Buffer.from('web1: ok (0.00 s)\n'), bytes]))
  })

  it('is escaped everywhere else: stderr, messages, json', async () => {
    const desk = new FakeDesk({ web1: { exec: async () => ended({ stderr: evil }) }, web2: { exec: () => Promise.reject(new RametError('remote-error', `web2: ${evil}`, { hint: evil, path: [evil] })) } })
    await desk.run('run', 'x', '-t', 'web1,web2')
    await desk.run('run', 'x', '-t', 'web1,web2', '--format', 'json')
    await desk.run('run', 'x', '-t', 'web1,web2', '--format', 'jsonl')
    expect(desk.stdout.text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/)
    expect(desk.stdout.text).toContain('err| a\\x1b[2Jb')
    const last = JSON.parse(desk.stdout.text.trimEnd().split('\n').at(-2)!) as { value: { _error: { msg: string } } }
    expect(last.value._error.msg).toBe(`web2: ${evil}`)
  })

  it('that is no UTF-8 survives in json', async () => {
    const desk = new FakeDesk({ web1: { exec: async () => ended({ stdout: Buffer.from([0x61, 0xff, 0x62]) }) } })
    await desk.run('run', 'x', '-t', 'web1', '--format', 'json')
    expect(JSON.parse(desk.stdout.text)).toMatchObject({ items: [{ value: { stdout: 'a\\xffb', stdout_base64: Buffer.from([0x61, 0xff, 0x62]).toString('base64') } }] })
  })

  it('says when it was cut', async () => {
    const desk = new FakeDesk({ web1: { exec: async () => ended({ stdout: 'x\n', truncated: true }) } })
    await desk.run('run', 'x', '-t', 'web1')
    expect(desk.stdout.text).toContain('there was more output than is kept')
  })

  it('is coloured on a terminal, unless NO_COLOR says otherwise', async () => {
    const desk = new FakeDesk(three)
    desk.stdout.isTTY = true
    await desk.run('run', 'x', '-t', 'web2')
    expect(desk.stdout.text).toContain('\u001b[1mweb2\u001b[22m: \u001b[31mfailed\u001b[39m')
    expect(desk.stdout.text).toContain('\u001b[33merr| bad\u001b[39m')
  })
})
