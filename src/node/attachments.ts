/**
 * Which clients listen for which claims, and what follows when the last one goes away (SEMANTICS §3, connection loss).
 * Leader's memory only: none of it is state, it only leads to proposals. It forgets everything when leadership ends.
 */
import type { Claim, ClaimChange } from "../locks/records.ts";
import type { ClaimListener, SessionListener, View } from "./contract.ts";

export interface CancelRequest {
  readonly claimId: string;
  readonly fence: number | undefined;
}

export class Attachments {
  readonly #listeners = new Map<string, Set<ClaimListener>>();
  readonly #sessionListeners = new Map<string, Set<SessionListener>>();
  /** Requests under way, by session and claim; of any tenure. */
  readonly #requests = new Map<string, number>();
  /** Claims that lost a request while another one was under way: whether they are given up is seen when that one ends. */
  readonly #left = new Set<string>();
  /** Live claims that an answer of this tenure has named, waiting or held. */
  readonly #answered = new Set<string>();
  /** Since when (monotonic ms) nobody polls a waiting claim that wants to be cancelled then. */
  readonly #unattendedSince = new Map<string, { readonly claim: Claim; readonly since: number }>();
  /** Claims that lost their last request before any answer named them. */
  readonly #gone = new Set<string>();
  /** The entry that opened this tenure; undefined before it applied. An older grant may be known from another leader. */
  #tenureFrom: number | undefined;

  watch(claimId: string, listener: ClaimListener): () => void {
    const listeners = this.#listeners.get(claimId) ?? new Set();
    this.#listeners.set(claimId, listeners.add(listener));
    this.#unattendedSince.delete(claimId);
    this.#gone.delete(claimId);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(claimId) === listeners) this.#listeners.delete(claimId);
    };
  }

  /** `waiting` are the session's claims that wait now. */
  watchSession(sessionId: string, waiting: Iterable<Claim>, listener: SessionListener): () => void {
    const listeners = this.#sessionListeners.get(sessionId) ?? new Set();
    this.#sessionListeners.set(sessionId, listeners.add(listener));
    for (const { id } of waiting) {
      this.#unattendedSince.delete(id);
      this.#gone.delete(id);
    }
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#sessionListeners.get(sessionId) === listeners) {
        this.#sessionListeners.delete(sessionId);
      }
    };
  }

  /** Until what it returns is called, once, a request for the claim is on its way: if it is its own, its client is there. */
  attend(sessionId: string, claimId: string): () => void {
    const key = requestKey(sessionId, claimId);
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#requests.get(key) ?? 1) - 1;
      if (left > 0) this.#requests.set(key, left);
      else this.#requests.delete(key);
    };
  }

  #isRequested({ id, session }: Claim): boolean {
    return this.#requests.has(requestKey(session.id, id));
  }

  /** A request for it ended, whatever it was told: if no other is under way, the time to come back begins. */
  noteLeft(claim: Claim, monotonicMs: number): void {
    if (this.#isRequested(claim)) return;
    if (this.#left.delete(claim.id) && !this.#answered.has(claim.id)) this.#gone.add(claim.id);
    this.#noteUnattended(claim, monotonicMs);
  }

  /** Nobody polls these claims any more by their session; whoever wants that has the usual time to come back. */
  leaveSession(waiting: Iterable<Claim>, monotonicMs: number): void {
    for (const claim of waiting) this.#noteUnattended(claim, monotonicMs);
  }

  #isAttended({ id, session }: Claim): boolean {
    return this.#listeners.has(id) || this.#sessionListeners.has(session.id);
  }

  noteAnswered(claim: Claim, monotonicMs: number): void {
    if (claim.state === "ended") return;
    this.#answered.add(claim.id);
    // Its client is told of it by this very answer.
    this.#gone.delete(claim.id);
    this.#noteUnattended(claim, monotonicMs);
  }

  #noteUnattended(claim: Claim, monotonicMs: number): void {
    const wants = claim.state === "waiting" && claim.cancelOnDisconnect;
    // The order of the map is the order of time, so a claim that was polled again goes to the end.
    this.#unattendedSince.delete(claim.id);
    if (wants && !this.#isAttended(claim)) this.#unattendedSince.set(claim.id, { claim, since: monotonicMs });
  }

  /** A new leader does not know who was attached where: everybody gets the full time to come back. */
  startTenure(waiting: Iterable<Claim>, from: number, monotonicMs: number): void {
    this.#tenureFrom = from;
    for (const claim of waiting) {
      this.#answered.add(claim.id);
      this.#noteUnattended(claim, monotonicMs);
    }
  }

  /** A request went away unanswered. What should be proposed, if anything: nothing while another one is under way. */
  abandon(claim: Claim): CancelRequest | undefined {
    if (!claim.cancelOnDisconnect || this.#isAttended(claim)) return undefined;
    if (this.#isRequested(claim)) {
      if (claim.state !== "ended") this.#left.add(claim.id);
      return undefined;
    }
    if (claim.state === "waiting") {
      if (!this.#answered.has(claim.id)) this.#gone.add(claim.id);
      return { claimId: claim.id, fence: undefined };
    }
    return claim.state === "held" ? this.#giveBack(claim) : undefined;
  }

  /** A hold that nobody has heard of, and nobody will. */
  #giveBack(claim: Claim): CancelRequest | undefined {
    if (this.#answered.has(claim.id) || claim.grant === undefined) return undefined;
    if (this.#tenureFrom === undefined || claim.grant.revision < this.#tenureFrom) return undefined;
    return { claimId: claim.id, fence: claim.grant.fence };
  }

  /** Tells the listeners of a change. Returns what should be proposed: a grant whose client was gone by then. */
  handleChange(change: ClaimChange, view: () => View): CancelRequest | undefined {
    const { claim } = change;
    if (change.state === "waiting") return undefined;
    const listeners = this.#listeners.get(claim.id);
    this.#listeners.delete(claim.id);
    this.#unattendedSince.delete(claim.id);
    const wasGone = this.#gone.delete(claim.id);
    if (change.state === "ended") {
      this.#answered.delete(claim.id);
      this.#left.delete(claim.id);
    }
    if (listeners !== undefined) for (const listener of listeners) listener(claim, view());
    const ofSession = this.#sessionListeners.get(claim.session.id);
    if (ofSession !== undefined) {
      this.#sessionListeners.delete(claim.session.id);
      for (const listener of ofSession) listener(view());
    }
    return change.state === "held" && wasGone && listeners === undefined && ofSession === undefined
      ? this.#giveBack(claim)
      : undefined;
  }

  /** Waiting claims that nobody has polled for `graceMs`. Each is returned once. */
  takeUnattended(monotonicMs: number, graceMs: number): readonly Claim[] {
    const old: Claim[] = [];
    // Insertion order is order of time: the first that is young enough ends the search.
    for (const { claim, since } of this.#unattendedSince.values()) {
      if (monotonicMs - since < graceMs) break;
      old.push(claim);
    }
    for (const { id } of old) this.#unattendedSince.delete(id);
    // A request may be waiting for a majority's word before it can watch; its end begins the time anew.
    return old.filter((claim) => !this.#isRequested(claim));
  }

  /** This node stopped leading: everybody who listens here must ask the next leader. */
  endTenure(view: View): void {
    const all = [...this.#listeners.values()];
    const ofSessions = [...this.#sessionListeners.values()];
    this.#listeners.clear();
    this.#sessionListeners.clear();
    this.#tenureFrom = undefined;
    this.#answered.clear();
    this.#left.clear();
    this.#unattendedSince.clear();
    this.#gone.clear();
    for (const listeners of all) for (const listener of listeners) listener(undefined, view);
    for (const listeners of ofSessions) for (const listener of listeners) listener(undefined);
  }
}

/** A session id has no space. */
function requestKey(sessionId: string, claimId: string): string {
  return `${sessionId} ${claimId}`;
}
