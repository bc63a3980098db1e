import constants from 'ssh2/lib/protocol/constants.js'
import crypto from 'ssh2/lib/protocol/crypto.js'
import Protocol from 'ssh2/lib/protocol/Protocol.js'
import utils from 'ssh2/lib/protocol/utils.js'
import { sshString } from './key-blob.ts'
import { loginData } from './userauth.ts'

/**
 * The one door to ssh2. Of that library ramet uses the layer below its Client: packets, ciphers, key exchange. Logging in
 * and channels are our own, because the Client can neither send ahead of replies nor tell how much it has buffered, and
 * takes any host key by default.
 *
 * Members that begin with an underscore are private to ssh2; each is named in test/connect/ssh2-private.test.ts.
 */
export interface SshProtocol {
  /** Sends our identification; undefined once called. */
  start: (() => void) | undefined
  /** Feeds received bytes; throws on what cannot be a packet. */
  parse(chunk: Uint8Array, from: number, to: number): void
  /** Frees ciphers; afterwards sending and parsing throw. */
  cleanup(): void
  disconnect(reason: number): void
  /** A request without meaning (keepalive@openssh.com) that the server has to answer. */
  ping(): void
  service(name: string): void
  requestFailure(): void
  authNone(user: string): void
  authPassword(user: string, password: string): void
  authKeyboard(user: string): void
  authInfoRes(responses: readonly string[]): void
  session(channel: number, window: number, packetSize: number): void
  exec(channel: number, command: string, wantReply: boolean): void
  directTcpip(channel: number, window: number, packetSize: number,
    way: { srcIP: string; srcPort: number; dstIP: string; dstPort: number }): void
  signal(channel: number, name: string): void
  channelData(channel: number, data: Buffer): void
  channelEOF(channel: number): void
  channelClose(channel: number): void
  channelFailure(channel: number): void
  channelWindowAdjust(channel: number, bytes: number): void
  /** Defined while a key exchange is under way; packets sent then are queued without limit. */
  readonly _kexinit: unknown
  /** The current key exchange; `sessionID` is the first exchange's hash, `_sig` the server's signature while the verifier runs. */
  readonly _kex: { readonly sessionID: Buffer; readonly _sig: Buffer | undefined }
  /** The algorithms in the form in which they are sent; never changed, and taken as it is where a list of names could be given. */
  readonly _offer: unknown
  /** Methods of the requests under way, in order: tells what an answer of type 60 means. */
  readonly _authsQueue: string[]
  readonly _packetRW: { write: { allocStart: number; alloc(length: number): Buffer; finalize(packet: Buffer): Buffer } }
}

export interface Negotiated {
  kex: string
  serverHostKey: string
}

export interface ProtocolHandlers {
  DISCONNECT(protocol: SshProtocol, reason: number, text: string | undefined): void
  SERVICE_ACCEPT(protocol: SshProtocol): void
  EXT_INFO(protocol: SshProtocol, extensions: { name: string; algs: string[] }[]): void
  USERAUTH_SUCCESS(protocol: SshProtocol): void
  USERAUTH_FAILURE(protocol: SshProtocol, methods: string[] | undefined, partial: boolean): void
  USERAUTH_PK_OK(protocol: SshProtocol): void
  USERAUTH_PASSWD_CHANGEREQ(protocol: SshProtocol, text: string): void
  USERAUTH_INFO_REQUEST(protocol: SshProtocol, name: string, text: string, prompts: { prompt: string; echo: boolean }[]): void
  GLOBAL_REQUEST(protocol: SshProtocol, name: string, wantReply: boolean): void
  CHANNEL_OPEN_CONFIRMATION(
    protocol: SshProtocol, info: { recipient: number; sender: number; window: number; packetSize: number }): void
  CHANNEL_OPEN_FAILURE(protocol: SshProtocol, channel: number, reason: number, text: string): void
  CHANNEL_DATA(protocol: SshProtocol, channel: number, data: Uint8Array): void
  CHANNEL_EXTENDED_DATA(protocol: SshProtocol, channel: number, data: Uint8Array, type: number): void
  CHANNEL_WINDOW_ADJUST(protocol: SshProtocol, channel: number, bytes: number): void
  CHANNEL_SUCCESS(protocol: SshProtocol, channel: number): void
  CHANNEL_FAILURE(protocol: SshProtocol, channel: number): void
  CHANNEL_REQUEST(protocol: SshProtocol, channel: number, type: string, wantReply: boolean, data: unknown): void
  CHANNEL_EOF(protocol: SshProtocol, channel: number): void
  CHANNEL_CLOSE(protocol: SshProtocol, channel: number): void
}

export interface ProtocolConfig {
  algorithms?: SshAlgorithms | undefined
  onWrite(bytes: Uint8Array): void
  onError(error: Error): void
  onHeader(header: { versions: { software: string } }): void
  /** After the first key exchange and after each one that follows. */
  onHandshakeComplete(negotiated: Negotiated): void
  /** Synchronous; false ends the connection. ssh2 takes anything else for a yes. */
  hostVerifier(blob: Buffer): boolean
  messageHandlers: ProtocolHandlers
}

/** Lists to offer instead of ssh2's defaults; names it does not know are left out. */
export interface SshAlgorithms {
  kex?: readonly string[]
  serverHostKey?: readonly string[]
  cipher?: readonly string[]
  hmac?: readonly string[]
}

type Lists = Record<'KEX' | 'SERVER_HOST_KEY' | 'CIPHER' | 'MAC', string[]>
const { DEFAULT_KEX, DEFAULT_SERVER_HOST_KEY, DEFAULT_CIPHER, DEFAULT_MAC,
  SUPPORTED_KEX, SUPPORTED_SERVER_HOST_KEY, SUPPORTED_CIPHER, SUPPORTED_MAC } = constants as
  { [K in keyof Lists as `DEFAULT_${K}` | `SUPPORTED_${K}`]: string[] }
const { sendPacket } = utils as { sendPacket(protocol: SshProtocol, packet: Buffer): boolean }

/** Resolves when ssh2's own cryptography (a small wasm module) is usable. */
export const cryptoReady = (crypto as { init: Promise<void> }).init

/** The lists that would be offered. An empty one means that nothing asked for is supported. */
export function offeredAlgorithms(wanted: SshAlgorithms = {}): Required<SshAlgorithms> {
  const pick = (names: readonly string[] | undefined, known: string[], standard: string[]): string[] =>
    names === undefined ? standard : names.filter((name) => known.includes(name))
  return {
    kex: pick(wanted.kex, SUPPORTED_KEX, DEFAULT_KEX),
    serverHostKey: pick(wanted.serverHostKey, SUPPORTED_SERVER_HOST_KEY, DEFAULT_SERVER_HOST_KEY),
    cipher: pick(wanted.cipher, SUPPORTED_CIPHER, DEFAULT_CIPHER),
    hmac: pick(wanted.hmac, SUPPORTED_MAC, DEFAULT_MAC),
  }
}

export function createProtocol(config: ProtocolConfig): SshProtocol {
  const lists = offeredAlgorithms(config.algorithms)
  // Compression is left out: our own code is compressed already, and zlib after login would have to be flushed per packet.
  const way = { cipher: lists.cipher, mac: lists.hmac, compress: ['none'], lang: [] }
  const key = JSON.stringify(lists)
  const offer = offers.get(key) ?? { kex: lists.kex, serverHostKey: lists.serverHostKey, cs: way, sc: way }
  const protocol = new (Protocol as new (config: unknown) => SshProtocol)({ ...config, offer })
  if (offers.size > OFFERS_MAX) offers.clear()
  offers.set(key, protocol._offer)
  return protocol
}

/** What ssh2 makes of lists, 4 KB each: most connections offer the same. */
const offers = new Map<string, unknown>()
const OFFERS_MAX = 16

export function rekeying(protocol: SshProtocol): boolean {
  return protocol._kexinit !== undefined
}

/** The first key exchange's hash: what names the connection for as long as it lives. */
export function sessionId(protocol: SshProtocol): Buffer {
  return Buffer.from(protocol._kex.sessionID)
}

/** The server's signature over the hash of the key exchange under way. Only while the host key is being looked at. */
export function hostSignature(protocol: SshProtocol): Buffer {
  return Buffer.from(protocol._kex._sig ?? [])
}

/** What a key signs for a request: bound to this connection by its session id. */
export function dataToSign(protocol: SshProtocol, request: Buffer): Buffer {
  return loginData(protocol._kex.sessionID, request)
}

/**
 * Sends a publickey request. ssh2's own authPK builds the signature blob itself and so cannot carry certificates, FIDO
 * keys, or what an agent signed.
 */
export function sendPublicKey(protocol: SshProtocol, request: Buffer, signature?: Uint8Array): void {
  protocol._authsQueue.push('publickey')
  sendPayload(protocol, signature === undefined ? request : Buffer.concat([request, sshString(signature)]))
}

/**
 * Sends a packet without meaning, for the TCP acknowledgement that travels with it: while logging in OpenSSH holds back a
 * second small packet until the first is acknowledged (Nagle), which our kernel does 40 ms late when we have nothing to say.
 */
export function sendIgnore(protocol: SshProtocol): void {
  sendPayload(protocol, IGNORE)
}

const IGNORE = Buffer.of(2, 0, 0, 0, 0)

function sendPayload(protocol: SshProtocol, payload: Buffer): void {
  const writer = protocol._packetRW.write
  const at = writer.allocStart
  const packet = writer.alloc(payload.length)
  packet.set(payload, at)
  sendPacket(protocol, writer.finalize(packet))
}
