/**
 * Refusals: why one node does not talk with another, in words that an operator can act on, and as bytes.
 * The refused node prints the text and ends, so each says what happened and the exact commands that help.
 */
import { type Identity, memberId, type Roster } from "../base/identity.ts";
import { DecodeError } from "../codec/entry.ts";
import { packPlain, unpackPlain } from "../codec/msgpack.ts";
import type { RefusalCode, TransportRefusal } from "./contract.ts";
import { type Hello, helloMember, type OtherProtocol, protocolMax, protocolMin } from "./hello.ts";

/** 70 for a directory that lost something, 78 for every other reason (docs: exit codes). */
export function makeRefusal(code: RefusalCode, text: string): TransportRefusal {
  return { code, text, exitCode: code === "rolled-back" ? 70 : 78 };
}

export function protocolText(self: string, other: OtherProtocol): string {
  return (
    `${self} speaks peer protocol ${protocolMin} to ${protocolMax}, the other side ${other.protocolMin} to ` +
    `${other.protocolMax}. Install the same version on both; compare them with: holdfast --version`
  );
}

export function nameText(self: Identity, hello: Hello): string {
  return (
    `${self.name} belongs to the cluster named "${self.clusterName}", ${hello.name} to "${hello.clusterName}". ` +
    `Correct the peer addresses or clusterName in the cluster file of ${hello.name}, then: ` +
    `holdfast config check FILE`
  );
}

export function targetText(self: Identity, hello: Hello): string {
  return (
    `${hello.name} wanted ${hello.target} but reached ${self.name}. Correct the peer address of ${hello.target} ` +
    `in the cluster file of ${hello.name}, then: holdfast config check FILE`
  );
}

export function clusterText(self: Identity, hello: Hello): string {
  return (
    `the data directory of ${hello.name} belongs to cluster id ${hello.clusterId}, that of ${self.name} to ` +
    `${self.clusterId}. Start ${hello.name} with the directory of this cluster: ${serverCommand(hello.name)}`
  );
}

export function foundersText(self: Identity, hello: Hello): string {
  return (
    `${self.name} and ${hello.name} are both new, but their cluster files name other founding members, peer ` +
    `addresses or another cluster key. Give both the same cluster file, then: ${serverCommand(hello.name)}`
  );
}

export function notAMemberText(name: string, founders: Roster | undefined): string {
  const names = Object.keys(founders ?? {}).sort();
  return (
    `${name} is new and not among the members of this cluster (${names.join(", ")}). Correct the cluster file, or ` +
    `use another clusterName for another cluster, then: holdfast config check FILE`
  );
}

export function reinitialisedText(name: string, known: string): string {
  return (
    `${name} has a new data directory, but this cluster knows ${memberId(name, known)}. A wiped node may not ` +
    `vote under its old name. Start it with the directory it was founded with: ${serverCommand(name)}. If that ` +
    `is lost, leave ${name} stopped: the others serve on as long as they are a majority`
  );
}

export function duplicateText(hello: Hello): string {
  return (
    `${helloMember(hello)} is running already, as another process. Two copies of one data directory would vote ` +
    `twice. Stop one of them; a second member needs a directory of its own: ` +
    `holdfast init --config FILE --id NAME --data NEW-DIR`
  );
}

export function rolledBackText(hello: Hello, step: number, floor: number): string {
  return (
    `the data directory of ${helloMember(hello)} is at step ${step} but was at step ${floor} before: it is an older ` +
    `copy, or it lost writes. Start ${hello.name} with its newest directory: ${serverCommand(hello.name)}. If ` +
    `there is none, leave it stopped: the others serve on as long as they are a majority`
  );
}

function serverCommand(name: string): string {
  return `holdfast server --config FILE --id ${name} --data DIR`;
}

const refusalCodes: ReadonlySet<string> = new Set<RefusalCode>([
  "protocol",
  "wrong-name",
  "wrong-target",
  "wrong-cluster",
  "wrong-founders",
  "reinitialised",
  "not-a-member",
  "duplicate-member",
  "rolled-back",
]);
const refusalTextLengthMax = 2000;

export function encodeRefusal(refusal: TransportRefusal): Uint8Array {
  return packPlain([refusal.code, refusal.text.slice(0, refusalTextLengthMax)]);
}

/** Throws DecodeError. Control characters are taken out: the text goes to a terminal. */
export function decodeRefusal(bytes: Uint8Array): TransportRefusal {
  const list = unpackPlain(bytes);
  if (!Array.isArray(list) || list.length !== 2) throw new DecodeError("not a refusal");
  const [code, said] = list;
  if (typeof code !== "string" || !refusalCodes.has(code) || typeof said !== "string") {
    throw new DecodeError("refusal is malformed");
  }
  return makeRefusal(code as RefusalCode, said.slice(0, refusalTextLengthMax).replace(/\p{Cc}/gu, " "));
}
