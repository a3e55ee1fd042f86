/**
 * Reads LevelDB's own append-only files (`*.log`, `MANIFEST-*`) before LevelDB does, because it skips what it cannot
 * read and then deletes the file: a flipped length near the end opens with the rest missing and not a word about it.
 * Only looks; decides "torn" or "damaged" by one fact: every batch is synced before the next one begins, so a batch
 * that begins after an unreadable place proves that what stood there had been acknowledged.
 *
 * Format: blocks of 32 KiB; records of u32 masked CRC-32C (of type and payload), u16 length, u8 type (1 whole,
 * 2 first, 3 middle, 4 last), payload; no record crosses a block, fewer than 7 bytes at its end are left empty.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DamageError, LossError } from "./failure.ts";

/** Names of the files whose end is torn: what an ordinary crash in the middle of a write leaves. */
export type TornFiles = readonly string[];

/**
 * Throws DamageError when a batch is unreadable that was acknowledged, LossError when there is no write-ahead log at
 * all (LevelDB always has one, and opens without it in silence), or the system's error.
 */
export function checkLevelLogs(path: string): TornFiles {
  const names = readdirSync(path).sort();
  const logs = names.filter((name) => /^\d+\.log$/.test(name));
  if (names.includes("CURRENT") && logs.length === 0)
    throw new LossError("the store's write-ahead log has gone");
  const torn: string[] = [];
  for (const name of [...names.filter((other) => other.startsWith("MANIFEST-")), ...logs]) {
    const scan = scanLevelLog(readFileSync(join(path, name)));
    const isLog = name.endsWith(".log");
    const before = torn.find((other) => other.endsWith(".log"));
    if (isLog && scan.batches > 0 && before !== undefined) {
      throw new DamageError(`${before} ends in an unreadable batch, but ${name} goes on`);
    }
    if (scan.kind === "damaged")
      throw new DamageError(`${name} is unreadable at byte ${scan.at}, but goes on later`);
    if (scan.kind === "torn") torn.push(name);
  }
  return torn;
}

/** `batches`: how many begin before the unreadable place. */
export type LevelLogScan =
  | { readonly kind: "whole"; readonly batches: number }
  /** Unreadable from `at` on, and no batch begins after it. */
  | { readonly kind: "torn"; readonly batches: number; readonly at: number }
  /** Unreadable at `at`, and a batch begins after it. */
  | { readonly kind: "damaged"; readonly batches: number; readonly at: number };

export function scanLevelLog(bytes: Uint8Array): LevelLogScan {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let batches = 0;
  let start: number | undefined;
  let at = 0;
  while (at < bytes.length) {
    if (blockEnd(at) - at < headerBytes) {
      at = blockEnd(at);
      continue;
    }
    const record = readRecord(view, at);
    if (record === undefined || record.begins === (start !== undefined)) {
      const from = start ?? at;
      const goesOn = record?.begins === true || batchBeginsAfter(view, at);
      return { kind: goesOn ? "damaged" : "torn", batches, at: from };
    }
    if (record.begins) start = at;
    if (record.ends) {
      start = undefined;
      batches++;
    }
    at = record.next;
  }
  return start === undefined ? { kind: "whole", batches } : { kind: "torn", batches, at: start };
}

const blockBytes = 32768;
const headerBytes = 7;

interface LogRecord {
  readonly begins: boolean;
  readonly ends: boolean;
  readonly next: number;
}

function blockEnd(at: number): number {
  return at - (at % blockBytes) + blockBytes;
}

/** The record at `at`, or undefined when there is no valid one. */
function readRecord(view: DataView, at: number): LogRecord | undefined {
  const end = Math.min(blockEnd(at), view.byteLength);
  if (at + headerBytes > end) return undefined;
  const next = at + headerBytes + view.getUint16(at + 4, true);
  const type = view.getUint8(at + 6);
  if (type < 1 || type > 4 || next > end) return undefined;
  if (view.getUint32(at, true) !== maskedCrc(view, at + 6, next)) return undefined;
  return { begins: type <= 2, ends: type === 1 || type === 4, next };
}

/** Looks at every byte of the block at hand (the length that leads on may be the flipped one), then block by block. */
function batchBeginsAfter(view: DataView, at: number): boolean {
  for (let probe = at + 1; probe < Math.min(blockEnd(at), view.byteLength); probe++) {
    if (readRecord(view, probe)?.begins === true) return true;
  }
  for (let block = blockEnd(at); block < view.byteLength; block += blockBytes) {
    for (let record = readRecord(view, block); record !== undefined; record = readRecord(view, record.next)) {
      if (record.begins) return true;
      if (record.next === blockEnd(block)) break;
    }
  }
  return false;
}

const castagnoli = buildTable();

function buildTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[byte] = crc >>> 0;
  }
  return table;
}

/** CRC-32C of `view[start, end)`, rotated and shifted as LevelDB stores it. */
function maskedCrc(view: DataView, start: number, end: number): number {
  let crc = 0xffffffff;
  for (let i = start; i < end; i++) {
    crc = (crc >>> 8) ^ (castagnoli[(crc ^ view.getUint8(i)) & 0xff] as number);
  }
  crc = (crc ^ 0xffffffff) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
