/** The tables of docs/TESTING.md name tests that exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = readFileSync(join(root, "docs/TESTING.md"), "utf8");
const sources = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.startsWith(".artifacts") && !name.startsWith("docs"))
  .map((name) => readFileSync(join(root, "test", name), "utf8"))
  .join("\n");

function rowsOf(heading: string): readonly (readonly [string, string])[] {
  const section = text.split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return section
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("|---"))
    .slice(1)
    .map((line) => {
      const [, first = "", second = ""] = line.split("|").map((cell) => cell.trim());
      return [first, second] as const;
    });
}

const mustHave = [
  "E1",
  "E2",
  "E3",
  "E4",
  "E5",
  "E6",
  "E10",
  "E14",
  "L1",
  "L2",
  "L6",
  "L7",
  "S1",
  "S2",
  "S4",
  "S7",
  "S8",
  "S9",
  "S10",
  "S11",
  "M1",
  "M2",
  "M7",
];
mustHave.push("R1", "R2", "R7", "D2", "D3", "D6", "P1", "P2", "P3", "T1", "T2", "T3", "T4");

it("every must-have fault has a row", () => {
  const named = rowsOf("Known faults of other Rafts").flatMap(
    ([first]) => first.match(/\b[ELSMRDPT]\d+\b/g) ?? [],
  );
  expect(named.sort()).toEqual([...mustHave].sort());
});

it("every recipe has a row", () => {
  expect(rowsOf("Well-known recipes and what goes wrong in them").length).toBe(13);
});

for (const heading of [
  "Known faults of other Rafts",
  "Well-known recipes and what goes wrong in them",
  "Scenarios",
]) {
  for (const [first, second] of rowsOf(heading)) {
    it(`${heading}: ${first}`, () => {
      const named = [...second.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
      const titles = named.filter((name) => name.includes(" ") || name.endsWith(".ts"));
      if (!second.includes("later")) expect(titles.length).toBeGreaterThan(0);
      for (const title of titles) {
        const isThere = title.endsWith(".ts") ? existsSync(join(root, title)) : sources.includes(title);
        expect(isThere, title).toBe(true);
      }
    });
  }
}
