/** Methods of logging in that ssh2 knows, in OpenSSH's order. */
const METHODS = ['publickey', 'keyboard-interactive', 'password'] as const

export type LoginMethod = (typeof METHODS)[number]

/** How the SSH configuration wants a login to go. Plain data: hops get it, too. */
export interface LoginRules {
  /** PreferredAuthentications, of the methods that may be used; undefined: it is not set. */
  order?: LoginMethod[] | undefined
  /** The setting that forbids a method. */
  forbidden: Partial<Record<LoginMethod, string>>
  /** How often a method may ask a person: NumberOfPasswordPrompts. */
  prompts: number
  /** BatchMode: nobody is asked anything, whatever else is said. */
  batch?: true | undefined
}

/** Where no configuration speaks. */
export const NO_RULES: LoginRules = { forbidden: {}, prompts: 3 }

export interface LoginSettings {
  pubkey: boolean
  password: boolean
  interactive: boolean
  preferred: readonly string[] | undefined
  prompts: number
  batch: boolean
}

export function loginRules({ pubkey, password, interactive, preferred, prompts, batch }: LoginSettings): LoginRules {
  const forbidden: LoginRules['forbidden'] = {}
  const settings = { publickey: ['PubkeyAuthentication', pubkey], 'keyboard-interactive': ['KbdInteractiveAuthentication', interactive], password: ['PasswordAuthentication', password] } as const
  for (const method of METHODS) {
    const [name, allowed] = settings[method]
    if (!allowed) forbidden[method] = `${name} no`
    else if (preferred?.includes(method) === false) forbidden[method] = 'not in PreferredAuthentications'
  }
  const order = preferred && METHODS.filter((method) => forbidden[method] === undefined).sort((a, b) => preferred.indexOf(a) - preferred.indexOf(b))
  return { order, forbidden, prompts, ...(batch ? { batch } : {}) }
}

/** Whether the configuration leaves nothing that ssh2 could log in with. */
export function nothingLeft({ forbidden }: LoginRules): boolean {
  return METHODS.every((method) => forbidden[method] !== undefined)
}

/** The methods that may be tried, best first. `given`: there is a password that nobody has to be asked for. */
export function methodsInOrder({ order, forbidden }: LoginRules, given: boolean): readonly LoginMethod[] {
  if (order !== undefined) return order
  // A password that we have is quickest sent as one.
  const usual: readonly LoginMethod[] = given ? ['publickey', 'password', 'keyboard-interactive'] : METHODS
  return usual.filter((method) => forbidden[method] === undefined)
}
