/** Every promise of docs/RUN.md names tests that exist. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = readFileSync(join(root, "docs/RUN.md"), "utf8").replace(/\n(?=[a-z])/g, " ");
const sources = ["test/e2e", "test/cli", "test/client"]
  .flatMap((folder) => readdirSync(join(root, folder)).map((file) => join(root, folder, file)))
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => readFileSync(file, "utf8"))
  .join("\n");

const promises = text
  .split("\n")
  .filter((line) => /^\| .* \| `.*` \|$/.test(line) && line.split("|").length === 4)
  .map((line) => line.split("|")[2] ?? "");
const nested = text.split("\nTests: ")[1] ?? "";
const titles = [...promises, nested].flatMap((cell) =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, title]) => title ?? ""),
);

test("there are some", () => {
  expect(promises.length).toBeGreaterThan(12);
  expect(titles.length).toBeGreaterThan(30);
});

test.each(titles)("%s", (title) => {
  expect(sources).toContain(title);
});
