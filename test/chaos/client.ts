/**
 * One client of the workload: sessions that it opens, keeps by the product's own lease machine, and closes, abandons or
 * loses; locks, permits and looks in between. It acts on a hold only while the lease says so, and everything it sends
 * and hears goes into the notebook. What an answer may be and mean is docs/API.md; anything else is a complaint.
 */
import { createElapsedClock } from "../../src/client/elapsed-clock.ts";
import { isOver, type LeaseGrant, standingOf } from "../../src/client/lease.ts";
import { createLeaseKeeper, type KeepAliveReply, type LeaseKeeper } from "../../src/client/lease-keeper.ts";
import type { Asked as AskedFor, Denied, Gone, Mode, Shown } from "../check/history.ts";
import { nowMs, pause } from "./clock.ts";
import type { Notebook, Pending } from "./notebook.ts";
import { type Answer, attemptMsDefault, Wire } from "./wire.ts";

export interface ClientOptions {
  readonly name: string;
  readonly urls: readonly string[];
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly random: () => number;
  readonly notebook: Notebook;
}

export interface AcquireOptions {
  readonly asked: AskedFor;
  readonly waitMs: number;
  readonly capacity?: number | undefined;
  readonly maxHoldMs?: number | undefined;
  readonly owner?: string | undefined;
  readonly onDisconnect: "cancel" | "keep";
  readonly pollMs: number;
}

export interface Hold {
  readonly claimId: string;
  readonly asked: AskedFor;
  readonly fence: number;
  readonly sequencer: string | undefined;
  /** Whether its client may act on it, this instant. */
  isBelieved(): boolean;
  /** The belief is over: something that gives it up is about to be sent, or a notice came. May be called again. */
  end(): void;
}

/** How long an operation is tried before its outcome counts as unknown, beyond what it may wait. */
const patienceMs = 4_000;

/** A session from its open to its end. */
export class Session {
  readonly id: string;
  readonly ref: string;
  readonly client: string;
  readonly #options: ClientOptions;
  readonly #wire: Wire;
  readonly #keeper: LeaseKeeper;
  readonly #ending = new AbortController();
  readonly #holds = new Map<string, Hold>();
  readonly #claims = { last: 0 };
  /** No answer allows belief beyond this, by the shared clock: the send of what was answered, plus its lease. */
  #validUntil: number;
  /** The last send of anything that renews. */
  #renewedBy: number;
  #acknowledged: number | undefined;
  #seen: number | undefined;
  readonly #kept: Promise<unknown>;

  private constructor(
    options: ClientOptions,
    wire: Wire,
    opened: {
      id: string;
      ref: string;
      grant: LeaseGrant;
      sentAt: number;
      clock: ReturnType<typeof createElapsedClock>;
      sentAtElapsed: number;
    },
  ) {
    this.#options = options;
    this.#wire = wire;
    this.client = options.name;
    this.id = opened.id;
    this.ref = opened.ref;
    this.#validUntil = opened.sentAt + opened.grant.leaseMs;
    this.#renewedBy = nowMs();
    const { clock, grant, sentAtElapsed } = opened;
    let pending: Pending<"keepalive"> | undefined;
    this.#keeper = createLeaseKeeper({
      clock,
      grant,
      sentAtMs: sentAtElapsed,
      ask: async ({ leftMs, signal }) => {
        if (signal?.aborted === true) throw signal.reason;
        if (pending === undefined) {
          this.#seen = this.#acknowledged;
          pending = options.notebook.begin("keepalive", {
            client: this.client,
            sessionId: this.id,
            seen: this.#seen,
          });
        }
        this.#renewedBy = nowMs();
        const answer = await wire.once(
          {
            method: "POST",
            path: `/v1/sessions/${this.id}:keepalive`,
            body: this.#seen === undefined ? {} : { seen: this.#seen },
          },
          { untilMs: nowMs() + leftMs },
        );
        if (answer === undefined) return { kind: "unanswered" };
        const asked = pending;
        pending = undefined;
        return this.#renewed(answer, asked);
      },
    });
    this.#kept = this.#keeper
      .keep(this.#ending.signal, () => {})
      .catch((error: unknown) => {
        if (!this.#ending.signal.aborted)
          options.notebook.complain(`${this.client}: keeping failed: ${String(error)}`);
      })
      .then(() => {
        pending?.giveUp();
        clock.stop();
      });
  }

  static async open(options: ClientOptions, wire: Wire, number: number): Promise<Session | undefined> {
    const { name, notebook, ttlMs, lockDelayMs, random } = options;
    const id = `${name}-${number}-${Math.floor(random() * 2 ** 48).toString(36)}`.padEnd(20, "x");
    const clock = createElapsedClock();
    const sentAtElapsed = clock.now();
    const pending = notebook.begin("open", { client: name, sessionId: id, ttlMs });
    const answer = await wire.call(
      { method: "POST", path: "/v1/sessions", body: { sessionId: id, ttlMs, lockDelayMs, label: name } },
      { untilMs: pending.sentAt + Math.min(patienceMs, ttlMs - 600) },
    );
    const { body, status, revision } = answer ?? { body: {}, status: 0, revision: undefined };
    if (status === 200 || status === 201) {
      const ref = String(body["sessionRef"]);
      const grant = grantOf(body);
      pending.end({ kind: "live", sessionRef: ref, ttlMs: grant.ttlMs, leaseMs: grant.leaseMs }, revision);
      return new Session(options, wire, { id, ref, grant, sentAt: pending.sentAt, clock, sentAtElapsed });
    }
    clock.stop();
    if (answer === undefined) {
      pending.giveUp();
      // Whoever was never told still may have opened it: nobody renews it from here on.
      notebook.abandon(id, nowMs());
      return undefined;
    }
    pending.end(goneOf(answer) ?? denied(answer, notebook, "open", ["session-conflict", "quota"]), revision);
    return undefined;
  }

  get isOver(): boolean {
    return isOver(this.#keeper.current()) || this.#ending.signal.aborted;
  }

  #renewed(answer: Answer, pending: Pending<"keepalive">): KeepAliveReply {
    const { body, status, revision } = answer;
    const gone = goneOf(answer);
    if (gone !== undefined) {
      pending.end(gone, revision);
      this.#endAll();
      return { kind: "gone", detail: String(body["detail"]) };
    }
    if (status !== 200) {
      pending.end(denied(answer, this.#options.notebook, "keepalive", []), revision);
      return { kind: "gone", detail: `answered ${status}` };
    }
    const grant = grantOf(body);
    pending.end(
      { kind: "renewed", ttlMs: grant.ttlMs, leaseMs: grant.leaseMs, ended: grant.ended as never },
      revision,
    );
    // Acted on right here: nothing runs under a hold but what asks `isBelieved` first.
    for (const { claimId } of grant.ended) this.#holds.get(claimId)?.end();
    if (!isOver(this.#keeper.current())) {
      this.#validUntil = Math.max(this.#validUntil, pending.sentAt + grant.leaseMs);
      this.#acknowledged = grant.revision;
    }
    return { kind: "granted", grant };
  }

  #endAll(): void {
    for (const hold of this.#holds.values()) hold.end();
  }

  // ---- claims

  nextClaimId(): string {
    return `${this.ref}_${++this.#claims.last}`;
  }

  /** The hold, if it may be believed in. Undefined otherwise; `isKnown` says whether the outcome is. */
  async acquire(
    claimId: string,
    options: AcquireOptions,
  ): Promise<{ hold: Hold | undefined; isKnown: boolean }> {
    const { asked, waitMs, capacity, maxHoldMs, owner, onDisconnect, pollMs } = options;
    const { notebook } = this.#options;
    const pending = notebook.begin("acquire", {
      client: this.client,
      sessionId: this.id,
      claimId,
      asked,
      capacity,
      waitMs,
      maxHoldMs,
      owner,
      queuedAt: undefined,
      leftAt: undefined,
    });
    let attemptAt = pending.sentAt;
    const left = () => {
      // The server may have noticed sooner than this client, but not before it was asked.
      if (onDisconnect === "cancel") pending.record.leftAt ??= attemptAt;
    };
    const path =
      asked.mode === "permits" ? `/v1/semaphores/${asked.name}:acquire` : `/v1/locks/${asked.name}:acquire`;
    const body = {
      sessionId: this.id,
      claimId,
      waitMs,
      pollMs,
      onDisconnect,
      ...(asked.mode === "permits" ? { permits: asked.permits } : { mode: asked.mode }),
      ...(capacity === undefined ? {} : { capacity }),
      ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
      ...(owner === undefined ? {} : { owner }),
    };
    const untilMs = pending.sentAt + waitMs + patienceMs;
    let answer: Answer | undefined;
    let polls = 0;
    for (;;) {
      const isPoll = polls > 0 && polls % 2 === 1;
      attemptAt = nowMs();
      answer = await this.#wire.call(
        isPoll
          ? { method: "GET", path: `/v1/claims/${claimId}?pollMs=${pollMs}`, session: this.id }
          : { method: "POST", path, body },
        { untilMs, attemptMs: pollMs + attemptMsDefault, isOver: () => this.isOver, onBroken: left },
      );
      if (answer?.status !== 202) break;
      pending.record.queuedAt ??= nowMs();
      polls++;
      if (nowMs() >= untilMs || this.isOver) {
        answer = undefined;
        break;
      }
    }
    if (answer === undefined) {
      pending.giveUp();
      left();
      return { hold: undefined, isKnown: false };
    }
    pending.end(acquireAnswer(answer, notebook), answer.revision);
    if (goneOf(answer) !== undefined) this.#endAll();
    const hold =
      answer.status === 200 && answer.body["state"] === "held"
        ? this.#held(claimId, asked, answer, maxHoldMs, pending.sentAt)
        : undefined;
    return { hold, isKnown: true };
  }

  #held(
    claimId: string,
    asked: AskedFor,
    { body }: Answer,
    maxHoldMs: number | undefined,
    sentAt: number,
  ): Hold | undefined {
    const from = nowMs();
    const keeper = this.#keeper;
    // From the first send of what was answered: earlier than need be, never later.
    const holdUntil =
      maxHoldMs === undefined ? Number.POSITIVE_INFINITY : sentAt + Number(body["maxHoldLeftMs"] ?? 0);
    const standing = () =>
      standingOf(keeper.current(), claimId).kind === "held" && !this.#ending.signal.aborted;
    if (!standing() || from >= holdUntil) return undefined;
    if (from >= this.#validUntil)
      this.#options.notebook.complain(`${this.client}: the lease machine believes too long`);
    let endedAt: number | undefined;
    const fence = Number(body["fence"]);
    const hold: Hold = {
      claimId,
      asked,
      fence,
      sequencer: sequencerOf(body),
      isBelieved: () => {
        if (endedAt !== undefined) return false;
        const isHeld = standing() && nowMs() < holdUntil;
        if (isHeld && nowMs() > this.#validUntil + 1)
          this.#options.notebook.complain(`${this.client}: ${claimId} is believed in after its deadline`);
        if (!isHeld) hold.end();
        return isHeld;
      },
      end: () => {
        if (endedAt !== undefined) return;
        endedAt = nowMs();
        this.#holds.delete(claimId);
        const to = Math.min(endedAt, this.#validUntil, holdUntil);
        if (to > from)
          this.#options.notebook.believe({
            client: this.client,
            sessionId: this.id,
            claimId,
            asked,
            fence,
            from,
            to,
          });
      },
    };
    this.#holds.set(claimId, hold);
    return hold;
  }

  /** False: nobody knows whether it is free. */
  async release(claimId: string): Promise<boolean> {
    this.#holds.get(claimId)?.end();
    const { notebook } = this.#options;
    const pending = notebook.begin("release", { client: this.client, sessionId: this.id, claimId });
    const answer = await this.#wire.call(
      { method: "DELETE", path: `/v1/claims/${claimId}`, session: this.id },
      { untilMs: pending.sentAt + patienceMs },
    );
    if (answer === undefined) {
      pending.giveUp();
      return false;
    }
    const { status, body, revision } = answer;
    const claimRevision = Number(
      (body["claim"] as { revision?: number } | undefined)?.revision ?? body["revision"],
    );
    const reason = String(body["reason"]);
    const gone = goneOf(answer);
    if (status === 200) pending.end({ kind: "ended", reason, claimRevision }, revision);
    else if (body["code"] === "claim-lost") pending.end({ kind: "lost", reason, claimRevision }, revision);
    else if (gone !== undefined) {
      pending.end(gone, revision);
      this.#endAll();
    } else pending.end(denied(answer, notebook, "release", ["claim-conflict"]), revision);
    return true;
  }

  async shrink(hold: Hold, permits: number): Promise<void> {
    const { notebook } = this.#options;
    const pending = notebook.begin("shrink", {
      client: this.client,
      sessionId: this.id,
      claimId: hold.claimId,
      permits,
    });
    const answer = await this.#wire.call(
      { method: "POST", path: `/v1/claims/${hold.claimId}:shrink`, body: { permits }, session: this.id },
      { untilMs: pending.sentAt + patienceMs },
    );
    if (answer === undefined) return pending.giveUp();
    const gone = goneOf(answer);
    const shown = answer.status === 200 ? shownOf(answer.body) : undefined;
    pending.end(
      shown ?? gone ?? denied(answer, notebook, "shrink", ["claim-lost", "claim-ended", "not-found"]),
      answer.revision,
    );
  }

  // ---- looks

  async lookAtClaim(claimId: string): Promise<void> {
    const { notebook } = this.#options;
    const pending = notebook.begin("look-claim", { client: this.client, claimId });
    const answer = await this.#wire.call(
      { method: "GET", path: `/v1/claims/${claimId}?pollMs=0` },
      { untilMs: pending.sentAt + patienceMs },
    );
    if (answer === undefined) return pending.giveUp();
    const isShown = answer.status === 200 || answer.status === 202;
    pending.end(
      isShown ? shownOf(answer.body) : denied(answer, notebook, "look-claim", ["not-found"]),
      answer.revision,
    );
  }

  /** Also the refs of those who hold it. */
  async lookAtName(name: string, mode: Mode): Promise<readonly string[]> {
    const { notebook } = this.#options;
    const pending = notebook.begin("look-name", { client: this.client, name });
    const path = mode === "permits" ? `/v1/semaphores/${name}` : `/v1/locks/${name}`;
    const answer = await this.#wire.call({ method: "GET", path }, { untilMs: pending.sentAt + patienceMs });
    if (answer === undefined) {
      pending.giveUp();
      return [];
    }
    const { status, body, revision } = answer;
    if (status !== 200) {
      pending.end(denied(answer, notebook, "look-name", ["not-found"]), revision);
      return [];
    }
    const holders = (body["holders"] ?? []) as readonly {
      claimId: string;
      fence: number;
      permits?: number;
      sessionRef: string;
    }[];
    const queue = (body["queue"] ?? []) as readonly { claimId: string }[];
    const capacity = body["capacity"] === undefined ? undefined : Number(body["capacity"]);
    const state = capacity === undefined ? String(body["state"]) : "semaphore";
    pending.end(
      {
        kind: "shown",
        state,
        holders: holders.map(({ claimId, fence, permits = 1 }) => ({ claimId, fence, permits })),
        queue: queue.map(({ claimId }) => claimId),
        capacity,
      },
      revision,
    );
    return holders.map(({ sessionRef }) => sessionRef);
  }

  async check(hold: Hold): Promise<void> {
    const { claimId, asked, fence, sequencer } = hold;
    if (sequencer === undefined) return;
    const { notebook } = this.#options;
    const pending = notebook.begin("check", { client: this.client, claimId, name: asked.name, fence });
    const answer = await this.#wire.call(
      { method: "POST", path: "/v1/sequencers:check", body: { sequencers: [sequencer] } },
      { untilMs: pending.sentAt + patienceMs },
    );
    if (answer === undefined) return pending.giveUp();
    const results = answer.body["results"] as readonly { status: string }[] | undefined;
    const status = results?.[0]?.status;
    if (answer.status === 200 && status !== undefined)
      pending.end({ kind: "checked", status }, answer.revision);
    else pending.end(denied(answer, notebook, "check", []), answer.revision);
  }

  /** An operator ends somebody's session. */
  async kill(sessionRef: string): Promise<void> {
    const { notebook } = this.#options;
    const pending = notebook.begin("kill", { client: this.client, sessionRef });
    const answer = await this.#wire.call(
      { method: "POST", path: `/v1/sessions/${sessionRef}:kill`, body: { reason: "chaos" } },
      { untilMs: pending.sentAt + patienceMs },
    );
    if (answer === undefined) return pending.giveUp();
    const endRevision = Number(answer.body["revision"]);
    if (answer.status === 200) pending.end({ kind: "killed", endRevision }, answer.revision);
    else pending.end(goneOf(answer) ?? denied(answer, notebook, "kill", []), answer.revision);
  }

  // ---- ends

  async close(): Promise<void> {
    this.#endAll();
    await this.#stopKeeping();
    const { notebook } = this.#options;
    const pending = notebook.begin("close", { client: this.client, sessionId: this.id });
    const answer = await this.#wire.call(
      { method: "DELETE", path: `/v1/sessions/${this.id}` },
      { untilMs: pending.sentAt + patienceMs },
    );
    if (answer === undefined) {
      pending.giveUp();
      notebook.abandon(this.id, this.#renewedBy);
      return;
    }
    const endRevision = Number(answer.body["revision"]);
    if (answer.status === 200) pending.end({ kind: "closed", endRevision }, answer.revision);
    else pending.end(goneOf(answer) ?? denied(answer, notebook, "close", []), answer.revision);
  }

  /** As if the client had crashed: it hangs up, and nobody ever hears of it again. */
  async abandon(): Promise<void> {
    this.#endAll();
    await this.#stopKeeping();
    this.#wire.destroy();
    this.#options.notebook.abandon(this.id, this.#renewedBy);
  }

  /** A lease that is over ends its session by itself. */
  async leave(): Promise<void> {
    this.#endAll();
    await this.#stopKeeping();
    this.#options.notebook.abandon(this.id, this.#renewedBy);
  }

  async #stopKeeping(): Promise<void> {
    this.#ending.abort();
    await this.#kept;
  }
}

/** Where a client's requests leave from; another one after each crash. */
export function wireOf({ urls, random }: ClientOptions): Wire {
  return new Wire(urls, random);
}

export async function makeSemaphore(wire: Wire, name: string, capacity: number): Promise<void> {
  const answer = await wire.call(
    { method: "PUT", path: `/v1/semaphores/${name}`, body: { capacity } },
    { untilMs: nowMs() + 10_000 },
  );
  if (answer?.status !== 200 && answer?.status !== 201)
    throw new Error(`the semaphore ${name} could not be made`);
  await pause(0);
}

// ---- answers

function grantOf(body: Answer["body"]): LeaseGrant {
  return {
    leaseMs: Number(body["leaseMs"]),
    ttlMs: Number(body["ttlMs"]),
    renewAfterMs: Number(body["renewAfterMs"]),
    revision: Number(body["revision"] ?? 0),
    ended: (body["ended"] ?? []) as LeaseGrant["ended"],
  };
}

/** 410, or 404 of something that only a session can be missing from. */
function goneOf({ status, body }: Answer): Gone | undefined {
  if (status === 410) {
    const ended = body["ended"] as { reason: "expired" | "closed" | "killed"; revision: number } | undefined;
    return { kind: "gone", reason: ended?.reason ?? "unknown", endRevision: ended?.revision };
  }
  if (status === 404 && String(body["detail"]).includes("session"))
    return { kind: "gone", reason: "unknown", endRevision: undefined };
  return undefined;
}

function denied(answer: Answer, notebook: Notebook, to: string, allowed: readonly string[]): Denied {
  const code = String(answer.body["code"]);
  if (!allowed.includes(code))
    notebook.complain(`${to} answered ${answer.status} ${JSON.stringify(answer.body)}`);
  return { kind: "denied", code };
}

function shownOf(body: Answer["body"]): Shown {
  const claimRevision = Number(body["revision"]);
  const fence = body["fence"] === undefined ? undefined : Number(body["fence"]);
  switch (body["state"]) {
    case "held": {
      const [resource] = (body["resources"] ?? []) as readonly { permits?: number }[];
      return { kind: "held", fence: fence ?? Number.NaN, claimRevision, permits: resource?.permits ?? 1 };
    }
    case "waiting":
      return { kind: "waiting" };
    default:
      return { kind: "ended", reason: String(body["reason"]), fence, claimRevision };
  }
}

function acquireAnswer(answer: Answer, notebook: Notebook) {
  const { status, body } = answer;
  if (status === 200) return shownOf(body);
  if (status === 423) {
    const code = body["code"] === "locked" ? ("locked" as const) : ("wait-timeout" as const);
    const blockers = (body["blockedBy"] ?? []) as readonly { claimId: string }[];
    const blockedBy = blockers.map(({ claimId }) => claimId);
    return { kind: "refused" as const, code, reason: String(body["reason"]), blockedBy };
  }
  const allowed = [
    "claim-ended",
    "claim-lost",
    "already-held",
    "already-waiting",
    "not-found",
    "claim-conflict",
  ];
  return goneOf(answer) ?? denied(answer, notebook, "acquire", allowed);
}

function sequencerOf(body: Answer["body"]): string | undefined {
  const [resource] = (body["resources"] ?? []) as readonly { sequencer?: string }[];
  return resource?.sequencer;
}
