/**
 * The state as a sequence of plain records, and back: what a snapshot holds (Raft §5). A machine that is built from them
 * goes on exactly as the one they were taken of: the same outcomes, the same state hash, entry for entry (I12).
 * Nothing is in them that follows from the rest: counters, owners, modes and deadline marks are made anew. Insertion
 * orders are in them, for they decide what is oldest. Encodes nothing; shares no record with the state.
 * Sessions and claims are written out field by field, in the machine's own order: an engine then gives those that were
 * loaded the same shape as those that were made, and whatever reads them stays fast.
 *
 *   head │ resource* │ ( session, claim* )* │ remembered │ ( holders, queue )* │ barrier*
 */
import { keepBarrier } from "./barriers.ts";
import { checkLockState } from "./invariants.ts";
import { createLockState } from "./machine.ts";
import { noteOwnerGrant, noteOwnerWait } from "./owners.ts";
import type {
  Barrier,
  Claim,
  ClaimedResource,
  Lock,
  LockState,
  Resource,
  Semaphore,
  Session,
} from "./records.ts";
import { createLock, createSemaphore } from "./resources.ts";

export type ImageRecord =
  | HeadImage
  | LockImage
  | SemaphoreImage
  | SessionImage
  | ClaimImage
  | RememberedImage
  | MembersImage
  | BarrierImage;

/** The first one. */
export interface HeadImage
  extends Pick<
    LockState,
    "settings" | "clusterId" | "fence" | "now" | "termStart" | "wallMs" | "revision" | "budgetLeft"
  > {
  readonly kind: "head";
}

export interface LockImage
  extends Pick<Lock, "kind" | "name" | "revision" | "exclusiveMark" | "sharedMark"> {}

export interface SemaphoreImage
  extends Pick<Semaphore, "kind" | "name" | "revision" | "capacity" | "isSet"> {}

/** Live ones first, both in their order; its claims follow. */
export interface SessionImage extends Omit<Session, "claims" | "owners" | "unseenEnds" | "remembered"> {
  readonly kind: "session";
}

/** Of the session before it: live ones, then ends that it has not acknowledged, then those that are remembered. */
export interface ClaimImage extends Omit<Claim, "session" | "resources"> {
  readonly kind: "claim";
  readonly place: "live" | "unseen" | "remembered";
  /** Permits that it has kept, in the order of what it asked for; 0 for a lock. Empty once it has ended. */
  readonly kept: readonly number[];
}

/** Ids of all remembered claims, the oldest first. In as many records as one likes. */
export interface RememberedImage {
  readonly kind: "remembered";
  readonly claimIds: readonly string[];
}

/** Who holds, or who waits, in order. In as many records as one likes. */
export interface MembersImage {
  readonly kind: "holders" | "queue";
  readonly name: string;
  readonly claimIds: readonly string[];
}

export interface BarrierImage extends Omit<Barrier, "resources"> {
  readonly kind: "barrier";
  readonly resources: readonly {
    readonly name: string;
    readonly mode: ClaimedResource["mode"];
    /** 0 for a lock. */
    readonly permits: number;
    readonly kept: number;
  }[];
}

/** The records are not those of a state. `message` says which one is wrong, and why. */
export class ImageError extends Error {
  override readonly name = "ImageError";
}

/** Ids in one record, at most: so that no record of a long queue is large. */
const idsMax = 1_000;

// ---- taking --------------------------------------------------------------------------------------------------------

/** To be walked to its end before the next entry applies. Linear in the state. */
export function* imageOf(state: LockState): Generator<ImageRecord, void, undefined> {
  const { settings, clusterId, fence, now, termStart, wallMs, revision, budgetLeft } = state;
  yield { kind: "head", settings, clusterId, fence, now, termStart, wallMs, revision, budgetLeft };
  for (const resource of state.resources.values()) yield resourceImage(resource);
  for (const session of state.sessions.values()) yield* sessionImages(session);
  for (const session of state.tombstones.values()) yield* sessionImages(session);
  for (const claimIds of inShares(state.remembered.keys())) yield { kind: "remembered", claimIds };
  for (const { name, holders, queue } of state.resources.values()) {
    for (const claimIds of inShares(idsOf(holders))) yield { kind: "holders", name, claimIds };
    for (const claimIds of inShares(idsOf(queue))) yield { kind: "queue", name, claimIds };
  }
  for (const barrier of state.barriers.values()) yield barrierImage(barrier);
}

function resourceImage(resource: Resource): LockImage | SemaphoreImage {
  const { name, revision } = resource;
  if (resource.kind === "lock") {
    const { kind, exclusiveMark, sharedMark } = resource;
    return { kind, name, revision, exclusiveMark, sharedMark };
  }
  const { kind, capacity, isSet } = resource;
  return { kind, name, revision, capacity, isSet };
}

function* sessionImages(session: Session): Generator<ImageRecord, void, undefined> {
  const { claims, unseenEnds, remembered } = session;
  yield {
    kind: "session",
    id: session.id,
    ref: session.ref,
    ttlMs: session.ttlMs,
    askedTtlMs: session.askedTtlMs,
    lockDelayMs: session.lockDelayMs,
    label: session.label,
    metadata: session.metadata,
    createdWallMs: session.createdWallMs,
    expiresAt: session.expiresAt,
    graceLeftMs: session.graceLeftMs,
    lastRenewal: session.lastRenewal,
    seen: session.seen,
    forgottenRevision: session.forgottenRevision,
    forgottenUpTo: session.forgottenUpTo,
    end: session.end,
  };
  for (const claim of claims.values()) yield claimImage(claim, "live");
  for (const { claim } of unseenEnds) yield claimImage(claim, "unseen");
  for (const claim of remembered.values()) yield claimImage(claim, "remembered");
}

function claimImage(claim: Claim, place: ClaimImage["place"]): ClaimImage {
  return {
    kind: "claim",
    place,
    kept: claim.resources.map((claimed) => (claimed.mode === "permits" ? claimed.kept : 0)),
    id: claim.id,
    asked: claim.asked,
    lockDelayMs: claim.lockDelayMs,
    maxHoldMs: claim.maxHoldMs,
    owner: claim.owner,
    metadata: claim.metadata,
    cancelOnDisconnect: claim.cancelOnDisconnect,
    enqueuedRevision: claim.enqueuedRevision,
    enqueuedAt: claim.enqueuedAt,
    waitDeadline: claim.waitDeadline,
    state: claim.state,
    revision: claim.revision,
    grant: claim.grant,
    end: claim.end,
  };
}

function barrierImage({ fence, resources, delayUntil, handBackUntil }: Barrier): BarrierImage {
  const images = resources.map((claimed) => {
    const { mode, resource } = claimed;
    return mode === "permits"
      ? { name: resource.name, mode, permits: claimed.permits, kept: claimed.kept }
      : { name: resource.name, mode, permits: 0, kept: 0 };
  });
  return { kind: "barrier", fence, delayUntil, handBackUntil, resources: images };
}

function* idsOf(claims: Iterable<Claim>): Generator<string, void, undefined> {
  for (const { id } of claims) yield id;
}

function* inShares(ids: Iterable<string>): Generator<readonly string[], void, undefined> {
  let share: string[] = [];
  for (const id of ids) {
    share.push(id);
    if (share.length < idsMax) continue;
    yield share;
    share = [];
  }
  if (share.length > 0) yield share;
}

// ---- building ------------------------------------------------------------------------------------------------------

/** Takes the records in their order. Whatever they are, it ends with a sound state or an `ImageError`. */
export class ImageReader {
  readonly #state = createLockState();
  #session: Session | undefined;
  #hasHead = false;
  #placed = 0;

  add(record: ImageRecord): void {
    if (this.#hasHead === (record.kind === "head")) throw new ImageError("the head comes first, and once");
    switch (record.kind) {
      case "head": {
        const { kind: _, ...plain } = record;
        this.#hasHead = true;
        Object.assign(this.#state, plain);
        return;
      }
      case "lock":
      case "semaphore":
        return this.#addResource(record);
      case "session":
        return this.#addSession(record);
      case "claim":
        return this.#addClaim(record);
      case "remembered":
        for (const id of record.claimIds) this.#remember(id);
        return;
      case "holders":
      case "queue":
        for (const id of record.claimIds) this.#place(record, id);
        return;
      case "barrier":
        return this.#addBarrier(record);
      default:
        throw new ImageError(`no record is of the kind ${String((record as { kind: unknown }).kind)}`);
    }
  }

  /** The whole state, every invariant of it checked. */
  end(): LockState {
    const state = this.#state;
    if (!this.#hasHead) throw new ImageError("it has no head");
    if (this.#placed !== state.heldCount + state.waitingCount)
      throw new ImageError("a live claim neither holds nor waits");
    try {
      checkLockState(state);
    } catch (error) {
      throw new ImageError(error instanceof Error ? error.message : String(error), { cause: error });
    }
    return state;
  }

  #addResource(record: LockImage | SemaphoreImage): void {
    const { kind, name } = record;
    const state = this.#state;
    if (state.resources.has(name)) throw new ImageError(`${name} is there twice`);
    if (kind === "lock") {
      const { revision, exclusiveMark, sharedMark } = record;
      Object.assign(createLock(state, name), { revision, exclusiveMark, sharedMark });
      return;
    }
    const { revision, capacity, isSet } = record;
    Object.assign(createSemaphore(state, name, capacity), { revision, isSet });
    if (isSet) state.setSemaphores++;
  }

  #addSession(record: SessionImage): void {
    const state = this.#state;
    const { id, ref, ttlMs, expiresAt, end } = record;
    if (state.sessions.has(id) || state.tombstones.has(id) || state.sessionsByRef.has(ref))
      throw new ImageError(`the session ${ref} is there twice`);
    const session: Session = {
      id,
      ref,
      ttlMs,
      askedTtlMs: record.askedTtlMs,
      lockDelayMs: record.lockDelayMs,
      label: record.label,
      metadata: record.metadata,
      createdWallMs: record.createdWallMs,
      expiresAt,
      graceLeftMs: record.graceLeftMs,
      lastRenewal: record.lastRenewal,
      seen: record.seen,
      claims: new Map(),
      owners: new Map(),
      unseenEnds: [],
      remembered: new Map(),
      forgottenRevision: record.forgottenRevision,
      forgottenUpTo: record.forgottenUpTo,
      end,
    };
    this.#session = session;
    state.sessionsByRef.set(ref, session);
    if (end !== undefined) {
      state.tombstones.set(id, session);
      return;
    }
    state.sessions.set(id, session);
    state.ttlCounts.set(ttlMs, (state.ttlCounts.get(ttlMs) ?? 0) + 1);
    state.deadlines.add({ at: expiresAt, kind: "session", id });
  }

  #addClaim(record: ClaimImage): void {
    const state = this.#state;
    const session = this.#session;
    const { id, place, kept, end } = record;
    if (session === undefined) throw new ImageError(`the claim ${id} has no session`);
    if (state.claims.has(id)) throw new ImageError(`the claim ${id} is there twice`);
    if ((place === "live") !== (end === undefined))
      throw new ImageError(`the claim ${id} is in no such place`);
    const claim: Claim = {
      id,
      session,
      asked: record.asked,
      resources: [],
      lockDelayMs: record.lockDelayMs,
      maxHoldMs: record.maxHoldMs,
      owner: record.owner,
      metadata: record.metadata,
      cancelOnDisconnect: record.cancelOnDisconnect,
      enqueuedRevision: record.enqueuedRevision,
      enqueuedAt: record.enqueuedAt,
      waitDeadline: record.waitDeadline,
      state: record.state,
      revision: record.revision,
      grant: record.grant,
      end,
    };
    state.claims.set(id, claim);
    if (place === "remembered") {
      session.remembered.set(id, claim);
    } else if (end !== undefined) {
      session.unseenEnds.push({ claimId: id, claim, reason: end.reason, revision: end.revision });
    } else {
      claim.resources = claim.asked.map((asked, i) => this.#claimed(claim, asked.name, kept[i]));
      this.#addLive(claim);
    }
  }

  #claimed(claim: Claim, name: string, kept: number | undefined): ClaimedResource {
    const resource = this.#resource(name);
    const asked = claim.asked.find((each) => each.name === name);
    if (resource.kind === "lock" && asked?.kind === "lock") return { resource, mode: asked.mode };
    if (resource.kind === "semaphore" && asked?.kind === "semaphore" && kept !== undefined)
      return { resource, mode: "permits", permits: asked.permits, kept };
    throw new ImageError(`the claim ${claim.id} asks for something else than ${name} is`);
  }

  #addLive(claim: Claim): void {
    const state = this.#state;
    const { id, session, waitDeadline, maxHoldMs, grant } = claim;
    session.claims.set(id, claim);
    if (session.owners.get(claim.owner ?? "")?.waiting !== undefined)
      throw new ImageError(`the claim ${id} has an owner that waits already`);
    noteOwnerWait(claim);
    if (claim.state === "waiting") {
      state.waitingCount++;
      if (waitDeadline !== undefined) state.deadlines.add({ at: waitDeadline, kind: "wait", id });
      return;
    }
    if (grant === undefined) throw new ImageError(`the claim ${id} is held without a grant`);
    noteOwnerGrant(claim);
    state.heldCount++;
    if (maxHoldMs !== undefined) state.deadlines.add({ at: grant.at + maxHoldMs, kind: "max-hold", id });
  }

  #remember(id: string): void {
    const claim = this.#claim(id);
    if (claim.session.remembered.get(id) !== claim || this.#state.remembered.has(id))
      throw new ImageError(`the claim ${id} is not remembered, or twice`);
    this.#state.remembered.set(id, claim);
  }

  #place({ kind, name }: MembersImage, id: string): void {
    const claim = this.#claim(id);
    const claimed = claim.resources.find(({ resource }) => resource.name === name);
    const members = claimed?.resource[kind];
    if (claimed === undefined || members === undefined || members.has(claim))
      throw new ImageError(`the claim ${id} is not among the ${kind} of ${name}, or twice`);
    if ((claim.state === "held") !== (kind === "holders"))
      throw new ImageError(`the claim ${id} does not stand as it is`);
    members.add(claim);
    if (claimed.resource === claim.resources[0]?.resource) this.#placed++;
    if (kind === "queue") {
      if (claimed.mode === "exclusive") claimed.resource.exclusiveWaiters++;
    } else if (claimed.mode === "permits") claimed.resource.held += claimed.kept;
    else claimed.resource.mode = claimed.mode;
  }

  #addBarrier({ fence, delayUntil, handBackUntil, resources }: BarrierImage): void {
    const state = this.#state;
    if (state.barriers.has(fence)) throw new ImageError(`the barrier of fence ${fence} is there twice`);
    const claimed = resources.map(({ name, mode, permits, kept }): ClaimedResource => {
      const resource = this.#resource(name);
      if (resource.kind === "semaphore" && mode === "permits") return { resource, mode, permits, kept };
      if (resource.kind === "lock" && mode !== "permits") return { resource, mode };
      throw new ImageError(`the barrier of fence ${fence} is of something else than ${name} is`);
    });
    keepBarrier(state, { fence, resources: claimed, delayUntil, handBackUntil });
  }

  #resource(name: string): Resource {
    const resource = this.#state.resources.get(name);
    if (resource === undefined) throw new ImageError(`nothing is called ${name}`);
    return resource;
  }

  #claim(id: string): Claim {
    const claim = this.#state.claims.get(id);
    if (claim === undefined) throw new ImageError(`there is no claim ${id}`);
    return claim;
  }
}
