import { benchCommand } from './bench.ts'
import { callCommand } from './call.ts'
import type { Command } from './command.ts'
import { pingCommand } from './ping.ts'
import { runCommand } from './run.ts'
import { treeCommand } from './tree.ts'

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [runCommand, callCommand, pingCommand, treeCommand, benchCommand]
