/**
 * What the log of a node says of an event of its driver: at which level, with which facts. Never everything: what repeats
 * with every message of an election is for traces only.
 */
import { memberName } from "../base/identity.ts";
import type { NodeEvent } from "./driver.ts";

export interface EventLine {
  readonly level: "info" | "warn";
  readonly event: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Undefined: it is not logged. */
export function eventLine(event: NodeEvent): EventLine | undefined {
  const { kind, ...facts } = event;
  if (kind === "vote" || kind === "campaign" || kind === "mismatch") return undefined;
  // Work was lost and comes again; whoever sees it often has a disk, a network or a bound to look at.
  const level = kind === "snapshot-dropped" || kind === "fetch-dropped" ? "warn" : "info";
  if (!("leader" in facts) || facts.leader === undefined) return { level, event: kind, facts };
  return { level, event: kind, facts: { ...facts, leader: memberName(facts.leader) } };
}
