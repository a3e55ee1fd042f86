/**
 * What members say to each other as bytes: positional msgpack arrays that begin with a type code. The messages of
 * consensus, and the bytes of a snapshot, which the hosts pass on beside them. Entries inside an append
 * keep the bytes they have on disk. Pure. Decoding believes nothing: shape, ranges and the promises of
 * `raft/types.ts` that can be seen in one message are checked here, so the core never meets a malformed one.
 * Raft Fig. 3.1 (the messages), §4.2.1 (pre-vote). A code is never used again for another meaning.
 */
import { unreachable } from "../base/assert.ts";
import type { Echo, Entry, LeaderLostHint, LogBoundary, LogIndex, Message } from "../raft/types.ts";
import { DecodeError, decodeEntry, encodeEntry, safeInteger } from "./entry.ts";
import { type Plain, packPlain, unpackPlain } from "./msgpack.ts";

/** Everything that goes from one member to another. */
export type PeerMessage = Message | SnapshotTransfer;

/** How a follower fetches the file of the snapshot that it was offered; `index` is the last entry that it covers. */
export type SnapshotTransfer = SnapshotRequest | SnapshotPart;

/** Send me what stands from `offset` on. */
export interface SnapshotRequest {
  readonly kind: "snapshot-request";
  readonly index: LogIndex;
  readonly offset: number;
}

export interface SnapshotPart {
  readonly kind: "snapshot-part";
  readonly index: LogIndex;
  readonly offset: number;
  /** Bytes of the whole file; 0 when this member has no such file. */
  readonly total: number;
  /** At most `snapshotPartBytesMax`; at least one, unless the file is not there or `offset` is at its end. */
  readonly bytes: Uint8Array;
}

/** So small that a heartbeat behind it is not late on a slow link, and that little is sent twice. */
export const snapshotPartBytesMax = 128 * 1024;

/** Longest member id that is believed, in UTF-16 units. */
export const memberIdLengthMax = 128;

const code = {
  preVote: 1,
  preVoteResponse: 2,
  vote: 3,
  voteResponse: 4,
  append: 5,
  appendMatched: 6,
  appendMismatch: 7,
  heartbeat: 8,
  heartbeatResponse: 9,
  timeoutNow: 10,
  termOver: 11,
  snapshotOffer: 12,
  snapshotRequest: 13,
  snapshotPart: 14,
} as const;

/** The bytes may share memory with others that were encoded before: copy what is to be kept. */
export function encodeMessage(message: PeerMessage): Uint8Array {
  return packPlain(toPlain(message));
}

/** Throws DecodeError and nothing else. Data of entries and parts are views into `bytes`, which must not be written to again. */
export function decodeMessage(bytes: Uint8Array): PeerMessage {
  const plain = unpackPlain(bytes);
  if (!isList(plain)) throw new DecodeError("message is not an array");
  return plain[0] === code.snapshotRequest || plain[0] === code.snapshotPart
    ? transferFrom(plain)
    : fromPlain(plain);
}

function toPlain(message: PeerMessage): Plain {
  switch (message.kind) {
    case "pre-vote": {
      const { term, nextTerm, lastLogIndex, lastLogTerm } = message;
      return [code.preVote, term, nextTerm, lastLogIndex, lastLogTerm, hintToPlain(message.hint)];
    }
    case "pre-vote-response":
      return [code.preVoteResponse, message.term, message.nextTerm, message.granted];
    case "vote": {
      const { term, lastLogIndex, lastLogTerm, transfer } = message;
      return [code.vote, term, lastLogIndex, lastLogTerm, transfer, hintToPlain(message.hint)];
    }
    case "vote-response":
      return [code.voteResponse, message.term, message.granted];
    case "append": {
      const { term, prevLogIndex, prevLogTerm, prevLogChain, leaderCommit, echo } = message;
      const entries = message.entries.map(encodeEntry);
      const { round, sentTick } = echo;
      return [
        code.append,
        term,
        prevLogIndex,
        prevLogTerm,
        prevLogChain,
        entries,
        leaderCommit,
        round,
        sentTick,
      ];
    }
    case "append-response": {
      const { term, result, echo } = message;
      if (result.kind === "matched")
        return [code.appendMatched, term, result.matchIndex, echo.round, echo.sentTick];
      const { prevLogIndex, hintIndex, hintTerm } = result;
      return [code.appendMismatch, term, prevLogIndex, hintIndex, hintTerm, echo.round, echo.sentTick];
    }
    case "snapshot-offer": {
      const { term, last, echo } = message;
      const { index, term: lastTerm, time, chain } = last;
      return [code.snapshotOffer, term, index, lastTerm, time, chain, echo.round, echo.sentTick];
    }
    case "heartbeat":
      return [code.heartbeat, message.term, message.leaderCommit, message.echo.round, message.echo.sentTick];
    case "heartbeat-response":
      return [code.heartbeatResponse, message.term, message.echo.round, message.echo.sentTick];
    case "term-over":
      return [code.termOver, message.term];
    case "timeout-now":
      return [code.timeoutNow, message.term];
    case "snapshot-request":
      return [code.snapshotRequest, message.index, message.offset];
    case "snapshot-part":
      return [code.snapshotPart, message.index, message.offset, message.total, message.bytes];
    default:
      return unreachable(message);
  }
}

function fromPlain(list: readonly Plain[]): Message {
  const type = list[0];
  const term = natural(list[1], "term");
  switch (type) {
    case code.preVote: {
      exactly(list, 6);
      const nextTerm = safeInteger(list[2], "next term", 1);
      return { kind: "pre-vote", term, nextTerm, ...lastLog(list, 3, term), hint: hintFrom(list[5]) };
    }
    case code.preVoteResponse:
      exactly(list, 4);
      return {
        kind: "pre-vote-response",
        term,
        nextTerm: safeInteger(list[2], "next term", 1),
        granted: flag(list[3]),
      };
    case code.vote:
      exactly(list, 6);
      return {
        kind: "vote",
        term,
        ...lastLog(list, 2, term),
        transfer: flag(list[4]),
        hint: hintFrom(list[5]),
      };
    case code.voteResponse:
      exactly(list, 3);
      return { kind: "vote-response", term, granted: flag(list[2]) };
    case code.append:
      exactly(list, 9);
      return appendFrom(list, term);
    case code.appendMatched:
      exactly(list, 5);
      return {
        kind: "append-response",
        term,
        result: { kind: "matched", matchIndex: natural(list[2], "match index") },
        echo: echoFrom(list, 3),
      };
    case code.appendMismatch:
      exactly(list, 7);
      return {
        kind: "append-response",
        term,
        result: {
          kind: "mismatch",
          prevLogIndex: natural(list[2], "previous index"),
          hintIndex: natural(list[3], "hint index"),
          hintTerm: natural(list[4], "hint term"),
        },
        echo: echoFrom(list, 5),
      };
    case code.snapshotOffer:
      exactly(list, 8);
      return { kind: "snapshot-offer", term, last: offeredFrom(list, term), echo: echoFrom(list, 6) };
    case code.heartbeat:
      exactly(list, 5);
      return {
        kind: "heartbeat",
        term,
        leaderCommit: natural(list[2], "leader commit"),
        echo: echoFrom(list, 3),
      };
    case code.heartbeatResponse:
      exactly(list, 4);
      return { kind: "heartbeat-response", term, echo: echoFrom(list, 2) };
    case code.timeoutNow:
      exactly(list, 2);
      return { kind: "timeout-now", term };
    case code.termOver:
      exactly(list, 2);
      return { kind: "term-over", term };
    default:
      throw new DecodeError("message type is unknown");
  }
}

function transferFrom(list: readonly Plain[]): SnapshotTransfer {
  const index = safeInteger(list[1], "index of the snapshot", 1);
  const offset = natural(list[2], "offset");
  if (list[0] === code.snapshotRequest) {
    exactly(list, 3);
    return { kind: "snapshot-request", index, offset };
  }
  exactly(list, 5);
  const total = natural(list[3], "total");
  const bytes = list[4];
  if (!(bytes instanceof Uint8Array)) throw new DecodeError("a part of a snapshot is not bytes");
  if (bytes.length > snapshotPartBytesMax) throw new DecodeError("a part of a snapshot is too large");
  if (bytes.length > 0 && offset + bytes.length > total)
    throw new DecodeError("a part of a snapshot goes beyond its end");
  return { kind: "snapshot-part", index, offset, total, bytes };
}

/** Entries are contiguous from prevLogIndex + 1; terms and times never fall; no term is above the sender's. */
function appendFrom(list: readonly Plain[], term: number): Message {
  const prevLogIndex = natural(list[2], "previous index");
  const prevLogTerm = natural(list[3], "previous term");
  const packed = list[5];
  if (packed === undefined || !isList(packed)) throw new DecodeError("entries are not an array");
  const entries: Entry[] = [];
  let last = { index: prevLogIndex, term: prevLogTerm, time: 0 };
  for (const bytes of packed) {
    if (!(bytes instanceof Uint8Array)) throw new DecodeError("an entry is not bytes");
    const entry = decodeEntry(bytes);
    if (entry.index !== last.index + 1) throw new DecodeError(`entry ${entry.index} follows ${last.index}`);
    if (entry.term < last.term) throw new DecodeError(`term falls to ${entry.term} at entry ${entry.index}`);
    if (entry.time < last.time) throw new DecodeError(`time falls at entry ${entry.index}`);
    entries.push(entry);
    last = entry;
  }
  if (last.term > term) throw new DecodeError(`entry of term ${last.term} in a message of term ${term}`);
  return {
    kind: "append",
    term,
    prevLogIndex,
    prevLogTerm,
    prevLogChain: natural(list[4], "previous chain"),
    entries,
    leaderCommit: natural(list[6], "leader commit"),
    echo: echoFrom(list, 7),
  };
}

function offeredFrom(list: readonly Plain[], term: number): LogBoundary {
  const lastTerm = safeInteger(list[3], "term of the snapshot", 1);
  if (lastTerm > term) throw new DecodeError(`snapshot of term ${lastTerm} in a message of term ${term}`);
  return {
    index: safeInteger(list[2], "index of the snapshot", 1),
    term: lastTerm,
    time: natural(list[4], "time of the snapshot"),
    chain: natural(list[5], "chain of the snapshot"),
  };
}

function lastLog(list: readonly Plain[], at: number, term: number) {
  const lastLogIndex = natural(list[at], "last index");
  const lastLogTerm = natural(list[at + 1], "last term");
  if (lastLogTerm > term) throw new DecodeError(`last log term ${lastLogTerm} is above term ${term}`);
  return { lastLogIndex, lastLogTerm };
}

function hintToPlain(hint: LeaderLostHint | undefined): Plain {
  return hint === undefined ? null : [hint.leader, hint.term];
}

function hintFrom(value: Plain | undefined): LeaderLostHint | undefined {
  if (value === null) return undefined;
  if (value === undefined || !isList(value)) throw new DecodeError("hint is neither null nor an array");
  exactly(value, 2);
  const leader = value[0];
  if (typeof leader !== "string" || leader.length === 0 || leader.length > memberIdLengthMax) {
    throw new DecodeError("hint names no member");
  }
  return { leader, term: natural(value[1], "hint term") };
}

function echoFrom(list: readonly Plain[], at: number): Echo {
  return { round: natural(list[at], "round"), sentTick: natural(list[at + 1], "sent tick") };
}

function natural(value: Plain | undefined, what: string): number {
  return safeInteger(value, what, 0);
}

function flag(value: Plain | undefined): boolean {
  if (typeof value !== "boolean") throw new DecodeError("flag is not a boolean");
  return value;
}

function exactly(list: readonly Plain[], length: number): void {
  if (list.length !== length) throw new DecodeError(`message of ${list.length} fields instead of ${length}`);
}

function isList(value: Plain): value is readonly Plain[] {
  return Array.isArray(value);
}
