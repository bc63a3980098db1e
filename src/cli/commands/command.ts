import type { Desk } from '../desk.ts'
import type { Flags, OptionName, OptionSpec } from '../options.ts'

/** One command of the command line. */
export interface Command {
  name: string
  /** What may stand for it, longest first: ['command', 'run'] and ['run']. */
  words: readonly (readonly string[])[]
  /** What follows 'ramet ' in the help. */
  usage: string
  /** One line. */
  summary: string
  /** Further lines of its own help. */
  details: readonly string[]
  examples: readonly string[]
  options: readonly OptionName[]
  /** Where an option means something else here than the help of all commands says. */
  says?: Partial<Record<OptionName, Pick<OptionSpec, 'help' | 'fallback' | 'choices'>>>
  /** `words` are those after the command's own. Resolves to the exit code. */
  run(desk: Desk, words: readonly string[], flags: Flags): Promise<number>
}
