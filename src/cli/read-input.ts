import type { Desk } from './desk.ts'
import { isRametError } from '../router/errors.ts'
import { usageError } from './usage-error.ts'

/** Text of a file that the person named. */
export async function fileText(desk: Desk, path: string): Promise<string> {
  return (await fileBytes(desk, path)).toString('utf8')
}

export async function fileBytes(desk: Desk, path: string): Promise<Buffer> {
  try {
    return await desk.readFile(path)
  } catch (error) {
    if (isRametError(error)) throw error
    const { code = '', message } = error as NodeJS.ErrnoException
    throw usageError(`can't read ${path}: ${REASONS[code] ?? message}`, '', error)
  }
}

export async function stdinText(desk: Desk): Promise<string> {
  return (await desk.readStdin()).toString('utf8')
}

const REASONS: Record<string, string> = { ENOENT: 'there is no such file', EACCES: 'permission denied', EISDIR: 'it is a directory' }
