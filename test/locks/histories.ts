/** Random histories of the lock machine, for whatever must hold over all of them. */
import fc from "fast-check";
import { isBehind } from "../../src/locks/deadlines.ts";
import type { Outcome } from "../../src/locks/outcomes.ts";
import type { Claim, LockState } from "../../src/locks/records.ts";
import type { Settings } from "../../src/locks/settings.ts";
import { type AcquireOptions, Bench } from "./bench.ts";

export type Step =
  | { readonly kind: "pass"; readonly ms: number; readonly logged: boolean }
  | { readonly kind: "term" }
  | { readonly kind: "open" | "keep" | "seen" | "close" | "kill"; readonly session: number }
  | {
      readonly kind: "acquire";
      readonly session: number;
      readonly claim: number;
      /** Of a lock; of a semaphore of three permits from 2 on. */
      readonly name: number;
      readonly mode: "exclusive" | "shared";
      readonly permits: number;
      readonly waitMs: number;
      readonly maxHoldMs: number | undefined;
      readonly owner: string | undefined;
    }
  | { readonly kind: "resize"; readonly capacity: number }
  | { readonly kind: "release"; readonly session: number; readonly claim: number }
  | { readonly kind: "cancel"; readonly claim: number; readonly isFenced: boolean };

const session = fc.nat(4);
const claim = fc.nat(25);
/** 0 is an id never used before. */
const newClaim = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: claim });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      // The constants make deadlines fall together, which is where the order of ends matters.
      ms: fc.oneof(fc.nat(4_000), fc.constantFrom(0, 500, 700, 1_200, 3_000, 6_000)),
      logged: fc.constantFrom(true, false, false, false),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "term" } as const) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "open" as const,
        "open" as const,
        "keep" as const,
        "keep" as const,
        "seen" as const,
        "close" as const,
        "kill" as const,
      ),
      session,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("acquire" as const),
      session,
      claim: newClaim,
      name: fc.nat(2),
      mode: fc.constantFrom("exclusive" as const, "exclusive" as const, "shared" as const),
      permits: fc.integer({ min: 1, max: 3 }),
      waitMs: fc.constantFrom(0, 500, 3_000, 6_000, 20_000),
      maxHoldMs: fc.constantFrom(undefined, undefined, 500, 3_000),
      owner: fc.constantFrom(undefined, undefined, "x"),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("release" as const), session, claim }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("resize" as const), capacity: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("cancel" as const), claim, isFenced: fc.boolean() }),
  },
);

/** Plays the steps and tells what each said, without what only the budget may change. */
export function play(
  steps: readonly Step[],
  settings: Partial<Settings>,
): { readonly bench: Bench; readonly said: readonly string[] } {
  const bench = new Bench(settings);
  bench.semaphore("p", 3);
  const said: string[] = [];
  let fresh = 0;
  for (let i = 0; i < 4; i++) bench.open(`s${i}`, { ttlMs: 6_000, lockDelayMs: (i % 2) * 700 });
  for (const s of steps) {
    switch (s.kind) {
      case "pass":
        // As the leader does: what the budget left over is proposed at once. Time that passes meanwhile may run out for
        // a wait, or move a grant: that is "when" (see `budget.test.ts`), and no two budgets could agree on it.
        sweepOut(bench);
        bench.time += s.ms;
        if (s.logged) bench.do({ kind: "advance-time" });
        break;
      case "term":
        bench.term();
        break;
      case "open":
        said.push(bench.open(`s${s.session}`, { ttlMs: 6_000, lockDelayMs: (s.session % 2) * 700 }).kind);
        break;
      case "keep":
        said.push(...renewals(bench.keep(`s${s.session}`)));
        break;
      case "seen": {
        // What the answer before told it; told again as long as it was not the newest.
        const seen = bench.state.sessions.get(`s${s.session}`)?.lastRenewal ?? 0;
        said.push(...renewals(bench.keep(`s${s.session}`, seen)));
        break;
      }
      case "kill":
        if (!bench.isKnown(`s${s.session}`)) break;
        said.push(bench.kill(`s${s.session}`).kind);
        break;
      case "resize":
        said.push(bench.semaphore("p", s.capacity).kind);
        break;
      case "close":
        said.push(bench.close(`s${s.session}`).kind);
        break;
      case "acquire": {
        const id = `c${s.claim === 0 ? ++fresh : s.claim}`;
        const outcome = bench.acquire(`s${s.session}`, id, optionsOf(s));
        said.push(
          outcome.kind === "claim" ? `claim ${bench.how(id)} ${whyNot(outcome.claim)}` : outcome.kind,
        );
        break;
      }
      case "release":
        said.push(releaseText(bench.release(`s${s.session}`, `c${s.claim}`)));
        break;
      case "cancel": {
        // Whoever knows a fence was told of the grant, so it was made.
        if (s.isFenced) sweepOut(bench);
        const fence = bench.state.claims.get(`c${s.claim}`)?.grant?.fence;
        said.push(bench.cancel(`c${s.claim}`, s.isFenced ? fence : undefined).kind);
        break;
      }
    }
  }
  // What was left over is swept now, and every end must be the same one.
  bench.do({ kind: "advance-time" });
  sweepOut(bench);
  for (const { id, end } of bench.state.claims.values()) {
    if (end !== undefined) said.push(`${id} ${end.reason} at ${end.at}`);
  }
  return { bench, said };
}

/** Entries without a command until nothing that was due is left; cluster time stands still. */
function sweepOut(bench: Bench): void {
  while (isBehind(bench.state)) bench.do({ kind: "advance-time" });
}

/** A time-out is explained by what stood in the way when it was noticed, which is the budget's; a refusal is not. */
function whyNot({ end }: Claim): string {
  const refusal = end?.reason === "refused" ? end.refusal : undefined;
  return `${refusal?.reason} ${refusal?.queueLength}`;
}

function releaseText(outcome: Outcome): string {
  if (outcome.kind !== "released" && outcome.kind !== "claim-lost") return outcome.kind;
  return `${outcome.kind} ${outcome.claim.end?.reason}`;
}

function optionsOf(s: Extract<Step, { readonly kind: "acquire" }>): AcquireOptions {
  const what = s.name < 2 ? { lock: `l${s.name}`, mode: s.mode } : { semaphore: "p", permits: s.permits };
  return {
    ...what,
    waitMs: s.waitMs,
    ...(s.maxHoldMs === undefined ? {} : { maxHoldMs: s.maxHoldMs }),
    ...(s.owner === undefined ? {} : { owner: s.owner }),
  };
}

/** With what each was told of ended holds; in which order they were noticed is the budget's. */
function renewals(outcome: Outcome): readonly string[] {
  if (outcome.kind !== "keep-alive") return [outcome.kind];
  return outcome.items.map((item) =>
    item.kind === "renewed"
      ? `renewed ${item.unseenEnds
          .map(({ claimId, reason }) => `${claimId}:${reason}`)
          .sort()
          .join()}`
      : item.kind,
  );
}

/** Up to 120 steps, as often long as short: by default ten would be usual, and hardly anybody would ever wait to the end. */
export const history = fc.array(step, { minLength: 1, maxLength: 120, size: "max" });

/** Of a machine in which everything is: holders, waiters, ended holds, barriers, tombstones. */
export function busy(): LockState {
  const { bench } = play(
    [
      ...Array.from({ length: 12 }, (_, i) => ({
        kind: "acquire" as const,
        session: i % 4,
        claim: 0,
        name: i % 3,
        mode: "exclusive" as const,
        permits: 2,
        waitMs: 20_000,
        maxHoldMs: i === 0 ? 500 : undefined,
        owner: undefined,
      })),
      { kind: "pass", ms: 700, logged: true },
      { kind: "keep", session: 0 },
      { kind: "kill", session: 1 },
    ],
    {},
  );
  return bench.state;
}
