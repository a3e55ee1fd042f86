/**
 * /v1/cluster/settings: the numbers that the state machine uses, and changing them, all or none. What was granted under
 * the old ones stays granted.
 */
import type { SettingsBody } from "../api/schemas.ts";
import { isSettingName, settingBounds, settingNames } from "../locks/settings.ts";
import type { Exchange } from "./exchange.ts";
import { refusedOutcome } from "./outcomes.ts";
import { invalid } from "./problems.ts";
import { read } from "./reads.ts";

export function getSettings(exchange: Exchange): void {
  read(
    exchange,
    ({ state, revision }) => {
      if (state.settings === undefined)
        exchange.problem(refusedOutcome({ kind: "not-founded" }, exchange.node.staleView()));
      else exchange.answer(200, { settings: { ...state.settings }, revision });
    },
    ({ state }) => state.settings !== undefined,
  );
}

export function putSettings(exchange: Exchange): void {
  const changes = Object.entries(exchange.request.body as SettingsBody).map(([name, value]) => {
    if (!isSettingName(name))
      throw invalid(`/${name}`, `is no setting; there are ${settingNames.join(", ")}`);
    const { min, max } = settingBounds[name];
    if (value < min || value > max) throw invalid(`/${name}`, `must be from ${min} to ${max}`);
    return [name, value + 0] as const;
  });
  exchange.write({ kind: "set-settings", changes }, ({ outcome, revision, view }) => {
    switch (outcome.kind) {
      case "settings":
        return exchange.answer(200, { settings: { ...outcome.settings }, revision });
      case "settings-refused":
      case "not-founded":
        return exchange.problem(refusedOutcome(outcome, view));
      default:
        throw new Error(`set-settings cannot end as ${outcome.kind}`);
    }
  });
}
