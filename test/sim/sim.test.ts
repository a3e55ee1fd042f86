import { expect, it } from "vitest";
import { run } from "./world.ts";

it("runs", () => {
  const t = Date.now();
  let ev = 0,
    ops = 0;
  const totals: Record<string, number> = {};
  for (let seed = 1; seed <= 400; seed++) {
    const r = run(seed);
    ev += r.events;
    ops += r.operations;
    for (const [k, v] of Object.entries(r.counts)) totals[k] = (totals[k] ?? 0) + v;
    if (r.violation) {
      console.log(seed, r.violation.message.slice(0, 1500));
    }
  }
  console.log(ev, ops, Date.now() - t, totals);
  expect(1).toBe(1);
});
