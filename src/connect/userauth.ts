import { sshString } from './key-blob.ts'

/** A publickey request without its signature. `signed`: with one to follow, else the question whether the key would do. */
export function publicKeyRequest(user: string, algorithm: string, blob: Uint8Array, signed: boolean): Buffer {
  return Buffer.concat([Buffer.of(50), sshString(user), sshString('ssh-connection'), sshString('publickey'),
    Buffer.of(signed ? 1 : 0), sshString(algorithm), sshString(blob)])
}

/** The same with a signature to follow, bound to the host's key, too: what OpenSSH 8.9 and newer send each other. */
export function hostBoundRequest(user: string, algorithm: string, blob: Uint8Array, hostKey: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(50), sshString(user), sshString('ssh-connection'), sshString('publickey-hostbound-v00@openssh.com'),
    Buffer.of(1), sshString(algorithm), sshString(blob), sshString(hostKey)])
}

/** What a key signs for a request: bound to one connection by its session id. */
export function loginData(sessionId: Uint8Array, request: Uint8Array): Buffer {
  return Buffer.concat([sshString(sessionId), request])
}
