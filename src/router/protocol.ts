/**
 * Every number of the wire; PROTOCOL.md beside this file is its prose, and a test holds the two together.
 * One version of it is ever alive in a tree: the parent ships its child.
 */

/** First byte of every frame. Not ASCII, not a UTF-8 start byte of any text: junk on a link is found at once. */
export const MAGIC = 0xf8
/** magic, type, flags, window (u8 each); length, destination, source, channel (u32, big endian). */
export const HEADER_SIZE = 20

export const TYPE = {
  // channels, end to end
  OPEN: 1,
  DATA: 2,
  END: 3,
  RESET: 4,
  CREDIT: 5,
  // neighbours
  HELLO: 16,
  PING: 17,
  PONG: 18,
  ROUTE: 19,
  GOAWAY: 20,
  // code, neighbours
  OFFER: 32,
  PUSH: 33,
  NEED: 34,
} as const
export type FrameType = (typeof TYPE)[keyof typeof TYPE]

export const FLAG = {
  /** The message goes on in the next frame of this channel and direction. */
  MORE: 1,
  /** On OPEN: the opener sends nothing after this message. */
  FIN: 2,
  /** The far end lives in the context's Worker, not on its main thread. */
  USER: 4,
  /**
   * On CREDIT, upwards: nothing is granted; the sender has bytes waiting and asks for credit. On DATA, downwards: no bytes;
   * asks for a CREDIT that says what has arrived, and gives back credit that nothing waits for.
   */
  WANT: 8,
} as const

/** Why a channel was reset. The name is the code of the error that the caller gets. */
export const REASON = {
  cancelled: 1,
  timeout: 2,
  closed: 3,
  'no-route': 4,
  'not-allowed': 5,
  'protocol-error': 6,
  'message-too-large': 7,
  overflow: 8,
  'worker-exited': 9,
  'uncaught-error': 10,
  'link-lost': 11,
} as const
export type Reason = keyof typeof REASON

/** An OPEN's message is one msgpack array; its first item says what the channel is. */
export const OPEN_KIND = {
  /** [CALL, entry, export, args, timeout in ms or absent]: a user function. */
  CALL: 1,
  /** [SERVICE, entry, export, args]: a function of ours that answers with messages of its own format. */
  SERVICE: 2,
  /** [LOG]: records come up as DATA until the channel is reset. */
  LOG: 3,
} as const

/** The messages of a CALL's answer are msgpack arrays, too; the first item is one of these. */
export const ANSWER = {
  /** END [VALUE, value]; an END without any byte is undefined. */
  VALUE: 0,
  /** END [ERROR, error]. */
  ERROR: 1,
  /** DATA [ITEM, value]: one item of an async iterable. */
  ITEM: 2,
  /** DATA [ITERABLE]: the result is an async iterable; items follow. */
  ITERABLE: 3,
} as const

/** Log levels, as pino numbers them. */
export const LEVEL = { debug: 20, info: 30, warn: 40, error: 50 } as const
export type Level = keyof typeof LEVEL

/** How the texts of a PUSH are packed: its first byte. */
export const PACK = { STORED: 0, BROTLI: 1 } as const

/** Context ids. 0 stands for "the neighbour at the other end of this link". */
export const NEIGHBOUR = 0
export const ROOT = 1

/** Bytes of header and payload together that one frame may have. */
export const MAX_FRAME = 64 * 1024
/** Payload of a frame in the bulk class at most: what a call may have to wait for. */
export const MAX_BULK = 32 * 1024
/** OPEN and END carry up to this much themselves, without credit; more continues as DATA. */
export const MAX_INLINE = 32 * 1024
/** Credit that an opener has from the start, in bytes: first-flight data must not wait for a grant. */
export const INITIAL_CREDIT = 64 * 1024
/** A channel's window grows to at most this, in bytes. */
export const MAX_WINDOW = 4 * 1024 * 1024
/** Default of `limits.message`: one argument list or result, encoded, in bytes. */
export const MAX_MESSAGE = 64 * 1024 * 1024
/** A piece of a message that goes on has this many bytes at least: a sliver would cost a frame of its own. */
export const MIN_PIECE = 1024
/** Default of `limits.link`: bytes granted or under way per child link. */
export const MAX_LINK = 4 * 1024 * 1024
/** Of these, bytes that no other link's use of the process's budget can take from a link. */
export const MIN_LINK = 128 * 1024
/** Bytes granted or under way per process, over all links. */
export const MAX_PROCESS = 64 * 1024 * 1024
/** Bytes that a link keeps queued while its pipe takes none; beyond, the channel with most of them is reset. */
export const MAX_QUEUED = 16 * 1024 * 1024
/** Control frames that a link keeps queued, in bytes; a peer that asks for more without taking any loses the link. */
export const MAX_CONTROL = 4 * 1024 * 1024
/** Default of `limits.code`: bytes of module text that a context keeps. */
export const MAX_CODE = 64 * 1024 * 1024
/** What may come over a link before the nonce that starts it, in bytes. */
export const MAX_NOISE = 64 * 1024
/** Payload of a control frame (HELLO, ROUTE, OFFER, NEED, RESET) is at most one frame; OFFER and PUSH may use MORE. */
export const MAX_PACK = 64 * 1024 * 1024
/** What a child may send as one NEED, in bytes: the names of 30,000 texts. */
export const MAX_NEED = 1024 * 1024
/** Default liveness: a PING after each interval (ms) without a frame; that many in a row unanswered lose the link. */
export const KEEPALIVE = { interval: 15_000, count: 4 } as const
/** Exit codes of the launch line: no Node found, Node too old, end of file before the stub was whole. */
export const EXIT = { NO_NODE: 97, OLD_NODE: 98, EOF: 99 } as const
/** Oldest major version of Node that the stub runs on. */
export const MIN_NODE = 12
