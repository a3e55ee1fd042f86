/**
 * What is wrong with a history, if anything. The one place that names the checkers.
 */
import type { Belief, Finding, History, Use } from "../check/history.ts";

export function judge(history: History): readonly Finding[] {
  return [...beliefFindings(history), ...fenceFindings(history), ...useFindings(history)];
}

function byName<T extends { readonly name: string }>(items: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(item.name);
    if (group === undefined) groups.set(item.name, [item]);
    else group.push(item);
  }
  return groups;
}

/** I10: conflicting beliefs never overlap; never more permits are believed in than there are. */
function beliefFindings({ beliefs, capacities }: History): readonly Finding[] {
  const findings: Finding[] = [];
  const named = beliefs.map((belief) => ({ name: belief.asked.name, belief }));
  for (const [name, group] of byName(named)) {
    const sorted = group.map(({ belief }) => belief).sort((a, b) => a.from - b.from);
    let open: readonly Belief[] = [];
    for (const belief of sorted) {
      open = open.filter(({ to }) => to > belief.from);
      const conflicting = open.filter(({ asked }) => isConflict(asked.mode, belief.asked.mode));
      for (const other of conflicting)
        findings.push({
          rule: "I10-belief",
          detail: `${name}: ${shown(other)} and ${shown(belief)}`,
          operations: [],
        });
      open = [...open, belief];
      const capacity = capacities.get(name);
      const permits = open.reduce((sum, { asked }) => sum + asked.permits, 0);
      if (belief.asked.mode === "permits" && capacity !== undefined && permits > capacity)
        findings.push({ rule: "I10-permits", detail: `${name}: ${permits} of ${capacity}`, operations: [] });
    }
  }
  return findings;
}

function isConflict(a: string, b: string): boolean {
  return a !== "permits" && (a === "exclusive" || b === "exclusive");
}

function shown({ client, claimId, fence, from, to }: Belief): string {
  return `${claimId} of ${client} (fence ${fence}) from ${from.toFixed(1)} to ${to.toFixed(1)}`;
}

/** I3: a fence is given once, and later grants have higher ones. */
function fenceFindings({ beliefs }: History): readonly Finding[] {
  const findings: Finding[] = [];
  const claims = new Map<number, string>();
  for (const { fence, claimId } of beliefs) {
    const other = claims.get(fence);
    if (other !== undefined && other !== claimId)
      findings.push({
        rule: "I3-fences",
        detail: `fence ${fence} of ${other} and ${claimId}`,
        operations: [],
      });
    claims.set(fence, claimId);
  }
  return findings;
}

/** I11: what the resource took obeys the two marks and never interleaves. */
function useFindings({ uses }: History): readonly Finding[] {
  return [...byName(uses)].flatMap(([name, group]) => interleavings(name, group));
}

function interleavings(name: string, uses: readonly Use[]): readonly Finding[] {
  const findings: Finding[] = [];
  let exclusive = 0;
  let shared = 0;
  let counter = 0;
  for (const { accepted, mode, fence, client, read, wrote, at } of uses) {
    if (!accepted) continue;
    const mark = mode === "exclusive" ? Math.max(exclusive, shared) : exclusive;
    const text = `${name}: ${client} used it with fence ${fence} at ${at.toFixed(1)}`;
    if (fence < mark) findings.push({ rule: "I11-fenced", detail: `${text}, after ${mark}`, operations: [] });
    if (mode !== "exclusive") {
      shared = Math.max(shared, fence);
      continue;
    }
    if (read !== counter)
      findings.push({
        rule: "I11-fenced",
        detail: `${text}, from ${read} when it was ${counter}`,
        operations: [],
      });
    exclusive = Math.max(exclusive, fence);
    counter = wrote;
  }
  return findings;
}

/** One JSON text a line: what was done, believed and used, in order of time within each kind. */
export function historyLines(history: History): string {
  const line = (what: string, value: object) => JSON.stringify({ what, ...value }, finite);
  const { operations, beliefs, uses, abandoned, healthy, capacities, drift, lockDelayMs } = history;
  return [
    line("run", { capacities: [...capacities], drift, lockDelayMs }),
    ...operations.map((one) => line("operation", one)),
    ...beliefs.map((one) => line("belief", one)),
    ...uses.map((one) => line("use", one)),
    ...abandoned.map((one) => line("abandoned", one)),
    ...healthy.map((one) => line("healthy", one)),
    "",
  ].join("\n");
}

function finite(_key: string, value: unknown): unknown {
  return value === Number.POSITIVE_INFINITY ? "infinite" : value;
}
