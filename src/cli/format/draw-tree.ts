import type { TreeNode } from '../tree-node.ts'
import { visibleLine } from './escape.ts'

/** What the lines of a tree are made of; all of one width. */
export interface Branches {
  /** Before a child with siblings below it, and before the last one. */
  child: string
  last: string
  /** What continues under them. */
  beside: string
  under: string
}

export const ASCII: Branches = { child: '|-- ', last: '`-- ', beside: '|   ', under: '    ' }
export const LINES: Branches = { child: '\u251c\u2500\u2500 ', last: '\u2514\u2500\u2500 ', beside: '\u2502   ', under: '    ' }

const TITLES = ['NAME', 'STATE', 'HOST', 'NODE', 'PING', 'LINK', 'RTT', 'OUT', 'IN', 'MODULES']

/** Lines where the locale says that they can be shown, on a terminal and off it: a pipe often ends on one. */
export function branchesFor(env: Record<string, string | undefined>): Branches {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find((value) => value !== undefined && value !== '')
  return /utf-?8/i.test(locale ?? '') ? LINES : ASCII
}

/** One line per context, in columns, below a line of titles. Nodes stand behind their parents, the controller first. Harmless to a terminal. */
export function drawTree(nodes: readonly TreeNode[], branches: Branches): string[] {
  const stems = stemsOf(nodes, branches)
  const rows = nodes.map((node, index) => [stems[index]! + (node.path.at(-1) ?? 'controller') + (node.jump === undefined ? '' : ` (jump ${node.jump})`), ...cells(node)].map(visibleLine))
  const table = [TITLES, ...rows]
  // A column that nobody fills is left out.
  const columns = TITLES.map((_, column) => column).filter((column) => rows.some((row) => (row[column] ?? '') !== ''))
  // What stands last in a line, such as an error, makes no column wide.
  const widths = TITLES.map((_, column) => Math.max(...table.filter((row) => column < row.length - 1).map((row) => row[column]!.length)))
  return table.map((row) => columns.map((column) => (row[column] ?? '').padEnd(column < row.length - 1 ? widths[column]! : 0)).join('  ').trimEnd())
}

function stemsOf(nodes: readonly TreeNode[], { child, last, beside, under }: Branches): string[] {
  // From the end: whether a sibling follows on each level.
  const follows: boolean[] = []
  const stems: string[] = []
  for (const { path } of nodes.toReversed()) {
    const depth = path.length
    let stem = ''
    for (let level = 1; level < depth; level++) stem += follows[level] === true ? beside : under
    if (depth > 0) stem += follows[depth] === true ? child : last
    stems.unshift(stem)
    follows[depth] = true
    follows.length = depth + 1
  }
  return stems
}

function cells({ state, info, runtime, ping, link, failure }: TreeNode): string[] {
  if (failure !== undefined) return [`${state}: ${failure.code}${failure.stage === undefined ? '' : ` at stage ${failure.stage}`}`]
  const node = info === undefined ? runtime === 'raw' ? 'none' : '' : info.nodeVersion.replace(/^v/, '')
  return [state, info?.hostname ?? '', node, ping === undefined ? '' : ms(ping), ...(link === undefined ? [] : [
    link.transport, link.rtt === undefined ? '-' : ms(link.rtt), amount(link.bytesOut, link.framesOut), amount(link.bytesIn, link.framesIn),
    `${link.modulesSent} sent, ${link.modulesReused} reused`,
  ])]
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`
}

function amount(count: number, frames: number): string {
  return `${bytes(count)} in ${frames} frame${frames === 1 ? '' : 's'}`
}

function bytes(count: number): string {
  if (count < 1000) return `${count} B`
  if (count < 999_950) return `${(count / 1000).toFixed(1)} kB`
  if (count < 999_950_000) return `${(count / 1e6).toFixed(1)} MB`
  return `${(count / 1e9).toFixed(1)} GB`
}
