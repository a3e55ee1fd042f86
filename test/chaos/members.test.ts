import { describe, expect, it } from "vitest";
import { endOf } from "./members.ts";

describe("the end of a process", () => {
  const refused = { code: 70, signal: null };

  it("of a damaged member that was meant to happen does not put it out: it comes back", () => {
    expect(endOf(refused, { isExpected: true, isDamaged: true })).toBe("expected");
  });

  it("of a damaged member that refuses its directory does", () => {
    expect(endOf(refused, { isExpected: false, isDamaged: true })).toBe("damage-noticed");
  });

  it("is a finding otherwise", () => {
    expect(endOf(refused, { isExpected: false, isDamaged: false })).toBe("unexpected");
    expect(endOf({ code: 1, signal: null }, { isExpected: false, isDamaged: true })).toBe("unexpected");
  });
});
