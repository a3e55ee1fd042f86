/**
 * A snapshot as bytes (Raft §5): the place in the log that it stands for, the records of the state, and what proves that
 * all of them are there. Written and read in pieces; neither side ever holds the whole.
 *
 *   file   = header chunk, record chunks, trailer chunk
 *   chunk  = u32 payload length │ u8 kind │ payload │ u32 sum
 *   header, trailer: a positional msgpack array;   records: ( u32 length │ record )…
 *
 * Little-endian. The sum is the CRC-32 of all bytes of the file up to it, without the sums: no chunk can be lost, doubled
 * or moved without being noticed at the next one. Pure: files, fsync and names are the storage's.
 */
import { assert } from "../base/assert.ts";
import { crc32 } from "../base/hash.ts";
import type { ImageRecord } from "../locks/image.ts";
import type { LogBoundary, MemberId } from "../raft/types.ts";
import { DecodeError, safeInteger } from "./entry.ts";
import { decodeImageRecord, encodeImageRecord } from "./image.ts";
import { type Plain, packPlain, unpackPlain } from "./msgpack.ts";

export const snapshotFormat = 1;
/** Of the lock machine: a snapshot of a later one is not read. */
export const machineVersion = 1;

/** What a snapshot stands for: all entries up to `last`, applied. */
export interface SnapshotHeader {
  readonly clusterId: string;
  /** The last entry that it covers. */
  readonly last: LogBoundary;
  /** The configuration in force there (S2). */
  readonly voters: readonly MemberId[];
}

export interface SnapshotTrailer {
  readonly records: number;
  /** Of the state that was written (`locks/canonical.ts`). */
  readonly stateHash: string;
}

const magic = "holdfast-snapshot";
const kinds = ["header", "records", "trailer"] as const;
type ChunkKind = (typeof kinds)[number];

const chunkHeadBytes = 5;
const sumBytes = 4;
const lengthBytes = 4;
/** A chunk is closed when it holds so much: what one turn of a reader handles. */
const payloadTarget = 64 * 1024;
/** One record may be larger than that, never than this. */
const payloadMax = 8 * 1024 * 1024;
const votersMax = 64;

// ---- to bytes ------------------------------------------------------------------------------------------------------

/** Call `begin`, `add` for each record, `end`; write what they return one after the other. */
export class SnapshotEncoder {
  #sum = 0;
  #records = 0;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  begin({ clusterId, last, voters }: SnapshotHeader): Uint8Array {
    const { index, term, time, chain } = last;
    const fields = [magic, snapshotFormat, machineVersion, clusterId, index, term, time, chain, [...voters]];
    return this.#chunk("header", packPlain(fields));
  }

  /** A chunk to write, when one is full. */
  add(record: ImageRecord): Uint8Array | undefined {
    // The packer's buffer is used again for the next record.
    const bytes = encodeImageRecord(record).slice();
    this.#pending.push(bytes);
    this.#pendingBytes += lengthBytes + bytes.length;
    this.#records++;
    return this.#pendingBytes < payloadTarget ? undefined : this.#flush();
  }

  end(stateHash: string): readonly Uint8Array[] {
    const rest = this.#pending.length > 0 ? [this.#flush()] : [];
    return [...rest, this.#chunk("trailer", packPlain([this.#records, stateHash]))];
  }

  #flush(): Uint8Array {
    const payload = new Uint8Array(this.#pendingBytes);
    const view = new DataView(payload.buffer);
    let at = 0;
    for (const bytes of this.#pending) {
      view.setUint32(at, bytes.length, true);
      payload.set(bytes, at + lengthBytes);
      at += lengthBytes + bytes.length;
    }
    this.#pending = [];
    this.#pendingBytes = 0;
    return this.#chunk("records", payload);
  }

  #chunk(kind: ChunkKind, payload: Uint8Array): Uint8Array {
    assert(payload.length <= payloadMax, "a chunk of a snapshot is bounded", { kind, bytes: payload.length });
    const chunk = new Uint8Array(chunkHeadBytes + payload.length + sumBytes);
    const view = new DataView(chunk.buffer);
    view.setUint32(0, payload.length, true);
    view.setUint8(4, kinds.indexOf(kind));
    chunk.set(payload, chunkHeadBytes);
    this.#sum = crc32(chunk, 0, chunk.length - sumBytes, this.#sum);
    view.setUint32(chunk.length - sumBytes, this.#sum, true);
    return chunk;
  }
}

// ---- from bytes ----------------------------------------------------------------------------------------------------

export interface SnapshotSink {
  header(header: SnapshotHeader): void;
  /** In their order; whether they make a state is for the sink. */
  record(record: ImageRecord): void;
}

/** Takes the file in pieces of any size and hands on what is proven by then. Throws DecodeError; then it is of no use. */
export class SnapshotDecoder {
  readonly #sink: SnapshotSink;
  /** Bytes that do not make a whole chunk yet. */
  #rest: Uint8Array = new Uint8Array(0);
  #sum = 0;
  #records = 0;
  #isBegun = false;
  #trailer: SnapshotTrailer | undefined;

  constructor(sink: SnapshotSink) {
    this.#sink = sink;
  }

  add(piece: Uint8Array): void {
    let bytes = piece;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + piece.length);
      bytes.set(this.#rest);
      bytes.set(piece, this.#rest.length);
    }
    let at = 0;
    for (let next = this.#chunkAt(bytes, at); next > 0; next = this.#chunkAt(bytes, at)) at += next;
    // A copy: the caller may use its buffer again.
    this.#rest = bytes.slice(at);
  }

  /** Throws DecodeError when anything is missing. */
  end(): SnapshotTrailer {
    if (this.#trailer === undefined) throw new DecodeError("snapshot ends before its trailer");
    if (this.#rest.length > 0) throw new DecodeError("bytes after the snapshot's trailer");
    return this.#trailer;
  }

  /** Reads the chunk at `at` and returns its length; 0 when it is not all there. */
  #chunkAt(bytes: Uint8Array, at: number): number {
    const left = bytes.length - at;
    if (left < chunkHeadBytes) return 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, left);
    const payloadBytes = view.getUint32(0, true);
    if (payloadBytes > payloadMax)
      throw new DecodeError(`snapshot chunk of ${payloadBytes} bytes is too large`);
    const length = chunkHeadBytes + payloadBytes + sumBytes;
    if (left < length) return 0;
    this.#sum = crc32(bytes, at, at + length - sumBytes, this.#sum);
    if (view.getUint32(length - sumBytes, true) !== this.#sum)
      throw new DecodeError("snapshot has a wrong sum");
    const payload = bytes.subarray(at + chunkHeadBytes, at + length - sumBytes);
    this.#take(kinds[view.getUint8(4)], payload);
    return length;
  }

  #take(kind: ChunkKind | undefined, payload: Uint8Array): void {
    if (this.#trailer !== undefined) throw new DecodeError("a chunk after the snapshot's trailer");
    if ((kind === "header") === this.#isBegun)
      throw new DecodeError("a snapshot has one header, at its beginning");
    switch (kind) {
      case "header":
        this.#isBegun = true;
        this.#sink.header(readHeader(payload));
        return;
      case "records":
        this.#takeRecords(payload);
        return;
      case "trailer":
        this.#trailer = readTrailer(payload);
        if (this.#trailer.records !== this.#records)
          throw new DecodeError(`snapshot of ${this.#records} records counts ${this.#trailer.records}`);
        return;
      default:
        throw new DecodeError("snapshot chunk of an unknown kind");
    }
  }

  #takeRecords(payload: Uint8Array): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    let at = 0;
    while (at < payload.length) {
      if (payload.length - at < lengthBytes) throw new DecodeError("snapshot record without a length");
      const length = view.getUint32(at, true);
      at += lengthBytes;
      if (length > payload.length - at) throw new DecodeError("snapshot record is longer than its chunk");
      this.#records++;
      this.#sink.record(decodeImageRecord(payload.subarray(at, at + length)));
      at += length;
    }
  }
}

function readHeader(payload: Uint8Array): SnapshotHeader {
  const fields = listOf(unpackPlain(payload), "header", 9);
  const [name, format, machine, clusterId, index, term, time, chain, voters] = fields;
  if (name !== magic) throw new DecodeError("this is no snapshot");
  if (format !== snapshotFormat) throw new DecodeError(`snapshot format ${String(format)} is unknown`);
  if (machine !== machineVersion) throw new DecodeError(`state machine ${String(machine)} is unknown`);
  return {
    clusterId: textOf(clusterId, "cluster id"),
    last: {
      index: safeInteger(index, "index", 1),
      term: safeInteger(term, "term", 1),
      time: safeInteger(time, "time", 0),
      chain: safeInteger(chain, "chain", 0),
    },
    voters: readVoters(voters),
  };
}

function readVoters(value: Plain | undefined): readonly MemberId[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > votersMax)
    throw new DecodeError("a snapshot names its voters");
  const voters = value.map((voter) => textOf(voter, "voter"));
  if (new Set(voters).size !== voters.length) throw new DecodeError("a voter is named twice");
  return voters;
}

function readTrailer(payload: Uint8Array): SnapshotTrailer {
  const [records, stateHash] = listOf(unpackPlain(payload), "trailer", 2);
  const hash = textOf(stateHash, "state hash");
  if (!/^[0-9a-f]{14}$/.test(hash)) throw new DecodeError("a state hash has 14 hex digits");
  return { records: safeInteger(records, "records", 0), stateHash: hash };
}

function listOf(value: Plain, what: string, length: number): readonly Plain[] {
  if (!Array.isArray(value) || value.length !== length)
    throw new DecodeError(`snapshot ${what} is no array of ${length}`);
  return value;
}

function textOf(value: Plain | undefined, what: string): string {
  if (typeof value !== "string" || value === "" || value.length > 256)
    throw new DecodeError(`snapshot's ${what} is no text`);
  return value;
}
