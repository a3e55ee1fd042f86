/**
 * Who may import whom, held as data against the real imports. Pure parts import nothing that could do I/O.
 * docs/ARCHITECTURE.md shows the same table.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "src");

interface Layer {
  /** No clock, randomness, I/O, logging or promises: all of it, or these files. */
  readonly pure: boolean | readonly string[];
  /** Folders of src, or single files of them. */
  readonly imports: readonly string[];
  readonly packages: readonly string[];
}

const layers: Readonly<Record<string, Layer>> = {
  base: { pure: true, imports: [], packages: [] },
  raft: { pure: true, imports: ["base"], packages: [] },
  locks: { pure: true, imports: ["base"], packages: [] },
  codec: {
    pure: true,
    imports: [
      "base",
      "raft/types.ts",
      "locks/commands.ts",
      "locks/settings.ts",
      "locks/image.ts",
      "locks/records.ts",
    ],
    packages: ["msgpackr"],
  },
  api: { pure: true, imports: ["base"], packages: [] },
  storage: {
    pure: false,
    imports: ["base", "codec", "raft/types.ts", "raft/chain.ts"],
    packages: ["node:", "level"],
  },
  transport: { pure: false, imports: ["base", "codec", "raft/types.ts"], packages: ["node:"] },
  config: { pure: false, imports: ["base", "locks/settings.ts"], packages: ["node:", "yaml"] },
  node: {
    pure: false,
    imports: ["base", "raft", "locks", "codec", "storage/contract.ts", "transport/contract.ts"],
    packages: [],
  },
  http: {
    pure: false,
    imports: [
      "base",
      "api",
      "node/contract.ts",
      "locks/commands.ts",
      "locks/outcomes.ts",
      "locks/records.ts",
      "locks/settings.ts",
      "locks/barriers.ts",
      "locks/check.ts",
      "locks/resources.ts",
    ],
    packages: ["node:", "fastify"],
  },
  client: { pure: ["lease.ts", "elapsed.ts"], imports: ["base", "api"], packages: ["node:"] },
  cli: {
    pure: false,
    imports: [
      "base",
      "api",
      "client",
      "config",
      "server.ts",
      "storage",
      "transport/tcp-transport.ts",
      "http/server.ts",
      "locks/settings.ts",
    ],
    packages: ["node:", "commander"],
  },
  "server.ts": {
    pure: false,
    imports: [
      "base",
      "codec/message.ts",
      "raft",
      "config",
      "storage",
      "transport",
      "node",
      "http",
      "snapshot-thread.ts",
    ],
    packages: ["node:"],
  },
  "snapshot-thread.ts": {
    pure: false,
    imports: ["codec", "node/snapshot-maker.ts", "raft/types.ts"],
    packages: ["node:"],
  },
  "snapshot-worker.ts": {
    pure: false,
    imports: ["base", "codec", "node/snapshot-maker.ts", "snapshot-thread.ts", "storage/snapshot-files.ts"],
    packages: ["node:"],
  },
};

/** Words that no pure file may contain outside of comments. */
const impure =
  /\b(Date\.now|new Date|Math\.random|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|console\.|process\.|async |await |Promise\b|Buffer\b)/;

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));
}

function layerOf(file: string): string {
  const [first] = relative(source, file).split("/");
  return first ?? "";
}

/** What import and export statements, and dynamic imports of a literal, name. */
function importsOf(text: string): readonly string[] {
  const patterns = [
    /^(?:import|export)\s[^;"]*?\bfrom\s+"([^"]+)";/gm,
    /^import\s+"([^"]+)";/gm,
    /\bimport\(\s*"([^"]+)"\s*\)/g,
  ];
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] as string));
}

function isAllowed(layer: Layer, own: string, file: string, target: string): boolean {
  if (!target.startsWith("."))
    return layer.packages.some((name) => target === name || (name === "node:" && target.startsWith(name)));
  const path = relative(source, resolve(dirname(file), target));
  const [folder] = path.split("/");
  return folder === own || layer.imports.includes(folder ?? "") || layer.imports.includes(path);
}

function isPure({ pure }: Layer, file: string): boolean {
  return typeof pure === "boolean"
    ? pure
    : pure.includes(relative(source, file).split("/").slice(1).join("/"));
}

/** Only client/lease.ts and its like may be relied on to be the same everywhere: pure files import pure ones. */
function isPureTarget(file: string, target: string): boolean {
  if (!target.startsWith(".")) return true;
  const path = resolve(dirname(file), target);
  const layer = layers[layerOf(path)];
  return layer !== undefined && isPure(layer, path);
}

describe("the layers of src", () => {
  const files = filesBelow(source);

  it("has something to look at", () => {
    expect(files.length).toBeGreaterThan(40);
    expect(files.flatMap((file) => importsOf(readFileSync(file, "utf8"))).length).toBeGreaterThan(150);
  });

  it("knows every folder, and every folder of the table exists", () => {
    expect([...new Set(files.map(layerOf))].filter((layer) => !(layer in layers))).toEqual([]);
    expect(Object.keys(layers).filter((layer) => !existsSync(join(source, layer)))).toEqual([]);
  });

  for (const file of files) {
    const own = layerOf(file);
    const layer = layers[own];
    if (layer === undefined) continue;

    it(`${relative(root, file)} imports only what its layer may`, () => {
      const targets = importsOf(readFileSync(file, "utf8"));

      expect(targets.filter((target) => !isAllowed(layer, own, file, target))).toEqual([]);
    });

    if (!isPure(layer, file)) continue;
    it(`${relative(root, file)} is pure`, () => {
      const code = readFileSync(file, "utf8")
        .replace(/\/\*[\s\S]*?\*\//g, "")
        .replace(/\/\/.*$/gm, "");

      expect(impure.exec(code)?.[0]).toBeUndefined();
      expect(importsOf(code).filter((target) => !isPureTarget(file, target))).toEqual([]);
    });
  }
});
