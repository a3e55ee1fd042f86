/**
 * `holdfast cluster settings` and `settings set`: the numbers that the whole cluster uses.
 */

import { closest } from "../../config/closest.ts";
import { parseDuration } from "../../config/duration.ts";
import { isSettingName, type SettingName, settingBounds, settingNames } from "../../locks/settings.ts";
import { mustSucceed } from "../api-failure.ts";
import { connect } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes, usageError } from "../exit-codes.ts";
import type { ConnectionOptions } from "../options.ts";
import { table } from "../output.ts";

const path = "/v1/cluster/settings";

export async function showSettings({ options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const answer = mustSucceed(await connect(options).request({ method: "GET", path }));
  const settings = answer.body["settings"] as Readonly<Record<string, number>>;
  const rows = settingNames.map((name) => [name, String(settings[name]), settingBounds[name].doc]);
  output.data(answer, table(["setting", "value", "what it is"], rows));
  return exitCodes.ok;
}

export async function setSetting({
  operands: [name = "", text = ""],
  options,
  output,
}: Invocation<ConnectionOptions>): Promise<number> {
  if (!isSettingName(name)) {
    const guess = closest(name, settingNames);
    const known = guess === undefined ? `known are ${settingNames.join(", ")}` : `did you mean ${guess}?`;
    throw usageError(`${JSON.stringify(name)} is no setting: ${known}`);
  }
  const body = { [name]: valueOf(name, text) };
  const answer = mustSucceed(await connect(options).request({ method: "PUT", path, body }));
  const settings = answer.body["settings"] as Readonly<Record<string, number>>;
  output.data(answer, `${name} is ${settings[name]}`);
  return exitCodes.ok;
}

/** A bare number is in the setting's own unit; times may be written as durations. */
function valueOf(name: SettingName, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const isTime = /Ms(Max)?$/.test(name);
  const ms = isTime ? parseDuration(text) : undefined;
  if (ms !== undefined) return ms;
  throw usageError(
    `${name} takes a whole number${isTime ? " of milliseconds, or a duration as 10s" : ""}, not ${text}`,
  );
}
