/**
 * What the body of an acquire asks for, checked against names and settings: the same for a request of its own, for
 * `POST /v1/claims` and for an operation of a batch. Throws a ProblemError.
 */
import { lockNameFault } from "../api/names.ts";
import type { AcquireBody, ClaimBody, ResourceAsked } from "../api/schemas.ts";
import type { ResourceRequest } from "../locks/commands.ts";
import type { Settings } from "../locks/settings.ts";
import type { Proposal } from "../node/contract.ts";
import { atMost, metadataOf, plainTextFault } from "./bounds.ts";
import { invalid } from "./problems.ts";

/** The one thing that the body names: `lock`, `semaphore`, or the same inside of `resources`. */
export function resourceOf(body: ClaimBody): ResourceRequest {
  const { resources } = body;
  if (resources === undefined) return requestOf(body, "");
  const fields = ["lock", "mode", "semaphore", "permits", "capacity"] as const;
  const doubled = fields.find((field) => body[field] !== undefined);
  if (doubled !== undefined) throw invalid(`/${doubled}`, "belongs into each of the resources");
  return requestOf(resources[0] ?? {}, "/resources/0");
}

function requestOf(asked: ResourceAsked, at: string): ResourceRequest {
  const { lock, mode, semaphore, permits, capacity } = asked;
  if ((lock === undefined) === (semaphore === undefined)) {
    throw invalid(`${at}/lock`, "or semaphore must be there, not both");
  }
  if (lock !== undefined) {
    if (permits !== undefined) throw invalid(`${at}/permits`, "is for semaphores");
    if (capacity !== undefined) throw invalid(`${at}/capacity`, "is for semaphores");
    return { kind: "lock", name: checkedName(lock, `${at}/lock`), mode: mode ?? "exclusive" };
  }
  if (mode !== undefined) throw invalid(`${at}/mode`, "is for locks");
  const name = checkedName(semaphore ?? "", `${at}/semaphore`);
  return { kind: "semaphore", name, permits: permits ?? 1, capacity };
}

function checkedName(name: string, path: string): string {
  const fault = lockNameFault(name);
  if (fault !== undefined) throw invalid(path, fault);
  return name;
}

/** The command, with every default resolved. `isKept`: what hanging up means when the body does not say. */
export function acquireProposal(
  body: AcquireBody,
  known: {
    readonly sessionId: string;
    readonly claimId: string;
    readonly resource: ResourceRequest;
    readonly settings: Settings;
    readonly isKept: boolean;
  },
): Proposal {
  const { sessionId, claimId, resource, settings, isKept } = known;
  const { lockDelayMs, owner, onDisconnect } = body;
  const ownerFault = owner === undefined ? undefined : ownerFaultOf(owner);
  if (ownerFault !== undefined) throw invalid("/owner", ownerFault);
  return {
    kind: "acquire",
    sessionId,
    claimId,
    resources: [resource],
    waitMs: atMost("/waitMs", body.waitMs ?? 0, settings.waitMsMax),
    lockDelayMs:
      lockDelayMs === undefined ? undefined : atMost("/lockDelayMs", lockDelayMs, settings.lockDelayMsMax),
    maxHoldMs: body.maxHoldMs,
    owner,
    metadata: metadataOf("/metadata", body.metadata, settings),
    cancelOnDisconnect: onDisconnect === undefined ? !isKept : onDisconnect === "cancel",
  };
}

function ownerFaultOf(owner: string): string | undefined {
  // A schema counts characters, the log's format UTF-16 code units.
  if (owner.length > ownerUnitsMax) return `must have at most ${ownerUnitsMax} UTF-16 code units`;
  return plainTextFault(owner);
}

const ownerUnitsMax = 128;
