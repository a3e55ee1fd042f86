/**
 * The records of a state's image as bytes: positional msgpack arrays `[kind, …fields]`, one for each record, in the order
 * of `locks/image.ts`. Decoding trusts nothing but what it has read: a record that is not exactly of this shape is a
 * DecodeError. Whether the records together are a state is for their reader. Frames nothing, checks no sums: a snapshot
 * file does.
 */
import { unreachable } from "../base/assert.ts";
import type { BarrierImage, ClaimImage, HeadImage, ImageRecord, SessionImage } from "../locks/image.ts";
import type {
  Blocker,
  BlockReason,
  Claim,
  ClaimEnd,
  ClaimEndReason,
  Denial,
  Refusal,
  SessionEnd,
  SessionEndReason,
} from "../locks/records.ts";
import { settingNames } from "../locks/settings.ts";
import { DecodeError } from "./entry.ts";
import { Fields, readMetadata, readName, readResource, readSettings, resourceFields } from "./fields.ts";
import { type Plain, packPlain, unpackPlain } from "./msgpack.ts";

/** A code is the place in its list: new ones come at the end, none ever goes. */
const kinds = [
  "head",
  "lock",
  "semaphore",
  "session",
  "claim",
  "remembered",
  "holders",
  "queue",
  "barrier",
] as const satisfies readonly ImageRecord["kind"][];
const places = ["live", "unseen", "remembered"] as const satisfies readonly ClaimImage["place"][];
const states = ["waiting", "held", "ended"] as const satisfies readonly Claim["state"][];
const modes = [
  "exclusive",
  "shared",
  "permits",
] as const satisfies readonly BarrierImage["resources"][number]["mode"][];
const blockReasons = [
  "held",
  "queue-ahead",
  "lock-delay",
  "hand-back",
  "capacity",
] as const satisfies readonly BlockReason[];
const sessionEnds = ["expired", "closed", "killed"] as const satisfies readonly SessionEndReason[];
const claimEnds = [
  "refused",
  "released",
  "cancelled",
  "wait-timeout",
  "session-expired",
  "session-closed",
  "session-killed",
  "max-hold",
  "exceeds-capacity",
] as const satisfies readonly ClaimEndReason[];
const denials = [
  "already-held",
  "already-waiting",
  "kind-mismatch",
  "semaphore-unknown",
  "exceeds-capacity",
  "capacity-conflict",
] as const satisfies readonly Denial["kind"][];
const resourceKinds = ["lock", "semaphore"] as const;

/** Longest texts, in UTF-16 code units, as in commands. */
const idMax = 64;
const noteMax = 1_024;
const ownerMax = 256;

// ---- to bytes ------------------------------------------------------------------------------------------------------

/** The bytes may share memory with others that were packed before: copy what is to be kept. */
export function encodeImageRecord(record: ImageRecord): Uint8Array {
  return packPlain([kinds.indexOf(record.kind), ...fieldsOf(record)]);
}

function fieldsOf(record: ImageRecord): readonly Plain[] {
  switch (record.kind) {
    case "head": {
      const { clusterId, fence, now, termStart, wallMs, revision, budgetLeft, settings } = record;
      const values = settings === undefined ? null : settingNames.map((name) => settings[name]);
      return [clusterId, fence, now, termStart, wallMs, revision, Math.max(0, budgetLeft), values];
    }
    case "lock":
      return [record.name, record.revision, record.exclusiveMark, record.sharedMark];
    case "semaphore":
      return [record.name, record.revision, record.capacity, record.isSet];
    case "session":
      return sessionFields(record);
    case "claim":
      return claimFields(record);
    case "remembered":
      return [record.claimIds];
    case "holders":
    case "queue":
      return [record.name, record.claimIds];
    case "barrier":
      return [
        record.fence,
        record.delayUntil,
        record.handBackUntil,
        record.resources.flatMap(({ name, mode, permits, kept }) => [
          name,
          modes.indexOf(mode),
          permits,
          kept,
        ]),
      ];
    default:
      return unreachable(record);
  }
}

function sessionFields(session: SessionImage): readonly Plain[] {
  const { end } = session;
  return [
    session.id,
    session.ref,
    session.ttlMs,
    session.askedTtlMs,
    session.lockDelayMs ?? null,
    session.label,
    session.metadata.flat(),
    session.createdWallMs,
    session.expiresAt,
    session.graceLeftMs,
    session.lastRenewal,
    session.seen,
    session.forgottenRevision,
    session.forgottenUpTo,
    end === undefined ? null : [sessionEnds.indexOf(end.reason), end.at, end.wallMs, end.revision, end.note],
  ];
}

function claimFields(claim: ClaimImage): readonly Plain[] {
  const { grant } = claim;
  return [
    places.indexOf(claim.place),
    claim.id,
    states.indexOf(claim.state),
    claim.asked.map((asked) => resourceFields(asked)),
    claim.kept,
    claim.lockDelayMs ?? null,
    claim.maxHoldMs ?? null,
    claim.owner ?? null,
    claim.metadata.flat(),
    claim.cancelOnDisconnect,
    claim.enqueuedRevision,
    claim.enqueuedAt,
    claim.waitDeadline ?? null,
    claim.revision,
    grant === undefined ? null : [grant.fence, grant.at, grant.wallMs, grant.revision],
    claim.end === undefined ? null : endFields(claim.end),
  ];
}

function endFields({ reason, at, revision, refusal, denial }: ClaimEnd): readonly Plain[] {
  return [
    claimEnds.indexOf(reason),
    at,
    revision,
    refusal === undefined ? null : refusalFields(refusal),
    denial === undefined ? null : [denials.indexOf(denial.kind), ...denialFields(denial)],
  ];
}

function refusalFields({ reason, queueLength, availableAt, blockedBy }: Refusal): readonly Plain[] {
  const blockers = blockedBy.map(({ claimId, sessionRef, label, owner, heldAt, metadata }) => [
    claimId,
    sessionRef,
    label,
    owner ?? null,
    heldAt ?? null,
    metadata.flat(),
  ]);
  return [blockReasons.indexOf(reason), queueLength, availableAt ?? null, blockers];
}

function denialFields(denial: Denial): readonly Plain[] {
  switch (denial.kind) {
    case "already-held":
    case "already-waiting":
      return [denial.claimId];
    case "kind-mismatch":
      return [denial.name, resourceKinds.indexOf(denial.is)];
    case "semaphore-unknown":
      return [denial.name];
    case "exceeds-capacity":
      return [denial.permits, denial.capacity];
    case "capacity-conflict":
      return [denial.name, denial.capacity];
    default:
      return unreachable(denial);
  }
}

// ---- from bytes ----------------------------------------------------------------------------------------------------

/** Throws DecodeError, and nothing else, for whatever bytes it is given. */
export function decodeImageRecord(bytes: Uint8Array): ImageRecord {
  const value = unpackPlain(bytes);
  if (!Array.isArray(value)) throw new DecodeError("a record of an image is an array");
  const fields = new Fields(value);
  const record = readRecord(oneOf(kinds, fields, "kind"), fields);
  fields.end();
  return record;
}

function oneOf<T>(list: readonly T[], fields: Fields, what: string): T {
  const code = fields.integer(what);
  const value = list[code];
  if (value === undefined) throw new DecodeError(`${what} ${code} is unknown`);
  return value;
}

function readRecord(kind: ImageRecord["kind"], fields: Fields): ImageRecord {
  switch (kind) {
    case "head":
      return readHead(fields);
    case "lock":
      return {
        kind,
        name: readName(fields),
        revision: fields.integer("revision"),
        exclusiveMark: fields.integer("exclusiveMark"),
        sharedMark: fields.integer("sharedMark"),
      };
    case "semaphore":
      return {
        kind,
        name: readName(fields),
        revision: fields.integer("revision"),
        capacity: fields.integer("capacity"),
        isSet: fields.flag("isSet"),
      };
    case "session":
      return readSession(fields);
    case "claim":
      return readClaim(fields);
    case "remembered":
      return { kind, claimIds: readIds(fields) };
    case "holders":
    case "queue":
      return { kind, name: readName(fields), claimIds: readIds(fields) };
    case "barrier":
      return {
        kind,
        fence: fields.integer("fence"),
        delayUntil: fields.integer("delayUntil"),
        handBackUntil: fields.integer("handBackUntil"),
        resources: readKept(fields.list("resources")),
      };
    default:
      return unreachable(kind);
  }
}

function readHead(fields: Fields): HeadImage {
  const plain = {
    clusterId: fields.text("clusterId", idMax),
    fence: fields.integer("fence"),
    now: fields.integer("now"),
    termStart: fields.integer("termStart"),
    wallMs: fields.integer("wallMs"),
    revision: fields.integer("revision"),
    budgetLeft: fields.integer("budgetLeft"),
  };
  const settings = fields.optionalList("settings");
  return { kind: "head", ...plain, settings: settings === undefined ? undefined : readSettings(settings) };
}

function readIds(fields: Fields): readonly string[] {
  const list = fields.list("claimIds");
  const ids: string[] = [];
  while (!list.isAtEnd()) ids.push(list.text("claimId", idMax));
  return ids;
}

function readKept(fields: Fields): BarrierImage["resources"] {
  const resources: BarrierImage["resources"][number][] = [];
  while (!fields.isAtEnd()) {
    resources.push({
      name: readName(fields),
      mode: oneOf(modes, fields, "mode"),
      permits: fields.integer("permits"),
      kept: fields.integer("kept"),
    });
  }
  return resources;
}

function readSession(fields: Fields): SessionImage {
  return {
    kind: "session",
    id: fields.text("sessionId", idMax),
    ref: fields.text("sessionRef", idMax),
    ttlMs: fields.integer("ttlMs"),
    askedTtlMs: fields.integer("askedTtlMs"),
    lockDelayMs: fields.optionalInteger("lockDelayMs"),
    label: fields.text("label", noteMax),
    metadata: readMetadata(fields.list("metadata")),
    createdWallMs: fields.integer("createdWallMs"),
    expiresAt: fields.integer("expiresAt"),
    graceLeftMs: fields.integer("graceLeftMs"),
    lastRenewal: fields.integer("lastRenewal"),
    seen: fields.integer("seen"),
    forgottenRevision: fields.integer("forgottenRevision"),
    forgottenUpTo: fields.integer("forgottenUpTo"),
    end: readSessionEnd(fields.optionalList("end")),
  };
}

function readSessionEnd(fields: Fields | undefined): SessionEnd | undefined {
  if (fields === undefined) return undefined;
  const end = {
    reason: oneOf(sessionEnds, fields, "reason"),
    at: fields.integer("at"),
    wallMs: fields.integer("wallMs"),
    revision: fields.integer("revision"),
    note: fields.text("note", noteMax),
  };
  fields.end();
  return end;
}

function readClaim(fields: Fields): ClaimImage {
  return {
    kind: "claim",
    place: oneOf(places, fields, "place"),
    id: fields.text("claimId", idMax),
    state: oneOf(states, fields, "state"),
    asked: readAsked(fields.list("asked")),
    kept: readIntegers(fields.list("kept")),
    lockDelayMs: fields.optionalInteger("lockDelayMs"),
    maxHoldMs: fields.optionalInteger("maxHoldMs", 1),
    owner: fields.optionalText("owner", ownerMax),
    metadata: readMetadata(fields.list("metadata")),
    cancelOnDisconnect: fields.flag("cancelOnDisconnect"),
    enqueuedRevision: fields.integer("enqueuedRevision"),
    enqueuedAt: fields.integer("enqueuedAt"),
    waitDeadline: fields.optionalInteger("waitDeadline"),
    revision: fields.integer("revision"),
    grant: readGrant(fields.optionalList("grant")),
    end: readClaimEnd(fields.optionalList("end")),
  };
}

function readAsked(list: Fields): ClaimImage["asked"] {
  const asked: ClaimImage["asked"][number][] = [];
  while (!list.isAtEnd()) {
    const fields = list.list("asked");
    asked.push(readResource(fields));
    fields.end();
  }
  return asked;
}

function readIntegers(list: Fields): readonly number[] {
  const values: number[] = [];
  while (!list.isAtEnd()) values.push(list.integer("kept"));
  return values;
}

function readGrant(fields: Fields | undefined): Claim["grant"] {
  if (fields === undefined) return undefined;
  const grant = {
    fence: fields.integer("fence"),
    at: fields.integer("at"),
    wallMs: fields.integer("wallMs"),
    revision: fields.integer("revision"),
  };
  fields.end();
  return grant;
}

function readClaimEnd(fields: Fields | undefined): ClaimEnd | undefined {
  if (fields === undefined) return undefined;
  const end = {
    reason: oneOf(claimEnds, fields, "reason"),
    at: fields.integer("at"),
    revision: fields.integer("revision"),
    refusal: readRefusal(fields.optionalList("refusal")),
  };
  const denial = readDenial(fields.optionalList("denial"));
  fields.end();
  return denial === undefined ? end : { ...end, denial };
}

function readRefusal(fields: Fields | undefined): Refusal | undefined {
  if (fields === undefined) return undefined;
  const refusal = {
    reason: oneOf(blockReasons, fields, "reason"),
    queueLength: fields.integer("queueLength"),
    availableAt: fields.optionalInteger("availableAt"),
    blockedBy: readBlockers(fields.list("blockedBy")),
  };
  fields.end();
  return refusal;
}

function readBlockers(list: Fields): readonly Blocker[] {
  const blockers: Blocker[] = [];
  while (!list.isAtEnd()) {
    const fields = list.list("blocker");
    blockers.push({
      claimId: fields.text("claimId", idMax),
      sessionRef: fields.text("sessionRef", idMax),
      label: fields.text("label", noteMax),
      owner: fields.optionalText("owner", ownerMax),
      heldAt: fields.optionalInteger("heldAt"),
      metadata: readMetadata(fields.list("metadata")),
    });
    fields.end();
  }
  return blockers;
}

function readDenial(fields: Fields | undefined): Denial | undefined {
  if (fields === undefined) return undefined;
  const denial = readDenialOf(oneOf(denials, fields, "denial"), fields);
  fields.end();
  return denial;
}

function readDenialOf(kind: Denial["kind"], fields: Fields): Denial {
  switch (kind) {
    case "already-held":
    case "already-waiting":
      return { kind, claimId: fields.text("claimId", idMax) };
    case "kind-mismatch":
      return { kind, name: readName(fields), is: oneOf(resourceKinds, fields, "is") };
    case "semaphore-unknown":
      return { kind, name: readName(fields) };
    case "exceeds-capacity":
      return { kind, permits: fields.integer("permits"), capacity: fields.integer("capacity") };
    case "capacity-conflict":
      return { kind, name: readName(fields), capacity: fields.integer("capacity") };
    default:
      return unreachable(kind);
  }
}
