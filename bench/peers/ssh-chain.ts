import { spawn, type ChildProcess } from 'node:child_process'
import { serve } from '../driver.ts'
import { echoes } from '../echo.ts'
import type { Endpoint } from '../workspace.ts'

export interface SshChainSettings {
  user: string
  /** Of each ssh. They hold on every machine of the chain: all are this one. */
  options: readonly string[]
}

/**
 * What hops cost OpenSSH: an ssh that runs an ssh that runs `cat`, programs of C with no protocol on top, as many processes in the
 * chain as ramet has. Served as a driver.
 */
export async function serveSshChain({ user, options }: SshChainSettings): Promise<void> {
  const chains = new Map<string, ChildProcess>()
  await serve({
    open: async ({ name, chain }) => {
      const words = (chain as Endpoint[]).flatMap(({ host, port }) => ['ssh', ...options, '-T', '-l', user, '-p', String(port), '--', host])
      const child = spawn('ssh', [...words.slice(1), 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
      child.stdin.on('error', () => undefined)
      chains.set(name as string, child)
      await echoes(child.stdin, child.stdout, 1, 1)
    },
    warm: async ({ name, calls, bytes }) => {
      const child = chains.get(name as string)
      if (!child?.stdin || !child.stdout) throw new Error(`no chain '${String(name)}'`)
      return echoes(child.stdin, child.stdout, calls as number, bytes as number)
    },
  })
  for (const child of chains.values()) child.stdin?.end()
}
