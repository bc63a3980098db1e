import { readFile, readdir } from 'node:fs/promises'
import { source } from './paths.mjs'

/**
 * Names of private members that the bundler may shorten in the stub, as one pattern. A name is among them only where it is
 * declared `private` in some class, is used as `this.name` and in no other way, and is no key of an object or pattern:
 * what crosses to Node, to the Worker or to the wire keeps its name.
 */
export async function privateNames(folders) {
  let text = ''
  for (const folder of folders) {
    for (const name of await readdir(source + folder)) if (name.endsWith('.ts')) text += (await readFile(`${source}${folder}/${name}`, 'utf8')) + '\n'
  }
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '')
  const names = new Set([...code.matchAll(/\bprivate (?:readonly |async |static |get |set )*([a-zA-Z_]\w*)/g)].map(([, name]) => name))
  const free = [...names].filter((name) => {
    const elsewhere = new RegExp(`(?<!\\bthis)\\??\\.${name}\\b|[{,(]\\s*${name}\\s*[,:}]|['"\`]${name}['"\`]`)
    // A public member of another class: its users may be anybody's code (signal.aborted).
    const declared = new RegExp(`^\\s*(?:readonly |async |static |get |set |override )*${name}\\s*[(:=?!<]`, 'm')
    return !elsewhere.test(code) && !declared.test(code)
  })
  return new RegExp(`^(?:${free.join('|')})$`)
}
