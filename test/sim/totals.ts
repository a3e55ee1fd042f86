/**
 * What many runs come to, and whether they exercised what they must: a run that met no fault proves nothing. The floors
 * stand here; `main.ts` and the tests hold their runs to them.
 */
import { faultKinds } from "./plan.ts";
import type { RunResult, Traffic } from "./world.ts";

export interface Totals {
  seeds: number;
  failed: { readonly seed: number; readonly rule: string; readonly message: string }[];
  events: number;
  simulatedMs: number;
  operations: number;
  unknown: number;
  calm: Traffic;
  quorumSafe: Traffic;
  faults: number;
  counts: Record<string, number>;
}

export function noTotals(): Totals {
  return {
    seeds: 0,
    failed: [],
    events: 0,
    simulatedMs: 0,
    operations: 0,
    unknown: 0,
    calm: { operations: 0, ms: 0 },
    quorumSafe: { operations: 0, ms: 0 },
    faults: 0,
    counts: {},
  };
}

export function addRun(totals: Totals, result: RunResult): void {
  const { seed, violation } = result;
  add(totals, {
    ...result,
    seeds: 1,
    failed: violation === undefined ? [] : [{ seed, rule: violation.rule, message: violation.message }],
    counts: { ...result.counts },
  });
}

export function add(totals: Totals, more: Totals): void {
  totals.seeds += more.seeds;
  totals.failed = [...totals.failed, ...more.failed].sort((a, b) => a.seed - b.seed);
  totals.events += more.events;
  totals.simulatedMs += more.simulatedMs;
  totals.operations += more.operations;
  totals.unknown += more.unknown;
  totals.calm = plus(totals.calm, more.calm);
  totals.quorumSafe = plus(totals.quorumSafe, more.quorumSafe);
  totals.faults += more.faults;
  for (const [what, count] of Object.entries(more.counts))
    totals.counts[what] = (totals.counts[what] ?? 0) + count;
}

function plus(a: Traffic, b: Traffic): Traffic {
  return { operations: a.operations + b.operations, ms: a.ms + b.ms };
}

export function perSecond({ operations, ms }: Traffic): number {
  return ms === 0 ? 0 : operations / (ms / 1_000);
}

/** Below any of these the runs are red, however few found a fault. */
export const floors = {
  /** Operations answered for good, a second, before the first fault, and while faults left a majority able to work. */
  calmPerSecond: 200,
  quorumSafePerSecond: 20,
  /** Share of operations that nobody was told of. */
  unknownShare: 0.2,
};

/** What is missing in these runs; `seldom` counts too when there were enough of them. */
export function shortcomings(totals: Totals, options: { readonly withSeldom: boolean }): readonly string[] {
  const faults: string[] = [];
  const calm = perSecond(totals.calm);
  const safe = perSecond(totals.quorumSafe);
  if (calm < floors.calmPerSecond) faults.push(`${calm.toFixed(0)} operations/s before faults`);
  if (safe < floors.quorumSafePerSecond)
    faults.push(`${safe.toFixed(0)} operations/s in quorum-safe fault windows`);
  const share = totals.unknown / Math.max(1, totals.operations);
  if (share > floors.unknownShare) faults.push(`${(100 * share).toFixed(1)} % unknown outcomes`);
  const kinds = totals.seeds >= 100 ? faultKinds.map((kind) => `fault ${kind}`) : [];
  const wanted = [...kinds, ...sometimes, ...(options.withSeldom ? seldom : [])];
  for (const what of wanted) if ((totals.counts[what] ?? 0) === 0) faults.push(`never: ${what}`);
  return faults;
}

/** Must have happened in every fifty seeds or so. In every hundred, also each kind of fault. */
export const sometimes: readonly string[] = [
  "append sent",
  "check-quorum step-down",
  "crash",
  "crash: unsynced bytes kept",
  "crash: unsynced bytes lost",
  "crash: unsynced bytes torn",
  "gave an acquire up",
  "grant after waiting",
  "grant exclusive",
  "grant permits",
  "grant shared",
  "hold ended max-hold",
  "hold ended session-closed",
  "hold ended session-expired",
  "hold ended session-killed",
  "hung up on a hold",
  "fetch done",
  "install over entries",
  "leader elected",
  "leader lost",
  "lease lost",
  "lease unknown",
  "log given up",
  "not the holder",
  "outcome claim-ended",
  "outcome claim-lost",
  "outcome keep-alive",
  "outcome session-closed",
  "outcome session-killed",
  "outcome shrunk",
  "redirected",
  "session expired",
  "session killed",
  "settings changed",
  "several granted at once",
  "snapshot made",
  "started from a snapshot",
  "stray copy",
  "told gone",
  "told of ends",
  "truncated",
  "truncated two or more",
  "unanswered indeterminate",
  "unanswered no-leader",
  "use",
  "vote refused",
  "walked away",
];

/** Must have happened in every thousand. */
export const seldom: readonly string[] = [
  "crash: unsynced bytes zeroed",
  "damaged member refused",
  "fetch dropped",
  "fetch resumed",
  "hung disk step-down",
  "outcome already-held",
  "outcome already-waiting",
  "outcome claim-conflict",
  "stale use refused",
  "started from an older snapshot",
  "wiped member refused",
];
