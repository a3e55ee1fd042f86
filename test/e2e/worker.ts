/**
 * A client of the kill test: plain HTTP, retries with the same ids, and the rule of belief (SEMANTICS rule 9). It writes
 * down everything that it was told, with times of the one clock that all clients of this host share.
 */
import { pause, timeLimit } from "./cluster.ts";

export interface Belief {
  readonly client: string;
  readonly lock: string;
  readonly claimId: string;
  readonly fence: number;
  readonly revision: number;
  /** From the receipt of the answer until the sending of the release or the session's own deadline. */
  readonly from: number;
  readonly to: number;
}

export interface Release {
  readonly claimId: string;
  readonly lock: string;
  readonly revision: number;
  readonly reason: string;
}

export interface History {
  readonly beliefs: Belief[];
  readonly releases: Release[];
  /** What must never be said, and was. */
  readonly complaints: string[];
  operations: number;
  unknown: number;
  sessionsLost: number;
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const marginMs = (ttlMs: number): number => Math.max(ttlMs / 10, 500);
const ttlMs = 6_000;
const attemptMs = 1_500;

export class Worker {
  readonly #name: string;
  readonly #urls: readonly string[];
  readonly #locks: readonly string[];
  readonly history: History;
  readonly #random: () => number;
  #leaderUrl: string | undefined;
  #sessions = 0;
  #claims = 0;
  isStopping = false;

  constructor(
    name: string,
    urls: readonly string[],
    locks: readonly string[],
    history: History,
    random: () => number,
  ) {
    this.#name = name;
    this.#urls = urls;
    this.#locks = locks;
    this.history = history;
    this.#random = random;
  }

  /** One attempt; undefined when nobody knows what became of it, or nobody could be asked. */
  async #attempt(
    method: string,
    path: string,
    body?: unknown,
    session?: string,
  ): Promise<Answer | undefined> {
    const url = this.#leaderUrl ?? (this.#urls[Math.floor(this.#random() * this.#urls.length)] as string);
    try {
      const response = await fetch(url + path, {
        method,
        redirect: "manual",
        signal: timeLimit(attemptMs),
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(session === undefined ? {} : { "holdfast-session": session }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const parsed = (await response.json()) as Record<string, unknown>;
      if (response.status === 307) {
        this.#leaderUrl = response.headers.get("holdfast-leader") ?? undefined;
        return undefined;
      }
      if (response.status === 503) {
        this.#leaderUrl = undefined;
        return undefined;
      }
      return { status: response.status, body: parsed };
    } catch {
      this.#leaderUrl = undefined;
      return undefined;
    }
  }

  async run(): Promise<void> {
    while (!this.isStopping) await this.#liveSession();
  }

  async #liveSession(): Promise<void> {
    const sessionId = `${this.#name}-${++this.#sessions}-${Math.floor(this.#random() * 2 ** 40)}`.padEnd(
      20,
      "x",
    );
    const firstSend = performance.now();
    const session = { id: sessionId, deadline: firstSend + ttlMs - marginMs(ttlMs), isOver: false };
    let ref: string | undefined;
    while (ref === undefined) {
      if (this.isStopping || performance.now() > session.deadline) return;
      const answer = await this.#attempt("POST", "/v1/sessions", {
        sessionId,
        ttlMs,
        lockDelayMs: 200,
        label: this.#name,
      });
      if (answer === undefined) await pause(30);
      else if (answer.status === 201 || answer.status === 200) ref = String(answer.body["sessionRef"]);
      else return this.#complain(`session answered ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    this.history.operations++;
    const renewing = this.#renew(session);
    while (!this.isStopping && this.#trusts(session)) await this.#useLock(session, ref);
    session.isOver = true;
    await renewing;
    if (!this.isStopping) this.history.sessionsLost++;
    for (let i = 0; i < 20; i++) {
      const answer = await this.#attempt("DELETE", `/v1/sessions/${sessionId}`);
      if (answer !== undefined) return;
      await pause(100);
    }
  }

  #trusts(session: { readonly deadline: number; readonly isOver: boolean }): boolean {
    return !session.isOver && performance.now() < session.deadline;
  }

  async #renew(session: { id: string; deadline: number; isOver: boolean }): Promise<void> {
    while (this.#trusts(session)) {
      for (let waited = 0; waited < ttlMs / 3 && this.#trusts(session); waited += 100) await pause(100);
      while (this.#trusts(session)) {
        const sent = performance.now();
        const answer = await this.#attempt("POST", `/v1/sessions/${session.id}:keepalive`, {});
        if (answer === undefined) {
          await pause(30);
          continue;
        }
        this.history.operations++;
        if (answer.status === 200 && this.#trusts(session)) {
          session.deadline = Math.max(session.deadline, sent + ttlMs - marginMs(ttlMs));
        } else if (answer.status !== 200) {
          if (this.#trusts(session))
            this.#complain(`keepalive of a trusted session: ${JSON.stringify(answer.body)}`);
          session.isOver = true;
        }
        break;
      }
    }
  }

  #complain(text: string): void {
    this.history.complaints.push(`${this.#name}: ${text}`);
  }

  async #useLock(
    session: { readonly id: string; readonly deadline: number; readonly isOver: boolean },
    ref: string,
  ): Promise<void> {
    const lock = this.#locks[Math.floor(this.#random() * this.#locks.length)] as string;
    const claimId = `${ref}_${++this.#claims}`;
    const waitMs = this.#random() < 0.3 ? 0 : 3_000;
    const until = performance.now() + waitMs + 5_000;
    let granted: Answer | undefined;
    for (;;) {
      if (!this.#trusts(session)) return;
      if (performance.now() > until) {
        this.history.unknown++;
        await this.#release(session, claimId, lock, false);
        return;
      }
      const body = { sessionId: session.id, claimId, waitMs, pollMs: 1_000, onDisconnect: "keep" };
      const answer = await this.#attempt("POST", `/v1/locks/${lock}:acquire`, body);
      if (answer === undefined) await pause(20 + this.#random() * 30);
      else if (answer.status === 200) {
        granted = answer;
        break;
      } else if (answer.status === 423) {
        this.history.operations++;
        return;
      } else if (answer.status !== 202) {
        if (this.#trusts(session))
          this.#complain(`acquire answered ${answer.status} ${JSON.stringify(answer.body)}`);
        return;
      }
    }
    this.history.operations++;
    const from = performance.now();
    if (from < session.deadline) {
      await pause(this.#random() * 10);
      const to = Math.min(performance.now(), session.deadline);
      this.history.beliefs.push({
        client: this.#name,
        lock,
        claimId,
        fence: Number(granted.body["fence"]),
        revision: Number(granted.body["revision"]),
        from,
        to,
      });
    }
    await this.#release(session, claimId, lock, true);
  }

  async #release(
    session: { readonly id: string; readonly deadline: number; readonly isOver: boolean },
    claimId: string,
    lock: string,
    wasHeld: boolean,
  ): Promise<void> {
    while (this.#trusts(session)) {
      const answer = await this.#attempt("DELETE", `/v1/claims/${claimId}`, undefined, session.id);
      if (answer === undefined) {
        await pause(20);
        continue;
      }
      this.history.operations++;
      const reason = String(answer.body["reason"]);
      if (answer.status === 200) {
        if (wasHeld && reason !== "released")
          this.#complain(`an acknowledged grant ended as ${reason}: ${claimId}`);
        this.history.releases.push({ claimId, lock, revision: Number(answer.body["revision"]), reason });
      } else if (this.#trusts(session)) {
        this.#complain(`release answered ${answer.status} ${JSON.stringify(answer.body)}`);
      }
      return;
    }
  }
}
