/**
 * The damage table: every byte of every file of a real data directory flipped, every file truncated, zeroed, removed,
 * and put back to an older state, one fault at a time. Allowed: a refusal, or an open with exactly what was
 * acknowledged, or (only where the anchor lags, as in the last moments before a crash) an exact earlier step that is
 * not older than the anchor. Never: an open with anything else.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assert, present } from "../../src/base/assert.ts";
import type { Identity } from "../../src/base/identity.ts";
import { createPrng } from "../../src/base/prng.ts";
import { emptyBoundary } from "../../src/raft/chain.ts";
import type { Entry, HardState, LogBoundary } from "../../src/raft/types.ts";
import { createAnchorFile, openAnchorFile } from "../../src/storage/anchor.ts";
import type { RaftStorage, StoredState } from "../../src/storage/contract.ts";
import { openDataDirectory } from "../../src/storage/data-directory.ts";
import { writeIdentity } from "../../src/storage/identity.ts";
import {
  boundaryOf,
  entriesAfter,
  expected,
  foundingOf,
  hardState,
  mustWrite,
  reopenAt,
} from "./log-builder.ts";

interface Case {
  readonly base: string;
  readonly file: string;
  readonly op:
    | "flip"
    | "truncate"
    | "zero-tail"
    | "zero-block"
    | "append-zeros"
    | "remove"
    | "empty"
    | "replace";
  readonly at?: number;
  readonly from?: string;
}

type Outcome =
  | { readonly kind: "refused"; readonly code: string; readonly text: string }
  | { readonly kind: "opened"; readonly step: number; readonly digest: string }
  | { readonly kind: "new" }
  | { readonly kind: "died" };

interface Result {
  readonly damage: Case;
  readonly outcome: Outcome;
  /** The same copy opened once more (of the opened ones every eighth): a refusal must not wear off. */
  readonly again: Outcome | undefined;
}

/** In memory where the system has such a place: thousands of copies are opened, and each open syncs. */
const root = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "holdfast-damage-"));
const closed = join(root, "closed");
const crashed = join(root, "crashed");
/** What the storage held after each step; the index is the step. */
const digests: string[] = [];
/** The incarnation is fixed, so that every run damages the same bytes. */
const fresh = { format: 1, state: "new", clusterId: undefined, founders: undefined } as const;
/** How far the anchor of `crashed` lags behind its store. */
const lag = 3;

beforeAll(async () => {
  await buildHistory();
  cpSync(closed, crashed, { recursive: true });
  const anchor = openAnchorFile(join(crashed, "anchor"));
  anchor.close();
  createAnchorFile(join(crashed, "anchor"), { ...anchor.state, step: anchor.state.step - lag }).close();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/**
 * 36 durable steps with truncations, term changes, cuts behind snapshots and an install, over three runs, so that tables
 * and write-ahead log both hold some.
 */
async function buildHistory(): Promise<void> {
  const random = createPrng(20, "damage");
  mkdirSync(closed);
  const incarnation = "1".repeat(32);
  const identity: Identity = { ...fresh, ...expected, incarnation };
  writeIdentity(closed, identity);
  const opened = await openDataDirectory({ path: closed, expect: expected });
  assert(opened.kind === "new", "a fresh directory is new");
  let storage: RaftStorage = (await opened.found(foundingOf(identity))).storage;
  let log: readonly Entry[] = [];
  let hard: HardState = hardState(0);
  let boundary = emptyBoundary;
  let snapshot: LogBoundary | undefined;
  const note = (): void => {
    digests[storage.step] = digestOf({ hardState: hard, boundary, snapshot, entries: log });
  };
  note();
  for (let i = 2; i <= 36; i++) {
    if (i === 14 || i === 22) {
      await storage.close();
      cpSync(join(closed, "store"), join(root, `store-${i}`), { recursive: true });
      cpSync(join(closed, "anchor"), join(root, `anchor-${i}`));
      storage = await reopenAt(closed);
    }
    if (i === 20 || i === 35) {
      boundary = boundaryOf(log.at(-7));
      snapshot = boundaryOf(log.at(-4));
      await mustWrite(storage, { snapshot: { boundary, last: snapshot, isInstalled: false } });
      log = log.slice(-6);
      note();
      continue;
    }
    if (i === 28) {
      const index = boundary.index + log.length + 9;
      boundary = { index, term: hard.currentTerm, time: 1000 * index, chain: 99 };
      snapshot = boundary;
      log = entriesAfter(boundary, { count: 6, term: hard.currentTerm });
      await mustWrite(storage, { snapshot: { boundary, last: boundary, isInstalled: true }, entries: log });
      note();
      continue;
    }
    const newTerm = (i % 5 === 2 && i < 33) || i === 2;
    if (newTerm)
      hard = hardState(hard.currentTerm + 1, random.chance(0.7) ? `n${i % 3}@${"c".repeat(32)}` : undefined);
    const lost = newTerm && log.length > 3 ? random.between(1, 3) : 0;
    const kept = log.slice(0, log.length - lost);
    const truncateFrom = lost === 0 ? undefined : boundary.index + kept.length + 1;
    const count = newTerm && i % 2 === 0 ? 0 : random.between(1, 2);
    const entries = entriesAfter(kept.at(-1) ?? boundary, {
      count,
      term: hard.currentTerm,
      dataBytes: random.between(0, 9),
    });
    await mustWrite(storage, { hardState: newTerm ? hard : undefined, truncateFrom, entries });
    log = [...kept, ...entries];
    note();
  }
  await storage.close();
}

/** The same text as `digestOf` in damage-child.mjs. */
function digestOf({ hardState: hard, boundary, snapshot, entries }: Omit<StoredState, "step">): string {
  const hash = createHash("sha1").update(`${hard.currentTerm} ${hard.votedFor}\n`);
  for (const { index, term, time, chain } of snapshot === undefined ? [boundary] : [boundary, snapshot]) {
    hash.update(`${index} ${term} ${time} ${chain}\n`);
  }
  for (const { index, term, time, kind, data, chain } of entries) {
    hash.update(`${index} ${term} ${time} ${kind} ${chain} ${Buffer.from(data).toString("hex")}\n`);
  }
  return hash.digest("hex");
}

function filesOf(base: string): readonly string[] {
  return readdirSync(base, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(base, name)).isFile())
    .sort();
}

/** Every `stride`-th offset of the file, from 0. */
function sweep(base: string, file: string, op: Case["op"], stride: number): readonly Case[] {
  const cases: Case[] = [];
  for (let at = 0; at < statSync(join(base, file)).size; at += stride) cases.push({ base, file, op, at });
  return cases;
}

/** Runs the cases in two children; a child that dies is replaced and goes on after the case that killed it. */
async function run(cases: readonly Case[]): Promise<readonly Result[]> {
  const file = join(root, "cases.json");
  writeFileSync(file, JSON.stringify({ cases, expect: expected }));
  const results: Result[] = [];
  const lane = async (first: number): Promise<void> => {
    const work = join(root, `lane-${first}`);
    mkdirSync(work, { recursive: true });
    for (let next = first; next < cases.length; ) {
      const { lines, signal } = await runChild([file, work, String(next), "2"]);
      for (const line of lines) {
        const done = /^done (\d+) (.*)$/.exec(line);
        if (done === null) continue;
        const number = Number(done[1]);
        const { again, ...outcome } = JSON.parse(present(done[2], "outcome")) as Outcome & {
          again: Outcome | undefined;
        };
        results[number] = { damage: present(cases[number], "case"), outcome, again };
        next = number + 2;
      }
      if (next < cases.length) {
        const diedInside = lines.at(-1) === `start ${next}` && signal !== null;
        assert(diedInside, "a child ends early only when LevelDB aborts", {
          next,
          last: lines.at(-1),
          signal,
        });
        results[next] = { damage: present(cases[next], "case"), outcome: { kind: "died" }, again: undefined };
        next += 2;
      }
    }
  };
  await Promise.all([lane(0), lane(1)]);
  return results;
}

interface ChildEnd {
  readonly lines: readonly string[];
  readonly signal: NodeJS.Signals | null;
}

function runChild(args: readonly string[]): Promise<ChildEnd> {
  const script = join(import.meta.dirname, "damage-child.mjs");
  const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "ignore"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (_code, signal) =>
      resolve({ lines: output.split("\n").filter((line) => line !== ""), signal }),
    );
  });
}

/** The results that break the promise, given the oldest step that an open may show. */
function wrong(results: readonly Result[], oldestStep: number): readonly Result[] {
  const isRight = (outcome: Outcome): boolean => {
    if (outcome.kind === "died") return true;
    if (outcome.kind === "opened")
      return outcome.step >= oldestStep && outcome.digest === digests[outcome.step];
    return (
      outcome.kind === "refused" && ["damaged", "lost", "newer-format", "missing"].includes(outcome.code)
    );
  };
  return results.filter(({ outcome, again }) => {
    if (!isRight(outcome) || (again !== undefined && !isRight(again))) return true;
    if (outcome.kind === "refused") return again?.kind !== "refused" || again.code !== outcome.code;
    return (
      outcome.kind === "opened" &&
      again !== undefined &&
      (again.kind !== "opened" || again.step !== outcome.step)
    );
  });
}

function report(name: string, results: readonly Result[]): void {
  const counts: Record<string, number> = {};
  for (const { outcome } of results) {
    const what =
      outcome.kind === "refused"
        ? outcome.code
        : outcome.kind === "opened"
          ? `opened at step ${outcome.step}`
          : outcome.kind;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  const words = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  process.stdout.write(`damage table, ${name}: ${results.length} cases: ${words.join(", ")}\n`);
}

describe("after a clean stop, no single fault opens with anything but what was acknowledged", {
  timeout: 240_000,
}, () => {
  const last = 36;

  test("every byte of every file flipped", async () => {
    // Of the unused kilobytes between the anchor's slots, and of LevelDB's diary, which it never reads, a sample will do.
    const isSampled = (file: string, at: number): boolean =>
      file.startsWith("store/LOG") || (file === "anchor" && at >= 512 && at < 4096);
    const cases = filesOf(closed)
      .flatMap((file) => sweep(closed, file, "flip", 1))
      .filter(({ file, at = 0 }) => !isSampled(file, at) || at % 32 === 0);

    const results = await run(cases);

    report("flips", results);
    expect(wrong(results, last)).toEqual([]);
  });

  test("every file cut short, zeroed to its end, zeroed in the middle, grown, or removed", async () => {
    const cases = filesOf(closed).flatMap((file): readonly Case[] => [
      ...sweep(closed, file, "truncate", 11),
      ...sweep(closed, file, "zero-tail", 17),
      ...sweep(closed, file, "zero-block", 64),
      { base: closed, file, op: "append-zeros", at: 4096 },
      { base: closed, file, op: "remove" },
    ]);

    const results = await run(cases);

    report("cuts", results);
    expect(wrong(results, last)).toEqual([]);
    const grown = results.filter(
      ({ damage }) => damage.op === "append-zeros" && damage.file.endsWith(".log"),
    );
    expect(grown.map(({ outcome }) => outcome.kind)).toEqual(["opened"]);
  });

  test("directories emptied or removed, older copies put in place", async () => {
    const cases: Case[] = [
      { base: closed, file: "store", op: "empty" },
      { base: closed, file: "store", op: "remove" },
      { base: closed, file: ".", op: "empty" },
      { base: closed, file: ".", op: "remove" },
      { base: closed, file: "store", op: "replace", from: join(root, "store-14") },
      { base: closed, file: "store", op: "replace", from: join(root, "store-22") },
    ];

    const results = await run(cases);

    report("copies", results);
    expect(results.map(({ outcome }) => (outcome.kind === "refused" ? outcome.code : outcome.kind))).toEqual([
      "lost",
      "lost",
      "missing",
      "missing",
      "lost",
      "lost",
    ]);
    expect(wrong(results, last)).toEqual([]);
  });

  test("an older copy of the anchor alone is harmless: the store is whole", async () => {
    const cases = [14, 22].map(
      (i): Case => ({ base: closed, file: "anchor", op: "replace", from: join(root, `anchor-${i}`) }),
    );

    const results = await run(cases);

    expect(results.map(({ outcome }) => outcome)).toEqual(
      [14, 22].map(() => ({ kind: "opened", step: last, digest: digests[last] })),
    );
  });
});

describe("after a crash, with the anchor a few steps behind, a fault costs at most the steps beyond the anchor", {
  timeout: 240_000,
}, () => {
  const last = 36;

  function walOf(base: string): string {
    return present(
      filesOf(base).find((file) => file.endsWith(".log")),
      "write-ahead log",
    );
  }

  test("every byte of the write-ahead log flipped, cut and zeroed", async () => {
    const wal = walOf(crashed);
    const cases = [
      ...sweep(crashed, wal, "flip", 1),
      ...sweep(crashed, wal, "truncate", 3),
      ...sweep(crashed, wal, "zero-tail", 5),
      ...sweep(crashed, wal, "zero-block", 16),
    ];

    const results = await run(cases);

    report("crash", results);
    expect(wrong(results, last - lag)).toEqual([]);
    const flips = results.filter(({ damage, outcome }) => damage.op === "flip" && outcome.kind === "opened");
    expect(flips.every(({ outcome }) => outcome.kind === "opened" && outcome.step >= last - 1)).toBe(true);
  });

  test("a torn last batch is dropped and the node goes on, wherever it is torn", async () => {
    const wal = walOf(crashed);
    const size = readFileSync(join(crashed, wal)).length;
    const cases = [1, 7, 20, 40].flatMap((bytes): readonly Case[] => [
      { base: crashed, file: wal, op: "truncate", at: size - bytes },
      { base: crashed, file: wal, op: "zero-tail", at: size - bytes },
    ]);

    const results = await run(cases);

    expect(results.map(({ outcome }) => outcome)).toEqual(
      cases.map(() => ({ kind: "opened", step: last - 1, digest: digests[last - 1] })),
    );
  });
});
