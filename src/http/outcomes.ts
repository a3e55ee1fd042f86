/**
 * Outcomes of the state machine that are refusals, as problems. One row for each kind; the facts come from the
 * outcome alone, because it is the truth of its revision.
 */
import { unreachable } from "../base/assert.ts";
import type { Outcome } from "../locks/outcomes.ts";
import type { Claim, Session } from "../locks/records.ts";
import type { View } from "../node/contract.ts";
import type { Problem } from "./problems.ts";
import { claimView, endedSessionView, obstacleView } from "./render.ts";

/** What is no refusal: its handler shows it. */
const accepted = [
  "done",
  "session",
  "session-closed",
  "session-killed",
  "keep-alive",
  "claim",
  "released",
  "shrunk",
  "semaphore",
  "semaphore-deleted",
  "settings",
] as const satisfies readonly Outcome["kind"][];

export type RefusedOutcome = Exclude<Outcome, { kind: (typeof accepted)[number] }>;

export function isRefused(outcome: Outcome): outcome is RefusedOutcome {
  return !(accepted as readonly string[]).includes(outcome.kind);
}

export const sessionUnknown: Problem = {
  code: "not-found",
  detail: "No session has this id, or it ended too long ago to be remembered; open a new one.",
};

export const claimUnknown: Problem = {
  code: "not-found",
  detail: "No claim has this id, or it ended too long ago to be remembered.",
};

export function semaphoreUnknown(name: string): Problem {
  return {
    code: "not-found",
    detail: `No semaphore is named ${name}: make it with a PUT, or name its capacity in the acquire.`,
  };
}

export function kindMismatch(name: string, is: string): Problem {
  return {
    code: "kind-mismatch",
    detail: `${name} is a ${is} as long as it is used; choose another name.`,
    facts: { name, is },
  };
}

export function sessionEnded(session: Session): Problem {
  const ended = endedSessionView(session);
  const how = ended === undefined ? "ended" : `${ended.reason} at ${ended.endedAt}`;
  return {
    code: "session-expired",
    detail: `The session ${session.ref} is gone (${how}): nothing of it is held any more. Open a new one.`,
    facts: { ended },
  };
}

export function refusedOutcome(outcome: RefusedOutcome, view: View): Problem {
  switch (outcome.kind) {
    case "session-conflict":
      return {
        code: "session-conflict",
        detail:
          "A session has this id already, with another ttl, lock-delay, label or metadata; use a new id.",
      };
    case "session-ended":
      return sessionEnded(outcome.session);
    case "session-unknown":
      return sessionUnknown;
    case "claim-conflict":
      return outcome.forgotten
        ? {
            code: "claim-conflict",
            detail:
              "This claim id was used before and is too old to be remembered; nothing was done. Use a new id.",
            facts: { forgotten: true },
          }
        : {
            code: "claim-conflict",
            detail: "This claim id stands for another session's claim or for another request; use a new id.",
            facts: { forgotten: false },
          };
    case "claim-ended":
      return claimEnded(outcome.claim, view);
    case "claim-lost":
      return claimLost(outcome.claim, view);
    case "not-holder":
      return {
        code: "not-holder",
        detail: "Another session made this claim; only that one may end or change it.",
      };
    case "quota":
      return {
        code: "quota",
        detail: `The limit ${outcome.limit} of ${outcome.max} is reached; release or close something first.`,
        facts: { limit: outcome.limit, max: outcome.max },
      };
    case "claim-unknown":
      return claimUnknown;
    case "already-held":
      return {
        code: "already-held",
        detail: `The owner ${outcome.claim.owner ?? ""} holds this already; go on under that claim.`,
        facts: { claimId: outcome.claim.id, claim: claimView(outcome.claim, view) },
      };
    case "already-waiting":
      return {
        code: "already-waiting",
        detail: `The owner ${outcome.claim.owner ?? ""} waits already, and may wait for one thing at a time.`,
        facts: { claimId: outcome.claim.id, claim: claimView(outcome.claim, view) },
      };
    case "not-shrinkable":
      return {
        code: "invalid",
        detail: "Only a held claim of a semaphore can be shrunk, and only to fewer permits than it has.",
        facts: {
          claim: claimView(outcome.claim, view),
          errors: [{ path: "/permits", message: "must not be more than the claim has" }],
        },
      };
    case "kind-mismatch":
      return kindMismatch(outcome.name, outcome.is);
    case "semaphore-unknown":
      return semaphoreUnknown(outcome.name);
    case "exceeds-capacity":
      return {
        code: "exceeds-capacity",
        detail: `The semaphore has ${outcome.capacity} permits in all; ${outcome.permits} can never be granted.`,
        facts: { permits: outcome.permits, capacity: outcome.capacity },
      };
    case "capacity-conflict":
      return {
        code: "capacity-conflict",
        detail: `${outcome.name} has the capacity ${outcome.capacity}; name that one or none.`,
        facts: { capacity: outcome.capacity },
      };
    case "in-use": {
      const { name, holders, queue } = outcome.semaphore;
      return {
        code: "in-use",
        detail: `${name} has ${holders.size} holders and ${queue.size} waiting claims.`,
        facts: { holders: holders.size, queueLength: queue.size },
      };
    }
    case "settings-refused":
      return {
        code: "invalid",
        detail: outcome.faults.map(({ name, what }) => `${name} ${what}`).join("; "),
        facts: { errors: outcome.faults.map(({ name, what }) => ({ path: `/${name}`, message: what })) },
      };
    case "not-founded":
      return { code: "no-leader", detail: "The cluster is being founded; try again shortly." };
    default:
      return unreachable(outcome);
  }
}

/** Of an acquire whose claim is over and was never known to be held. */
export function endedClaim(claim: Claim, view: View): Problem {
  if (claim.end?.reason === "refused" || claim.end?.reason === "wait-timeout")
    return refusedClaim(claim, view);
  if (claim.end?.reason === "exceeds-capacity") return shrunkBelow(claim);
  return claim.session.end === undefined ? claimEnded(claim, view) : sessionEnded(claim.session);
}

function refusedClaim(claim: Claim, { clusterTimeMs }: View): Problem {
  const isTimeout = claim.end?.reason === "wait-timeout";
  const refusal = claim.end?.refusal;
  const obstacle =
    refusal === undefined
      ? { reason: "timeout", blockedBy: [], queueLength: 0 }
      : obstacleView(refusal, clusterTimeMs);
  const [first] = obstacle.blockedBy;
  const who =
    first === undefined ? "" : `, ${first.label === "" ? first.sessionRef : first.label} is in the way`;
  return {
    code: isTimeout ? "wait-timeout" : "locked",
    detail: isTimeout
      ? `It was not free within waitMs (${obstacle.reason}${who}).`
      : `It is not free (${obstacle.reason}${who}); name a waitMs to wait for it.`,
    facts: { claimId: claim.id, ...obstacle },
  };
}

/** It waited for more permits than the semaphore was left with. */
function shrunkBelow({ id, asked: [asked] }: Claim): Problem {
  return {
    code: "exceeds-capacity",
    detail: "While it waited, the semaphore was given fewer permits than it asked for.",
    facts: { claimId: id, ...(asked?.kind === "semaphore" ? { permits: asked.permits } : undefined) },
  };
}

function claimEnded(claim: Claim, view: View): Problem {
  return {
    code: "claim-ended",
    detail: `This claim was ${claim.end?.reason ?? "ended"}; an ended claim is never granted again. Use a new id.`,
    facts: { claimId: claim.id, reason: claim.end?.reason, claim: claimView(claim, view) },
  };
}

function claimLost(claim: Claim, view: View): Problem {
  return {
    code: "claim-lost",
    detail: `This claim was held and then lost (${claim.end?.reason}): work done under it may have run unprotected.`,
    facts: { claimId: claim.id, reason: claim.end?.reason, claim: claimView(claim, view) },
  };
}
