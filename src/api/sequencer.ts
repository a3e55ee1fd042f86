/**
 * Sequencers: what a holder hands to the resource that it uses, so that the resource can tell a current holder from a
 * stale one (Chubby §2.4; SEMANTICS §6). Opaque to clients; printable; at most 1 KB.
 *
 *   hf1.<base64url of clusterId ␊ mode ␊ fence ␊ claimId ␊ name>.<crc of the text before, 8 hex digits>
 *
 * The CRC finds what was cut off or mistyped. It is no signature: a resource trusts who gives it a sequencer as far as
 * it trusts who may talk to it. Pure.
 */
import { crc32 } from "../base/hash.ts";

export interface Sequencer {
  readonly clusterId: string;
  /** How the name is held: a lock in one of its modes, or permits of a semaphore. */
  readonly mode: "exclusive" | "shared" | "permits";
  readonly fence: number;
  readonly claimId: string;
  readonly name: string;
}

/** Bytes of the longest sequencer that is read; those of this version are shorter. */
export const sequencerMax = 1_024;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function encodeSequencer({ clusterId, mode, fence, claimId, name }: Sequencer): string {
  // No field but the last could hold a line break, and names hold no control characters.
  const fields = encoder.encode([clusterId, mode, fence, claimId, name].join("\n"));
  const text = `hf1.${base64url(fields)}`;
  return `${text}.${crcOf(text)}`;
}

/** Undefined when the text is no sequencer. */
export function parseSequencer(text: string): Sequencer | undefined {
  if (text.length > sequencerMax) return undefined;
  const match = /^(hf1\.([A-Za-z0-9_-]+))\.([0-9a-f]{8})$/.exec(text);
  if (match === null || crcOf(match[1] as string) !== match[3]) return undefined;
  const bytes = bytesOf(match[2] as string);
  if (bytes === undefined) return undefined;
  let fields: readonly string[];
  try {
    fields = decoder.decode(bytes).split("\n");
  } catch {
    return undefined;
  }
  const [clusterId = "", mode, digits = "", claimId = "", name = ""] = fields;
  const fence = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  const isWhole = fields.length === 5 && clusterId !== "" && claimId !== "" && name !== "";
  if (!isWhole || !Number.isSafeInteger(fence)) return undefined;
  if (mode !== "exclusive" && mode !== "shared" && mode !== "permits") return undefined;
  const sequencer: Sequencer = { clusterId, mode, fence, claimId, name };
  // One grant has one spelling: a fence with leading zeros is nothing that this version made.
  return encodeSequencer(sequencer) === text ? sequencer : undefined;
}

function crcOf(text: string): string {
  const bytes = encoder.encode(text);
  return crc32(bytes, 0, bytes.length).toString(16).padStart(8, "0");
}

function base64url(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Undefined unless it is what `base64url` makes. */
function bytesOf(text: string): Uint8Array | undefined {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    return base64url(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}
