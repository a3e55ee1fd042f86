/**
 * A simulated client process: coroutines that sleep and wait in virtual time, and a process around them that can be
 * paused (everything that falls due runs in one burst afterwards), suspended (the same, and its monotonic clock stands
 * still, while the wall clock runs on) and crash (nothing of it ever runs again). Either clock may run fast or slow, and
 * the wall clock may jump. Knows nothing of locks.
 */
import type { ClockSample } from "../../src/client/elapsed.ts";
import type { Scheduler } from "./scheduler.ts";

/** Gives itself up until somebody calls `resume`, once. */
export type Wait<T> = (resume: (value: T) => void) => void;

/** A coroutine: yields waits, is resumed with what came of them. */
export type Routine<T = void> = Generator<Wait<unknown>, T, unknown>;

/** Waits for `wait`, with its type. */
export function* until<T>(wait: Wait<T>): Routine<T> {
  return (yield wait) as T;
}

export class ClientProcess {
  readonly #scheduler: Scheduler;
  readonly #clockRate: number;
  readonly #wallRate: number;
  #wallOffset = 0;
  #life = 0;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  /** True milliseconds for which its monotonic clock stood, and since when it stands. */
  #stoodMs = 0;
  #standsSince: number | undefined;
  #wokeAt = -Infinity;

  constructor(scheduler: Scheduler, rates: { readonly clock: number; readonly wall: number }) {
    this.#scheduler = scheduler;
    this.#clockRate = rates.clock;
    this.#wallRate = rates.wall;
  }

  /** Of the faster one of its clocks: no more than this passes for it while a true millisecond does. */
  get fastestRate(): number {
    return Math.max(this.#clockRate, this.#wallRate);
  }

  /** Both clocks, now. */
  sample(): ClockSample {
    const wallMs = Math.floor(this.#scheduler.now * this.#wallRate) + this.#wallOffset;
    return { monotonicMs: this.#monotonicMs(), wallMs };
  }

  #monotonicMs(): number {
    return ((this.#standsSince ?? this.#scheduler.now) - this.#stoodMs) * this.#clockRate;
  }

  jumpWallClock(ms: number): void {
    this.#wallOffset += ms;
  }

  /** Runs `input` now if this is still the same life, or when the pause ends. */
  run(life: number, input: () => void): void {
    if (life !== this.#life) return;
    if (this.#isPaused) this.#backlog.push(() => this.run(life, input));
    else input();
  }

  /** Its monotonic clock stands, or stood at some time since then. */
  wasSuspendedSince(time: number): boolean {
    return this.#standsSince !== undefined || this.#wokeAt > time;
  }

  get life(): number {
    return this.#life;
  }

  /** After so many milliseconds of its own clock. */
  after(ms: number, input: () => void): void {
    const life = this.#life;
    const dueMs = this.#monotonicMs() + ms;
    const expire = (): void => {
      const leftMs = dueMs - this.#monotonicMs();
      // It slept in between, and timers go by the clock that stood.
      if (leftMs > 0.001) this.#scheduler.after(leftMs / this.#clockRate, () => this.run(life, expire));
      else input();
    };
    this.#scheduler.after(ms / this.#clockRate, () => this.run(life, expire));
  }

  /** Starts a coroutine of this life. */
  spawn(routine: Routine): void {
    const life = this.#life;
    const step = (value: unknown): void => {
      const next = routine.next(value);
      if (next.done === true) return;
      let isResumed = false;
      next.value((result) => {
        if (isResumed) throw new Error("a coroutine was resumed twice");
        isResumed = true;
        this.run(life, () => step(result));
      });
    };
    step(undefined);
  }

  *sleep(ms: number): Routine {
    yield* until<void>((resume) => this.after(ms, () => resume()));
  }

  crash(): void {
    this.#life++;
    this.#isPaused = false;
    this.#backlog = [];
    this.#wake();
  }

  /** False when it is paused already. */
  pause(ms: number): boolean {
    if (this.#isPaused) return false;
    this.#isPaused = true;
    const life = this.#life;
    this.#scheduler.after(ms, () => {
      if (life !== this.#life) return;
      this.#wake();
      this.#isPaused = false;
      const backlog = this.#backlog;
      this.#backlog = [];
      for (const input of backlog) input();
    });
    return true;
  }

  /** The lid is closed: the same, with a monotonic clock that stands still. */
  suspend(ms: number): boolean {
    if (!this.pause(ms)) return false;
    this.#standsSince = this.#scheduler.now;
    return true;
  }

  #wake(): void {
    if (this.#standsSince === undefined) return;
    this.#stoodMs += this.#scheduler.now - this.#standsSince;
    this.#standsSince = undefined;
    this.#wokeAt = this.#scheduler.now;
  }
}
