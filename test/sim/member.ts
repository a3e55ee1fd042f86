/**
 * One simulated member: the real driver, core and machine on a simulated disk, network and clock, with a process that
 * can crash at any effect, restart and be paused with a backlog.
 */
import { createPrng } from "../../src/base/prng.ts";
import type { Settings } from "../../src/locks/settings.ts";
import { createNode, type NodeDriver } from "../../src/node/driver.ts";
import { defaultRaftConfig } from "../../src/raft/config.ts";
import type { Message } from "../../src/raft/types.ts";
import type { SimDisk } from "./disk.ts";
import type { Recorder } from "./recorder.ts";
import type { Scheduler } from "./scheduler.ts";

/** Thrown through the driver to end a process between two of its effects. */
class CrashSignal {}

export interface MemberOptions {
  readonly seed: number;
  readonly id: string;
  readonly name: string;
  readonly voters: readonly string[];
  readonly scheduler: Scheduler;
  readonly disk: SimDisk;
  readonly recorder: Recorder;
  readonly settings: Settings;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly inflightMessagesMax: number;
  readonly appendBytesMax: number;
  /** How fast its monotonic clock runs. */
  readonly clockRate: number;
  readonly send: (from: SimMember, to: string, message: Message) => void;
  readonly probe: (from: SimMember, member: string) => void;
}

export class SimMember {
  readonly #options: MemberOptions;
  #driver: NodeDriver | undefined;
  #boot = 0;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  #tickMissed = false;
  /** Effects until the process dies in the middle of a turn; undefined is never. */
  #fuse: number | undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
  }

  get id(): string {
    return this.#options.id;
  }

  get disk(): SimDisk {
    return this.#options.disk;
  }

  get name(): string {
    return this.#options.name;
  }

  get boot(): number {
    return this.#boot;
  }

  get driver(): NodeDriver | undefined {
    return this.#driver;
  }

  get isUp(): boolean {
    return this.#driver !== undefined;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  start(): void {
    const { scheduler, recorder, seed, id, tickMs, clockRate } = this.#options;
    const boot = ++this.#boot;
    const effect = (): void => this.#burnFuse();
    this.#driver = createNode({
      name: this.#options.name,
      raft: {
        ...defaultRaftConfig,
        self: id,
        electionTicks: this.#options.electionTicks,
        inflightMessagesMax: this.#options.inflightMessagesMax,
        appendBytesMax: this.#options.appendBytesMax,
      },
      voters: this.#options.voters,
      prng: createPrng(seed, `raft ${id} ${boot}`),
      storage: this.#options.disk.open((completion) => this.#run(boot, completion)),
      tickMs,
      clusterId: "simulated",
      settings: this.#options.settings,
      limits: { logBytes: 1 << 30, queuedProposals: 10_000 },
      host: {
        monotonicMs: () => scheduler.now * clockRate,
        wallMs: () => 1_700_000_000_000 + scheduler.now,
        defer: (turn) => scheduler.after(0, () => this.#run(boot, turn)),
        send: (to, message) => {
          effect();
          recorder.sent(this, to, message);
          this.#options.send(this, to, message);
        },
        probe: (member) => this.#options.probe(this, member),
        peers: () => [],
        trace: (event) => recorder.traced(this, event),
        applied: (entry, outcome) => recorder.applied(this, entry, outcome),
        guard: (input) => input(),
        storageFailed: (error) => {
          throw error;
        },
      },
    });
    recorder.note(`${this.name} starts boot=${boot}`);
    const tick = (): void => {
      if (this.#boot !== boot) return;
      if (this.#isPaused) this.#tickMissed = true;
      else this.#run(boot, () => this.#driver?.tick());
      scheduler.after(tickMs / clockRate, tick);
    };
    scheduler.after((tickMs * createPrng(seed, `phase ${id} ${boot}`).next()) / clockRate, tick);
  }

  /** Runs an input of this boot now, or when the pause ends; a crash in the middle of it is caught here. */
  #run(boot: number, input: () => void): void {
    if (this.#boot !== boot || this.#driver === undefined) return;
    if (this.#isPaused) {
      this.#backlog.push(() => this.#run(boot, input));
      return;
    }
    try {
      input();
    } catch (error) {
      if (!(error instanceof CrashSignal)) throw error;
      this.crash("in the middle of a turn");
    }
  }

  /** Anything that arrives at this process. What arrives at a dead one is lost. */
  receive(input: (driver: NodeDriver) => void): void {
    this.#run(this.#boot, () => {
      if (this.#driver !== undefined) input(this.#driver);
    });
  }

  #burnFuse(): void {
    if (this.#fuse === undefined) return;
    this.#fuse--;
    if (this.#fuse <= 0) throw new CrashSignal();
  }

  /** The process dies just before its n-th message from now. */
  armFuse(effects: number): void {
    this.#fuse = effects;
  }

  crash(how: string): void {
    if (this.#driver === undefined) return;
    this.#options.recorder.note(`${this.name} crashes ${how}`);
    this.#driver.stop();
    this.#driver = undefined;
    this.#boot++;
    this.#fuse = undefined;
    this.#isPaused = false;
    this.#backlog = [];
    this.#tickMissed = false;
    this.#options.disk.crash();
    this.#options.recorder.crashed(this);
  }

  pause(): void {
    if (this.#driver === undefined || this.#isPaused) return;
    this.#options.recorder.note(`${this.name} pauses`);
    this.#isPaused = true;
  }

  /** Input that queued up comes first, in one burst; then one late tick. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#options.recorder.note(`${this.name} resumes backlog=${this.#backlog.length}`);
    this.#isPaused = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const input of backlog) input();
    if (this.#tickMissed) this.#run(this.#boot, () => this.#driver?.tick());
    this.#tickMissed = false;
  }
}
