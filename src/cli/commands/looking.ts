/**
 * `holdfast try`, `ls`, `show`: look at locks without touching them.
 */

import { encodeLockName } from "../../api/names.ts";
import type { LockView } from "../../api/types.ts";
import { mustSucceed } from "../api-failure.ts";
import { connect, lockNameOf } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes } from "../exit-codes.ts";
import type { ApiAnswer } from "../http-client.ts";
import { type ListOptions, listAll } from "../listing.ts";
import type { ConnectionOptions } from "../options.ts";
import { printable, properties } from "../output.ts";
import { age, columns, lockText, metadataText } from "../wording.ts";

/** 0 when an acquire could have it at this moment, 75 when not. */
export async function tryLock({ operands, options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const { answer, lock } = await getLock(operands[0], options);
  output.data(answer, `${printable(lock.lock)} is ${lockText(lock)}`);
  const isFree = lock.state === "free" && lock.queueLength === 0;
  return isFree ? exitCodes.ok : exitCodes.notAcquired;
}

export async function show({ operands, options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const { answer, lock } = await getLock(operands[0], options);
  const { mode, holders, queue = [], queueLength, availableInMs } = lock;
  const lines = [
    properties([
      ["lock", lock.lock],
      ["state", lock.state],
      ["mode", mode],
      ["available in", availableInMs === undefined ? undefined : age(availableInMs)],
      ["waiting", queueLength],
      ["revision", lock.revision],
    ]),
  ];
  if (holders.length > 0) {
    const rows = holders.map(({ claimId, sessionRef, label, fence, heldMs, metadata }) => {
      return [claimId, sessionRef, label, String(fence), age(heldMs), metadataText(metadata)];
    });
    lines.push("", "held by", ...columns(["claim", "session", "label", "fence", "for", "metadata"], rows));
  }
  if (queue.length > 0) {
    const rows = queue.map(({ claimId, sessionRef, label, mode: wanted, waitedMs }, index) => {
      return [String(index + 1), claimId, sessionRef, label, wanted, age(waitedMs)];
    });
    lines.push("", "waiting", ...columns(["place", "claim", "session", "label", "mode", "for"], rows));
    if (queueLength > queue.length) lines.push(`  and ${queueLength - queue.length} more`);
  }
  output.data(answer, lines.join("\n"));
  return exitCodes.ok;
}

async function getLock(
  operand: string | undefined,
  options: ConnectionOptions,
): Promise<{ readonly answer: ApiAnswer; readonly lock: LockView }> {
  const name = lockNameOf(operand);
  const path = `/v1/locks/${encodeLockName(name)}`;
  const answer = mustSucceed(await connect(options).request({ method: "GET", path }));
  return { answer, lock: answer.body as unknown as LockView };
}

export interface LsOptions extends ConnectionOptions, ListOptions {
  readonly state?: string;
}

export async function ls({ operands, options, output }: Invocation<LsOptions>): Promise<number> {
  const [prefix] = operands;
  const query = {
    ...(prefix === undefined ? {} : { prefix }),
    ...(options.state === undefined ? {} : { state: options.state }),
  };
  await listAll<LockView>(
    { client: connect(options), output, path: "/v1/locks", query, page: options },
    ["lock", "state", "holder", "session", "for", "fence", "waiting"],
    ({ lock, state, holders: [holder], availableInMs, queueLength }) => [
      lock,
      state,
      holder?.label ?? "",
      holder?.sessionRef ?? "",
      holder === undefined ? (availableInMs === undefined ? "" : age(availableInMs)) : age(holder.heldMs),
      holder === undefined ? "" : String(holder.fence),
      String(queueLength),
    ],
  );
  return exitCodes.ok;
}
