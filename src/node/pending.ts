/**
 * Who waits for which entry. An answer is given when the entry is *applied* at its (index, term), never before; when
 * leadership ends first, nobody knows, and the answer says so (L6).
 */
import { assert } from "../base/assert.ts";
import type { Outcome } from "../locks/outcomes.ts";

/** What became of a proposal. */
export type Fate =
  | { readonly kind: "applied"; readonly outcome: Outcome; readonly revision: number }
  /** Appended, and then leadership ended: it may survive or not. */
  | { readonly kind: "unknown" }
  /** Never appended: it did not happen and never will. */
  | { readonly kind: "never" }
  /** Never appended, because no replica could read it: a fault of whoever let it in. */
  | { readonly kind: "unwritable" };

/** Called exactly once. */
export type Waiter = (fate: Fate) => void;

export class Pending {
  readonly #waiters = new Map<number, { readonly term: number; readonly waiter: Waiter }>();

  get size(): number {
    return this.#waiters.size;
  }

  add(index: number, term: number, waiter: Waiter): void {
    assert(!this.#waiters.has(index), "two proposals wait for one entry", { index });
    this.#waiters.set(index, { term, waiter });
  }

  /** The entry at `index` applied. A waiter of another term learns that its own entry may be lost. */
  settle(index: number, term: number, outcome: Outcome): void {
    const found = this.#waiters.get(index);
    if (found === undefined) return;
    this.#waiters.delete(index);
    found.waiter(found.term === term ? { kind: "applied", outcome, revision: index } : { kind: "unknown" });
  }

  /** Leadership ended: whether these entries survive is for the next leader to say. */
  dropAll(): void {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const { waiter } of waiters) waiter({ kind: "unknown" });
  }
}
