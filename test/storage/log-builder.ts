/** Entries with a right chain, a temporary directory, and `write` as a promise: what every storage test needs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Identity } from "../../src/base/identity.ts";
import { chainOf, chainStart } from "../../src/raft/chain.ts";
import type { Entry, HardState, LogBoundary } from "../../src/raft/types.ts";
import type { DurableStep, RaftStorage } from "../../src/storage/contract.ts";
import {
  type FoundedDirectory,
  initDataDirectory,
  openDataDirectory,
} from "../../src/storage/data-directory.ts";

/** `count` entries of `term` that follow `previous`. */
export function entriesAfter(
  previous: LogBoundary | undefined,
  options: { readonly count: number; readonly term: number; readonly dataBytes?: number },
): readonly Entry[] {
  const entries: Entry[] = [];
  let last: LogBoundary | undefined = previous;
  for (let i = 0; i < options.count; i++) {
    const index = (last?.index ?? 0) + 1;
    const data = new Uint8Array(options.dataBytes ?? 24).fill((index * 7 + options.term) & 0xff);
    const kind = last?.term === options.term ? "command" : "noop";
    const body = {
      index,
      term: options.term,
      time: 1000 * index,
      kind,
      data: kind === "noop" ? new Uint8Array() : data,
    } as const;
    const entry: Entry = { ...body, chain: chainOf(last?.chain ?? chainStart, body) };
    entries.push(entry);
    last = entry;
  }
  return entries;
}

export function hardState(currentTerm: number, votedFor?: string): HardState {
  return { currentTerm, votedFor };
}

/** A step with what is given; the rest is empty. */
export function stepOf(parts: Partial<DurableStep>): DurableStep {
  return { hardState: undefined, truncateFrom: undefined, entries: [], snapshot: undefined, ...parts };
}

/** Resolves with what the callback was given. */
export function writeStep(storage: RaftStorage, parts: Partial<DurableStep>): Promise<Error | undefined> {
  return new Promise((resolve) => storage.write(stepOf(parts), resolve));
}

export async function mustWrite(storage: RaftStorage, parts: Partial<DurableStep>): Promise<void> {
  const error = await writeStep(storage, parts);
  if (error !== undefined) throw error;
}

/** What remains of an entry that is given up. */
export function boundaryOf(entry: LogBoundary | undefined): LogBoundary {
  if (entry === undefined) throw new Error("there is no such entry");
  const { index, term, time, chain } = entry;
  return { index, term, time, chain };
}

/** Entries compared as plain data: the bytes may be views of different kinds. */
export function plain(entries: readonly Entry[]): readonly unknown[] {
  return entries.map((entry) => ({ ...entry, data: Buffer.from(entry.data).toString("hex") }));
}

export interface TemporaryDirectory {
  readonly path: string;
  remove(): void;
}

export function temporaryDirectory(): TemporaryDirectory {
  const path = mkdtempSync(join(tmpdir(), "holdfast-storage-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const expected = { clusterName: "test", name: "n1" };
export const clusterId = "0123456789abcd";

/** The founding that a directory of `expected` could have; the other two members are made up. */
export function foundingOf(identity: Identity): {
  readonly clusterId: string;
  readonly founders: Readonly<Record<string, string>>;
} {
  return {
    clusterId,
    founders: { n1: identity.incarnation, n2: "2".repeat(32), n3: "3".repeat(32) },
  };
}

/** Runs init and founding at `path`, which must not exist or be empty. */
export async function foundAt(path: string): Promise<FoundedDirectory> {
  initDataDirectory({ path, ...expected });
  const opened = await openDataDirectory({ path, expect: expected });
  if (opened.kind !== "new") throw new Error("a fresh directory is new");
  return opened.found(foundingOf(opened.identity));
}

/** Opens a directory that must be founded. */
export async function reopenAt(path: string): Promise<RaftStorage> {
  const opened = await openDataDirectory({ path, expect: expected });
  if (opened.kind !== "founded") throw new Error("the directory is founded");
  return opened.storage;
}
