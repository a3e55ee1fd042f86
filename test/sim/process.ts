/**
 * A simulated client process: coroutines that sleep and wait in virtual time, and a process around them that can be
 * paused (everything that falls due runs in one burst afterwards) and crash (nothing of it ever runs again). Its clocks
 * may run fast or slow, and its wall clock may jump. Knows nothing of locks.
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
  #wallOffset = 0;
  #life = 0;
  #isPaused = false;
  #backlog: (() => void)[] = [];

  constructor(scheduler: Scheduler, clockRate: number) {
    this.#scheduler = scheduler;
    this.#clockRate = clockRate;
  }

  get clockRate(): number {
    return this.#clockRate;
  }

  /** Both clocks, now. */
  sample(): ClockSample {
    const monotonicMs = this.#scheduler.now * this.#clockRate;
    return { monotonicMs, wallMs: Math.floor(monotonicMs) + this.#wallOffset };
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

  get life(): number {
    return this.#life;
  }

  /** After so many milliseconds of its own clock. */
  after(ms: number, input: () => void): void {
    const life = this.#life;
    this.#scheduler.after(ms / this.#clockRate, () => this.run(life, input));
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
  }

  pause(ms: number): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    const life = this.#life;
    this.#scheduler.after(ms, () => {
      if (life !== this.#life) return;
      this.#isPaused = false;
      const backlog = this.#backlog;
      this.#backlog = [];
      for (const input of backlog) input();
    });
  }
}
