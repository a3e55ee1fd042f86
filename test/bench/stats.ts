/**
 * The arithmetic of the bench: percentiles, the longest time in which nothing happened, ratios taken pair by pair.
 * Pure. Never rounds: that is the tables' business.
 */

/** Milliseconds; over all samples of a window, none left out. */
export interface Distribution {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * The smallest sample that at least `share` (0 … 1) of all samples do not exceed: always a value that was measured.
 * `sorted` rises and has at least one element.
 */
export function percentile(sorted: readonly number[] | Float64Array, share: number): number {
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)));
  const value = sorted[rank - 1];
  if (value === undefined) throw new RangeError("a percentile of nothing");
  return value;
}

/** Exact. Throws RangeError when there is no sample. */
export function distribution(samples: readonly number[]): Distribution {
  const sorted = Float64Array.from(samples).sort();
  return {
    count: sorted.length,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1),
  };
}

/** Of an even count the mean of the two in the middle. Throws RangeError when there is none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new RangeError("a median of nothing");
  return (upper + lower) / 2;
}

/** A stretch of time without an event, `from` and `to` on the clock of the events. */
export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly ms: number;
}

/**
 * The longest stretch without an event among those that end after `after`. The time from the last event to `until`
 * counts as well: whoever never came back has not had a short gap. Times are in milliseconds and in any order; events
 * later than `until` count as having happened then.
 */
export function longestGap(
  times: readonly number[],
  { after, until }: { readonly after: number; readonly until: number },
): Gap {
  const sorted = Float64Array.from(times, (time) => Math.min(time, until)).sort();
  let longest: Gap = { from: until, to: until, ms: 0 };
  let from = sorted[0] ?? after;
  // Without any event before the fault, waiting begins with the fault.
  if (from > after) from = after;
  for (let i = 0; i <= sorted.length; i++) {
    const to = sorted[i] ?? until;
    if (to > after && to - from > longest.ms) longest = { from, to, ms: to - from };
    from = to;
  }
  return longest;
}

/** One window of ours with the window of the other system that came right after it. */
export interface Pairing<A, B> {
  readonly ours: A;
  readonly theirs: B;
}

/** Pairs rows with equal key and round; what has no partner is left out. Order is that of `ours`. */
export function pairRows<
  A extends { readonly clients: number; readonly round: number },
  B extends { readonly clients: number; readonly round: number },
>(ours: readonly A[], theirs: readonly B[]): readonly Pairing<A, B>[] {
  return ours.flatMap((own) => {
    const other = theirs.find(({ clients, round }) => clients === own.clients && round === own.round);
    return other === undefined ? [] : [{ ours: own, theirs: other }];
  });
}

/** ours / theirs of each pair in which both are known and theirs is not zero. */
export function ratios<A, B>(
  pairs: readonly Pairing<A, B>[],
  ofOurs: (row: A) => number | undefined,
  ofTheirs: (row: B) => number | undefined,
): readonly number[] {
  return pairs.flatMap(({ ours, theirs }) => {
    const own = ofOurs(ours);
    const other = ofTheirs(theirs);
    return own === undefined || other === undefined || other === 0 ? [] : [own / other];
  });
}
