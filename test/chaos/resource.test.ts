import { expect, it } from "vitest";
import { historyLines, judge } from "./judge.ts";
import { Resource } from "./resource.ts";
import { controlHistory, historyOf, unfencedName } from "./workers.ts";

function paused(name: string): Resource {
  const resource = new Resource([unfencedName], () => 0);
  const by = (client: string, fence: number) => ({ client, name, mode: "exclusive" as const, fence });
  const first = resource.use({ ...by("sleeper", 5), value: undefined });
  const second = resource.use({ ...by("rival", 6), value: undefined });
  resource.use({ ...by("rival", 6), value: { read: second.counter, wrote: second.counter + 1 } });
  resource.use({ ...by("sleeper", 5), value: { read: first.counter, wrote: first.counter + 1 } });
  return resource;
}

const spec = {
  seed: 1,
  urls: [],
  ttlMs: 3_200,
  lockDelayMs: 200,
  locks: [],
  semaphores: [["pool", 4]] as const,
  thinkMs: 1,
};

it("a guarded name refuses the older fence, an unguarded one takes it and the judge says so", () => {
  const open = paused(unfencedName);
  const guarded = paused("guarded");
  const historyWith = (resource: Resource) => historyOf({ reports: [], resource, healthy: [], spec });

  expect(guarded.uses.map(({ accepted }) => accepted)).toEqual([true, true, true, false]);
  expect(judge(historyWith(guarded))).toEqual([]);
  expect(open.uses.map(({ accepted }) => accepted)).toEqual([true, true, true, true]);
  const rules = judge(controlHistory(historyWith(open), open)).map(({ rule }) => rule);
  expect(rules).toContain("I11-fenced");
  expect(historyLines(historyWith(guarded)).trim().split("\n").length).toBe(5);
});

it("shared uses pass each other, and no exclusive one that is older than any of them", () => {
  const resource = new Resource([], () => 0);
  const use = (mode: "exclusive" | "shared", fence: number) =>
    resource.use({ client: "c", name: "n", mode, fence, value: undefined }).accepted;

  expect([use("shared", 7), use("shared", 6), use("exclusive", 6)]).toEqual([true, true, false]);
  expect([use("exclusive", 8), use("shared", 7), use("shared", 9)]).toEqual([true, false, true]);
});
