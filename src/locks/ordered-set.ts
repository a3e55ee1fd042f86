/**
 * A first-in-first-out set: add at the end, take the first, remove any, each in constant time (amortised).
 * Order is the order of adding, on every replica and after every restore.
 */
import { assert } from "../base/assert.ts";

export class OrderedSet<T extends object> implements Iterable<T> {
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
    assert(!this.#slotOf.has(item), "an item is added once");
    if (this.#slots.length > 32 && this.#slots.length > 2 * this.#slotOf.size) this.#compact();
    this.#slotOf.set(item, this.#slots.length);
    this.#slots.push(item);
  }

  /** False when it was not there. Moves nobody, so that a walk may remove what it meets. */
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

  /** 1 for the first; undefined when it is not there. Linear in what is ahead of it. */
  position(item: T): number | undefined {
    const slot = this.#slotOf.get(item);
    if (slot === undefined) return undefined;
    let position = 1;
    for (let i = this.#front; i < slot; i++) if (this.#slots[i] !== undefined) position++;
    return position;
  }

  /** In order. Items may be removed meanwhile, none added. */
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
