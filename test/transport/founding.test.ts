import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Identity } from "../../src/base/identity.ts";
import { checkHello } from "../../src/transport/checks.ts";
import {
  clusterIdOf,
  decideFounding,
  type FoundingDecision,
  founderDigest,
  type MemberAddress,
} from "../../src/transport/founding.ts";
import type { Hello } from "../../src/transport/hello.ts";
import { clusterIdA, foundedIdentity, newIdentity, rosterOf } from "./net.ts";

const three = ["n1", "n2", "n3"];
const members: MemberAddress[] = three.map((id, i) => ({ id, host: "10.0.0.1", port: 7410 + i }));
const digest = founderDigest({ clusterName: "test", clusterKey: undefined, members });

function helloOf(identity: Identity, more: Partial<Hello> = {}): Hello {
  const { clusterName, name, incarnation, state, clusterId, founders } = identity;
  const range = { protocolMin: 1, protocolMax: 1 };
  return {
    ...range,
    clusterName,
    digest,
    name,
    incarnation,
    state,
    clusterId,
    founders,
    bootId: `boot-${name}`,
    step: 1,
    target: "n1",
    ...more,
  };
}

/** What the new node n1 decides after these HELLOs. */
function decide(...hellos: Hello[]): FoundingDecision {
  return decideFounding({ identity: newIdentity("n1"), digest, founders: three, hellos });
}

const n2 = helloOf(newIdentity("n2"));
const n3 = helloOf(newIdentity("n3"));

describe("founding", () => {
  it("waits for everybody and says who is missing", () => {
    expect(decide()).toEqual({ kind: "waiting", missing: ["n2", "n3"], ambiguous: [] });
    expect(decide(n3)).toEqual({ kind: "waiting", missing: ["n2"], ambiguous: [] });
    expect(decide(n3, n3, helloOf(newIdentity("n9")))).toMatchObject({ kind: "waiting", missing: ["n2"] });
  });

  it("happens when all are here, with one and the same id for everybody who sees the roster", () => {
    const roster = rosterOf(three);
    const expected = { kind: "found", foundation: { clusterId: clusterIdOf(digest, roster), roster } };

    const decisions = three.map((name) =>
      decideFounding({
        identity: newIdentity(name),
        digest,
        founders: [...three].reverse(),
        hellos: three.filter((other) => other !== name).map((other) => helloOf(newIdentity(other))),
      }),
    );

    expect(decisions).toEqual([expected, expected, expected]);
  });

  it("of one member needs nobody", () => {
    const decision = decideFounding({ identity: newIdentity("n1"), digest, founders: ["n1"], hellos: [] });

    expect(decision).toMatchObject({ kind: "found", foundation: { roster: rosterOf(["n1"]) } });
  });

  it("does not count a node with another cluster file", () => {
    expect(decide(n2, { ...n3, digest: "0".repeat(64) })).toMatchObject({ kind: "waiting", missing: ["n3"] });
  });

  it("waits while two new nodes answer to one name", () => {
    const second = helloOf(newIdentity("n2", "b"));

    expect(decide(n2, second, n3)).toEqual({ kind: "waiting", missing: [], ambiguous: ["n2"] });
    expect(decide(n2, n2, n3)).toMatchObject({ kind: "found" });
  });
});

describe("a new node beside a founded one", () => {
  const foundedN2 = helloOf(foundedIdentity("n2", three));

  it("adopts its cluster when that names this very incarnation: it crashed before it knew", () => {
    const expected = { kind: "adopt", foundation: { clusterId: clusterIdA, roster: rosterOf(three) } };

    expect(decide(foundedN2)).toEqual(expected);
    expect(decide(n3, foundedN2)).toEqual(expected);
    expect(decide({ ...foundedN2, digest: "0".repeat(64) })).toEqual(expected);
  });

  it("may not take part when it was wiped", () => {
    const wiped = newIdentity("n1", "f");

    const decision = decideFounding({ identity: wiped, digest, founders: three, hellos: [foundedN2, n3] });

    expect(decision).toMatchObject({ kind: "refuse", refusal: { code: "reinitialised", exitCode: 78 } });
  });

  it("may not take part when it never belonged", () => {
    const stranger = helloOf({ ...foundedIdentity("n2", ["n2", "n3"]) });

    expect(decide(stranger, n3)).toMatchObject({ kind: "refuse", refusal: { code: "not-a-member" } });
  });

  it("may not choose between two clusters", () => {
    const other = helloOf({ ...foundedIdentity("n3", three), clusterId: "d".repeat(32) });

    expect(decide(foundedN2, other)).toMatchObject({ kind: "refuse", refusal: { code: "wrong-cluster" } });
  });
});

describe("disks that were lost", () => {
  const wiped = (name: string): Hello => helloOf(newIdentity(name, "f"));
  const decideWiped = (name: string, ...hellos: Hello[]): FoundingDecision =>
    decideFounding({ identity: newIdentity(name, "f"), digest, founders: three, hellos });

  it("one wiped while another is down: it waits, and is refused by the founded one that it meets", () => {
    const alone = decideWiped("n3");
    const beside = checkHello(wiped("n3"), {
      identity: foundedIdentity("n1", three),
      digest,
      otherBoot: "none",
      stepFloor: 0,
    });

    expect(alone).toMatchObject({ kind: "waiting", missing: ["n1", "n2"] });
    expect(beside).toMatchObject({ kind: "refuse", refusal: { code: "reinitialised" } });
  });

  it("a wiped majority elects nobody: without the last founder it waits, with it it is refused", () => {
    const last = helloOf(foundedIdentity("n1", three));

    expect(decideWiped("n2", wiped("n3"))).toMatchObject({ kind: "waiting", missing: ["n1"] });
    expect(decideWiped("n2", wiped("n3"), last)).toMatchObject({ kind: "refuse" });
  });

  it("all wiped found a cluster of another id", () => {
    const decision = decideWiped("n1", wiped("n2"), wiped("n3"));

    expect(decision).toMatchObject({ kind: "found", foundation: { roster: rosterOf(three, "f") } });
    if (decision.kind !== "found") throw new Error(decision.kind);
    expect(decision.foundation.clusterId).not.toBe(clusterIdOf(digest, rosterOf(three)));
  });
});

describe("the digest", () => {
  it("is the same in any order of members and differs in everything it rests on", () => {
    const of = (more: object): string =>
      founderDigest({ clusterName: "test", clusterKey: undefined, members, ...more });
    const moved = members.map((member, i) => (i === 0 ? { ...member, port: 9999 } : member));
    const all = [
      of({}),
      of({ clusterName: "other" }),
      of({ clusterKey: "key" }),
      of({ clusterKey: "" }),
      of({ members: moved }),
      of({ members: members.slice(1) }),
    ];

    expect(of({ members: [...members].reverse() })).toBe(digest);
    expect(new Set(all).size).toBe(all.length);
    expect(all.every((value) => /^[0-9a-f]{64}$/.test(value))).toBe(true);
  });

  it("and the cluster id differ for every roster", () => {
    const incarnations = fc.stringMatching(/^[0-9a-f]{32}$/);
    const rosters = fc.dictionary(fc.constantFrom(...three), incarnations, { minKeys: 1 });
    fc.assert(
      fc.property(rosters, rosters, (a, b) => {
        const same = three.every((name) => a[name] === b[name]);
        expect(clusterIdOf(digest, a) === clusterIdOf(digest, b)).toBe(same);
      }),
    );
  });
});
