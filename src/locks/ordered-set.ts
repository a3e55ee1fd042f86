/**
 * A first-in-first-out set: add at the end, take the first, remove any, each in constant time (amortised).
 * Order is the order of adding, on every replica and after every restore.
 * Most locks have one holder and no waiter, so up to one item is kept without any table.
 */
import { assert } from "../base/assert.ts";

export class OrderedSet<T extends object> implements Iterable<T> {
  /** The one item while there is no table. */
  #only: T | undefined;
  /** Once there were two items at a time, until it is empty again. */
  #table: Table<T> | undefined;

  get size(): number {
    if (this.#table !== undefined) return this.#table.size;
    return this.#only === undefined ? 0 : 1;
  }

  has(item: T): boolean {
    return this.#table === undefined ? this.#only === item : this.#table.has(item);
  }

  add(item: T): void {
    assert(!this.has(item), "an item is added once");
    if (this.#table === undefined && this.#only === undefined) {
      this.#only = item;
      return;
    }
    if (this.#table === undefined) {
      this.#table = new Table();
      this.#table.add(this.#only as T);
      this.#only = undefined;
    }
    this.#table.add(item);
  }

  /** False when it was not there. Moves nobody, so that a walk may remove what it meets. */
  remove(item: T): boolean {
    if (this.#table !== undefined) {
      const removed = this.#table.remove(item);
      if (this.#table.size === 0) this.#table = undefined;
      return removed;
    }
    if (this.#only !== item) return false;
    this.#only = undefined;
    return true;
  }

  first(): T | undefined {
    return this.#table === undefined ? this.#only : this.#table.first();
  }

  /** 1 for the first; undefined when it is not there. Linear in what is ahead of it. */
  position(item: T): number | undefined {
    if (this.#table !== undefined) return this.#table.position(item);
    return this.#only === item ? 1 : undefined;
  }

  /** In order. Items may be removed meanwhile, none added. */
  *[Symbol.iterator](): Iterator<T> {
    if (this.#table !== undefined) yield* this.#table;
    else if (this.#only !== undefined) yield this.#only;
  }
}

class Table<T extends object> implements Iterable<T> {
  /** Removed items leave a hole; holes at the front are skipped for good, the others when half of it is holes. */
  #slots: (T | undefined)[] = [];
  #front = 0;
  readonly #slotOf = new Map<T, number>();

  get size(): number {
    return this.#slotOf.size;
  }

  has(item: T): boolean {
    return this.#slotOf.has(item);
  }

  add(item: T): void {
    if (this.#slots.length > 32 && this.#slots.length > 2 * this.#slotOf.size) this.#compact();
    this.#slotOf.set(item, this.#slots.length);
    this.#slots.push(item);
  }

  remove(item: T): boolean {
    const slot = this.#slotOf.get(item);
    if (slot === undefined) return false;
    this.#slotOf.delete(item);
    this.#slots[slot] = undefined;
    while (this.#front < this.#slots.length && this.#slots[this.#front] === undefined) this.#front++;
    return true;
  }

  first(): T | undefined {
    return this.#slots[this.#front];
  }

  position(item: T): number | undefined {
    const slot = this.#slotOf.get(item);
    if (slot === undefined) return undefined;
    let position = 1;
    for (let i = this.#front; i < slot; i++) if (this.#slots[i] !== undefined) position++;
    return position;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = this.#front; i < this.#slots.length; i++) {
      const item = this.#slots[i];
      if (item !== undefined) yield item;
    }
  }

  #compact(): void {
    this.#slots = this.#slots.filter((item) => item !== undefined);
    this.#front = 0;
    for (let i = 0; i < this.#slots.length; i++) this.#slotOf.set(this.#slots[i] as T, i);
  }
}
