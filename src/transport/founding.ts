/**
 * Founding: how new nodes become a cluster without a coordinator, and how one that crashed in between follows.
 * Decisions only. An incarnation is bound to at most one cluster id, before its first vote; so wiped nodes, few or
 * all, never elect themselves into the old cluster, and one founded member that is heard blocks a second one.
 * docs/PAPERS.md "founding".
 */
import { createHash } from "node:crypto";
import type { Identity, Roster } from "../base/identity.ts";
import { compareText } from "../base/order.ts";
import type { TransportRefusal } from "./contract.ts";
import { type Hello, knownIncarnation } from "./hello.ts";
import { makeRefusal, notAMemberText, reinitialisedText } from "./refusal.ts";

/** One founding member as the cluster file gives it: its name and where the others dial it. */
export interface MemberAddress {
  readonly id: string;
  readonly host: string;
  /** 1 … 65535. */
  readonly port: number;
}

/** What a new node writes down: store first, then the anchor, the identity last. */
export interface Foundation {
  readonly clusterId: string;
  readonly roster: Roster;
}

export type FoundingDecision =
  /** `ambiguous` names answered with two incarnations at once: one of them must be stopped. */
  | { readonly kind: "waiting"; readonly missing: readonly string[]; readonly ambiguous: readonly string[] }
  /** All founders are here, all new, all with the same cluster file. */
  | { readonly kind: "found"; readonly foundation: Foundation }
  /** The others founded with this very incarnation; a crash came in between. */
  | { readonly kind: "adopt"; readonly foundation: Foundation }
  /** A cluster stands over these names already, without this incarnation. */
  | { readonly kind: "refuse"; readonly refusal: TransportRefusal };

/** D: 64 hex digits, equal on all nodes whose cluster files agree on what founding rests on. */
export function founderDigest(input: {
  readonly clusterName: string;
  readonly clusterKey: string | undefined;
  readonly members: readonly MemberAddress[];
}): string {
  const members = [...input.members]
    .sort((a, b) => compareText(a.id, b.id))
    .map(({ id, host, port }) => [id, host, port]);
  return sha256Hex(
    JSON.stringify(["holdfast-founders", input.clusterName, input.clusterKey ?? null, members]),
  );
}

/** 32 hex digits: the same for everybody who saw the same roster under the same digest. */
export function clusterIdOf(digest: string, roster: Roster): string {
  const pairs = Object.keys(roster)
    .sort(compareText)
    .map((name) => [name, roster[name]]);
  return sha256Hex(JSON.stringify(["holdfast-cluster", digest, pairs])).slice(0, 32);
}

/**
 * What a `new` node may do now. `hellos` are those of connections that are alive at this moment and passed
 * `checkHello`, one for each connection; names that are no founders are ignored.
 */
export function decideFounding(input: {
  readonly identity: Identity;
  readonly digest: string;
  readonly founders: readonly string[];
  readonly hellos: readonly Hello[];
}): FoundingDecision {
  const { identity, digest } = input;
  const others = input.founders.filter((name) => name !== identity.name).sort(compareText);
  const heard = input.hellos.filter((hello) => others.includes(hello.name));
  const founded = heard.filter((hello) => hello.state === "founded");
  const stands = meetFounded(identity, founded);
  if (stands !== undefined) return stands;
  const incarnations = new Map<string, Set<string>>(others.map((name) => [name, new Set()]));
  for (const hello of heard) {
    if (hello.digest === digest) incarnations.get(hello.name)?.add(hello.incarnation);
  }
  const missing = others.filter((name) => incarnations.get(name)?.size === 0);
  const ambiguous = others.filter((name) => (incarnations.get(name)?.size ?? 0) > 1);
  if (missing.length + ambiguous.length > 0) return { kind: "waiting", missing, ambiguous };
  const pairs = others.map((name): [string, string] => [name, [...(incarnations.get(name) ?? [])].join()]);
  const all: [string, string][] = [...pairs, [identity.name, identity.incarnation]];
  const roster = Object.fromEntries(all.sort(([a], [b]) => compareText(a, b)));
  return { kind: "found", foundation: { clusterId: clusterIdOf(digest, roster), roster } };
}

/** A founded member's word stands above every wish to found: it is adopted exactly or this node may not take part. */
function meetFounded(identity: Identity, founded: readonly Hello[]): FoundingDecision | undefined {
  let adopted: Foundation | undefined;
  for (const { founders, clusterId } of founded) {
    if (founders === undefined || clusterId === undefined) continue;
    const known = knownIncarnation(founders, identity.name);
    if (known === undefined) return refuse("not-a-member", notAMemberText(identity.name, founders));
    if (known !== identity.incarnation)
      return refuse("reinitialised", reinitialisedText(identity.name, known));
    if (adopted !== undefined && adopted.clusterId !== clusterId) {
      const text = `two clusters, ${adopted.clusterId} and ${clusterId}, both name this node a founder`;
      return refuse("wrong-cluster", `${text}. Stop the one that is no longer wanted`);
    }
    adopted = { clusterId, roster: founders };
  }
  return adopted === undefined ? undefined : { kind: "adopt", foundation: adopted };
}

function refuse(code: TransportRefusal["code"], text: string): FoundingDecision {
  return { kind: "refuse", refusal: makeRefusal(code, text) };
}

function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
