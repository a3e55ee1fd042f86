import { defineConfig } from "vitest/config";

/** Two projects: `unit` runs in threads and opens nothing; `integration` opens files, sockets and processes. */
export default defineConfig({
  test: {
    reporters: ["default", "./test/reporter.ts"],
    // By default one core is left idle, and half of the time is lost on a machine with two.
    maxWorkers: "100%",
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "test/{base,raft,locks,codec,api,config,sim,check,client,docs,bench}/**/*.test.ts",
            "test/*.test.ts",
          ],
          pool: "threads",
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/{storage,transport,node,http,cli,chaos}/**/*.test.ts"],
          pool: "forks",
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          pool: "forks",
          // After all others: what is to be quick here should not share its processors with what calculates.
          sequence: { groupOrder: 1 },
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
