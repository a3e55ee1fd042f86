/**
 * Who is let in: the ordered checks with what they need to know about the past, and the question to a process that
 * seems to run under another boot id whether it still does. A member's process that was replaced by another one must
 * not block its successor, and a copy of a directory must not push out the process that answers.
 */
import type { Identity } from "../base/identity.ts";
import { checkHello, type HelloVerdict } from "./checks.ts";
import { type Hello, helloMember } from "./hello.ts";
import { createMemberMemory } from "./memory.ts";
import type { Session } from "./session.ts";

export interface Candidate {
  readonly hello: Hello;
  /** This node, as it is when the question is decided. */
  readonly self: () => { readonly identity: Identity; readonly digest: string };
  /** Established connections with the candidate's name, as they are then. */
  readonly sessions: () => readonly Session[];
}

export interface Admission {
  /** Calls back once, at once or within `aliveWithinMs`; never with `probe`. */
  judge(candidate: Candidate, answer: (verdict: HelloVerdict) => void): void;
  /** Remembers who was let in. True when this shows that the process known before under this incarnation has ended. */
  remember(hello: Hello): boolean;
}

export function createAdmission(aliveWithinMs: number): Admission {
  const memory = createMemberMemory();

  const check = ({ hello, self }: Candidate, otherBoot: "none" | "unknown" | "alive"): HelloVerdict =>
    checkHello(hello, {
      ...self(),
      otherBoot,
      stepFloor: memory.stepFloor(helloMember(hello), hello.bootId),
    });

  const judge = (
    candidate: Candidate,
    answer: (verdict: HelloVerdict) => void,
    silent: ReadonlySet<Session> = new Set(),
  ): void => {
    const rivals = rivalsOf(candidate).filter((session) => !silent.has(session));
    const verdict = check(candidate, rivals.length === 0 ? "none" : "unknown");
    if (verdict.kind !== "probe") {
      if (verdict.kind !== "refuse") for (const session of silent) session.destroy();
      answer(verdict);
      return;
    }
    askAll(rivals, aliveWithinMs, (alive) => {
      if (alive) answer(check(candidate, "alive"));
      else judge(candidate, answer, new Set([...silent, ...rivals]));
    });
  };

  return {
    judge: (candidate, answer) => judge(candidate, answer),
    // What a new directory holds was never promised: its step counts as 0.
    remember: (hello) =>
      memory.meet(helloMember(hello), hello.bootId, hello.state === "new" ? 0 : hello.step),
  };
}

/** Connections of the same incarnation under another boot id. */
function rivalsOf({ hello, sessions }: Candidate): Session[] {
  const member = helloMember(hello);
  return sessions().filter((session) => session.member === member && session.hello?.bootId !== hello.bootId);
}

/** Calls back once: true with the first sign of life, false when all kept silent or closed. */
function askAll(sessions: readonly Session[], timeoutMs: number, answer: (alive: boolean) => void): void {
  let left = sessions.length;
  for (const session of sessions) {
    session.askAlive(timeoutMs, (alive) => {
      if (left === 0) return;
      left = alive ? 0 : left - 1;
      if (alive || left === 0) answer(alive);
    });
  }
}
