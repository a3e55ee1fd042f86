/**
 * What must hold between the values of a cluster file: timing, limits, members and their addresses.
 * Each rule reports at the value that was written, never at a default.
 */
import { settingOrder } from "../locks/settings.ts";
import { canonicalAddress, formatAddress, isLoopback, isWildcard } from "./address.ts";
import type { ConfigProblem, Origin } from "./problems.ts";
import type { ClusterConfig, HostPort } from "./types.ts";

/** Where each value came from, by path (`timing.tickMs`, `members[0].peer`). */
export type Origins = ReadonlyMap<string, Origin>;

export interface Relations {
  readonly problems: readonly ConfigProblem[];
  /** Things that work and that somebody may not have meant. */
  readonly warnings: readonly string[];
}

export function checkRelations(config: ClusterConfig, origins: Origins): Relations {
  const problems = [...timingProblems(config, origins), ...limitProblems(config, origins)];
  problems.push(...memberProblems(config, origins), ...doorProblems(config, origins));
  return { problems, warnings: problems.length > 0 ? [] : warningsOf(config) };
}

/** The origin of the first path that somebody wrote. */
function writtenAt(origins: Origins, paths: readonly string[]): Origin {
  const written = paths.map((path) => origins.get(path)).find((origin) => origin?.kind !== "default");
  return written ?? { kind: "default" };
}

function timingProblems({ timing }: ClusterConfig, origins: Origins): readonly ConfigProblem[] {
  const { tickMs, heartbeatMs, electionTimeoutMs } = timing;
  const problems: ConfigProblem[] = [];
  for (const [name, value] of [
    ["heartbeatMs", heartbeatMs],
    ["electionTimeoutMs", electionTimeoutMs],
  ] as const) {
    if (value % tickMs === 0) continue;
    const path = `timing.${name}`;
    problems.push({
      origin: writtenAt(origins, [path, "timing.tickMs"]),
      path,
      what: `must be a multiple of tickMs (${tickMs}), is ${value}`,
      right: `write ${Math.max(1, Math.round(value / tickMs)) * tickMs}`,
    });
  }
  if (electionTimeoutMs <= 2 * heartbeatMs) {
    const path = "timing.electionTimeoutMs";
    problems.push({
      origin: writtenAt(origins, [path, "timing.heartbeatMs"]),
      path,
      what: `must be more than twice heartbeatMs (${heartbeatMs}), is ${electionTimeoutMs}`,
      right: `two lost heartbeats must not look like a dead leader, write ${((2 * heartbeatMs) / tickMs + 1) * tickMs} or more`,
    });
  }
  return problems;
}

function limitProblems({ settings, node }: ClusterConfig, origins: Origins): readonly ConfigProblem[] {
  const pairs = [
    ...settingOrder.map(
      ([low, high]) => [`settings.${low}`, settings[low], `settings.${high}`, settings[high]] as const,
    ),
    ["node.bodyBytes", node.bodyBytes, "node.batchBytes", node.batchBytes] as const,
  ];
  return pairs.flatMap(([low, lowValue, high, highValue]) => {
    if (lowValue <= highValue) return [];
    const origin = writtenAt(origins, [low, high]);
    const what = `is ${lowValue} and must not exceed ${high}, which is ${highValue}`;
    return [{ origin, path: low, what, right: "lower it or raise the other" }];
  });
}

function memberProblems({ members, listen }: ClusterConfig, origins: Origins): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const ids = new Map<string, number>();
  const addresses = new Map<string, string>();
  members.forEach(({ id, peer, http }, index) => {
    const at = `members[${index}]`;
    const first = ids.get(id);
    if (first === undefined) ids.set(id, index);
    else {
      const what = `is ${id}, which members[${first}] has already`;
      problems.push(problemAt(origins, `${at}.id`, what, "give each member an id of its own"));
    }
    for (const [path, address] of [
      [`${at}.peer`, peer],
      [`${at}.http`, http],
    ] as const) {
      const taken = addresses.get(canonicalAddress(address));
      if (taken === undefined) addresses.set(canonicalAddress(address), path);
      else {
        const what = `is ${formatAddress(address)}, which ${taken} has already`;
        problems.push(problemAt(origins, path, what, "give it a port of its own"));
      }
      if (isWildcard(address.host)) {
        const right = "write how others reach it here, and the wildcard under listen";
        problems.push(problemAt(origins, path, `is ${formatAddress(address)}, which nobody can dial`, right));
      }
    }
  });
  const { http, peer } = listen;
  if (http !== undefined && peer !== undefined && canonicalAddress(http) === canonicalAddress(peer)) {
    const what = `is ${formatAddress(peer)}, which listen.http has already`;
    problems.push(problemAt(origins, "listen.peer", what, "give it a port of its own"));
  }
  return problems;
}

/** Nothing is encrypted and nobody is asked who he is: such a port must not be reachable by accident. */
function doorProblems(config: ClusterConfig, origins: Origins): readonly ConfigProblem[] {
  if (config.security.open) return [];
  return openDoors(config).map(([path, address]) =>
    problemAt(
      origins,
      path,
      `is ${formatAddress(address)}, which other machines may reach, and nothing protects it`,
      "write a loopback address, or `security: { open: true }` if the network itself is closed",
    ),
  );
}

function openDoors({ members, listen }: ClusterConfig): readonly (readonly [string, HostPort])[] {
  const all: (readonly [string, HostPort])[] = members.flatMap(({ peer, http }, index) => [
    [`members[${index}].peer`, peer] as const,
    [`members[${index}].http`, http] as const,
  ]);
  if (listen.http !== undefined) all.push(["listen.http", listen.http]);
  if (listen.peer !== undefined) all.push(["listen.peer", listen.peer]);
  return all.filter(([, { host }]) => !isLoopback(host));
}

function problemAt(origins: Origins, path: string, what: string, right: string): ConfigProblem {
  return { origin: origins.get(path) ?? { kind: "default" }, path, what, right };
}

function warningsOf(config: ClusterConfig): readonly string[] {
  const warnings: string[] = [];
  const doors = openDoors(config);
  if (doors.length > 0) {
    const list = doors.map(([, address]) => formatAddress(address)).join(", ");
    warnings.push(
      `security.open is true: ${list} can be reached without encryption and without authentication`,
    );
  }
  const count = config.members.length;
  if (count % 2 === 0) {
    warnings.push(
      `${count} members bear the loss of ${count / 2 - 1}, as ${count - 1} would: an odd number is better`,
    );
  }
  return warnings;
}
