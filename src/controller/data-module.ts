import { readFileSync } from 'node:fs'
import { RametError } from '../router/errors.ts'
import type { ModuleText } from './module-text.ts'

/** How files that are not code are made into modules, by extension. */
export const DATA_FILES: Readonly<Record<string, 'json' | 'text' | 'bytes'>> = {
  '.json': 'json', '.txt': 'text', '.wasm': 'bytes', '.bin': 'bytes',
}

/** The module that a file of data is. Throws module-failed. */
export function dataModule(file: string, kind: 'json' | 'text' | 'bytes'): ModuleText {
  try {
    return dataText(kind, readFileSync(file))
  } catch (error) {
    throw new RametError('module-failed', `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
      { outcome: 'not-sent', hint: 'Correct the file, or read it on the controller and pass the value as an argument.', cause: error })
  }
}

/** The module for a file of data. Throws SyntaxError for JSON that is none. */
function dataText(kind: 'json' | 'text' | 'bytes', content: Uint8Array): ModuleText {
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  if (kind === 'bytes') {
    // A namespace, not the array itself: importers would copy a getter for every byte. The array owns its buffer.
    const text = 'Object.defineProperty(exports,"__esModule",{value:true});'
      + `exports.default=new Uint8Array(Buffer.from("${buffer.toString('base64')}","base64"))\n`
    return { text, map: undefined, format: 'esm' }
  }
  const string = buffer.toString('utf8').replace(/^\uFEFF/, '')
  if (kind === 'text') return { text: `module.exports=${JSON.stringify(string)}\n`, map: undefined, format: 'cjs' }
  // JSON.parse, not a literal: "__proto__" is a key like any other in JSON.
  const json = JSON.stringify(JSON.parse(string))
  return { text: `module.exports=JSON.parse(${JSON.stringify(json)})\n`, map: undefined, format: 'cjs' }
}
