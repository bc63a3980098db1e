import { type Clock, systemClock } from '../base/clock.ts'
import { type ErrorCode, isRametError, type Outcome, RametError } from '../router/errors.ts'
import { containerArgv, containerProgram, passesEnvironment } from './container-argv.ts'
import { lastWords } from './last-words.ts'
import { ReadyConnection } from './ready-connection.ts'
import { ReadyProcess } from './ready-process.ts'
import { readyScript } from './ready-script.ts'
import { checkUser, type ContainerTool } from './target.ts'
import type { Connection, ProcessEnd } from './transport.ts'

export { containerArgv } from './container-argv.ts'

export interface ContainerOptions {
  tool: ContainerTool
  /** As the tool names it. kubectl: pod, namespace/pod or namespace/pod/container; nsenter: a process id. */
  container: string
  /** Account inside. Default: the container's own. */
  user?: string | undefined
  /** How messages name it. Default 'docker:web'. */
  name?: string | undefined
  /** Of the context, for errors. Default: its name. */
  path?: readonly string[] | undefined
  /** Of the tool. Default: this process's. */
  env?: NodeJS.ProcessEnv | undefined
  /** True: short processes will follow one another, and perhaps none at first. */
  commands?: boolean | undefined
  signal?: AbortSignal | undefined
  clock?: Clock | undefined
}

/** The first line shows that the tool has come as far as a shell inside: what failed before is the tool's, with its words. */
const SCRIPT = readyScript()
/** The same where the environment is ours. */
const BARE_SCRIPT = readyScript([
  'unset LC_ALL; PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH',
  'cd 2>/dev/null || cd /',
])

/**
 * A container of this machine (or of whatever the tool is set up to reach). Each process is one run of the tool. Bytes leave
 * at once, together with what starts the process; `ready` resolves when the first one is known to run.
 */
export function connectContainer(options: ContainerOptions): Connection {
  const { tool, container, user, clock = systemClock } = options
  const name = options.name ?? `${tool}:${container}`
  const path = options.path ?? [name]
  const bare = passesEnvironment(tool)
  const env = options.env ?? process.env
  return new ReadyConnection({
    name,
    transport: tool,
    path,
    stage: 'launch',
    commands: options.commands,
    signal: options.signal,
    start: (command) => new ReadyProcess({
      argv: (half, other) => containerArgv(tool, container, ['/bin/sh', '-c', bare ? BARE_SCRIPT : SCRIPT, 'ramet', half, other, command], { user }),
      // Messages in the language that we know.
      env: bare ? { PATH: env['PATH'], HOME: '/root', LC_ALL: 'C' } : { ...env, LC_ALL: 'C' },
      localPid: false,
      path,
      clock,
      hold: false,
      failure: (end, said, cause) => containerFailure({ tool, container, path, end, said, cause }),
    }),
  }, refusal(options, path))
}

function refusal({ tool, container, user }: ContainerOptions, path: readonly string[]): RametError | undefined {
  try {
    containerArgv(tool, container, [], { user })
    if (user !== undefined) checkUser(user)
  } catch (error) {
    if (!isRametError(error)) throw error
    const { code, message, hint } = error
    return new RametError(code, `${path.join(' > ')}: ${message}`, { stage: 'resolve', path, outcome: 'not-sent', hint })
  }
  return undefined
}

export interface ContainerEnd {
  tool: ContainerTool
  container: string
  path: readonly string[]
  end: ProcessEnd
  /** The last of what the tool printed. */
  said: string
  /** The tool could not be started. */
  cause: Error | undefined
}

/** What the tools say. The first that matches counts. */
const WORDS: [RegExp, ErrorCode, string, string][] = [
  [/\/bin\/sh\b.*(no such file|not found)|(failed to find executable|executable file).*\/bin\/sh|^(error: )?command not found/im, 'launch-failed',
    'has no /bin/sh', 'An image without a shell cannot be entered; run the work in a debug container beside it.'],
  [/no such container|no container with|not found: no such|(instance|container) not found|pods? .*not found|namespaces? .*not found|is not valid for pod|^error: not found|no machine .* known|(open|stat of|read) \/proc\/\d+\/.*no such file/im,
    'container-not-found', 'is not there', 'Check the name, and that it is on this machine.'],
  [/not running|is (paused|restarting)|container state improper|stopped state|completed pod/i, 'container-not-found', 'does not run', 'Start it first.'],
  [/host is down/i, 'container-not-found', 'is not there or does not run', 'Check the name with machinectl list; it has to run systemd.'],
  [/permission denied|operation not permitted|access denied|needed permissions|forbidden|must be root|interactive authentication required/i, 'not-permitted',
    'may not be entered by this account', 'Use an account that may use the tool, or become root first (sudo:root, then via it).'],
]

/** Turns the end of a tool that had no shell running yet into an error. */
export function containerFailure({ tool, container, path, end, said, cause }: ContainerEnd): RametError {
  const program = containerProgram(tool)
  const make = (code: ErrorCode, text: string, hint: string, outcome: Outcome): RametError =>
    new RametError(code, `${path.join(' > ')}: ${text}`, { stage: 'launch', path, outcome, hint, cause })
  if (cause !== undefined) {
    const missing = /ENOENT/.test(cause.message)
    return make('launch-failed', missing ? `there is no ${program} on this machine` : `${program} could not be started (${cause.message})`,
      missing ? `Install ${program} there, or put it on PATH.` : 'See the cause.', 'not-sent')
  }
  const words = lastWords(said)
  const but = words === '' ? '' : `; ${program} said: ${words}`
  const [, code, text, hint] = WORDS.find(([pattern]) => pattern.test(said)) ?? []
  if (code !== undefined && text !== undefined && hint !== undefined) return make(code, `the container ${container} ${text}${but}`, hint, 'not-sent')
  const how = end.signal !== null ? `by ${end.signal}` : end.exitCode !== null ? `with exit code ${end.exitCode}` : 'somehow'
  // What was written had left already: where the tool lost its server nobody can say how far it came.
  return make('launch-failed', `${program} ended ${how} before a shell ran in ${container}${but}`,
    `Try it by hand: ${containerArgv(tool, container, ['/bin/sh', '-c', 'true']).join(' ')}`, 'unknown')
}
