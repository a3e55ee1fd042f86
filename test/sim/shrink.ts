/**
 * Makes a failing run small: first the time after the failure goes, then faults (by halves, then one by one), clients,
 * threads and what makes the network unruly. Each fault draws from a stream of its own, so leaving one out leaves the rest
 * as it was. A smaller run counts when it breaks the same rule.
 */
import { type Plan, planOf } from "./plan.ts";
import type { Violation } from "./recorder.ts";
import { type RunResult, run } from "./world.ts";

export interface Shrunk {
  readonly plan: Partial<Plan>;
  readonly violation: Violation;
  /** Faults that are left. */
  readonly faults: number;
}

/** Runs of one shrinking at most. */
const runsMax = 400;

/** Undefined when the seed breaks nothing. */
export function shrink(
  seed: number,
  forced: Partial<Plan>,
  tell: (text: string) => void,
): Shrunk | undefined {
  const first = run(seed, { plan: forced });
  const { violation } = first;
  if (violation === undefined) return undefined;
  let runs = 1;
  let best: Partial<Plan> = forced;
  let last: RunResult = first;

  /** Takes these changes over if the run still breaks the same rule. */
  function attempt(changes: Partial<Plan>, what: string): boolean {
    if (runs >= runsMax) return false;
    runs++;
    const plan = { ...best, ...changes };
    const result = run(seed, { plan });
    if (result.violation?.rule !== violation?.rule) return false;
    best = plan;
    last = result;
    tell(`${runs} runs: ${what}`);
    return true;
  }

  const whole = { ...planOf(seed), ...forced };
  // The run stopped where it failed, so this is all that it needs, unless it failed after the healing.
  const neededMs = Math.ceil(last.simulatedMs - whole.calmMs) + 1;
  if (neededMs < whole.faultyMs) attempt({ faultyMs: neededMs }, `${neededMs} ms of faults`);
  const left = (): readonly number[] => {
    const { without = [] } = best;
    return Array.from({ length: last.planned }, (_, i) => i + 1).filter(
      (number) => !without.includes(number),
    );
  };
  for (let size = Math.max(1, left().length >> 1); size >= 1; size = size > 1 ? size >> 1 : 0) {
    for (let at = 0; at < left().length; ) {
      const dropped = left().slice(at, at + size);
      const without = [...(best.without ?? []), ...dropped];
      if (!attempt({ without }, `without faults ${dropped.join(", ")}`)) at += size;
    }
  }
  for (let clients = 1; clients < whole.clients; clients++)
    if (attempt({ clients }, `${clients} clients`)) break;
  for (let threads = 1; threads < whole.threads; threads++)
    if (attempt({ threads }, `${threads} threads`)) break;
  for (let locks = 1; locks < whole.locks; locks++) if (attempt({ locks }, `${locks} locks`)) break;
  attempt({ pools: 0 }, "no semaphores");
  attempt({ loss: 0, duplication: 0, reorder: false }, "a quiet network");
  attempt({ delayMax: 0.5, diskMaxMs: 0.5 }, "constant latencies");
  attempt({ drift: 0, strays: 0 }, "true clocks, no strays");
  return { plan: best, violation: last.violation ?? violation, faults: left().length };
}
