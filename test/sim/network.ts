/**
 * The simulated network between members, and between clients and members: delay, loss, duplication, reordering, cuts
 * in one direction or both. Each directed link draws from its own random stream.
 */
import { createPrng, type Prng } from "../../src/base/prng.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "../../src/codec/message.ts";
import type { Scheduler } from "./scheduler.ts";

export interface NetworkFaults {
  /** Chance that a message between members is lost, or comes twice. */
  readonly loss: number;
  readonly duplication: number;
  /** Milliseconds. With `reorder`, messages of one link overtake each other. */
  readonly delayMin: number;
  readonly delayMax: number;
  readonly reorder: boolean;
  /** Pass every message through the real codec. */
  readonly encode: boolean;
}

export interface SimNetwork {
  isCut(from: string, to: string): boolean;
  /** In this direction, now and ever since. */
  isCutSince(from: string, to: string, since: number): boolean;
  /** In this direction, until what it returns is called, or everything is healed. Cuts of one link add up. */
  cut(from: string, to: string): () => void;
  /** The same with every message that much slower. */
  slow(from: string, to: string, extraMs: number): () => void;
  /** No link is cut or slowed any more. */
  heal(): void;
  /** No loss, duplication or long delays, as at the start; cuts stay. */
  calm(): void;
  /** From now on it is as unruly as was asked for. */
  storm(): void;
  /** A message between members; `deliver` runs at the receiver when it arrives. */
  send(from: string, to: string, message: PeerMessage, deliver: (message: PeerMessage) => void): void;
  /** A request or answer between a client and a member: it arrives in order, or never. */
  carry(from: string, to: string, deliver: () => void): void;
  readonly counts: { sent: number; lost: number; duplicated: number };
}

export function createSimNetwork(seed: number, scheduler: Scheduler, configured: NetworkFaults): SimNetwork {
  /** How many hold each link cut; a new map at each heal, so that what ends later undoes nothing. */
  let cuts = new Map<string, number>();
  let slowed = new Map<string, number>();
  const streams = new Map<string, Prng>();
  const lastArrival = new Map<string, number>();
  /** When each link was cut last. */
  const cutAt = new Map<string, number>();
  const counts = { sent: 0, lost: 0, duplicated: 0 };
  const calm = { ...configured, loss: 0, duplication: 0, delayMin: 0.1, delayMax: 1, reorder: false };
  let faults = calm;

  function streamOf(link: string): Prng {
    let stream = streams.get(link);
    if (stream === undefined) {
      stream = createPrng(seed, `link ${link}`);
      streams.set(link, stream);
    }
    return stream;
  }

  function arrival(link: string, random: Prng, isOrdered: boolean): number {
    const spreadMs = random.next() * (faults.delayMax - faults.delayMin);
    const time = scheduler.now + faults.delayMin + spreadMs + (slowed.get(link) ?? 0);
    if (!isOrdered) return time;
    const ordered = Math.max(time, lastArrival.get(link) ?? 0);
    lastArrival.set(link, ordered);
    return ordered;
  }

  /** Adds to a link's number; returns how to take it off again. */
  function add(numbers: Map<string, number>, link: string, amount: number): () => void {
    numbers.set(link, (numbers.get(link) ?? 0) + amount);
    let isUndone = false;
    return () => {
      if (isUndone) return;
      isUndone = true;
      const left = (numbers.get(link) ?? 0) - amount;
      if (left > 0) numbers.set(link, left);
      else numbers.delete(link);
    };
  }

  return {
    counts,
    isCut: (from, to) => cuts.has(`${from}>${to}`),
    isCutSince: (from, to, since) =>
      cuts.has(`${from}>${to}`) && (cutAt.get(`${from}>${to}`) ?? -Infinity) <= since,
    cut: (from, to) => {
      const link = `${from}>${to}`;
      if (!cuts.has(link)) cutAt.set(link, scheduler.now);
      return add(cuts, link, 1);
    },
    slow: (from, to, extraMs) => add(slowed, `${from}>${to}`, extraMs),
    heal: () => {
      cuts = new Map();
      slowed = new Map();
    },
    calm: () => {
      faults = calm;
    },
    storm: () => {
      faults = configured;
    },
    send(from, to, message, deliver) {
      const link = `${from}>${to}`;
      const random = streamOf(link);
      counts.sent++;
      const copies = random.chance(faults.loss) ? 0 : random.chance(faults.duplication) ? 2 : 1;
      if (copies === 0 || cuts.has(link)) {
        counts.lost++;
        return;
      }
      if (copies === 2) counts.duplicated++;
      const bytes = faults.encode ? encodeMessage(message) : undefined;
      for (let copy = 0; copy < copies; copy++) {
        scheduler.at(arrival(link, random, !faults.reorder), () => {
          // A cut made while the message was on its way stops it too.
          if (!cuts.has(link)) deliver(bytes === undefined ? message : decodeMessage(bytes));
        });
      }
    },
    carry(from, to, deliver) {
      const link = `${from}>${to}`;
      if (cuts.has(link)) return;
      scheduler.at(arrival(link, streamOf(link), true), () => {
        if (!cuts.has(link)) deliver();
      });
    },
  };
}
