/**
 * Writes down what the simulated clients do, are told and believe, in the form that the checkers judge. Judges nothing.
 */
import type { Abandoned, Belief, Healthy, History, Operation, Unattended, Use } from "../check/history.ts";

type Facts<T> = T extends Operation ? Omit<T, "id" | "sentAt" | "answeredAt" | "revision" | "answer"> : never;

/** A claim that nobody attends, but by looking at all claims of its session. */
export interface Neglect {
  /** From now on until `ended` it is attended. */
  begun(): void;
  ended(): void;
}

/** One operation under way. */
export interface Calling {
  /** What came of it; never called when nobody was told. */
  answered(answer: Operation["answer"], revision: number | undefined): void;
  /** The first answer that said "waiting" came now. */
  queued(): void;
  /** Its client hung up, or let nobody poll: not before this. */
  left(at: number): void;
  /** Its client walked away from it while it waited, and lives on. The server may let it wait so long. */
  unattended(claimId: string, graceMs: number): Neglect;
}

export class HistoryWriter {
  readonly #now: () => number;
  readonly #operations: Operation[] = [];
  readonly #beliefs: Belief[] = [];
  readonly #uses: Use[] = [];
  readonly #abandoned: Abandoned[] = [];
  readonly #unattended: Unattended[] = [];
  readonly #healthy: Healthy[] = [];
  /** Operations that were answered so far. */
  answered = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  call(facts: Facts<Operation>): Calling {
    const at = this.#operations.length;
    const sentAt = this.#now();
    // In place: there are thousands of them, and nobody looks before the end.
    const change = (part: object): void => void Object.assign(this.#operations[at] as Operation, part);
    this.#operations.push({
      ...facts,
      id: at + 1,
      sentAt,
      answeredAt: undefined,
      revision: undefined,
      answer: undefined,
    } as Operation);
    return {
      answered: (answer, revision) => {
        this.answered++;
        change({ answer, revision, answeredAt: this.#now() });
      },
      queued: () => {
        const operation = this.#operations[at] as Operation;
        if (operation.kind === "acquire" && operation.queuedAt === undefined)
          change({ queuedAt: this.#now() });
      },
      left: (time) => {
        const operation = this.#operations[at] as Operation;
        if (operation.kind === "acquire" && operation.leftAt === undefined) change({ leftAt: time });
      },
      unattended: (claimId, graceMs) => {
        const place = this.#unattended.length;
        const since = (time: number): void => void (this.#unattended[place] = { claimId, at: time, graceMs });
        since(this.#now());
        return { begun: () => since(Infinity), ended: () => since(this.#now()) };
      },
    };
  }

  believed(belief: Belief): void {
    if (belief.to > belief.from) this.#beliefs.push(belief);
  }

  used(use: Use): void {
    this.#uses.push(use);
  }

  abandoned(sessionId: string): void {
    this.#abandoned.push({ sessionId, at: this.#now() });
  }

  healthy(from: number, to: number): void {
    if (to > from) this.#healthy.push({ from, to });
  }

  finish(facts: Pick<History, "capacities" | "drift" | "lockDelayMs" | "remembered">): History {
    return {
      operations: this.#operations,
      beliefs: this.#beliefs,
      uses: this.#uses,
      abandoned: this.#abandoned,
      unattended: this.#unattended,
      healthy: this.#healthy,
      ...facts,
    };
  }
}
