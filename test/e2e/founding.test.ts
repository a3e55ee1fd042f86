/**
 * Identity, founding and damage with real processes (RAFT "Identity, founding, damage"): what was wiped, swapped, copied
 * or damaged never votes a cluster into forgetting, says what happened, and the others serve on.
 */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { Cluster, type ClusterNode, pause } from "./cluster.ts";

const clusters: Cluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.destroy();
});

async function started(edit?: (yaml: string) => string): Promise<Cluster> {
  const cluster = await Cluster.create(edit);
  clusters.push(cluster);
  for (const node of cluster.nodes) node.start();
  await cluster.leader();
  return cluster;
}

function wipe(node: ClusterNode): void {
  rmSync(node.dataPath, { recursive: true });
  node.init();
}

async function open(url: string, sessionId: string): Promise<number> {
  for (let i = 0; i < 100; i++) {
    const response = await fetch(`${url}/v1/sessions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sessionId, ttlMs: 60_000 }),
    });
    await response.arrayBuffer();
    if (response.status !== 503) return response.status;
    await pause(100);
  }
  throw new Error("the cluster does not answer");
}

/** As a client would: a node that knows no leader yet is asked again. */
async function sessionStatus(url: string, sessionId: string): Promise<number> {
  for (let i = 0; i < 100; i++) {
    const response = await fetch(`${url}/v1/sessions/${sessionId}`);
    await response.arrayBuffer();
    if (response.status !== 503) return response.status;
    await pause(100);
  }
  return 503;
}

async function clusterId(url: string): Promise<string> {
  const response = await fetch(`${url}/v1/cluster`);
  return String(((await response.json()) as { clusterId: string }).clusterId);
}

it("a founder is needed at the first start, and whoever waits says for whom", async () => {
  const cluster = await Cluster.create();
  clusters.push(cluster);
  const [a, b, c] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  a.start();
  b.start();
  for (let i = 0; i < 100 && !a.stderr.includes("n3"); i++) await pause(100);

  expect(a.stderr).toContain("n3");
  let reasons = "";
  for (let i = 0; i < 100 && !reasons.includes("n3"); i++) {
    await pause(100);
    reasons = await fetch(`${a.url}/readyz`).then((response) => response.text(), String);
  }
  expect(reasons).toContain("n3");
  expect(reasons).toContain("unready");

  c.start();
  await cluster.leader();
  expect(new Set(await Promise.all(cluster.urls.map(clusterId))).size).toBe(1);
});

it("a wiped founder that comes back while another is down is refused, and no second cluster forms", async () => {
  const cluster = await started();
  const [a, b, c] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await open(a.url, "kept-through-the-wipe");
  const id = await clusterId(a.url);
  await c.stop();
  await b.stop();
  wipe(b);
  b.start();

  expect(await b.exit).toMatchObject({ code: 78 });
  expect(b.stderr).toMatch(/wiped|incarnation|init/i);
  expect(a.isRunning).toBe(true);

  c.start();
  await cluster.leader();
  expect(await clusterId(a.url)).toBe(id);
  expect(await sessionStatus(a.url, "kept-through-the-wipe")).toBe(200);
});

it("when all were wiped they found another cluster, with another id and higher fences", async () => {
  const cluster = await started();
  const before = await clusterId(cluster.urls[0] as string);
  await open(cluster.urls[0] as string, "of-the-first-life-00");
  for (const node of cluster.nodes) await node.stop();
  for (const node of cluster.nodes) wipe(node);
  await pause(1_100);
  for (const node of cluster.nodes) node.start();
  const leader = await cluster.leader();

  expect(await clusterId(leader.url)).not.toBe(before);
  expect(await sessionStatus(leader.url, "of-the-first-life-00")).toBe(404);
});

it("a node of another cluster under a member's address is refused and stops; the cluster goes on", async () => {
  const cluster = await started();
  const stranger = await Cluster.create();
  clusters.push(stranger);
  for (const node of stranger.nodes) node.start();
  await stranger.leader();
  for (const node of stranger.nodes) await node.stop();
  const [a, , c] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await c.stop();
  // The same names and cluster name, another cluster: its n3 is started with this cluster's file.
  c.start({ data: (stranger.nodes[2] as ClusterNode).dataPath });

  expect(await c.exit).toMatchObject({ code: 78 });
  expect(c.stderr).toMatch(/cluster/);
  await cluster.leader();
  expect(await open(a.url, "after-the-stranger-00")).toBe(201);
});

it("a data directory of another node, or of another cluster name, is not opened", async () => {
  const cluster = await started();
  const [a, b] = cluster.nodes as [ClusterNode, ClusterNode];
  await a.stop();
  await b.stop();

  a.start({ data: b.dataPath });
  expect(await a.exit).toMatchObject({ code: 78 });

  const renamed = join(cluster.place, "renamed.yaml");
  writeFileSync(
    renamed,
    readFileSync(cluster.configPath, "utf8").replace("clusterName: example", "clusterName: other"),
  );
  a.start({ config: renamed });
  expect(await a.exit).toMatchObject({ code: 78 });
});

it("an older copy of a directory is refused by who saw it newer", async () => {
  const cluster = await started();
  const [, , c] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await c.stop();
  const copy = `${c.dataPath}-copy`;
  cpSync(c.dataPath, copy, { recursive: true });
  c.start();
  await cluster.ready(c);
  for (let i = 0; i < 5; i++) await open(cluster.urls[0] as string, `newer-than-the-copy-${i}`);
  await c.stop();
  // Its peers hear the step that it has reached in the handshake of this start.
  c.start();
  await cluster.ready(c);
  await c.stop();

  c.start({ data: copy });

  expect(await c.exit).toMatchObject({ code: 70 });
  expect(c.stderr).toMatch(/older|rolled/i);
  await cluster.leader();
});

it("a copy of a directory that runs at the same time is refused", async () => {
  const cluster = await started();
  const leader = await cluster.leader();
  const victim = cluster.nodes.find((node) => node !== leader) as ClusterNode;
  await victim.stop();
  const copy = `${victim.dataPath}-copy`;
  cpSync(victim.dataPath, copy, { recursive: true });
  victim.start();
  await cluster.ready(victim);

  // The twin listens elsewhere, or it could not start at all; its peers are the real ones.
  const config = join(cluster.place, "twin.yaml");
  const yaml = readFileSync(cluster.configPath, "utf8");
  const ports = await cluster.spareAddresses(2);
  writeFileSync(config, `${yaml}\nlisten: { http: ${ports[0]}, peer: ${ports[1]} }\n`);
  const twin = cluster.another(victim.id);
  twin.start({ config, data: copy });

  const exit = await twin.exit;
  expect([70, 78]).toContain(exit.code);
  expect(twin.stderr).toMatch(/duplicate|another process|older|same/i);
  await cluster.ready(victim);
});

it("a damaged store stops its node with the reason; two serve on, and nothing acknowledged is lost", async () => {
  const cluster = await started();
  const [a, , c] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  for (let i = 0; i < 20; i++) await open(a.url, `before-the-damage-00${i}`);
  await c.stop();
  const store = join(c.dataPath, "store");
  const file = join(store, readdirSync(store).find((name) => name.endsWith(".log")) as string);
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 3);
  bytes[middle] = (bytes[middle] as number) ^ 0x10;
  writeFileSync(file, bytes);

  c.start();

  expect(await c.exit).toMatchObject({ code: 70 });
  expect(c.stderr).toMatch(/damaged|lost/i);
  await cluster.leader();
  for (let i = 0; i < 20; i++) expect(await sessionStatus(a.url, `before-the-damage-00${i}`)).toBe(200);
  expect(await open(a.url, "after-the-damage-000")).toBe(201);
});

it("two nodes down: the third refuses honestly, and recovers by itself when one comes back", async () => {
  const cluster = await started();
  const [a, b, c] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await open(a.url, "kept-through-it-all-0");
  await b.kill();
  await c.kill();
  let status = 0;
  let code = "";
  for (let i = 0; i < 100 && status !== 503; i++) {
    const response = await fetch(`${a.url}/v1/sessions/kept-through-it-all-0`, { redirect: "manual" });
    status = response.status;
    code = String(((await response.json()) as { code?: string }).code);
    await pause(100);
  }
  expect({ status, code }).toEqual({ status: 503, code: "no-leader" });
  expect((await fetch(`${a.url}/livez`)).status).toBe(200);

  b.start();
  await cluster.leader();
  expect(await sessionStatus(a.url, "kept-through-it-all-0")).toBe(200);
  expect(await open(a.url, "after-it-all-00000000")).toBe(201);
});
