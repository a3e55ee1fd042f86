/**
 * Answers of the HTTP API as the facts of a history: what a client was told, and of which revision. Shared by all who
 * write histories; throws for an answer that the API does not give.
 */
import type {
  Acquire,
  Check,
  Close,
  Denied,
  Gone,
  KeepAlive,
  Kill,
  LookClaim,
  LookName,
  Open,
  Release,
  Shown,
  Shrink,
} from "./history.ts";

type Body = Readonly<Record<string, unknown>>;

export interface Told {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Body;
}

/** Of which log index the answer speaks. */
export function revisionOf({ headers }: Told): number | undefined {
  const revision = headers["holdfast-revision"];
  return revision === undefined ? undefined : Number(revision);
}

/** Says that nothing was decided: ask again, here or elsewhere. */
export function isUndecided({ status }: Told): boolean {
  return status === 307 || status === 503 || status === 408;
}

function gone({ status, body }: Told): Gone | undefined {
  if (status === 410) {
    const { reason, revision } = body["ended"] as {
      reason: "expired" | "closed" | "killed";
      revision: number;
    };
    return { kind: "gone", reason, endRevision: revision };
  }
  const isSession = status === 404 && String(body["detail"]).startsWith("No session");
  return isSession ? { kind: "gone", reason: "unknown", endRevision: undefined } : undefined;
}

function denied({ body }: Told): Denied {
  return { kind: "denied", code: String(body["code"]) };
}

export function openAnswer(told: Told): Exclude<Open["answer"], undefined> {
  const { status, body } = told;
  if (status !== 200 && status !== 201) return gone(told) ?? denied(told);
  const { sessionRef, ttlMs, leaseMs } = body as { sessionRef: string; ttlMs: number; leaseMs: number };
  return { kind: "live", sessionRef, ttlMs, leaseMs };
}

export function keepAliveAnswer(told: Told): Exclude<KeepAlive["answer"], undefined> {
  const { status, body } = told;
  if (status !== 200) return gone(told) ?? denied(told);
  type Ends = Extract<KeepAlive["answer"], { kind: "renewed" }>["ended"];
  const { ttlMs, leaseMs, ended } = body as { ttlMs: number; leaseMs: number; ended: Ends };
  return { kind: "renewed", ttlMs, leaseMs, ended };
}

export function closeAnswer(told: Told): Exclude<Close["answer"], undefined> {
  if (told.status !== 200) return gone(told) ?? denied(told);
  return { kind: "closed", endRevision: Number(told.body["revision"]) };
}

export function killAnswer(told: Told): Exclude<Kill["answer"], undefined> {
  if (told.status !== 200) return gone(told) ?? denied(told);
  return { kind: "killed", endRevision: Number(told.body["revision"]) };
}

/** A claim as it stands in an answer of 200 or 202, or inside a problem. */
export function shown(body: Body): Shown {
  if (body["state"] === "waiting") return { kind: "waiting" };
  const fence = body["fence"] === undefined ? undefined : Number(body["fence"]);
  const claimRevision = Number(body["revision"]);
  if (body["state"] === "ended")
    return { kind: "ended", reason: String(body["reason"]), fence, claimRevision };
  const [resource] = body["resources"] as readonly { readonly permits?: number }[];
  return { kind: "held", fence: fence ?? Number.NaN, claimRevision, permits: resource?.permits ?? 1 };
}

export function acquireAnswer(told: Told): Exclude<Acquire["answer"], undefined> {
  const { status, body } = told;
  const code = body["code"];
  if (status === 200 || status === 202) return shown(body);
  if (code === "locked" || code === "wait-timeout") {
    const blockedBy = body["blockedBy"] as readonly { readonly claimId: string }[];
    return {
      kind: "refused",
      code,
      reason: String(body["reason"]),
      blockedBy: blockedBy.map(({ claimId }) => claimId),
    };
  }
  if (code === "claim-ended" || code === "claim-lost") return shown(body["claim"] as Body);
  return gone(told) ?? denied(told);
}

export function releaseAnswer(told: Told): Exclude<Release["answer"], undefined> {
  const { status, body } = told;
  const facts = (claim: Body): { reason: string; claimRevision: number } => ({
    reason: String(claim["reason"]),
    claimRevision: Number(claim["revision"]),
  });
  if (status === 200) return { kind: "ended", ...facts(body) };
  if (body["code"] === "claim-lost") return { kind: "lost", ...facts(body["claim"] as Body) };
  return gone(told) ?? denied(told);
}

export function shrinkAnswer(told: Told): Exclude<Shrink["answer"], undefined> {
  const { status, body } = told;
  if (status === 200) return shown(body);
  if (body["code"] === "claim-ended" || body["code"] === "claim-lost") return shown(body["claim"] as Body);
  return gone(told) ?? denied(told);
}

export function lookClaimAnswer(told: Told): Exclude<LookClaim["answer"], undefined> {
  return told.status === 200 || told.status === 202 ? shown(told.body) : denied(told);
}

export function lookNameAnswer(told: Told): Exclude<LookName["answer"], undefined> {
  const { status, body } = told;
  if (status !== 200) return denied(told);
  type Holders = readonly { readonly claimId: string; readonly fence: number; readonly permits?: number }[];
  const holders = body["holders"] as Holders;
  const queue = (body["queue"] ?? []) as readonly { readonly claimId: string }[];
  return {
    kind: "shown",
    state: String(body["state"] ?? ""),
    holders: holders.map(({ claimId, fence, permits = 1 }) => ({ claimId, fence, permits })),
    queue: queue.map(({ claimId }) => claimId),
    capacity: body["capacity"] === undefined ? undefined : Number(body["capacity"]),
  };
}

export function checkAnswer(told: Told): Exclude<Check["answer"], undefined> {
  if (told.status !== 200) return denied(told);
  const [result] = told.body["results"] as readonly { readonly status: string }[];
  return { kind: "checked", status: result?.status ?? "" };
}
