/**
 * `holdfast semaphore set`, `show`, `ls`, `delete`.
 */
import { encodeLockName } from "../../api/names.ts";
import type { SemaphoreView } from "../../api/types.ts";
import { mustSucceed } from "../api-failure.ts";
import { connect, lockNameOf } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes } from "../exit-codes.ts";
import { type ListOptions, listAll } from "../listing.ts";
import type { ConnectionOptions } from "../options.ts";
import { printable, properties } from "../output.ts";
import { age, columns, metadataText } from "../wording.ts";

export interface SetOptions extends ConnectionOptions {
  readonly capacity: number;
}

export async function set({ operands, options, output }: Invocation<SetOptions>): Promise<number> {
  const body = { capacity: options.capacity };
  const answer = mustSucceed(
    await connect(options).request({ method: "PUT", path: pathOf(operands[0]), body }),
  );
  output.data(answer, semaphoreText(answer.body as unknown as SemaphoreView));
  return exitCodes.ok;
}

export async function show({ operands, options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const answer = mustSucceed(await connect(options).request({ method: "GET", path: pathOf(operands[0]) }));
  const semaphore = answer.body as unknown as SemaphoreView;
  const { capacity, available, cooling, isSet, holders, queue = [], queueLength, revision } = semaphore;
  const lines = [
    properties([
      ["semaphore", semaphore.semaphore],
      ["capacity", capacity],
      ["available", available],
      ["cooling", cooling === 0 ? undefined : cooling],
      ["stays", isSet ? "until it is deleted" : "while it is used"],
      ["waiting", queueLength],
      ["revision", revision],
    ]),
  ];
  if (holders.length > 0) {
    const rows = holders.map(({ claimId, sessionRef, label, permits, fence, heldMs, metadata }) => [
      claimId,
      sessionRef,
      label,
      String(permits),
      String(fence),
      age(heldMs),
      metadataText(metadata),
    ]);
    const head = ["claim", "session", "label", "permits", "fence", "for", "metadata"];
    lines.push("", "held by", ...columns(head, rows));
  }
  if (queue.length > 0) {
    const rows = queue.map(({ claimId, sessionRef, label, permits, waitedMs }, index) => [
      String(index + 1),
      claimId,
      sessionRef,
      label,
      String(permits),
      age(waitedMs),
    ]);
    lines.push("", "waiting", ...columns(["place", "claim", "session", "label", "permits", "for"], rows));
    if (queueLength > queue.length) lines.push(`  and ${queueLength - queue.length} more`);
  }
  output.data(answer, lines.join("\n"));
  return exitCodes.ok;
}

export async function list({
  operands: [prefix],
  options,
  output,
}: Invocation<ConnectionOptions & ListOptions>): Promise<number> {
  const query = prefix === undefined ? {} : { prefix };
  await listAll<SemaphoreView>(
    { client: connect(options), output, path: "/v1/semaphores", query, page: options },
    ["semaphore", "capacity", "available", "cooling", "holders", "waiting"],
    ({ semaphore, capacity, available, cooling, holders, queueLength }) => [
      semaphore,
      ...[capacity, available, cooling, holders.length, queueLength].map(String),
    ],
  );
  return exitCodes.ok;
}

export async function remove({ operands, options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const answer = mustSucceed(await connect(options).request({ method: "DELETE", path: pathOf(operands[0]) }));
  output.data(answer, `${printable(lockNameOf(operands[0]))} is deleted`);
  return exitCodes.ok;
}

function pathOf(operand: string | undefined): string {
  return `/v1/semaphores/${encodeLockName(lockNameOf(operand))}`;
}

function semaphoreText({ semaphore, capacity, available, queueLength }: SemaphoreView): string {
  const waiting = queueLength > 0 ? `, ${queueLength} waiting` : "";
  return `${printable(semaphore)} has ${capacity} permits, ${available} available${waiting}`;
}
