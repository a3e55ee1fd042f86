/** The lock file is whole: every dependency that an entry names is in it. Otherwise `npm ci` fails elsewhere. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

interface LockEntry {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly resolved?: string;
  readonly deprecated?: string;
  readonly link?: boolean;
}

const lock = JSON.parse(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8")) as {
  packages: Record<string, LockEntry>;
};

function isLocked(from: string, name: string): boolean {
  for (let place = from; ; place = place.slice(0, place.lastIndexOf("node_modules/")).replace(/\/$/, "")) {
    const prefix = place === "" ? "" : `${place}/`;
    if (`${prefix}node_modules/${name}` in lock.packages) return true;
    if (place === "") return false;
  }
}

it("holds every dependency of every entry", () => {
  const missing: string[] = [];
  for (const [place, entry] of Object.entries(lock.packages)) {
    for (const name of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
      if (!isLocked(place, name)) missing.push(`${place} needs ${name}`);
    }
  }
  expect(Object.keys(lock.packages).length).toBeGreaterThan(50);
  expect(missing).toEqual([]);
});

it("names no host and nothing deprecated", () => {
  const entries = Object.entries(lock.packages);
  expect(
    entries.filter(([, entry]) => entry.resolved !== undefined && !entry.link).map(([place]) => place),
  ).toEqual([]);
  expect(entries.filter(([, entry]) => entry.deprecated !== undefined).map(([place]) => place)).toEqual([]);
});
