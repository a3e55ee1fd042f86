/**
 * What came of a run, as text: the closing figures, and the timeline of a failure. Pure.
 */
import type { Operation } from "../check/history.ts";
import { findingsText } from "./judge.ts";
import { type Check, type Done, type Figures, injectionText, type RunResult } from "./run.ts";
import { type FaultKind, faultKinds } from "./schedule.ts";
import type { Moment } from "./timeline.ts";

export interface FaultCount {
  installed: number;
  skipped: number;
  indeterminate: number;
}

export type FaultCounts = Readonly<Record<FaultKind, Readonly<FaultCount>>>;

export function countsOf(done: readonly Done[]): FaultCounts {
  const counts = Object.fromEntries(
    faultKinds.map((kind) => [kind, { installed: 0, skipped: 0, indeterminate: 0 }]),
  ) as Record<FaultKind, FaultCount>;
  for (const { fault, injection } of done) counts[fault.kind][injection.kind]++;
  return counts;
}

export function resultText(result: {
  readonly seed: number;
  readonly nodes: number;
  readonly figures: Figures;
  readonly checks: readonly Check[];
  readonly faults: FaultCounts;
  readonly kept: string | undefined;
}): string {
  const { seed, nodes, figures, checks, faults, kept } = result;
  const { operations, unknown, perSecondBefore, perSecondDuring, grants, uses, refusedUses, seconds } =
    figures;
  const sum = (of: keyof FaultCount) => faultKinds.reduce((total, kind) => total + faults[kind][of], 0);
  const byKind = faultKinds
    .filter((kind) => sumOf(faults[kind]) > 0)
    .map((kind) => {
      const { installed, skipped, indeterminate } = faults[kind];
      const rest = [
        ...(skipped > 0 ? [`${skipped} skipped`] : []),
        ...(indeterminate > 0 ? [`${indeterminate} indeterminate`] : []),
      ];
      return `${kind} ${installed}${rest.length > 0 ? ` (${rest.join(", ")})` : ""}`;
    });
  const share = ((unknown / Math.max(1, operations)) * 100).toFixed(2);
  return [
    `seed ${seed}, ${nodes} nodes, ${seconds} s`,
    `  faults: ${sum("installed")} installed, ${sum("skipped")} skipped, ${sum("indeterminate")} indeterminate; ` +
      `${figures.leaderHits} hit the leader`,
    `  ${byKind.join(", ")}`,
    `  ${operations} operations, ${share} % unknown; ${perSecondBefore.toFixed(0)} op/s before the faults, ` +
      `${perSecondDuring.toFixed(0)} op/s in ${figures.safeSeconds.toFixed(0)} s with a majority under them`,
    `  longest time without an answer ${figures.longestOutageMs} ms; a leader ${figures.recoveryMs ?? "–"} ms after the last`,
    `  ${grants} grants believed in, ${uses} uses of the resource, ${refusedUses} refused`,
    ...checks.filter(({ isKept }) => !isKept).map(({ name, detail }) => `  BROKEN: ${name}: ${detail}`),
    ...(kept === undefined ? [] : [`  kept in ${kept}`]),
    "",
  ].join("\n");
}

function sumOf({ installed, skipped, indeterminate }: FaultCount): number {
  return installed + skipped + indeterminate;
}

/** Everything in the order of time, from the first moment on, in seconds. */
export function timelineText({ timeline, history, done, checks, findings }: RunResult): string {
  const operations = history.operations.flatMap(momentsOf);
  const beliefs = history.beliefs.flatMap(({ client, claimId, fence, asked, from, to }): Moment[] => [
    { at: from, who: client, text: `believes in ${claimId} (${asked.mode} ${asked.name}, fence ${fence})` },
    { at: to, who: client, text: `believes no more in ${claimId}` },
  ]);
  const uses = history.uses.map(
    ({ client, name, mode, fence, at, accepted, read, wrote }): Moment => ({
      at,
      who: "resource",
      text: `${accepted ? "took" : "REFUSED"} ${mode} ${name} of ${client}, fence ${fence}, ${read} to ${wrote}`,
    }),
  );
  return [
    ...checks.map(({ name, isKept, detail }) => `${isKept ? "kept" : "BROKEN"}: ${name}: ${detail}`),
    findingsText(history, findings),
    ...done.map(({ fault, injection }) => `fault ${fault.index} ${fault.kind}: ${injectionText(injection)}`),
    "",
    momentsText([...timeline.moments, ...operations, ...beliefs, ...uses]),
  ].join("\n");
}

/** In the order of time, in seconds from the first on. */
export function momentsText(moments: readonly Moment[]): string {
  const sorted = moments.toSorted((a, b) => a.at - b.at);
  const start = sorted[0]?.at ?? 0;
  const lines = sorted.map(({ at, who, text }) => {
    const seconds = ((at - start) / 1_000).toFixed(4).padStart(10);
    return `${seconds} ${who.padEnd(9)} ${text}\n`;
  });
  return lines.join("");
}

function momentsOf(operation: Operation): readonly Moment[] {
  const { id, client, sentAt, answeredAt, revision, answer, ...rest } = operation;
  const sent: Moment = { at: sentAt, who: client, text: `#${id} ${JSON.stringify(rest)}` };
  if (answeredAt === undefined) return [{ ...sent, text: `${sent.text} (never answered)` }];
  return [
    sent,
    { at: answeredAt, who: client, text: `#${id} answered at ${revision}: ${JSON.stringify(answer)}` },
  ];
}
