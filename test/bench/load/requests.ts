/**
 * The requests of the workloads and what a right answer to each is. A wrong answer is an error with the answer in it:
 * a figure that counts wrong answers is worth nothing.
 */
import type { Request } from "./connection.ts";

/** Longer than a window and its warm-up; renewed all the same, as a real client's. */
const ttlMs = 30_000;

export interface Answer {
  readonly status: number;
  readonly body: string;
}

interface Fields {
  readonly state?: unknown;
  readonly reason?: unknown;
  readonly claimId?: unknown;
  readonly fence?: unknown;
  readonly sessionId?: unknown;
  readonly renewAfterMs?: unknown;
}

/** One client: its session, its lock, and the ids of its claims. */
export class Script {
  readonly session: string;
  readonly #lock: string;
  readonly #claims: string;
  #claim = 0;
  #fence = 0;

  constructor(prefix: string, client: number) {
    this.session = `${prefix}-session-${client}`.padEnd(16, "-");
    this.#lock = `${prefix}/${client}`;
    this.#claims = `${prefix}-${client}-`;
  }

  open(): Request {
    return { method: "POST", path: "/v1/sessions", body: `{"sessionId":"${this.session}","ttlMs":${ttlMs}}` };
  }

  renew(): Request {
    return { method: "POST", path: `/v1/sessions/${this.session}:keepalive` };
  }

  close(): Request {
    return { method: "DELETE", path: `/v1/sessions/${this.session}` };
  }

  /** The next claim; `acquireAgain` repeats it. */
  acquire(): Request {
    this.#claim++;
    return this.acquireAgain();
  }

  /** `keep`, because a client that repeats its request under the same id wants what the first one got. */
  acquireAgain(): Request {
    const body = `{"sessionId":"${this.session}","claimId":"${this.#claimId}","onDisconnect":"keep"}`;
    return { method: "POST", path: `/v1/locks/${this.#lock}:acquire`, body };
  }

  release(): Request {
    return { method: "DELETE", path: `/v1/claims/${this.#claimId}`, session: this.session };
  }

  get #claimId(): string {
    return `${this.#claims}${this.#claim.toString(36)}`;
  }

  /** Each `check…` throws when the answer is not the right one. Returns after how many ms the session wants renewal. */
  checkOpened(answer: Answer): number {
    const { sessionId, renewAfterMs } = fieldsOf(answer);
    const isRight = (answer.status === 201 || answer.status === 200) && sessionId === this.session;
    if (!isRight || typeof renewAfterMs !== "number") throw wrong("opening a session", answer);
    return renewAfterMs;
  }

  checkRenewed(answer: Answer): number {
    const { renewAfterMs } = fieldsOf(answer);
    if (answer.status !== 200 || typeof renewAfterMs !== "number") throw wrong("renewing a session", answer);
    return renewAfterMs;
  }

  checkAcquired(answer: Answer): void {
    const { state, claimId, fence } = fieldsOf(answer);
    const isRight = answer.status === 200 && state === "held" && claimId === this.#claimId;
    if (!isRight || typeof fence !== "number") throw wrong("an acquire", answer);
    if (fence <= this.#fence) throw wrong(`an acquire after fence ${this.#fence}`, answer);
    this.#fence = fence;
  }

  checkReleased(answer: Answer): void {
    const { state, reason, claimId } = fieldsOf(answer);
    const isRight = state === "ended" && reason === "released" && claimId === this.#claimId;
    if (answer.status !== 200 || !isRight) throw wrong("a release", answer);
  }
}

function fieldsOf(answer: Answer): Fields {
  try {
    return JSON.parse(answer.body) as Fields;
  } catch {
    throw wrong("a request", answer);
  }
}

function wrong(what: string, { status, body }: Answer): Error {
  return new Error(`a wrong answer to ${what}: ${status} ${body.slice(0, 600)}`);
}
