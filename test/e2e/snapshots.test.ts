/**
 * Snapshots with real processes and disks: the log of a node that works stays short, a member that was away comes back
 * through another one's state, and what a failing disk does to the files is found at the next start.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { bodyOf, Cluster, type ClusterNode, pause } from "./cluster.ts";

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.destroy();
  cluster = undefined;
});

const session = "snapshot-session-1";

/** A snapshot whenever about a hundred locks were taken. */
async function started(): Promise<Cluster> {
  cluster = await Cluster.start((yaml) =>
    yaml.replace("snapshotEveryBytes: 33554432", "snapshotEveryBytes: 16384"),
  );
  return cluster;
}

async function post(node: ClusterNode, path: string, body: object): Promise<number> {
  const response = await fetch(node.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Locks `name-0` and so on, all held to the end. */
async function take({
  leader,
  name,
  count,
}: {
  leader: ClusterNode;
  name: string;
  count: number;
}): Promise<void> {
  expect(await post(leader, "/v1/sessions", { sessionId: session, ttlMs: 600_000 })).toBeLessThan(300);
  const results: number[] = [];
  for (let from = 0; from < count; from += 50) {
    const some = Array.from({ length: Math.min(50, count - from) }, (_, i) =>
      post(leader, `/v1/locks/${name}-${from + i}:acquire`, {
        sessionId: session,
        claimId: `${name}-${from + i}`,
      }),
    );
    results.push(...(await Promise.all(some)));
  }
  expect(new Set(results)).toEqual(new Set([200]));
}

function filesOf(node: ClusterNode): readonly string[] {
  return readdirSync(join(node.dataPath, "snapshots")).filter((name) => name.endsWith(".snap"));
}

/** Turns one bit in the middle. */
function damage(node: ClusterNode, name: string): void {
  const path = join(node.dataPath, "snapshots", name);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 16;
  writeFileSync(path, bytes);
}

async function revisionOf(node: ClusterNode): Promise<unknown> {
  return (await bodyOf(`${node.url}/v1/cluster`))?.["revision"];
}

/** All members show the same entry. */
async function level({ nodes }: Cluster): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const revisions = await Promise.all(nodes.map(revisionOf));
    if (revisions[0] !== undefined && new Set(revisions).size === 1) return;
    await pause(50);
  }
  throw new Error("the members do not come to the same entry");
}

/** None is being made, and the log tells of the newest: a file that it does not tell of would be removed at a start. */
async function snapshotsKnown(node: ClusterNode): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const begun = node.stderr
      .match(/snapshot-begun index=(\d+)/g)
      ?.at(-1)
      ?.match(/\d+/)?.[0];
    const told = node.stderr
      .match(/compact boundary=\d+ snapshot=(\d+)/g)
      ?.at(-1)
      ?.match(/\d+$/)?.[0];
    if (begun !== undefined && begun === told) return pause(200);
    await pause(50);
  }
  throw new Error(`${node.id} does not come to the end of its snapshots\n${node.stderr}`);
}

async function expectHeld(node: ClusterNode, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const response = await fetch(`${node.url}/v1/locks/${name}`);
    expect(await response.json()).toMatchObject({ lock: name, state: "held", holders: [{ claimId: name }] });
  }
}

it("a member that was away gets the state of another one, and serves it after a change of leader", async () => {
  const { nodes } = await started();
  let leader = await (cluster as Cluster).leader();
  const away = nodes.find((node) => node !== leader) as ClusterNode;
  await take({ leader, name: "before", count: 100 });
  await away.kill();
  await take({ leader, name: "while", count: 900 });
  expect(filesOf(leader).length).toBeLessThanOrEqual(3);

  away.start();
  await (cluster as Cluster).ready(away);
  await level(cluster as Cluster);

  expect(away.stderr).toMatch(/ fetch-done .*\n[^]* install /);
  // Nobody else can lead without it now.
  const third = nodes.find((node) => node !== leader && node !== away) as ClusterNode;
  await third.kill();
  await leader.stop();
  third.start();
  leader = await (cluster as Cluster).leader();
  await expectHeld(leader, ["before-7", "while-0", "while-899"]);
});

it("a damaged snapshot is passed over for the one before, and named; without any the node refuses to start", async () => {
  const { nodes } = await started();
  const leader = await (cluster as Cluster).leader();
  const victim = nodes.find((node) => node !== leader) as ClusterNode;
  await take({ leader, name: "lock", count: 600 });
  await level(cluster as Cluster);
  await snapshotsKnown(victim);
  await victim.stop();
  const newest = byIndex(filesOf(victim)).at(-1);
  damage(victim, newest as string);

  victim.start();
  await (cluster as Cluster).ready(victim);
  await level(cluster as Cluster);
  expect(victim.stderr).toContain(`the snapshot at ${Number.parseInt(newest as string, 10)} is of no use`);

  await victim.stop();
  for (const name of filesOf(victim)) damage(victim, name);
  victim.start();
  expect(await victim.exit).toEqual({ code: 70, signal: null });
  expect(victim.stderr).toMatch(/is damaged: the snapshot at \d+ is of no use: .*sum/);
  await expectHeld(leader, ["lock-0", "lock-599"]);
});

it("all of them at once: what was held is held, from snapshots and the logs behind them", async () => {
  const { nodes } = await started();
  const leader = await (cluster as Cluster).leader();
  await take({ leader, name: "lock", count: 700 });
  await Promise.all(nodes.map((node) => node.kill()));
  for (const node of nodes) node.start();
  const next = await (cluster as Cluster).leader();

  await expectHeld(next, ["lock-0", "lock-350", "lock-699"]);
  for (const node of nodes) expect(filesOf(node).length).toBeGreaterThan(0);
});

function byIndex(names: readonly string[]): readonly string[] {
  return [...names].sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}
