/**
 * Which session a run claims in, and what lock-delay its claim has: its own session, or that of the run around it.
 */
import { CliError, exitCodes } from "../exit-codes.ts";
import type { HttpClient } from "../http-client.ts";
import { adoptLease, openLease, type SessionLease } from "../lease.ts";
import { whoAndWhere } from "../wording.ts";
import { newOwner, type Surroundings } from "./environment.ts";
import type { RunOptions } from "./plan.ts";
import type { RunReport } from "./report.ts";

/** What holds when nobody says otherwise. */
const defaultLockDelayMs = 5000;

/** Rejects with CliError, or with an aborted signal's reason. */
export async function openRunLease(request: {
  readonly client: HttpClient;
  readonly options: RunOptions;
  readonly surroundings: Surroundings;
  readonly report: RunReport;
  readonly signal: AbortSignal;
}): Promise<{ readonly lease: SessionLease; readonly owner: string }> {
  const { client, options, surroundings, report, signal } = request;
  const { sessionId, owner } = surroundings;
  if (sessionId !== undefined) {
    const lease = await adopt(client, sessionId, signal);
    if (lease !== undefined) {
      const given = [options.ttl === undefined ? "" : "--ttl", options.label === undefined ? "" : "--label"];
      const unused = given.filter((flag) => flag !== "");
      const rest = unused.length === 0 ? "" : `; ${unused.join(" and ")} not used`;
      report.tell("session", `uses the session of the run around it${rest}`, {
        sessionRef: lease.sessionRef,
      });
      return { lease, owner: owner ?? newOwner() };
    }
    report.tell("session", "the session of HOLDFAST_SESSION is none of this cluster: opens its own");
  }
  const label = options.label ?? whoAndWhere();
  const lease = await openLease(client, { ttlMs: options.ttl, label, signal });
  return { lease, owner: newOwner() };
}

/** Undefined: the session belongs to another cluster. */
async function adopt(
  client: HttpClient,
  sessionId: string,
  signal: AbortSignal,
): Promise<SessionLease | undefined> {
  try {
    return await adoptLease(client, sessionId, signal);
  } catch (error) {
    if (!(error instanceof CliError) || !["not-found", "session-expired"].includes(error.failure.code))
      throw error;
    if (isElsewhere(client)) return undefined;
    const detail = `the session of the run around this one is over: ${error.failure.detail}`;
    throw new CliError({ exitCode: exitCodes.notAcquired, code: "session-expired", detail }, error);
  }
}

/** None of the nodes that the run around this one named is asked here. */
function isElsewhere({ endpoints }: HttpClient): boolean {
  const around = process.env["HOLDFAST_ENDPOINTS"]?.split(",") ?? [];
  return around.length > 0 && !around.some((endpoint) => endpoints.includes(endpoint));
}

/** Of a claim that names none. Asked for once, and then named in the claim: so what is counted with is what holds. */
export async function lockDelayOf(
  client: HttpClient,
  lease: SessionLease,
  signal: AbortSignal,
): Promise<number> {
  if (lease.isOwn && lease.lockDelayMs !== undefined) return lease.lockDelayMs;
  if (!lease.isOwn) {
    const path = `/v1/sessions/${lease.sessionId}`;
    const { lockDelayMs } = (await client.request({ method: "GET", path, signal })).body;
    if (typeof lockDelayMs === "number") return lockDelayMs;
  }
  const { body } = await client.request({ method: "GET", path: "/v1/cluster", signal });
  const { lockDelayMs } = (body["settings"] ?? {}) as { readonly lockDelayMs?: unknown };
  return typeof lockDelayMs === "number" ? lockDelayMs : defaultLockDelayMs;
}
