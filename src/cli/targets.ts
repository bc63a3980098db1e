import { BECOME_METHODS, CONTAINER_TOOLS, displayName, parseTarget } from '../connect/target.ts'
import { expandList, MOST_TARGETS } from './ranges.ts'
import { usageError } from './usage-error.ts'

const EXAMPLE = 'write for example -t web1,deploy@web2'

export interface TargetSources {
  /** Whole text of a file. */
  readFile(path: string): Promise<string>
  /** Whole text of stdin. */
  readStdin(): Promise<string>
}

/**
 * The targets that -t stands for: each once, in the order in which it was first named, its via: and jump: words behind it. Words
 * behind @FILE or - hold for every target from there that has none.
 */
export async function readTargets(lists: readonly string[] | undefined, sources: TargetSources): Promise<string[]> {
  if (lists === undefined) throw usageError('no targets were named', EXAMPLE)
  const names = new Set<string>()
  for (const list of lists) {
    for (const text of expandList(list)) {
      const [first = '', ...words] = text.split(' ')
      for (const name of await namesOf(first, sources)) names.add(name.includes(' ') ? name : [name, ...words].join(' '))
    }
  }
  if (names.size === 0) throw usageError('the list of targets is empty', EXAMPLE)
  if (names.size > MOST_TARGETS) throw usageError(`more than ${MOST_TARGETS} targets`)
  for (const name of names) name.split(' ').map((word) => word.replace(/^(?:via|jump):/i, '')).forEach(refusePassword)
  return [...names]
}

/** The target with account and port filled in where it names none. Throws 'target-invalid' for what names no target. */
export function withAccount(target: string, account: { user?: string | undefined; port?: number | undefined }): string {
  const address = parseTarget(target)
  if (address.kind !== 'ssh') return target
  const user = address.user ?? account.user
  const port = address.port ?? account.port
  if (user === address.user && port === address.port) return target
  return displayName({ kind: 'ssh', host: address.host, ...(user === undefined ? {} : { user }), ...(port === undefined ? {} : { port }) })
}

async function namesOf(word: string, sources: TargetSources): Promise<string[]> {
  if (word === '-') return listed(await sources.readStdin())
  if (!word.startsWith('@')) return [word]
  const path = word.slice(1)
  if (path === '') throw usageError("'@' names no file", 'write @FILE, a file with one target per line')
  return listed(await sources.readFile(path))
}

function listed(text: string): string[] {
  return text.split('\n').flatMap((line) => expandList(line.replace(/(^|\s)#.*$/, '')))
}

/** A name is shown in every result, so one with a password in it must not get that far. */
export function refusePassword(name: string): void {
  const parts = /^(?:ssh:\/\/)?([^:@/]*):(?!\/\/)[^@]*@(.*)$/is.exec(name)
  if (parts === null || isOwnWord(parts[1]!.toLowerCase())) return
  throw usageError(`the target ${parts[1]}@${parts[2]} carries a password`, 'leave it out and use --ask-password')
}

function isOwnWord(word: string): boolean {
  return word === 'local' || [...BECOME_METHODS, ...CONTAINER_TOOLS].some((own) => own === word)
}
