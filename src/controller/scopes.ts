import type { AnonymousFunctionDeclaration, AnyNode, ArrowFunctionExpression, FunctionDeclaration, FunctionExpression, Identifier, Pattern } from 'acorn'
import { childNodes } from './syntax.ts'

/** A use of something that the examined function does not declare itself. */
export interface FreeUse {
  /** The name, or 'this', 'super', 'new.target', 'import.meta'. */
  name: string
  /** Where it stands in the parsed text. */
  start: number
  /** What is above it: tells `typeof x`, `x.member`, `x(…)`. */
  parent: AnyNode
}

interface Scope {
  names: Set<string>
  outer: Scope | undefined
}

/** What surrounds a node: which of the nameless variables belong to something inside the examined function. */
interface Around {
  scope: Scope
  ownThis: boolean
  ownSuper: boolean
  ownTarget: boolean
}

/** Every use of a variable that `root`, a function or class expression, takes from outside itself. */
export function freeUses(root: AnyNode): FreeUse[] {
  const free: FreeUse[] = []
  const use = (name: string, node: AnyNode, parent: AnyNode): void => {
    free.push({ name, start: node.start, parent })
  }

  const visit = (node: AnyNode, parent: AnyNode, around: Around): void => {
    switch (node.type) {
      case 'Identifier':
        if (!isDeclared(node.name, around.scope)) use(node.name, node, parent)
        return
      case 'ThisExpression':
        if (!around.ownThis) use('this', node, parent)
        return
      case 'Super':
        if (!around.ownSuper) use('super', node, parent)
        return
      case 'MetaProperty':
        if (node.meta.name === 'import') use('import.meta', node, parent)
        else if (!around.ownTarget) use('new.target', node, parent)
        return
      case 'FunctionDeclaration':
      case 'FunctionExpression':
      case 'ArrowFunctionExpression':
        visitFunction(node, around)
        return
      case 'ClassDeclaration':
      case 'ClassExpression': {
        const inside = node.id ? within(around, [node.id.name]) : around
        if (node.superClass) visit(node.superClass, node, inside)
        visit(node.body, node, inside)
        return
      }
      case 'MethodDefinition':
      case 'PropertyDefinition':
        if (node.computed) visit(node.key, node, around)
        if (node.value) visit(node.value, node, { ...around, ownThis: true, ownSuper: true, ownTarget: true })
        return
      case 'StaticBlock':
        eachChild(node, { ...within(around, [...lexicalNames(node.body), ...varNames(node)]), ownThis: true, ownSuper: true, ownTarget: true })
        return
      case 'Property': {
        if (node.computed) visit(node.key, node, around)
        // Methods of an object have a `super` of their own; a plain property's function has none.
        visit(node.value, node, node.kind !== 'init' || node.method ? { ...around, ownSuper: true } : around)
        return
      }
      case 'MemberExpression':
        visit(node.object, node, around)
        if (node.computed) visit(node.property, node, around)
        return
      case 'LabeledStatement':
        visit(node.body, node, around)
        return
      case 'BreakStatement':
      case 'ContinueStatement':
        return
      case 'BlockStatement':
        eachChild(node, within(around, lexicalNames(node.body)))
        return
      case 'SwitchStatement':
        visit(node.discriminant, node, around)
        for (const branch of node.cases) visit(branch, node, within(around, lexicalNames(node.cases.flatMap(({ consequent }) => consequent))))
        return
      case 'ForStatement':
        eachChild(node, within(around, node.init ? lexicalNames([node.init]) : []))
        return
      case 'ForInStatement':
      case 'ForOfStatement':
        eachChild(node, within(around, lexicalNames([node.left])))
        return
      case 'CatchClause':
        eachChild(node, within(around, node.param ? patternNames(node.param) : []))
        return
      default:
        eachChild(node, around)
    }
  }

  const eachChild = (node: AnyNode, around: Around): void => {
    for (const child of childNodes(node)) visit(child, node, around)
  }

  const visitFunction = (node: FunctionDeclaration | FunctionExpression | ArrowFunctionExpression | AnonymousFunctionDeclaration, around: Around): void => {
    const names = [...node.params.flatMap(patternNames), ...varNames(node.body)]
    const isArrow = node.type === 'ArrowFunctionExpression'
    const outer = node.type === 'FunctionExpression' && node.id ? within(around, [node.id.name]) : around
    // `super` belongs to the method itself: a function inside has none, but that would be a syntax error already.
    // The `this` of the function itself is whatever it was taken from: nothing that goes with it.
    const own = isArrow ? outer : { ...outer, ownThis: node !== root, ownTarget: true }
    const inside = within(own, isArrow ? names : [...names, 'arguments'])
    for (const param of node.params) visit(param, node, inside)
    visit(node.body, node, inside)
  }

  visit(root, root, { scope: { names: new Set(), outer: undefined }, ownThis: false, ownSuper: false, ownTarget: false })
  return free
}

function isDeclared(name: string, scope: Scope | undefined): boolean {
  for (let at = scope; at !== undefined; at = at.outer) if (at.names.has(name)) return true
  return false
}

function within(around: Around, names: string[]): Around {
  return { ...around, scope: { names: new Set(names), outer: around.scope } }
}

/** What let, const, using, class and function declare in a list of statements. */
function lexicalNames(statements: AnyNode[]): string[] {
  return statements.flatMap((node) => {
    if (node.type === 'VariableDeclaration') return node.kind === 'var' ? [] : node.declarations.flatMap(({ id }) => patternNames(id))
    if ((node.type === 'FunctionDeclaration' || node.type === 'ClassDeclaration') && node.id) return [node.id.name]
    return []
  })
}

/** What `var` declares here or below, up to the next function or class. */
function varNames(node: AnyNode): string[] {
  if (/Function|^Class/.test(node.type)) return []
  const own = node.type === 'VariableDeclaration' && node.kind === 'var' ? node.declarations.flatMap(({ id }) => patternNames(id)) : []
  return [...own, ...childNodes(node).flatMap(varNames)]
}

function patternNames(pattern: Pattern | Identifier): string[] {
  switch (pattern.type) {
    case 'Identifier': return [pattern.name]
    case 'ObjectPattern': return pattern.properties.flatMap((part) => patternNames(part.type === 'RestElement' ? part.argument : part.value))
    case 'ArrayPattern': return pattern.elements.flatMap((part) => (part === null ? [] : patternNames(part)))
    case 'RestElement': return patternNames(pattern.argument)
    case 'AssignmentPattern': return patternNames(pattern.left)
    default: return []
  }
}
