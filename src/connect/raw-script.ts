import { SPAWN_FAILURE, shellText } from './command.ts'
import type { CommandRequest } from './command.ts'

/**
 * The texts of the raw lane: what a login shell of whatever kind is asked to run, and what our own shell then reads from its
 * stdin. The caller's command, directory and environment stand in no argument list of ours: no login shell can misread
 * them, and nobody sees a value in `ps`.
 *
 * Two shells take part. The *reporter* stays outside of the command's process group, so that it outlives every kill: it
 * waits and reports. The *leader* makes a process group, prepares directory and environment and becomes the command.
 * Reports are frames `mark text mark` within stdout and stderr:
 *
 *     S setsid|perl|plain   both streams: what comes before is the login scripts' · how the group was made
 *     P pid                 stderr: the leader
 *     F what status         stderr: could not be started: c directory, n environment, x program
 *     E words E status name both streams (stdout without text): the command has ended, and all it wrote stands before
 */

/** The mark in two pieces, which the shell joins: whatever echoes its input does not print it whole. */
const READ_MARK = 'IFS=" " read -r ramet_m ramet_l&&ramet_m=$ramet_m$ramet_l'

/**
 * Waits for the leader. A status above 128 is a signal only if the shell says so in words, and it says so on its own
 * stderr (not on the command's, hence the inner subshell); bash says it in its first shell only, and not in POSIX mode.
 */
const WAIT = '(exec >&3 2>&4 3>&- 4>&-;exec "$@");ramet_s=$?;printf %s "E$ramet_s ";[ $ramet_s -gt 128 ]&&kill -l $ramet_s'

/** What the leader runs: it reads two lines from the same stdin, where the reporter has left it. A shell that fails to execute, or to set a variable that it holds fast, ends: then `$1` is its last word. */
const LEAD = `${READ_MARK}&&IFS= read -r ramet_l&&{ trap "$1" 0;exec 4>&2 2>/dev/null;ramet_t=4 ramet_f=c;cd -- "\${HOME:-/}"||cd /;eval "$ramet_l"; }`

const LAST_WORD = 'ramet_s=$?;printf %s "${ramet_m}F$ramet_f $ramet_s$ramet_m" >&$ramet_t'

/** Takes WAIT, LEAD and LAST_WORD as arguments. */
const REPORTER = [
  `: ramet raw command;${READ_MARK}||exit 1`,
  'ramet_w=$1',
  'exec 3>&1 4>&2',
  'set -- /bin/sh -c "$2" /bin/sh "$3"',
  'if command -v setsid >/dev/null 2>&1;then ramet_g=setsid;set -- setsid "$@";' +
    'elif command -v perl >/dev/null 2>&1;then ramet_g=perl;set -- perl -e "setpgrp(0,0);exec @ARGV" "$@";' +
    'else ramet_g=plain;fi',
  'printf %s "${ramet_m}S$ramet_g$ramet_m"',
  'printf %s "${ramet_m}S$ramet_g$ramet_m" >&2',
  'if [ "$BASH_VERSION" ];then ramet_r=$(exec "$BASH" -c "set +o posix;$ramet_w" sh "$@" 2>&1);else ramet_r=$(eval "$ramet_w" 2>&1);fi',
  'printf %s "${ramet_m}E$ramet_m"',
  'printf %s "${ramet_m}E$ramet_r$ramet_m" >&2',
  'exit 0',
].join(';')

/**
 * For the login shell: no quote, newline, backslash or `!` inside the quotes, so that sh, csh and fish read the same. All
 * that is the same for every command stands here: a shell reads its stdin byte by byte.
 */
export const RAW_LINE = `exec sh -c '${REPORTER}' sh '${WAIT}' '${LEAD}' '${LAST_WORD}'`

/** Characters that a shell leaves alone between single quotes, and the quote itself. */
export function shellQuote(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`
}

function leader({ command, cwd, env }: CommandRequest): string {
  const lines: string[] = []
  if (cwd !== undefined) lines.push(`cd -- ${shellQuote(cwd.startsWith('/') ? cwd : `./${cwd}`)}||exit 1`)
  lines.push('ramet_f=n')
  for (const [name, value] of Object.entries(env ?? {})) {
    lines.push(value === undefined ? `unset ${name}` : `export ${name}=${shellQuote(value)}`)
  }
  lines.push('ramet_t=2 ramet_f=x', 'exec 2>&4 4>&-')
  // Looked up before the pid is told: whoever knows the pid knows that the command was started.
  if (typeof command !== 'string') lines.push(present(command[0] ?? ''))
  lines.push('printf %s "${ramet_m}P$$ $ramet_m" >&2')
  lines.push(typeof command === 'string' ? shellText(command).text : `exec ${command.map(shellQuote).join(' ')}`)
  return lines.join(';')
}

function present(program: string): string {
  const name = shellQuote(program)
  if (!program.includes('/')) return `command -v ${name} >/dev/null 2>&1||exit 127`
  return `if [ ! -e ${name} ];then exit 127;elif [ ! -x ${name} ]||[ -d ${name} ];then exit 126;fi`
}

/**
 * Reads what stands in frame E: 'Terminated\nE143 TERM\n' · 'E143 TERM\n' · 'E0 '. Shells say nothing of INT and PIPE: there
 * `sent`, the signals that we sent ourselves, decides.
 */
export function parseEnd(text: string, sent: ReadonlySet<string>): { exitCode: number | null; signal: string | null } | undefined {
  const match = /^([^]*)E(\d+) ([^]*)$/.exec(text)
  if (match === null) return undefined
  const [, words = '', digits = '', after = ''] = match
  const status = Number(digits)
  const name = /^[A-Z][A-Z0-9+-]*$/.test(after.trim()) ? `SIG${after.trim()}` : undefined
  const told = words.trim() !== '' || status > 255 || (name !== undefined && sent.has(name))
  return name !== undefined && status > 128 && told ? { exitCode: null, signal: name } : { exitCode: status, signal: null }
}

/** Reads what stands behind the F of a frame: why the command could not be started, in words. */
export function parseFailure(text: string, { command, cwd }: CommandRequest): string {
  const [what, status] = text.split(' ')
  const program = typeof command === 'string' ? '/bin/sh' : command[0] ?? ''
  if (what === 'c') return SPAWN_FAILURE.cwd(cwd ?? '')
  if (what === 'n') return 'its environment cannot be set: the shell of the target holds one of the variables fast'
  return status === '126' ? SPAWN_FAILURE.denied(program) : SPAWN_FAILURE.program(program)
}

/** A shell can only assign to some names. */
export function badName(request: CommandRequest): string | undefined {
  const name = Object.keys(request.env ?? {}).find((key) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(key))
  return name === undefined ? undefined : SPAWN_FAILURE.name(name)
}

/** What goes to stdin before the command's own. Every environment name must be one that a shell can assign to. */
export function rawPreamble(request: CommandRequest, mark: string): string {
  const script = leader(request)
  const half = mark.length / 2
  const marks = `${mark.slice(0, half)} ${mark.slice(half)}\n`.repeat(2)
  if (!script.includes('\n')) return `${marks}${script}\n`
  // Several lines: each behind a `+`, and a dot at the end, without which nothing is run.
  const gather = 'ramet_n=${IFS#??};ramet_p=;ramet_e=;while IFS= read -r ramet_l;do case $ramet_l in .)ramet_e=1;break;;esac;' +
    'ramet_p=$ramet_p$ramet_n${ramet_l#+};done;[ "$ramet_e" ]&&eval "$ramet_p"'
  return `${marks}${gather}\n${script.split('\n').map((line) => `+${line}\n`).join('')}.\n`
}

/** For the login shell: a shell that runs lines from its stdin, for signals. */
export const CONTROL_LINE = `exec sh -c ': ramet raw control;while IFS= read -r ramet_l;do eval "$ramet_l";done'`

/** Sends one signal ('SIGTERM') to a process, or to the group that it leads. */
export function signalText(signal: string, pid: number, group: boolean): string {
  return `kill -s ${signal.slice(3)} -- ${group ? '-' : ''}${pid}`
}

/** TERM, up to `grace` ms of waiting, KILL: on the target, so that it is done even if we are gone in the meantime. Done when all are gone. */
export function terminateText(pid: number, group: boolean, grace: number): string {
  const who = `${group ? '-' : ''}${pid}`
  const tenths = Math.ceil(grace / 100)
  const lives = group ? groupLives(pid) : `kill -s 0 -- ${who}`
  return `kill -s TERM -- ${who};kill -s CONT -- ${who};i=0;` +
    `while [ $i -lt ${tenths} ]&&${lives};do sleep 0.1||{ sleep 1;i=$((i+9));};i=$((i+1));done;` +
    `kill -s KILL -- ${who};i=0;while [ $i -lt 4 ]&&${lives};do sleep 0.05||sleep 1;i=$((i+1));done`
}

/**
 * Orphans stay members of their group until somebody collects them, which may take seconds, or forever (a container without init):
 * a group of which /proc shows such ones and no other is gone. The first look, at $i = 0, is too early for that to be worth it.
 */
function groupLives(leader: number): string {
  const member = (state: string): string => `grep -q ') ${state} [0-9]* ${leader} ' /proc/[0-9]*/stat`
  return `kill -s 0 -- -${leader}&&{ [ $i -eq 0 ]||! ${member('[ZXx]')}||${member('[^ZXx]')};}`
}
