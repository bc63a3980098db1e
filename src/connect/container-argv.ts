import { RametError } from '../router/errors.ts'
import { checkContainerName, type ContainerTool } from './target.ts'

/** How one tool runs a program in a container, with pipes and no terminal. */
interface Tool {
  /** What the command's argv is put behind. The name has been checked: no part of it begins with a dash. */
  before(name: string, user: string | undefined): string[]
  /** It can run the program as another account. Those that take numbers only would leave the group as it is: not used. */
  user: boolean
  /** What the tool itself would change in a word of the command, undone. */
  word?: (word: string) => string
  /** It hands its own environment on, which is none of the container's business. */
  ownEnvironment?: boolean
}

/** Their options end at the first word that is none; `--` before the name is the end of options for all three, behind it not. */
const asDocker = (program: string): Tool => ({
  user: true,
  before: (name, user) => [program, 'exec', '-i', ...(user === undefined ? [] : ['-u', user]), '--', name],
})

/** They take options anywhere before `--`, which stands before the command. */
const asLxc = (program: string): Tool => ({
  user: false,
  before: (name) => [program, 'exec', '--mode=non-interactive', name, '--'],
})

const TOOLS: Record<ContainerTool, Tool> = {
  docker: asDocker('docker'),
  podman: asDocker('podman'),
  nerdctl: asDocker('nerdctl'),
  kubectl: {
    user: false,
    before: (name) => {
      const { namespace, pod, container } = podName(name)
      return ['kubectl', 'exec', '-i', ...(namespace === undefined ? [] : [`--namespace=${namespace}`]),
        ...(container === undefined ? [] : [`--container=${container}`]), pod, '--']
    },
  },
  lxc: asLxc('lxc'),
  incus: asLxc('incus'),
  // Not machinectl shell, which gives every command a terminal. The container has to run systemd; others are reached by nsenter.
  nspawn: {
    user: true,
    before: (name, user = 'root') => ['systemd-run', '--quiet', '--collect', '--wait', '--pipe', `--machine=${name}`, `--uid=${user}`, '--'],
    word: (word) => word.replace(/\$/g, '$$$$'),
  },
  nsenter: {
    user: false,
    // All namespaces: with the user namespace left out, a program of the container would run with the host's own root.
    before: (name) => ['nsenter', `--target=${name}`, '--all', '--'],
    ownEnvironment: true,
  },
}

/**
 * The argv that runs `command` in a container. Throws RametError 'target-invalid' for a name that the tool would misread, and
 * 'config-invalid' for a user where the tool cannot change it.
 */
export function containerArgv(tool: ContainerTool, name: string, command: readonly string[], options: { user?: string | undefined } = {}): string[] {
  const { before, user, word = (text: string) => text } = TOOLS[tool]
  checkContainerName(name)
  if (tool === 'nsenter' && !/^[1-9][0-9]{0,9}$/.test(name)) {
    throw new RametError('target-invalid', `nsenter:${name} names no process`, { outcome: 'not-sent', hint: 'Write the process id of the container, as in nsenter:4711.' })
  }
  if (tool === 'kubectl') podName(name)
  if (options.user !== undefined && !user) {
    throw new RametError('config-invalid', `${tool} cannot change the account in ${name}`, {
      outcome: 'not-sent', hint: `Connect to su:${options.user} via the container.` })
  }
  return [...before(name, options.user), ...command.map(word)]
}

/** What the program in the container finds in its environment of ours. */
export function passesEnvironment(tool: ContainerTool): boolean {
  return TOOLS[tool].ownEnvironment === true
}

/** The program that has to be there. */
export function containerProgram(tool: ContainerTool): string {
  return tool === 'nspawn' ? 'systemd-run' : tool
}

/** `pod`, `namespace/pod` or `namespace/pod/container`. */
function podName(name: string): { namespace?: string | undefined; pod: string; container?: string | undefined } {
  const parts = name.split('/')
  if (parts.length > 3) {
    throw new RametError('target-invalid', `kubectl:${name} has more than three parts`, { outcome: 'not-sent', hint: 'Write pod, namespace/pod or namespace/pod/container.' })
  }
  if (parts.length === 1) return { pod: name }
  return { namespace: parts[0], pod: parts[1] as string, container: parts[2] }
}
