import { readFileSync } from 'node:fs'
import crypto from 'ssh2/lib/protocol/crypto.js'
import Protocol from 'ssh2/lib/protocol/Protocol.js'
import utils from 'ssh2/lib/protocol/utils.js'
import keyParser from 'ssh2/lib/protocol/keyParser.js'
import ssh2 from 'ssh2'
import { describe, expect, it } from 'vitest'
import { type ProtocolHandlers, type SshProtocol, createProtocol, cryptoReady, dataToSign, hostSignature, offeredAlgorithms,
  rekeying, sendIgnore, sendPublicKey, sessionId } from '../../src/connect/ssh2-protocol.ts'
import { publicKeyRequest } from '../../src/connect/userauth.ts'
import { newKey } from '../helpers/new-key.ts'

/**
 * ssh2 is pinned, and below its Client nothing is promised. Each member that src/connect/ssh2-protocol.ts uses is named
 * here, with what is relied on: a new version that differs fails here first.
 */
describe('what ramet relies on inside ssh2', () => {
  /** Both ends in memory, past the first key exchange. */
  const pair = async (handlers: Partial<ProtocolHandlers> = {}, seen: Record<string, unknown[]> = {}) => {
    await cryptoReady
    const host = ssh2.utils.parseKey(newKey())
    const events = { headers: [] as string[], exchanges: 0, verified: 0, serverExchanges: 0, proofs: [] as [Buffer, Buffer][] }
    const make = Protocol as new (config: unknown) => SshProtocol & { rekey(): void }
    const note = (name: string) => (_: unknown, ...args: unknown[]): void => void (seen[name] ??= []).push(args)
    const server = new make({
      server: true, hostKeys: { 'ssh-ed25519': host }, ident: 'test', onWrite: (bytes: Buffer) => toClient.push(Buffer.from(bytes)),
      onError: (error: Error) => { throw error }, onHandshakeComplete: () => events.serverExchanges++,
      offer: { ...offer(), serverHostKey: ['ssh-ed25519'] },
      messageHandlers: Object.fromEntries(['SERVICE_REQUEST', 'USERAUTH_REQUEST', 'CHANNEL_OPEN', 'CHANNEL_DATA', 'CHANNEL_REQUEST',
        'CHANNEL_EOF', 'CHANNEL_CLOSE', 'CHANNEL_WINDOW_ADJUST', 'DISCONNECT', 'REQUEST_FAILURE', 'CHANNEL_FAILURE', 'GLOBAL_REQUEST'].map((name) => [name, note(name)])),
    })
    const client = createProtocol({
      onWrite: (bytes) => toServer.push(Buffer.from(bytes)), onError: (error) => { throw error },
      onHeader: (header) => events.headers.push(header.versions.software), onHandshakeComplete: () => events.exchanges++,
      hostVerifier: (blob) => {
        events.verified++
        events.proofs.push([Buffer.from(blob), hostSignature(client)])
        return true
      },
      messageHandlers: handlers as ProtocolHandlers,
    })
    const toClient: Buffer[] = []
    const toServer: Buffer[] = []
    const flow = (): void => {
      while (toClient.length + toServer.length > 0) {
        for (const bytes of toServer.splice(0)) server.parse(bytes, 0, bytes.length)
        for (const bytes of toClient.splice(0)) client.parse(bytes, 0, bytes.length)
      }
    }
    client.start?.()
    server.start?.()
    return { client, server, flow, events, seen, toServer }
  }
  const offer = () => {
    const { kex, serverHostKey, cipher, hmac } = offeredAlgorithms()
    const way = { cipher, mac: hmac, compress: ['none'], lang: [] }
    return { kex, serverHostKey, cs: way, sc: way }
  }

  it('is the pinned version', () => {
    const wanted = (JSON.parse(readFileSync('package.json', 'utf8')) as { devDependencies: Record<string, string> }).devDependencies['ssh2']
    const installed = (JSON.parse(readFileSync('node_modules/ssh2/package.json', 'utf8')) as { version: string }).version
    expect(installed).toBe(wanted)
  })

  it('crypto.init is a promise', () => expect((crypto as { init: unknown }).init).toBeInstanceOf(Promise))

  it('keyParser.parseKey, utils.sendPacket and utils.convertSignature are functions', () => {
    expect([typeof (keyParser as { parseKey: unknown }).parseKey, typeof (utils as { sendPacket: unknown }).sendPacket,
      typeof (utils as { convertSignature: unknown }).convertSignature]).toEqual(['function', 'function', 'function'])
  })

  it('start sends the identification and is gone afterwards', async () => {
    const { client, toServer } = await pair()
    expect(toServer[0]?.toString()).toMatch(/^SSH-2\.0-/)
    expect(client.start).toBeUndefined()
  })

  it('onHeader, hostVerifier and onHandshakeComplete are called, in this order, once per exchange', async () => {
    const { flow, events } = await pair()
    flow()
    expect(events).toMatchObject({ headers: ['test'], exchanges: 1, verified: 1, serverExchanges: 1 })
  })

  it('_kexinit is defined exactly during a key exchange, and what is sent then comes after it', async () => {
    const { client, server, flow, events, seen } = await pair()
    flow()
    expect([rekeying(client), client._kexinit]).toEqual([false, undefined])
    server.rekey()
    const exchange = (client as unknown as { rekey(): void })
    exchange.rekey()
    expect(rekeying(client)).toBe(true)
    client.channelData(0, Buffer.from('late'))
    expect(seen['CHANNEL_DATA']).toBeUndefined()
    flow()
    expect([rekeying(client), events.exchanges, events.verified]).toEqual([false, 2, 2])
    expect(seen['CHANNEL_DATA']).toHaveLength(1)
  })

  it('_kex.sessionID is the first exchange\'s hash and stays', async () => {
    const { client, server, flow } = await pair()
    flow()
    const id = Buffer.from(client._kex.sessionID)
    expect(id.length).toBeGreaterThanOrEqual(32)
    server.rekey()
    flow()
    expect(client._kex.sessionID.equals(id)).toBe(true)
    expect(dataToSign(client, Buffer.of(1)).subarray(4, 4 + id.length).equals(id)).toBe(true)
  })

  it('_kex._sig is the server\'s signature over the session id while the verifier runs, and gone afterwards', async () => {
    const { client, flow, events } = await pair()
    flow()
    const [blob, signature] = events.proofs[0] ?? []
    const key = ssh2.utils.parseKey(`ssh-ed25519 ${blob?.toString('base64')}`) as ssh2.ParsedKey
    expect(signature?.toString('latin1', 4, 15)).toBe('ssh-ed25519')
    expect(key.verify(sessionId(client), signature?.subarray(19) ?? Buffer.alloc(0))).toBe(true)
    expect([client._kex._sig, hostSignature(client).length]).toEqual([undefined, 0])
  })

  it('_offer is taken as it is for another connection, and stays the same', async () => {
    const first = await pair()
    const second = await pair()
    expect(second.client._offer).toBe(first.client._offer)
    const before = JSON.stringify(first.client._offer)
    first.flow()
    second.flow()
    expect([first.events.exchanges, second.events.exchanges]).toEqual([1, 1])
    expect(JSON.stringify(first.client._offer)).toBe(before)
    const other = createProtocol({
      algorithms: { cipher: ['aes256-ctr'] }, onWrite() {}, onError() {}, onHeader() {}, onHandshakeComplete() {}, hostVerifier: () => false,
      messageHandlers: {} as ProtocolHandlers,
    })
    expect(other._offer).not.toBe(first.client._offer)
  })

  it('_packetRW.write and _authsQueue carry a publickey request of our own', async () => {
    const { client, flow, seen } = await pair()
    flow()
    const key = ssh2.utils.parseKey(newKey()) as ssh2.ParsedKey
    const request = publicKeyRequest('me', 'ssh-ed25519', key.getPublicSSH(), false)
    sendPublicKey(client, request)
    expect(client._authsQueue).toEqual(['publickey'])
    flow()
    expect(seen['USERAUTH_REQUEST']?.[0]).toMatchObject(['me', 'ssh-connection', 'publickey', { keyAlgo: 'ssh-ed25519' }])
  })

  it('an ignored packet of our own is ignored', async () => {
    const { client, server, flow, seen } = await pair()
    flow()
    sendIgnore(client)
    client.service('ssh-userauth')
    flow()
    expect([seen['SERVICE_REQUEST'], typeof server.parse]).toEqual([[['ssh-userauth']], 'function'])
  })

  it('each method that is called sends the message it is named for', async () => {
    const { client, flow, seen } = await pair()
    flow()
    client.service('ssh-userauth')
    client.authNone('a')
    client.authPassword('b', 'secret')
    client.authKeyboard('c')
    client.session(0, 1000, 100)
    client.exec(0, 'true', true)
    client.directTcpip(1, 2000, 200, { srcIP: '127.0.0.1', srcPort: 65535, dstIP: 'web1', dstPort: 22 })
    client.ping()
    client.signal(0, 'TERM')
    client.channelData(0, Buffer.from('x'))
    client.channelWindowAdjust(0, 5)
    client.channelEOF(0)
    client.channelFailure(0)
    client.channelClose(0)
    client.requestFailure()
    client.disconnect(11)
    flow()
    expect(seen['SERVICE_REQUEST']).toEqual([['ssh-userauth']])
    expect(seen['USERAUTH_REQUEST']?.map((args) => (args as unknown[])[2])).toEqual(['none', 'password', 'keyboard-interactive'])
    expect(seen['CHANNEL_OPEN']).toMatchObject([[{ type: 'session', sender: 0, window: 1000, packetSize: 100 }],
      [{ type: 'direct-tcpip', sender: 1, window: 2000, packetSize: 200, data: { srcIP: '127.0.0.1', srcPort: 65535, destIP: 'web1', destPort: 22 } }]])
    expect(seen['GLOBAL_REQUEST']).toEqual([['keepalive@openssh.com', true, Buffer.alloc(0)]])
    expect(seen['CHANNEL_REQUEST']).toEqual([[0, 'exec', true, 'true'], [0, 'signal', false, 'TERM']])
    for (const name of ['CHANNEL_DATA', 'CHANNEL_WINDOW_ADJUST', 'CHANNEL_EOF', 'CHANNEL_CLOSE', 'CHANNEL_FAILURE', 'REQUEST_FAILURE', 'DISCONNECT']) {
      expect(seen[name], name).toHaveLength(1)
    }
  })

  it('hostVerifier: false ends the exchange with an error that says so', async () => {
    await cryptoReady
    const text = readFileSync('node_modules/ssh2/lib/protocol/kex.js', 'utf8')
    expect(text).toContain("'Host denied (verification failed)'")
    expect(text).toContain('Handshake failed: no matching key exchange algorithm')
  })

  it('cleanup makes sending throw', async () => {
    const { client, flow } = await pair()
    flow()
    client.cleanup()
    expect(() => client.parse(Buffer.of(1), 0, 1)).toThrow()
  })
})
