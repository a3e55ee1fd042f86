/**
 * Carries out one planned fault: whom it hits, what is done, what must come of it, and how it is healed. What a fault
 * must come to is docs/FAILURES.md and docs/OPERATIONS.md (exit codes). Touches only the members it was given.
 */
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unreachable } from "../../src/base/assert.ts";
import { pause } from "./clock.ts";
import type { DiskAbilities } from "./disks.ts";
import { exitText, isRefusal, type Member, type Members } from "./members.ts";
import { together, type Undo } from "./network.ts";
import type { Flow } from "./proxy.ts";
import { type FaultKind, isLight, type PlannedFault, spareOf } from "./schedule.ts";

export type Injection =
  | { readonly kind: "installed"; readonly detail: string; readonly hitLeader?: boolean }
  /** This machine cannot do it. */
  | { readonly kind: "skipped"; readonly reason: string }
  /** It was tried, and whether it was what it should be cannot be said. */
  | { readonly kind: "indeterminate"; readonly reason: string };

export interface FaultContext {
  readonly members: Members;
  readonly abilities: DiskAbilities;
  /** Members that a fault has in hand now. */
  readonly taken: Set<string>;
  /** A promise of the product was broken. */
  readonly complain: (text: string) => void;
  /** A client process is stopped for longer than its ttl, and writes when it is woken. */
  readonly pauseClient: () => Promise<Injection>;
  /** Between two things that a fault does. True: end early. */
  readonly isStopping: () => boolean;
}

/** From the first step to the last of its healing. Whether everybody is ready again is for the caller to see. */
export async function carryOut(fault: PlannedFault, context: FaultContext): Promise<Injection> {
  const missing = missingFor(fault.kind, context.abilities);
  if (missing !== undefined) return { kind: "skipped", reason: missing };
  if (fault.kind === "client-pause") return context.pauseClient();
  const victims = await victimsOf(fault, context);
  if (victims.length === 0) return { kind: "indeterminate", reason: "nobody was left to hit" };
  const leader = await context.members.currentLeader();
  // Who is only slowed down or cut for an instant is still there for the rest.
  const away = isLight(fault.kind) ? [] : victims;
  for (const { id } of away) context.taken.add(id);
  try {
    const injection = await hit(fault, victims, context);
    return injection.kind === "installed"
      ? { ...injection, hitLeader: leader !== undefined && victims.includes(leader) }
      : injection;
  } finally {
    for (const { id } of away) context.taken.delete(id);
  }
}

/** Undefined: this machine can do it. */
export function missingFor(kind: FaultKind, { mount, cut }: DiskAbilities): string | undefined {
  if (kind === "disk-full") return mount.missing;
  return kind === "power-cut" ? (mount.missing ?? cut.missing) : undefined;
}

const wantsAlwaysLeader: ReadonlySet<FaultKind> = new Set(["leader-from-peers", "clients-from-leader"]);

async function victimsOf(fault: PlannedFault, { members, taken }: FaultContext): Promise<readonly Member[]> {
  const needsDisk = fault.kind === "disk-full" || fault.kind === "power-cut";
  const free = members.left.filter(
    ({ id, isUp, disk }) => isUp && !taken.has(id) && (!needsDisk || disk !== undefined),
  );
  const leader = await members.currentLeader();
  const isWanted = fault.wantsLeader || wantsAlwaysLeader.has(fault.kind);
  const wished = fault.victims.map((at) => members.all[at]);
  const first = isWanted ? [leader] : [];
  const order = [...new Set([...first, ...wished, ...free])].filter(
    (one) => one !== undefined && free.includes(one),
  );
  const away = members.all.length - members.left.length + taken.size;
  const spare = spareOf(members.all.length) - away;
  const takesNobody = isLight(fault.kind) || fault.kind === "clients-from-leader";
  const most = fault.isQuorumSafe && !takesNobody ? spare : members.all.length;
  return (order as readonly Member[]).slice(0, Math.min(countOf(fault, members), most));
}

function countOf({ kind, victims }: PlannedFault, { all }: Members): number {
  switch (kind) {
    case "kill":
    case "restart":
    case "terminate":
    case "pause":
    case "pause-beyond-ttl":
    case "split":
    case "power-cut":
      return victims.length;
    case "swapped":
      // Two directories change places where two members can be spared.
      return spareOf(all.length) >= 2 ? 2 : 1;
    default:
      return 1;
  }
}

async function hit(
  fault: PlannedFault,
  victims: readonly Member[],
  context: FaultContext,
): Promise<Injection> {
  const [victim] = victims as readonly [Member, ...Member[]];
  const who = victims.map(({ id }) => id).join(", ");
  switch (fault.kind) {
    case "kill":
    case "restart":
      await Promise.all(victims.map((one) => one.kill()));
      await pause(fault.holdMs);
      for (const one of victims) one.start();
      return installed(`${who} killed, back after ${fault.holdMs} ms`);
    case "terminate": {
      const ended = await Promise.all(victims.map((one) => one.terminate()));
      if (ended.includes(false)) context.complain(`SIGTERM did not end one of ${who} within 10 s`);
      await pause(fault.holdMs);
      for (const one of victims) one.start();
      return installed(`${who} terminated, back after ${fault.holdMs} ms`);
    }
    case "pause":
    case "pause-beyond-ttl":
      for (const one of victims) one.node.signal("SIGSTOP");
      await pause(fault.holdMs);
      for (const one of victims) one.node.signal("SIGCONT");
      return installed(`${who} stopped for ${fault.holdMs} ms`);
    case "split":
    case "one-way":
    case "bridge":
    case "leader-from-peers":
    case "clients-from-leader":
    case "slow-link":
      return disturb(fault, victims, context);
    case "flapping":
      return flap(fault, victim, context);
    case "reset":
      return resetLinks(fault, victim, context);
    case "wiped":
      return wipe(victim, context);
    case "swapped":
      return swap(victims, context);
    case "flipped":
      return flip(fault, victim, context);
    case "disk-full":
      return fillDisk(victim, context);
    case "power-cut":
      return cutPower(fault, victims);
    case "client-pause":
      return context.pauseClient();
    default:
      return unreachable(fault.kind);
  }
}

function installed(detail: string): Injection {
  return { kind: "installed", detail };
}

// ---- links

async function disturb(
  fault: PlannedFault,
  victims: readonly Member[],
  context: FaultContext,
): Promise<Injection> {
  const { undo, detail } = disturbance(fault, victims, context);
  try {
    await pause(fault.holdMs);
  } finally {
    undo();
  }
  return installed(`${detail}, for ${fault.holdMs} ms`);
}

function disturbance(
  fault: PlannedFault,
  victims: readonly Member[],
  { members }: FaultContext,
): { readonly undo: Undo; readonly detail: string } {
  const { network } = members;
  const [a = 0, b = 0, c = 0] = fault.draws;
  const [{ id: victim }] = victims as readonly [Member, ...Member[]];
  const taken = victims.map(({ id }) => id);
  const others = members.all.map(({ id }) => id).filter((id) => !taken.includes(id));
  const passes = passesOf(fault);
  switch (fault.kind) {
    case "split": {
      // More than can be spared: then nobody hears anybody.
      const isShattered = !fault.isQuorumSafe;
      const groups = isShattered ? [...taken.map((id) => [id]), others] : [taken, others];
      const cuts = groups.flatMap((one, i) =>
        groups.slice(i + 1).map((other) => network.split(one, other, passes)),
      );
      return {
        undo: together(cuts),
        detail: `${groups.map((group) => group.join("+")).join(" | ")} (${passes})`,
      };
    }
    case "one-way": {
      const peers = a < 0.5 ? others : others.slice(0, 1);
      const isOut = b < 0.5;
      const undos = peers.map((id) =>
        isOut ? network.disturb(victim, id, { passes }) : network.disturb(id, victim, { passes }),
      );
      const way = isOut ? "is not heard by" : "does not hear";
      return { undo: together(undos), detail: `${victim} ${way} ${peers.join(", ")} (${passes})` };
    }
    case "bridge": {
      const half = Math.ceil(others.length / 2);
      const [left, right] = [others.slice(0, half), others.slice(half)];
      const undo = network.split(left, right, passes);
      return { undo, detail: `${left.join("+")} | ${right.join("+")}, both see ${victim} (${passes})` };
    }
    case "leader-from-peers":
      return {
        undo: network.split([victim], others, passes),
        detail: `${victim} hears no other member (${passes})`,
      };
    case "clients-from-leader": {
      const undo = network.disturbBoth("clients", victim, { passes });
      return { undo, detail: `clients do not reach ${victim} (${passes})` };
    }
    default: {
      const flow = { delayMs: Math.round(10 + a * 70), bytesPerSecond: Math.round(40_000 + b * 400_000) };
      const peers = c < 0.5 ? others : others.slice(0, 1);
      const undo = together(peers.map((id) => network.disturbBoth(victim, id, flow)));
      const text = `${flow.delayMs} ms and ${Math.round(flow.bytesPerSecond / 1_000)} kB/s`;
      return { undo, detail: `${text} between ${victim} and ${peers.join(", ")}` };
    }
  }
}

function passesOf({ draws }: PlannedFault): Exclude<Flow["passes"], "all"> {
  return (draws[6] ?? 0) < 0.5 ? "hold" : "swallow";
}

async function flap(
  fault: PlannedFault,
  { id }: Member,
  { members, isStopping }: FaultContext,
): Promise<Injection> {
  const [a = 0, b = 0, c = 0] = fault.draws;
  const others = members.all.map((one) => one.id).filter((other) => other !== id);
  const peers = a < 0.5 ? others : others.slice(0, 1);
  const [downMs, upMs] = [Math.round(30 + b * 270), Math.round(30 + c * 220)];
  const until = performance.now() + fault.holdMs;
  let cuts = 0;
  while (performance.now() < until && !isStopping()) {
    const undo = members.network.split([id], peers, passesOf(fault));
    cuts++;
    await pause(downMs);
    undo();
    await pause(upMs);
  }
  return installed(
    `${id} lost and found ${peers.join(", ")} ${cuts} times (${downMs} ms off, ${upMs} ms on)`,
  );
}

async function resetLinks(
  fault: PlannedFault,
  { id }: Member,
  { members }: FaultContext,
): Promise<Injection> {
  const others = members.all.map((one) => one.id).filter((other) => other !== id);
  const times = 3;
  for (let i = 0; i < times; i++) {
    for (const other of others) members.network.reset(id, other);
    await pause(fault.holdMs / times);
  }
  return installed(`all connections of ${id} reset ${times} times`);
}

// ---- data directories

/** How long a start may take until it is refused or ready. */
const startLimitMs = 12_000;

async function wipe(member: Member, context: FaultContext): Promise<Injection> {
  const { node } = member;
  const kept = `${node.dataPath}.kept`;
  await member.kill();
  renameSync(node.dataPath, kept);
  try {
    node.init();
    await mustBeRefused(member, {}, "was wiped and initialised anew", context);
  } finally {
    rmSync(node.dataPath, { recursive: true, force: true });
    renameSync(kept, node.dataPath);
  }
  member.start();
  return installed(`${member.id} wiped and refused; back with its old directory`);
}

async function swap(victims: readonly Member[], context: FaultContext): Promise<Injection> {
  const [a, b] = victims as readonly [Member, Member | undefined];
  if (b === undefined) {
    const { members } = context;
    const other = members.all[(members.all.indexOf(a) + 1) % members.all.length] as Member;
    const copy = join(members.place, `${a.id}-has-${other.id}`);
    await a.terminate();
    copyLive(other.node.dataPath, copy);
    await mustBeRefused(a, { data: copy }, `was started with the directory of ${other.id}`, context);
    rmSync(copy, { recursive: true, force: true });
    a.start();
    return installed(`${a.id} started with the directory of ${other.id} and refused`);
  }
  await Promise.all([a.terminate(), b.terminate()]);
  await Promise.all([
    mustBeRefused(a, { data: b.node.dataPath }, `was started with the directory of ${b.id}`, context),
    mustBeRefused(b, { data: a.node.dataPath }, `was started with the directory of ${a.id}`, context),
  ]);
  a.start();
  b.start();
  return installed(`${a.id} and ${b.id} with each other's directories, both refused`);
}

/** A running node deletes files meanwhile. */
function copyLive(from: string, to: string): void {
  for (let tries = 0; ; tries++) {
    try {
      cpSync(from, to, { recursive: true, force: true });
      return;
    } catch (error) {
      if (tries === 20) throw error;
    }
  }
}

async function mustBeRefused(
  member: Member,
  options: { readonly data?: string },
  what: string,
  { complain }: FaultContext,
): Promise<void> {
  member.start(options);
  member.expect(({ code }) => code === 78);
  const exit = await member.exitWithin(startLimitMs);
  if (exit === undefined) {
    complain(
      `${member.id} ${what} and still runs after ${startLimitMs} ms: it must be refused with exit code 78`,
    );
    await member.kill();
  } else if (exit.code !== 78)
    complain(`${member.id} ${what} and ended with ${exitText(exit)} in place of 78`);
}

/** Ended in order before, so that nothing of the damage may be taken for a crash's last writes. */
async function flip(fault: PlannedFault, member: Member, { complain }: FaultContext): Promise<Injection> {
  const { dataPath } = member.node;
  const kept = `${dataPath}.kept`;
  await member.terminate();
  rmSync(kept, { recursive: true, force: true });
  cpSync(dataPath, kept, { recursive: true });
  const what = flipBytes(dataPath, fault.draws);
  member.start();
  member.expect(isRefusal);
  const until = performance.now() + startLimitMs;
  let wasReady = false;
  while (member.isUp && performance.now() < until && !wasReady) {
    wasReady = await member.isReady();
    if (!wasReady) await pause(30);
  }
  if (member.isUp) {
    // It runs right, or it is wrong: that is for the judge. Its older copy may never be used again.
    member.isDamaged = true;
    rmSync(kept, { recursive: true, force: true });
    if (!wasReady) complain(`${member.id} with ${what} neither refuses nor becomes ready`);
    return installed(`${member.id} started with ${what} and runs`);
  }
  const exit = await member.node.exit;
  rmSync(dataPath, { recursive: true, force: true });
  renameSync(kept, dataPath);
  member.start();
  return installed(
    `${member.id} refused to start with ${what} (${exitText(exit)}); back with the intact copy`,
  );
}

function flipBytes(path: string, draws: readonly number[]): string {
  const files = readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => !/(^|\/)(LOCK|LOG|LOG\.old)$/.test(name))
    .map((name) => ({ name, path: join(path, name) }))
    .filter((file) => statSync(file.path).isFile() && statSync(file.path).size > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const file = files[Math.floor((draws[0] ?? 0) * files.length)];
  if (file === undefined) throw new Error(`no files in ${path}`);
  const bytes = readFileSync(file.path);
  const places = draws
    .slice(1, 2 + Math.floor((draws[5] ?? 0) * 3))
    .map((draw) => Math.floor(draw * bytes.length));
  for (const [i, at] of places.entries()) {
    const mask = 1 << Math.floor((draws[(i + 2) % draws.length] ?? 0) * 8);
    bytes[at] = (bytes[at] ?? 0) ^ mask;
  }
  writeFileSync(file.path, bytes);
  return `a flipped bit at ${places.join(" and ")} of ${bytes.length} in ${file.name}`;
}

// ---- disks

async function fillDisk(member: Member, { members, complain }: FaultContext): Promise<Injection> {
  const { disk } = member;
  if (disk === undefined) return { kind: "indeterminate", reason: `${member.id} has no disk of its own` };
  member.expect(({ code }) => code === 70);
  let exit: Awaited<ReturnType<Member["exitWithin"]>>;
  try {
    disk.fill();
    exit = await member.exitWithin(8_000);
  } finally {
    disk.free();
  }
  if (exit === undefined) {
    const view = await members.currentLeader();
    return {
      kind: "indeterminate",
      reason: `${member.id} had nothing to write in 8 s (${view?.id ?? "nobody"} leads)`,
    };
  }
  if (exit.code !== 70)
    complain(`${member.id} ended with ${exitText(exit)} in place of 70 when its disk was full`);
  member.start();
  return installed(`the disk of ${member.id} was full; it ended with ${exitText(exit)} and is back`);
}

async function cutPower(fault: PlannedFault, victims: readonly Member[]): Promise<Injection> {
  const hits = victims.flatMap((member) =>
    member.disk === undefined ? [] : [{ member, disk: member.disk }],
  );
  if (hits.length === 0) return { kind: "indeterminate", reason: "no disk of its own" };
  // The processes live on for a moment: what they say is synced now must not be.
  for (const { member, disk } of hits) {
    member.expect(({ code, signal }) => signal === "SIGKILL" || code === 70);
    disk.cutPower();
  }
  await pause((fault.draws[0] ?? 0) * 150);
  for (const { member } of hits) {
    member.node.signal("SIGKILL");
    await member.node.exit;
  }
  await pause(fault.holdMs);
  for (const { member, disk } of hits) {
    disk.restorePower();
    member.start();
  }
  return installed(`power of ${hits.map(({ member }) => member.id).join(", ")} was cut`);
}
