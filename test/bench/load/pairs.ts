/**
 * W1a: each client opens a session, then acquires and releases its own lock, one request after the other, until the
 * window closes. Latencies count that begin and end within the window. Any wrong answer ends the run.
 */
import { hostClockMs, type LoadEvent, type PairsSpec, pause } from "../spec.ts";
import { distribution } from "../stats.ts";
import { Connection, type Request, requestText } from "./connection.ts";
import { type Answer, Script } from "./requests.ts";

/** One way of asking the server; one request at a time. */
interface Caller {
  call(request: Request, answered: (answer: Answer) => void, failed: (error: Error) => void): void;
  close(): void;
}

/** What all clients of a run share. */
interface Run {
  readonly acquires: number[];
  readonly pairs: number[];
  isMeasuring: boolean;
  isOver: boolean;
}

/** Rejects with the first wrong answer. */
export async function runPairs(spec: PairsSpec, emit: (event: LoadEvent) => void): Promise<void> {
  const run: Run = { acquires: [], pairs: [], isMeasuring: false, isOver: false };
  const clients = Array.from({ length: spec.clients }, (_, i) => new Client(run, spec, i));
  await Promise.all(clients.map((client) => client.open()));
  const loops = Promise.all(clients.map((client) => client.loop()));
  const measured = measure(spec, run, emit);
  // A client that fails must not have to wait for the end of the window to be heard.
  await Promise.race([loops, measured]);
  const { elapsedMs, cpuMicros } = await measured;
  await loops;
  await Promise.all(clients.map((client) => client.close()));
  emit({
    kind: "pairs",
    result: {
      pairs: run.pairs.length,
      elapsedMs,
      acquireMs: distribution(run.acquires),
      pairMs: distribution(run.pairs),
      cpuMicros,
    },
  });
}

async function measure(
  spec: PairsSpec,
  run: Run,
  emit: (event: LoadEvent) => void,
): Promise<{ readonly elapsedMs: number; readonly cpuMicros: number }> {
  await pause(spec.warmupMs);
  run.isMeasuring = true;
  const started = hostClockMs();
  const cpuBefore = process.cpuUsage();
  emit({ kind: "start" });
  await pause(spec.windowMs);
  run.isMeasuring = false;
  run.isOver = true;
  const elapsedMs = hostClockMs() - started;
  const { user, system } = process.cpuUsage(cpuBefore);
  emit({ kind: "end" });
  return { elapsedMs, cpuMicros: user + system };
}

class Client {
  readonly #run: Run;
  readonly #script: Script;
  readonly #caller: Caller;
  #renewAtMs = 0;

  constructor(run: Run, spec: PairsSpec, index: number) {
    this.#run = run;
    this.#script = new Script(spec.prefix, index);
    this.#caller = spec.via === "net" ? netCaller(spec.endpoint) : fetchCaller(spec.endpoint);
  }

  async open(): Promise<void> {
    const sent = performance.now();
    const answer = await this.#ask(this.#script.open());
    this.#renewAtMs = sent + this.#script.checkOpened(answer);
  }

  async close(): Promise<void> {
    await this.#ask(this.#script.close());
    this.#caller.close();
  }

  #ask(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#caller.call(request, resolve, reject);
    });
  }

  /** Callbacks and not promises: at these rates the difference is the generator's and would be taken for ours. */
  loop(): Promise<void> {
    return new Promise((resolve, reject) => {
      const script = this.#script;
      const run = this.#run;
      let begun = 0;
      let acquired = 0;
      let isCounted = false;
      const next = () => {
        if (run.isOver) return resolve();
        if (performance.now() >= this.#renewAtMs) return void this.#renew().then(next, reject);
        const request = script.acquire();
        isCounted = run.isMeasuring;
        begun = performance.now();
        this.#caller.call(request, checked(onAcquired), reject);
      };
      const onAcquired = (answer: Answer) => {
        acquired = performance.now();
        script.checkAcquired(answer);
        this.#caller.call(script.release(), checked(onReleased), reject);
      };
      const onReleased = (answer: Answer) => {
        const released = performance.now();
        script.checkReleased(answer);
        if (isCounted && run.isMeasuring) {
          run.acquires.push(acquired - begun);
          run.pairs.push(released - begun);
        }
        next();
      };
      const checked = (step: (answer: Answer) => void) => (answer: Answer) => {
        try {
          step(answer);
        } catch (error) {
          reject(error);
        }
      };
      next();
    });
  }

  async #renew(): Promise<void> {
    const sent = performance.now();
    this.#renewAtMs = sent + this.#script.checkRenewed(await this.#ask(this.#script.renew()));
  }
}

function netCaller(endpoint: string): Caller {
  const connection = new Connection(endpoint);
  return {
    call: (request, answered, failed) =>
      connection.send(requestText(request, endpoint), { response: answered, broken: failed }),
    close: () => connection.destroy(),
  };
}

function fetchCaller(endpoint: string): Caller {
  const ask = async ({ method, path, session, body }: Request): Promise<Answer> => {
    const response = await fetch(`http://${endpoint}${path}`, {
      method,
      redirect: "manual",
      headers: {
        ...(session === undefined ? {} : { "holdfast-session": session }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, body: await response.text() };
  };
  return { call: (request, answered, failed) => void ask(request).then(answered, failed), close: () => {} };
}
