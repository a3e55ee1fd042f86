/**
 * The two slots of the anchor, whatever they are written to: their bytes, which one counts, and the writes in turn.
 * The file is `anchor.ts`.
 *
 * Two slots of one sector, 4096 bytes apart, written in turn; the newest valid one counts, so a torn write costs the
 * newest slot only.
 *
 *   offset 0  u32  "HFan"         8  f64  sequence (parity = slot)    24  f64  step     40  strings …, each u16 length
 *          4  u16  format, 1     16  f64  term                        32  0             508 u32  CRC-32 of the 508 before
 *          6  u16  0                                                  strings: clusterId, memberId, vote ("" = none)
 */
import { assert, assertInteger } from "../base/assert.ts";
import { crc32 } from "../base/hash.ts";
import { DecodeError, safeInteger } from "../codec/entry.ts";
import type { MemberId, Term } from "../raft/types.ts";
import { DamageError, NewerFormatError } from "./failure.ts";

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

/** Where the slots are written. A write that called `done` without an error is on the disk. */
export interface SlotDevice {
  write(bytes: Uint8Array, position: number, done: (error: Error | undefined) => void): void;
  /** Runs `run` after the events that are at hand now. */
  defer(run: () => void): void;
  close(): void;
}

const magic = 0x6e614648;
const anchorFormat = 1;
const slotBytes = 512;
const slotSpacing = 4096;
const headerBytes = 40;
const crcOffset = slotBytes - 4;

/** A file with `state` in both slots. */
export function encodeAnchor(state: AnchorState): Uint8Array {
  const bytes = new Uint8Array(slotSpacing + slotBytes);
  bytes.set(encodeSlot(state, 0), 0);
  bytes.set(encodeSlot(state, 1), slotSpacing);
  return bytes;
}

/** `bytes`: all that the device holds. Throws DamageError when no slot is valid, or NewerFormatError. */
export function openAnchor(bytes: Uint8Array, device: SlotDevice): AnchorFile {
  const slots = [readSlot(bytes, 0), readSlot(bytes, 1)].filter((slot) => slot !== undefined);
  const newest = slots.sort((a, b) => b.sequence - a.sequence)[0];
  if (newest === undefined) throw new DamageError("neither slot of the anchor is valid");
  return new SlotAnchor(device, newest);
}

interface Slot {
  readonly sequence: number;
  readonly state: AnchorState;
}

class SlotAnchor implements AnchorFile {
  readonly #device: SlotDevice;
  #newest: Slot;
  #writing = false;
  #closed = false;
  #failure: Error | undefined;

  constructor(device: SlotDevice, newest: Slot) {
    this.#device = device;
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
      this.#device.defer(() => done(failure));
      return;
    }
    this.#writing = true;
    const next: Slot = { sequence: this.#newest.sequence + 1, state };
    const position = (next.sequence % 2) * slotSpacing;
    this.#device.write(encodeSlot(state, next.sequence), position, (error) => {
      this.#writing = false;
      this.#failure = error;
      if (error === undefined) this.#newest = next;
      done(error);
    });
  }

  close(): void {
    if (this.#closed) return;
    assert(!this.#writing, "no anchor write is under way at close");
    this.#closed = true;
    this.#device.close();
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
    const encoded = encoder.encode(text);
    assert(offset + 2 + encoded.length <= crcOffset, "the anchor's names fit its slot", { text });
    view.setUint16(offset, encoded.length, true);
    bytes.set(encoded, offset + 2);
    offset += 2 + encoded.length;
  }
  view.setUint32(crcOffset, crc32(bytes, 0, crcOffset), true);
  return bytes;
}

const encoder = new TextEncoder();

/** The slot at its place, or undefined when it is torn, flipped, missing or belongs to the other place. */
function readSlot(file: Uint8Array, place: 0 | 1): Slot | undefined {
  const start = place * slotSpacing;
  const bytes = new Uint8Array(file.subarray(start, start + slotBytes));
  if (bytes.length !== slotBytes) return undefined;
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
