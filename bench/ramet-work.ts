import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ContextActions } from '../src/controller/api.ts'
import type { DriverRequest } from './driver.ts'
import { root } from './workspace.ts'

export type Tasks = typeof import('./tasks.ts')
export const tasksUrl: URL = pathToFileURL(join(root, 'bench', 'tasks.ts'))

/** The context's Worker, or its main thread where the request says so. */
export function isolated(actions: ContextActions, request: DriverRequest): ContextActions {
  return request['isolate'] === 'none' ? actions.with({ isolate: 'none' }) : actions
}

export function checked(got: unknown, expected: unknown): void {
  if (got !== expected) throw new Error(`expected ${String(expected)}, got ${String(got)}`)
}
