import { SPAWN_FAILURE, shellText } from './command.ts'
import type { CommandRequest } from './command.ts'

/**
 * The texts of the raw lane: what a login shell of whatever kind is asked to run, and what our own shell then reads from its
 * stdin. The caller's command, directory and environment stand in no argument list of ours: no login shell can misread
 * them, and nobody sees a value in `ps`.
 *
 * Two processes take part. The *reporter*, a shell, stays outside of the command's process group, so that it outlives every
 * kill: it waits and reports. The *leader*, forked off it, prepares directory and environment, makes a process group and becomes
 * the command. Reports are frames `mark text mark` within stdout and stderr:
 *
 *     S setsid|perl|plain   both streams: what comes before is the login scripts' · how the group is made
 *     P pid                 stderr: the leader, which may be about to make its group
 *     F what status         stderr: could not be started: c directory, n environment, x program
 *     E words E status name both streams (stdout without text): the command has ended, and all it wrote stands before
 *
 * Shells forbid themselves little: what runs where they differ (a subshell's pid, where their words can be caught) is asked for
 * each, and where one has no cheap way, another shell is started, which has.
 */

/** The mark in two pieces, which the shell joins: whatever echoes its input does not print it whole. */
const READ_MARK = 'IFS=" " read -r ramet_m ramet_l&&ramet_m=$ramet_m$ramet_l'

/**
 * Becomes a program in a group of its own: `ramet_x` for the text of a command, `ramet_v` for an argv. `ramet_e` does it by another
 * shell, INNER: for an argv, because it reports what cannot be executed; for a program that stands in a folder, because setsid need
 * not know what every shell knows, to run a script without a first line (musl's does not); and instead of perl, whose exec fails silently.
 */
const BECOME = [
  'ramet_y(){ case $ramet_g in setsid)exec setsid "$@";;perl)exec perl -e "setpgrp(0,0);exec @ARGV" "$@";;*)trap - 0;exec "$@";;esac; }',
  'ramet_e(){ export ramet_m;ramet_y /bin/sh -c "$ramet_i" /bin/sh "$ramet_d" "$@"; }',
  'ramet_v(){ ramet_e ramet_v "$@"; }',
  'ramet_x(){ case $ramet_g:$1 in *:/bin/sh);;perl:*|*/*)ramet_p=;;esac;[ "$ramet_p" ]||ramet_e ramet_x "$@"' +
    ';printf %s "${ramet_m}P$ramet_p $ramet_m" >&2;ramet_y "$@"; }',
].join(';')

/**
 * What the shell of `ramet_e` runs: a command, or else a line from stdin. It is its own leader, so it knows its pid; the mark has come
 * by its environment, which is gone with it. What becomes of the text of a command is for the shell's own words, as in every lane.
 * mksh has to look for printf, in a PATH that may be the command's.
 */
const INNER = 'ramet_l=$ramet_m;unset ramet_m;ramet_m=$ramet_l ramet_t=2 ramet_f=x;trap "$1" 0;shift' +
  ';ramet_v(){ { [ "$KSH_VERSION" ]&&print -rn "${ramet_m}P$$ $ramet_m"||printf %s "${ramet_m}P$$ $ramet_m"; } >&2;exec "$@"; };ramet_x(){ trap - 0;ramet_v "$@"; }' +
  ';[ $# -gt 0 ]&&{ "$@";exit; };exec 4>&2 2>/dev/null;ramet_t=4 ramet_f=c;IFS= read -r ramet_l&&eval "$ramet_l"'

/**
 * The last word of a leader that has not become the command. mksh runs `true` itself where it should become it; and after an exec that
 * failed it waits forever for a program that it starts, as it does printf: of a command that was not started no line end disturbs.
 */
const LAST_WORD = 'ramet_s=$?;[ $ramet_f = x ]&&[ $ramet_s -lt 126 ]||echo "${ramet_m}F$ramet_f $ramet_s$ramet_m" >&$ramet_t'

/** A subshell's `$$` is its parent's. Of /proc only a pid is believed whose parent is ours: it may show another namespace; of $BASHPID one that is not what the reporter saw: it may come from the environment. */
const OWN_PID = 'ramet_p=$BASHPID;[ "$ramet_p" = "$ramet_b" ]&&ramet_p=;[ "$ramet_k" ]&&IFS=" " read -r ramet_p ramet_l ramet_l ramet_q ramet_l </proc/self/stat&&{ [ "$ramet_q" = $$ ]||ramet_p=; }'

/** Reads one line from the same stdin, where the reporter has left it. A shell that fails to execute, or to set a variable that it holds fast, ends. */
const LEAD = `exec >&3 2>/dev/null 3>&- 5>&-;[ "$BASH_VERSION" ]&&set -o posix;${OWN_PID}` +
  ';IFS= read -r ramet_l&&{ trap "$ramet_d" 0;ramet_t=4 ramet_f=c;cd -- "${HOME:-/}"||cd /;eval "$ramet_l"; }'

/**
 * Waits for the leader. A status above 128 is a signal only if the shell says so in words, and it says so on its own stderr,
 * which is not the command's: a pipe that the reporter reads, or else all this is done in a subshell that is read.
 */
const WAIT = `[ "$ramet_m" ]||{ ${READ_MARK}; };ramet_d=$1 ramet_i=$2 ramet_g=$3 ramet_b=$BASHPID;${BECOME};(${LEAD});ramet_s=$?` +
  ';[ "$ramet_k" ]||{ printf %s "E$ramet_s ";[ $ramet_s -gt 128 ]&&kill -l $ramet_s; }'

/**
 * Takes WAIT, LAST_WORD and INNER as arguments. dash and busybox keep a here-document in a pipe, whose other end Linux opens
 * again: words that come there cost no process. Shells with a version may keep it in a file. bash says its words in its first
 * shell only, and not in POSIX mode: that shell, which stays, reads the mark for itself, since whoever lists processes may list their environment.
 * What an account sets for every shell (SHELLOPTS) would change what is told here.
 */
const REPORTER = [
  ': ramet raw command;[ "$BASH_VERSION" ]&&set +aemuvx;unset ramet_m ramet_l',
  `${READ_MARK}||exit 1`,
  '[ "$BASH_VERSION" ]||read -r ramet_l',
  'ramet_w=$1 ramet_k= ramet_n=${IFS#??}',
  'exec 3>&1 4>&2',
  'if command -v setsid >/dev/null 2>&1;then ramet_g=setsid;elif command -v perl >/dev/null 2>&1;then ramet_g=perl;else ramet_g=plain;fi',
  'set -- "$2" "$3" $ramet_g',
  'printf %s "${ramet_m}S$ramet_g$ramet_m"',
  'printf %s "${ramet_m}S$ramet_g$ramet_m" >&2',
  'if [ -z "$BASH_VERSION$KSH_VERSION$ZSH_VERSION$YASH_VERSION$POSH_VERSION" ]&&[ -r /proc/self/stat ];then ' +
    'eval "exec 5<<x${ramet_n}x$ramet_n";if [ -p /proc/self/fd/5 ]&&[ -w /proc/self/fd/5 ];then ramet_k=1;exec 2>/proc/self/fd/5;fi;fi',
  'if [ "$ramet_k" ];then eval "$ramet_w";ramet_r="E$ramet_s ";' +
    'if [ $ramet_s -gt 128 ];then { printf %s "$ramet_r";kill -l $ramet_s;echo;echo "$ramet_m"; } >&2;ramet_r=;' +
    'while read -r ramet_l <&5;do case $ramet_l in "$ramet_m")break;;esac;ramet_r=$ramet_r$ramet_l;done;fi;' +
    'elif [ "$BASH_VERSION" ];then ramet_r=$(exec "$BASH" -c "set +o posix;$ramet_w" sh "$@" 2>&1);' +
    'else ramet_r=$(eval "$ramet_w" 2>&1);fi',
  'printf %s "${ramet_m}E$ramet_m"',
  'printf %s "${ramet_m}E$ramet_r$ramet_m" >&4',
  'exit 0',
].join(';')

/**
 * For the login shell: no quote, newline, backslash or `!` inside the quotes, so that sh, csh and fish read the same. All
 * that is the same for every command stands here: a shell reads its stdin byte by byte.
 */
export const RAW_LINE = `exec sh -c '${REPORTER}' sh '${WAIT}' '${LAST_WORD}' '${INNER}'`

/** Characters that a shell leaves alone between single quotes, and the quote itself. */
export function shellQuote(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`
}

/** From here on stderr is the command's, and what fails is its program. */
const BARE = 'ramet_t=2 ramet_f=x;exec 2>&4 4>&-'

function leader({ command, cwd, env }: CommandRequest): string {
  const lines: string[] = []
  if (cwd !== undefined) lines.push(`cd -- ${shellQuote(cwd.startsWith('/') ? cwd : `./${cwd}`)}||exit 1`)
  lines.push('ramet_f=n')
  for (const [name, value] of Object.entries(env ?? {})) {
    lines.push(value === undefined ? `unset ${name}` : `export ${name}=${shellQuote(value)}`)
  }
  lines.push(BARE)
  // Looked up before the pid is told: whoever knows the pid knows that the command was started.
  if (typeof command !== 'string') lines.push(present(command[0] ?? ''))
  lines.push(typeof command === 'string' ? shellText(command, 'ramet_x').text : `ramet_v ${command.map(shellQuote).join(' ')}`)
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
  // In two pieces, which the shell joins: whatever echoes its input does not print it whole.
  const marks = `${mark.slice(0, half)} ${mark.slice(half)}\n`.repeat(2)
  // What the caller sets (PATH, LD_LIBRARY_PATH, PERL5OPT) is for the command, not for what makes its group: that comes first.
  const first = Object.keys(request.env ?? {}).length === 0 ? marks : `${marks}${BARE};ramet_e\n`
  if (!script.includes('\n')) return `${first}${script}\n`
  // Several lines: each behind a `+`, and a dot at the end, without which nothing is run.
  const gather = 'ramet_n=${IFS#??};ramet_a=;ramet_z=;while IFS= read -r ramet_l;do case $ramet_l in .)ramet_z=1;break;;esac;' +
    'ramet_a=$ramet_a$ramet_n${ramet_l#+};done;[ "$ramet_z" ]&&eval "$ramet_a"'
  return `${first}${gather}\n${script.split('\n').map((line) => `+${line}\n`).join('')}.\n`
}

/** For the login shell: a shell that runs lines from its stdin, for signals. */
export const CONTROL_LINE = `exec sh -c ': ramet raw control;while IFS= read -r ramet_l;do eval "$ramet_l";done'`

/** Sends one signal ('SIGTERM') to a process, or to the group that it leads. */
export function signalText(signal: string, pid: number, group: boolean): string {
  return `${group ? `${groupMade(pid)};` : ''}kill -s ${signal.slice(3)} -- ${group ? '-' : ''}${pid}`
}

/** A leader whose pid is known may be a few instructions away from making its group. */
function groupMade(leader: number): string {
  return `i=0;while [ $i -lt 40 ]&&kill -s 0 -- ${leader}&&! kill -s 0 -- -${leader};do sleep 0.05||sleep 1;i=$((i+1));done`
}

/** TERM, up to `grace` ms of waiting, KILL: on the target, so that it is done even if we are gone in the meantime. Done when all are gone. */
export function terminateText(pid: number, group: boolean, grace: number): string {
  const who = `${group ? '-' : ''}${pid}`
  const tenths = Math.ceil(grace / 100)
  const lives = group ? groupLives(pid) : `kill -s 0 -- ${who}`
  return `${group ? `${groupMade(pid)};` : ''}kill -s TERM -- ${who};kill -s CONT -- ${who};i=0;` +
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
