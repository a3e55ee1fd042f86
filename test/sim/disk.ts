/**
 * The simulated disk of one member: bytes that are on the platter, bytes that a crash may take, and the real protocol of
 * durable steps (`src/storage/durable-steps.ts`), the real anchor and the real recovery on top. A crash loses, keeps,
 * tears or zeroes what was not synced; a sync can fail, hang or find the disk full; bits of a stopped member can rot.
 * What is on the platter is visible to the checkers.
 */
import type { Identity } from "../../src/base/identity.ts";
import type { Prng } from "../../src/base/prng.ts";
import { decodeEntry } from "../../src/codec/entry.ts";
import { chainStart, emptyBoundary, heldAt } from "../../src/raft/chain.ts";
import type { Entry, HardState, LogBoundary } from "../../src/raft/types.ts";
import { encodeAnchor, openAnchor, type SlotDevice } from "../../src/storage/anchor-slots.ts";
import type { RaftStorage, SnapshotFiles, StoredState } from "../../src/storage/contract.ts";
import { checkWhole, renewAnchor } from "../../src/storage/directory-check.ts";
import {
  createStepStorage,
  type Done,
  type StepBatch,
  type StepStore,
  type StepTimers,
} from "../../src/storage/durable-steps.ts";
import { DamageError } from "../../src/storage/failure.ts";
import { scanLevelLog } from "../../src/storage/level-log.ts";
import {
  decodeHead,
  decodeKey,
  decodeStart,
  encodeFounding,
  encodeHead,
  foundingKey,
  headKey,
  startKey,
} from "../../src/storage/records.ts";
import { createStoreReader, type StoreContent } from "../../src/storage/store-reader.ts";
import { type Change, LevelFile } from "./level-file.ts";
import { MemoryFolder } from "./memory-snapshots.ts";
import type { Scheduler } from "./scheduler.ts";

/** What a start finds. A refusal is for good: the directory remembers it. */
export type Opened =
  | { readonly kind: "opened"; readonly storage: RaftStorage; readonly snapshotFiles: SnapshotFiles }
  | { readonly kind: "refused"; readonly why: string };

export interface DiskOptions {
  readonly scheduler: Scheduler;
  readonly random: Prng;
  /** What happens to the files of snapshots is drawn from it. */
  readonly snapshotRandom: Prng;
  /** Of one sync, in milliseconds. */
  readonly latencyMaxMs: number;
  /** A founded one. */
  readonly identity: Identity;
  readonly memberId: string;
}

/** What of a log matters to who starts with it. Invariant: `entries[i].index === boundary.index + 1 + i`. */
interface Kept {
  boundary: LogBoundary;
  entries: Entry[];
  hardState: HardState;
}

/** What a crash did to the bytes that were not synced. */
export type CrashLeft = "nothing to lose" | "lost" | "kept" | "torn" | "zeroed";

/** Carries completions into the process: later, when it is paused; never, when it is gone. */
type Run = (completion: () => void) => void;

export class SimDisk {
  readonly #o: DiskOptions;
  readonly #log = new LevelFile();
  readonly #snapshots = new MemoryFolder();
  #synced = 0;
  /** Where each batch ended; the first made step 1. */
  #ends: number[] = [];
  #anchor: Uint8Array;
  #anchorWriting: { readonly bytes: Uint8Array; readonly position: number } | undefined;
  readonly #live = new Map<string, Uint8Array>();
  #durable: Kept = nothing();
  /** What was on it when it was wiped, or found to be damaged. */
  #lost: Kept = nothing();
  #boot = 0;
  #stalledUntil = 0;
  #isFull = false;
  #failsNext = false;
  #refusal: string | undefined;
  #wasRefused = false;
  #isDamaged = false;
  /** What was handed over last, synced or not. */
  #inFlight: readonly Change[] = [];
  /** The mirror in memory is what the bytes say. */
  #isKnown = false;
  /** What a start must find: what was on the platter before the last crash, with the step that was kept whole. */
  #expected: Kept | undefined;

  constructor(options: DiskOptions) {
    this.#o = options;
    const { identity, memberId } = options;
    const { clusterId = "", founders = {} } = identity;
    const { hardState } = this.#durable;
    const head = { hardState, lastIndex: 0, lastTerm: 0, lastChain: chainStart, step: 1 };
    this.#log.append([
      { key: foundingKey, value: encodeFounding({ clusterId, memberId, founders }) },
      { key: headKey, value: encodeHead(head) },
    ]);
    this.#noteSynced();
    this.#anchor = encodeAnchor({ clusterId, memberId, term: 0, vote: undefined, step: 1 });
  }

  /** The last entry on the platter, as its bytes say. */
  get lastIndex(): number {
    return this.#durable.boundary.index + this.#durable.entries.length;
  }

  /** A start was possible in all but this. It is remembered. */
  refuse(why: string): void {
    this.#refuseFrom(why);
    this.#wasRefused = true;
  }

  get hardState(): HardState {
    return this.#durable.hardState;
  }

  /** False when a start found something else than what was there. */
  isExpected({ boundary, entries, hardState }: StoredState): boolean {
    if (this.#expected === undefined) return true;
    const before = this.#expected;
    return (
      boundary.index === before.boundary.index &&
      boundary.chain === before.boundary.chain &&
      entries.length === before.entries.length &&
      entries.at(-1)?.chain === before.entries.at(-1)?.chain &&
      hardState.currentTerm === before.hardState.currentTerm &&
      hardState.votedFor === before.hardState.votedFor
    );
  }

  /**
   * True when the entry is on the platter, now or when all of it was lost: itself, or in a snapshot that stands for it.
   * `chainAt` knows the chains of what is committed.
   */
  holds(index: number, chainAt: (index: number) => number | undefined): boolean {
    const isLost = this.#refusal !== undefined;
    const { boundary, entries } = isLost ? this.#lost : this.#durable;
    // A revision that nobody applied is nowhere: nothing must not compare equal to nothing.
    const chain = chainAt(index);
    if (chain === undefined) return false;
    if (index > boundary.index) return heldAt({ boundary, entries }, index)?.chain === chain;
    const { indexes } = this.#snapshots;
    const hasFile = indexes.some((at) => at >= boundary.index && this.#snapshots.isDurable(at));
    return boundary.chain === chainAt(boundary.index) && (isLost || hasFile);
  }

  /** A start was refused, and every later one will be. */
  get isRefused(): boolean {
    return this.#wasRefused;
  }

  #noteSynced(): void {
    this.#synced = this.#log.length;
    this.#ends.push(this.#log.length);
  }

  // ---- faults ------------------------------------------------------------------------------------------------------

  /** The process died: of what was not synced, anything may be left. */
  crash(): CrashLeft {
    this.#boot++;
    this.#snapshots.crash(this.#o.snapshotRandom);
    const { random } = this.#o;
    this.#tearAnchor();
    this.#expected = copyOf(this.#durable);
    if (this.#log.length === this.#synced) return "nothing to lose";
    const left = random.pick(["lost", "kept", "torn", "torn", "zeroed"] as const);
    const at = this.#synced + random.between(0, this.#log.length - this.#synced);
    this.#isKnown = false;
    if (left === "lost") this.#log.cut(this.#synced);
    else if (left === "torn") this.#log.cut(random.chance(0.5) ? at : Math.max(this.#synced, at & ~511));
    else if (left === "zeroed") this.#log.zeroFrom(at);
    const batches = this.#ends.length;
    // All of the step may have been kept: then that is what a start finds, and nothing else.
    if (this.#recover() && this.#ends.length > batches) {
      for (const change of this.#inFlight) applyTo(this.#expected, change);
    }
    return left;
  }

  #tearAnchor(): void {
    if (this.#anchorWriting === undefined) return;
    const { bytes, position } = this.#anchorWriting;
    this.#anchorWriting = undefined;
    this.#anchor.set(bytes.subarray(0, this.#o.random.pick([0, bytes.length, 17, 256, 509])), position);
  }

  /** Syncs that begin or run before this (true) time take at least until then. */
  stallUntil(time: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, time);
  }

  /** From now on (or no more) every write fails for want of room. */
  setFull(isFull: boolean): void {
    this.#isFull = isFull;
  }

  /** The next sync fails; what it should have made durable may be lost. */
  failNextSync(): void {
    this.#failsNext = true;
  }

  /**
   * One bit of a stopped member turns, among those that the anchor answers for: what came in its last 20 ms could be lost
   * unnoticed, which docs/FAILURES.md says. False when there is nothing to turn.
   */
  rot(): boolean {
    const { random } = this.#o;
    // Once is enough: a second flip could meet the first one.
    if (this.#isDamaged) return false;
    const { snapshotRandom } = this.#o;
    if (snapshotRandom.chance(0.5) && this.#snapshots.rot(snapshotRandom)) {
      this.#isDamaged = true;
      return true;
    }
    if (random.chance(0.2)) {
      this.#damage();
      const bit = random.between(0, 8 * this.#anchor.length - 1);
      this.#anchor[bit >> 3] = (this.#anchor[bit >> 3] as number) ^ (1 << (bit & 7));
      return true;
    }
    const end = this.#ends[this.#anchorState().step - 1];
    if (end === undefined || this.#refusal !== undefined) return false;
    // The last step is where a lost one looks most like a torn one.
    const start = random.chance(0.3) ? (this.#ends[this.#anchorState().step - 2] ?? 0) : 0;
    this.#damage();
    this.#log.flip(random.between(8 * start, 8 * end - 1));
    return true;
  }

  #damage(): void {
    this.#isKnown = false;
    this.#isDamaged = true;
  }

  /** Bits of it were turned, or all of them. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /** True time; syncs hang before it. */
  get stalledUntil(): number {
    return this.#stalledUntil;
  }

  /** Full, or hanging. */
  get isBroken(): boolean {
    return this.#isFull || this.#o.scheduler.now < this.#stalledUntil;
  }

  /** What can be repaired is; what is lost stays lost. */
  heal(): void {
    this.#isFull = false;
    this.#failsNext = false;
  }

  /** False when there is nothing left to lose. */
  wipe(): boolean {
    if (this.#refusal !== undefined) return false;
    this.#isDamaged = true;
    this.#snapshots.wipe();
    this.#refuseFrom("missing: it is not a data directory");
    return true;
  }

  #refuseFrom(why: string): void {
    if (this.#refusal === undefined) this.#lost = this.#expected ?? this.#durable;
    this.#refusal = why;
    this.#durable = { ...nothing(), hardState: this.#durable.hardState };
  }

  // ---- recovery ----------------------------------------------------------------------------------------------------

  /** Bytes of a stopped member were changed: what it has is what a start will find, or nothing. */
  #recover(): boolean {
    const scan = scanLevelLog(this.#log.bytes);
    if (scan.kind === "damaged") return false;
    if (scan.kind === "torn") this.#log.cut(scan.at);
    this.#ends = this.#ends.filter((end) => end <= this.#log.length);
    this.#live.clear();
    this.#durable = { ...nothing(), hardState: this.#durable.hardState };
    let length = 0;
    for (const changes of this.#log.batches()) {
      length++;
      for (const change of changes) this.#apply(change);
    }
    if (this.#ends.length < length) this.#ends.push(this.#log.length);
    this.#synced = this.#log.length;
    this.#isKnown = true;
    return true;
  }

  #apply(change: Change): void {
    const { key, value } = change;
    const name = nameOf(key);
    if (value === undefined) this.#live.delete(name);
    else this.#live.set(name, value);
    applyTo(this.#durable, change);
  }

  /** Everything, as a start reads it: the log is looked at, every record verified. */
  #readAll(): StoreContent {
    if (!this.#recover()) throw new DamageError("the write-ahead log is damaged");
    return this.#readLive();
  }

  #readLive(): StoreContent {
    const reader = createStoreReader();
    for (const name of [...this.#live.keys()].sort()) {
      reader.add(Buffer.from(name, "latin1"), this.#live.get(name) as Uint8Array);
    }
    return reader.end();
  }

  /** The same without reading, when no byte was touched since it was read or written: most starts, to save time. */
  #known(): StoreContent {
    const head = decodeHead(this.#live.get(nameOf(headKey)) as Uint8Array);
    // A log that was cut has more to it: what is given up and not deleted.
    if (this.#live.has(nameOf(startKey))) return this.#readLive();
    const founding = this.#live.get(nameOf(foundingKey));
    return { head, founding, start: undefined, entries: this.#durable.entries.slice(), stale: [] };
  }

  /** What the real start does: look at the log, read and verify everything, hold it against the anchor, renew that. */
  open(run: Run, opened: (result: Opened) => void): void {
    const boot = ++this.#boot;
    const refuse = (why: string): void => {
      this.refuse(why);
      opened({ kind: "refused", why });
    };
    if (this.#refusal !== undefined) return refuse(this.#refusal);
    try {
      const content = this.#isKnown && boot % 4 !== 0 ? this.#known() : this.#readAll();
      const anchor = openAnchor(this.#anchor.slice(), this.#anchorDevice(boot, run));
      const head = checkWhole(this.#o.identity, anchor, content);
      renewAnchor(anchor, head, (error) => {
        if (error !== undefined) return;
        const { identity, memberId } = this.#o;
        const storage = createStepStorage({
          store: this.#store(boot, run),
          anchor,
          timers: this.#timers(boot, run),
          clusterId: identity.clusterId ?? "",
          memberId,
          head,
          start: content.start,
          entries: content.entries,
          stale: content.stale,
        });
        opened({ kind: "opened", storage, snapshotFiles: this.#snapshotFiles(boot, run) });
      });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      refuse(`${error.name}: ${error.message}`);
    }
  }

  #anchorState(): { readonly step: number } {
    const device = { write: () => undefined, defer: () => undefined, close: () => undefined };
    return openAnchor(this.#anchor.slice(), device).state;
  }

  // ---- what the protocol writes to -----------------------------------------------------------------------------------

  /** Runs `completion` when the disk is done, if the process is still the one that asked. */
  #later(boot: number, run: Run, completion: () => void, random = this.#o.random): void {
    const { scheduler, latencyMaxMs } = this.#o;
    const time = scheduler.now + 0.05 + random.next() * latencyMaxMs;
    scheduler.at(Math.max(time, this.#stalledUntil), () => {
      if (this.#boot !== boot) return;
      // A disk that hangs now holds what it took before, too.
      if (scheduler.now < this.#stalledUntil) this.#later(boot, run, completion, random);
      else completion();
    });
  }

  #snapshotFiles(boot: number, run: Run): SnapshotFiles {
    const { snapshotRandom } = this.#o;
    return this.#snapshots.open({
      later: (step) => this.#later(boot, run, () => run(step), snapshotRandom),
      fault: () => (this.#isFull ? new Error("ENOSPC: no space left on device") : undefined),
    });
  }

  #store(boot: number, run: Run): StepStore {
    return {
      commit: (fill, done) => {
        const changes = changesOf(fill);
        if (this.#isFull) {
          this.#later(boot, run, () => run(() => done(new Error("ENOSPC: no space left on device"))));
          return;
        }
        this.#inFlight = changes;
        this.#log.append(changes);
        this.#later(boot, run, () => this.#sync(run, changes, done));
      },
      get: (key) => this.#live.get(nameOf(key)),
      close: () => Promise.resolve(),
    };
  }

  #sync(run: Run, changes: readonly Change[], done: Done): void {
    if (this.#failsNext) {
      this.#failsNext = false;
      this.#isKnown = false;
      // The pages are marked clean, written or not: whoever syncs again is told that all is well.
      if (this.#o.random.chance(0.5)) this.#log.zeroFrom(this.#synced);
      run(() => done(new Error("EIO: fdatasync failed")));
      return;
    }
    this.#noteSynced();
    for (const change of changes) this.#apply(change);
    run(() => done(undefined));
  }

  #anchorDevice(boot: number, run: Run): SlotDevice {
    return {
      write: (bytes, position, done) => {
        this.#anchorWriting = { bytes, position };
        this.#later(boot, run, () => {
          this.#anchorWriting = undefined;
          this.#anchor.set(bytes, position);
          run(() => done(undefined));
        });
      },
      defer: (completion) => this.#o.scheduler.after(0, () => this.#boot === boot && run(completion)),
      close: () => undefined,
    };
  }

  #timers(boot: number, run: Run): StepTimers {
    return {
      after: (ms, expired) => {
        let isOff = false;
        this.#o.scheduler.after(ms, () => {
          if (!isOff && this.#boot === boot) run(expired);
        });
        return () => {
          isOff = true;
        };
      },
      defer: (completion) => this.#o.scheduler.after(0, () => this.#boot === boot && run(completion)),
    };
  }
}

function changesOf(fill: (batch: StepBatch) => void): readonly Change[] {
  const changes: Change[] = [];
  fill({
    del: (key) => changes.push({ key, value: undefined }),
    put: (key, value) => changes.push({ key, value }),
  });
  return changes;
}

function nothing(): Kept {
  return { boundary: emptyBoundary, entries: [], hardState: { currentTerm: 0, votedFor: undefined } };
}

function copyOf(kept: Kept): Kept {
  return { ...kept, entries: kept.entries.slice() };
}

function applyTo(kept: Kept, { key, value }: Change): void {
  const decoded = decodeKey(key);
  if (decoded.kind === "head" && value !== undefined) kept.hardState = decodeHead(value).hardState;
  if (decoded.kind === "start" && value !== undefined) {
    const { boundary } = decodeStart(value);
    kept.entries.splice(0, boundary.index - kept.boundary.index);
    kept.boundary = boundary;
  }
  if (decoded.kind !== "entry" || decoded.index <= kept.boundary.index) return;
  const at = decoded.index - kept.boundary.index - 1;
  if (value === undefined) kept.entries.length = Math.min(kept.entries.length, at);
  else kept.entries[at] = decodeEntry(value);
}

/** Order of these strings is order of the keys. */
function nameOf(key: Uint8Array): string {
  return Buffer.from(key).toString("latin1");
}
