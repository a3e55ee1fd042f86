/**
 * A just-in-time search for an order of steps on one name (Lowe, "Testing for linearizability", 2017): walk the times,
 * keep every state that may be; at the end of a step extend each only as far as that step needs. A pending read that
 * fits is taken at once: it changes nothing, so that is always safe. No state left: no order exists.
 * It knows nothing of sessions, answers or revisions. Gives up at a bound, which is no pass.
 */
import { unreachable } from "../../src/base/assert.ts";
import { groupBy } from "./facts.ts";
import type { Mode } from "./history.ts";

export interface Want {
  readonly mode: Mode;
  /** At most, and at least (it may have been shrunk). */
  readonly permits: number;
  readonly least: number;
}

interface Between {
  /** It took effect not before. */
  readonly from: number;
  /** And not after. Infinity: perhaps never, unless it is certain. */
  readonly to: number;
}

export type Step =
  /** Certain, with its fence when that is known; or one that nobody was told of, which may never have happened. */
  | (Between & {
      readonly kind: "grant";
      readonly claimId: string;
      readonly want: Want;
      readonly fence: number | undefined;
      readonly isCertain: boolean;
    })
  /** If it was granted it is over by `to`, and cannot be granted later. */
  | (Between & { readonly kind: "end"; readonly claimId: string })
  /** Exactly these hold. */
  | (Between & { readonly kind: "look"; readonly holders: readonly string[] })
  | (Between & { readonly kind: "see"; readonly claimId: string; readonly isHeld: boolean })
  /** Holders leave no room for it; some of them may be known. */
  | (Between & {
      readonly kind: "refused";
      readonly claimId: string;
      readonly want: Want;
      readonly holders: readonly string[];
    });

export type Searched =
  | { readonly kind: "linearizable"; readonly work: number }
  /** `at`: the first step that fits nowhere. `holders`: of one state before it. */
  | { readonly kind: "refuted"; readonly at: Step; readonly holders: readonly string[] }
  | { readonly kind: "out-of-budget"; readonly at: Step };

type Grant = Extract<Step, { kind: "grant" }>;
type End = Extract<Step, { kind: "end" }>;
type Refused = Extract<Step, { kind: "refused" }>;
type Read = Exclude<Step, Grant | End>;

/** One state that may be. */
interface Configuration {
  readonly holders: readonly Grant[];
  /** Grants taken so far, of those that are under way or may still be asked about. */
  readonly taken: ReadonlySet<Grant>;
  readonly lastFence: number;
  /** Reads that are under way and did not fit yet. */
  readonly unread: readonly Read[];
}

export interface Limits {
  /** Of a semaphore. */
  readonly capacity: number;
  /** Holders, grants and reads that may be looked at, over all states. */
  readonly workMax: number;
}

export function search(steps: readonly Step[], limits: Limits): Searched {
  return new Search(steps, limits).run();
}

class OutOfBudget extends Error {}

/** Steps under way, and the states that may be; walks once. */
class Search {
  readonly #limits: Limits;
  readonly #steps: readonly Step[];
  readonly #numbers: ReadonlyMap<Step, number>;
  readonly #grantOf = new Map<string, Grant>();
  readonly #endOf = new Map<string, End>();
  /** Those that began and whose claim is not over. */
  readonly #grants = new Set<Grant>();
  readonly #begun = new Set<Step>();
  /** Granted in all states, or over in all of them. */
  readonly #settled = new Set<Grant>();
  /** Claims that are over. */
  readonly #closed = new Set<string>();
  #configurations: readonly Configuration[];
  #work = 0;

  constructor(steps: readonly Step[], limits: Limits) {
    this.#steps = steps;
    this.#limits = limits;
    this.#numbers = new Map(steps.map((step, i) => [step, i]));
    for (const step of steps) {
      if (step.kind === "grant") this.#grantOf.set(step.claimId, step);
      if (step.kind === "end") this.#endOf.set(step.claimId, step);
    }
    this.#configurations = [{ holders: [], taken: new Set(), lastFence: 0, unread: [] }];
  }

  run(): Searched {
    for (const { step, isEnd } of eventsOf(this.#steps)) {
      const before = this.#configurations;
      try {
        if (isEnd) this.#finish(step);
        else this.#begin(step);
      } catch (error) {
        if (error instanceof OutOfBudget) return { kind: "out-of-budget", at: step };
        throw error;
      }
      if (this.#configurations.length > 0) continue;
      const holders = before[0]?.holders.map(({ claimId }) => claimId) ?? [];
      return { kind: "refuted", at: step, holders };
    }
    return { kind: "linearizable", work: this.#work };
  }

  #begin(step: Step): void {
    this.#begun.add(step);
    if (step.kind === "grant" && !this.#closed.has(step.claimId)) this.#grants.add(step);
    if (step.kind === "grant" || step.kind === "end") return;
    this.#spend(this.#configurations.length);
    this.#configurations = this.#configurations.map((configuration) =>
      this.#fits(configuration, step)
        ? configuration
        : { ...configuration, unread: [...configuration.unread, step] },
    );
  }

  /** Every state in which the step has happened, reached with as little else as it needs. */
  #finish(step: Step): void {
    const reached = new Map<string, Configuration>();
    const visited = new Set<string>();
    for (const configuration of this.#configurations) {
      this.#reach(configuration, step, { reached, visited });
    }
    if (step.kind === "grant" && step.isCertain) this.#settle(step, reached);
    if (step.kind === "end") {
      this.#closed.add(step.claimId);
      const grant = this.#grantOf.get(step.claimId);
      if (grant !== undefined) this.#settle(grant, reached);
    }
    this.#configurations = this.#withoutDominated([...reached.values()]);
  }

  /** All states agree on it from here on, so they need not remember it. */
  #settle(grant: Grant, reached: Map<string, Configuration>): void {
    this.#grants.delete(grant);
    this.#settled.add(grant);
    const configurations = [...reached.values()];
    reached.clear();
    for (const { taken, ...rest } of configurations) {
      const configuration = { ...rest, taken: new Set([...taken].filter((one) => one !== grant)) };
      reached.set(this.#keyOf(configuration), configuration);
    }
  }

  #reach(
    configuration: Configuration,
    target: Step,
    found: { readonly reached: Map<string, Configuration>; readonly visited: Set<string> },
  ): void {
    const key = this.#keyOf(configuration);
    if (found.visited.has(key)) return;
    found.visited.add(key);
    const isReached = this.#isDone(configuration, target);
    if (isReached) found.reached.set(key, configuration);
    if (isReached && !this.#isLastChance(configuration, target)) return;
    for (const next of this.#moves(configuration, target)) this.#reach(next, target, found);
  }

  /** Of work, in what was looked at; so that the bound is one of time too, whatever the steps are. */
  #spend(work: number): void {
    this.#work += work;
    if (this.#work > this.#limits.workMax) throw new OutOfBudget();
  }

  #isTaken({ taken }: Configuration, grant: Grant): boolean {
    return taken.has(grant) || this.#settled.has(grant);
  }

  #isDone(configuration: Configuration, step: Step): boolean {
    const { holders, unread } = configuration;
    switch (step.kind) {
      case "grant":
        // One that may never have happened binds nobody: its end does.
        return !step.isCertain || this.#isTaken(configuration, step);
      case "end": {
        const grant = this.#grantOf.get(step.claimId);
        if (grant === undefined) return true;
        if (holders.includes(grant)) return false;
        return !grant.isCertain || this.#isTaken(configuration, grant);
      }
      default:
        return !unread.includes(step);
    }
  }

  /** A grant that nobody was told of cannot come after its end: what only it explains must be explained now. */
  #isLastChance(configuration: Configuration, step: Step): boolean {
    if (step.kind !== "end" || configuration.unread.length === 0) return false;
    const grant = this.#grantOf.get(step.claimId);
    return grant !== undefined && !this.#isTaken(configuration, grant);
  }

  /**
   * What may be done next. Ends wait until a grant, a look or their own time needs them. Before the target, a read that
   * is under way may want a state that the way to the target does not pass.
   */
  #moves(configuration: Configuration, target: Step): readonly Configuration[] {
    const goals: Step[] = [target];
    for (const read of configuration.unread) if (read !== target) goals.push(read);
    const moves: Configuration[] = [];
    for (const goal of goals) moves.push(...this.#towards(configuration, goal));
    return [...moves, ...this.#explaining(configuration)];
  }

  #towards(configuration: Configuration, goal: Step): readonly Configuration[] {
    const { holders } = configuration;
    switch (goal.kind) {
      case "grant":
        return this.#nextGrants(configuration, goal);
      case "end": {
        const grant = this.#grantOf.get(goal.claimId);
        if (grant === undefined) return [];
        if (!this.#isTaken(configuration, grant)) return this.#nextGrants(configuration, grant);
        return this.#ended(configuration, grant);
      }
      case "see": {
        const grant = this.#grantOf.get(goal.claimId);
        return goal.isHeld && grant !== undefined && !this.#isTaken(configuration, grant)
          ? this.#nextGrants(configuration, grant)
          : [];
      }
      case "refused":
        return this.#nextGrants(configuration, undefined);
      case "look": {
        const surplus = holders.find(({ claimId }) => !goal.holders.includes(claimId));
        const missing = goal.holders.find((claimId) => !holders.some((holder) => holder.claimId === claimId));
        const wanted = missing === undefined ? undefined : this.#grantOf.get(missing);
        // A holder that must leave may have to stay until a grant has been seen beside it: both orders are tried.
        const ended = surplus === undefined ? [] : this.#ended(configuration, surplus);
        return wanted === undefined ? ended : [...ended, ...this.#nextGrants(configuration, wanted)];
      }
      default:
        return unreachable(goal);
    }
  }

  /**
   * The grants that may come next, each after the ends that it needs. Fences rise, so of the certain ones it is the one
   * with the smallest, or one whose fence nobody saw.
   */
  #nextGrants(configuration: Configuration, wanted: Grant | undefined): readonly Configuration[] {
    const { taken, lastFence } = configuration;
    this.#spend(this.#grants.size);
    let smallest: Grant | undefined;
    const moves: Configuration[] = [];
    for (const grant of this.#grants) {
      if (taken.has(grant) || !grant.isCertain) continue;
      if (grant.fence === undefined) moves.push(...this.#granted(configuration, grant));
      else if (grant.fence > lastFence && grant.fence < (smallest?.fence ?? Infinity)) smallest = grant;
    }
    const isBehind = wanted?.fence !== undefined && wanted.fence <= lastFence;
    if (smallest !== undefined && !isBehind) moves.push(...this.#granted(configuration, smallest));
    return moves;
  }

  /**
   * Grants that nobody was told of explain refusals that those they name do not explain, and nothing else. For permits it
   * may take several of them, in whatever order.
   */
  #explaining(configuration: Configuration): readonly Configuration[] {
    const explained: Configuration[] = [];
    const visited = new Set<string>();
    const explain = (before: Configuration): void => {
      const { unread, taken } = before;
      if (!unread.some((read) => read.kind === "refused" && !this.#isExplained(read))) return;
      for (const grant of this.#unheard(taken)) {
        for (const next of this.#granted(before, grant)) {
          const key = this.#keyOf(next);
          if (visited.has(key)) continue;
          visited.add(key);
          if (next.unread.length < unread.length) explained.push(next);
          else if (grant.want.mode === "permits") explain(next);
        }
      }
    };
    explain(configuration);
    return explained;
  }

  /** The holders that the refusal names are reason enough. */
  #isExplained({ want, holders }: Refused): boolean {
    if (want.mode !== "permits") return holders.length > 0;
    const named = holders.reduce((sum, claimId) => sum + (this.#grantOf.get(claimId)?.want.permits ?? 0), 0);
    return named + want.permits > this.#limits.capacity;
  }

  /**
   * Of the grants that nobody was told of, one of each kind. Those that may end at any time from now on differ only in
   * how long they may last: then the one that must end first is as good as any, because another can take its place.
   */
  #unheard(taken: ReadonlySet<Grant>): readonly Grant[] {
    this.#spend(this.#grants.size);
    const kinds = new Map<string, Grant>();
    for (const grant of this.#grants) {
      if (grant.isCertain || taken.has(grant)) continue;
      const end = this.#endOf.get(grant.claimId);
      const isEndable = end !== undefined && this.#begun.has(end);
      const { mode, permits, least } = grant.want;
      const kind = `${mode} ${permits} ${least} ${isEndable ? "" : `${end?.from} ${end?.to}`}`;
      const known = kinds.get(kind);
      if (known === undefined || grant.to < known.to) kinds.set(kind, grant);
    }
    return [...kinds.values()];
  }

  #granted(configuration: Configuration, grant: Grant): readonly Configuration[] {
    return this.#madeRoom(configuration, grant).map((room) => {
      const fence = grant.fence ?? room.lastFence;
      const holders = [...room.holders, grant];
      return this.#read({ ...room, holders, taken: new Set([...room.taken, grant]), lastFence: fence });
    });
  }

  /** Every least set of ends after which the grant fits. */
  #madeRoom(configuration: Configuration, grant: Grant): readonly Configuration[] {
    if (this.#isRoom(configuration.holders, grant.want)) return [configuration];
    const inTheWay =
      grant.want.mode === "shared"
        ? configuration.holders.filter(({ want }) => want.mode === "exclusive")
        : configuration.holders;
    if (grant.want.mode !== "permits") {
      let room: Configuration | undefined = configuration;
      for (const holder of inTheWay) room = room === undefined ? undefined : this.#ended(room, holder)[0];
      return room === undefined ? [] : [room];
    }
    return this.#madeRoomForPermits(configuration, grant);
  }

  /**
   * Permits may be given back by many sets of holders. Of those that ended in another order only one is followed; what
   * they had read on the way is part of what they are.
   */
  #madeRoomForPermits(configuration: Configuration, grant: Grant): readonly Configuration[] {
    const rooms: Configuration[] = [];
    const seen = new Set<string>();
    const tight = [configuration];
    // Grows while it is walked.
    for (const one of tight) {
      for (const ended of one.holders.flatMap((holder) => this.#ended(one, holder))) {
        const key = this.#keyOf(ended);
        if (seen.has(key)) continue;
        seen.add(key);
        (this.#isRoom(ended.holders, grant.want) ? rooms : tight).push(ended);
      }
    }
    return rooms;
  }

  #isRoom(holders: readonly Grant[], want: Want): boolean {
    if (want.mode === "exclusive") return holders.length === 0;
    if (want.mode === "shared") return holders.every((holder) => holder.want.mode !== "exclusive");
    const held = holders.reduce((sum, holder) => sum + holder.want.least, 0);
    return held + want.least <= this.#limits.capacity;
  }

  /** Without this holder, if its end is under way. */
  #ended(configuration: Configuration, holder: Grant): readonly Configuration[] {
    const end = this.#endOf.get(holder.claimId);
    if (end === undefined || !this.#begun.has(end)) return [];
    const holders = configuration.holders.filter((other) => other !== holder);
    return [this.#read({ ...configuration, holders })];
  }

  /** Whatever is under way and fits is taken. */
  #read(configuration: Configuration): Configuration {
    const unread = configuration.unread.filter((read) => !this.#fits(configuration, read));
    return unread.length === configuration.unread.length ? configuration : { ...configuration, unread };
  }

  #fits(configuration: Configuration, read: Read): boolean {
    const { holders } = configuration;
    switch (read.kind) {
      case "look":
        return (
          holders.length === read.holders.length &&
          holders.every(({ claimId }) => read.holders.includes(claimId))
        );
      case "see": {
        const grant = this.#grantOf.get(read.claimId);
        if (grant === undefined) return !read.isHeld;
        return read.isHeld
          ? holders.includes(grant)
          : !this.#isTaken(configuration, grant) && !this.#closed.has(read.claimId);
      }
      case "refused":
        if (this.#isFree(holders, read.want)) return false;
        return read.holders.every((named) => holders.some(({ claimId }) => claimId === named));
      default:
        return unreachable(read);
    }
  }

  /** With as much as they may hold: else nothing is concluded. */
  #isFree(holders: readonly Grant[], want: Want): boolean {
    if (want.mode !== "permits") return this.#isRoom(holders, want);
    const held = holders.reduce((sum, holder) => sum + holder.want.permits, 0);
    return held + want.permits <= this.#limits.capacity;
  }

  #keyOf(configuration: Configuration): string {
    const { holders, taken, unread } = configuration;
    this.#spend(1 + holders.length + taken.size + unread.length);
    return `${this.#stateKey(configuration)}|${this.#list(configuration.unread)}`;
  }

  #stateKey({ holders, taken, lastFence }: Configuration): string {
    return `${lastFence}|${this.#list(holders)}|${this.#list([...taken])}`;
  }

  #list(steps: readonly Step[]): string {
    const numbers = steps.map((step) => this.#numbers.get(step) ?? -1);
    return numbers.sort((a, b) => a - b).join();
  }

  /** Of equal states the one that has read more is as good as all that have read less. */
  #withoutDominated(configurations: readonly Configuration[]): readonly Configuration[] {
    if (configurations.length < 2) return configurations;
    const kept: Configuration[] = [];
    for (const group of groupBy(configurations, (configuration) => this.#stateKey(configuration)).values()) {
      const best: Configuration[] = [];
      for (const configuration of group.toSorted((a, b) => a.unread.length - b.unread.length)) {
        const unread = new Set(configuration.unread);
        this.#spend(best.length);
        if (!best.some((other) => other.unread.every((read) => unread.has(read)))) best.push(configuration);
      }
      kept.push(...best);
    }
    return kept;
  }
}

interface Event {
  readonly at: number;
  readonly step: Step;
  readonly isEnd: boolean;
}

/** Beginnings before ends at one time: what touches may overlap. */
function eventsOf(steps: readonly Step[]): readonly Event[] {
  const events: Event[] = [];
  for (const step of steps) {
    // What cannot begin before it must be over never happens, and its end refutes it.
    if (step.from < Infinity) events.push({ at: step.from, step, isEnd: false });
    if (step.to < Infinity) events.push({ at: step.to, step, isEnd: true });
  }
  return events.sort((a, b) => a.at - b.at || Number(a.isEnd) - Number(b.isEnd));
}
