/**
 * A member's snapshots: when one is made, passing its bytes to a follower that was offered it, and fetching one that this
 * member was offered itself (Raft §5). What is given up and what is installed is the core's decision; the driver carries
 * it out. Holds at most one file being made and one being fetched; a part is asked for only when the one before is written.
 *
 *   applied ─▶ enough of the log since the last one ─▶ made, durable ─▶ taken ─▶ the core gives up entries
 *   offered ─▶ fetched part by part, read as it comes ─▶ whole, durable ─▶ fetched ─▶ the core installs it, or needs it no more
 */
import { assert } from "../base/assert.ts";
import { createHasher } from "../base/hash.ts";
import { entryBytes } from "../codec/entry.ts";
import type { SnapshotPart, SnapshotRequest } from "../codec/message.ts";
import type { Entry, LogBoundary, LogIndex, MemberId } from "../raft/types.ts";
import type { SnapshotFiles, UnfinishedFile } from "../storage/contract.ts";
import type { EntrySource, MadeSnapshot, SnapshotMaker } from "./snapshot-maker.ts";
import {
  type LoadedSnapshot,
  readPieces,
  SnapshotDamage,
  SnapshotReader,
  type SnapshotScope,
  tried,
} from "./snapshot-reader.ts";

/** What happened, for logs and traces. */
export type SnapshotEvent =
  | { readonly kind: "snapshot-begun"; readonly index: LogIndex; readonly entries: number }
  | { readonly kind: "snapshot-made"; readonly index: LogIndex; readonly bytes: number; readonly ms: number }
  | { readonly kind: "snapshot-dropped"; readonly index: LogIndex; readonly why: string }
  /** `have`: bytes that an earlier transfer left. */
  | {
      readonly kind: "fetch-begun";
      readonly index: LogIndex;
      readonly from: MemberId;
      readonly have: number;
    }
  | { readonly kind: "fetch-done"; readonly index: LogIndex; readonly bytes: number; readonly ms: number }
  | { readonly kind: "fetch-dropped"; readonly index: LogIndex; readonly why: string };

export interface SnapshotsOptions {
  readonly scope: SnapshotScope;
  readonly files: SnapshotFiles;
  readonly maker: SnapshotMaker;
  readonly self: MemberId;
  /** Bytes of applied entries after which a snapshot is made. */
  readonly everyBytes: number;
  /** Of a file in one answer. */
  readonly partBytes: number;
  /** A request without an answer is repeated after so many ticks. */
  readonly patienceTicks: number;
  readonly host: SnapshotsHost;
}

/** The driver, as this part sees it. */
export interface SnapshotsHost {
  monotonicMs(): number;
  send(to: MemberId, message: SnapshotRequest | SnapshotPart): void;
  trace(event: SnapshotEvent): void;
  /** Entries from `from` to `to`, about so many bytes of them, at least one; undefined when they are not held any more. */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] | undefined;
  taken(last: LogBoundary): void;
  fetched(loaded: LoadedSnapshot): void;
  /** Runs a completion; a broken invariant in it must end the process. */
  guard(input: () => void): void;
  storageFailed(error: Error): void;
}

interface Fetch {
  readonly last: LogBoundary;
  readonly reader: SnapshotReader;
  readonly beganMs: number;
  /** Who offered it last. */
  from: MemberId;
  /** Undefined until it is open and what it held is read. */
  file: UnfinishedFile | undefined;
  /** Ticks since the part that is missing was asked for; undefined while its file is worked on: then it cannot be left. */
  askedTicks: number | undefined;
  /** Ticks since it was offered. */
  offeredTicks: number;
}

/** Entries that are handed to the maker at once. */
const feedBytes = 128 * 1024;
/** Offers come with every heartbeat: after so many patiences without one the transfer is left alone. */
const offerPatience = 8;

export class Snapshots {
  readonly #o: SnapshotsOptions;
  /** Of the newest snapshot that this member has. */
  #newest: LogBoundary | undefined;
  /** Bytes of entries that were applied behind it. */
  #bytesBehind = 0;
  /** A snapshot is made when there are so many. */
  #threshold: number;
  /** The one that is being made. */
  #making: { readonly last: LogBoundary; isCalledOff: boolean } | undefined;
  #fetch: Fetch | undefined;
  #isStopped = false;

  constructor(options: SnapshotsOptions, newest: LogBoundary | undefined) {
    this.#o = options;
    this.#newest = newest;
    this.#threshold = this.#nextThreshold();
  }

  /** Up to a quarter more, by member and snapshot: those who apply the same entries do not all write at the same time. */
  #nextThreshold(): number {
    const { self, everyBytes } = this.#o;
    const hash = createHasher()
      .text(self)
      .uint(this.#newest?.index ?? 0)
      .digest();
    return everyBytes * (1 + hash / 2 ** 55);
  }

  stop(): void {
    this.#isStopped = true;
  }

  // ---- making --------------------------------------------------------------------------------------------------------

  noteApplied(entry: Entry): void {
    this.#bytesBehind += entryBytes(entry);
  }

  /** `last`: of the last entry that was applied. */
  maybeMake(last: () => LogBoundary): void {
    if (this.#bytesBehind >= this.#threshold && this.#making === undefined) this.#make(last());
  }

  #make(last: LogBoundary): void {
    const { scope, maker, host } = this.#o;
    const base = this.#newest?.index ?? 0;
    if (last.index <= base) return;
    const making = { last, isCalledOff: false };
    this.#making = making;
    const bytesBefore = this.#bytesBehind;
    const beganMs = host.monotonicMs();
    host.trace({ kind: "snapshot-begun", index: last.index, entries: last.index - base });
    const entries: EntrySource = (from, take) =>
      take(making.isCalledOff || this.#isStopped ? undefined : host.entries(from, last.index, feedBytes));
    maker.make({ base, header: { ...scope, last } }, entries, (made) =>
      this.#run(() => {
        this.#making = undefined;
        if (made.kind === "failed") return host.storageFailed(made.error);
        // It is tried again when as much has come once more; the log's own bound refuses writes if it never succeeds.
        this.#threshold = this.#nextThreshold() + (made.kind === "made" ? 0 : this.#bytesBehind);
        if (made.kind !== "made" || making.isCalledOff)
          return host.trace({ kind: "snapshot-dropped", index: last.index, why: whyOf(made) });
        this.#newest = last;
        this.#bytesBehind -= bytesBefore;
        const ms = Math.round(host.monotonicMs() - beganMs);
        host.trace({ kind: "snapshot-made", index: last.index, bytes: made.bytes, ms });
        host.taken(last);
      }),
    );
  }

  /** Completions of files and of the maker come here; none is heard after the stop. */
  #run(completion: () => void): void {
    if (!this.#isStopped) this.#o.host.guard(completion);
  }

  /** A fetched snapshot took the place of what was applied: one that is being made is of a log that is gone. */
  noteInstalled(last: LogBoundary): void {
    if (this.#making !== undefined) this.#making.isCalledOff = true;
    this.#newest = last;
    this.#bytesBehind = 0;
    this.#threshold = this.#nextThreshold();
  }

  /** A durable step gave up the entries up to here: snapshots before that are not needed. */
  noteBoundary(boundary: LogIndex): void {
    this.#o.files.keepOnly(boundary, Number.MAX_SAFE_INTEGER, (error) => {
      if (error !== undefined) this.#run(() => this.#o.host.storageFailed(error));
    });
  }

  // ---- passing on ----------------------------------------------------------------------------------------------------

  handleRequest(from: MemberId, { index, offset }: SnapshotRequest): void {
    const { files, host, partBytes } = this.#o;
    files.read(index, offset, partBytes, (error, piece) =>
      this.#run(() => {
        if (error !== undefined) return host.storageFailed(error);
        const { bytes, total } = piece ?? { bytes: new Uint8Array(0), total: 0 };
        host.send(from, { kind: "snapshot-part", index, offset, total, bytes });
      }),
    );
  }

  // ---- fetching ------------------------------------------------------------------------------------------------------

  tick(): void {
    const fetch = this.#fetch;
    if (fetch === undefined) return;
    fetch.offeredTicks++;
    if (fetch.askedTicks === undefined) return;
    const { patienceTicks } = this.#o;
    if (fetch.offeredTicks > offerPatience * patienceTicks)
      return this.#dropFetch("keep", "nobody offers it any more");
    if (++fetch.askedTicks >= patienceTicks) this.#ask(fetch);
  }

  /** The core wants this snapshot; said again with every heartbeat. */
  offer(from: MemberId, last: LogBoundary): void {
    const fetch = this.#fetch;
    if (fetch !== undefined) {
      if (fetch.last.index === last.index) {
        fetch.from = from;
        fetch.offeredTicks = 0;
        return;
      }
      // What cannot be left now is either done soon or left at the next offer.
      if (fetch.askedTicks === undefined) return;
      this.#dropFetch("remove", "another one is offered");
    }
    this.#begin(from, last);
  }

  #begin(from: MemberId, last: LogBoundary): void {
    const { files, scope, host } = this.#o;
    const reader = new SnapshotReader(scope, last.index);
    const beganMs = host.monotonicMs();
    const waiting = { file: undefined, askedTicks: undefined, offeredTicks: 0 };
    const fetch: Fetch = { last, reader, beganMs, from, ...waiting };
    this.#fetch = fetch;
    files.create(last.index, "fetched", (error, file) =>
      this.#run(() => {
        if (error !== undefined || file === undefined)
          return host.storageFailed(error ?? new Error("no file"));
        host.trace({ kind: "fetch-begun", index: last.index, from: fetch.from, have: file.bytes });
        this.#readHeld(fetch, file);
      }),
    );
  }

  /** What an earlier transfer left is read like what comes. */
  #readHeld(fetch: Fetch, file: UnfinishedFile): void {
    if (file.bytes === 0) return this.#opened(fetch, file);
    readPieces(fetch.reader, file.read.bind(file), (result) =>
      this.#run(() => {
        if (result.kind === "failed") return this.#o.host.storageFailed(result.error);
        if (result.kind === "read") return this.#opened(fetch, file);
        fetch.file = file;
        this.#dropFetch("remove", `what an earlier transfer left is damaged: ${result.why}`);
      }),
    );
  }

  #opened(fetch: Fetch, file: UnfinishedFile): void {
    fetch.file = file;
    this.#ask(fetch);
  }

  #ask(fetch: Fetch): void {
    const { file, from, last } = fetch;
    if (file === undefined) return;
    fetch.askedTicks = 0;
    this.#o.host.send(from, { kind: "snapshot-request", index: last.index, offset: file.bytes });
  }

  handlePart(part: SnapshotPart): void {
    const fetch = this.#fetch;
    const file = fetch?.file;
    if (fetch === undefined || file === undefined || fetch.askedTicks === undefined) return;
    // A copy, or an answer to an older question.
    if (part.index !== fetch.last.index || part.offset !== file.bytes) return;
    // Whoever led has given it up; the next offer names another one.
    if (part.total === 0) return this.#dropFetch("keep", "it is not there any more");
    if (part.bytes.length === 0) return this.#complete(fetch, file);
    const damage = tried(() => fetch.reader.add(part.bytes));
    if (damage instanceof SnapshotDamage) return this.#dropDamaged(damage);
    fetch.askedTicks = undefined;
    file.append(part.bytes, (error) =>
      this.#run(() => {
        if (error !== undefined) return this.#o.host.storageFailed(error);
        assert(this.#fetch === fetch, "a transfer is not left while its file is worked on");
        if (file.bytes >= part.total) return this.#complete(fetch, file);
        this.#ask(fetch);
      }),
    );
  }

  /** All of it came: only when it proves to be whole, and is durable, may the core rely on it. */
  #complete(fetch: Fetch, file: UnfinishedFile): void {
    const { host } = this.#o;
    const loaded = tried(() => fetch.reader.end());
    if (loaded instanceof SnapshotDamage) return this.#dropDamaged(loaded);
    fetch.askedTicks = undefined;
    const { bytes } = file;
    file.finish((error) =>
      this.#run(() => {
        if (error !== undefined) return host.storageFailed(error);
        this.#fetch = undefined;
        const ms = Math.round(host.monotonicMs() - fetch.beganMs);
        host.trace({ kind: "fetch-done", index: fetch.last.index, bytes, ms });
        host.fetched(loaded);
      }),
    );
  }

  #dropDamaged({ message }: SnapshotDamage): void {
    this.#dropFetch("remove", `what came is damaged: ${message}`);
  }

  /** Only while nothing is done with its file. */
  #dropFetch(how: "keep" | "remove", why: string): void {
    const fetch = this.#fetch;
    if (fetch?.file === undefined) return;
    this.#fetch = undefined;
    this.#o.host.trace({ kind: "fetch-dropped", index: fetch.last.index, why });
    fetch.file.abandon(how, (error) => {
      if (error !== undefined) this.#run(() => this.#o.host.storageFailed(error));
    });
  }
}

function whyOf(made: Exclude<MadeSnapshot, { kind: "failed" }>): string {
  if (made.kind === "interrupted") return made.why;
  return "another one was installed meanwhile";
}
