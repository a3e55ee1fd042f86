/**
 * W4: clients that keep acquiring and releasing while a node is killed or hangs. Each attempt is limited; after a
 * failure the client pauses and asks another node; a redirect is followed within the attempt, but not back to the
 * address that has just let an attempt time out. Requests are repeated under the same ids. Writes down when each
 * acquire was answered; what is made of that is the bench's.
 */
import { type HttpResponse, headerOf } from "../http-response.ts";
import { type FailoverSpec, hostClockMs, type LoadEvent, pause } from "../spec.ts";
import { Connection, type Request, requestText } from "./connection.ts";
import { type Answer, Script } from "./requests.ts";

/** Rejects with the first wrong answer. */
export async function runFailover(spec: FailoverSpec, emit: (event: LoadEvent) => void): Promise<void> {
  const clients = Array.from({ length: spec.clients }, (_, i) => new Client(spec, i));
  await Promise.all(clients.map((client) => client.open()));
  const loops = Promise.all(clients.map((client) => client.loop()));
  await Promise.race([loops, pause(spec.warmupMs)]);
  emit({ kind: "start" });
  await Promise.race([loops, pause(spec.windowMs)]);
  const endedMs = hostClockMs();
  emit({ kind: "end" });
  for (const client of clients) client.stop();
  await loops;
  emit({
    kind: "failover",
    result: {
      acquired: clients.map(({ acquired }) => acquired),
      endedMs,
      failedAttempts: clients.reduce((sum, { failedAttempts }) => sum + failedAttempts, 0),
    },
  });
}

class Client {
  readonly acquired: number[] = [];
  failedAttempts = 0;
  readonly #spec: FailoverSpec;
  readonly #script: Script;
  readonly #connections = new Map<string, Connection>();
  #endpoint: string;
  /** Let the last attempt time out: nobody's word sends this client there for a while. */
  #hung: { readonly endpoint: string; readonly untilMs: number } | undefined;
  #isStopped = false;
  #renewAtMs = 0;

  constructor(spec: FailoverSpec, index: number) {
    this.#spec = spec;
    this.#script = new Script(spec.prefix, index);
    this.#endpoint = spec.endpoints[0] ?? "";
  }

  async open(): Promise<void> {
    const sent = performance.now();
    const answer = await this.#insist(this.#script.open());
    if (answer !== undefined) this.#renewAtMs = sent + this.#script.checkOpened(answer);
  }

  stop(): void {
    this.#isStopped = true;
    for (const connection of this.#connections.values()) connection.destroy();
  }

  async loop(): Promise<void> {
    while (!this.#isStopped) {
      if (performance.now() >= this.#renewAtMs) await this.#renew();
      const held = await this.#insist(this.#script.acquire(), this.#script.acquireAgain());
      if (held === undefined) return;
      this.#script.checkAcquired(held);
      this.acquired.push(Math.round(hostClockMs() * 10) / 10);
      const released = await this.#insist(this.#script.release());
      if (released === undefined) return;
      this.#script.checkReleased(released);
    }
  }

  async #renew(): Promise<void> {
    const sent = performance.now();
    const answer = await this.#insist(this.#script.renew());
    if (answer !== undefined) this.#renewAtMs = sent + this.#script.checkRenewed(answer);
  }

  /** Until somebody answers; undefined when the run is over first. */
  async #insist(request: Request, again: Request = request): Promise<Answer | undefined> {
    for (let asked = request; !this.#isStopped; asked = again) {
      const answer = await this.#attempt(asked);
      if (answer !== undefined) return answer;
      this.failedAttempts++;
      await pause(this.#spec.pauseMs);
    }
    return undefined;
  }

  async #attempt(request: Request): Promise<Answer | undefined> {
    const until = performance.now() + this.#spec.attemptMs;
    for (let hops = 0; hops < 3; hops++) {
      const response = await this.#ask(request, until);
      if (response === "timeout") {
        this.#hung = { endpoint: this.#endpoint, untilMs: performance.now() + 4 * this.#spec.attemptMs };
        break;
      }
      if (response === "broken" || response.status === 503) break;
      if (response.status !== 307) return response;
      const leader = /^http:\/\/([^/]+)/.exec(headerOf(response, "location") ?? "")?.[1];
      if (leader === undefined || this.#isHung(leader)) break;
      this.#endpoint = leader;
    }
    this.#askAnother();
    return undefined;
  }

  #isHung(endpoint: string): boolean {
    return this.#hung?.endpoint === endpoint && performance.now() < this.#hung.untilMs;
  }

  #askAnother(): void {
    const { endpoints } = this.#spec;
    const from = endpoints.indexOf(this.#endpoint);
    for (let step = 1; step <= endpoints.length; step++) {
      const next = endpoints[(from + step) % endpoints.length];
      if (next === undefined || this.#isHung(next)) continue;
      this.#endpoint = next;
      return;
    }
  }

  #ask(request: Request, untilMs: number): Promise<HttpResponse | "timeout" | "broken"> {
    const endpoint = this.#endpoint;
    const connection = this.#connection(endpoint);
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => {
          connection.destroy();
          resolve(this.#isStopped ? "broken" : "timeout");
        },
        Math.max(0, untilMs - performance.now()),
      );
      const end = (result: HttpResponse | "broken") => {
        clearTimeout(timer);
        resolve(result);
      };
      connection.send(requestText(request, endpoint), { response: end, broken: () => end("broken") });
    });
  }

  #connection(endpoint: string): Connection {
    const known = this.#connections.get(endpoint);
    if (known !== undefined && !known.isBroken) return known;
    const connection = new Connection(endpoint);
    this.#connections.set(endpoint, connection);
    return connection;
  }
}
