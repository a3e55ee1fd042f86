import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { pause } from "./clock.ts";
import { Network } from "./network.ts";
import { createProxy, type Proxy, Valve } from "./proxy.ts";

const open: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

interface End {
  readonly socket: Socket;
  /** Everything that arrived. */
  read(): string;
  readonly isClosed: () => boolean;
}

function endOf(socket: Socket): End {
  let text = "";
  let isClosed = false;
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    isClosed = true;
  });
  open.push(() => socket.destroy());
  return { socket, read: () => text, isClosed: () => isClosed };
}

async function until(isSo: () => boolean, limitMs = 3_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error("it never came true");
    await pause(5);
  }
}

interface Line {
  readonly near: End;
  readonly far: End;
  readonly up: Valve;
  readonly down: Valve;
  readonly proxy: Proxy;
}

async function listening(): Promise<{
  readonly server: Server;
  readonly port: number;
  readonly ends: End[];
}> {
  const ends: End[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => void ends.push(endOf(socket)));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  open.push(() => server.close());
  return { server, port: (server.address() as { port: number }).port, ends };
}

function dial(address: string): End {
  const [host = "", port = ""] = address.split(":");
  return endOf(connect({ host, port: Number(port) }));
}

async function line(): Promise<Line> {
  const { port, ends } = await listening();
  const [up, down] = [new Valve(), new Valve()];
  const proxy = await createProxy({ target: { host: "127.0.0.1", port }, up, down });
  open.push(() => proxy.close());
  const near = dial(proxy.address);
  await until(() => ends.length === 1);
  return { near, far: ends[0] as End, up, down, proxy };
}

it("passes bytes both ways, and the end of each", async () => {
  const { near, far } = await line();

  near.socket.write("to ");
  far.socket.write("back ");
  near.socket.end("the end");
  await until(() => far.read() === "to the end" && far.socket.readableEnded);

  await until(() => near.read() === "back ");
  far.socket.end("too");
  await until(() => near.isClosed());
  expect(near.read()).toBe("back too");
});

it("one way swallowed is one way: the other goes on, on the same connection", async () => {
  const { near, far, up, proxy } = await line();

  up.ask({ passes: "swallow" });
  near.socket.write("lost");
  far.socket.write("heard");
  await until(() => near.read() === "heard");
  await pause(50);

  expect(far.read()).toBe("");
  expect([near.isClosed(), far.isClosed()]).toEqual([false, false]);
  expect(proxy.connections).toBe(1);
});

it("a stream that lost bytes is reset when the way is open again; one that lost none goes on", async () => {
  const [broken, whole] = [await line(), await line()];

  const heals = [broken.up.ask({ passes: "swallow" }), whole.up.ask({ passes: "swallow" })];
  broken.near.socket.write("lost");
  await pause(50);
  for (const heal of heals) heal();

  await until(() => broken.near.isClosed() && broken.far.isClosed());
  whole.near.socket.write("still here");
  await until(() => whole.far.read() === "still here");
  expect(broken.far.read()).toBe("");
});

it("what was held arrives later, whole and in order", async () => {
  const { near, far, up } = await line();

  const heal = up.ask({ passes: "hold" });
  for (let i = 0; i < 100; i++) near.socket.write(`${i} `);
  await pause(50);
  expect(far.read()).toBe("");
  heal();

  const all = Array.from({ length: 100 }, (_, i) => `${i} `).join("");
  await until(() => far.read() === all);
});

it("overlapping faults end one by one, and the worst of them counts", async () => {
  const valve = new Valve();

  const slow = valve.ask({ delayMs: 20, bytesPerSecond: 1_000 });
  const slower = valve.ask({ delayMs: 30, bytesPerSecond: 5_000 });
  const held = valve.ask({ passes: "hold" });
  const lost = valve.ask({ passes: "swallow" });
  expect(valve.flow).toEqual({ passes: "swallow", delayMs: 50, bytesPerSecond: 1_000 });

  lost();
  expect(valve.flow.passes).toBe("hold");
  held();
  slow();
  slow();
  expect(valve.flow).toEqual({ passes: "all", delayMs: 30, bytesPerSecond: 5_000 });
  slower();
  expect(valve.flow.bytesPerSecond).toBe(Number.POSITIVE_INFINITY);
});

it("delay and rate slow one direction down", async () => {
  const { near, far, up } = await line();

  up.ask({ delayMs: 80, bytesPerSecond: 10_000 });
  const since = performance.now();
  near.socket.write("x".repeat(1_000));
  far.socket.write("at once");
  await until(() => near.read() === "at once");
  expect(performance.now() - since).toBeLessThan(80);

  await until(() => far.read().length === 1_000);
  expect(performance.now() - since).toBeGreaterThanOrEqual(170);
});

it("a connection that begins while the way is shut hears nothing, and is not refused", async () => {
  const { up, down, proxy } = await line();

  up.ask({ passes: "swallow" });
  down.ask({ passes: "swallow" });
  const late = dial(proxy.address);
  late.socket.write("anybody?");
  await pause(80);

  expect([late.read(), late.isClosed()]).toEqual(["", false]);
});

it("an end that happens behind a shut way is not told until it opens", async () => {
  const { near, far, down } = await line();

  const heal = down.ask({ passes: "swallow" });
  far.socket.resetAndDestroy();
  await pause(80);
  expect(near.isClosed()).toBe(false);
  heal();

  await until(() => near.isClosed());
});

it("where nobody listens connections are refused, unless the way there is shut", async () => {
  const { proxy, up } = await line();

  proxy.setTargetUp(false);
  const refused = dial(proxy.address);
  await until(() => refused.isClosed());

  up.ask({ passes: "swallow" });
  await pause(20);
  const silent = dial(proxy.address);
  await pause(80);
  expect(silent.isClosed()).toBe(false);
});

it("reset ends every connection with an error on both sides", async () => {
  const { near, far, proxy } = await line();
  let error: NodeJS.ErrnoException | undefined;
  near.socket.on("error", (one) => {
    error = one;
  });

  proxy.reset();

  await until(() => near.isClosed() && far.isClosed());
  expect(error?.code).toBe("ECONNRESET");
  expect(proxy.connections).toBe(0);
});

it("what one member says to another is cut on the connections of both, and nothing else is", async () => {
  const [a, b, c] = await Promise.all([listening(), listening(), listening()]);
  const place = (id: string, { port }: { readonly port: number }) => ({ id, peerPort: port, httpPort: port });
  const network = await Network.open([place("a", a), place("b", b), place("c", c)]);
  open.push(() => network.close());
  // Who dials says its name, so that it is found again among those who were accepted.
  const between = async (from: string, to: string, accepted: End[]) => {
    const near = dial(network.peerAddress(from, to));
    near.socket.write(from);
    await until(() => accepted.some((end) => end.read() === from));
    return { near, far: accepted.find((end) => end.read() === from) as End };
  };
  const ab = await between("a", "b", b.ends);
  const ba = await between("b", "a", a.ends);
  const ac = await between("a", "c", c.ends);

  network.disturb("a", "b", { passes: "swallow" });
  for (const { near, far } of [ab, ba, ac]) {
    near.socket.write("!");
    far.socket.write("?");
  }
  await until(
    () =>
      ab.near.read() === "?" && ba.far.read() === "b!" && ac.far.read() === "a!" && ac.near.read() === "?",
  );
  await pause(50);

  expect(ab.far.read()).toBe("a");
  expect(ba.near.read()).toBe("");
});

it("resets a connection whose end it has just passed on, and leaves no socket behind", async () => {
  const { near, far, up, proxy } = await line();
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((what) => what === "TCPSocketWrap").length;
  const open = up.ask({ passes: "hold" });
  near.socket.end();
  // Its end arrives at the proxy, which has to keep it.
  await pause(50);

  open();
  proxy.reset();

  near.socket.destroy();
  far.socket.destroy();
  await until(() => sockets() === 0);
});
