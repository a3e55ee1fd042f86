/**
 * One TCP proxy in front of one address, so that links can be broken without root: bytes of either direction are
 * passed on, delayed, slowed, kept back or swallowed. It never changes or reorders bytes, and a stream that lost some
 * is never continued: such a connection is reset as soon as the direction is open again, as TCP would have it.
 * Where it differs from a broken wire: while a direction is shut a new connection is accepted by this host and then
 * hears nothing, instead of hearing nothing at all.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

export interface Flow {
  /**
   * `all` passes. `hold`: nothing arrives until the flow passes again, then all of it (a short cut, with TCP sending
   * again). `swallow`: nothing arrives, ever (a long cut, or a box in between that forgot the connection).
   */
  readonly passes: "all" | "hold" | "swallow";
  /** Added to each piece, milliseconds. */
  readonly delayMs: number;
  readonly bytesPerSecond: number;
}

export const openFlow: Flow = { passes: "all", delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY };

/** One direction of one link. Faults overlap: the worst of all that were asked for counts. */
export class Valve {
  readonly #asked = new Set<Partial<Flow>>();
  readonly #pipes = new Set<() => void>();
  #flow: Flow = openFlow;

  get flow(): Flow {
    return this.#flow;
  }

  /** Returns what undoes it; may be called twice. */
  ask(fault: Partial<Flow>): () => void {
    const asked = { ...fault };
    this.#asked.add(asked);
    this.#change();
    return () => {
      if (this.#asked.delete(asked)) this.#change();
    };
  }

  /** `changed` is called after each change, until the function that this returns was called. */
  watch(changed: () => void): () => void {
    this.#pipes.add(changed);
    return () => void this.#pipes.delete(changed);
  }

  #change(): void {
    const all = [...this.#asked];
    const worst = (passes: Flow["passes"]) => all.some((one) => one.passes === passes);
    this.#flow = {
      passes: worst("swallow") ? "swallow" : worst("hold") ? "hold" : "all",
      delayMs: all.reduce((sum, { delayMs = 0 }) => sum + delayMs, 0),
      bytesPerSecond: Math.min(
        ...all.map(({ bytesPerSecond }) => bytesPerSecond ?? Number.POSITIVE_INFINITY),
      ),
    };
    for (const changed of this.#pipes) changed();
  }
}

export interface ProxyOptions {
  readonly target: { readonly host: string; readonly port: number };
  /** From who connects to the target. */
  readonly up: Valve;
  /** Back. */
  readonly down: Valve;
}

export interface Proxy {
  /** `host:port` where it listens, for its whole life. */
  readonly address: string;
  /** Connections that stand, both ends. */
  readonly connections: number;
  /** False: nobody listens at the target, so connections are refused here too, unless the way there is shut. */
  setTargetUp(isUp: boolean): void;
  /** Resets every connection. */
  reset(): void;
  close(): Promise<void>;
}

export async function createProxy(options: ProxyOptions): Promise<Proxy> {
  const proxy = new TcpProxy(options);
  await proxy.open();
  return proxy;
}

class TcpProxy implements Proxy {
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #unwatch: () => void;
  #port = 0;
  #isTargetUp = true;
  #isClosed = false;

  constructor(options: ProxyOptions) {
    this.#options = options;
    // Half-open, because the end of one direction must not overtake what the other still has to carry.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    this.#server.on("error", () => {});
    this.#unwatch = options.up.watch(() => this.#listenOrNot());
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#port, "127.0.0.1", () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        if (typeof address === "object" && address !== null) this.#port = address.port;
        resolve();
      });
    });
  }

  setTargetUp(isUp: boolean): void {
    this.#isTargetUp = isUp;
    this.#listenOrNot();
  }

  #listenOrNot(): void {
    const shall = !this.#isClosed && (this.#isTargetUp || this.#options.up.flow.passes !== "all");
    if (shall && !this.#server.listening) this.#server.listen(this.#port, "127.0.0.1");
    if (!shall && this.#server.listening) this.#server.close();
  }

  #accept(socket: Socket): void {
    const pair: Pair = new Pair(socket, this.#options, () => this.#pairs.delete(pair));
    if (!pair.isOver) this.#pairs.add(pair);
  }

  reset(): void {
    for (const pair of this.#pairs) pair.reset();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unwatch();
    this.reset();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** A connection: the accepted socket, the dialled one, and a pipe each way. */
class Pair {
  readonly #near: Socket;
  readonly #options: ProxyOptions;
  readonly #ended: () => void;
  readonly #unwatch: () => void;
  #far: Socket | undefined;
  #pipes: readonly Pipe[] = [];
  #isBroken = false;
  isOver = false;

  constructor(near: Socket, options: ProxyOptions, ended: () => void) {
    this.#near = near;
    this.#options = options;
    this.#ended = ended;
    near.pause();
    near.on("error", () => {});
    near.on("close", () => this.#lost(near));
    const { up, down } = options;
    const unwatch = [up.watch(() => this.#changed()), down.watch(() => this.#changed())];
    this.#unwatch = () => {
      for (const stop of unwatch) stop();
    };
    this.#changed();
  }

  #changed(): void {
    if (this.isOver) return;
    const { up, down } = this.#options;
    if (this.#far === undefined && up.flow.passes === "all") this.#dial();
    // An end that could not be told of while its direction was shut is told now.
    if (this.#isBroken && up.flow.passes === "all" && down.flow.passes === "all") return this.reset();
    for (const pipe of this.#pipes) pipe.changed();
  }

  #dial(): void {
    const far = connect({ ...this.#options.target, allowHalfOpen: true, noDelay: true });
    this.#far = far;
    far.on("error", () => {});
    far.on("close", () => this.#lost(far));
    far.once("connect", () => {
      if (this.isOver) return;
      const { up, down } = this.#options;
      const cannotGoOn = () => this.reset();
      this.#pipes = [new Pipe(this.#near, far, up, cannotGoOn), new Pipe(far, this.#near, down, cannotGoOn)];
    });
  }

  /** One end is gone. The other hears of it if anything from there reaches it. */
  #lost(side: Socket): void {
    if (this.isOver) return;
    const { up, down } = this.#options;
    const way = side === this.#near ? up : down;
    const isTold = way.flow.passes === "all" && !this.#pipes.some((pipe) => pipe.isFrom(side) && pipe.isBusy);
    if (isTold || this.#far === undefined) return this.reset();
    this.#isBroken = true;
    const pipe = this.#pipes.find((one) => one.isFrom(side));
    pipe?.whenEmpty(() => this.reset());
  }

  reset(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#unwatch();
    for (const pipe of this.#pipes) pipe.stop();
    for (const socket of [this.#near, this.#far]) {
      if (socket === undefined || socket.destroyed) continue;
      // One that is still connecting has nothing to reset. One whose end is on its way refuses it (EINVAL), and Node
      // would then never close it and turn for ever when the process ends.
      if (socket.connecting || (socket.writableEnded && !socket.writableFinished)) socket.destroy();
      else socket.resetAndDestroy();
    }
    this.#ended();
  }
}

interface Piece {
  /** Undefined: the end of the stream. */
  readonly chunk: Buffer | undefined;
  readonly dueAt: number;
}

const queuedBytesMax = 4 * 1024 * 1024;

/** One direction of one connection. */
class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #valve: Valve;
  readonly #cannotGoOn: () => void;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  /** When the throttled wire is free again. */
  #freeAt = 0;
  #hasHole = false;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #onEmpty: (() => void) | undefined;

  constructor(source: Socket, sink: Socket, valve: Valve, cannotGoOn: () => void) {
    this.#source = source;
    this.#sink = sink;
    this.#valve = valve;
    this.#cannotGoOn = cannotGoOn;
    source.on("data", (chunk) => this.#take(chunk));
    source.on("end", () => this.#take(undefined));
    sink.on("drain", () => this.#resume());
    source.resume();
  }

  isFrom(socket: Socket): boolean {
    return socket === this.#source;
  }

  get isBusy(): boolean {
    return this.#queue.length > 0;
  }

  /** Once, when everything that was queued has gone out. */
  whenEmpty(empty: () => void): void {
    this.#onEmpty = empty;
    this.#pump();
  }

  #take(chunk: Buffer | undefined): void {
    if (this.#isStopped) return;
    const { passes, delayMs, bytesPerSecond } = this.#valve.flow;
    if (passes === "swallow") {
      this.#hasHole = true;
      return;
    }
    const now = performance.now();
    const bytes = chunk?.length ?? 0;
    this.#freeAt = Math.max(this.#freeAt, now) + (bytes / bytesPerSecond) * 1_000;
    // The order stays, also when a delay was just lifted.
    const dueAt = Math.max(this.#freeAt + delayMs, this.#queue.at(-1)?.dueAt ?? 0);
    this.#queue.push({ chunk, dueAt });
    this.#queuedBytes += bytes;
    if (this.#queuedBytes > queuedBytesMax) this.#source.pause();
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped || this.#valve.flow.passes !== "all") return;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const waitMs = first.dueAt - performance.now();
      if (waitMs > 0.5) {
        this.#timer = setTimeout(() => this.#pump(), waitMs);
        return;
      }
      this.#queue.shift();
      this.#write(first.chunk);
    }
    const empty = this.#onEmpty;
    this.#onEmpty = undefined;
    empty?.();
  }

  #write(chunk: Buffer | undefined): void {
    if (this.#sink.destroyed || this.#sink.writableEnded) return;
    if (chunk === undefined) {
      this.#sink.end();
      return;
    }
    this.#queuedBytes -= chunk.length;
    if (!this.#sink.write(chunk)) this.#source.pause();
    else this.#resume();
  }

  #resume(): void {
    if (this.#queuedBytes <= queuedBytesMax && !this.#sink.writableNeedDrain) this.#source.resume();
  }

  changed(): void {
    const { passes } = this.#valve.flow;
    if (passes === "swallow" && this.#queue.length > 0) {
      this.#queue.length = 0;
      this.#queuedBytes = 0;
      this.#hasHole = true;
    }
    if (passes !== "all") return;
    if (this.#hasHole) this.#cannotGoOn();
    else this.#pump();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }
}
