/**
 * The identity file: which node of which cluster a data directory is. A file of its own, so that no fault of the
 * database can turn a member into another one. Readable by people, never edited by them: it carries its own CRC.
 * It never decides anything; `data-directory.ts` compares it with the rest.
 *
 * JSON whose last property is `crc`: eight hex digits, the CRC-32 of all text before the comma in front of it. That
 * rule holds for every later format too, so a format is believed only when the CRC is right.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { crc32 } from "../base/hash.ts";
import type { Identity, Roster } from "../base/identity.ts";
import { compareText } from "../base/order.ts";
import { DamageError, NewerFormatError } from "./failure.ts";
import { replaceFile } from "./files.ts";

export const identityFileName = "identity.json";
const identityFormat = 1;

/**
 * The identity in `directory`, or undefined when there is no such file.
 * Throws DamageError, NewerFormatError, or the system's error.
 */
export function readIdentity(directory: string): Identity | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(join(directory, identityFileName));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return decodeIdentity(bytes);
}

/** Durable when it returns; a crash leaves the old identity or the new one. Throws the system's error. */
export function writeIdentity(directory: string, identity: Identity): void {
  replaceFile(join(directory, identityFileName), encodeIdentity(identity));
}

export function encodeIdentity(identity: Identity): Uint8Array {
  const founded = identity.state === "founded";
  assert(
    (identity.clusterId !== undefined) === founded && (identity.founders !== undefined) === founded,
    "cluster id and founders are present exactly when founded",
    { state: identity.state },
  );
  const body = JSON.stringify(
    {
      format: identity.format,
      clusterName: identity.clusterName,
      name: identity.name,
      incarnation: identity.incarnation,
      state: identity.state,
      clusterId: identity.clusterId,
      founders: identity.founders === undefined ? undefined : sortedRoster(identity.founders),
    },
    undefined,
    2,
  ).slice(0, -"\n}".length);
  return new TextEncoder().encode(`${body},\n  "crc": "${crcHex(new TextEncoder().encode(body))}"\n}\n`);
}

/** Throws DamageError or NewerFormatError. */
export function decodeIdentity(bytes: Uint8Array): Identity {
  const text = new TextDecoder().decode(bytes);
  const match = /^([^]*),\n {2}"crc": "([0-9a-f]{8})"\n\}\n$/.exec(text);
  if (match === null) throw new DamageError("the identity file does not end in a CRC");
  const body = new TextEncoder().encode(match[1]);
  if (crcHex(body) !== match[2]) throw new DamageError("the identity file has a wrong CRC");
  const value = JSON.parse(text) as Record<string, unknown>;
  if (value.format !== identityFormat) {
    throw new NewerFormatError(`the identity file has format ${String(value.format)}, known is 1`);
  }
  return checkIdentity(value);
}

/** The CRC has vouched for the bytes; this catches a file that some other program wrote. */
function checkIdentity(value: Readonly<Record<string, unknown>>): Identity {
  const { clusterName, name, incarnation, state, clusterId, founders } = value;
  if (typeof clusterName !== "string" || clusterName === "") throw new DamageError("clusterName is no text");
  if (typeof name !== "string" || name === "") throw new DamageError("name is no text");
  if (!isIncarnation(incarnation)) throw new DamageError("incarnation is not 32 hex digits");
  const common = { format: identityFormat, clusterName, name, incarnation } as const;
  if (state === "new") return { ...common, state, clusterId: undefined, founders: undefined };
  if (state !== "founded") throw new DamageError(`identity state ${String(state)} is unknown`);
  if (typeof clusterId !== "string" || clusterId === "") throw new DamageError("clusterId is no text");
  if (!isRoster(founders)) throw new DamageError("founders are not names with incarnations");
  if (founders[name] !== incarnation) throw new DamageError("the node is not among its own founders");
  return { ...common, state, clusterId, founders };
}

function isIncarnation(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{32}$/.test(value);
}

function isRoster(value: unknown): value is Roster {
  return typeof value === "object" && value !== null && Object.values(value).every(isIncarnation);
}

/** The same bytes on every node for the same roster. */
export function sortedRoster(roster: Roster): Roster {
  return Object.fromEntries(Object.entries(roster).sort(([a], [b]) => compareText(a, b)));
}

function crcHex(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(8, "0");
}
