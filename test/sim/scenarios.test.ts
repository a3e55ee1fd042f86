/**
 * Directed scenarios: the worst days that the design names, each with what must hold on it. docs/TESTING.md lists them.
 */
import { describe, expect, it } from "vitest";
import { post, release, Scene } from "./scene.ts";
import { run } from "./world.ts";

const a = "session-a-xxxxxxxxxx";
const b = "session-b-xxxxxxxxxx";

const acquire = (sessionId: string, claimId: string, more: object = {}) =>
  post("/v1/locks/x:acquire", { sessionId, claimId, onDisconnect: "keep", ...more });

describe("sessions over many leaders", () => {
  it("leaders killed every 0.7 × ttl: an abandoned session ends within two ttl of cluster time", () => {
    const scene = new Scene();
    scene.client().open(a, 6_000);
    const opened = scene.state.now;
    scene.client().told(acquire(a, "c"));
    const began = scene.now;
    const isOver = (): boolean => scene.world.leader() !== undefined && scene.state.tombstones.has(a);

    for (let kills = 0; kills < 40 && !isOver(); kills++) {
      scene.world.crash(scene.leader, 50);
      scene.advance(0.7 * 6_000);
      scene.until(() => scene.world.leader() !== undefined, 15_000);
    }

    const { end } = scene.state.tombstones.get(a) ?? {};
    expect(end?.reason).toBe("expired");
    expect((end?.at ?? Infinity) - opened).toBeLessThanOrEqual(2 * 6_000);
    expect(scene.now - began).toBeLessThanOrEqual(12 * 6_000);
    expect(scene.state.heldCount).toBe(0);
  });

  it("a ttl of 24 h and a fail-over every 20 h: who renews every third of it stays, who does not is gone in time", () => {
    const hour = 3_600_000;
    const scene = new Scene({ tickMs: 2_000, electionTicks: 5, wholeEvery: 1_000 });
    const client = scene.client();
    client.open(a, 24 * hour);
    client.open(b, 24 * hour);
    client.told(acquire(a, "kept"));

    for (let hours = 4; hours <= 80; hours += 4) {
      scene.advance(4 * hour);
      if (hours % 8 === 0) expect(client.keepAlive(a).status).toBe(200);
      if (hours % 20 === 0) {
        scene.world.crash(scene.leader, 5_000);
        scene.advance(60_000);
        scene.until(() => scene.world.leader() !== undefined, 600_000);
      }
    }

    expect(scene.state.claims.get("kept")?.state).toBe("held");
    // Its tombstone is gone too by then.
    expect([404, 410]).toContain(client.keepAlive(b).status);
  });

  it("the smallest ttl and a leader that is paused again and again: who renews every third of it stays", () => {
    const scene = new Scene();
    const client = scene.client();
    client.open(a, 6_000);
    client.told(acquire(a, "kept"));

    for (let round = 0; round < 20; round++) {
      const paused = scene.leader;
      paused.pause();
      scene.world.scheduler.after(900 + 400 * round, () => paused.resume());
      for (let third = 0; third < 5; third++) {
        const sent = scene.now;
        expect(client.keepAlive(a).status).toBe(200);
        // Its own deadline, from the sending: 6 s less the margin of 600 ms.
        expect(scene.now - sent).toBeLessThan(5_400);
        scene.advance(Math.max(0, 2_000 - (scene.now - sent)));
      }
      scene.until(() => scene.world.leader() !== undefined, 15_000);
    }

    expect(scene.state.claims.get("kept")?.state).toBe("held");
  });
});

describe("a hold that ends by its max-hold", () => {
  it("while its client is cut off: nobody is granted before that client's lease is over", () => {
    const scene = new Scene();
    const holder = scene.client("holder");
    const waiter = scene.client("waiter");
    holder.open(a, 6_000);
    waiter.open(b, 60_000);
    const renewed = scene.now;
    holder.keepAlive(a);
    holder.told(acquire(a, "c", { maxHoldMs: 500, lockDelayMs: 0 }));
    scene.cut(
      ["holder"],
      scene.world.members.map(({ name }) => name),
    );
    const asked = waiter.ask(acquire(b, "w", { waitMs: 30_000 }));

    scene.advance(renewed + 5_400 - scene.now);
    expect(scene.state.claims.get("c")?.end?.reason).toBe("max-hold");
    expect(asked.answer).toBeUndefined();

    scene.until(() => asked.answer !== undefined, 5_000);
    expect(asked.answer?.body["state"]).toBe("held");
  });

  it("and the answer that tells of it is lost: it is told again, and only `seen` hands the lock on", () => {
    const scene = new Scene();
    const holder = scene.client("holder");
    const waiter = scene.client("waiter");
    holder.open(a, 30_000);
    waiter.open(b, 60_000);
    holder.told(acquire(a, "c", { maxHoldMs: 500, lockDelayMs: 0 }));
    const asked = waiter.ask(acquire(b, "w", { waitMs: 30_000 }));
    scene.advance(1_000);
    // Renewed, and the answer goes nowhere.
    holder.sendCopy(post(`/v1/sessions/${a}:keepalive`, {}), 0);
    scene.advance(2_000);
    expect(asked.answer).toBeUndefined();

    const told = holder.keepAlive(a);
    expect(told.body["ended"]).toMatchObject([{ claimId: "c", reason: "max-hold" }]);
    scene.advance(1_000);
    expect(asked.answer).toBeUndefined();
    holder.keepAlive(a, Number(told.body["revision"]));

    scene.until(() => asked.answer !== undefined, 1_000);
    expect(asked.answer?.body["state"]).toBe("held");
  });
});

describe("requests that come late", () => {
  it("a delayed copy of an acquire grants nothing: not after the release, and not after a refusal", () => {
    const scene = new Scene();
    const client = scene.client();
    client.open(a, 60_000);
    client.open(b, 60_000);
    client.told(acquire(a, "first"));
    expect(client.told(acquire(b, "refused")).status).toBe(423);
    client.told(release(a, "first"));

    for (const [session, claimId] of [
      [a, "first"],
      [b, "refused"],
    ] as const) {
      client.sendCopy(acquire(session, claimId), 10);
    }
    scene.world.crash(scene.leader, 100);
    scene.advance(5_000);
    client.sendCopy(acquire(a, "first"), 10);
    scene.advance(1_000);

    expect(scene.state.heldCount).toBe(0);
    expect(client.told(acquire(a, "first"))).toMatchObject({ status: 409, body: { code: "claim-ended" } });
    expect(client.told(acquire(b, "refused"))).toMatchObject({ status: 423 });
  });

  it("a cancel that overtakes its acquire: the acquire grants nothing", () => {
    const scene = new Scene();
    const client = scene.client();
    client.open(a, 60_000);

    expect(client.told(release(a, "c"))).toMatchObject({ status: 200, body: { reason: "cancelled" } });

    expect(client.told(acquire(a, "c"))).toMatchObject({ status: 409, body: { code: "claim-ended" } });
    expect(scene.state.heldCount).toBe(0);
  });
});

describe("settings", () => {
  it("rolled through the nodes under load, with crashes, change nothing that was promised", () => {
    let changed = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const plan = {
        faults: ["crash", "fuse", "transfer"],
        members: 3,
        faultyMs: 15_000,
        everyMs: 1_300,
      } as const;
      const { violation, counts } = run(seed, { plan });
      expect(violation?.message, `seed ${seed}`).toBeUndefined();
      changed += counts["settings changed"] ?? 0;
    }
    expect(changed).toBeGreaterThan(10);
  });
});

describe("partial partitions", () => {
  const names = (scene: Scene): readonly string[] => scene.world.members.map(({ name }) => name);

  it("three nodes, two of which do not reach each other (Cloudflare 2020): a leader, few elections", () => {
    const scene = new Scene();
    const [one = "", two = ""] = [scene.leader.name, scene.followers[0]?.name];
    scene.cut([one], [two]);
    const before = scene.count("leader elected");

    scene.advance(60_000);

    expect(scene.client().open(a, 6_000).status).toBe(201);
    expect(scene.count("leader elected") - before).toBeLessThanOrEqual(2);
  });

  it("five nodes, without the links 4–2 and 5–3 (Howard and Abraham): a leader, few elections", () => {
    const scene = new Scene({ members: 5 });
    const all = names(scene);
    scene.cut([all[3] ?? ""], [all[1] ?? ""]);
    scene.cut([all[4] ?? ""], [all[2] ?? ""]);
    const before = scene.count("leader elected");

    scene.advance(60_000);

    expect(scene.client().open(a, 6_000).status).toBe(201);
    expect(scene.count("leader elected") - before).toBeLessThanOrEqual(3);
  });

  it("five nodes of which all reach only one, and that one does not lead (quorum loss): it is elected", () => {
    const scene = new Scene({ members: 5 });
    const hub = scene.followers[0]?.name ?? "";
    const rest = names(scene).filter((name) => name !== hub);
    for (const [i, name] of rest.entries()) scene.cut([name], rest.slice(i + 1));

    scene.until(() => scene.world.leader()?.name === hub, 60_000);

    expect(scene.client().open(a, 6_000).status).toBe(201);
  });

  it("a chain of three whose middle leads or not (chained): no livelock", () => {
    const scene = new Scene();
    const middle = scene.followers[0]?.name ?? "";
    const ends = names(scene).filter((name) => name !== middle);
    const before = scene.count("leader elected");
    scene.cut([ends[0] ?? ""], [ends[1] ?? ""]);

    scene.advance(120_000);

    expect(scene.client().open(a, 6_000).status).toBe(201);
    expect(scene.count("leader elected") - before).toBeLessThanOrEqual(3);
  });
});

describe("without fencing", () => {
  it("a paused client's stale write gets through and is found (the positive control); with fencing it is refused", () => {
    const plan = {
      faults: ["client-pause"],
      members: 3,
      locks: 1,
      pools: 0,
      clients: 6,
      threads: 1,
      thinkMs: 1,
      holdMs: 300,
      everyMs: 400,
      faultyMs: 40_000,
      loss: 0,
    } as const;
    const rules = new Set<string | undefined>();
    let refused = 0;
    for (let seed = 1; seed <= 6; seed++) {
      rules.add(run(seed, { plan: { ...plan, isFenced: false } }).violation?.rule);
      const fenced = run(seed, { plan });
      expect(fenced.violation?.message, `seed ${seed}`).toBeUndefined();
      refused += fenced.counts["stale use refused"] ?? 0;
    }

    expect([...rules].some((rule) => rule?.startsWith("I11"))).toBe(true);
    expect(refused).toBeGreaterThan(0);
  });
});
