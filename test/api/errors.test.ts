import { describe, expect, it } from "vitest";
import { errorCatalogue, errorCodes, errorEntry, errorType, laterErrorCodes } from "../../src/api/errors.ts";

describe("the catalogue of errors", () => {
  it("says retryable exactly for 503, 429, 408 and not-leader", () => {
    for (const code of errorCodes) {
      const { status, retryable } = errorEntry(code);

      expect([code, retryable]).toEqual([code, [503, 429, 408, 307].includes(status)]);
    }
  });

  it("advises when to retry only where a retry makes sense", () => {
    for (const code of errorCodes) {
      const { status, retryable, retryAfterMs } = errorEntry(code);

      if (retryAfterMs !== undefined) expect([code, retryable]).toEqual([code, true]);
      if (status === 503) expect([code, retryAfterMs]).toEqual([code, expect.any(Number)]);
    }
  });

  it("never gives the same title to two codes, nor a code to one that is reserved for later", () => {
    const titles = errorCodes.map((code) => errorEntry(code).title);

    expect(new Set(titles).size).toBe(titles.length);
    for (const code of laterErrorCodes) expect(Object.keys(errorCatalogue)).not.toContain(code);
  });

  it("keeps `held by someone` and `cannot reach a quorum` apart by status", () => {
    expect(errorEntry("locked").status).toBe(423);
    expect(errorEntry("wait-timeout").status).toBe(423);
    expect(errorEntry("no-leader").status).toBe(503);
    expect(errorEntry("indeterminate").status).toBe(503);
  });

  it("names the type as a URN", () => {
    expect(errorType("claim-lost")).toBe("urn:holdfast:error:claim-lost");
  });
});
