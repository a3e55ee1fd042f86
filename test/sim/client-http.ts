/**
 * How a simulated client asks: one connection for each request, the leader by hint and redirect, an attempt that is given
 * up after a while, and now and then a stray copy of a request that arrives much later. Decides nothing by itself.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { HttpAnswer, HttpRequestSent, SimMember } from "./member.ts";
import type { SimNetwork } from "./network.ts";
import type { ClientProcess, Wait } from "./process.ts";
import type { Recorder } from "./recorder.ts";
import type { Scheduler } from "./scheduler.ts";

export interface ClientHttpOptions {
  readonly name: string;
  readonly process: ClientProcess;
  readonly random: Prng;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly recorder: Recorder;
  readonly members: readonly SimMember[];
  /** Chance of a copy that arrives once more, up to ten seconds later, from a connection that is closed by then. */
  readonly strays: number;
}

interface Attempt {
  readonly member: SimMember;
  /** Its client's end of the connection closes. */
  close(): void;
  finish(answer: HttpAnswer | undefined): void;
}

export class ClientHttp {
  readonly #o: ClientHttpOptions;
  #leader: string | undefined;
  /** Stray copies that were sent so far. */
  strays = 0;
  #attempts = new Set<Attempt>();

  constructor(options: ClientHttpOptions) {
    this.#o = options;
  }

  /**
   * One attempt: its answer, or undefined when none came within `limitMs` of the client's clock. `asked` learns whom it
   * goes to.
   */
  attempt(
    sent: HttpRequestSent,
    limitMs: number,
    asked?: (member: SimMember) => void,
  ): Wait<HttpAnswer | undefined> {
    return (resume) => {
      const { members, random, network, process, recorder, name } = this.#o;
      const member = members.find((each) => each.name === this.#leader) ?? random.pick(members);
      asked?.(member);
      const life = process.life;
      let close: (() => void) | undefined;
      let isOver = false;
      const attempt: Attempt = {
        member,
        close: () => network.carry(name, member.name, () => close?.()),
        finish: (answer) => {
          if (isOver) return;
          isOver = true;
          this.#attempts.delete(attempt);
          this.#noteLeader(answer, member);
          resume(answer);
        },
      };
      this.#attempts.add(attempt);
      network.carry(name, member.name, () => {
        close = member.request(sent, (answer) => {
          recorder.answered(answer);
          network.carry(member.name, name, () => process.run(life, () => attempt.finish(answer)));
        });
        // Nobody listens there: the host says so, if it can be reached.
        if (close === undefined)
          network.carry(member.name, name, () => process.run(life, () => attempt.finish(undefined)));
      });
      this.#sendStray(sent, member);
      process.after(limitMs, () => {
        if (isOver) return;
        attempt.finish(undefined);
        attempt.close();
      });
    };
  }

  #sendStray(sent: HttpRequestSent, member: SimMember): void {
    const { random, strays, scheduler, recorder } = this.#o;
    if (!random.chance(strays)) return;
    this.strays++;
    scheduler.after(random.next() * random.pick([50, 1_000, 10_000]), () => {
      recorder.count("stray copy");
      // A connection that is closed: what is answered goes nowhere, and at once or never is it noticed.
      const close = member.request(sent, () => undefined);
      if (random.chance(0.5)) close?.();
    });
  }

  #noteLeader(answer: HttpAnswer | undefined, member: SimMember): void {
    if (answer === undefined || answer.status === 503) this.#leader = undefined;
    else if (answer.status === 307) this.#leader = answer.headers["holdfast-leader"]?.replace("http://", "");
    else this.#leader = member.name;
  }

  /** A member's process ended: its connections break, for whoever can be reached. */
  handleDeath(member: SimMember): void {
    const { network, process, name } = this.#o;
    const life = process.life;
    for (const attempt of this.#attempts) {
      if (attempt.member !== member) continue;
      network.carry(member.name, name, () => process.run(life, () => attempt.finish(undefined)));
    }
  }

  /** This process ended: so do its connections. */
  crash(): void {
    for (const attempt of this.#attempts) attempt.close();
    this.#attempts = new Set();
    this.#leader = undefined;
  }
}
