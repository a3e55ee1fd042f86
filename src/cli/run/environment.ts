/**
 * What a command that runs under a claim finds in its environment, and what a run finds in its own when it is started by
 * such a command: session and owner of the run around it. SEMANTICS §3 (owner), §7.
 */
import { randomBytes } from "node:crypto";
import type { ClaimTarget, HeldClaim } from "../claiming.ts";
import { sessionIdOf } from "../connect.ts";
import type { HttpClient } from "../http-client.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the run around this one handed down. */
export interface Surroundings {
  /** Undefined: there is none, and this run opens a session of its own. */
  readonly sessionId: string | undefined;
  readonly owner: string | undefined;
  /** There is a run around this one: our command belongs to its group. */
  readonly isNested: boolean;
}

/** Throws a usage error when HOLDFAST_SESSION is none. */
export function readSurroundings(environment: Environment): Surroundings {
  const { HOLDFAST_SESSION: session, HOLDFAST_OWNER: owner } = environment;
  return {
    sessionId: session === undefined ? undefined : sessionIdOf(session, "give a right one"),
    owner,
    isNested: session !== undefined && owner !== undefined,
  };
}

/** Who asks, for deadlock detection and for runs within runs. */
export function newOwner(): string {
  return `run-${randomBytes(8).toString("hex")}`;
}

/** All eight are set or removed: a value of the run around this one would be a wrong one. */
export function childEnvironment(
  base: Environment,
  parts: {
    readonly target: ClaimTarget;
    readonly held: HeldClaim;
    readonly sessionId: string;
    readonly owner: string;
    readonly client: HttpClient;
  },
): Environment {
  const { target, held, sessionId, owner, client } = parts;
  const { fence } = held.answer.body;
  const { mode, sequencer } = resourceOf(held, target);
  return {
    ...base,
    HOLDFAST_LOCK: target.name,
    HOLDFAST_MODE: target.kind === "semaphore" ? "semaphore" : (mode ?? target.mode),
    HOLDFAST_FENCE: typeof fence === "number" ? String(fence) : undefined,
    HOLDFAST_SEQUENCER: sequencer,
    HOLDFAST_CLAIM: held.claimId,
    HOLDFAST_SESSION: sessionId,
    HOLDFAST_ENDPOINTS: client.endpoints.join(","),
    HOLDFAST_OWNER: owner,
  };
}

/** The resource of the claim that was asked for; a claim that covers it may have others. */
function resourceOf(
  held: HeldClaim,
  { kind, name }: ClaimTarget,
): { readonly mode: string | undefined; readonly sequencer: string | undefined } {
  const { resources } = held.answer.body;
  const all = Array.isArray(resources) ? (resources as readonly Record<string, unknown>[]) : [];
  const found = all.find((resource) => resource[kind] === name);
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  return { mode: text(found?.["mode"]), sequencer: text(found?.["sequencer"]) };
}
