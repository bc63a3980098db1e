import { isBuiltin } from 'node:module'
import { parse } from 'acorn'
import type { AnyNode, Expression, FunctionExpression, ArrowFunctionExpression } from 'acorn'
import { RametError } from '../router/errors.ts'
import { LAZY, LAZY_FUNCTION } from './module-text.ts'
import { freeUses } from './scopes.ts'
import type { FreeUse } from './scopes.ts'
import { childNodes } from './syntax.ts'

/** What a function may use without bringing it along: the language, and what Node gives to every module. */
const GLOBALS = new Set(`
  undefined NaN Infinity globalThis global eval isFinite isNaN parseFloat parseInt decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape
  Object Function Boolean Symbol Number BigInt Math Date String RegExp Array Map Set WeakMap WeakSet WeakRef FinalizationRegistry Promise Proxy Reflect JSON
  Atomics ArrayBuffer SharedArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array
  Float64Array BigInt64Array BigUint64Array Intl Iterator AsyncIterator WebAssembly Temporal DisposableStack AsyncDisposableStack
  Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError DOMException
  require process Buffer console queueMicrotask structuredClone fetch Headers Request Response FormData Blob File WebSocket EventSource
  setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate AbortController AbortSignal Event EventTarget CustomEvent
  MessageChannel MessagePort MessageEvent BroadcastChannel URL URLSearchParams URLPattern TextEncoder TextDecoder TextEncoderStream TextDecoderStream atob btoa
  crypto Crypto CryptoKey SubtleCrypto performance Performance PerformanceEntry PerformanceObserver navigator Navigator CompressionStream DecompressionStream
  ReadableStream WritableStream TransformStream ByteLengthQueuingStrategy CountQueuingStrategy
`.trim().split(/\s+/))

/** Names that are asked for with `typeof` to find out where one runs; anything else under typeof is a captured variable. */
const ENVIRONMENTS = new Set(['window', 'document', 'self', 'Deno', 'Bun', 'importScripts', 'WorkerGlobalScope', 'EdgeRuntime'])

/**
 * What build tools write into functions and keep outside of them. `import()` becomes a require too: it then means the same
 * on every Node, and knows 'ramet/remote'.
 */
const IMPORT = `function(s){${LAZY_FUNCTION}return Promise.resolve().then(function(){var m=${LAZY}(s),n=Object.create(null);if(m&&m.__esModule)return m;`
  + 'Object.getOwnPropertyNames(Object(m)).forEach(function(k){Object.defineProperty(n,k,{enumerable:true,get:function(){return m[k]}})});'
  + 'Object.defineProperty(n,"default",{enumerable:true,value:m});return n})}'
const SHIMS: Readonly<Record<string, string>> = {
  __name: 'function(f){return f}',
  __vite_ssr_dynamic_import__: IMPORT,
}

const WRITTEN_BY_TOOLS = new Set(Object.keys(SHIMS))

const START = '"use strict";('

/**
 * The text of a module whose default export is the function, which starts on line 2. `source` is what `fn.toString()` gave.
 * Throws captured-variables (naming each) or function-unsupported.
 */
export function functionModule(source: string, name: string): string {
  const { node, method } = parseFunction(source, name)
  const uses = freeUses(node)
  refuseCaptured(uses, name)
  refuseImports(node, uses, name)
  let prelude = Object.entries(SHIMS).filter(([shim]) => uses.some((use) => use.name === shim)).map(([shim, code]) => `var ${shim}=${code};`).join('')
  let text = source
  const imports = dynamicImports(node).sort((a, b) => b - a)
  if (imports.length > 0) prelude += `var __import=${IMPORT};`
  for (const start of imports) text = `${text.slice(0, start)}__import${text.slice(start + 'import'.length)}`
  // A method is no expression by itself: its head is replaced. It gets no name, which inside a method means something else.
  if (method !== undefined) text = `${method.head}${text.slice(method.end)}`
  return `"use strict";${prelude}module.exports={default:(\n${text}\n)}\n`
}

interface ParsedFunction {
  node: FunctionExpression | ArrowFunctionExpression
  /** For a method: what to put in the place of everything before `end`, where its parameters begin. */
  method: { head: string; end: number } | undefined
}

/** Positions of the nodes are those of `source`. */
function parseFunction(source: string, name: string): ParsedFunction {
  if (/\{\s*\[native code\]\s*\}\s*$/.test(source)) {
    throw unsupported(name, 'is a native or bound function: its code cannot be read', 'Pass a function that calls it: call((x) => fn(x), x), or use() a module.')
  }
  const plain = attempt(START, source, ')')
  if (plain?.type === 'ClassExpression') {
    throw unsupported(name, 'is a class', 'Pass a function that creates the object and returns data: objects with methods do not travel.')
  }
  if (plain?.type === 'FunctionExpression' || plain?.type === 'ArrowFunctionExpression') return { node: plain, method: undefined }
  const object = attempt(`${START}{`, source, '})')
  const property = object?.type === 'ObjectExpression' && object.properties.length === 1 ? object.properties[0] : undefined
  if (property?.type === 'Property' && property.value.type === 'FunctionExpression' && (property.method || property.kind !== 'init')) {
    const { async, generator, start } = property.value
    return { node: property.value, method: { head: `${async ? 'async ' : ''}function${generator ? '*' : ''}`, end: start } }
  }
  throw unsupported(name, 'cannot be read as a function of its own', 'Pass an arrow function or a plain function, or move the code to a module and use() it. Private members (#x) cannot leave their class.')
}

/** The expression that `before` + source + `after` is, strictly parsed, with positions shifted to those of source. */
function attempt(before: string, source: string, after: string): Expression | undefined {
  try {
    // A source may end with a comment, hence the newline. import.meta is reported as captured, not as bad syntax.
    const script = parse(`${before}${source}\n${after}`, { ecmaVersion: 'latest', sourceType: 'script', allowImportExportEverywhere: true })
    const statement = script.body[1]
    if (script.body.length !== 2 || statement?.type !== 'ExpressionStatement') return undefined
    shift(statement.expression, before.length)
    return statement.expression
  } catch {
    return undefined
  }
}

function shift(root: AnyNode, by: number): void {
  root.start -= by
  root.end -= by
  for (const child of childNodes(root)) shift(child, by)
}

function refuseCaptured(uses: FreeUse[], name: string): void {
  const captured = new Set<string>()
  const hints = new Set<string>()
  for (const use of uses) {
    if (GLOBALS.has(use.name) || WRITTEN_BY_TOOLS.has(use.name)) continue
    if (ENVIRONMENTS.has(use.name) && use.parent.type === 'UnaryExpression' && use.parent.operator === 'typeof') continue
    const { shown, hint } = describe(use)
    captured.add(shown)
    if (hint !== undefined) hints.add(hint)
  }
  if (captured.size === 0) return
  const names = [...captured]
  const list = names.slice(0, 20).join(', ') + (names.length > 20 ? ` and ${names.length - 20} more` : '')
  throw new RametError('captured-variables', `${name} uses what exists only here: ${list}`, {
    outcome: 'not-sent',
    hint: ['Pass them as arguments, or move the function to a module and use() it: there it may import.', ...hints].join(' '),
  })
}

/** A captured name as its author would know it: tools rename imports and add counters. */
function describe({ name, parent }: FreeUse): { shown: string; hint?: string } {
  const member = parent.type === 'MemberExpression' && !parent.computed && parent.property.type === 'Identifier' ? parent.property.name : undefined
  if (name === '__vite_ssr_import_meta__' || name === 'import.meta') return { shown: 'import.meta' }
  if (/^__vite_ssr_import_\d+__$|^__vi_import_\d+__$/.test(name)) return { shown: member === undefined ? 'an import' : `an import (${member})` }
  // esbuild: import_node_fs.readFile; tsc: node_fs_1.readFile.
  if (/^import_\w+$|_\d+$/.test(name) && member !== undefined) return { shown: `${name}.${member}` }
  if (/^cov_[0-9a-z]+$/i.test(name)) {
    return { shown: 'a coverage counter', hint: 'Counters of a coverage tool are in its code: exclude the file from coverage, or count with V8 (c8, coverage-v8).' }
  }
  if (/^__(async|await|spread|rest|objRest|yield|for|private|public|def|using|callDispose|template|values|read|generator|awaiter|asyncValues)/i.test(name) || /^tslib/.test(name)) {
    return { shown: name, hint: `${name} is a helper of the compiler: raise its target to ES2022.` }
  }
  return { shown: name }
}

/** Specifiers that are written out can be looked at here: what is neither Node's nor ours cannot be found on the target. */
function refuseImports(root: AnyNode, uses: FreeUse[], name: string): void {
  const requires = new Set(uses.filter((use) => use.name === 'require' || use.name === '__vite_ssr_dynamic_import__').map(({ start }) => start))
  for (const node of allNodes(root)) {
    let specifier: AnyNode | undefined
    if (node.type === 'ImportExpression') specifier = node.source
    else if (node.type === 'CallExpression' && node.callee.type === 'Identifier' && requires.has(node.callee.start)) specifier = node.arguments[0]
    if (specifier?.type !== 'Literal' || typeof specifier.value !== 'string') continue
    const wanted = specifier.value
    // A target may have builtins that this Node lacks: all of them have the prefix.
    if (isBuiltin(wanted) || wanted.startsWith('node:') || wanted === 'ramet/remote') continue
    throw unsupported(name, `imports ${JSON.stringify(wanted.slice(0, 200))}, which is not sent with it`, 'Move the function to a module and use() it: what a module imports goes with it. Builtins of Node work as they are.')
  }
}

/** Where `import(` begins, in no particular order. */
function dynamicImports(root: AnyNode): number[] {
  return allNodes(root).filter(({ type }) => type === 'ImportExpression').map(({ start }) => start)
}

function allNodes(root: AnyNode): AnyNode[] {
  const found = [root]
  for (let next = 0; next < found.length; next++) found.push(...childNodes(found[next] as AnyNode))
  return found
}

function unsupported(name: string, what: string, hint: string): RametError {
  return new RametError('function-unsupported', `${name} ${what}`, { outcome: 'not-sent', hint })
}
