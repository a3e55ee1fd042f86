/**
 * Linearizable reads under way: registered with the core, confirmed by it, answered when the machine has reached the
 * index that was confirmed (Raft §6.4).
 */
import type { ReadReady } from "../raft/types.ts";
import type { NotLeading, ReadReply, View } from "./contract.ts";

export class Reads {
  readonly #replies = new Map<number, (reply: ReadReply) => void>();
  /** Confirmed, in order, waiting for the machine. */
  #ready: ReadReady[] = [];
  #nextId = 1;

  /** The id under which the core knows it. */
  register(reply: (reply: ReadReply) => void): number {
    const readId = this.#nextId++;
    this.#replies.set(readId, reply);
    return readId;
  }

  noteConfirmed(ready: readonly ReadReady[]): void {
    for (const read of ready) this.#ready.push(read);
  }

  /** True when one could be answered, the machine having applied `revision`. */
  isAnyReady(revision: number): boolean {
    return (this.#ready[0]?.index ?? Infinity) <= revision;
  }

  answerReady(revision: number, view: () => View): void {
    while (this.isAnyReady(revision)) {
      const { readId } = this.#ready.shift() as ReadReady;
      this.#take(readId)?.({ kind: "confirmed", view: view() });
    }
  }

  drop(readId: number, why: NotLeading): void {
    this.#take(readId)?.(why);
  }

  /** Leadership ended: nobody here can confirm anything. */
  dropAll(why: NotLeading): void {
    this.#ready = [];
    for (const readId of this.#replies.keys()) this.drop(readId, why);
  }

  #take(readId: number): ((reply: ReadReply) => void) | undefined {
    const reply = this.#replies.get(readId);
    this.#replies.delete(readId);
    return reply;
  }
}
