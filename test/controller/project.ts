import { mkdtempSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { CodeGraph, CodeModule } from '../../src/controller/code-graph.ts'

/** A directory of files that goes away with `remove()`. */
export interface Project {
  path(name: string): string
  /** Writes a file and lets the event loop turn, as everything does that edits. */
  write(name: string, content: string | Uint8Array): Promise<void>
  remove(): void
}

export function project(files: Record<string, string | Uint8Array>): Project {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'ramet-project-')))
  const path = (name: string): string => join(directory, name)
  const put = (name: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), content)
  }
  for (const [name, content] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) put(name, content)
  return {
    path,
    write: async (name, content) => {
      put(name, content)
      await turn()
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

interface Runner {
  evaluate(modules: CodeModule[], entry: string, remote?: object): Record<string, unknown>
}

const runner = createRequire(import.meta.url)('../fixtures/modules/run-graph.cjs') as Runner

/** The exports of a graph's entry, run the way a target runs it. */
export function evaluate(graph: CodeGraph, remote?: object): Record<string, unknown> {
  return runner.evaluate([...graph.modules.values()], graph.entry, remote)
}

/** The function a graph exports under a name. */
export function exported(graph: CodeGraph, name: string, remote?: object): (...args: unknown[]) => unknown {
  return evaluate(graph, remote)[name] as (...args: unknown[]) => unknown
}

/** The modules by their short names. */
export function byName(graph: CodeGraph): Map<string, CodeModule> {
  return new Map([...graph.modules.values()].map((module) => [module.name, module]))
}
