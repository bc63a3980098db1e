import { invalid } from './ssh-config-file.ts'
import type { ConfigSource, Directive } from './ssh-config-file.ts'
import { matchPatternList } from './patterns.ts'

/** Keyword (lower case, its modern name) to values: one, except for the keywords in LISTS. */
export type Options = Map<string, string[]>

export interface Question {
  alias: string
  /** Given by the caller: they come before every file. */
  user: string | undefined
  port: number | undefined
  localUser: string
}

export interface Evaluation {
  options: Options
  /** The directives that had their say, in order: equal lists mean equal answers, tokens aside. */
  active: Directive[]
}

/** Keywords that add up; of every other one the first value holds. */
const ADDING = new Set(['identityfile', 'certificatefile', 'sendenv', 'setenv', 'localforward', 'remoteforward', 'dynamicforward'])
/** Keywords with several words, and those whose value is the line as it is written. */
const LISTS = new Set(['userknownhostsfile', 'globalknownhostsfile', 'revokedhostkeys'])
const LINES = new Set(['proxycommand', 'localcommand', 'remotecommand', 'knownhostscommand'])
const OLD_NAMES: Record<string, string> = {
  pubkeyacceptedkeytypes: 'pubkeyacceptedalgorithms', challengeresponseauthentication: 'kbdinteractiveauthentication',
  skeyauthentication: 'kbdinteractiveauthentication', identityfile2: 'identityfile',
}

/**
 * Our own reading of what `ssh -G` works out: Host with negation, Include, first value wins, Match with all, host, originalhost,
 * user and localuser. Throws 'config-invalid' at any other Match criterion that would decide something: we run no commands and
 * guess nothing.
 */
export function evaluate(source: ConfigSource, question: Question): Evaluation {
  const options: Options = new Map()
  const active: Directive[] = []
  if (question.user !== undefined) options.set('user', [question.user])
  if (question.port !== undefined) options.set('port', [String(question.port)])
  for (const file of source.files) evaluateFile(file, question, options, active)
  const name = options.get('hostname')?.[0]
  if (name !== undefined) options.set('hostname', [expandHost(name, question.alias)])
  return { options, active }
}

function evaluateFile(directives: readonly Directive[], question: Question, options: Options, active: Directive[]): void {
  let on = true
  for (const directive of directives) {
    if (directive.keyword === 'host') {
      on = matchPatternList(question.alias, directive.args)
    } else if (directive.keyword === 'match') {
      on = matchCriteria(directive, question, options)
    } else if (on && directive.keyword === 'include') {
      if (directive.args.some((arg) => /%|\$\{/.test(arg))) {
        throw invalid(directive.file, directive.line, 'Include with a token needs the ssh program', NEEDS_PROGRAM)
      }
      // A Host or Match inside an included file ends with that file.
      for (const file of directive.included ?? []) evaluateFile(file, question, options, active)
    } else if (on) {
      active.push(directive)
      set(options, directive)
    }
  }
}

function set(options: Options, directive: Directive): void {
  const keyword = OLD_NAMES[directive.keyword] ?? directive.keyword
  const value = keyword === 'proxyjump' ? [directive.text.replace(/#.*/, '').trim()]
    : LINES.has(keyword) ? [directive.text] : LISTS.has(keyword) ? directive.args : directive.args.slice(0, 1)
  const known = options.get(keyword)
  // A command that came first rules a jump out, even the command none; a jump rules a command out unless it is none.
  if (keyword === 'proxyjump' && options.has('proxycommand')) return
  if (keyword === 'proxycommand' && (options.get('proxyjump')?.[0] ?? 'none').toLowerCase() !== 'none') return
  if (known === undefined) options.set(keyword, [...value])
  else if (ADDING.has(keyword)) for (const each of value) if (!known.includes(each)) known.push(each)
}

function expandHost(name: string, alias: string): string {
  return name.replace(/%([%h])/g, (_, token) => (token === 'h' ? alias : '%'))
}

const NEEDS_PROGRAM = 'Install the OpenSSH client, take the line out, or pass sshConfig: false and give the options yourself.'

function matchCriteria(directive: Directive, question: Question, options: Options): boolean {
  const host = expandHost(options.get('hostname')?.[0] ?? '%h', question.alias)
  const subjects: Record<string, string> = {
    host: host.toLowerCase(), originalhost: question.alias.toLowerCase(),
    user: options.get('user')?.[0] ?? question.localUser, localuser: question.localUser,
  }
  const words = [...directive.args]
  let result = true
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const negated = word.startsWith('!')
    const equals = word.indexOf('=')
    const criterion = word.slice(negated ? 1 : 0, equals === -1 ? undefined : equals).toLowerCase()
    if (criterion === 'all') {
      if (directive.args.length > 1) {
        throw invalid(directive.file, directive.line, '"all" stands beside other criteria', 'Write Match all alone.')
      }
      return !negated
    }
    const subject = subjects[criterion]
    if (subject === undefined) {
      // Earlier criteria have ruled the block out: what follows decides nothing.
      if (!result) return false
      throw invalid(directive.file, directive.line, `"Match ${criterion}" needs the ssh program, which is not here`, NEEDS_PROGRAM)
    }
    const patterns = equals === -1 ? words.shift() : word.slice(equals + 1)
    if (patterns === undefined || patterns === '') {
      throw invalid(directive.file, directive.line, `"Match ${criterion}" has no value`, 'Give it a pattern.')
    }
    const list = criterion.endsWith('host') ? patterns.toLowerCase().split(',') : patterns.split(',')
    if (matchPatternList(subject, list) === negated) result = false
  }
  return result
}

/** What can be said of a configuration without asking about a host. */
export interface Analysis {
  /** Every line is one that we read just as OpenSSH does, so the program need not be asked. */
  exact: boolean
  /** Match blocks: which lines apply cannot be told from the alias alone. */
  matches: boolean
  /** The answer depends on more than files and arguments (commands, networks, DNS): it must not be kept. */
  volatile: boolean
}

const FLAG = /^(yes|no)$/
const NUMBER = /^[0-9]{1,6}$/
const PATH = /^[^%$]+$/
const WORD = /^[A-Za-z0-9_-]+$/
/** Keywords and the values of theirs that hold no surprise; one value unless it is a list. Others go to the program. */
const PLAIN: Record<string, RegExp> = {
  sendenv: /./, setenv: /./, hashknownhosts: FLAG, gssapiauthentication: FLAG, gssapidelegatecredentials: FLAG,
  forwardagent: FLAG, forwardx11: FLAG, forwardx11trusted: FLAG, user: /^[A-Za-z0-9._-]+$/, port: NUMBER,
  hostname: /^[A-Za-z0-9.:_-]+$/, identityfile: PATH, certificatefile: PATH, identitiesonly: FLAG,
  stricthostkeychecking: /^(yes|no|ask|off|accept-new)$/, userknownhostsfile: PATH, globalknownhostsfile: PATH,
  serveraliveinterval: NUMBER, serveralivecountmax: NUMBER, connecttimeout: NUMBER,
  controlmaster: /^(yes|no|auto|ask|autoask)$/, controlpath: PATH, controlpersist: /^(yes|no|[0-9]{1,6}[smh]?)$/,
  compression: FLAG, loglevel: /^(QUIET|FATAL|ERROR|INFO|VERBOSE|DEBUG[123]?)$/, addkeystoagent: FLAG, visualhostkey: FLAG,
  checkhostip: FLAG, tcpkeepalive: FLAG, hostkeyalias: /^[A-Za-z0-9.:_-]+$/, identityagent: PATH,
  pubkeyauthentication: FLAG, passwordauthentication: FLAG, kbdinteractiveauthentication: FLAG,
  preferredauthentications: /^[a-z,-]+$/, addressfamily: /^(any|inet|inet6)$/, proxyjump: /^[A-Za-z0-9@.:_,-]+$/,
  numberofpasswordprompts: NUMBER, requesttty: WORD, updatehostkeys: FLAG, host: /./, include: PATH,
}
const MANY = new Set(['sendenv', 'setenv', 'userknownhostsfile', 'globalknownhostsfile', 'host', 'include'])

export function analyse(source: ConfigSource): Analysis {
  const all = source.files.flatMap((file) => flatten(file))
  const volatile = all.some(({ keyword, text }) => keyword === 'canonicalizehostname' ||
    (keyword === 'match' && /exec|localnetwork|canonical|final/i.test(text)) || (keyword === 'include' && /%|\$\{/.test(text)))
  const exact = source.unsafe === undefined && all.every(({ keyword, args }) => {
    const rule = PLAIN[keyword]
    return rule !== undefined && args.length > 0 && (args.length === 1 || MANY.has(keyword)) && args.every((arg) => rule.test(arg))
  })
  return { exact, matches: source.keywords.has('match'), volatile }
}

function flatten(directives: readonly Directive[]): Directive[] {
  return directives.flatMap((directive) => [directive, ...(directive.included ?? []).flatMap((file) => flatten(file))])
}
