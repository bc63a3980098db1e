import { hostname, userInfo } from 'node:os'
import { EXIT, MIN_NODE } from '../router/protocol.ts'

/**
 * What `node -e` runs on the target: reads exactly `size` bytes of compressed stub from fd 3 and becomes it. ES5, since
 * it has to tell an old Node that it is too old. Holds no single quote, backslash, newline or exclamation mark: the login
 * shell that takes it apart may be bash, fish or csh.
 */
function firstStage(size: number): string {
  return [
    `var v=process.version,f=require("fs"),n=${size},b=Buffer.alloc(n),o=0,k;`,
    `if(parseInt(v.slice(1))<${MIN_NODE}){console.error("ramet: "+process.execPath+" is "+v);process.exit(${EXIT.OLD_NODE})}`,
    // A non-blocking descriptor says EAGAIN; 5 ms later there may be more.
    `for(;o<n;o+=k)try{k=f.readSync(3,b,o,n-o);if(k<1)process.exit(${EXIT.EOF})}` +
      `catch(e){if(e.code=="EAGAIN")k=0,Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0,5);else throw e}`,
    // Compiled as a module with a name: import() works in it, and stacks can be read.
    `var m=new module.constructor("ramet");m.stub=b;m.paths=[];m._compile(require("zlib").brotliDecompressSync(b)+"","ramet:/stub.js")`,
  ].join('')
}

/** Finds a Node that a non-login shell has no PATH to: version managers keep theirs under the home directory. */
const FIND_NODE = [
  'n=$(command -v node)||n=$(command -v nodejs)',
  // A shim starts a shell of its own for each run, and may ask which version is meant.
  'case "$n" in */shims/*|*/.volta/*|"")n=;for p in /snap ~/.local ~/n ~/.local/share/mise/installs/node/* ~/.asdf/installs/nodejs/* ' +
    '~/.volta/tools/image/node/* ~/.local/share/fnm/node-versions/*/installation ~/.nvm/versions/node/* /opt/node* /usr/local /usr;' +
    'do p=$p/bin/node;[ -x "$p" ]&&n=$p;done;;esac',
  `[ "$n" ]||{ echo "ramet: no node in $PATH" >&2;exit ${EXIT.NO_NODE};}`,
].join(';')

const FIND_GIVEN = `command -v "$1" >/dev/null 2>&1||{ echo "ramet: no $1 in $PATH" >&2;exit ${EXIT.NO_NODE};}`

export interface LaunchOptions {
  version: string
  /** Who controls: letters, digits and ._@-, at most 64. Default: the account and host of this process. */
  owner?: string | undefined
  /** Bytes of the compressed stub. */
  stubSize: number
  /** 16 random bytes, hex. */
  nonce: string
  /** Path of the Node binary on the target, or an argv that starts it. Default: searched. */
  node?: string | readonly string[] | undefined
}

/**
 * The command line that starts a stub: frames on fds 3 and 4, nothing on stdin, and everything printed on stderr. All
 * redirections stand inside `sh`, since the login shell's syntax for them is unknown. It begins with a remark for whoever
 * reads `ps`.
 */
export function launchLine({ version, owner = controllerName(), stubSize, nonce, node }: LaunchOptions): string {
  const title = `ramet ${version} for ${owner}`
  const words = node === undefined ? [] : typeof node === 'string' ? [node] : [...node]
  const sh = [
    `: ${title}`,
    words.length === 0 ? FIND_NODE : FIND_GIVEN,
    // Agents and debuggers in NODE_OPTIONS are meant for other programs; the stub hands both on to its children.
    'export R_NODE_OPTIONS="$NODE_OPTIONS" R_NODE_V8_COVERAGE="$NODE_V8_COVERAGE";unset NODE_OPTIONS NODE_V8_COVERAGE',
    `exec ${words.length === 0 ? '"$n" ' : ''}"$@" 3<&0 4>&1 </dev/null >&2`,
  ].join(';')
  const half = nonce.length / 2
  const args = [...words, '-e', firstStage(stubSize), title, nonce.slice(0, half), nonce.slice(half)].map((word) => `'${quotable(word)}'`)
  return `exec sh -c '${sh}' ramet ${args.join(' ')}`
}

let cachedName: string | undefined
/** The account and host of this process, as a launch line may hold them. */
export function controllerName(): string {
  cachedName ??= `${safely(() => userInfo().username)}@${safely(hostname)}`.replace(/[^A-Za-z0-9._@-]/g, '_').slice(0, 64)
  return cachedName
}

function safely(read: () => string): string {
  try {
    return read()
  } catch {
    return 'unknown'
  }
}

/** A word inside single quotes of an unknown shell: what would end them, or be taken for history, may not occur. */
function quotable(word: string): string {
  for (const char of word) {
    const code = char.codePointAt(0) as number
    if (code < 0x20 || code === 0x7f || char === "'" || char === '\\' || char === '!') throw new UnquotableWord(word)
  }
  return word
}

/** A `node` option that no shell could be given safely. */
class UnquotableWord extends Error {
  constructor(word: string) {
    super(`'${word}' cannot be passed through an unknown login shell`)
  }
}
