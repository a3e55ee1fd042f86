/**
 * The network of one cluster: a proxy for each (member that dials, member that is dialled) and one in front of each
 * member's API. A link is directed and belongs to two members, not to a connection: what a goes to say to b is shut on
 * the connection that a dialled and on the one that b dialled. Knows nothing of what the bytes mean.
 */
import { createProxy, type Flow, type Proxy, Valve } from "./proxy.ts";

export interface Place {
  readonly id: string;
  /** Where the process listens. */
  readonly peerPort: number;
  readonly httpPort: number;
}

export type Undo = () => void;

export class Network {
  readonly #ids: readonly string[];
  readonly #valves = new Map<string, Valve>();
  /** By `dialler>target`; clients dial as `clients`. */
  readonly #proxies = new Map<string, Proxy>();

  private constructor(ids: readonly string[]) {
    this.#ids = ids;
  }

  static async open(places: readonly Place[]): Promise<Network> {
    const network = new Network(places.map(({ id }) => id));
    for (const { id, peerPort, httpPort } of places) {
      for (const other of places) if (other.id !== id) await network.#add(other.id, id, peerPort);
      await network.#add("clients", id, httpPort);
    }
    return network;
  }

  async #add(dialler: string, target: string, port: number): Promise<void> {
    const proxy = await createProxy({
      target: { host: "127.0.0.1", port },
      up: this.#valve(dialler, target),
      down: this.#valve(target, dialler),
    });
    this.#proxies.set(`${dialler}>${target}`, proxy);
  }

  #valve(from: string, to: string): Valve {
    const key = `${from}>${to}`;
    const valve = this.#valves.get(key) ?? new Valve();
    this.#valves.set(key, valve);
    return valve;
  }

  #proxy(dialler: string, target: string): Proxy {
    const proxy = this.#proxies.get(`${dialler}>${target}`);
    if (proxy === undefined) throw new Error(`no link from ${dialler} to ${target}`);
    return proxy;
  }

  /** What `dialler` has to dial to reach `target`. */
  peerAddress(dialler: string, target: string): string {
    return this.#proxy(dialler, target).address;
  }

  clientAddress(target: string): string {
    return this.#proxy("clients", target).address;
  }

  /** What goes from the one to the other; `clients` is all clients. */
  disturb(from: string, to: string, fault: Partial<Flow>): Undo {
    return this.#valve(from, to).ask(fault);
  }

  disturbBoth(a: string, b: string, fault: Partial<Flow>): Undo {
    return together([this.disturb(a, b, fault), this.disturb(b, a, fault)]);
  }

  /** No member of the one side hears one of the other. */
  split(one: readonly string[], other: readonly string[], passes: Flow["passes"]): Undo {
    return together(one.flatMap((a) => other.map((b) => this.disturbBoth(a, b, { passes }))));
  }

  /** Resets what stands between these two, whoever dialled. */
  reset(a: string, b: string): void {
    this.#proxies.get(`${a}>${b}`)?.reset();
    this.#proxies.get(`${b}>${a}`)?.reset();
  }

  /** Whether a process listens: whoever dials one that is dead must be refused. */
  setUp(id: string, isUp: boolean): void {
    for (const dialler of [...this.#ids, "clients"]) {
      this.#proxies.get(`${dialler}>${id}`)?.setTargetUp(isUp);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }
}

export function together(undos: readonly Undo[]): Undo {
  return () => {
    for (const undo of undos) undo();
  };
}
