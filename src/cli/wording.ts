/**
 * How times and holders are put into words, the same in every command.
 */
import { hostname, userInfo } from "node:os";
import type { BlockerView, HolderView, LockView, WireMetadata } from "../api/types.ts";
import { formatDuration } from "../config/duration.ts";
import { aligned, printable } from "./output.ts";

/** `812ms`, `3.4s`, `25s`, `1h30m`: as exact as a person wants it. */
export function age(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toString()}s`;
  return formatDuration(Math.floor(ms / 1000) * 1000);
}

/** `billing@host (3f9a…) for 25s`: the label says who, the ref which session. */
export function holderText({ label, sessionRef, heldMs }: HolderView | BlockerView): string {
  const who = label === "" ? `session ${sessionRef}` : `${printable(label)} (session ${sessionRef})`;
  return heldMs === undefined ? `${who}, waiting` : `${who} for ${age(heldMs)}`;
}

/** One line for what stands in the way, as a 423 and a waiting claim say it. */
export function blockersText(body: Readonly<Record<string, unknown>>): readonly string[] {
  const blockers = Array.isArray(body["blockedBy"]) ? (body["blockedBy"] as readonly BlockerView[]) : [];
  const lines = blockers.slice(0, 3).map((blocker) => `held by ${holderText(blocker)}`);
  if (blockers.length > 3) lines.push(`and ${blockers.length - 3} more`);
  const { availableInMs } = body;
  if (typeof availableInMs === "number")
    lines.push(
      `available in ${age(availableInMs)} (${body["reason"] === "hand-back" ? "hand-back" : "lock-delay"})`,
    );
  return lines;
}

/** `held by …`, `free`, `delayed, available in …`. */
export function lockText({ state, holders, availableInMs, queueLength }: LockView): string {
  const holder = holders[0];
  const words = state === "held" && holder !== undefined ? `held by ${holderText(holder)}` : state;
  const available = availableInMs === undefined ? "" : `, available in ${age(availableInMs)}`;
  return `${words}${available}${queueLength > 0 ? `, ${queueLength} waiting` : ""}`;
}

/** `waiting for NAME at place 2, held by …`. `body` is a claim that waits. */
export function waitingText(name: string, body: Readonly<Record<string, unknown>>): string {
  const { position } = body;
  const place = typeof position === "number" ? ` at place ${position}` : "";
  return [`waiting for ${name}${place}`, ...blockersText(body)].join(", ");
}

/** `name=value` pairs, for one cell. */
export function metadataText(metadata: WireMetadata): string {
  return Object.entries(metadata)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

/** Rows under their heads, indented; whatever came from others is made printable. */
export function columns(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const cells = rows.map((row) => row.map((cell) => (cell === "" ? "-" : printable(cell))));
  return aligned([head, ...cells]).map((line) => `  ${line}`);
}

/** The label of a session that was given none: whoever waits wants to know whom to ask. */
export function whoAndWhere(): string {
  try {
    return `${userInfo().username}@${hostname()}`.slice(0, 256);
  } catch {
    return hostname();
  }
}
