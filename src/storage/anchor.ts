/**
 * The anchor: a small file beside the database that remembers how far this node has gone (its durable step, term and
 * vote), so that a database which silently went back is found out. It holds no entry and is never read after the start.
 * Measured reason: one flipped bit in a length field makes LevelDB open with a third of its synced batches gone.
 * Its bytes are `anchor-slots.ts`. Opened O_DSYNC: a write that returned is on disk.
 */
import { closeSync, constants, fsyncSync, openSync, readFileSync, write } from "node:fs";
import {
  type AnchorFile,
  type AnchorState,
  encodeAnchor,
  openAnchor,
  type SlotDevice,
} from "./anchor-slots.ts";
import { replaceFile } from "./files.ts";

export const anchorFileName = "anchor";
/** Names longer than this in UTF-8 do not fit a slot; the configuration must refuse them. */
export const nameBytesMax = 128;

/** Makes the file anew, with `state` in both slots, durably. Replaces one that is there. Throws the system's error. */
export function createAnchorFile(path: string, state: AnchorState): AnchorFile {
  replaceFile(path, encodeAnchor(state));
  return openAnchorFile(path);
}

/** Throws DamageError when no slot is valid, NewerFormatError, or the system's error (ENOENT when there is none). */
export function openAnchorFile(path: string): AnchorFile {
  const file = openSync(path, constants.O_RDWR | synchronous);
  try {
    return openAnchor(readFileSync(path), deviceOf(file));
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** Where the system has no O_DSYNC (Windows), every write is followed by an fsync. */
const synchronous: number = constants.O_DSYNC ?? 0;

function deviceOf(file: number): SlotDevice {
  return {
    write: (bytes, position, done) => {
      write(file, bytes, 0, bytes.length, position, (error, written) => {
        done(error ?? faultOf(written, bytes.length) ?? synced(file));
      });
    },
    defer: queueMicrotask,
    close: () => closeSync(file),
  };
}

function faultOf(written: number, asked: number): Error | undefined {
  return written === asked ? undefined : new Error(`the anchor took ${written} of ${asked} bytes`);
}

function synced(file: number): Error | undefined {
  if (synchronous !== 0) return undefined;
  try {
    fsyncSync(file);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
