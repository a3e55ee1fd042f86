/**
 * A client's requests over `node:http` with connections that stay: finds the leader, repeats what may be repeated with
 * the same body, gives up in the end. It decides nothing about what an answer means.
 */
import { Agent, request } from "node:http";
import { nowMs, pause } from "./clock.ts";

export interface Asked {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>> | undefined;
  /** For `Holdfast-Session`. */
  readonly session?: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly revision: number | undefined;
}

export interface Patience {
  /** By the shared clock. */
  readonly untilMs: number;
  /** One attempt; default a second. */
  readonly attemptMs?: number;
  /** Asked before each repetition. */
  readonly isOver?: () => boolean;
  /** An attempt ended without an answer: the connection is gone, or was left. */
  readonly onBroken?: () => void;
}

type Attempt =
  | { readonly kind: "answer"; readonly answer: Answer }
  /** 307, or an answer that asks for a repetition. */
  | { readonly kind: "again"; readonly leader: string | undefined }
  | { readonly kind: "broken" };

const hopsMax = 3;
export const attemptMsDefault = 1_000;

export class Wire {
  readonly #urls: readonly string[];
  readonly #random: () => number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16, scheduling: "lifo" });
  #leader: string | undefined;

  constructor(urls: readonly string[], random: () => number) {
    this.#urls = urls;
    this.#random = random;
  }

  /** Undefined: nobody knows what became of it, or nobody could be asked. */
  async call(asked: Asked, patience: Patience): Promise<Answer | undefined> {
    const { untilMs, isOver = () => false } = patience;
    for (;;) {
      const answer = await this.once(asked, patience);
      if (answer !== undefined) return answer;
      await pause(20 + this.#random() * 40);
      if (nowMs() >= untilMs || isOver()) return undefined;
    }
  }

  /** One attempt, through redirects. */
  async once(
    asked: Asked,
    { untilMs, attemptMs = attemptMsDefault, onBroken }: Patience,
  ): Promise<Answer | undefined> {
    for (let hop = 0; hop < hopsMax; hop++) {
      const leftMs = Math.max(50, Math.min(attemptMs, untilMs - nowMs()));
      const url = this.#leader ?? (this.#urls[Math.floor(this.#random() * this.#urls.length)] as string);
      const attempt = await this.#attempt(url, asked, leftMs);
      if (attempt.kind === "answer") return attempt.answer;
      if (attempt.kind === "broken") onBroken?.();
      const before = this.#leader;
      this.#leader = attempt.kind === "again" ? attempt.leader : undefined;
      if (this.#leader === undefined || this.#leader === before) return undefined;
    }
    return undefined;
  }

  /** Hangs up everything. */
  destroy(): void {
    this.#agent.destroy();
  }

  #attempt(url: string, { method, path, body, session }: Asked, timeoutMs: number): Promise<Attempt> {
    return new Promise((resolve) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const headers = {
        ...(text === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) }),
        ...(session === undefined ? {} : { "holdfast-session": session }),
      };
      const sent = request(url + path, { method, headers, agent: this.#agent });
      const broken = () => {
        clearTimeout(timer);
        sent.destroy();
        resolve({ kind: "broken" });
      };
      const timer = setTimeout(broken, timeoutMs);
      sent.on("error", broken);
      sent.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("error", broken);
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          clearTimeout(timer);
          const { statusCode = 0, headers: said } = response;
          const parsed = parsedBody(Buffer.concat(chunks).toString("utf8"));
          if (parsed === undefined) return resolve({ kind: "broken" });
          const { "holdfast-leader": leader, "holdfast-revision": revision } = said;
          if (statusCode === 307) return resolve({ kind: "again", leader: textOf(leader) });
          if (parsed["retryable"] === true) return resolve({ kind: "again", leader: undefined });
          const seen = revision === undefined ? undefined : Number(textOf(revision));
          resolve({ kind: "answer", answer: { status: statusCode, body: parsed, revision: seen } });
        });
      });
      sent.end(text);
    });
  }
}

function parsedBody(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function textOf(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === "string" ? header : header?.[0];
}
