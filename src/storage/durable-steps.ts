/**
 * The durable steps of one member: one step = one synced batch that holds deletions, entries and a new head record, then
 * the anchor. Keeps the promises of `contract.ts`. What the batch and the anchor are written to comes from outside:
 * LevelDB and a file (`level-storage.ts`), or the simulated disk. Opening and verifying are `data-directory.ts` and
 * `store-reader.ts`. Never retries, never repairs, never writes again after an error: LevelDB acknowledges writes after a
 * failed one that it cannot find later (measured: 253 of 599 lost).
 *
 * What a snapshot makes needless is given up by one record, in the step that tells of the snapshot, and is deleted with later
 * steps, some of it in each: a batch of a million deletions would hold up all that wait for the next one.
 *
 * Store first, anchor second. A step that changed term or vote is reported once the anchor holds it too; after any
 * other step the anchor follows within `anchorDelayMs`, which bounds what a later fault could take unnoticed.
 */
import { assert, assertInteger } from "../base/assert.ts";
import { decodeEntry, encodeEntry, entryBytes } from "../codec/entry.ts";
import { chainOf, emptyBoundary, isSamePlace } from "../raft/chain.ts";
import type { Entry, HardState, LogBoundary, LogIndex, MemberId, SnapshotStep } from "../raft/types.ts";
import type { AnchorFile } from "./anchor-slots.ts";
import type { DurableStep, RaftStorage, StoredState } from "./contract.ts";
import { DamageError } from "./failure.ts";
import {
  encodeHead,
  encodeStart,
  entryKey,
  entryKeyBytes,
  headKey,
  type LogStart,
  type StoreHead,
  startKey,
} from "./records.ts";
import type { IndexRange } from "./store-reader.ts";

/** How far the anchor may lag behind the store while term and vote stay, in milliseconds. */
export const anchorDelayMs = 20;

/** Of what was given up, at least so many entries are deleted with each step; with a long one, twice as many as it adds. */
const deletedAtLeast = 256;

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
  readonly start: LogStart | undefined;
  readonly entries: readonly Entry[];
  readonly stale: readonly IndexRange[];
}

export function createStepStorage(parts: StepParts): RaftStorage {
  return new StepStorage(parts);
}

export type Done = (error: Error | undefined) => void;

class StepStorage implements RaftStorage {
  readonly restored: StoredState;
  readonly #parts: StepParts;
  /** Of the last durable step. */
  #head: StoreHead;
  #start: LogStart | undefined;
  /** Its last entry, or the boundary. */
  #end: LogBoundary;
  /** Of each entry behind the boundary, with its key. */
  #sizes: number[];
  /** Their sum. */
  #bytes: number;
  /** Given up by a durable step, and not deleted. */
  #stale: readonly IndexRange[];
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
    const { head, start, entries, stale } = parts;
    const boundary = start?.boundary ?? emptyBoundary;
    const { hardState, step } = head;
    this.restored = { hardState, boundary, snapshot: start?.last, entries, step };
    this.#parts = parts;
    this.#head = head;
    this.#start = start;
    this.#end = entries.at(-1) ?? boundary;
    this.#sizes = entries.map(sizeOf);
    this.#bytes = sum(this.#sizes);
    this.#stale = stale;
  }

  get #boundary(): LogBoundary {
    return this.#start?.boundary ?? emptyBoundary;
  }

  get step(): number {
    return this.#head.step;
  }

  get logBytes(): number {
    return this.#bytes;
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
    const cut = this.#tryCut(step);
    if (cut instanceof Error) {
      this.#writing = true;
      this.#parts.timers.defer(() => this.#finish(this.#fail(cut), done));
      return;
    }
    const end = extend(cut, step.entries);
    const head = nextHead(this.#head, step.hardState, end);
    if (step.snapshot !== undefined) checkSnapshot(step.snapshot, this.#boundary, end);
    const [gone, stale] = divide(this.#stale, Math.max(deletedAtLeast, 2 * step.entries.length));
    this.#writing = true;
    this.#parts.store.commit(
      (batch) => this.#fill(batch, step, gone, head),
      (error) => {
        if (error !== undefined) return this.#finish(this.#fail(error), done);
        this.#stale = stale;
        this.#follow(step, end);
        this.#stored(head, done);
      },
    );
  }

  /** Deletions first, for what they delete may be written anew. */
  #fill(batch: StepBatch, step: DurableStep, gone: readonly IndexRange[], head: StoreHead): void {
    const { truncateFrom, entries, snapshot } = step;
    for (const range of gone) deleteRange(batch, range);
    if (snapshot !== undefined) batch.put(startKey, encodeStart(snapshot));
    // Behind the new boundary nothing may stand but what is written here; what stands before it is given up by it.
    const from = snapshot?.isInstalled === true ? snapshot.boundary.index + 1 : truncateFrom;
    if (from !== undefined) deleteRange(batch, { from, to: this.#end.index });
    for (const entry of entries) batch.put(entryKey(entry.index), encodeEntry(entry));
    batch.put(headKey, encodeHead(head));
  }

  /** The step is in the store: the log is what it makes of it. */
  #follow({ truncateFrom, entries, snapshot }: DurableStep, end: LogBoundary): void {
    const before = this.#boundary.index;
    const heldTo = this.#end.index;
    if (snapshot?.isInstalled === true) this.#forget(0);
    else if (truncateFrom !== undefined) this.#forget(truncateFrom - before - 1);
    for (const entry of entries) this.#sizes.push(sizeOf(entry));
    this.#bytes += sum(this.#sizes.slice(this.#sizes.length - entries.length));
    this.#end = end;
    if (snapshot === undefined) return;
    const { boundary, last, isInstalled } = snapshot;
    if (!isInstalled) this.#bytes -= sum(this.#sizes.splice(0, boundary.index - before));
    const to = Math.min(boundary.index, heldTo);
    if (to > before) this.#stale = [...this.#stale, { from: before + 1, to }];
    this.#start = { boundary, last };
  }

  /** Keeps the sizes of the first `count` entries. */
  #forget(count: number): void {
    this.#bytes -= sum(this.#sizes.splice(count));
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  #stored(head: StoreHead, done: Done): void {
    const before = this.#head.hardState;
    this.#head = head;
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

  /** Where the step's entries go on. Looks at the entries that it depends on: rare, and it saves an index in memory. */
  #tryCut({ truncateFrom, snapshot }: DurableStep): LogBoundary | Error {
    const from = this.#boundary.index + 1;
    const to = this.#end.index;
    if (truncateFrom !== undefined) {
      const isInside = truncateFrom >= from && truncateFrom <= to;
      assert(isInside, "truncation begins inside the log", { truncateFrom, from, to });
      const covered = this.#start?.last.index ?? 0;
      assert(truncateFrom > covered, "what a snapshot stands for is committed", { truncateFrom, covered });
    }
    if (snapshot?.isInstalled === true) {
      assert(truncateFrom === undefined, "what is installed takes the place of all that was held");
      return snapshot.boundary;
    }
    if (snapshot !== undefined) {
      const { boundary } = snapshot;
      // What it gives up must not be what it still has to write.
      const kept = (truncateFrom ?? to + 1) - 1;
      const isHeld = boundary.index >= from - 1 && boundary.index <= kept;
      assert(isHeld, "a log is cut where it is durable (invariant 11)", { boundary, from, kept });
      const held = this.#tryBoundaryAt(boundary.index);
      if (held instanceof Error) return held;
      assert(isSamePlace(held, boundary), "the boundary is an entry of this log", { held, boundary });
    }
    return truncateFrom === undefined ? this.#end : this.#tryBoundaryAt(truncateFrom - 1);
  }

  #tryBoundaryAt(index: LogIndex): LogBoundary | Error {
    if (index === this.#boundary.index) return this.#boundary;
    try {
      return this.#readEntry(index);
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

function deleteRange(batch: StepBatch, { from, to }: IndexRange): void {
  for (let index = from; index <= to; index++) batch.del(entryKey(index));
}

/** The first `count` indexes of the ranges, and the rest. */
function divide(
  ranges: readonly IndexRange[],
  count: number,
): readonly [readonly IndexRange[], readonly IndexRange[]] {
  const first: IndexRange[] = [];
  const rest: IndexRange[] = [];
  let left = count;
  for (const { from, to } of ranges) {
    const end = Math.min(to, from + left - 1);
    if (end >= from) first.push({ from, to: end });
    if (end < to) rest.push({ from: end + 1, to });
    left -= end - from + 1;
  }
  return [first, rest];
}

function sizeOf(entry: Entry): number {
  return entryKeyBytes + entryBytes(entry);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

/** `end`: of the log after the step. */
function checkSnapshot(
  { boundary, last, isInstalled }: SnapshotStep,
  before: LogBoundary,
  end: LogBoundary,
): void {
  assert(!isInstalled || boundary.index > before.index, "an install goes forward", { before, boundary });
  assert(boundary.index <= last.index, "the log goes on behind its newest snapshot, or before", {
    boundary,
    last,
  });
  assert(last.index <= end.index, "a snapshot is of entries that are durable with it", { last, end });
}

function checkStep(step: DurableStep, head: StoreHead): void {
  const { hardState, truncateFrom, entries, snapshot } = step;
  assert(
    hardState !== undefined || truncateFrom !== undefined || entries.length > 0 || snapshot !== undefined,
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

/** Invariants 4 and 12 before they reach the disk: a log that breaks them could never be opened again. */
function extend(cut: LogBoundary, entries: readonly Entry[]): LogBoundary {
  let end = cut;
  for (const entry of entries) {
    const { index, term, time } = entry;
    const isNext = index === end.index + 1 && term >= end.term && time >= end.time;
    assert(isNext, "an entry follows the one before it", { end, index, term, time });
    assert(entry.chain === chainOf(end.chain, entry), "the chain goes on", { end, index });
    end = entry;
  }
  return end;
}

function nextHead(head: StoreHead, hardState: HardState | undefined, end: LogBoundary): StoreHead {
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
