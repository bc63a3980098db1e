import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { containerArgv, connectContainer, containerFailure, type ContainerOptions } from '../../src/connect/containers.ts'
import { CONTAINER_TOOLS, type ContainerTool } from '../../src/connect/target.ts'
import type { Connection } from '../../src/connect/transport.ts'
import type { RametError } from '../../src/router/errors.ts'
import { type FakePrograms, fakePrograms } from '../helpers/fake-program.ts'
import { Collector } from '../helpers/process-io.ts'
import { descendants, ownChildren } from '../helpers/sshd.ts'

let fakes: FakePrograms
let children: number[]
const open: Connection[] = []

beforeEach(() => {
  fakes = fakePrograms()
  children = ownChildren()
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((connection) => connection.close()))
  expect(ownChildren().filter((pid) => !children.includes(pid))).toEqual([])
  fakes[Symbol.dispose]()
})

function connect(options: Pick<ContainerOptions, 'tool'> & Partial<ContainerOptions>): Connection {
  const connection = connectContainer({ container: options.tool === 'nsenter' ? '4711' : 'web', env: fakes.env, ...options })
  open.push(connection)
  return connection
}

const refusedBy = (connection: Connection): Promise<RametError> => connection.ready.then(() => { throw new Error('it was let in') }, (error: RametError) => error)

/** Each tool's way to the program, in the words of its documentation. */
const RUN = ['/bin/sh', '-c', 'echo $x']
const ARGV: [ContainerTool, string, string | undefined, string[]][] = [
  ['docker', 'web', undefined, ['docker', 'exec', '-i', '--', 'web', ...RUN]],
  ['docker', 'web', 'app', ['docker', 'exec', '-i', '-u', 'app', '--', 'web', ...RUN]],
  ['podman', 'web', undefined, ['podman', 'exec', '-i', '--', 'web', ...RUN]],
  ['podman', 'web', '1000:1000', ['podman', 'exec', '-i', '-u', '1000:1000', '--', 'web', ...RUN]],
  ['nerdctl', 'web', 'app', ['nerdctl', 'exec', '-i', '-u', 'app', '--', 'web', ...RUN]],
  ['kubectl', 'web-0', undefined, ['kubectl', 'exec', '-i', 'web-0', '--', ...RUN]],
  ['kubectl', 'shop/web-0', undefined, ['kubectl', 'exec', '-i', '--namespace=shop', 'web-0', '--', ...RUN]],
  ['kubectl', 'shop/web-0/nginx', undefined, ['kubectl', 'exec', '-i', '--namespace=shop', '--container=nginx', 'web-0', '--', ...RUN]],
  ['lxc', 'far:web', undefined, ['lxc', 'exec', '--mode=non-interactive', 'far:web', '--', ...RUN]],
  ['incus', 'web', undefined, ['incus', 'exec', '--mode=non-interactive', 'web', '--', ...RUN]],
  ['nspawn', 'web', undefined, ['systemd-run', '--quiet', '--collect', '--wait', '--pipe', '--machine=web', '--uid=root', '--', '/bin/sh', '-c', 'echo $$x']],
  ['nspawn', 'web', 'app', ['systemd-run', '--quiet', '--collect', '--wait', '--pipe', '--machine=web', '--uid=app', '--', '/bin/sh', '-c', 'echo $$x']],
  ['nsenter', '4711', undefined, ['nsenter', '--target=4711', '--all', '--', ...RUN]],
]

describe('the arguments', () => {
  it.each(ARGV)('of %s for %s as %s', (tool, name, user, expected) => {
    expect(containerArgv(tool, name, RUN, { user })).toEqual(expected)
  })

  it('are in the table for every tool', () => {
    expect(new Set(ARGV.map(([tool]) => tool))).toEqual(new Set(CONTAINER_TOOLS))
  })

  it.each([
    ['docker', '--privileged', undefined, 'target-invalid'],
    ['docker', 'a b', undefined, 'target-invalid'],
    ['docker', '', undefined, 'target-invalid'],
    ['kubectl', 'shop/-oyaml', undefined, 'target-invalid'],
    ['kubectl', 'a/b/c/d', undefined, 'target-invalid'],
    ['nsenter', 'web', undefined, 'target-invalid'],
    ['nsenter', '0', undefined, 'target-invalid'],
    ['docker', 'web', '-v', 'target-invalid'],
    ['kubectl', 'web', 'app', 'config-invalid'],
    ['lxc', 'web', 'app', 'config-invalid'],
    ['incus', 'web', '1000', 'config-invalid'],
    ['nsenter', '4711', 'app', 'config-invalid'],
  ] as const)('of %s are never made for "%s" as %s', async (tool, container, user, code) => {
    fakes.add(tool, 'exit 0')
    const error = await refusedBy(connect({ tool, container, user }))
    expect(error).toMatchObject({ code, stage: 'resolve', outcome: 'not-sent', hint: expect.stringMatching(/\w \w/) as string })
    expect(fakes.file(`${tool}.args`)).toBeUndefined()
  })
})

/** A tool that works: it runs here what it was told to run there. systemd-run makes one dollar sign of two. */
const WORKS = 'while [ "$1" != /bin/sh ]; do shift; done\nexec "$@"'
const WORKS_SYSTEMD = `while [ "$1" != /bin/sh ]; do shift; done
n=$#; while [ $n -gt 0 ]; do a=$(printf '%s\\n' "$1" | sed 's/\\$\\$/$/g'); shift; set -- "$@" "$a"; n=$((n-1)); done
exec "$@"`

describe('a container', () => {
  it.each(CONTAINER_TOOLS)('of %s runs a command with pipes, which gets every byte', async (tool) => {
    const program = tool === 'nspawn' ? 'systemd-run' : tool
    fakes.add(program, tool === 'nspawn' ? WORKS_SYSTEMD : WORKS)
    const connection = connect({ tool })
    const process = connection.open('x=$(cat); echo "got $x"; echo aside >&2; exit 3')
    const out = new Collector(process)
    process.pipe.write(Buffer.from('stub bytes'))
    process.pipe.end()
    expect(await process.exited).toEqual({ exitCode: 3, signal: null })
    expect({ text: out.text, stderr: out.stderrText, cause: out.cause }).toEqual({ text: 'got stub bytes\n', stderr: 'aside\n', cause: undefined })
    await connection.ready
    expect(connection.transport).toBe(tool)
    const words = containerArgv(tool, tool === 'nsenter' ? '4711' : 'web', ['/bin/sh']).slice(1)
    expect(fakes.args(program).slice(0, words.length)).toEqual(words)
  })

  it('for commands only is ready without one', async () => {
    fakes.add('docker', WORKS)
    const connection = connect({ tool: 'docker', commands: true })
    await connection.ready
    expect(connection.stage).toBe('launch')
  })

  it('gets nothing of our environment from a tool that would pass it on', async () => {
    fakes.add('nsenter', WORKS)
    const env = { ...fakes.env, TOKEN: 'secret', HOME: '/home/us', LC_ALL: 'de_DE.UTF-8' }
    const process = connect({ tool: 'nsenter', env }).open('env')
    const out = new Collector(process)
    await process.exited
    expect(out.text.split('\n').filter((line) => !/^(PWD|OLDPWD|_|SHLVL)=/.test(line) && line !== '').toSorted()).toEqual(
      ['HOME=/root', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'])
  })
})

describe('a container that cannot be entered', () => {
  it.each([
    ['docker', 'Error response from daemon: No such container: web', 1, 'container-not-found', 'is not there'],
    ['docker', 'Error: No such container: web', 1, 'container-not-found', 'is not there'],
    ['docker', 'Error response from daemon: container 4c01db0b339c is not running', 1, 'container-not-found', 'does not run'],
    ['docker', 'Error response from daemon: Container 4c01db0b339c is paused, unpause the container before exec', 1, 'container-not-found', 'does not run'],
    ['docker', 'OCI runtime exec failed: exec failed: unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown', 126, 'launch-failed', 'has no /bin/sh'],
    ['docker', 'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock', 1, 'not-permitted', 'may not be entered'],
    ['docker', 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?', 1, 'launch-failed', 'docker ended with exit code 1'],
    ['podman', 'Error: no container with name or ID "web" found: no such container', 125, 'container-not-found', 'is not there'],
    ['podman', 'Error: can only create exec sessions on running containers: container state improper', 255, 'container-not-found', 'does not run'],
    ['podman', 'Error: crun: executable file `/bin/sh` not found: No such file or directory: OCI runtime attempted to invoke a command that was not found', 127, 'launch-failed', 'has no /bin/sh'],
    ['nerdctl', 'time="x" level=fatal msg="no such container: web"', 1, 'container-not-found', 'is not there'],
    ['kubectl', 'Error from server (NotFound): pods "web" not found', 1, 'container-not-found', 'is not there'],
    ['kubectl', 'Error from server (BadRequest): container nginx is not valid for pod web', 1, 'container-not-found', 'is not there'],
    ['kubectl', 'error: unable to upgrade connection: container not found ("nginx")', 1, 'container-not-found', 'is not there'],
    ['kubectl', 'error: cannot exec into a container in a completed pod; current phase is Succeeded', 1, 'container-not-found', 'does not run'],
    ['kubectl', 'Error from server (Forbidden): pods "web" is forbidden: User "rt" cannot create resource "pods/exec"', 1, 'not-permitted', 'may not be entered'],
    ['kubectl', 'error: Internal error occurred: error executing command in container: exec: "/bin/sh": stat /bin/sh: no such file or directory', 1, 'launch-failed', 'has no /bin/sh'],
    ['lxc', 'Error: Instance not found', 1, 'container-not-found', 'is not there'],
    ['lxc', 'Error: not found', 1, 'container-not-found', 'is not there'],
    ['incus', 'Error: Instance is not running', 1, 'container-not-found', 'does not run'],
    ['incus', 'Error: Command not found', 127, 'launch-failed', 'has no /bin/sh'],
    ['nspawn', 'Failed to connect to bus: Host is down', 1, 'container-not-found', 'is not there or does not run'],
    ['nsenter', 'nsenter: stat of /proc/4711/ns/user failed: No such file or directory', 1, 'container-not-found', 'is not there'],
    ['nsenter', 'nsenter: cannot open /proc/4711/ns/ipc: No such file or directory', 1, 'container-not-found', 'is not there'],
    ['nsenter', 'nsenter: reassociate to namespace \'ns/ipc\' failed: Operation not permitted', 1, 'not-permitted', 'may not be entered'],
    ['nsenter', 'nsenter: failed to execute /bin/sh: No such file or directory', 127, 'launch-failed', 'has no /bin/sh'],
  ] as const)('%s: "%s" (exit %i) is %s: it %s', async (tool, said, exitCode, code, text) => {
    fakes.add(tool === 'nspawn' ? 'systemd-run' : tool, `cat >&2 <<'END'\n${said}\nEND\nexit ${exitCode}`)
    const connection = connect({ tool, path: ['web1', 'it'] })
    const process = connection.open('cat')
    const out = new Collector(process)
    process.pipe.write(Buffer.from('stub bytes'))
    const error = await refusedBy(connection)
    expect(error).toMatchObject({ code, stage: 'launch', path: ['web1', 'it'], outcome: text.includes('ended') ? 'unknown' : 'not-sent', hint: expect.stringMatching(/\w \w/) as string })
    expect(error.message).toContain(text)
    expect(error.message).toContain(said.slice(0, 60))
    await process.exited
    expect(out.cause).toBe(error)
  })

  it.each([['docker', 'docker'], ['nspawn', 'systemd-run']] as const)('because %s is not on this machine names the program', async (tool, program) => {
    const connection = connect({ tool, env: { PATH: fakes.dir } })
    connection.open('cat')
    expect(await refusedBy(connection)).toMatchObject({
      code: 'launch-failed', stage: 'launch', outcome: 'not-sent', message: `${tool}:web: there is no ${program} on this machine`, hint: expect.stringContaining(`Install ${program}`) as string })
  })

  it('is told by what was said, whatever the tool ended with', () => {
    const end = { tool: 'docker', container: 'web', path: ['docker:web'], end: { exitCode: null, signal: 'SIGKILL' }, said: '', cause: undefined } as const
    expect(containerFailure(end)).toMatchObject({ code: 'launch-failed', outcome: 'unknown', message: expect.stringContaining('docker ended by SIGKILL') as string,
      hint: 'Try it by hand: docker exec -i -- web /bin/sh -c true' })
  })
})

const mayUnshare = process.getuid?.() === 0

describe.skipIf(!mayUnshare)('the real nsenter (needs root)', () => {
  let holder: ChildProcess

  beforeEach(async () => {
    holder = spawn('unshare', ['--fork', '--kill-child', '--pid', '--mount', '--uts', '--mount-proc', '/bin/sh', '-c', 'hostname inside; echo up; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => holder.stdout?.once('data', resolve))
    children = ownChildren()
  })

  afterEach(async () => {
    const gone = new Promise((resolve) => holder.once('exit', resolve))
    holder.kill('SIGKILL')
    await gone
  })

  it('runs a command among the processes of the container, and takes it along at the end', async () => {
    const [pid = 0] = descendants(holder.pid ?? 0)
    const connection = connect({ tool: 'nsenter', container: String(pid) })
    const process = connection.open('hostname; read -r line; echo "$line"; read -r p rest </proc/1/stat; echo $rest; exec cat')
    const out = new Collector(process)
    process.pipe.write(Buffer.from('hello\n'))
    await out.until(() => out.text.includes('sleep'))
    expect(out.text).toMatch(/^inside\nhello\n\(sleep\)/)
    const inside = ownChildren().filter((id) => !children.includes(id)).flatMap((id) => [id, ...descendants(id)])
    expect(inside.length).toBeGreaterThan(1)
    await connection.close()
    expect(inside.filter((id) => alive(id))).toEqual([])
  })

  it('names a process that is not there', async () => {
    const connection = connect({ tool: 'nsenter', container: '2147483646' })
    connection.open('true')
    expect(await refusedBy(connection)).toMatchObject({ code: 'container-not-found', stage: 'launch' })
  })
})

function alive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
