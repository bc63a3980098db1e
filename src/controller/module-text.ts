/** How the text of a module comes about from esbuild's output. Pure functions. */

export interface ModuleText {
  text: string
  map: string | undefined
  /** Whether importers get a namespace ('esm') or a value that may need one built around it ('cjs'). */
  format: 'esm' | 'cjs'
}

/** Stands for `import.meta` in transformed code: a name that nobody declares, so that `const __dirname = import.meta.dirname` works. */
export const IMPORT_META = '__import_meta'

/**
 * Makes esbuild's CommonJS for one file into the text of a module.
 *
 * A file that was an ES module becomes strict again (esbuild drops that) and gets a block of its own: Node's wrapper has
 * parameters `__dirname` and `__filename`, which ES modules love to declare themselves.
 */
export function codeText(code: string, map: string | undefined, format: 'esm' | 'cjs'): ModuleText {
  const body = code.replace(/^#!.*/, '')
  if (format === 'cjs') return { text: body, map, format }
  const meta = body.includes(IMPORT_META) ? `var ${IMPORT_META}={url:module.url,dirname:__dirname,filename:__filename};` : ''
  // One line stands before the code now: one more ';' before the first mapping.
  return { text: `"use strict";${meta}{\n${body}}\n`, map: map?.replace('"mappings": "', '"mappings": ";'), format }
}

/**
 * Says for each import of the text what its default means. Where Node's rules hold (.mjs, .mts, "type": "module") esbuild
 * writes `__toESM(require("x"), 1)`: the default is what CommonJS exported. That is wrong for an ES module, which it cannot
 * know one file at a time; we do. Of equal length, so that source maps still hold.
 */
export function withInterop(text: string, isEsModule: (specifier: string) => boolean): string {
  return text.replace(/(\b__toESM\d*\(require\((["'`])([^"'`\\\n]+)\2\)), 1\)/g, (whole, start: string, _quote, specifier: string) =>
    isEsModule(specifier) ? `${start}, 0)` : whole)
}

/** Of the length of `require`. */
export const LAZY = '__ramet'
/** A declaration, so that it may stand at the end. What the imported module itself misses keeps the code of a require(). */
export const LAZY_FUNCTION = `function ${LAZY}(s){try{return require(s)}catch(e){` +
  'if(e&&e.code==="MODULE_NOT_FOUND"&&String(e.message).startsWith("Cannot find module \'"+s+"\'"))e.code="ERR_MODULE_NOT_FOUND";throw e}}'

/** Makes import(), of which esbuild has made a late require(), fail with Node's code for an import(). Moves no character. */
export function lazyImports(text: string): string {
  const lazy = text.replace(/(\bPromise\.resolve\(\)\.then\(\(\) => __toESM\d*\()require\(/g, `$1${LAZY}(`)
  return lazy === text ? text : `${lazy}\n${LAZY_FUNCTION}\n`
}

/** Whether the text passes on all exports of some module, and of which: `export * from …`. */
export function starExports(text: string): string[] {
  return [...text.matchAll(/\b__reExport\d*\(\w+, (?:__toESM\d*\()?require\((["'`])([^"'`\\\n]+)\1\)/g)].map((match) => match[2] as string)
}

/**
 * A short name for a file: from the last node_modules on, else from the directory of its package, else its last two parts.
 * It depends on the file alone, never on who imports it.
 */
export function moduleName(file: string, isPackage: (directory: string) => boolean): string {
  const parts = file.split(/[\\/]/)
  const installed = parts.lastIndexOf('node_modules')
  let from = installed
  if (installed < 0) {
    from = Math.max(parts.length - 2, 1)
    for (let end = parts.length - 1; end > 0; end--) {
      if (!isPackage(parts.slice(0, end).join('/') || '/')) continue
      from = end
      break
    }
  }
  return printable(parts.slice(from).join('/'))
}

/** A name that may stand in a stack trace: no control characters, at most 200 characters. */
export function printable(name: string): string {
  const clean = name.replace(/[\p{Cc}\u2028\u2029]/gu, '_').replace(/^\/+/, '')
  return clean.length > 200 ? `...${clean.slice(-197)}` : clean
}
