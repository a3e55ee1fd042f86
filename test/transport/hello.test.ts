import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, it } from "vitest";
import type { Identity } from "../../src/base/identity.ts";
import { DecodeError } from "../../src/codec/entry.ts";
import { checkHello, type HelloContext, type HelloVerdict } from "../../src/transport/checks.ts";
import { decodeHello, encodeHello, type Hello } from "../../src/transport/hello.ts";
import { createMemberMemory } from "../../src/transport/memory.ts";
import { decodeRefusal, encodeRefusal, makeRefusal } from "../../src/transport/refusal.ts";
import { createRefusalWeight } from "../../src/transport/refusals.ts";
import { clusterIdA, foundedIdentity, incarnationOf, newIdentity } from "./net.ts";

const three = ["n1", "n2", "n3"];
const digest = "1".repeat(64);

/** What `identity` would say when it dials n1. */
function helloOf(identity: Identity, more: Partial<Hello> = {}): Hello {
  const { clusterName, name, incarnation, state, clusterId, founders } = identity;
  return {
    protocolMin: 1,
    protocolMax: 1,
    clusterName,
    digest,
    name,
    incarnation,
    state,
    clusterId,
    founders,
    bootId: "boot-2",
    step: 5,
    target: "n1",
    ...more,
  };
}

const founded = (more: Partial<Hello> = {}): Hello => helloOf(foundedIdentity("n2", three), more);
const fresh = (more: Partial<Hello> = {}, digit = "a"): Hello => helloOf(newIdentity("n2", digit), more);

const atFounded: HelloContext = {
  identity: foundedIdentity("n1", three),
  digest,
  otherBoot: "none",
  stepFloor: 0,
};
const atNew: HelloContext = { ...atFounded, identity: newIdentity("n1") };

const outcome = (verdict: HelloVerdict): string =>
  verdict.kind === "refuse" ? verdict.refusal.code : verdict.kind;

describe("the checks of a HELLO", () => {
  it.each<[string, Hello, HelloContext, string]>([
    ["a member of this cluster", founded(), atFounded, "accept"],
    ["two new founders", fresh(), atNew, "accept"],
    ["a founded member that a new node meets", founded(), atNew, "accept"],
    ["a newer protocol only", founded({ protocolMin: 2, protocolMax: 3 }), atFounded, "protocol"],
    ["a wider protocol range", founded({ protocolMax: 3 }), atFounded, "accept"],
    ["another cluster name", founded({ clusterName: "other" }), atFounded, "wrong-name"],
    ["another target", founded({ target: "n3" }), atFounded, "wrong-target"],
    ["another cluster id", founded({ clusterId: "d".repeat(32) }), atFounded, "wrong-cluster"],
    ["another digest when both are new", fresh({ digest: "2".repeat(64) }), atNew, "wrong-founders"],
    ["another digest when one has founded", founded({ digest: "2".repeat(64) }), atNew, "accept"],
    ["another digest when both have founded", founded({ digest: "2".repeat(64) }), atFounded, "accept"],
    ["a new founder that crashed in between", fresh(), atFounded, "adopt"],
    ["a wiped founder", fresh({}, "b"), atFounded, "reinitialised"],
    ["a new node of another name", helloOf(newIdentity("n9")), atFounded, "not-a-member"],
    [
      "a new node named like something of Object",
      helloOf(newIdentity("toString")),
      atFounded,
      "not-a-member",
    ],
    ["an unknown incarnation of this cluster", founded({ incarnation: "b".repeat(32) }), atFounded, "accept"],
    ["an unknown name of this cluster", founded({ name: "n9" }), atFounded, "accept"],
    ["another boot, not asked yet", founded(), { ...atFounded, otherBoot: "unknown" }, "probe"],
    ["another boot that answers", founded(), { ...atFounded, otherBoot: "alive" }, "duplicate-member"],
    [
      "my own incarnation",
      founded({ name: "n1", incarnation: incarnationOf("n1") }),
      atFounded,
      "duplicate-member",
    ],
    ["a lower step than before", founded(), { ...atFounded, stepFloor: 6 }, "rolled-back"],
    ["the same step as before", founded(), { ...atFounded, stepFloor: 5 }, "accept"],
    ["a copy from before the founding", fresh({ step: 9 }), { ...atFounded, stepFloor: 1 }, "rolled-back"],
  ])("%s", (_name, hello, context, expected) => {
    expect(outcome(checkHello(hello, context))).toBe(expected);
  });

  it("name the first reason in the order of the design", () => {
    const wrong: Partial<Hello>[] = [
      { protocolMin: 9, protocolMax: 9 },
      { clusterName: "other" },
      { target: "n3" },
      { clusterId: "d".repeat(32) },
      {},
    ];
    const context: HelloContext = { ...atFounded, otherBoot: "alive", stepFloor: 100 };

    const codes = wrong.map((_, from) =>
      outcome(checkHello(Object.assign({}, founded(), ...wrong.slice(from)), context)),
    );

    expect(codes).toEqual(["protocol", "wrong-name", "wrong-target", "wrong-cluster", "duplicate-member"]);
  });

  it("say what happened and which command helps; 70 for lost writes, 78 for the rest", () => {
    const refused: [Hello, HelloContext][] = [
      [founded({ protocolMin: 2, protocolMax: 3 }), atFounded],
      [founded({ clusterName: "other" }), atFounded],
      [founded({ target: "n3" }), atFounded],
      [founded({ clusterId: "d".repeat(32) }), atFounded],
      [fresh({ digest: "2".repeat(64) }), atNew],
      [fresh({}, "b"), atFounded],
      [helloOf(newIdentity("n9")), atFounded],
      [founded(), { ...atFounded, otherBoot: "alive" }],
      [founded(), { ...atFounded, stepFloor: 6 }],
    ];

    for (const [hello, context] of refused) {
      const verdict = checkHello(hello, context);
      if (verdict.kind !== "refuse") throw new Error(`${verdict.kind}`);
      const { code, text, exitCode } = verdict.refusal;
      expect(text).toMatch(/holdfast (server|config check|init|--version)/);
      expect(text).not.toContain("undefined");
      expect(exitCode).toBe(code === "rolled-back" ? 70 : 78);
      expect(decodeRefusal(encodeRefusal(verdict.refusal))).toEqual(verdict.refusal);
    }
  });
});

describe("HELLO as bytes", () => {
  it("comes back exactly", () => {
    for (const hello of [
      founded(),
      fresh(),
      founded({ step: Number.MAX_SAFE_INTEGER, target: "n".repeat(64) }),
    ]) {
      expect(decodeHello(encodeHello(hello))).toStrictEqual(hello);
    }
  });

  it("of a build that shares no protocol gives only the range, whatever follows it", () => {
    const bytes = packr.pack(["holdfast-peer", 2, 7, { future: true }.future]);

    expect(decodeHello(bytes)).toEqual({ protocolMin: 2, protocolMax: 7 });
  });

  const fields = [
    "holdfast-peer",
    1,
    1,
    "test",
    digest,
    "n2",
    incarnationOf("n2"),
    "founded",
    clusterIdA,
    [
      ["n1", incarnationOf("n1")],
      ["n2", incarnationOf("n2")],
    ],
    "boot",
    0,
    "n1",
  ];
  const roster = (...pairs: unknown[]): [number, unknown] => [9, pairs];

  it.each<[string, [number, unknown]]>([
    ["other magic", [0, "holdfast"]],
    ["a protocol of 0", [1, 0]],
    ["an empty protocol range", [1, 2]],
    ["an empty cluster name", [3, ""]],
    ["a cluster name with a line break", [3, "a\nb"]],
    ["a long cluster name", [3, "a".repeat(257)]],
    ["a short digest", [4, "1"]],
    ["a name with @", [5, "a@b"]],
    ["a name with a blank", [5, "a b"]],
    ["a long name", [5, "a".repeat(65)]],
    ["an incarnation in capitals", [6, "A".repeat(32)]],
    ["an unknown state", [7, "joining"]],
    ["a new node with a cluster id", [7, "new"]],
    ["a founded node without a cluster id", [8, null]],
    ["a founded node without founders", [9, null]],
    ["founders that are no pairs", roster("n1")],
    ["founders out of order", roster(["n2", incarnationOf("n2")], ["n1", incarnationOf("n1")])],
    ["a founder twice", roster(["n1", incarnationOf("n1")], ["n1", incarnationOf("n1")])],
    ["no founders", roster()],
    [
      "too many founders",
      roster(...Array.from({ length: 65 }, (_, i) => [`n${String(i).padStart(3, "0")}`, incarnationOf("x")])),
    ],
    ["a boot id of bytes", [10, new Uint8Array(4)]],
    ["a negative step", [11, -1]],
    ["a fraction of a step", [11, 0.5]],
    ["a target that is a number", [12, 5]],
    ["a field too many", [13, 1]],
  ])("is refused with %s", (_name, [at, value]) => {
    const changed: unknown[] = [...fields];
    changed[at] = value;

    expect(decodeHello(packr.pack(fields))).toMatchObject({ name: "n2" });
    expect(() => decodeHello(packr.pack(changed))).toThrow(DecodeError);
  });

  it("and refusals answer 20 000 hostile inputs with DecodeError or a value", () => {
    const good = [
      Uint8Array.from(encodeHello(founded())),
      Uint8Array.from(encodeRefusal(makeRefusal("protocol", "x"))),
    ];
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(fc.nat(1), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }))
        .map(([which, writes]) => {
          const copy = (good[which] as Uint8Array).slice();
          for (const [at, byte] of writes) copy[at % copy.length] = byte;
          return copy;
        }),
    );
    fc.assert(
      fc.property(hostile, (bytes) => {
        for (const decode of [decodeHello, decodeRefusal]) {
          try {
            decode(bytes);
          } catch (error) {
            if (!(error instanceof DecodeError)) throw error;
          }
        }
      }),
      { numRuns: 20_000 },
    );
  });

  it("in a refusal cannot move the operator's cursor", () => {
    const { text } = decodeRefusal(encodeRefusal(makeRefusal("protocol", "a\u001b[2Jb\nc")));

    expect(text).toBe("a [2Jb c");
  });
});

describe("the memory of members", () => {
  it("compares a step only with those of other boots: HELLOs of one boot may overtake each other", () => {
    const memory = createMemberMemory();
    memory.meet("n2@x", "first", 10);
    memory.meet("n2@x", "first", 9);

    expect(memory.stepFloor("n2@x", "first")).toBe(0);
    expect(memory.stepFloor("n2@x", "second")).toBe(10);
    expect(memory.stepFloor("n2@y", "second")).toBe(0);
  });

  it("tells a boot never seen of a member it knows, once", () => {
    const memory = createMemberMemory();

    const seen = ["a", "a", "b", "a", "b", "c"].map((boot) => memory.meet("n2@x", boot, 1));

    expect(seen).toEqual([false, false, true, false, false, true]);
  });

  it("keeps the highest step though it forgets old boots", () => {
    const memory = createMemberMemory();
    memory.meet("n2@x", "boot", 1000);
    for (let i = 0; i < 100; i++) memory.meet("n2@x", `boot-${i}`, i);

    expect(memory.stepFloor("n2@x", "last")).toBe(1000);
  });
});

describe("the weight of a refusal", () => {
  const soft = { state: "founded", knowsLeader: false, code: "wrong-cluster" } as const;

  it("is final for a new node, and for what only the refused can have caused", () => {
    const weight = createRefusalWeight(["n2", "n3"]);

    expect(weight.weigh({ ...soft, from: "n2", state: "new" })).toBe("final");
    expect(weight.weigh({ ...soft, from: "n2", code: "rolled-back", knowsLeader: true })).toBe("final");
    expect(weight.weigh({ ...soft, from: "n2", code: "duplicate-member", knowsLeader: true })).toBe("final");
  });

  it("needs the same from a majority of the others, and no leader", () => {
    const weight = createRefusalWeight(["n2", "n3", "n4", "n5"]);

    expect(weight.weigh({ ...soft, from: "n2" })).toBe("warn");
    expect(weight.weigh({ ...soft, from: "n2" })).toBe("warn");
    expect(weight.weigh({ ...soft, from: "stranger" })).toBe("warn");
    expect(weight.weigh({ ...soft, from: "n3", code: "protocol" })).toBe("warn");
    expect(weight.weigh({ ...soft, from: "n4" })).toBe("warn");
    weight.clear("n4");
    expect(weight.weigh({ ...soft, from: "n5" })).toBe("warn");
    expect(weight.weigh({ ...soft, from: "n3", knowsLeader: true })).toBe("warn");
    expect(weight.weigh({ ...soft, from: "n3" })).toBe("final");
  });

  it("of the only other member is that of a majority", () => {
    expect(createRefusalWeight(["n2"]).weigh({ ...soft, from: "n2" })).toBe("final");
  });
});

const packr = new Packr({ useRecords: false });
