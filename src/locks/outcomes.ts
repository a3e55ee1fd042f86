/**
 * What applying an entry says to whoever proposed it. Expected refusals are values here, never errors thrown.
 * The records in an outcome are the machine's own: read them in the same turn, before the next entry applies.
 */
import type { Claim, ClaimEndReason, Session, UnseenEnd } from "./records.ts";

export type Outcome =
  /** Nothing to say: time advanced, the cluster was founded, a cancel was applied. */
  | { readonly kind: "done" }
  /** No command is accepted before the cluster was founded. */
  | { readonly kind: "not-founded" }
  | { readonly kind: "session"; readonly session: Session; readonly created: boolean }
  | { readonly kind: "keep-alive"; readonly items: readonly KeepAliveOutcome[] }
  | { readonly kind: "session-closed"; readonly session: Session }
  /** The session is there with another body, or another session has its ref. */
  | { readonly kind: "session-conflict" }
  | SessionEnded
  | SessionUnknown
  /** Held, waiting, or ended with a refusal or a time-out: the claim's own state says which. */
  | { readonly kind: "claim"; readonly claim: Claim }
  /** The id stands for another claim, or for one too old to be remembered. */
  | { readonly kind: "claim-conflict"; readonly forgotten: boolean }
  /** Its caller released or cancelled it. */
  | { readonly kind: "claim-ended"; readonly claim: Claim }
  /** It was held, and its hold ended without its caller. */
  | { readonly kind: "claim-lost"; readonly claim: Claim; readonly reason: ClaimEndReason }
  /** 200 for a release: the claim is over, and why. */
  | { readonly kind: "released"; readonly claim: Claim }
  /** The claim belongs to another session. */
  | { readonly kind: "not-holder" }
  | { readonly kind: "quota"; readonly limit: string; readonly max: number };

export interface SessionEnded {
  readonly kind: "session-ended";
  readonly session: Session;
}

export interface SessionUnknown {
  readonly kind: "session-unknown";
}

export type KeepAliveOutcome =
  | { readonly kind: "renewed"; readonly session: Session; readonly unseenEnds: readonly UnseenEnd[] }
  /** `seen` names an answer that this session never got. Nothing was renewed. */
  | { readonly kind: "seen-ahead"; readonly lastRenewal: number }
  | SessionEnded
  | SessionUnknown;
