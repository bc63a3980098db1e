/**
 * One command that runs on a target, whichever lane carries it: a channel to the stub's exec module, or a plain channel
 * of the connection where there is no interpreter. exec() and spawn() are written once, over this.
 */
export interface CommandRequest {
  /** Text for /bin/sh -c, or an argv that no shell sees. */
  command: string | string[]
  /** Default: the account's home directory. */
  cwd?: string | undefined
  /** Merged over the target's environment; undefined removes a variable. */
  env?: Record<string, string | undefined> | undefined
  /** False: nothing will be written, the command reads end of file. Default true. */
  stdin?: boolean | undefined
  /** Somebody watches: the pid and all output are sent as they come. Otherwise output may come a moment later, and the pid never. */
  live?: boolean | undefined
}

export interface CommandEnd {
  exitCode: number | null
  signal: string | null
  /** Milliseconds, measured as near to the command as the lane can. */
  duration: number
}

export interface RunningCommand {
  /** Output in order of arrival. Call `consumed` with the byte count once it has been used. Set in the same tick as start. */
  onOutput: ((stream: 'stdout' | 'stderr', bytes: Uint8Array) => void) | undefined
  consumed(bytes: number): void
  /** False when the caller should wait for onWritable. The bytes are not to be changed afterwards. */
  write(bytes: Uint8Array): boolean
  onWritable: (() => void) | undefined
  /** End of file on stdin. */
  endStdin(): void
  /** Signals the command's process group. */
  signal(name: string): void
  /**
   * Nobody wants what it prints on this stream any more. A channel to a stub closes the stream at the target: whoever prints there
   * gets SIGPIPE or EPIPE. A plain channel can only end both streams at once: what comes is dropped, and the first of it sends
   * SIGPIPE to the whole group; a command that ignores the signal prints on across the wire until it ends.
   */
  closeOutput(stream: 'stdout' | 'stderr'): void
  /** TERM to the group, `grace` ms later KILL. Resolves `ended` as soon as the command is gone. */
  terminate(grace: number): void
  /** Rejects with the RametError that `ended` rejects with when the command could not be started. */
  readonly pid: Promise<number>
  /** Resolves when the command has ended and its output has been delivered; rejects with a RametError (spawn-failed, link-lost, …). */
  readonly ended: Promise<CommandEnd>
}

export interface CommandLane {
  start(request: CommandRequest): RunningCommand
}

/** Messages on an exec channel: one tag byte, then the bytes. Used by modules/exec and by the controller's side of it. */
export const EXEC_TAG = {
  // towards the target; stdin without a byte is its end of file; close is followed by the tag of the stream that nobody reads
  stdin: 0, signal: 1, terminate: 2, close: 3,
  // towards the controller
  stdout: 1, stderr: 2, started: 3,
} as const

/** Bytes of output in one message at most: with its tag a message fits a bulk frame (32 KiB). */
export const EXEC_CHUNK = 32 * 1024 - 1

/** One argument of a new program at most (Linux: MAX_ARG_STRLEN, the closing NUL counted). Bytes. */
const ARGUMENT_MAX = 131_071

/** Why a command could not be started, in the same words whichever lane was asked. */
export const SPAWN_FAILURE = {
  cwd: (cwd: string) => `the working directory ${JSON.stringify(cwd)} does not exist or cannot be entered`,
  program: (program: string) => `the program ${JSON.stringify(program)} was not found`,
  denied: (program: string) => `the program ${JSON.stringify(program)} cannot be executed`,
  large: () => 'the command is too long for the operating system (128 KiB for one argument)',
  empty: () => 'the command is empty',
  zero: () => 'the command, its directory or its environment holds a NUL character',
  name: (name: string) => `${JSON.stringify(name)} cannot be the name of an environment variable`,
} as const

/**
 * The words for a request that no lane can run, or undefined when it can be tried. Text is measured in UTF-8, as it
 * reaches the target.
 */
export function refusal(request: CommandRequest): string | undefined {
  const parts = typeof request.command === 'string' ? [request.command] : request.command
  if (parts.length === 0 || parts[0] === '') {
    if (typeof request.command !== 'string') return SPAWN_FAILURE.empty()
  }
  const texts = [...parts, request.cwd ?? '']
  for (const [name, value] of Object.entries(request.env ?? {})) {
    if (name === '' || name.includes('=')) return SPAWN_FAILURE.name(name)
    texts.push(name, value ?? '')
  }
  for (const text of texts) {
    if (text.includes('\0')) return SPAWN_FAILURE.zero()
    // A quarter of the limit cannot exceed it, whatever the characters: most commands are never measured.
    if (text.length > ARGUMENT_MAX / 4 && Buffer.byteLength(text) > ARGUMENT_MAX) return SPAWN_FAILURE.large()
  }
  return undefined
}

/** Words that a shell does not look up in PATH, or that would mean something else behind `exec`. */
const OF_THE_SHELL = new Set((
  '. : [ alias autoload bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc declare dirs disown ' +
  'do done echo elif else enable esac eval exec exit export false fc fg fi for function functions getopts global hash help history ' +
  'if in integer inlib jobs kill let limit local logout mapfile mkdir popd print printf printenv pushd pwd read readarray readonly ' +
  'rehash rename return select set setopt shift shopt sleep source stop suspend test then time times trap true type typeset ulimit ' +
  'umask unalias unfunction unset unsetopt until wait whence where which while'
).split(' '))

/** One program with plain words: nothing in it means anything to a shell. */
const PLAIN = /^([A-Za-z_./][\w./+-]*)(?: +[\w./+:@%,-][\w./+:@%,=-]*)*$/

/**
 * Text by which a shell becomes `/bin/sh -c command`, with `exec` or another word that becomes a program. A plain program is executed without that second shell: sooner, and its
 * death by a signal is the command's own, in every lane and whether or not the target's shell would have done the same.
 * `argv` is that program with its words.
 */
export function shellText(command: string, exec = 'exec'): { argv: string[] | undefined; text: string } {
  const whole = `${exec} /bin/sh -c '${command.replace(/'/g, "'\\''")}'`
  const program = PLAIN.exec(command)?.[1]
  if (program === undefined || OF_THE_SHELL.has(program)) return { argv: undefined, text: whole }
  // A missing program goes the long way, for the shell's own words.
  return { argv: command.trim().split(/ +/), text: `command -v ${program} >/dev/null 2>&1&&${exec} ${command};${whole}` }
}
