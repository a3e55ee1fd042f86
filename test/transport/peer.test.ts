import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createPeer, type Peer } from "../../src/transport/peer.ts";
import type { Session } from "../../src/transport/session.ts";
import { incarnationOf } from "./net.ts";

/** One dial of the peer under test, answered by the test. */
interface Dial {
  readonly socket: EventEmitter;
  /** The session that the owner made when it connected. */
  session: Session | undefined;
}

const member = `n2@${incarnationOf("n2")}`;
let dials: Dial[];
let lost: string[];
let peer: Peer;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  dials = [];
  lost = [];
  peer = createPeer(
    "n2",
    { id: "n2", host: "h", port: 1 },
    { connectTimeoutMs: 1000, backoffMsMax: 250 },
    {
      connect: () => {
        const dial: Dial = { socket: new FakeSocket(), session: undefined };
        dials.push(dial);
        return dial.socket as Socket;
      },
      connected: (_peer, socket) => {
        const dial = dials.find((one) => one.socket === socket) as Dial;
        dial.session = session("out");
        return dial.session;
      },
      lost: (id) => void lost.push(id),
      random: () => 1,
    },
  );
});

afterEach(() => {
  peer.stop();
  vi.useRealTimers();
});

class FakeSocket extends EventEmitter {
  destroy(error?: Error): void {
    if (error !== undefined) this.emit("error", error);
    this.emit("close");
  }
}

/** Long established, unless `openedAtMs` says otherwise. */
function session(direction: "out" | "in", openedAtMs = performance.now() - 10_000): Session {
  const self: Partial<Session> = {
    direction,
    member,
    openedAtMs,
    lastFrameAtMs: openedAtMs,
    ping: () => undefined,
    destroy: () => peer.closed(self as Session),
  };
  return self as Session;
}

const last = (): Dial => dials.at(-1) as Dial;
const fail = (dial: Dial, code: string): void => {
  dial.socket.emit("error", Object.assign(new Error(code), { code }));
  dial.socket.emit("close");
};
const establish = (dial: Dial): Session => {
  dial.socket.emit("connect");
  peer.opened(dial.session as Session);
  return dial.session as Session;
};

describe("evidence that a process has ended", () => {
  it("is a refused connect begun after the connection closed", () => {
    peer.dial();
    const first = establish(last());

    peer.closed(first);
    fail(last(), "ECONNREFUSED");

    expect(dials).toHaveLength(2);
    expect(lost).toEqual([member]);
  });

  it.each(["ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EMFILE", "ENOTFOUND", "EADDRNOTAVAIL"])(
    "is not a connect that failed with %s",
    (code) => {
      peer.dial();
      peer.closed(establish(last()));

      fail(last(), code);

      expect(lost).toEqual([]);
    },
  );

  it("is not a connect that timed out, nor one that connected and ended in the handshake", () => {
    peer.dial();
    peer.closed(establish(last()));

    vi.advanceTimersByTime(1000);
    vi.advanceTimersByTime(250);
    last().socket.emit("connect");
    peer.closed(last().session as Session);

    expect(dials).toHaveLength(3);
    expect(lost).toEqual([]);
  });

  it("is not a refused connect while a connection the other way stands, nor one begun before that closed", () => {
    peer.dial();
    const out = establish(last());
    const inbound = session("in");
    peer.opened(inbound);
    peer.closed(out);
    const begunBefore = last();
    peer.closed(inbound);
    fail(begunBefore, "ECONNREFUSED");
    const afterEarlyOne = [...lost];

    fail(last(), "ECONNREFUSED");

    expect(afterEarlyOne).toEqual([]);
    expect(last()).not.toBe(begunBefore);
    expect(lost).toEqual([member]);
  });

  it("is not a refused connect at an address where the member never answered", () => {
    peer.dial();
    peer.opened(session("in"));
    fail(last(), "ECONNREFUSED");
    for (const one of peer.sessions) peer.closed(one);
    fail(last(), "ECONNREFUSED");

    expect(lost).toEqual([]);
  });

  it("of a name with several addresses needs all of them to refuse", () => {
    const error = (...codes: string[]): AggregateError =>
      new AggregateError(codes.map((code) => Object.assign(new Error(code), { code })));
    peer.dial();
    peer.closed(establish(last()));
    last().socket.emit("error", error("ECONNREFUSED", "EHOSTUNREACH"));
    const afterMixed = [...lost];

    peer.dial();
    last().socket.emit("error", error("ECONNREFUSED", "ECONNREFUSED"));

    expect(afterMixed).toEqual([]);
    expect(lost).toEqual([member]);
  });
});

describe("dialling", () => {
  it("goes on for ever with pauses that grow to backoffMsMax and never beyond", () => {
    const pauses: number[] = [];
    peer.dial();
    for (let i = 0; i < 10; i++) {
      fail(last(), "ECONNREFUSED");
      const before = dials.length;
      let waited = 0;
      while (dials.length === before) {
        vi.advanceTimersByTime(1);
        waited += 1;
      }
      pauses.push(waited);
    }

    expect(pauses).toEqual([10, 20, 40, 80, 160, 250, 250, 250, 250, 250]);
  });

  it("follows at once when a good connection drops, or the member itself dials here, or a probe asks", () => {
    peer.dial();
    peer.closed(establish(last()));
    expect(dials).toHaveLength(2);

    fail(last(), "ETIMEDOUT");
    peer.opened(session("in"));
    expect(dials).toHaveLength(3);

    fail(last(), "ETIMEDOUT");
    peer.probe();
    expect(dials).toHaveLength(4);
  });

  it("pauses when connections drop as soon as they are made", () => {
    peer.dial();
    last().socket.emit("connect");
    const brief = session("out", performance.now());
    peer.opened(brief);

    peer.closed(brief);

    expect(dials).toHaveLength(1);
    vi.advanceTimersByTime(10);
    expect(dials).toHaveLength(2);
  });

  it("does one attempt at a time and none beside a connection", () => {
    peer.dial();
    peer.dial();
    peer.probe();
    establish(last());
    peer.dial();
    peer.probe();

    expect(dials).toHaveLength(1);
  });

  it("ends with stop()", () => {
    peer.dial();
    fail(last(), "ECONNREFUSED");

    peer.stop();
    vi.advanceTimersByTime(10_000);
    peer.dial();

    expect(dials).toHaveLength(1);
  });
});
