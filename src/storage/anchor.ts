/**
 * The anchor: a small file beside the database that remembers how far this node has gone (its durable step, term and
 * vote), so that a database which silently went back is found out. It holds no entry and is never read after the start.
 * Measured reason: one flipped bit in a length field makes LevelDB open with a third of its synced batches gone.
 *
 * Two slots of one sector, 4096 bytes apart, written in turn; the newest valid one counts, so a torn write costs the
 * newest slot only. Opened O_DSYNC: a write that returned is on disk.
 *
 *   offset 0  u32  "HFan"         8  f64  sequence (parity = slot)    24  f64  step     40  strings …, each u16 length
 *          4  u16  format, 1     16  f64  term                        32  0             508 u32  CRC-32 of the 508 before
 *          6  u16  0                                                  strings: clusterId, memberId, vote ("" = none)
 */
import { closeSync, constants, fsyncSync, openSync, readSync, write } from "node:fs";
import { assert, assertInteger } from "../base/assert.ts";
import { crc32 } from "../base/hash.ts";
import { DecodeError, safeInteger } from "../codec/entry.ts";
import type { MemberId, Term } from "../raft/types.ts";
import { DamageError, NewerFormatError } from "./failure.ts";
import { replaceFile } from "./files.ts";

/** Invariant: cluster and member never change; step grows, term never falls. */
export interface AnchorState {
  readonly clusterId: string;
  readonly memberId: MemberId;
  readonly term: Term;
  readonly vote: MemberId | undefined;
  readonly step: number;
}

/**
 * 1. `write` replaces the state; its callback runs once that is durable, or with an error.
 * 2. One write at a time; a second call before the callback throws.
 * 3. After an error every later write fails with it.
 */
export interface AnchorFile {
  /** The newest state known to be durable. */
  readonly state: AnchorState;
  write(state: AnchorState, done: (error: Error | undefined) => void): void;
  /** Not while a write is under way. May be called twice. */
  close(): void;
}

export const anchorFileName = "anchor";
/** Names longer than this in UTF-8 do not fit a slot; the configuration must refuse them. */
export const nameBytesMax = 128;

const magic = 0x6e614648;
const anchorFormat = 1;
const slotBytes = 512;
const slotSpacing = 4096;
const headerBytes = 40;
const crcOffset = slotBytes - 4;

/** Makes the file anew, with `state` in both slots, durably. Replaces one that is there. Throws the system's error. */
export function createAnchorFile(path: string, state: AnchorState): AnchorFile {
  const bytes = new Uint8Array(slotSpacing + slotBytes);
  bytes.set(encodeSlot(state, 0), 0);
  bytes.set(encodeSlot(state, 1), slotSpacing);
  replaceFile(path, bytes);
  return openAnchorFile(path);
}

/** Throws DamageError when no slot is valid, NewerFormatError, or the system's error (ENOENT when there is none). */
export function openAnchorFile(path: string): AnchorFile {
  const file = openSync(path, constants.O_RDWR | synchronous);
  try {
    const slots = [readSlot(file, 0), readSlot(file, 1)].filter((slot) => slot !== undefined);
    const newest = slots.sort((a, b) => b.sequence - a.sequence)[0];
    if (newest === undefined) throw new DamageError("neither slot of the anchor is valid");
    return new SlotFile(file, newest);
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

interface Slot {
  readonly sequence: number;
  readonly state: AnchorState;
}

/** Where the system has no O_DSYNC (Windows), every write is followed by an fsync. */
const synchronous: number = constants.O_DSYNC ?? 0;

class SlotFile implements AnchorFile {
  readonly #file: number;
  #newest: Slot;
  #writing = false;
  #closed = false;
  #failure: Error | undefined;

  constructor(file: number, newest: Slot) {
    this.#file = file;
    this.#newest = newest;
  }

  get state(): AnchorState {
    return this.#newest.state;
  }

  write(state: AnchorState, done: (error: Error | undefined) => void): void {
    assert(!this.#writing, "one anchor write at a time");
    assert(!this.#closed, "the anchor is open");
    assert(state.step >= this.state.step && state.term >= this.state.term, "the anchor never goes back", {
      from: this.state,
      to: state,
    });
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      queueMicrotask(() => done(failure));
      return;
    }
    this.#writing = true;
    const next: Slot = { sequence: this.#newest.sequence + 1, state };
    const position = (next.sequence % 2) * slotSpacing;
    write(this.#file, encodeSlot(state, next.sequence), 0, slotBytes, position, (error, written) => {
      this.#writing = false;
      this.#failure = error ?? this.#finish(written);
      if (this.#failure === undefined) this.#newest = next;
      done(this.#failure);
    });
  }

  #finish(written: number): Error | undefined {
    if (written !== slotBytes) return new Error(`the anchor took ${written} of ${slotBytes} bytes`);
    if (synchronous !== 0) return undefined;
    try {
      fsyncSync(this.#file);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  close(): void {
    if (this.#closed) return;
    assert(!this.#writing, "no anchor write is under way at close");
    this.#closed = true;
    closeSync(this.#file);
  }
}

function encodeSlot(state: AnchorState, sequence: number): Uint8Array {
  assertInteger(state.term, "anchor term");
  assertInteger(state.step, "anchor step", 1);
  const bytes = new Uint8Array(slotBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint16(4, anchorFormat, true);
  view.setFloat64(8, sequence, true);
  view.setFloat64(16, state.term, true);
  view.setFloat64(24, state.step, true);
  let offset = headerBytes;
  for (const text of [state.clusterId, state.memberId, state.vote ?? ""]) {
    const encoded = new TextEncoder().encode(text);
    assert(offset + 2 + encoded.length <= crcOffset, "the anchor's names fit its slot", { text });
    view.setUint16(offset, encoded.length, true);
    bytes.set(encoded, offset + 2);
    offset += 2 + encoded.length;
  }
  view.setUint32(crcOffset, crc32(bytes, 0, crcOffset), true);
  return bytes;
}

/** The slot at `position`, or undefined when it is torn, flipped, missing or belongs to the other place. */
function readSlot(file: number, place: 0 | 1): Slot | undefined {
  const bytes = new Uint8Array(slotBytes);
  if (readSync(file, bytes, 0, slotBytes, place * slotSpacing) !== slotBytes) return undefined;
  const view = new DataView(bytes.buffer);
  if (view.getUint32(crcOffset, true) !== crc32(bytes, 0, crcOffset)) return undefined;
  if (view.getUint32(0, true) !== magic) return undefined;
  if (view.getUint16(4, true) !== anchorFormat) {
    throw new NewerFormatError(`the anchor has format ${view.getUint16(4, true)}, known is ${anchorFormat}`);
  }
  try {
    const slot = decodeSlot(bytes, view);
    return slot.sequence % 2 === place ? slot : undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function decodeSlot(bytes: Uint8Array, view: DataView): Slot {
  let offset = headerBytes;
  const text = (): string => {
    const length = view.getUint16(offset, true);
    const start = offset + 2;
    if (start + length > crcOffset) throw new DecodeError("a name leaves the slot");
    offset = start + length;
    return new TextDecoder().decode(bytes.subarray(start, offset));
  };
  const sequence = safeInteger(view.getFloat64(8, true), "sequence", 0);
  const term = safeInteger(view.getFloat64(16, true), "term", 0);
  const step = safeInteger(view.getFloat64(24, true), "step", 1);
  const clusterId = text();
  const memberId = text();
  const vote = text();
  return { sequence, state: { clusterId, memberId, term, vote: vote === "" ? undefined : vote, step } };
}
