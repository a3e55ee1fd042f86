/**
 * The ordered checks of a HELLO: whether this node talks with the sender. No sockets, no memory: the caller hands in
 * what must be remembered. Never lets a node in whose directory is another cluster's, is new where it was known, or
 * lies behind what it had announced: each of them could vote twice in one term.
 * docs/PAPERS.md "identity"; Raft §3.8 (what must survive a restart).
 */
import type { Identity } from "../base/identity.ts";
import type { RefusalCode, TransportRefusal } from "./contract.ts";
import { type Hello, knownIncarnation, protocolMax, protocolMin } from "./hello.ts";
import {
  clusterText,
  duplicateText,
  foundersText,
  makeRefusal,
  nameText,
  notAMemberText,
  protocolText,
  reinitialisedText,
  rolledBackText,
  targetText,
} from "./refusal.ts";

export interface HelloContext {
  readonly identity: Identity;
  readonly digest: string;
  /** Whether the sender's incarnation has connections here under another boot id, and whether one answered. */
  readonly otherBoot: "none" | "unknown" | "alive";
  /** The highest step that the sender's incarnation announced under other boot ids; 0 when none. */
  readonly stepFloor: number;
}

export type HelloVerdict =
  | { readonly kind: "accept" }
  /** Connected, but no Raft messages yet: a founder that crashed before it knew takes the cluster id from here. */
  | { readonly kind: "adopt" }
  /** Ask the connections under the other boot id for a sign of life, then check again. */
  | { readonly kind: "probe" }
  | { readonly kind: "refuse"; readonly refusal: TransportRefusal };

/** The checks in the order of the design: the first that fails names the reason. */
export function checkHello(hello: Hello, context: HelloContext): HelloVerdict {
  const { identity } = context;
  if (hello.protocolMin > protocolMax || hello.protocolMax < protocolMin) {
    return refuse("protocol", protocolText(identity.name, hello));
  }
  if (hello.clusterName !== identity.clusterName) return refuse("wrong-name", nameText(identity, hello));
  if (hello.target !== identity.name) return refuse("wrong-target", targetText(identity, hello));
  if (identity.clusterId !== undefined && hello.clusterId !== undefined) {
    if (identity.clusterId !== hello.clusterId) {
      return refuse("wrong-cluster", clusterText(identity, hello));
    }
  }
  if (identity.state === "new" && hello.state === "new" && hello.digest !== context.digest) {
    return refuse("wrong-founders", foundersText(identity, hello));
  }
  if (hello.state === "new" && identity.state === "founded") {
    const known = knownIncarnation(identity.founders, hello.name);
    if (known === undefined) return refuse("not-a-member", notAMemberText(hello.name, identity.founders));
    if (known !== hello.incarnation) return refuse("reinitialised", reinitialisedText(hello.name, known));
  }
  if (hello.name === identity.name && hello.incarnation === identity.incarnation) {
    return refuse("duplicate-member", duplicateText(hello));
  }
  if (context.otherBoot === "unknown") return { kind: "probe" };
  if (context.otherBoot === "alive") return refuse("duplicate-member", duplicateText(hello));
  // What a `new` directory holds was never promised, so its step counts as 0; but it may not follow a founded one.
  const step = hello.state === "new" ? 0 : hello.step;
  if (step < context.stepFloor) return refuse("rolled-back", rolledBackText(hello, step, context.stepFloor));
  return hello.state === "new" && identity.state === "founded" ? { kind: "adopt" } : { kind: "accept" };
}

function refuse(code: RefusalCode, text: string): HelloVerdict {
  return { kind: "refuse", refusal: makeRefusal(code, text) };
}
