/**
 * Eight clients through twenty kill -9 and SIGSTOP of random nodes, real processes, sockets and disks. Judged from what
 * the clients were told, alone: nothing acknowledged is lost, no two believe in one lock, fences rise.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { createPrng } from "../../src/base/prng.ts";
import { Cluster, pause } from "./cluster.ts";
import { type History, Worker } from "./worker.ts";

const seed = Number(process.env["E2E_SEED"] ?? 1);
const faultCount = 20;
const locks = ["orders", "billing/close", "deploy"];

let cluster: Cluster;

beforeAll(async () => {
  // Often enough that kills meet snapshots half written.
  cluster = await Cluster.start((yaml) =>
    yaml.replace("snapshotEveryBytes: 33554432", "snapshotEveryBytes: 8192"),
  );
});

afterAll(async () => {
  await cluster.destroy();
});

it(`nothing acknowledged is lost through ${faultCount} kills and pauses (seed ${seed})`, async () => {
  const random = createPrng(seed, "kill test");
  const history: History = {
    beliefs: [],
    releases: [],
    complaints: [],
    operations: 0,
    unknown: 0,
    sessionsLost: 0,
  };
  const workers = Array.from(
    { length: 8 },
    (_, i) => new Worker(`w${i}`, cluster.urls, locks, history, createPrng(seed, `worker ${i}`).next),
  );
  const running = Promise.all(workers.map((worker) => worker.run()));
  const counts = { kills: 0, pauses: 0 };

  for (let fault = 0; fault < faultCount; fault++) {
    await pause(300 + random.between(0, 700));
    const leader = await cluster.leader();
    const victim = random.chance(0.6) ? leader : random.pick(cluster.nodes);
    if (random.chance(0.6)) {
      counts.kills++;
      await victim.kill();
      await pause(random.between(0, 800));
      victim.start();
    } else {
      counts.pauses++;
      victim.signal("SIGSTOP");
      await pause(random.between(200, 2_500));
      victim.signal("SIGCONT");
    }
    await cluster.ready(victim);
  }
  await pause(1_000);
  for (const worker of workers) worker.isStopping = true;
  await running;

  const { beliefs, releases, complaints, operations, unknown, sessionsLost } = history;
  process.stdout.write(
    `kill test, seed ${seed}: ${operations} operations, ${counts.kills} kills, ${counts.pauses} pauses, ` +
      `${beliefs.length} grants, ${unknown} unknown outcomes, ${sessionsLost} sessions lost\n`,
  );
  expect(complaints).toEqual([]);
  expectExclusion(beliefs);
  expectFences(beliefs);
  expectOneAtATime(beliefs, releases);
  expect(operations).toBeGreaterThanOrEqual(2_000);
  expect(counts.kills + counts.pauses).toBe(faultCount);
  expect(unknown).toBeLessThanOrEqual(operations / 5);
});

/** I10: belief intervals of one lock never overlap. */
function expectExclusion(beliefs: History["beliefs"]): void {
  for (const lock of locks) {
    const intervals = beliefs.filter((belief) => belief.lock === lock).sort((a, b) => a.from - b.from);
    for (const [i, belief] of intervals.entries()) {
      const next = intervals[i + 1];
      if (next !== undefined)
        expect(next.from, `${belief.claimId} and ${next.claimId}`).toBeGreaterThanOrEqual(belief.to);
    }
  }
}

/** I3: in the order of grants, fences rise; none is given twice. */
function expectFences(beliefs: History["beliefs"]): void {
  const sorted = [...beliefs].sort((a, b) => a.fence - b.fence);
  expect(new Set(sorted.map(({ fence }) => fence)).size).toBe(beliefs.length);
  for (const lock of locks) {
    const ofLock = sorted.filter((belief) => belief.lock === lock);
    expect(ofLock.map(({ claimId }) => claimId)).toEqual(
      [...ofLock].sort((a, b) => a.from - b.from).map(({ claimId }) => claimId),
    );
  }
}

/** By revision: an acknowledged release comes after its grant and before every later grant of that lock. */
function expectOneAtATime(beliefs: History["beliefs"], releases: History["releases"]): void {
  const released = new Map(releases.map((release) => [release.claimId, release.revision]));
  for (const lock of locks) {
    const grants = beliefs.filter((belief) => belief.lock === lock).sort((a, b) => a.fence - b.fence);
    for (const [i, grant] of grants.entries()) {
      const end = released.get(grant.claimId);
      if (end === undefined) continue;
      expect(end, `release of ${grant.claimId}`).toBeGreaterThan(grant.revision);
      const next = grants[i + 1];
      if (next !== undefined)
        expect(next.revision, `grant after ${grant.claimId}`).toBeGreaterThanOrEqual(end);
    }
  }
}
