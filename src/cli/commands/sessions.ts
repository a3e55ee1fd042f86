/**
 * `holdfast session create`, `ls`, `show`, `close`. A session's id is a secret: it is printed to whoever creates the
 * session, and nowhere else.
 */
import { randomBytes } from "node:crypto";
import type { ClaimView, SessionView } from "../../api/types.ts";
import { mustSucceed } from "../api-failure.ts";
import { connect, sessionIdOf } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes, usageError } from "../exit-codes.ts";
import { type ListOptions, listAll } from "../listing.ts";
import type { ConnectionOptions } from "../options.ts";
import { aligned, properties } from "../output.ts";
import { age } from "../wording.ts";

export interface CreateOptions extends ConnectionOptions {
  readonly id?: string;
  readonly ttl?: number;
  readonly lockDelay?: number;
  readonly label?: string;
}

/** The id is made here, so that a repeated request finds the session of the first. */
export async function create({ options, output }: Invocation<CreateOptions>): Promise<number> {
  const { ttl: ttlMs, lockDelay: lockDelayMs, label } = options;
  const sessionId = options.id === undefined ? randomBytes(16).toString("hex") : sessionIdOf(options.id, "");
  const body = {
    sessionId,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(lockDelayMs === undefined ? {} : { lockDelayMs }),
    ...(label === undefined ? {} : { label }),
  };
  const answer = mustSucceed(await connect(options).request({ method: "POST", path: "/v1/sessions", body }));
  const session = answer.body as unknown as SessionView;
  output.data(
    answer,
    properties([
      ["session", sessionId],
      ["ref", session.sessionRef],
      ["ttl", age(session.ttlMs)],
    ]),
  );
  return exitCodes.ok;
}

export async function list({
  options,
  output,
}: Invocation<ConnectionOptions & ListOptions>): Promise<number> {
  await listAll<SessionView>(
    { client: connect(options), output, path: "/v1/sessions", query: {}, page: options },
    ["session", "label", "ttl", "expires in", "created"],
    ({ sessionRef, label, ttlMs, expiresInMs, createdAt }) => [
      sessionRef,
      label,
      age(ttlMs),
      age(expiresInMs),
      createdAt,
    ],
  );
  return exitCodes.ok;
}

export async function showSession({
  operands,
  options,
  output,
}: Invocation<ConnectionOptions>): Promise<number> {
  const path = `/v1/sessions/${idOrRef(operands[0])}`;
  const answer = mustSucceed(await connect(options).request({ method: "GET", path }));
  const {
    sessionRef,
    label,
    ttlMs,
    expiresInMs,
    lockDelayMs,
    createdAt,
    claims = [],
    claimCount,
  } = answer.body as unknown as SessionView;
  const lines = [
    properties([
      ["ref", sessionRef],
      ["label", label === "" ? undefined : label],
      ["ttl", age(ttlMs)],
      ["expires in", age(expiresInMs)],
      ["lock-delay", lockDelayMs === undefined ? undefined : age(lockDelayMs)],
      ["created", createdAt],
      ["claims", claimCount ?? claims.length],
    ]),
    ...aligned(claims.map(claimRow)).map((line) => `  ${line}`),
  ];
  output.data(answer, lines.join("\n"));
  return exitCodes.ok;
}

function claimRow(claim: ClaimView): readonly string[] {
  const names =
    claim.state === "ended"
      ? []
      : claim.resources.map((claimed) => ("lock" in claimed ? claimed.lock : claimed.semaphore));
  const ms = claim.state === "held" ? claim.heldMs : claim.state === "waiting" ? claim.waitedMs : undefined;
  return [claim.claimId, claim.state, names.join(" "), ms === undefined ? "" : age(ms)];
}

/** A clean end: what the session holds is released without delay. */
export async function close({ operands, options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const sessionId = sessionIdOf(operands[0], "name its id");
  const path = `/v1/sessions/${sessionId}`;
  const answer = mustSucceed(await connect(options).request({ method: "DELETE", path }));
  const { sessionRef, reason } = answer.body;
  output.data(answer, `session ${String(sessionRef)} is ${String(reason ?? "closed")}`);
  return exitCodes.ok;
}

export interface KillOptions extends ConnectionOptions {
  readonly reason: string;
}

/** An operator's end of somebody's session. */
export async function kill({ operands, options, output }: Invocation<KillOptions>): Promise<number> {
  const path = `/v1/sessions/${idOrRef(operands[0])}:kill`;
  const body = { reason: options.reason };
  const answer = mustSucceed(await connect(options).request({ method: "POST", path, body }));
  output.data(answer, `session ${String(answer.body["sessionRef"])} is killed`);
  return exitCodes.ok;
}

function idOrRef(operand: string | undefined): string {
  const id = operand ?? process.env["HOLDFAST_SESSION"] ?? "";
  if (/^[A-Za-z0-9._~-]{1,64}$/.test(id)) return id;
  throw usageError("name a session by its id or its ref, or set HOLDFAST_SESSION");
}
