/**
 * `holdfast check`: whether sequencers are still good, for scripts that are handed one.
 */
import type { CheckView } from "../../api/types.ts";
import { mustSucceed } from "../api-failure.ts";
import { connect } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes } from "../exit-codes.ts";
import type { ConnectionOptions } from "../options.ts";
import { printable } from "../output.ts";

/** 0 only when every one of them is current. */
export async function check({ operands, options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const request = { method: "POST", path: "/v1/sequencers:check", body: { sequencers: operands } } as const;
  const answer = mustSucceed(await connect(options).request(request));
  const results = answer.body["results"] as readonly CheckView[];
  if (output.format === "json") output.data(answer, "");
  else for (const result of results) output.line({ ...result }, resultText(result));
  return results.every(({ status }) => status === "current") ? exitCodes.ok : exitCodes.failed;
}

function resultText({ status, name, fence, currentFence }: CheckView): string {
  if (name === undefined) return status;
  const newer = currentFence === undefined || currentFence === fence ? "" : `, the newest is ${currentFence}`;
  return `${status}  ${printable(name)}, fence ${fence}${newer}`;
}
