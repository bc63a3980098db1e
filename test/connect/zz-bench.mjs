// test/helpers/sshd.ts
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
var SSHD = "/usr/sbin/sshd";
var DROPBEAR = "/usr/sbin/dropbear";
var haveSshd = existsSync(SSHD);
var haveDropbear = existsSync(DROPBEAR) && process.getuid?.() === 0 && canUnshare();
function canUnshare() {
  try {
    execFileSync("unshare", ["-m", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
async function startSshd(options = {}) {
  if (!existsSync("/run/sshd") && process.getuid?.() === 0) mkdirSync("/run/sshd", { mode: 493 });
  const dir = mkdtempSync(join(tmpdir(), "ramet-sshd-"));
  const user = options.user ?? userInfo().username;
  const files = options.hostKeyFiles ?? (options.hostKeyTypes ?? ["ed25519"]).map((type) => makeKey(dir, `host_${type}`, type));
  const keyFile = makeKey(dir, "id", options.keyType ?? "ed25519");
  writeFileSync(join(dir, "authorized_keys"), readFileSync(`${keyFile}.pub`), { mode: 420 });
  const home = join(dir, "home");
  mkdirSync(home);
  if (options.bashrc !== void 0) writeFileSync(join(home, ".bashrc"), options.bashrc);
  if (process.getuid?.() === 0) execFileSync("chmod", ["755", dir]);
  return launch(dir, options.port, user, keyFile, files, (port) => {
    const conf = join(dir, "sshd_config");
    writeFileSync(conf, [
      ...options.config ?? [],
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      ...files.map((file) => `HostKey ${file}`),
      `AuthorizedKeysFile ${join(dir, "authorized_keys")}`,
      "StrictModes no",
      "UsePAM no",
      "PidFile none",
      "LogLevel VERBOSE",
      "PermitRootLogin yes",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "MaxStartups 200:30:300",
      "PrintMotd no",
      "UseDNS no",
      ...options.realHome ? [] : [`SetEnv HOME=${home}`],
      ""
    ].join("\n"));
    return [SSHD, "-D", "-e", "-f", conf];
  }, /Server listening on/);
}
async function startDropbear(options = {}) {
  const dir = mkdtempSync(join(tmpdir(), "ramet-dropbear-"));
  const keyFile = makeKey(dir, "id", options.keyType ?? "ed25519");
  const hostKey = join(dir, "host");
  execFileSync("dropbearkey", ["-t", "ed25519", "-f", hostKey], { stdio: "ignore" });
  const shown = execFileSync("dropbearkey", ["-y", "-f", hostKey], { encoding: "utf8" });
  writeFileSync(`${hostKey}.pub`, `${/^ssh-ed25519 \S+/m.exec(shown)?.[0] ?? ""}
`);
  const home = join(dir, "home");
  mkdirSync(join(home, ".ssh"), { recursive: true, mode: 448 });
  writeFileSync(join(home, ".ssh", "authorized_keys"), readFileSync(`${keyFile}.pub`), { mode: 384 });
  return launch(
    dir,
    void 0,
    userInfo().username,
    keyFile,
    [hostKey],
    (port) => [
      "unshare",
      "-m",
      "sh",
      "-c",
      'mount --bind "$1" "$2" && shift 2 && exec "$@"',
      "sh",
      home,
      userInfo().homedir,
      DROPBEAR,
      "-F",
      "-E",
      "-p",
      `127.0.0.1:${port}`,
      "-r",
      hostKey,
      "-P",
      join(dir, "pid"),
      ...options.args ?? []
    ],
    /Not backgrounding/
  );
}
async function launch(dir, fixedPort, user, keyFile, hostKeyFiles, command, ready) {
  for (let attempt = 1; ; attempt++) {
    const port = fixedPort ?? await freePort();
    const [program = "", ...args] = command(port);
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    const started = await new Promise((resolve) => {
      child.stderr.setEncoding("utf8");
      child.stderr.on("data", (text2) => {
        log += text2;
        if (ready.test(log)) resolve(true);
      });
      child.on("exit", () => resolve(false));
      child.on("error", (error) => {
        log += String(error);
        resolve(false);
      });
    });
    if (!started && attempt < 5 && /in use/.test(log)) continue;
    if (!started) {
      rmSync(dir, { recursive: true, force: true });
      throw new Error(`${program} did not start: ${log}`);
    }
    const hostKeys = hostKeyFiles.map((file) => readFileSync(`${file}.pub`, "utf8").trim().split(" ").slice(0, 2).join(" "));
    const knownHosts = join(dir, "known_hosts");
    writeFileSync(knownHosts, hostKeys.map((key) => `[127.0.0.1]:${port} ${key}
`).join(""));
    let stopped;
    const stop = () => stopped ??= end(child).then(() => rmSync(dir, { recursive: true, force: true }));
    return {
      host: "127.0.0.1",
      port,
      user,
      pid: child.pid ?? 0,
      dir,
      keyFile,
      key: readFileSync(keyFile, "utf8"),
      hostKeys,
      knownHosts,
      log: () => log,
      stop,
      [Symbol.asyncDispose]: stop
    };
  }
}
function makeKey(dir, name, type = "ed25519", passphrase = "") {
  const file = join(dir, name);
  execFileSync("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-f", file, "-C", name]);
  return file;
}
async function end(child) {
  const pids = child.pid === void 0 ? [] : descendants(child.pid);
  const exited = child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
    }
  }
  await exited;
  child.stderr?.destroy();
}
function descendants(root) {
  const parents = parentsOfAll();
  const found = [root];
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child);
  return found.slice(1);
}
function parentsOfAll() {
  const parents = /* @__PURE__ */ new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
    }
  }
  return parents;
}
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

// src/base/clock.ts
var systemClock = {
  now: () => Number(process.hrtime.bigint()) / 1e6,
  after(ms, fn) {
    const timer = setTimeout(fn, Math.min(ms, 2147483647));
    timer.unref();
    return () => clearTimeout(timer);
  }
};

// src/base/deferred.ts
function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

// src/router/errors.ts
var RametError = class extends Error {
  name = "RametError";
  code;
  stage;
  path;
  outcome;
  hint;
  constructor(code, message, details = {}) {
    super(message, details.cause === void 0 ? void 0 : { cause: details.cause });
    if (details.cause !== void 0 && this.cause === void 0) {
      Object.defineProperty(this, "cause", { value: details.cause, configurable: true, writable: true });
    }
    this.code = code;
    this.stage = details.stage;
    this.path = [...details.path ?? []];
    this.outcome = details.outcome ?? "failed";
    this.hint = details.hint ?? "";
  }
};
function isRametError(error) {
  return error instanceof Error && error.name === "RametError" && typeof error.code === "string";
}

// src/connect/failed-process.ts
function failedProcess(cause) {
  return {
    pipe: {
      pending: 0,
      start: (sink) => process.nextTick(() => sink.closed(cause)),
      write: () => {
      },
      pause: () => {
      },
      resume: () => {
      },
      end: () => {
      },
      close: () => {
      }
    },
    stderr: () => {
    },
    exited: Promise.resolve({ exitCode: null, signal: null }),
    kill: () => {
    }
  };
}

// src/router/pipe.ts
var PIPE_LOW_WATER = 64 * 1024;

// src/base/queue.ts
var Queue = class {
  items = [];
  head = 0;
  get length() {
    return this.items.length - this.head;
  }
  push(item) {
    this.items.push(item);
  }
  peek() {
    return this.items[this.head];
  }
  shift() {
    if (this.head === this.items.length) return void 0;
    const item = this.items[this.head];
    this.items[this.head++] = void 0;
    if (this.head === this.items.length) {
      this.items.length = 0;
      this.head = 0;
    } else if (this.head > 1024 && this.head * 2 > this.items.length) {
      this.items.splice(0, this.head);
      this.head = 0;
    }
    return item;
  }
  clear() {
    this.items.length = 0;
    this.head = 0;
  }
  *[Symbol.iterator]() {
    for (let i = this.head; i < this.items.length; i++) yield this.items[i];
  }
};

// src/connect/ssh2-flow.ts
var RECEIVE_WINDOW = 2 * 1024 * 1024;
var RECEIVE_PACKET = 32 * 1024;
var EARLY_PACKET = 16 * 1024;
var Outgoing = class {
  /** Bytes that wait for the window. */
  queued = 0;
  packet = EARLY_PACKET;
  queue = new Queue();
  /** What was left of the queue's first item. */
  rest;
  /** Sent before the login was confirmed, kept for a second try; undefined once it is certain. */
  ahead;
  loan = 0;
  granted = 0;
  sent = 0;
  /** Bytes that may be sent now. */
  get room() {
    return Math.max(this.loan, this.granted) - this.sent;
  }
  /**
   * `loan`: bytes that this server is known to take before it has granted any. They are not added to its grants: OpenSSH
   * grants 2 MiB when the command starts, and takes that much from the moment it has read the request.
   */
  begin(loan, replayable) {
    this.loan = loan;
    this.ahead = replayable ? [] : void 0;
  }
  grant(bytes) {
    this.granted += bytes;
  }
  /** Sends one piece that fits; for the caller who has looked at `queued`, `packet` and `room`. */
  pass(bytes, send) {
    this.sent += bytes.length;
    this.ahead?.push(bytes);
    send(bytes);
  }
  add(bytes) {
    this.queue.push(bytes);
    this.queued += bytes.length;
  }
  pump(send) {
    for (let room = this.room; room > 0; room = this.room) {
      const bytes = this.rest ?? this.queue.shift();
      if (bytes === void 0) return;
      const size = Math.min(bytes.length, this.packet, room);
      this.rest = size < bytes.length ? bytes.subarray(size) : void 0;
      this.queued -= size;
      this.pass(bytes.subarray(0, size), send);
    }
  }
  /** What was sent ahead went nowhere: it stands first in the queue again. */
  takeBack() {
    const again = new Queue();
    for (const bytes of [...this.ahead ?? [], ...this.rest ? [this.rest] : [], ...this.queue]) again.push(bytes);
    this.queue = again;
    this.rest = void 0;
    this.queued += this.sent;
    this.sent = 0;
    this.granted = 0;
    this.loan = 0;
    this.ahead = void 0;
  }
  /** What was sent ahead has arrived somewhere: it will never be sent again. */
  settle() {
    this.ahead = void 0;
  }
  clear() {
    this.queue.clear();
    this.rest = void 0;
    this.queued = 0;
    this.ahead = void 0;
  }
};
var Incoming = class {
  held = [];
  flowing = true;
  delivering = false;
  window = RECEIVE_WINDOW;
  used = 0;
  adjust;
  onData;
  onStderr;
  constructor(adjust) {
    this.adjust = adjust;
  }
  /** False when the server broke its window. */
  push(bytes, stderr) {
    this.window -= bytes.length;
    if (this.window < 0) return false;
    const take = this.taker(stderr);
    if (take === void 0 || this.held.length > 0) {
      this.held.push({ stderr, bytes });
      this.deliver();
    } else {
      this.consumed(bytes.length);
      take(bytes);
    }
    return true;
  }
  pause() {
    this.flowing = false;
  }
  resume() {
    this.flowing = true;
    this.deliver();
  }
  /** Hands out what was held and now has a taker, each stream in order. */
  deliver() {
    if (this.delivering || this.held.length === 0) return;
    this.delivering = true;
    const kept = [];
    for (const item of this.held) {
      const take = this.taker(item.stderr);
      if (take === void 0) kept.push(item);
      else {
        this.consumed(item.bytes.length);
        take(item.bytes);
      }
    }
    this.held = kept;
    this.delivering = false;
  }
  /** True while something is held for a taker that has come forward but pauses. */
  holds(stderr) {
    const taker = stderr ? this.onStderr : this.onData;
    return taker !== void 0 && this.held.some((item) => item.stderr === stderr);
  }
  /** Nothing more is wanted; what still comes is counted and dropped. */
  discard() {
    this.held = [];
    this.flowing = true;
    this.onData = this.onStderr = () => {
    };
  }
  taker(stderr) {
    return this.flowing ? stderr ? this.onStderr : this.onData : void 0;
  }
  consumed(bytes) {
    this.used += bytes;
    if (this.used < RECEIVE_WINDOW / 2) return;
    this.window += this.used;
    const used = this.used;
    this.used = 0;
    this.adjust(used);
  }
};

// src/connect/ssh2-protocol.ts
import constants from "ssh2/lib/protocol/constants.js";
import crypto from "ssh2/lib/protocol/crypto.js";
import Protocol from "ssh2/lib/protocol/Protocol.js";
import utils from "ssh2/lib/protocol/utils.js";
var {
  DEFAULT_KEX,
  DEFAULT_SERVER_HOST_KEY,
  DEFAULT_CIPHER,
  DEFAULT_MAC,
  SUPPORTED_KEX,
  SUPPORTED_SERVER_HOST_KEY,
  SUPPORTED_CIPHER,
  SUPPORTED_MAC
} = constants;
var { sendPacket } = utils;
var cryptoReady = crypto.init;
function offeredAlgorithms(wanted = {}) {
  const pick = (names, known, standard) => names === void 0 ? standard : names.filter((name) => known.includes(name));
  return {
    kex: pick(wanted.kex, SUPPORTED_KEX, DEFAULT_KEX),
    serverHostKey: pick(wanted.serverHostKey, SUPPORTED_SERVER_HOST_KEY, DEFAULT_SERVER_HOST_KEY),
    cipher: pick(wanted.cipher, SUPPORTED_CIPHER, DEFAULT_CIPHER),
    hmac: pick(wanted.hmac, SUPPORTED_MAC, DEFAULT_MAC)
  };
}
function createProtocol(config) {
  const lists = offeredAlgorithms(config.algorithms);
  const way = { cipher: lists.cipher, mac: lists.hmac, compress: ["none"], lang: [] };
  const offer = { kex: lists.kex, serverHostKey: lists.serverHostKey, cs: way, sc: way };
  return new Protocol({ ...config, offer });
}
function rekeying(protocol) {
  return protocol._kexinit !== void 0;
}
var text = (value) => string(Buffer.from(value));
function string(bytes) {
  const out = Buffer.allocUnsafe(4 + bytes.length);
  out.writeUInt32BE(bytes.length, 0);
  out.set(bytes, 4);
  return out;
}
function publicKeyRequest(user, algorithm, blob, signed) {
  return Buffer.concat([
    Buffer.of(50),
    text(user),
    text("ssh-connection"),
    text("publickey"),
    Buffer.of(signed ? 1 : 0),
    text(algorithm),
    string(blob)
  ]);
}
function dataToSign(protocol, request) {
  return Buffer.concat([string(protocol._kex.sessionID), request]);
}
function sendPublicKey(protocol, request, signature) {
  const payload = signature === void 0 ? request : Buffer.concat([request, string(signature)]);
  const writer = protocol._packetRW.write;
  const at = writer.allocStart;
  const packet = writer.alloc(payload.length);
  packet.set(payload, at);
  protocol._authsQueue.push("publickey");
  sendPacket(protocol, writer.finalize(packet));
}

// src/connect/ssh2-channel.ts
var SshChannel = class {
  /**
   * waiting: nothing sent · ahead: open, exec and first bytes left before the login was confirmed · opening: waits for the
   * server's channel number · running · closing: our CLOSE is sent · closed
   */
  state = "waiting";
  pipe = this;
  exited;
  command;
  /** Our number for the channel, -1 before it has one. */
  id = -1;
  owner;
  remote = 0;
  sink;
  ended = deferred();
  result = { exitCode: null, signal: null };
  outgoing = new Outgoing();
  incoming;
  full = false;
  eof = "no";
  unwanted = false;
  remoteEnded = false;
  cause;
  told = false;
  constructor(command, owner) {
    this.command = command;
    this.owner = owner;
    this.exited = this.ended.promise;
    this.incoming = new Incoming((bytes) => {
      if (this.state === "running" && !this.remoteEnded) this.owner.protocol()?.channelWindowAdjust(this.remote, bytes);
    });
  }
  // -- towards the server --
  get pending() {
    return this.state === "closed" ? 0 : this.outgoing.queued + this.owner.wirePending();
  }
  write(bytes) {
    if (this.state === "closed" || this.unwanted || this.eof !== "no" || bytes.length === 0) return;
    const { outgoing } = this;
    if (outgoing.queued === 0 && bytes.length <= outgoing.packet && bytes.length <= outgoing.room && this.mayWrite()) {
      outgoing.pass(bytes, this.send);
    } else {
      outgoing.add(bytes);
      this.pump();
    }
    if (!this.full && this.pending > PIPE_LOW_WATER) this.full = true;
  }
  end() {
    if (this.eof !== "no") return;
    this.eof = "wanted";
    this.pump();
  }
  close() {
    if (this.state === "closed" || this.unwanted) return;
    this.unwanted = true;
    this.outgoing.clear();
    this.incoming.discard();
    this.sendClose();
    process.nextTick(() => this.tellClosed());
  }
  kill(signal) {
    if (this.state === "running") this.owner.protocol()?.signal(this.remote, (signal ?? "SIGKILL").replace(/^SIG/, ""));
    if (signal === void 0) this.close();
  }
  /** Sends what window, login and key exchange allow; called whenever one of them has changed. */
  pump() {
    if (this.mayWrite()) {
      this.outgoing.pump(this.send);
      if (this.eof === "wanted" && this.outgoing.queued === 0) {
        this.eof = "sent";
        this.owner.protocol()?.channelEOF(this.remote);
      }
    }
    this.wireDrained();
  }
  /** The operating system took something. */
  wireDrained() {
    if (!this.full || this.pending >= PIPE_LOW_WATER) return;
    this.full = false;
    if (!this.told) this.sink?.drain();
  }
  // -- towards us --
  start(sink) {
    this.sink = sink;
    process.nextTick(() => {
      if (!this.unwanted) this.incoming.onData = (bytes) => sink.data(bytes);
      this.deliver();
    });
  }
  stderr(listener) {
    if (this.unwanted) return;
    this.incoming.onStderr = listener;
    process.nextTick(() => this.deliver());
  }
  pause() {
    if (!this.unwanted) this.incoming.pause();
  }
  resume() {
    this.incoming.resume();
    this.deliver();
  }
  // -- life, driven by the connection --
  /** Sends open, exec and the first bytes without waiting. The server is known to call its first channel 0. */
  launchAhead(id, loan) {
    this.id = id;
    this.remote = 0;
    this.state = "ahead";
    this.outgoing.begin(loan, true);
    this.owner.protocol()?.session(id, RECEIVE_WINDOW, RECEIVE_PACKET);
    this.owner.protocol()?.exec(0, this.command, true);
    this.pump();
  }
  /** The login was refused, so what was sent ahead went nowhere: it will be sent again. */
  takeBack() {
    if (this.state !== "ahead") return;
    this.state = "waiting";
    this.outgoing.takeBack();
    if (this.eof === "sent") this.eof = "wanted";
  }
  /** The login is confirmed: what was sent ahead is carried out, once. */
  settle() {
    this.outgoing.settle();
  }
  launch(id, loan) {
    this.id = id;
    this.state = "opening";
    this.outgoing.begin(loan, false);
    this.owner.protocol()?.session(id, RECEIVE_WINDOW, RECEIVE_PACKET);
  }
  opened(remote, window, packetSize) {
    if (this.state !== "ahead" && this.state !== "opening") return;
    if (this.state === "ahead" && remote !== 0) {
      this.owner.fail(this.owner.error(
        "launch-failed",
        `the server called its first channel ${remote}, not 0`,
        "Use transport openssh for this server, and report its version."
      ));
      return;
    }
    const ahead = this.state === "ahead";
    this.state = "running";
    this.remote = remote;
    this.outgoing.grant(window);
    this.outgoing.packet = Math.max(1, Math.min(packetSize, RECEIVE_PACKET));
    if (this.unwanted) return this.sendClose();
    if (!ahead) this.owner.protocol()?.exec(remote, this.command, true);
    this.pump();
  }
  refused(text2) {
    this.finish(this.owner.error(
      "launch-failed",
      `the server refused to open a channel (${text2})`,
      "The server may allow fewer sessions per connection (MaxSessions in sshd_config, 10 by default): use fewer at once."
    ));
  }
  execRefused() {
    this.sendClose();
    this.finish(this.owner.error(
      "launch-failed",
      "the server refused to start a command",
      "The account may be restricted to a subsystem or to forwarding; try it with ssh."
    ));
  }
  adjust(bytes) {
    this.outgoing.grant(bytes);
    this.pump();
  }
  received(bytes, stderr) {
    if (this.state === "closed" || this.remoteEnded) return;
    if (this.incoming.push(bytes, stderr)) return;
    this.owner.fail(this.owner.error("protocol-error", "the server sent more than its window allows", "Report the server's version."));
  }
  request(type, wantReply, data) {
    if (type === "exit-status" && typeof data === "number") this.result = { exitCode: data, signal: null };
    else if (type === "exit-signal") {
      this.result = { exitCode: null, signal: `SIG${data.signal ?? ""}` };
    } else if (wantReply) this.owner.protocol()?.channelFailure(this.remote);
  }
  endOfFile() {
    this.remoteEnded = true;
    this.deliver();
  }
  /** The server closed the channel, or there is no connection any more. May be called again. */
  finish(cause) {
    if (this.state === "closed") return;
    if (cause === void 0 && this.state === "running") this.sendClose();
    this.state = "closed";
    this.cause = cause;
    this.outgoing.clear();
    this.owner.gone(this);
    this.deliver();
  }
  mayWrite() {
    if (this.state !== "running" && this.state !== "ahead") return false;
    const protocol = this.owner.protocol();
    return protocol !== void 0 && !rekeying(protocol);
  }
  send = (bytes) => {
    this.owner.protocol()?.channelData(this.remote, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  };
  sendClose() {
    if (this.state === "running") {
      this.state = "closing";
      this.owner.protocol()?.channelClose(this.remote);
    } else if (this.state === "waiting") this.finish();
  }
  deliver() {
    this.incoming.deliver();
    if (this.incoming.holds(false)) return;
    if (this.remoteEnded || this.state === "closed") this.tellClosed();
    if (this.state === "closed" && !this.incoming.holds(true)) this.ended.resolve(this.result);
  }
  tellClosed() {
    if (this.told || this.sink === void 0) return;
    this.told = true;
    this.full = false;
    this.sink.closed(this.cause);
  }
};

// src/connect/ssh2-host-key.ts
import { createHash } from "node:crypto";
var HostKeyGate = class {
  state = "waiting";
  blob;
  host;
  port;
  name;
  verify;
  constructor(host, port, name, verify) {
    this.host = host;
    this.port = port;
    this.name = name;
    this.verify = verify;
  }
  /** ssh2's verifier: true lets the key exchange go on. */
  offered(blob) {
    if (this.state === "waiting") {
      this.blob = Buffer.from(blob);
      this.state = "offered";
      return true;
    }
    return this.state === "accepted" && this.blob?.equals(blob) === true;
  }
  /** Called when the server has proven the key. Throws unless the verifier said `true`. */
  decide() {
    const blob = this.blob;
    if (this.state !== "offered" || blob === void 0) throw this.denied(void 0);
    this.state = "denied";
    let verdict;
    try {
      verdict = this.verify(this.describe(blob));
    } catch (error) {
      throw isRametError(error) ? error : this.denied(error);
    }
    if (verdict !== true) {
      if (verdict instanceof Promise) verdict.catch(() => {
      });
      throw this.denied(void 0);
    }
    this.state = "accepted";
  }
  /** The error for a key exchange that showed another key than the first one. */
  changed() {
    return new RametError("host-key-changed", `${this.name}: the host key changed while the connection was open`, {
      stage: "host-key",
      path: [this.name],
      hint: "Treat the network as hostile; find out who answers for this host."
    });
  }
  describe(blob) {
    const length = blob.length >= 4 ? blob.readUInt32BE(0) : 0;
    const type = blob.toString("latin1", 4, 4 + Math.min(length, 64));
    return { host: this.host, port: this.port, type, blob, fingerprint: fingerprint(blob) };
  }
  denied(cause) {
    const key = this.blob === void 0 ? void 0 : this.describe(this.blob);
    return new RametError("host-key-refused", `${this.name}: host key ${key ? `${key.type} ${key.fingerprint} ` : ""}was not accepted`, {
      stage: "host-key",
      path: [this.name],
      outcome: "not-sent",
      cause,
      hint: "Compare the fingerprint with the server's own (ssh-keygen -l) and add the key to known_hosts; a verifier must return true, not a promise."
    });
  }
};
function fingerprint(blob) {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

// src/connect/ssh-key.ts
function signatureAlgorithms(type, offered) {
  const plain = type.replace(/-cert-v01@openssh\.com$/, "");
  if (plain !== "ssh-rsa") return offered === void 0 || plain !== type || offered.includes(type) ? [type] : [];
  const suffix = plain === type ? "" : "-cert-v01@openssh.com";
  const names = offered === void 0 ? ["rsa-sha2-256", "ssh-rsa"] : ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"].filter((name) => offered.includes(name)).slice(0, 1);
  return names.map((name) => suffix && name === "ssh-rsa" ? type : name + suffix);
}

// src/connect/ssh2-auth.ts
var MAX_PROMPTS = 3;
var Authenticator = class {
  state = "idle";
  options;
  owner;
  /** Keys to come; then the one whose turn it is, and the algorithms still to try with it. */
  keys;
  key;
  algorithms = [];
  current;
  method = "none";
  /** What the server would go on with; undefined until it has refused something. */
  methods;
  tried = [];
  password;
  prompts = 0;
  constructor(options, owner) {
    this.options = options;
    this.owner = owner;
    this.password = options.password;
    this.keys = [...options.keys];
  }
  /** Sends the first key's signed request at once; false when the first key cannot be used so. Synchronous. */
  attemptAhead() {
    const key = this.options.keys[0];
    const protocol = this.owner.protocol();
    if (key === void 0 || !key.local || protocol === void 0) return false;
    const attempt = this.nextAttempt();
    if (attempt === void 0) return false;
    let signature;
    const request = publicKeyRequest(this.options.user, attempt.algorithm, attempt.key.publicBlob, true);
    try {
      signature = attempt.key.sign(dataToSign(protocol, request), attempt.algorithm);
    } catch {
      return false;
    }
    if (signature instanceof Promise) {
      signature.catch(() => {
      });
      this.keys.unshift(key);
      this.algorithms = [];
      return false;
    }
    this.state = "ahead";
    this.method = "publickey";
    this.current = attempt;
    this.tried.push(`key ${attempt.key.comment}`);
    sendPublicKey(protocol, request, signature);
    return true;
  }
  /** Starts the slow way. */
  start() {
    if (this.state !== "idle") return;
    if (this.keys.length > 0) this.next();
    else {
      this.state = "asked";
      this.method = "none";
      this.owner.protocol()?.authNone(this.options.user);
    }
  }
  success() {
    if (this.state === "done" || this.state === "failed") return;
    this.state = "done";
    this.owner.authenticated();
  }
  failure(methods, partial) {
    if (this.state === "done" || this.state === "failed" || this.state === "idle") return;
    this.methods = methods ?? [];
    const ahead = this.state === "ahead";
    this.state = "asked";
    if (ahead) this.owner.refusedAhead();
    if (partial) this.tried.push("(accepted, more wanted)");
    this.next();
  }
  /** The server would take the key it was asked about. */
  wanted() {
    const attempt = this.current;
    if (this.state !== "offering" || attempt === void 0) return;
    this.state = "asked";
    void this.sign(attempt, true);
  }
  /** Questions for a person; the answers go back in order. */
  questions(name, text2, prompts) {
    if (this.method !== "keyboard-interactive" || this.state !== "asked") return;
    void this.answer([name, text2].filter((part) => part !== "").join("\n"), prompts);
  }
  passwordExpired(text2) {
    this.fail("auth-failed", `the server wants a new password (${printable(text2)})`, "Log in with ssh and change it.");
  }
  /** The next key and algorithm, chosen with what the server has said by now. */
  nextAttempt() {
    for (; ; ) {
      const algorithm = this.algorithms.shift();
      if (algorithm !== void 0 && this.key !== void 0) return { key: this.key, algorithm };
      this.key = this.keys.shift();
      if (this.key === void 0) return void 0;
      this.algorithms = signatureAlgorithms(this.key.type, this.owner.offered() ?? (this.key.type === "ssh-rsa" && this.owner.known() ? ["rsa-sha2-256"] : void 0));
    }
  }
  next() {
    const can = (method) => this.methods === void 0 || this.methods.includes(method);
    const attempt = can("publickey") ? this.nextAttempt() : void 0;
    if (attempt !== void 0) return this.offer(attempt);
    if (this.methods === void 0) {
      this.state = "asked";
      this.method = "none";
      this.owner.protocol()?.authNone(this.options.user);
      return;
    }
    const person = this.options.prompt !== void 0 && this.prompts < MAX_PROMPTS;
    if (this.password !== void 0 && can("password")) return this.sendPassword(this.takePassword());
    if (can("keyboard-interactive") && (this.password !== void 0 || person)) {
      this.method = "keyboard-interactive";
      this.state = "asked";
      this.tried.push("keyboard-interactive");
      this.owner.protocol()?.authKeyboard(this.options.user);
      return;
    }
    if (can("password") && person) return void this.askPassword();
    this.giveUp();
  }
  offer(attempt) {
    const protocol = this.owner.protocol();
    if (protocol === void 0) return;
    this.current = attempt;
    this.method = "publickey";
    const label = `key ${attempt.key.comment}`;
    if (this.tried[this.tried.length - 1] !== label) this.tried.push(label);
    if (attempt.key.local) {
      this.state = "asked";
      void this.sign(attempt, false);
      return;
    }
    this.state = "offering";
    sendPublicKey(protocol, publicKeyRequest(this.options.user, attempt.algorithm, attempt.key.publicBlob, false));
  }
  async sign(attempt, offered) {
    const protocol = this.owner.protocol();
    if (protocol === void 0) return;
    const request = publicKeyRequest(this.options.user, attempt.algorithm, attempt.key.publicBlob, true);
    let signature;
    const asked = attempt.key.local ? void 0 : this.owner.asking();
    try {
      signature = await attempt.key.sign(dataToSign(protocol, request), attempt.algorithm);
    } catch (error) {
      if (isRametError(error)) return this.failWith(error);
      this.tried.push(`(could not sign: ${printable(String(error?.message ?? error))})`);
      if (this.live()) this.next();
      return;
    } finally {
      asked?.();
    }
    if (!this.live()) return;
    sendPublicKey(protocol, request, signature);
    if (offered && this.owner.goAhead()) this.state = "ahead";
  }
  takePassword() {
    const password = this.password ?? "";
    this.password = void 0;
    return password;
  }
  sendPassword(password) {
    this.method = "password";
    this.state = "asked";
    this.tried.push("password");
    this.owner.protocol()?.authPassword(this.options.user, password);
  }
  async askPassword() {
    const password = await this.ask("password", `Password for ${this.options.name}: `);
    if (password !== void 0 && this.live()) this.sendPassword(password);
  }
  async answer(text2, prompts) {
    const answers = [];
    for (const item of prompts) {
      if (this.password !== void 0 && prompts.length === 1 && !item.echo) answers.push(this.takePassword());
      else if (this.options.prompt === void 0) return this.giveUp();
      else {
        const answer = await this.ask("interactive", [printable(text2), printable(item.prompt)].filter((part) => part !== "").join("\n"));
        if (answer === void 0) return;
        answers.push(answer);
      }
    }
    if (this.live()) this.owner.protocol()?.authInfoRes(answers);
  }
  async ask(kind, text2) {
    const { prompt, name } = this.options;
    if (prompt === void 0) return void 0;
    this.prompts++;
    const asked = this.owner.asking();
    try {
      return await prompt({ kind, path: [name], text: text2 });
    } catch (error) {
      this.failWith(isRametError(error) ? error : new RametError("prompt-needed", `${name}: the prompt gave no answer`, {
        stage: "auth",
        path: [name],
        outcome: "not-sent",
        cause: error,
        hint: "Answer the prompt, or give a key."
      }));
      return void 0;
    } finally {
      asked();
    }
  }
  live() {
    return this.state !== "done" && this.state !== "failed" && this.owner.protocol() !== void 0;
  }
  giveUp() {
    const offers = this.methods?.join(", ") || "nothing";
    const people = this.methods?.some((method) => method === "password" || method === "keyboard-interactive");
    if (this.tried.length === 0 && people && this.options.prompt === void 0) {
      return this.fail(
        "prompt-needed",
        `a password is wanted for ${this.options.user} (the server offers ${offers})`,
        "Give a key, a password, or a prompt that can ask for one."
      );
    }
    this.fail(
      "auth-failed",
      `login as ${this.options.user} was refused; tried ${this.tried.join(", ") || "nothing"}; the server offers ${offers}`,
      "Check the user name and that the key is in its authorized_keys. OpenSSH 9.8 and newer shuts out addresses whose logins fail (PerSourcePenalties)."
    );
  }
  fail(code, text2, hint) {
    const { name } = this.options;
    this.failWith(new RametError(code, `${name}: ${text2}`, { stage: "auth", path: [name], outcome: "not-sent", hint }));
  }
  failWith(error) {
    if (!this.live()) return;
    this.state = "failed";
    this.owner.failed(error);
  }
  /** For a connection that is lost while logging in. */
  describe() {
    return this.tried.join(", ");
  }
};
function printable(text2) {
  return text2.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, "?").slice(0, 1e3);
}

// src/connect/ssh2-transport.ts
var GREETING_CAP = 512;
var SshTransport = class {
  state = "ident";
  protocol;
  /** 'OpenSSH_9.2p1', 'dropbear_2022.83', …; '' before it is known. */
  ident = "";
  /** Signature algorithms that the server said it accepts. */
  signatureAlgorithms;
  negotiated;
  /** Resolves when the pipe is gone. */
  gone = deferred();
  options;
  greeting = Buffer.alloc(0);
  constructor(options) {
    this.options = options;
    this.protocol = createProtocol({
      algorithms: options.algorithms,
      messageHandlers: options.handlers,
      hostVerifier: (blob) => options.gate.offered(blob),
      onWrite: (bytes) => options.pipe.write(bytes),
      onHeader: (header) => {
        this.ident = header.versions.software;
        this.state = "exchange";
      },
      onHandshakeComplete: (negotiated) => this.exchanged(negotiated),
      onError: (error) => this.fail(this.protocolError(error))
    });
  }
  /** ssh2's cryptography must be ready. */
  start() {
    const { pipe, owner } = this.options;
    pipe.start({
      data: (bytes) => this.received(bytes),
      drain: () => owner.drained(),
      closed: (cause) => {
        this.fail(this.lossError(cause));
        this.gone.resolve();
      }
    });
    if (this.state !== "closed") this.protocol.start?.();
  }
  /** Ends the connection with a goodbye if it can still be sent. */
  close() {
    if (this.state === "closed") return;
    if (this.state === "secured") {
      try {
        this.protocol.disconnect(11);
      } catch {
      }
    }
    this.shut();
  }
  fail(error) {
    if (this.state === "closed") return;
    this.shut();
    this.options.owner.lost(error);
  }
  shut() {
    this.state = "closed";
    process.nextTick(() => {
      this.options.pipe.close();
      this.protocol.cleanup();
    });
  }
  received(bytes) {
    if (this.state === "closed") return;
    if (this.state === "ident" && this.greeting.length < GREETING_CAP) {
      this.greeting = Buffer.concat([this.greeting, bytes.subarray(0, GREETING_CAP - this.greeting.length)]);
    }
    try {
      this.protocol.parse(bytes, 0, bytes.length);
    } catch (error) {
      this.fail(this.protocolError(error));
    }
  }
  exchanged(negotiated) {
    if (this.state === "closed") return;
    this.negotiated = negotiated;
    if (this.state === "secured") return this.options.owner.rekeyed();
    try {
      this.options.gate.decide();
    } catch (error) {
      return this.fail(error);
    }
    this.state = "secured";
    this.options.owner.secured();
  }
  protocolError(cause) {
    const { name, gate } = this.options;
    const text2 = cause.message;
    const fail = (code, message, hint) => new RametError(code, `${name}: ${message}`, {
      stage: "host-key",
      path: [name],
      cause,
      hint,
      outcome: this.state === "secured" ? "unknown" : "not-sent"
    });
    if (/^Host denied/.test(text2)) return gate.changed();
    const missing = /no matching (.*)$/i.exec(text2);
    if (missing) {
      return fail(
        "algorithm-mismatch",
        `the server offers no ${missing[1]} that ssh2 knows`,
        "Use transport openssh (--transport openssh), whose client knows newer and older algorithms."
      );
    }
    if (this.state === "ident") {
      return new RametError("connect-failed", `${name}: what answers there is no SSH server${this.said()}`, {
        stage: "tcp",
        path: [name],
        outcome: "not-sent",
        cause,
        hint: "Check the port."
      });
    }
    return fail("protocol-error", `the SSH connection broke (${text2})`, "Try transport openssh, and report the server's version.");
  }
  lossError(cause) {
    const { name } = this.options;
    const said = this.said();
    if (this.state === "ident") {
      return new RametError("connect-failed", `${name}: the server closed the connection before it said who it is${said}`, {
        stage: "tcp",
        path: [name],
        outcome: "not-sent",
        cause,
        hint: "It may have too many logins under way (MaxStartups) or have banned this address for a while (PerSourcePenalties): connect to fewer targets behind one server at once, or wait."
      });
    }
    if (this.state === "exchange") {
      return new RametError("connect-failed", `${name}: the connection was lost during the key exchange`, {
        stage: "host-key",
        path: [name],
        outcome: "not-sent",
        cause,
        hint: "Look into the server's log."
      });
    }
    return new RametError("link-lost", `${name}: the connection was lost`, {
      path: [name],
      outcome: "unknown",
      cause,
      hint: "The network or the SSH server ended it; look into the server's log."
    });
  }
  /** What came before any identification, harmless to show. */
  said() {
    const text2 = this.greeting.toString("latin1").split("\n")[0]?.replace(/[^\x20-\x7e]/g, "").trim().slice(0, 120) ?? "";
    return text2 === "" ? "" : `; it said "${text2}"`;
  }
};

// src/connect/ssh2-session.ts
function knownServer(ident) {
  const openssh = /^OpenSSH_(\d+)\.(\d+)/.exec(ident);
  if (openssh) return Number(openssh[1]) * 100 + Number(openssh[2]) >= 702 ? { loan: 128 * 1024 } : void 0;
  return /^dropbear_20(?:2\d|[3-9]\d)\./.test(ident) ? { loan: 24576 } : void 0;
}
var SshSession = class {
  state = "connecting";
  transport;
  pipe;
  options;
  owner;
  auth;
  channels = /* @__PURE__ */ new Map();
  nextChannel = 0;
  /** A process was sent ahead of the login's answer, which may have upset the server. */
  wentAhead = false;
  constructor(options, owner) {
    this.options = options;
    this.owner = owner;
    this.pipe = options.pipe;
    this.transport = new SshTransport({
      name: options.auth.name,
      pipe: options.pipe,
      gate: options.gate,
      algorithms: options.algorithms,
      handlers: this.handlers(),
      owner: {
        secured: () => this.secured(),
        rekeyed: () => this.each((channel) => channel.pump()),
        drained: () => this.each((channel) => channel.wireDrained()),
        lost: (error) => this.lost(error)
      }
    });
    this.auth = new Authenticator(options.auth, {
      protocol: () => this.protocol(),
      offered: () => this.transport.signatureAlgorithms,
      known: () => this.known() !== void 0,
      asking: () => owner.asking(),
      refusedAhead: () => {
        this.channels.clear();
        this.nextChannel = 0;
        this.options.first()?.takeBack();
      },
      goAhead: () => this.launchAhead(),
      failed: (error) => this.transport.fail(error),
      authenticated: () => {
        this.state = "open";
        this.each((channel) => channel.settle());
        this.owner.authenticated();
      }
    });
  }
  start() {
    this.transport.start();
  }
  /** Starts a process; only on an open session. */
  launch(channel) {
    const id = this.nextChannel++;
    this.channels.set(id, channel);
    const known = this.known();
    if (id === 0 && known !== void 0 && this.options.flight === "auto") {
      channel.launchAhead(id, known.loan);
      channel.settle();
    } else channel.launch(id, known?.loan ?? 0);
  }
  /** The session has started this channel, or is about to. */
  has(channel) {
    return this.channels.get(channel.id) === channel;
  }
  protocol = () => this.state !== "closed" && this.transport.state === "secured" ? this.transport.protocol : void 0;
  wirePending() {
    return this.state === "closed" ? 0 : this.pipe.pending;
  }
  gone(channel) {
    if (this.has(channel)) this.channels.delete(channel.id);
  }
  fail(error) {
    this.transport.fail(error);
  }
  close() {
    if (this.state === "closed") return;
    this.state = "closed";
    this.transport.close();
    this.channels.clear();
  }
  known() {
    return knownServer(this.transport.ident);
  }
  each(visit) {
    for (const channel of [...this.channels.values()]) visit(channel);
  }
  secured() {
    this.state = "login";
    this.owner.stage("auth");
    this.transport.protocol.service("ssh-userauth");
    if (this.known() === void 0 || this.options.flight === "slow") return;
    if (this.auth.attemptAhead()) this.launchAhead();
    else this.auth.start();
  }
  /** Starts the first process behind a login that has not been answered yet. */
  launchAhead() {
    const known = this.known();
    const first = this.options.first();
    if (known === void 0 || first === void 0 || this.options.flight === "slow") return false;
    this.wentAhead = true;
    this.channels.set(this.nextChannel++, first);
    first.launchAhead(0, known.loan);
    return true;
  }
  lost(error) {
    if (this.state === "closed") return;
    const login = this.state === "login";
    const ahead = login && this.wentAhead;
    this.state = "closed";
    this.channels.clear();
    this.owner.lost(login && error.code === "link-lost" ? this.loginLost(error) : error, ahead);
  }
  loginLost(cause) {
    const { name, user } = this.options.auth;
    const tried = this.auth.describe();
    return new RametError("auth-failed", `${name}: the server ended the connection while logging in as ${user}${tried ? `; tried ${tried}` : ""}${cause.cause instanceof Error ? ` (${cause.cause.message})` : ""}`, {
      stage: "auth",
      path: [name],
      outcome: "not-sent",
      cause,
      hint: "It may allow fewer attempts (MaxAuthTries): name the one key that is meant (IdentityFile with IdentitiesOnly)."
    });
  }
  handlers() {
    const at = (id) => this.channels.get(id);
    return {
      DISCONNECT: (_, reason, text2) => this.disconnected(reason, text2 ?? ""),
      SERVICE_ACCEPT: () => this.auth.start(),
      EXT_INFO: (_, extensions) => {
        this.transport.signatureAlgorithms ??= extensions.find((item) => item.name === "server-sig-algs")?.algs;
      },
      USERAUTH_SUCCESS: () => {
        if (this.state === "login") this.auth.success();
      },
      USERAUTH_FAILURE: (_, methods, partial) => this.auth.failure(methods, partial),
      USERAUTH_PK_OK: () => this.auth.wanted(),
      USERAUTH_PASSWD_CHANGEREQ: (_, text2) => this.auth.passwordExpired(text2),
      USERAUTH_INFO_REQUEST: (_, name, text2, prompts) => this.auth.questions(name, text2, prompts),
      GLOBAL_REQUEST: (protocol, _, wantReply) => {
        if (wantReply) protocol.requestFailure();
      },
      CHANNEL_OPEN_CONFIRMATION: (_, info) => at(info.recipient)?.opened(info.sender, info.window, info.packetSize),
      CHANNEL_OPEN_FAILURE: (_, id, reason, text2) => at(id)?.refused(text2 || `reason ${reason}`),
      CHANNEL_DATA: (_, id, data) => at(id)?.received(data, false),
      CHANNEL_EXTENDED_DATA: (_, id, data) => at(id)?.received(data, true),
      CHANNEL_WINDOW_ADJUST: (_, id, bytes) => at(id)?.adjust(bytes),
      CHANNEL_SUCCESS: () => {
      },
      CHANNEL_FAILURE: (_, id) => at(id)?.execRefused(),
      CHANNEL_REQUEST: (_, id, type, wantReply, data) => at(id)?.request(type, wantReply, data),
      CHANNEL_EOF: (_, id) => at(id)?.endOfFile(),
      CHANNEL_CLOSE: (_, id) => at(id)?.finish()
    };
  }
  disconnected(reason, text2) {
    const { name } = this.options.auth;
    const said = text2.replace(/[\x00-\x1f\x7f-\x9f]/g, "?").slice(0, 200);
    this.transport.fail(new RametError("link-lost", `${name}: the server ended the connection${said ? `: ${said}` : ` (reason ${reason})`}`, {
      path: [name],
      outcome: "unknown",
      cause: new Error(said || `reason ${reason}`),
      hint: "Look into the server's log."
    }));
  }
};

// src/connect/tcp.ts
import { connect } from "node:net";

// src/base/bytes.ts
function joinBytes(chunks) {
  if (chunks.length === 1) return chunks[0];
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
var NO_BYTES = new Uint8Array(0);

// src/connect/stream-pipe.ts
var JOIN_BELOW = 16 * 1024;
var FLUSH_AT = 64 * 1024;
var StreamPipe = class {
  state = "new";
  /** Bytes delivered and bytes taken so far. */
  bytesIn = 0;
  bytesOut = 0;
  readable;
  writable;
  sink;
  unsent = [];
  unsentBytes = 0;
  scheduled = false;
  full = false;
  writing = "open";
  ended = false;
  cause;
  constructor(readable, writable) {
    this.readable = readable;
    this.writable = writable;
    const one = readable === writable;
    readable.on("error", (error) => this.cause ??= error);
    readable.on("close", () => this.finish());
    if (!one) {
      writable.on("error", () => this.stopWriting());
      writable.on("close", () => this.stopWriting());
    }
  }
  start(sink) {
    this.sink = sink;
    if (this.state === "closed") {
      process.nextTick(() => sink.closed(this.cause));
      return;
    }
    this.state = "started";
    this.readable.on("end", () => {
      this.ended = true;
      this.finish();
    });
    this.readable.on("data", (chunk) => {
      this.bytesIn += chunk.length;
      if (this.state === "started") sink.data(chunk);
    });
    if (this.readable.destroyed) process.nextTick(() => this.finish());
  }
  get pending() {
    return this.unsentBytes + (this.writing === "ended" ? 0 : this.writable.writableLength);
  }
  write(bytes) {
    if (this.writing !== "open" || bytes.length === 0) return;
    this.bytesOut += bytes.length;
    this.unsent.push(bytes);
    this.unsentBytes += bytes.length;
    if (this.unsentBytes >= FLUSH_AT) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      process.nextTick(this.onTick);
    }
    if (!this.full && this.pending > PIPE_LOW_WATER) this.full = true;
  }
  pause() {
    if (this.state !== "closed") this.readable.pause();
  }
  resume() {
    if (this.state === "started") this.readable.resume();
  }
  end() {
    if (this.writing !== "open") return;
    this.flush();
    this.writing = "ending";
    this.writable.end();
  }
  close() {
    if (this.state === "closed") return;
    this.stopWriting();
    this.readable.destroy();
    this.writable.destroy();
  }
  onTick = () => {
    this.scheduled = false;
    if (this.writing === "open") this.flush();
  };
  flush() {
    const chunks = this.unsent;
    if (chunks.length === 0) return;
    const bytes = this.unsentBytes;
    this.unsent = [];
    this.unsentBytes = 0;
    if (chunks.length === 1 || bytes <= JOIN_BELOW) {
      this.writable.write(joinBytes(chunks), this.onWritten);
      return;
    }
    this.writable.cork();
    const last = chunks.length - 1;
    for (let i = 0; i < last; i++) this.writable.write(chunks[i] ?? NO_BYTES);
    this.writable.write(chunks[last] ?? NO_BYTES, this.onWritten);
    this.writable.uncork();
  }
  onWritten = () => {
    if (this.full && this.pending < PIPE_LOW_WATER) this.drained();
  };
  drained() {
    this.full = false;
    if (this.state === "started") this.sink?.drain();
  }
  stopWriting() {
    if (this.writing === "ended") return;
    this.writing = "ended";
    this.unsent = [];
    this.unsentBytes = 0;
    if (this.full) process.nextTick(() => this.drained());
  }
  finish() {
    if (this.state === "closed") return;
    const started = this.state === "started";
    this.state = "closed";
    this.full = false;
    if (this.readable === this.writable) this.stopWriting();
    if (started) this.sink?.closed(this.ended ? void 0 : this.cause);
  }
};

// src/connect/tcp.ts
function dialTcp(target, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    let stage = "resolve";
    target.onStage?.(stage);
    const socket = connect({ host: target.host, port: target.port, noDelay: true });
    const abort = () => {
      socket.destroy();
      reject(signal?.reason);
    };
    const failed = (error) => {
      signal?.removeEventListener("abort", abort);
      socket.destroy();
      reject(tcpError(target, stage, error));
    };
    signal?.addEventListener("abort", abort, { once: true });
    socket.on("lookup", (error) => {
      if (error || stage === "tcp") return;
      stage = "tcp";
      target.onStage?.(stage);
    });
    socket.on("error", failed);
    socket.once("connect", () => {
      signal?.removeEventListener("abort", abort);
      socket.off("error", failed);
      resolve(new StreamPipe(socket, socket));
    });
  });
}
function tcpError(target, stage, error) {
  const where = `${target.host} port ${target.port}`;
  const details = { stage, path: [target.name], outcome: "not-sent", cause: error };
  const fail = (code, text2, hint, at = "tcp") => new RametError(code, `${target.name}: ${text2}`, { ...details, stage: at, hint });
  switch (error.code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_FAIL":
    case "EAI_NODATA":
      return fail(
        "resolve-failed",
        `the name ${target.host} has no address (${error.code})`,
        "Check the spelling, the DNS server, and HostName in the SSH configuration.",
        "resolve"
      );
    case "ECONNREFUSED":
      return fail("connect-refused", `nothing listens at ${where}`, "Check the port, and that the SSH server runs.");
    case "ETIMEDOUT":
      return fail("connect-timeout", `no answer from ${where}`, "Check the address, routes and firewalls on the way.");
    default:
      return fail("connect-failed", `cannot reach ${where} (${error.code ?? error.message})`, "Check routes and firewalls on the way.");
  }
}

// src/connect/ssh2.ts
var MAX_DIALS = 3;
var RETRY_BASE = 300;
function connectSsh2(options) {
  return new Ssh2Connection(options);
}
var Ssh2Connection = class {
  state = "connecting";
  name;
  ready;
  options;
  clock;
  became = deferred();
  abort = new AbortController();
  algorithms;
  session;
  pipe;
  before = { in: 0, out: 0 };
  stage = "resolve";
  flight;
  dials = 0;
  /** Everything opened that is not over, in order. */
  processes = /* @__PURE__ */ new Set();
  cancelRetry;
  stopTimer;
  timeLeft;
  timerFrom = 0;
  prompts = 0;
  listeners = [];
  failed;
  gone_ = deferred();
  onAbort = () => this.fail(this.cancelled());
  constructor(options) {
    this.options = options;
    this.name = options.name ?? `${options.user}@${options.host}:${options.port}`;
    this.clock = options.clock ?? systemClock;
    this.flight = options.flight ?? "auto";
    this.timeLeft = options.timeout ?? 3e4;
    this.algorithms = offeredAlgorithms({
      ...options.algorithms,
      ...options.hostKeyAlgorithms ? { serverHostKey: options.hostKeyAlgorithms } : {}
    });
    this.ready = this.became.promise;
    this.ready.catch(() => {
    });
    this.startTimer();
    options.signal?.addEventListener("abort", this.onAbort, { once: true });
    process.nextTick(() => this.begin());
  }
  open(command) {
    if (this.state === "closed") return failedProcess(this.failed ?? this.closedError());
    const channel = new SshChannel(command, this);
    this.processes.add(channel);
    if (this.state === "open") this.session?.launch(channel);
    return channel;
  }
  close() {
    if (this.state !== "closed") this.end(this.closedError(), void 0);
    return this.gone_.promise;
  }
  onClose(listener) {
    if (this.state === "closed") process.nextTick(() => listener(this.failed));
    else this.listeners.push(listener);
  }
  stats() {
    return { bytesIn: this.before.in + (this.pipe?.bytesIn ?? 0), bytesOut: this.before.out + (this.pipe?.bytesOut ?? 0) };
  }
  // -- for the channels --
  protocol() {
    return this.session?.protocol();
  }
  wirePending() {
    return this.session?.wirePending() ?? 0;
  }
  gone(channel) {
    this.processes.delete(channel);
    this.session?.gone(channel);
  }
  fail(error) {
    this.end(error, error);
  }
  error(code, text2, hint) {
    return new RametError(code, `${this.name}: ${text2}`, { stage: "launch", path: [this.name], hint });
  }
  // -- connecting --
  begin() {
    if (this.state === "closed") return;
    if (this.options.signal?.aborted) return this.fail(this.cancelled());
    const empty = ["kex", "serverHostKey", "cipher", "hmac"].find((list) => this.algorithms[list].length === 0);
    if (empty !== void 0) {
      return this.fail(new RametError("algorithm-mismatch", `${this.name}: ssh2 knows none of the ${empty} algorithms asked for`, {
        stage: "host-key",
        path: [this.name],
        outcome: "not-sent",
        hint: "Use transport openssh for this target."
      }));
    }
    void this.dial();
  }
  async dial() {
    this.dials++;
    let pipe;
    try {
      const { host: host2, port: port2 } = this.options;
      const dialing = this.options.dial?.(this.abort.signal) ?? dialTcp({ host: host2, port: port2, name: this.name, onStage: (stage) => this.stage = stage }, this.abort.signal);
      pipe = (await Promise.all([dialing, cryptoReady]))[0];
    } catch (error) {
      if (this.state === "closed") return;
      return this.fail(isRametError(error) ? error : new RametError("connect-failed", `${this.name}: cannot connect`, {
        stage: "tcp",
        path: [this.name],
        outcome: "not-sent",
        cause: error,
        hint: "See the cause."
      }));
    }
    if (this.isClosed()) return pipe.close();
    this.stage = "host-key";
    this.pipe = pipe;
    const { host, port, user, keys = [], password, prompt } = this.options;
    this.session = new SshSession({
      pipe,
      algorithms: this.algorithms,
      flight: this.flight,
      gate: new HostKeyGate(host, port, this.name, this.options.verifyHostKey),
      auth: { name: this.name, user, keys, password, prompt },
      first: () => [...this.processes][0]
    }, {
      stage: (stage) => this.stage = stage,
      asking: () => this.asking(),
      authenticated: () => this.authenticated(),
      lost: (error, ahead) => this.lost(error, ahead)
    });
    this.session.start();
  }
  isClosed() {
    return this.state === "closed";
  }
  authenticated() {
    if (this.state !== "connecting") return;
    this.state = "open";
    this.stage = "launch";
    this.stopWaiting();
    for (const channel of [...this.processes]) if (!this.session?.has(channel)) this.session?.launch(channel);
    this.became.resolve();
  }
  lost(error, ahead) {
    if (this.state !== "connecting") return this.fail(error);
    const again = ahead && this.flight === "auto" && this.session?.transport.ident.startsWith("dropbear");
    const busy = this.session?.transport.ident === "" && error.code === "connect-failed" && !/not allowed|no SSH server/i.test(error.message) && this.dials < MAX_DIALS;
    if (!again && !busy) return this.fail(error);
    this.before.in += this.pipe?.bytesIn ?? 0;
    this.before.out += this.pipe?.bytesOut ?? 0;
    this.pipe = void 0;
    this.session = void 0;
    for (const channel of this.processes) channel.takeBack();
    if (again) {
      this.flight = "slow";
      void this.dial();
      return;
    }
    const delay = RETRY_BASE * this.dials * (0.5 + (this.options.random ?? Math.random)());
    const alive = setInterval(() => {
    }, 6e4);
    const cancel = this.clock.after(delay, () => {
      clearInterval(alive);
      void this.dial();
    });
    this.cancelRetry = () => {
      clearInterval(alive);
      cancel();
    };
  }
  end(reason, cause) {
    if (this.state === "closed") return;
    const wasOpen = this.state === "open";
    this.state = "closed";
    this.failed = cause;
    this.stopWaiting();
    this.cancelRetry?.();
    this.abort.abort(reason);
    const session = this.session;
    session?.close();
    for (const channel of [...this.processes]) channel.finish(reason);
    this.became.reject(reason);
    if (wasOpen) for (const listener of this.listeners) listener(cause);
    const settle = () => void setImmediate(() => setImmediate(() => this.gone_.resolve()));
    if (session === void 0) settle();
    else void session.transport.gone.promise.then(settle);
  }
  // -- time --
  startTimer() {
    if (this.timeLeft <= 0) return;
    this.timerFrom = this.clock.now();
    this.stopTimer = this.clock.after(this.timeLeft, () => this.fail(this.timedOut()));
  }
  stopWaiting() {
    this.stopTimer?.();
    this.stopTimer = void 0;
    this.options.signal?.removeEventListener("abort", this.onAbort);
  }
  asking() {
    if (this.prompts++ === 0 && this.stopTimer !== void 0) {
      this.stopTimer();
      this.timeLeft = Math.max(1, this.timeLeft - (this.clock.now() - this.timerFrom));
    }
    let over = false;
    return () => {
      if (over) return;
      over = true;
      if (--this.prompts === 0 && this.state === "connecting") this.startTimer();
    };
  }
  timedOut() {
    const what = { resolve: "its name", tcp: "a TCP connection", "host-key": "the key exchange", auth: "the login" };
    return new RametError("connect-timeout", `${this.name}: no answer in ${this.options.timeout ?? 3e4} ms (waiting for ${what[this.stage]})`, {
      stage: this.stage,
      path: [this.name],
      outcome: "not-sent",
      hint: "Check the address, firewalls on the way and the load of the server, or give it more time (timeout)."
    });
  }
  cancelled() {
    return new RametError("cancelled", `${this.name}: connecting was cancelled`, {
      stage: this.stage,
      path: [this.name],
      outcome: "not-sent",
      cause: this.options.signal?.reason,
      hint: "The caller aborted it."
    });
  }
  closedError() {
    return new RametError("closed", `${this.name}: the connection was closed here`, {
      path: [this.name],
      outcome: "unknown",
      hint: "Open it again."
    });
  }
};

// src/connect/ssh2-key.ts
import keyParser from "ssh2/lib/protocol/keyParser.js";
import utils2 from "ssh2/lib/protocol/utils.js";
var { parseKey } = keyParser;
var { convertSignature } = utils2;
var HASHES = { "rsa-sha2-256": "sha256", "rsa-sha2-512": "sha512", "ssh-rsa": "sha1" };
function privateKey(text2, options) {
  const result = parseKey(text2, options.passphrase);
  const parsed = Array.isArray(result) ? result[0] : result;
  if (parsed === void 0 || parsed instanceof Error) {
    const wrong = parsed !== void 0 && /passphrase/i.test(parsed.message);
    throw new RametError("key-unreadable", `${options.comment}: ${parsed?.message ?? "holds no key"}`, {
      stage: "auth",
      outcome: "not-sent",
      cause: parsed,
      hint: wrong ? "Give the right passphrase, or add the key to an agent." : "Check that the file is a private key."
    });
  }
  if (!parsed.isPrivateKey()) {
    throw new RametError("key-unreadable", `${options.comment} holds a public key only`, {
      stage: "auth",
      outcome: "not-sent",
      hint: "Name the private key file (the one without .pub)."
    });
  }
  return {
    publicBlob: parsed.getPublicSSH(),
    type: parsed.type,
    comment: options.comment,
    local: true,
    sign: (data, algorithm) => signatureBlob(parsed, data, algorithm)
  };
}
function signatureBlob(key, data, algorithm) {
  const raw = key.sign(data, key.type === "ssh-rsa" ? HASHES[algorithm] : void 0);
  if (raw instanceof Error) throw raw;
  const signature = convertSignature(raw, key.type);
  if (!signature) throw new Error(`cannot sign with a ${key.type} key`);
  const name = Buffer.from(algorithm);
  const out = Buffer.alloc(8 + name.length + signature.length);
  out.writeUInt32BE(name.length, 0);
  out.set(name, 4);
  out.writeUInt32BE(signature.length, 4 + name.length);
  out.set(signature, 8 + name.length);
  return out;
}

// ../../tmp/t/bench2.ts
import { createServer as createServer2, connect as connect2 } from "node:net";
import { spawn as spawn2 } from "node:child_process";
import ssh2 from "ssh2";
var med = (a, q = 0.5) => a.sort((x, y) => x - y)[Math.floor(a.length * q)];
var echoCmd = `exec node -e 'process.stdin.on("data",d=>process.stdout.write(d))'`;
var relay = (port, ms) => new Promise((res) => {
  const s = createServer2({ noDelay: true }, (c) => {
    c.pause();
    const held = [];
    setTimeout(() => c.resume(), ms * 2);
    const u = connect2({ port, host: "127.0.0.1", noDelay: true });
    const pipe = (a, b) => {
      a.on("data", (d) => setTimeout(() => b.write(d), ms));
      a.on("end", () => setTimeout(() => b.end(), ms));
      a.on("error", () => b.destroy());
    };
    pipe(c, u);
    pipe(u, c);
  }).listen(0, "127.0.0.1", () => res(s));
});
var firstByte = (c, cmd = echoCmd) => new Promise((res, rej) => {
  const t0 = performance.now();
  const conn = c();
  const p = conn.open(cmd);
  p.pipe.write(Buffer.alloc(18e3, 65));
  let done = false;
  p.pipe.start({ data: async () => {
    if (done) return;
    done = true;
    const t = performance.now() - t0;
    await conn.close();
    res(t);
  }, drain() {
  }, closed: (e) => done || rej(e ?? new Error("closed")) });
});
var sshTrue = (s, port = s.port) => new Promise((res) => {
  const t0 = performance.now();
  const c = spawn2("ssh", ["-F", "none", "-o", "KexAlgorithms=curve25519-sha256", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-i", s.keyFile, "-p", String(port), `${s.user}@127.0.0.1`, "true"], { stdio: "ignore" });
  c.on("exit", () => res(performance.now() - t0));
});
var client = (s) => new Promise((res) => {
  const t0 = performance.now();
  const cl = new ssh2.Client();
  const net = connect2({ port: s.port, host: "127.0.0.1", noDelay: true });
  cl.on("ready", () => cl.exec("exec cat", (e, ch) => {
    ch.write("x");
    ch.once("data", () => {
      res(performance.now() - t0);
      cl.end();
    });
  }));
  cl.connect({ sock: net, username: s.user, privateKey: s.key, hostVerifier: () => true, authHandler: ["publickey"] });
});
var pinned = { kex: ["curve25519-sha256"], cipher: ["aes128-gcm@openssh.com"] };
for (const [name, s] of [["sshd", await startSshd({})], ["dropbear", await startDropbear({})]]) {
  const key = privateKey(s.key, { comment: "id" });
  const c = (port, extra = {}) => () => connectSsh2({ host: s.host, port, user: s.user, keys: [key], verifyHostKey: () => true, algorithms: name === "sshd" ? pinned : void 0, ...extra });
  const r = {};
  const add = async (k, f) => (r[k] ??= []).push(await f());
  for (let i = 0; i < 15; i++) {
    await add("one flight node", () => firstByte(c(s.port)));
    await add("one flight cat", () => firstByte(c(s.port), "exec cat"));
    await add("slow node", () => firstByte(c(s.port, { flight: "slow" })));
    await add("ssh true", () => sshTrue(s));
    await add("ssh2 Client cat", () => client(s));
  }
  const rl = await relay(s.port, 25);
  const rp = rl.address().port;
  for (let i = 0; i < 7; i++) {
    await add("50ms one flight node", () => firstByte(c(rp)));
    await add("50ms one flight cat", () => firstByte(c(rp), "exec cat"));
    await add("50ms slow node", () => firstByte(c(rp, { flight: "slow" })));
    await add("50ms ssh true", () => sshTrue(s, rp));
  }
  rl.close();
  for (const k in r) console.log(name, k, med(r[k]).toFixed(1), "ms  min", Math.min(...r[k]).toFixed(1));
  await s.stop();
}
process.exit(0);
