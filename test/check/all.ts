/** All checkers of this folder, and what their rules are called. */
import { beliefRule, checkBelief } from "./belief.ts";
import { checkExactlyOnce, oneEndRule, oneFenceRule, sameClaimRule, unheardRule } from "./exactly-once.ts";
import { checkExpiry, earlyRule, lateRule } from "./expiry.ts";
import { checkFenced, fencedRule, lostUpdateRule } from "./fenced.ts";
import { checkFifo, fifoRule } from "./fifo.ts";
import type { Checker, Finding, History } from "./history.ts";
import { budgetRule, checkLinearizability, linearizabilityRule } from "./linearizability.ts";
import { checkPermits, overReleaseRule, permitsRule } from "./permits.ts";
import { causeRule, checkTruth, codeRule, delayRule, goneRule, lostRule } from "./truth.ts";
import { checkUnattended, unattendedRule } from "./unattended.ts";
import {
  checkWitness,
  claimRule,
  deadSessionRule,
  exclusionRule,
  fenceRule,
  lookRule,
  orderRule,
  refusalRule,
} from "./witness.ts";

export interface NamedChecker {
  readonly name: string;
  readonly check: Checker;
  /** Every finding has one of these. */
  readonly rules: readonly string[];
}

export const checkers: readonly NamedChecker[] = [
  {
    name: "witness",
    check: checkWitness,
    rules: [orderRule, exclusionRule, fenceRule, deadSessionRule, lookRule, refusalRule, claimRule],
  },
  { name: "linearizability", check: checkLinearizability, rules: [linearizabilityRule, budgetRule] },
  { name: "belief", check: checkBelief, rules: [beliefRule] },
  { name: "fenced", check: checkFenced, rules: [fencedRule, lostUpdateRule] },
  { name: "fifo", check: checkFifo, rules: [fifoRule] },
  { name: "permits", check: checkPermits, rules: [permitsRule, overReleaseRule] },
  {
    name: "exactly-once",
    check: checkExactlyOnce,
    rules: [sameClaimRule, oneEndRule, oneFenceRule, unheardRule],
  },
  { name: "expiry", check: checkExpiry, rules: [earlyRule, lateRule] },
  { name: "unattended", check: checkUnattended, rules: [unattendedRule] },
  { name: "truth", check: checkTruth, rules: [goneRule, causeRule, lostRule, codeRule, delayRule] },
];

/** Whatever the history breaks, by the checkers in their order. */
export function checkHistory(history: History): readonly Finding[] {
  return checkers.flatMap(({ check }) => check(history));
}
