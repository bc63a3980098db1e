/**
 * Every option of the command line, once: the parser, the help and the types of what commands receive come from here.
 * Times are seconds here, as everywhere on the command line; commands turn them into milliseconds.
 */
export interface OptionSpec {
  /** One letter. */
  short?: string
  kind: 'flag' | 'text' | 'integer' | 'seconds'
  /** What the help writes for the value; without one the option takes none. */
  value?: string
  /** May be given several times; commands receive an array. */
  many?: true
  choices?: readonly string[]
  /** Bounds of numbers, inclusive. */
  min?: number
  max?: number
  /** What applies without the option, for the help. */
  fallback?: string
  help: string
}

/** Longest time an option takes: what one timer of Node can wait. */
const LONGEST = 2_147_483

export const OPTIONS = {
  'targets': { short: 't', kind: 'text', value: 'LIST', many: true, help: 'where to run: names, commas between them; web[01-20] is a range; @FILE reads names, - reads stdin; via:HOP and jump:HOST may follow a name' },
  'via': { kind: 'text', value: 'HOP', many: true, help: 'context from which targets are opened; --via a --via b: b is opened from a, and targets from b' },
  'jump': { kind: 'text', value: 'HOSTS', many: true, help: 'SSH servers that only carry TCP, as for ssh -J: what runs through them they can not read' },
  'concurrency': { short: 'c', kind: 'integer', value: 'N', min: 1, max: 10_000, fallback: '100', help: 'how many targets are worked on at once' },
  'timeout': { kind: 'seconds', value: 'S', min: 0.001, max: LONGEST, fallback: 'none', help: 'how long the work may take on one target; then it is ended there' },
  'connect-timeout': { kind: 'seconds', value: 'S', min: 0.001, max: LONGEST, fallback: '30', help: 'how long connecting to one target may take' },
  'fold': { short: 'b', kind: 'flag', help: 'shows equal results once, at the end, under the names of all their targets (as clush -b)' },
  'stream': { kind: 'flag', help: 'shows lines as they come, each behind the name of its target' },
  'cwd': { kind: 'text', value: 'DIR', fallback: "the account's home", help: 'directory in which the command runs' },
  'env': { kind: 'text', value: 'NAME=VALUE', many: true, help: 'adds to the environment of the command; NAME alone removes it there' },
  'stdin': { kind: 'text', value: 'FILE', help: "what every target's command reads; - is stdin" },
  'list': { kind: 'flag', help: 'only shows the files that would leave this machine; contacts nobody' },
  'user': { kind: 'text', value: 'NAME', help: 'account, for targets that do not name one' },
  'port': { kind: 'integer', value: 'N', min: 1, max: 65_535, help: 'SSH port, for targets that do not name one' },
  'private-key': { kind: 'text', value: 'FILE', many: true, help: 'key to log in with' },
  'ask-password': { kind: 'flag', help: 'asks once for a password, used for every target' },
  'host-keys': { kind: 'text', value: 'MODE', choices: ['enforce', 'accept', 'ignore'], fallback: 'what the SSH configuration says, else enforce', help: 'enforce: known keys only; accept: saves the keys of new hosts; ignore: anyone may pose as the target' },
  'known-hosts': { kind: 'text', value: 'FILE', many: true, help: 'known host keys' },
  'ssh-config': { kind: 'text', value: 'FILE', help: "OpenSSH configuration; 'none' reads none" },
  'transport': { kind: 'text', value: 'KIND', choices: ['ssh2', 'openssh'], help: "ssh2: built in; openssh: the system's ssh program" },
  'agent': { kind: 'flag', help: "with --transport openssh, behind hops: their ssh gets an agent socket in RAM that has logins to the target signed here, and no others" },
  'node': { kind: 'text', value: 'PATH', help: 'the Node binary on the targets' },
  'runtime': { kind: 'text', value: 'KIND', choices: ['auto', 'node', 'raw'], help: 'node: starts our stub in a Node there; raw: needs nothing there' },
  'format': { kind: 'text', value: 'FORMAT', choices: ['human', 'json', 'jsonl'], fallback: 'human', help: 'what stdout gets' },
  'log-level': { kind: 'text', value: 'LEVEL', choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], help: 'which records of targets and of ramet itself are shown' },
  'calls': { kind: 'integer', value: 'N', min: 1, max: 100_000, fallback: '50', help: 'calls of each kind by each contender; slow ones make fewer to keep within the time' },
  'payload': { kind: 'integer', value: 'BYTES', min: 0, max: 1_048_576, fallback: '0, a word', help: 'what each call carries there and back' },
  'max-time': { kind: 'seconds', value: 'S', min: 1, max: 86_400, fallback: '60, behind hops 120', help: 'how long all of it may take' },
  'svg': { kind: 'text', value: 'FILE', help: 'writes a picture of the medians, for light and dark pages' },
  'help': { short: 'h', kind: 'flag', help: 'shows help' },
  'version': { kind: 'flag', help: 'shows the version' },
} as const satisfies Record<string, OptionSpec>

export type OptionName = keyof typeof OPTIONS

type ValueOf<Spec> = Spec extends { kind: 'flag' } ? boolean
  : Spec extends { kind: 'integer' | 'seconds' } ? number
    : Spec extends { choices: readonly (infer Choice)[] } ? Choice : string

/** What was given, by option name; what was not given is absent. */
export type Flags = {
  -readonly [Name in OptionName]?: (typeof OPTIONS)[Name] extends { many: true } ? ValueOf<(typeof OPTIONS)[Name]>[] : ValueOf<(typeof OPTIONS)[Name]>
}

/** Options of every command that works on targets. */
export const TARGET_OPTIONS = [
  'targets', 'via', 'jump', 'concurrency', 'timeout', 'connect-timeout', 'user', 'port', 'private-key', 'ask-password', 'host-keys', 'known-hosts',
  'ssh-config', 'transport', 'agent', 'node', 'runtime', 'format', 'log-level',
] as const satisfies readonly OptionName[]

/** Options that are no command's own. */
export const COMMON_OPTIONS = ['help', 'version'] as const satisfies readonly OptionName[]

export function optionSpec(name: OptionName): OptionSpec {
  return OPTIONS[name]
}

/** What people look for and ramet does not take, with the reason. */
export const REFUSED_OPTIONS: Record<string, string> = {
  password: 'ramet takes no password on the command line, where every user of this machine can read it; use --ask-password',
}
