/**
 * Stands before Node on a target: `node count-input.cjs FILE NODE ARGUMENT …` runs NODE on descriptors 3 and 4 as it would
 * have them itself, and writes to FILE how many bytes had come in when the first went out.
 */
const { spawn } = require('node:child_process')
const { writeFileSync } = require('node:fs')
const { Socket } = require('node:net')

const [file, node, ...args] = process.argv.slice(2)
const input = new Socket({ fd: 3, readable: true, writable: false })
const output = new Socket({ fd: 4, readable: false, writable: true })
const child = spawn(node, args, { stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'] })
let bytes = 0
let answered = false

input.on('data', (chunk) => {
  if (!answered) bytes += chunk.length
  child.stdio[3].write(chunk)
})
input.on('end', () => child.stdio[3].end())
child.stdio[3].on('error', () => undefined)
child.stdio[4].on('data', (chunk) => {
  if (!answered) writeFileSync(file, String(bytes))
  answered = true
  output.write(chunk)
})
child.on('exit', (code) => process.exit(code ?? 1))
