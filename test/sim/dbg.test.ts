import { writeFileSync } from "node:fs";
import { it } from "vitest";
import { planOf, run } from "./world.ts";

it("runs", () => {
  const seed = Number(process.env["SEED"] ?? 11);
  const r = run(seed, { keepLines: true });
  writeFileSync("/tmp/trace.txt", JSON.stringify(planOf(seed)) + "\n" + r.lines.join("\n"));
});
