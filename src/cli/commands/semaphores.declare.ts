/**
 * The words of the commands about semaphores, and of `check`.
 */
import type { Command } from "commander";
import { declare, declareGroup, type Host } from "../declare.ts";
import { connectionOptions, integerOption, pageOptions } from "../options.ts";

export function declareSemaphoreCommands(program: Command, host: Host): void {
  program.commandsGroup("Semaphores:");
  const semaphore = declareGroup(program, {
    name: "semaphore",
    summary: "make, resize and look at semaphores",
    examples: [
      ["holdfast semaphore set gpu --capacity 4", "four at a time"],
      ["holdfast run gpu --permits 1 -- ./train", "use one of them"],
    ],
  });
  declare(semaphore, host, {
    usage: "set <name>",
    summary: "make a semaphore, or give it another capacity",
    details: [
      "It stays until it is deleted. More permits go to those who wait, at once; with fewer than are held nothing is",
      "taken from anybody, and who waits for more than there are is refused. With 0 nobody gets any.",
    ],
    operands: { name: "the semaphore, as gpu or db/connections" },
    options: [
      integerOption("--capacity <permits>", "how many permits there are", {
        min: 0,
        max: 1_000_000_000,
      }).makeOptionMandatory(),
      ...connectionOptions(),
    ],
    examples: [
      ["holdfast semaphore set db/connections --capacity 20", "make it, or resize it"],
      ["holdfast semaphore set db/connections --capacity 0", "let nobody in for a while"],
    ],
    load: async () => (await import("./semaphores.ts")).set,
  });
  declare(semaphore, host, {
    usage: "show <name>",
    summary: "one semaphore: its capacity, who has permits, who waits",
    operands: { name: "the semaphore" },
    options: connectionOptions(),
    examples: [["holdfast semaphore show gpu", "look at it"]],
    load: async () => (await import("./semaphores.ts")).show,
  });
  declare(semaphore, host, {
    usage: "ls [prefix]",
    summary: "list the semaphores",
    operands: { prefix: "only names that begin so" },
    options: [...pageOptions(), ...connectionOptions()],
    examples: [["holdfast semaphore ls db/", "everything below db/"]],
    load: async () => (await import("./semaphores.ts")).list,
  });
  declare(semaphore, host, {
    usage: "delete <name>",
    summary: "delete a semaphore that nobody holds or waits for",
    operands: { name: "the semaphore" },
    options: connectionOptions(),
    examples: [["holdfast semaphore delete gpu", "it is not needed any more"]],
    load: async () => (await import("./semaphores.ts")).remove,
  });
  declare(program, host, {
    usage: "check <sequencer...>",
    summary: "ask whether sequencers are still good: 0 when all are current, else 1",
    details: [
      "For scripts that a holder hands its sequencer to ($HOLDFAST_SEQUENCER). Anything but `current` means no. It may be",
      "over when the answer arrives: where you can, compare fences in what you write to.",
    ],
    operands: { sequencer: "as an acquire or $HOLDFAST_SEQUENCER gives it; up to 64" },
    options: connectionOptions(),
    examples: [['holdfast check "$HOLDFAST_SEQUENCER" && ./write-the-report', "only while the lock is held"]],
    load: async () => (await import("./check.ts")).check,
  });
}
