import type { Logger } from 'pino'
import type { Prompt } from '../../controller/api.ts'
import type { Flags } from '../options.ts'
import type { Place } from '../ways.ts'
import type { BenchFiles } from './bench-files.ts'
import type { Children } from './ssh-process.ts'
import type { Work } from './work.ts'

/** What every contender of a run is made from. */
export interface Situation {
  place: Place
  flags: Flags
  password: string | undefined
  /** Asks for one connection; undefined: nobody can be asked. */
  prompts: (() => Prompt) | undefined
  logger: Logger
  work: Work
  files: BenchFiles
  children: Children
}
