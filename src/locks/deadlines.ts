/**
 * The order in which deadlines come due: (time, kind, id), the same on every replica (SEMANTICS rule 4).
 * A binary heap of marks. A mark is only a reminder: whoever takes one compares it with the record, whose own deadline
 * may have moved since; so renewing a session costs nothing here. Never part of the state hash.
 * Invariant: every deadline has a mark that is not later than itself. So nothing at all is due while the first mark
 * is not, which `isBehind` asks.
 */
import { compareText } from "../base/order.ts";
import type { LockState } from "./records.ts";

/** In the order in which equal deadlines are handled. */
export type DeadlineKind = "session" | "max-hold" | "barrier" | "wait";

const rank: Readonly<Record<DeadlineKind, number>> = { session: 0, "max-hold": 1, barrier: 2, wait: 3 };

export interface Mark {
  readonly at: number;
  readonly kind: DeadlineKind;
  /** Session id, claim id, or the fence of the hold that left a barrier. */
  readonly id: string;
}

/** True while something may be due that was not handled: the work budget cut the sweep short, or it is under way. */
export function isBehind(state: LockState): boolean {
  return (state.deadlines.first()?.at ?? Infinity) <= state.now;
}

export function compareMarks(a: Mark, b: Mark): number {
  return a.at - b.at || rank[a.kind] - rank[b.kind] || compareText(a.id, b.id);
}

export class DeadlineQueue {
  readonly #heap: Mark[] = [];

  get size(): number {
    return this.#heap.length;
  }

  first(): Mark | undefined {
    return this.#heap[0];
  }

  /** Throws away the marks that no longer remind of anything. `isNeeded` is asked in the order of the marks. */
  keepOnly(isNeeded: (mark: Mark) => boolean): void {
    const kept = this.#heap.sort(compareMarks).filter(isNeeded);
    // A sorted array is a heap.
    this.#heap.length = 0;
    for (const mark of kept) this.#heap.push(mark);
  }

  add(mark: Mark): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(mark);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (compareMarks(heap[parent] as Mark, mark) <= 0) break;
      heap[at] = heap[parent] as Mark;
      at = parent;
    }
    heap[at] = mark;
  }

  takeFirst(): Mark | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && compareMarks(heap[child + 1] as Mark, heap[child] as Mark) < 0) child++;
      if (compareMarks(last, heap[child] as Mark) <= 0) break;
      heap[at] = heap[child] as Mark;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
