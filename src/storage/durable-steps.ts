/**
 * The durable steps of one member: one step = one synced batch that holds deletions, entries and a new head record, then
 * the anchor. Keeps the promises of `contract.ts`. What the batch and the anchor are written to comes from outside:
 * LevelDB and a file (`level-storage.ts`), or the simulated disk. Opening and verifying are `data-directory.ts` and
 * `store-reader.ts`. Never retries, never repairs, never writes again after an error: LevelDB acknowledges writes after a
 * failed one that it cannot find later (measured: 253 of 599 lost).
 *
 * Store first, anchor second. A step that changed term or vote is reported once the anchor holds it too; after any
 * other step the anchor follows within `anchorDelayMs`, which bounds what a later fault could take unnoticed.
 */
import { assert, assertInteger } from "../base/assert.ts";
import { decodeEntry, encodeEntry, entryBytes } from "../codec/entry.ts";
import { chainOf, chainStart } from "../raft/chain.ts";
import type { Entry, HardState, LogIndex, MemberId, Term } from "../raft/types.ts";
import type { AnchorFile } from "./anchor-slots.ts";
import type { DurableStep, RaftStorage, StoredState } from "./contract.ts";
import { DamageError } from "./failure.ts";
import { encodeHead, entryKey, entryKeyBytes, headKey, type StoreHead } from "./records.ts";

/** How far the anchor may lag behind the store while term and vote stay, in milliseconds. */
export const anchorDelayMs = 20;

export interface StepBatch {
  del(key: Uint8Array): void;
  put(key: Uint8Array, value: Uint8Array): void;
}

/** What holds the steps. */
export interface StepStore {
  /** One batch, all or nothing: `fill` says what is in it, `done` runs once it is on the disk, or with the error. */
  commit(fill: (batch: StepBatch) => void, done: Done): void;
  /** Throws what the store says of damage. */
  get(key: Uint8Array): Uint8Array | undefined;
  close(): Promise<void>;
}

export interface StepTimers {
  /** Returns how to call it off. Does not keep a process alive. */
  after(ms: number, run: () => void): () => void;
  /** Runs `run` after the events that are at hand now. */
  defer(run: () => void): void;
}

/** Store and anchor, both open and both at `head`; the storage closes them. */
export interface StepParts {
  readonly store: StepStore;
  readonly anchor: AnchorFile;
  readonly timers: StepTimers;
  readonly clusterId: string;
  readonly memberId: MemberId;
  readonly head: StoreHead;
  readonly entries: readonly Entry[];
  readonly logBytes: number;
}

export function createStepStorage(parts: StepParts): RaftStorage {
  return new StepStorage(parts);
}

export type Done = (error: Error | undefined) => void;

/** Where the log ends, and how many bytes it has. */
interface LogEnd {
  readonly index: LogIndex;
  readonly term: Term;
  readonly time: number;
  readonly chain: number;
  readonly bytes: number;
}

const emptyLog: LogEnd = { index: 0, term: 0, time: 0, chain: chainStart, bytes: 0 };

class StepStorage implements RaftStorage {
  readonly restored: StoredState;
  readonly #parts: StepParts;
  /** Of the last durable step. */
  #head: StoreHead;
  #end: LogEnd;
  #failure: Error | undefined;
  #writing = false;
  #whenIdle: (() => void) | undefined;
  #anchorWriting = false;
  /** Waits until the anchor holds `#head` or has failed. */
  #anchorWaiter: Done | undefined;
  /** Calls off the anchor write that waits for its time. */
  #anchorTimer: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: StepParts) {
    const { head, entries } = parts;
    this.restored = { hardState: head.hardState, entries, step: head.step };
    this.#parts = parts;
    this.#head = head;
    const last = entries.at(-1);
    this.#end = last === undefined ? emptyLog : endAt(last, parts.logBytes);
  }

  get step(): number {
    return this.#head.step;
  }

  get logBytes(): number {
    return this.#end.bytes;
  }

  write(step: DurableStep, done: Done): void {
    assert(!this.#writing, "one durable step at a time");
    checkStep(step, this.#head);
    const refusal =
      this.#failure ?? (this.#closing === undefined ? undefined : new Error("storage is closed"));
    if (refusal !== undefined) {
      this.#parts.timers.defer(() => done(refusal));
      return;
    }
    const cut = step.truncateFrom === undefined ? this.#end : this.#tryCut(step.truncateFrom);
    if (cut instanceof Error) {
      this.#writing = true;
      this.#parts.timers.defer(() => this.#finish(this.#fail(cut), done));
      return;
    }
    const end = extend(cut, step.entries);
    const head = nextHead(this.#head, step.hardState, end);
    this.#writing = true;
    const before = this.#end.index;
    this.#parts.store.commit(
      (batch) => fillBatch(batch, step, before, head),
      (error) => {
        if (error === undefined) this.#stored(head, end, done);
        else this.#finish(this.#fail(error), done);
      },
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  #stored(head: StoreHead, end: LogEnd, done: Done): void {
    const before = this.#head.hardState;
    this.#head = head;
    this.#end = end;
    const { currentTerm, votedFor } = head.hardState;
    if (currentTerm === before.currentTerm && votedFor === before.votedFor) {
      this.#anchorSoon();
      this.#finish(this.#failure, done);
      return;
    }
    this.#whenAnchored((error) => this.#finish(this.#failure ?? error, done));
  }

  #finish(error: Error | undefined, done: Done): void {
    this.#writing = false;
    this.#whenIdle?.();
    done(error);
  }

  /** The first error is kept: everything after it is its consequence. */
  #fail(error: unknown): Error {
    const text = error instanceof Error ? error.message : String(error);
    this.#failure ??= new Error(`storage failed: ${text}`, { cause: error });
    return this.#failure;
  }

  /** The end of the log without the entries from `from` on. Reads them back: rare, and it saves an index in memory. */
  #tryCut(from: LogIndex): LogEnd | Error {
    assert(from >= 1 && from <= this.#end.index, "truncation begins inside the log", {
      from,
      lastIndex: this.#end.index,
    });
    try {
      let bytes = this.#end.bytes;
      for (let index = from; index <= this.#end.index; index++) {
        bytes -= entryKeyBytes + entryBytes(this.#readEntry(index));
      }
      return from === 1 ? emptyLog : endAt(this.#readEntry(from - 1), bytes);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #readEntry(index: LogIndex): Entry {
    const bytes = this.#parts.store.get(entryKey(index));
    if (bytes === undefined) throw new DamageError(`entry ${index} has gone`);
    return decodeEntry(bytes);
  }

  /** Calls `done` once the anchor holds the head, at once or after the anchor write that is under way. */
  #whenAnchored(done: Done): void {
    assert(this.#anchorWaiter === undefined, "one waits for the anchor at a time");
    this.#anchorWaiter = done;
    if (!this.#anchorWriting) this.#pushAnchor();
  }

  #anchorSoon(): void {
    if (this.#anchorTimer !== undefined || this.#anchorWriting) return;
    this.#anchorTimer = this.#parts.timers.after(anchorDelayMs, () => this.#pushAnchor());
  }

  #pushAnchor(): void {
    this.#anchorTimer?.();
    this.#anchorTimer = undefined;
    if (this.#anchorWriting) return;
    const { anchor, clusterId, memberId } = this.#parts;
    const { step, hardState } = this.#head;
    if (anchor.state.step === step) {
      this.#anchored(undefined);
      return;
    }
    this.#anchorWriting = true;
    const { currentTerm: term, votedFor: vote } = hardState;
    anchor.write({ clusterId, memberId, term, vote, step }, (error) => {
      this.#anchorWriting = false;
      if (error !== undefined) this.#fail(error);
      this.#anchored(error);
    });
  }

  /** After an anchor write: go on when the head has moved meanwhile, now for who waits, else soon. */
  #anchored(error: Error | undefined): void {
    const behind = error === undefined && this.#parts.anchor.state.step < this.#head.step;
    const waiter = this.#anchorWaiter;
    if (behind && waiter === undefined) this.#anchorSoon();
    else if (behind) this.#pushAnchor();
    else {
      this.#anchorWaiter = undefined;
      waiter?.(error);
    }
  }

  /** The anchor is brought up even after a failed store write: it holds reported steps only. */
  async #shutDown(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#writing) this.#whenIdle = resolve;
      else resolve();
    });
    const failure = await new Promise<Error | undefined>((resolve) => this.#whenAnchored(resolve));
    this.#anchorTimer?.();
    this.#parts.anchor.close();
    await this.#parts.store.close();
    if (failure !== undefined) throw failure;
  }
}

/** `lastIndex`: of the log before the step. */
function fillBatch(batch: StepBatch, step: DurableStep, lastIndex: LogIndex, head: StoreHead): void {
  const { truncateFrom, entries } = step;
  if (truncateFrom !== undefined) {
    for (let index = truncateFrom; index <= lastIndex; index++) batch.del(entryKey(index));
  }
  for (const entry of entries) batch.put(entryKey(entry.index), encodeEntry(entry));
  batch.put(headKey, encodeHead(head));
}

function checkStep(step: DurableStep, head: StoreHead): void {
  const { hardState, truncateFrom, entries } = step;
  assert(
    hardState !== undefined || truncateFrom !== undefined || entries.length > 0,
    "a durable step holds something",
  );
  if (hardState === undefined) return;
  assertInteger(hardState.currentTerm, "currentTerm");
  const before = head.hardState;
  const { currentTerm, votedFor } = hardState;
  assert(currentTerm >= before.currentTerm, "the term never falls (invariant 1)", { before, hardState });
  assert(
    currentTerm > before.currentTerm || before.votedFor === undefined || before.votedFor === votedFor,
    "one vote in a term (invariant 2)",
    { before, hardState },
  );
}

function endAt(entry: Entry, bytes: number): LogEnd {
  return { index: entry.index, term: entry.term, time: entry.time, chain: entry.chain, bytes };
}

/** Invariants 4 and 12 before they reach the disk: a log that breaks them could never be opened again. */
function extend(cut: LogEnd, entries: readonly Entry[]): LogEnd {
  let end = cut;
  for (const entry of entries) {
    const { index, term, time } = entry;
    const isNext = index === end.index + 1 && term >= end.term && time >= end.time;
    assert(isNext, "an entry follows the one before it", { end, index, term, time });
    assert(entry.chain === chainOf(end.chain, entry), "the chain goes on", { end, index });
    end = endAt(entry, end.bytes + entryKeyBytes + entryBytes(entry));
  }
  return end;
}

function nextHead(head: StoreHead, hardState: HardState | undefined, end: LogEnd): StoreHead {
  const next = hardState ?? head.hardState;
  assert(end.term <= next.currentTerm, "no entry is of a term beyond the current one", {
    lastTerm: end.term,
    currentTerm: next.currentTerm,
  });
  return {
    hardState: next,
    lastIndex: end.index,
    lastTerm: end.term,
    lastChain: end.chain,
    step: head.step + 1,
  };
}
