/**
 * A small seeded random generator (sfc32). Everything that must be random and reproducible draws from one that
 * was handed to it; pure folders have no other source.
 */

export interface Prng {
  /** A float in [0, 1). */
  next(): number;
  /** An integer in [low, high], both ends included. */
  between(low: number, high: number): number;
  /** True with the given probability, 0 … 1. */
  chance(probability: number): boolean;
  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T;
  /** 32 random bits as an unsigned integer. */
  uint32(): number;
}

/** Equal (seed, stream) pairs give equal sequences; different streams of one seed are unrelated. */
export function createPrng(seed: number, stream = ""): Prng {
  let h = 0x811c9dc5;
  for (const code of `${seed}|${stream}`) h = Math.imul(h ^ (code.codePointAt(0) as number), 0x01000193);
  let a = h | 0;
  let b = Math.imul(h, 0x9e3779b1) | 0;
  let c = (seed ^ 0x243f6a88) | 0;
  let counter = 1;
  const uint32 = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 15; i++) uint32();
  const next = (): number => uint32() / 0x100000000;
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    between,
    uint32,
    chance: (probability) => next() < probability,
    pick: <T>(items: readonly T[]): T => items[between(0, items.length - 1)] as T,
  };
}
