/**
 * HELLO: what each side of a new connection says about itself before any Raft frame, as a record and as bytes.
 * Decoding believes nothing; whether the two fit together is decided in `checks.ts`.
 */
import { memberId, type Roster } from "../base/identity.ts";
import { DecodeError, safeInteger } from "../codec/entry.ts";
import { type Plain, packPlain, unpackPlain } from "../codec/msgpack.ts";

/** The peer protocols that this build speaks, both ends included. */
export const protocolMin = 1;
export const protocolMax = 1;

export interface Hello {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly clusterName: string;
  /** D: 64 hex digits over cluster name, key and founding members (`founding.ts`). Compared only while founding. */
  readonly digest: string;
  readonly name: string;
  readonly incarnation: string;
  readonly state: "new" | "founded";
  /** Present exactly when the state is `founded`, as are `founders`. */
  readonly clusterId: string | undefined;
  readonly founders: Roster | undefined;
  /** Another one for each start of the process. 1 to 64 printable characters. */
  readonly bootId: string;
  /** The last durable step of the store. Never falls for one incarnation, unless its directory lost something. */
  readonly step: number;
  /** The name of the member that the sender means to talk to. */
  readonly target: string;
}

/** Bytes of another build: all that is known is which protocols it speaks. */
export interface OtherProtocol {
  readonly protocolMin: number;
  readonly protocolMax: number;
}

/** The incarnation that `roster` gives to `name`; never something inherited from Object. */
export function knownIncarnation(roster: Roster | undefined, name: string): string | undefined {
  return roster !== undefined && Object.hasOwn(roster, name) ? roster[name] : undefined;
}

export function helloMember(hello: Hello): string {
  return memberId(hello.name, hello.incarnation);
}

/** First field, so that a stray client of another kind is told apart from an older build. */
const magic = "holdfast-peer";
const fieldCount = 13;
const foundersMax = 64;

export function encodeHello(hello: Hello): Uint8Array {
  const { founders } = hello;
  const roster =
    founders === undefined
      ? null
      : Object.keys(founders)
          .sort()
          .map((name) => [name, founders[name] as string]);
  return packPlain([
    magic,
    hello.protocolMin,
    hello.protocolMax,
    hello.clusterName,
    hello.digest,
    hello.name,
    hello.incarnation,
    hello.state,
    hello.clusterId ?? null,
    roster,
    hello.bootId,
    hello.step,
    hello.target,
  ]);
}

/** Throws DecodeError. When the two builds share no protocol, only the range is read: the rest may have changed. */
export function decodeHello(bytes: Uint8Array): Hello | OtherProtocol {
  const list = unpackPlain(bytes);
  if (!Array.isArray(list) || list[0] !== magic) throw new DecodeError("not a HELLO");
  const fields: readonly Plain[] = list;
  const range = {
    protocolMin: safeInteger(fields[1], "lowest protocol", 1),
    protocolMax: safeInteger(fields[2], "highest protocol", 1),
  };
  if (range.protocolMin > range.protocolMax) throw new DecodeError("protocol range is empty");
  if (range.protocolMin > protocolMax || range.protocolMax < protocolMin) return range;
  if (fields.length !== fieldCount) throw new DecodeError(`HELLO of ${fields.length} fields`);
  const state = fields[7];
  if (state !== "new" && state !== "founded") throw new DecodeError("state is unknown");
  const clusterId = fields[8] === null ? undefined : text(fields[8], "cluster id", hex32);
  const founders = fields[9] === null ? undefined : rosterFrom(fields[9]);
  const founded = state === "founded";
  if ((clusterId !== undefined) !== founded || (founders !== undefined) !== founded) {
    throw new DecodeError(`cluster id and founders do not fit the state ${state}`);
  }
  return {
    ...range,
    clusterName: text(fields[3], "cluster name", nameText256),
    digest: text(fields[4], "digest", hex64),
    name: text(fields[5], "name", memberNameText),
    incarnation: text(fields[6], "incarnation", hex32),
    state,
    clusterId,
    founders,
    bootId: text(fields[10], "boot id", memberNameText),
    step: safeInteger(fields[11], "step", 0),
    target: text(fields[12], "target", memberNameText),
  };
}

const hex32 = /^[0-9a-f]{32}$/;
const hex64 = /^[0-9a-f]{64}$/;
/** Printable ASCII without blank and `@`, which ends the name in a member id. */
const memberNameText = /^[!-?A-~]{1,64}$/;
const nameText256 = /^[^\p{Cc}]{1,256}$/u;

function text(value: Plain | undefined, what: string, pattern: RegExp): string {
  if (typeof value !== "string" || !pattern.test(value)) throw new DecodeError(`${what} is malformed`);
  return value;
}

/** Pairs, ascending by name, so that one roster has one encoding. */
function rosterFrom(value: Plain | undefined): Roster {
  if (!Array.isArray(value) || value.length === 0 || value.length > foundersMax) {
    throw new DecodeError("founders are malformed");
  }
  let last = "";
  const pairs = value.map((pair: Plain): [string, string] => {
    if (!Array.isArray(pair) || pair.length !== 2) throw new DecodeError("a founder is no pair");
    const name = text(pair[0], "founder", memberNameText);
    if (name <= last) throw new DecodeError("founders are not in order");
    last = name;
    return [name, text(pair[1], "founder's incarnation", hex32)];
  });
  return Object.fromEntries(pairs);
}
