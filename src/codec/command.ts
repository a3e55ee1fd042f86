/**
 * Commands as bytes: a positional msgpack array `[format, kind, wallMs, …fields]`, packed once by the proposer, kept
 * and applied as those bytes by everybody. Every node, the leader included, applies what it decoded (SEMANTICS rule 7).
 * Decoding trusts nothing: a command that is not exactly of this shape is a DecodeError. No maps, no extensions, no
 * shared structures: those would be state of their own.
 */
import { Packr, Unpackr } from "msgpackr";
import { unreachable } from "../base/assert.ts";
import type { Command, KeepAliveItem, ResourceRequest } from "../locks/commands.ts";
import { type SettingName, settingNames } from "../locks/settings.ts";
import { DecodeError } from "./entry.ts";
import { Fields, readMetadata, readName, readResource, readSettings, resourceFields } from "./fields.ts";

const commandFormat = 3;
const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

const kindCodes = {
  found: 1,
  "advance-time": 2,
  "open-session": 3,
  "keep-alive": 4,
  "close-session": 5,
  acquire: 6,
  release: 7,
  cancel: 8,
  "kill-session": 9,
  shrink: 10,
  "set-semaphore": 11,
  "delete-semaphore": 12,
  "set-settings": 13,
} as const satisfies Record<Command["kind"], number>;

export function encodeCommand(command: Command): Uint8Array {
  // The packer's buffer is shared with later packs; the log keeps its own copy.
  return Uint8Array.from(
    packr.pack([commandFormat, kindCodes[command.kind], command.wallMs, ...fieldsOf(command)]),
  );
}

function fieldsOf(command: Command): readonly unknown[] {
  switch (command.kind) {
    case "found":
      return [command.clusterId, command.firstFence, settingNames.map((name) => command.settings[name])];
    case "advance-time":
      return [];
    case "open-session":
      return [
        command.sessionId,
        command.sessionRef,
        command.ttlMs,
        command.lockDelayMs ?? null,
        command.label,
        command.metadata.flat(),
      ];
    case "keep-alive":
      return [command.items.flatMap(({ sessionId, seen }) => [sessionId, seen])];
    case "close-session":
      return [command.sessionId];
    case "acquire":
      return [
        command.sessionId,
        command.claimId,
        command.resources.flatMap(resourceFields),
        command.waitMs,
        command.lockDelayMs ?? null,
        command.maxHoldMs ?? null,
        command.owner ?? null,
        command.metadata.flat(),
        command.cancelOnDisconnect,
      ];
    case "release":
      return [command.sessionId, command.claimId];
    case "cancel":
      return [command.claimId, command.fence ?? null];
    case "kill-session":
      return [command.sessionRef, command.note];
    case "shrink":
      return [command.sessionId, command.claimId, command.permits];
    case "set-semaphore":
      return [command.name, command.capacity];
    case "delete-semaphore":
      return [command.name];
    case "set-settings":
      return [command.changes.flatMap(([name, value]) => [settingNames.indexOf(name), value])];
    default:
      return unreachable(command);
  }
}

/** Throws DecodeError, and nothing else, for whatever bytes it is given. */
export function decodeCommand(bytes: Uint8Array): Command {
  const fields = new Fields(unpackArray(bytes));
  const format = fields.integer("format");
  if (format !== commandFormat) throw new DecodeError(`command format ${format} is unknown`);
  const code = fields.integer("kind");
  const wallMs = fields.integer("wallMs");
  const command = readCommand(code, wallMs, fields);
  fields.end();
  return command;
}

function unpackArray(bytes: Uint8Array): readonly unknown[] {
  let value: unknown;
  try {
    value = unpackr.unpack(bytes);
  } catch (cause) {
    throw new DecodeError("command is not msgpack", { cause });
  }
  if (!Array.isArray(value)) throw new DecodeError("command is not an array");
  return value;
}

function readCommand(code: number, wallMs: number, fields: Fields): Command {
  switch (code) {
    case kindCodes.found:
      return {
        kind: "found",
        wallMs,
        clusterId: fields.text("clusterId", 64),
        firstFence: fields.integer("firstFence"),
        settings: readSettings(fields.list("settings")),
      };
    case kindCodes["advance-time"]:
      return { kind: "advance-time", wallMs };
    case kindCodes["open-session"]:
      return {
        kind: "open-session",
        wallMs,
        sessionId: fields.text("sessionId", 64),
        sessionRef: fields.text("sessionRef", 16),
        ttlMs: fields.integer("ttlMs"),
        lockDelayMs: fields.optionalInteger("lockDelayMs"),
        label: fields.text("label", 1024),
        metadata: readMetadata(fields.list("metadata")),
      };
    case kindCodes["keep-alive"]:
      return { kind: "keep-alive", wallMs, items: readItems(fields.list("items")) };
    case kindCodes["close-session"]:
      return { kind: "close-session", wallMs, sessionId: fields.text("sessionId", 64) };
    case kindCodes.acquire:
      return {
        kind: "acquire",
        wallMs,
        sessionId: fields.text("sessionId", 64),
        claimId: fields.text("claimId", 64),
        resources: readResources(fields.list("resources")),
        waitMs: fields.integer("waitMs"),
        lockDelayMs: fields.optionalInteger("lockDelayMs"),
        maxHoldMs: fields.optionalInteger("maxHoldMs", 1),
        owner: fields.optionalText("owner", 256),
        metadata: readMetadata(fields.list("metadata")),
        cancelOnDisconnect: fields.flag("cancelOnDisconnect"),
      };
    case kindCodes.release:
      return {
        kind: "release",
        wallMs,
        sessionId: fields.text("sessionId", 64),
        claimId: fields.text("claimId", 64),
      };
    case kindCodes.cancel:
      return {
        kind: "cancel",
        wallMs,
        claimId: fields.text("claimId", 64),
        fence: fields.optionalInteger("fence"),
      };
    case kindCodes["kill-session"]:
      return {
        kind: "kill-session",
        wallMs,
        sessionRef: fields.text("sessionRef", 64),
        note: fields.text("note", 1024),
      };
    case kindCodes.shrink:
      return {
        kind: "shrink",
        wallMs,
        sessionId: fields.text("sessionId", 64),
        claimId: fields.text("claimId", 64),
        permits: fields.integer("permits", 1),
      };
    case kindCodes["set-semaphore"]:
      return { kind: "set-semaphore", wallMs, name: readName(fields), capacity: fields.integer("capacity") };
    case kindCodes["delete-semaphore"]:
      return { kind: "delete-semaphore", wallMs, name: readName(fields) };
    case kindCodes["set-settings"]:
      return { kind: "set-settings", wallMs, changes: readChanges(fields.list("changes")) };
    default:
      throw new DecodeError(`command kind ${code} is unknown`);
  }
}

function readItems(fields: Fields): readonly KeepAliveItem[] {
  const items: KeepAliveItem[] = [];
  while (!fields.isAtEnd())
    items.push({ sessionId: fields.text("sessionId", 64), seen: fields.integer("seen") });
  return items;
}

/** At least one. Several are for a later version: the machine is not asked to grant them before it can. */
function readResources(fields: Fields): readonly ResourceRequest[] {
  const resource = readResource(fields);
  fields.end();
  return [resource];
}

function readChanges(fields: Fields): readonly (readonly [SettingName, number])[] {
  const changes: (readonly [SettingName, number])[] = [];
  while (!fields.isAtEnd()) {
    const name = settingNames[fields.integer("setting")];
    if (name === undefined) throw new DecodeError("a setting is unknown");
    changes.push([name, fields.integer(name)]);
  }
  return changes;
}
