/**
 * What one client process writes down: operations as they are sent and answered, beliefs, complaints. Nothing here asks
 * or decides. SEMANTICS "Belief"; the record is `test/check/history.ts`.
 */
import type { Abandoned, Belief, Operation } from "../check/history.ts";
import { nowMs } from "./clock.ts";
import type { WorkloadReport } from "./messages.ts";

type Open<K extends Operation["kind"]> = Extract<Operation, { kind: K }>;
/** What is known of an operation when it is first sent. */
export type Begun<K extends Operation["kind"]> = Omit<
  Open<K>,
  "kind" | "id" | "sentAt" | "answeredAt" | "revision" | "answer"
>;

type Mutable<T> = { -readonly [P in keyof T]: T[P] };

export interface Pending<K extends Operation["kind"]> {
  readonly record: Mutable<Open<K>>;
  readonly sentAt: number;
  /** The answer that decided; called at most once, at its receipt. */
  end(answer: NonNullable<Open<K>["answer"]>, revision: number | undefined): void;
  /** Nobody will tell. */
  giveUp(): void;
}

export class Notebook {
  readonly #operations: Operation[] = [];
  readonly #beliefs: Belief[] = [];
  readonly #abandoned: Abandoned[] = [];
  readonly #complaints: string[] = [];
  answered = 0;
  unknown = 0;
  /** Sent, and neither answered nor given up. */
  pending = 0;

  /** The first send is now. */
  begin<K extends Operation["kind"]>(kind: K, fields: Begun<K>): Pending<K> {
    const sentAt = nowMs();
    const record = {
      ...fields,
      kind,
      id: this.#operations.length,
      sentAt,
      answeredAt: undefined,
      revision: undefined,
      answer: undefined,
    } as unknown as Mutable<Open<K>>;
    this.#operations.push(record as Operation);
    this.pending++;
    let isOpen = true;
    const close = (): boolean => {
      const was = isOpen;
      isOpen = false;
      if (was) this.pending--;
      return was;
    };
    return {
      record,
      sentAt,
      end: (answer, revision) => {
        if (!close()) return;
        Object.assign(record, { answer, revision, answeredAt: nowMs() });
        this.answered++;
      },
      giveUp: () => {
        if (close()) this.unknown++;
      },
    };
  }

  believe(belief: Belief): void {
    this.#beliefs.push(belief);
  }

  abandon(sessionId: string, at: number): void {
    this.#abandoned.push({ sessionId, at });
  }

  complain(text: string): void {
    this.#complaints.push(text);
  }

  report(): WorkloadReport {
    return {
      operations: this.#operations,
      beliefs: this.#beliefs,
      abandoned: this.#abandoned,
      complaints: this.#complaints,
    };
  }
}
