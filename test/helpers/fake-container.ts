import { dirname } from 'node:path'
import { containerProgram } from '../../src/connect/container-argv.ts'
import type { ContainerTool } from '../../src/connect/target.ts'
import type { FakePrograms } from './fake-program.ts'

/** One way into a container, in the words that the tool's documentation asks for before the program to run. */
export interface ContainerWay {
  tool: ContainerTool
  /** As a target names it: 'docker:web'. */
  target: string
  words: string[]
  /** What the tool says on stderr, and ends with, where there is no such container. */
  absent: [said: string, exitCode: number]
}

export const CONTAINER_WAYS: ContainerWay[] = [
  { tool: 'docker', target: 'docker:web', words: ['exec', '-i', '--', 'web'], absent: ['Error response from daemon: No such container: web', 1] },
  { tool: 'podman', target: 'podman:web', words: ['exec', '-i', '--', 'web'], absent: ['Error: no container with name or ID "web" found: no such container', 125] },
  { tool: 'nerdctl', target: 'nerdctl:web', words: ['exec', '-i', '--', 'web'], absent: ['time="x" level=fatal msg="no such container: web"', 1] },
  { tool: 'kubectl', target: 'kubectl:shop/web-0/nginx', words: ['exec', '-i', '--namespace=shop', '--container=nginx', 'web-0', '--'], absent: ['Error from server (NotFound): pods "web-0" not found', 1] },
  { tool: 'lxc', target: 'lxc:far:web', words: ['exec', '--mode=non-interactive', 'far:web', '--'], absent: ['Error: Instance not found', 1] },
  { tool: 'incus', target: 'incus:web', words: ['exec', '--mode=non-interactive', 'web', '--'], absent: ['Error: Instance not found', 1] },
  { tool: 'nspawn', target: 'nspawn:web', words: ['--quiet', '--collect', '--wait', '--pipe', '--machine=web', '--uid=root', '--'], absent: ['Failed to connect to bus: Host is down', 1] },
  { tool: 'nsenter', target: 'nsenter:4711', words: ['--target=4711', '--all', '--'], absent: ['nsenter: cannot open /proc/4711/ns/ipc: No such file or directory', 1] },
]

/** Name of the variable that a program finds inside; its value is the way's target. */
export const INSIDE = 'RAMET_TEST_INSIDE'

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/**
 * A tool that lets nobody in but by exactly these words, followed by what runs a script in /bin/sh. Inside there is nothing of
 * the environment outside. `$FAKE/NAME.runs` has a line for every time that somebody came in.
 */
export function addContainer(fakes: FakePrograms, { tool, target, words }: ContainerWay): void {
  const name = containerProgram(tool)
  // systemd-run makes one dollar sign of two.
  const undouble = 'n=$#; while [ $n -gt 0 ]; do a=$(printf "%s\\n" "$1" | sed "s/[$][$]/$/g"); shift; set -- "$@" "$a"; n=$((n-1)); done'
  fakes.remove(name)
  fakes.add(name, [
    'at=0',
    `for want in ${[...words, '/bin/sh', '-c'].map(quoted).join(' ')}; do`,
    '  at=$((at+1)); [ "$1" = "$want" ] || { echo "argument $at is <$1> where <$want> is right" >&2; exit 64; }; shift',
    'done',
    // The script, its $0, the halves of its first line, the command.
    '[ $# -eq 5 ] && [ "$2" = ramet ] || { echo "$# arguments follow" >&2; exit 64; }',
    `echo $$ >>"$FAKE/${name}.runs"`,
    ...(tool === 'nspawn' ? [undouble] : []),
    `cd / && exec env -i PATH=${quoted(`${dirname(process.execPath)}:/usr/bin:/bin`)} HOME=/ ${INSIDE}=${quoted(target)} /bin/sh -c "$@"`,
  ].join('\n'))
}
