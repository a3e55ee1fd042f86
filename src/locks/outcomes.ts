/**
 * What applying an entry says to whoever proposed it. Expected refusals are values here, never errors thrown.
 * The records in an outcome are the machine's own: read them in the same turn, before the next entry applies.
 */
import type { Claim, ClaimEndReason, Resource, Semaphore, Session, UnseenEnd } from "./records.ts";
import type { SettingFault, Settings } from "./settings.ts";

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
  /** Nobody knows a claim of this id (any more). */
  | { readonly kind: "claim-unknown" }
  /** The owner has this lock already, in a mode that covers the one asked for. */
  | { readonly kind: "already-held"; readonly claim: Claim }
  /** The owner waits for something already: a thread of control waits for one thing at a time. */
  | { readonly kind: "already-waiting"; readonly claim: Claim }
  /** The held claim with the permits that it keeps. */
  | { readonly kind: "shrunk"; readonly claim: Claim }
  /** It is waiting, names no semaphore, or has fewer permits than it should keep. */
  | { readonly kind: "not-shrinkable"; readonly claim: Claim }
  /** The name stands for a thing of the other kind. */
  | { readonly kind: "kind-mismatch"; readonly name: string; readonly is: Resource["kind"] }
  | { readonly kind: "semaphore-unknown"; readonly name: string }
  /** Nothing could ever be granted: more permits than there are. */
  | { readonly kind: "exceeds-capacity"; readonly permits: number; readonly capacity: number }
  | { readonly kind: "capacity-conflict"; readonly name: string; readonly capacity: number }
  | { readonly kind: "semaphore"; readonly semaphore: Semaphore; readonly created: boolean }
  | { readonly kind: "semaphore-deleted"; readonly name: string }
  /** Held or waited for. */
  | { readonly kind: "in-use"; readonly semaphore: Semaphore }
  /** Also when it had been killed before. */
  | { readonly kind: "session-killed"; readonly session: Session }
  | { readonly kind: "settings"; readonly settings: Settings }
  | { readonly kind: "settings-refused"; readonly faults: readonly SettingFault[] }
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
