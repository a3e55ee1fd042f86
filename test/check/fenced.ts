/**
 * The fenced resource (SEMANTICS §6, I11): whatever clients believed, the resource let nobody in behind a later grant,
 * and no accepted write lost another one. Judges the resource's own log, in its order. Uses under permits have no order
 * among holders, so nothing is concluded of them; neither is a refusal ever wrong here.
 */
import { groupBy } from "./facts.ts";
import type { Checker, Finding, Use } from "./history.ts";

export const fencedRule = "I11-fenced";
export const lostUpdateRule = "I11-lost-update";

export const checkFenced: Checker = (history) => {
  const accepted = history.uses.filter(({ accepted: isAccepted, mode }) => isAccepted && mode !== "permits");
  return [...groupBy(accepted, ({ name }) => name).values()].flatMap(checkName);
};

/** The rule of two marks, and the chain of reads and writes. */
function checkName(uses: readonly Use[]): readonly Finding[] {
  const findings: Finding[] = [];
  let exclusiveMark = 0;
  let sharedMark = 0;
  let last: Use | undefined;
  for (const use of uses) {
    const { mode, fence } = use;
    const mark = mode === "exclusive" ? Math.max(exclusiveMark, sharedMark) : exclusiveMark;
    if (fence < mark) findings.push(finding(fencedRule, use, `after ${mark}`));
    if (mode === "shared") {
      sharedMark = Math.max(sharedMark, fence);
      continue;
    }
    exclusiveMark = Math.max(exclusiveMark, fence);
    if (last !== undefined && use.read !== last.wrote) {
      findings.push(
        finding(lostUpdateRule, use, `read ${use.read}, ${last.client} had written ${last.wrote}`),
      );
    }
    last = use;
  }
  return findings;
}

function finding(rule: string, { client, name, mode, fence, at }: Use, what: string): Finding {
  const detail = `${name} let ${client} in at ${at} (${mode}, fence ${fence}): ${what}`;
  return { rule, detail, operations: [] };
}
