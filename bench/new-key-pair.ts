import ssh2 from 'ssh2'

/** A new ed25519 key pair. ssh2 1.17 makes one in about 500 that nobody can read back. */
export function newKeyPair(): { private: string; public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519')
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) return pair
  }
}
