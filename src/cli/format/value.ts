import type { ContextInfo, LinkStats } from '../../controller/api.ts'
import type { Body, Cause, Failure, TargetResult } from '../outcome.ts'
import type { TreeNode } from '../tree-node.ts'
import { decode } from './escape.ts'
import { isUtf8 } from 'node:buffer'
import { plain } from './plain.ts'
import { seconds } from './duration.ts'

/** The `value` of a target's result in json and jsonl; FORMATS.md lists the fields. */
export function jsonValue(result: TargetResult): Record<string, unknown> {
  return {
    ...(result.body === undefined ? {} : bodyFields(result.body)),
    ...(result.failure === undefined ? {} : { _error: errorFields(result.failure, result.body) }),
  }
}

export function jsonStatus(result: TargetResult): 'success' | 'failure' {
  return result.verdict === 'ok' ? 'success' : 'failure'
}

function bodyFields(body: Body): Record<string, unknown> {
  if (body.kind === 'call') return { result: plain(body.value) }
  if (body.kind === 'stream') return body.items === undefined ? { items: body.count } : { result: plain(body.items) }
  if (body.kind === 'ping' || body.kind === 'tree') {
    const { rtt, connect, runtime, info } = body.ping
    return { rtt_ms: round(rtt), connect_ms: round(connect), runtime, ...infoFields(info) }
  }
  const { stdout, stderr, output, exitCode, signal, truncated, duration } = body.result
  return {
    stdout: decode(stdout), stderr: decode(stderr), merged_output: decode(Buffer.concat(output.map((chunk) => chunk.data))), exit_code: exitCode,
    ...(signal === null ? {} : { signal }),
    ...(truncated ? { truncated } : {}),
    // Nothing is lost where text can't carry it.
    ...(isUtf8(stdout) ? {} : { stdout_base64: stdout.toString('base64') }),
    ...(isUtf8(stderr) ? {} : { stderr_base64: stderr.toString('base64') }),
    duration: seconds(duration),
  }
}

/** A context of `ramet tree`. */
export function nodeFields({ path, isTarget, state, runtime, info, ping, jump, link, failure }: TreeNode): Record<string, unknown> {
  return {
    name: path.at(-1) ?? 'controller', path, target: isTarget, state,
    ...(runtime === undefined ? {} : { runtime }), ...infoFields(info),
    ...(ping === undefined ? {} : { rtt_ms: round(ping) }),
    ...(jump === undefined ? {} : { jump }),
    ...(link === undefined ? {} : { link: linkFields(link) }),
    ...(failure === undefined ? {} : { _error: errorFields(failure, undefined) }),
  }
}

function linkFields({ transport, rtt, bytesIn, bytesOut, framesIn, framesOut, modulesSent, modulesReused, codeBytes }: LinkStats): Record<string, unknown> {
  return {
    transport, ...(rtt === undefined ? {} : { rtt_ms: round(rtt) }), bytes_in: bytesIn, bytes_out: bytesOut, frames_in: framesIn, frames_out: framesOut,
    modules_sent: modulesSent, modules_reused: modulesReused, code_bytes: codeBytes,
  }
}

function infoFields(info: ContextInfo | undefined): Record<string, unknown> {
  if (info === undefined) return {}
  return { node_version: info.nodeVersion, platform: info.platform, arch: info.arch, hostname: info.hostname, pid: info.pid }
}

/** Kinds and issue codes are Bolt's where Bolt has one, for programs that match on them. */
function errorFields(failure: Failure, body: Body | undefined): Record<string, unknown> {
  const { code, message, stage, path, outcome, hint, cause } = failure
  const exit = body?.kind === 'command' && code === 'exec-failed' ? { exit_code: body.result.exitCode } : {}
  return {
    ...boltKind(failure), code, msg: message,
    details: {
      ...exit, ...(stage === undefined ? {} : { stage }), path, outcome,
      ...(hint === '' ? {} : { hint }), ...(cause === undefined ? {} : { cause: causeFields(cause) }),
    },
  }
}

function boltKind({ code, stage }: Failure): { kind: string; issue_code?: string } {
  if (code === 'exec-failed') return { kind: 'puppetlabs.tasks/command-error', issue_code: 'COMMAND_ERROR' }
  if (stage === undefined) return { kind: `ramet/${code}` }
  const issue = stage === 'auth' ? 'AUTH_ERROR' : stage === 'host-key' ? 'HOST_KEY_ERROR' : 'CONNECT_ERROR'
  return { kind: 'puppetlabs.tasks/connect-error', issue_code: issue }
}

function causeFields(cause: Cause): Record<string, unknown> {
  const { name, message, code, stack } = cause
  return {
    name, message, ...(code === undefined ? {} : { code }), ...(stack === undefined ? {} : { stack }),
    ...(cause.cause === undefined ? {} : { cause: causeFields(cause.cause) }),
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
