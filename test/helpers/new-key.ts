import ssh2 from 'ssh2'

/** The text of a new private key. ssh2 1.17 makes one in about 500 that it cannot read back. */
export function newKey(): string {
  for (;;) {
    const text = ssh2.utils.generateKeyPairSync('ed25519').private
    if (!(ssh2.utils.parseKey(text) instanceof Error)) return text
  }
}
