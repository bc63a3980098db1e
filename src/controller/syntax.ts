import { parse } from 'acorn'
import type { AnyNode, ecmaVersion } from 'acorn'

/** The nodes right below a node of the syntax tree, in no particular order. */
export function childNodes(node: AnyNode): AnyNode[] {
  const found: AnyNode[] = []
  for (const value of Object.values(node) as unknown[]) {
    if (Array.isArray(value)) found.push(...value.filter(isNode))
    else if (isNode(value)) found.push(value)
  }
  return found
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
}

/** Whether a script needs nothing newer than the given edition of the language. */
export function isSyntaxOf(edition: ecmaVersion, script: string): boolean {
  try {
    parse(script, { ecmaVersion: edition, sourceType: 'script', allowReturnOutsideFunction: true })
    return true
  } catch {
    return false
  }
}

/** The specifiers that a CommonJS text requires inside `try` alone: it goes on where they are absent. */
export function guardedRequires(text: string): Set<string> {
  const guarded = new Set<string>()
  const bare = new Set<string>()
  const walk: { node: AnyNode; inTry: boolean }[] = [
    { node: parse(text, { ecmaVersion: 'latest', sourceType: 'script', allowReturnOutsideFunction: true }), inTry: false },
  ]
  for (let step = walk.pop(); step !== undefined; step = walk.pop()) {
    const { node, inTry } = step
    const specifier = requiredBy(node)
    if (specifier !== undefined) (inTry ? guarded : bare).add(specifier)
    for (const child of childNodes(node)) walk.push({ node: child, inTry: inTry || (node.type === 'TryStatement' && child === node.block && node.handler !== null) })
  }
  return new Set([...guarded].filter((specifier) => !bare.has(specifier)))
}

function requiredBy(node: AnyNode): string | undefined {
  if (node.type !== 'CallExpression' || node.callee.type !== 'Identifier' || node.callee.name !== 'require') return undefined
  const first = node.arguments[0]
  return first?.type === 'Literal' && typeof first.value === 'string' ? first.value : undefined
}
