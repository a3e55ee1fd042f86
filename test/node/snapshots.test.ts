/**
 * A member's snapshots: made by a machine that runs behind, loaded at a start, passed from one member to another. The
 * files are in memory and the disk moves when the test says so; damage, restarts and lost messages are the point.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { createPrng } from "../../src/base/prng.ts";
import { type SnapshotPart, type SnapshotRequest, snapshotPartBytesMax } from "../../src/codec/message.ts";
import { stateHash } from "../../src/locks/canonical.ts";
import { createLockState } from "../../src/locks/machine.ts";
import { loadStart, type StartLoad } from "../../src/node/snapshot-loader.ts";
import {
  createInlineMaker,
  type EntrySource,
  type MadeSnapshot,
  makeSnapshot,
  type SnapshotMaker,
} from "../../src/node/snapshot-maker.ts";
import { type LoadedSnapshot, readWhole, SnapshotReader } from "../../src/node/snapshot-reader.ts";
import { type SnapshotEvent, Snapshots } from "../../src/node/snapshots.ts";
import { emptyBoundary } from "../../src/raft/chain.ts";
import type { Entry, LogBoundary } from "../../src/raft/types.ts";
import type { SnapshotFiles, StoredState } from "../../src/storage/contract.ts";
import { MemoryFolder } from "../sim/memory-snapshots.ts";
import { Lone } from "./harness.ts";

const scope = { clusterId: "lone", voters: ["n1@1"] };

/** A log of a few hundred entries, and the hash of the state after it. */
const { entries, hash } = recorded();

function recorded(): { readonly entries: readonly Entry[]; readonly hash: string } {
  const lone = new Lone({ queued: 1_000 }).lead();
  lone.open("s", 60_000);
  for (let i = 0; i < 300; i++) {
    lone.propose({
      kind: "acquire",
      sessionId: "s",
      claimId: `c-${i}`,
      resources: [{ kind: "lock", name: `lock-${i % 250}`, mode: "shared" }],
      waitMs: 0,
      lockDelayMs: undefined,
      maxHoldMs: i % 7 === 0 ? 1_000 + i : undefined,
      owner: undefined,
      metadata: [],
      cancelOnDisconnect: true,
    });
    lone.settle();
  }
  return {
    entries: lone.applied.map(({ entry }) => entry),
    hash: stateHash(lone.node.staleView().state),
  };
}

function boundaryAt(index: number): LogBoundary {
  const { term, time, chain } = entries[index - 1] as Entry;
  return { index, term, time, chain };
}

/** Entries in shares of so many. */
const sourceOf =
  (count: number): EntrySource =>
  (from, take) =>
    take(entries.slice(from - 1, from - 1 + count));

/** A folder whose disk takes its next step when `step` is called. */
class Disk {
  readonly folder = new MemoryFolder();
  steps: (() => void)[] = [];
  fault: Error | undefined;

  open(): SnapshotFiles {
    this.steps = [];
    return this.folder.open({ later: (step) => this.steps.push(step), fault: () => this.fault });
  }

  /** True when there was something to do. */
  step(): boolean {
    const step = this.steps.shift();
    step?.();
    return step !== undefined;
  }

  settle(): void {
    while (this.step());
  }

  make(base: number, index: number, source: EntrySource = sourceOf(50)): MadeSnapshot | undefined {
    let result: MadeSnapshot | undefined;
    makeSnapshot(this.open(), { base, header: { ...scope, last: boundaryAt(index) } }, source, (made) => {
      result = made;
    });
    this.settle();
    return result;
  }

  load(index: number): LoadedSnapshot {
    let loaded: LoadedSnapshot | undefined;
    const files = this.open();
    readWhole(new SnapshotReader(scope, index), files.read.bind(files, index), (result) => {
      if (result.kind === "loaded") loaded = result.loaded;
    });
    this.settle();
    if (loaded === undefined) throw new Error("it cannot be loaded");
    return loaded;
  }

  start(stored: Partial<StoredState>): StartLoad {
    let load: StartLoad | undefined;
    const whole: StoredState = {
      hardState: { currentTerm: 1, votedFor: undefined },
      boundary: emptyBoundary,
      snapshot: undefined,
      entries,
      step: 1,
      ...stored,
    };
    loadStart(this.open(), whole, scope, (result) => {
      load = result;
    });
    this.settle();
    if (load === undefined) throw new Error("it does not come to an end");
    return load;
  }

  /** Turns one bit in the middle of the file. */
  damage(index: number): void {
    const bytes = this.folder.whole(index) as Uint8Array;
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] as number) ^ 4;
  }
}

let disk: Disk;
beforeEach(() => {
  disk = new Disk();
});

describe("the machine that runs behind", () => {
  it("comes to the state of the node, from nothing or from any snapshot before", () => {
    const last = entries.length;

    expect(disk.make(0, last)).toMatchObject({ kind: "made", stateHash: hash });
    expect(disk.make(0, 120)).toMatchObject({ kind: "made" });
    expect(disk.make(120, last, sourceOf(7))).toMatchObject({ kind: "made", stateHash: hash });
    expect(stateHash(disk.load(last).state)).toBe(hash);
    expect(disk.load(last).last).toEqual(boundaryAt(last));
  });

  it("takes no entry beyond the one that it was told, though it is given more", () => {
    disk.make(0, 120, sourceOf(1_000));

    expect(disk.load(120).state.revision).toBe(120);
  });

  it("makes the same bytes from whatever it starts: a transfer may go on at another member", () => {
    const other = new Disk();
    disk.make(0, 300);
    other.make(0, 100);
    other.make(100, 200);
    other.make(200, 300);

    expect(other.folder.whole(300)).toEqual(disk.folder.whole(300));
  });

  it("writes nothing when it is called off", () => {
    expect(
      disk.make(0, 300, (from, take) => (from < 100 ? sourceOf(10)(from, take) : take(undefined))),
    ).toEqual({
      kind: "called-off",
    });
    expect(disk.folder.indexes).toEqual([]);
  });

  it("fails when the snapshot that it starts from has gone or is damaged: the disk is not to be trusted", () => {
    expect(disk.make(120, 300)).toMatchObject({ kind: "failed" });

    disk.make(0, 120);
    disk.damage(120);

    expect(String((disk.make(120, 300) as { error?: Error }).error)).toContain("120 cannot be read any more");
  });

  it("fails when the disk does", () => {
    disk.fault = new Error("ENOSPC");

    expect(disk.make(0, 300)).toEqual({ kind: "failed", error: disk.fault });
    expect(disk.folder.indexes).toEqual([]);
  });
});

describe("a start", () => {
  const stored = { boundary: boundaryAt(100), snapshot: boundaryAt(200), entries: entries.slice(100) };

  beforeEach(() => {
    disk.make(0, 100);
    disk.make(100, 200);
  });

  it("takes the newest snapshot that the log tells of", () => {
    const load = disk.start(stored);

    expect(load).toMatchObject({ kind: "loaded", start: { snapshot: boundaryAt(200), damaged: [] } });
    expect(disk.folder.indexes).toEqual([100, 200]);
  });

  it("takes none that the log does not tell of, and removes it", () => {
    disk.make(200, 300);

    expect(disk.start(stored)).toMatchObject({ start: { snapshot: boundaryAt(200) } });
    expect(disk.folder.indexes).toEqual([100, 200]);

    expect(disk.start({})).toMatchObject({ start: { snapshot: undefined } });
    expect(disk.folder.indexes).toEqual([]);
  });

  it("takes the one before when the newest is damaged, says so, and removes that", () => {
    disk.damage(200);

    const load = disk.start(stored);

    expect(load).toMatchObject({ kind: "loaded", start: { snapshot: boundaryAt(100) } });
    expect(load.kind === "loaded" && load.start.damaged.join()).toMatch(
      /^the snapshot at 200 is of no use: /,
    );
    expect(disk.folder.indexes).toEqual([100]);
  });

  it("takes the empty state when the log still has its first entry", () => {
    disk.damage(200);

    const load = disk.start({ boundary: emptyBoundary, snapshot: boundaryAt(200) });

    expect(load).toMatchObject({ kind: "loaded", start: { snapshot: boundaryAt(100) } });

    disk.damage(100);
    const empty = disk.start({ boundary: emptyBoundary, snapshot: boundaryAt(100) });
    expect(empty).toMatchObject({ kind: "loaded", start: { snapshot: undefined } });
    expect(empty.kind === "loaded" && stateHash(empty.start.state)).toBe(stateHash(createLockState()));
  });

  it("is refused when no readable snapshot is left to go on from, gone or damaged", () => {
    disk.damage(200);
    disk.damage(100);

    expect(disk.start(stored)).toMatchObject({ kind: "damaged", why: expect.stringContaining("at 100") });

    disk.folder.wipe();
    const gone = disk.start(stored);
    expect(gone).toMatchObject({ kind: "damaged", why: expect.stringContaining("its file has gone") });
  });

  it("does not believe a snapshot of another cluster, other members, another entry or another log", () => {
    const why = (change: Partial<typeof scope> & { readonly last?: LogBoundary }): string => {
      const other = new Disk();
      const { last = boundaryAt(200), ...more } = change;
      makeSnapshot(
        other.open(),
        { base: 0, header: { ...scope, last, ...more } },
        sourceOf(50),
        () => undefined,
      );
      other.settle();
      const load = other.start(stored);
      return load.kind === "damaged" ? load.why : load.kind;
    };

    expect(why({})).toBe("loaded");
    expect(why({ clusterId: "another" })).toContain("it is of the cluster another");
    expect(why({ voters: ["n1@2"] })).toContain("it is of other members");
    expect(why({ voters: ["n1@1", "n2@1"] })).toContain("it is of other members");
    expect(why({ last: { ...boundaryAt(200), chain: 7 } })).toContain("it is not of this log");
    expect(why({ last: { ...boundaryAt(200), time: 7 } })).toContain("its state is not of the entry");
  });
});

/** One member's snapshots, with the driver played by the test. */
class Member {
  readonly disk = new Disk();
  readonly sent: (SnapshotRequest | SnapshotPart)[] = [];
  readonly events: SnapshotEvent[] = [];
  readonly taken: LogBoundary[] = [];
  readonly fetched: LoadedSnapshot[] = [];
  failure: Error | undefined;
  snapshots: Snapshots;
  applied = 0;

  readonly #everyBytes: number;
  readonly #maker: SnapshotMaker | undefined;

  constructor(everyBytes = 4_000, maker?: SnapshotMaker) {
    this.#everyBytes = everyBytes;
    this.#maker = maker;
    this.snapshots = this.restart();
  }

  /** A new process; what the old one was told is forgotten. */
  restart(newest?: LogBoundary): Snapshots {
    this.snapshots?.stop();
    const files = this.disk.open();
    this.snapshots = new Snapshots(
      {
        scope,
        files,
        maker: this.#maker ?? createInlineMaker(files),
        self: "n1@1",
        everyBytes: this.#everyBytes,
        partBytes: snapshotPartBytesMax,
        patienceTicks: 3,
        host: {
          monotonicMs: () => 0,
          send: (_to, message) => this.sent.push(message),
          trace: (event) => this.events.push(event),
          entries: (from, to, bytesMax) => {
            const some: Entry[] = [];
            for (let bytes = 0; from + some.length <= to && bytes < bytesMax; bytes += 100)
              some.push(entries[from - 1 + some.length] as Entry);
            return some;
          },
          taken: (last) => this.taken.push(last),
          fetched: (loaded) => this.fetched.push(loaded),
          guard: (input) => input(),
          storageFailed: (error) => {
            this.failure = error;
          },
        },
      },
      newest,
    );
    return this.snapshots;
  }

  apply(count: number): void {
    for (let i = 0; i < count && this.applied < entries.length; i++)
      this.snapshots.noteApplied(entries[this.applied++] as Entry);
    this.snapshots.maybeMake(() => boundaryAt(this.applied));
  }

  kinds(): readonly string[] {
    return this.events.splice(0).map(({ kind }) => kind);
  }
}

describe("when a snapshot is made", () => {
  it("is made when enough was applied since the last one, and only one at a time", () => {
    const member = new Member(4_000);
    member.apply(20);
    expect(member.kinds()).toEqual([]);

    member.apply(60);
    expect(member.kinds()).toEqual(["snapshot-begun"]);

    // While it is being made, another one would be due.
    member.apply(100);
    expect(member.kinds()).toEqual([]);
    member.disk.settle();
    expect(member.kinds()).toEqual(["snapshot-made"]);
    expect(member.taken).toEqual([boundaryAt(80)]);

    member.apply(1);
    member.disk.settle();
    expect(member.taken).toEqual([boundaryAt(80), boundaryAt(181)]);
    expect(stateHash(member.disk.load(181).state)).toHaveLength(14);
  });

  it("counts what was applied before a restart only when it is applied again", () => {
    const member = new Member(4_000);
    member.apply(80);
    member.disk.settle();
    member.restart(boundaryAt(80));
    member.apply(5);
    member.disk.settle();

    expect(member.taken).toEqual([boundaryAt(80)]);
  });

  it("is called off by an install, and its bytes count for nothing", () => {
    const member = new Member(4_000);
    member.apply(80);
    member.snapshots.noteInstalled(boundaryAt(200));
    member.disk.settle();

    expect(member.taken).toEqual([]);
    expect(member.kinds()).toEqual(["snapshot-begun", "snapshot-dropped"]);

    member.applied = 200;
    member.disk.make(0, 200);
    member.apply(80);
    member.disk.settle();
    expect(member.taken).toEqual([boundaryAt(280)]);
  });

  it("is tried again after as much more, when the maker was interrupted", () => {
    const orders: number[] = [];
    const maker: SnapshotMaker = {
      make: ({ header }, _entries, done) => {
        orders.push(header.last.index);
        queueMicrotask(() => done({ kind: "interrupted", why: "no memory" }));
      },
      close: async () => undefined,
    };
    const member = new Member(2_000, maker);
    const steps = async (): Promise<void> => {
      for (let i = 0; i < 30; i++) {
        member.apply(5);
        await Promise.resolve();
      }
    };
    return steps().then(() => {
      expect(orders.length).toBeGreaterThan(1);
      expect(orders.length).toBeLessThan(8);
      expect(member.taken).toEqual([]);
      expect(member.failure).toBeUndefined();
    });
  });

  it("ends the node when the disk fails", () => {
    const member = new Member(4_000);
    member.apply(80);
    member.disk.fault = new Error("EIO");
    member.disk.settle();

    expect(member.failure).toBe(member.disk.fault);
    expect(member.taken).toEqual([]);
  });

  it("removes what the log does not need any more, and is not heard after the stop", () => {
    const member = new Member(4_000);
    for (const index of [50, 100, 150]) member.disk.make(0, index);
    member.restart();
    member.snapshots.noteBoundary(100);
    member.disk.settle();
    expect(member.disk.folder.indexes).toEqual([100, 150]);

    member.apply(80);
    member.snapshots.stop();
    member.disk.settle();
    expect(member.taken).toEqual([]);
  });
});

describe("a transfer", () => {
  const last = boundaryAt(entries.length);

  /** One that has the snapshot, and one that was offered it; `pass` carries what they say. */
  class Pair {
    readonly from = new Member();
    readonly to = new Member();
    lose: (message: SnapshotRequest | SnapshotPart) => boolean = () => false;
    change: (part: SnapshotPart) => SnapshotPart = (part) => part;
    isDoubled = false;

    constructor() {
      this.from.disk.make(0, last.index);
      this.from.restart(last);
    }

    /** One round of everything that is at hand; true when something was. */
    pass(): boolean {
      const isBusy = this.from.disk.step() || this.to.disk.step();
      const requests = this.to.sent.splice(0);
      const parts = this.from.sent.splice(0);
      for (const message of [...requests, ...(this.isDoubled ? requests : [])])
        if (message.kind === "snapshot-request" && !this.lose(message))
          this.from.snapshots.handleRequest("n2@1", message);
      for (const message of [...parts, ...(this.isDoubled ? parts : [])])
        if (message.kind === "snapshot-part" && !this.lose(message))
          this.to.snapshots.handlePart(this.change(message));
      return isBusy || requests.length + parts.length > 0;
    }

    /** Heartbeats offer it until it is there, or for so many. */
    run(heartbeats = 100): void {
      for (let i = 0; i < heartbeats && this.to.fetched.length === 0; i++) {
        this.to.snapshots.offer("n1@1", last);
        this.to.snapshots.tick();
        while (this.pass());
      }
    }
  }

  let pair: Pair;
  beforeEach(() => {
    pair = new Pair();
  });

  const isThere = (): void => {
    expect(pair.to.fetched).toHaveLength(1);
    expect(stateHash((pair.to.fetched[0] as LoadedSnapshot).state)).toBe(hash);
    expect(pair.to.disk.folder.whole(last.index)).toEqual(pair.from.disk.folder.whole(last.index));
    expect(pair.to.disk.folder.isDurable(last.index)).toBe(true);
    expect(pair.to.failure).toBeUndefined();
  };

  it("brings the file and the state", () => {
    pair.run();

    isThere();
    expect(pair.to.kinds()).toEqual(["fetch-begun", "fetch-done"]);
  });

  it("brings it over a link that loses and doubles, whatever is lost", () => {
    for (let seed = 1; seed <= 15; seed++) {
      pair = new Pair();
      const random = createPrng(seed);
      pair.lose = () => random.chance(0.4);
      pair.isDoubled = random.chance(0.5);
      pair.run(400);
      isThere();
    }
  });

  it("tells the core only when all of it is durable", () => {
    pair.to.snapshots.offer("n1@1", last);
    let wasDurable = false;
    for (let i = 0; i < 1_000 && pair.to.fetched.length === 0; i++) {
      wasDurable = pair.to.disk.folder.isDurable(last.index);
      pair.pass();
      if (i % 10 === 9) pair.to.snapshots.tick();
    }
    expect(wasDurable || pair.to.disk.folder.isDurable(last.index)).toBe(true);
    isThere();
  });

  it("goes on where it stood after a restart, and finds what a crash has torn", () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 30; seed++) {
      pair = new Pair();
      const random = createPrng(seed);
      // So that there is something between nothing and all.
      pair.change = (part) => ({ ...part, bytes: part.bytes.slice(0, 1_500) });
      for (let life = 0; life < 3 && pair.to.fetched.length === 0; life++) {
        for (let i = random.between(5, 60); i > 0 && pair.to.fetched.length === 0; i--) {
          pair.to.snapshots.offer("n1@1", last);
          pair.pass();
          pair.to.snapshots.tick();
        }
        if (pair.to.fetched.length > 0) break;
        pair.to.disk.folder.crash(random);
        pair.to.restart();
      }
      pair.run();
      isThere();
      for (const event of pair.to.events) {
        if (event.kind === "fetch-begun" && event.have > 0) seen.add("went on");
        if (event.kind === "fetch-dropped") seen.add(event.why.split(":")[0] as string);
      }
    }
    expect([...seen].sort()).toEqual([
      "went on",
      "what an earlier transfer left is damaged",
      "what came is damaged",
    ]);
  });

  it("begins anew when what came is damaged, and never believes it", () => {
    let damaged = 0;
    pair.change = (part) => {
      if (part.bytes.length === 0 || damaged++ > 0) return part;
      const bytes = part.bytes.slice();
      bytes[100] = (bytes[100] as number) ^ 1;
      return { ...part, bytes };
    };
    pair.run();

    isThere();
    expect(pair.to.kinds()).toEqual(["fetch-begun", "fetch-dropped", "fetch-begun", "fetch-done"]);
  });

  it("never ends while it is damaged at its source, and does not end the node either", () => {
    pair.from.disk.damage(last.index);
    pair.run(50);

    expect(pair.to.fetched).toEqual([]);
    expect(pair.to.failure).toBeUndefined();
    expect(pair.to.disk.folder.fetchedBytes).toBe(0);
  });

  it("is left when the one that offered it has it no more, and waits for the next offer", () => {
    pair.from.disk.folder.wipe();
    pair.run(3);

    expect(pair.to.kinds().slice(0, 2)).toEqual(["fetch-begun", "fetch-dropped"]);
    expect(pair.to.fetched).toEqual([]);
  });

  it("changes to another one that is offered, from whoever offers it", () => {
    pair.lose = () => true;
    pair.to.snapshots.offer("n1@1", boundaryAt(100));
    for (let i = 0; i < 10; i++) pair.pass();
    pair.lose = () => false;
    pair.run();

    isThere();
    expect(pair.to.kinds()).toEqual(["fetch-begun", "fetch-dropped", "fetch-begun", "fetch-done"]);
  });

  it("is left alone when nobody offers it any more, and what came is kept", () => {
    pair.change = (part) => ({ ...part, bytes: part.bytes.slice(0, 1_500) });
    pair.to.snapshots.offer("n1@1", last);
    for (let i = 0; i < 12; i++) pair.pass();
    pair.lose = () => true;
    for (let i = 0; i < 100; i++) {
      pair.to.snapshots.tick();
      while (pair.pass());
    }

    expect(pair.to.kinds()).toEqual(["fetch-begun", "fetch-dropped"]);
    expect(pair.to.disk.folder.fetchedBytes).toBeGreaterThan(0);
    expect(pair.to.sent).toEqual([]);
  });

  it("ends the node when its own disk fails", () => {
    pair.to.disk.fault = new Error("ENOSPC");
    pair.run(5);

    expect(pair.to.failure).toBe(pair.to.disk.fault);
    expect(pair.to.fetched).toEqual([]);
  });

  it("answers who asks beyond the end or for what is not there, and takes no part that it did not ask for", () => {
    const { from, to } = pair;
    from.snapshots.handleRequest("n2@1", { kind: "snapshot-request", index: last.index, offset: 1e9 });
    from.snapshots.handleRequest("n2@1", { kind: "snapshot-request", index: 5, offset: 0 });
    from.disk.settle();
    const total = from.disk.folder.whole(last.index)?.length ?? 0;
    expect(from.sent).toMatchObject([{ total, bytes: new Uint8Array(0) }, { total: 0 }]);

    for (const message of from.sent) if (message.kind === "snapshot-part") to.snapshots.handlePart(message);
    const stray = { kind: "snapshot-part", index: 7, offset: 0, total: 5, bytes: new Uint8Array(5) } as const;
    to.snapshots.handlePart(stray);
    pair.run();
    isThere();
    to.snapshots.handlePart({ ...stray, index: last.index });
    expect(to.failure).toBeUndefined();
  });
});
