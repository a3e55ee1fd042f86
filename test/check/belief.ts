/**
 * Belief (SEMANTICS §11 I10): no two clients believe, at the same time, in holds that exclude each other, and permits
 * believed in are never more than there are. Judges the intervals as they were recorded; never how a client came to
 * them.
 */
import { factsOf, groupBy, isConflict } from "./facts.ts";
import type { Belief, Checker, Finding, History } from "./history.ts";

export const beliefRule = "I10-belief";

export const checkBelief: Checker = (history) => {
  const byName = groupBy(
    history.beliefs.filter(({ from, to }) => to > from),
    ({ asked }) => asked.name,
  );
  return [...byName].flatMap(([name, beliefs]) => checkName(history, name, beliefs));
};

/** One sweep in the order of beginnings; who ended before is dropped. */
function checkName(history: History, name: string, beliefs: readonly Belief[]): readonly Finding[] {
  const findings: Finding[] = [];
  const capacity = history.capacities.get(name) ?? Infinity;
  let alive: Belief[] = [];
  for (const belief of beliefs.toSorted((a, b) => a.from - b.from || a.to - b.to)) {
    alive = alive.filter(({ to }) => to > belief.from);
    // Two threads that hear of one claim believe in one hold.
    const others = alive.filter(({ claimId }) => claimId !== belief.claimId);
    for (const other of others) {
      if (isConflict(other.asked, belief.asked)) findings.push(finding(name, [other, belief], "exclude"));
    }
    const believed = distinct([...others, belief]).filter(({ asked }) => asked.mode === "permits");
    const permits = believed.reduce((sum, one) => sum + permitsAt(history, one, belief.from), 0);
    if (permits > capacity) findings.push(finding(name, believed, `${permits} of ${capacity} permits`));
    alive.push(belief);
  }
  return findings;
}

/** Whoever sends a shrink believes in the rest only. */
function permitsAt(history: History, { claimId, asked }: Belief, time: number): number {
  const shrinks = factsOf(history).claims.get(claimId)?.shrinks ?? [];
  return shrinks.reduce(
    (least, { sentAt, permits }) => (sentAt <= time ? Math.min(least, permits) : least),
    asked.permits,
  );
}

function distinct(beliefs: readonly Belief[]): readonly Belief[] {
  return [...new Map(beliefs.map((belief) => [belief.claimId, belief])).values()];
}

function finding(name: string, beliefs: readonly Belief[], what: string): Finding {
  const who = beliefs.map(
    ({ client, claimId, fence, from, to }) => `${client} in ${claimId} (fence ${fence}) ${from}…${to}`,
  );
  return { rule: beliefRule, detail: `belief in ${name}, ${what}: ${who.join("; ")}`, operations: [] };
}
