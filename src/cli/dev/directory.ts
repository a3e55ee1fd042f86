/**
 * The directory of `holdfast dev`: a cluster file of its own making and one data directory a node. Recognises by a
 * mark what it made itself, and touches nothing else.
 *
 *   cluster.yaml   written here, kept when the ports stay      n1/ n2/ n3/   data of the nodes
 *   n1.log …       what the nodes said since the last start
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadClusterFile } from "../../config/cluster-file.ts";
import type { ClusterConfig } from "../../config/types.ts";
import { initDataDirectory, storeDirectoryName } from "../../storage/data-directory.ts";
import { readIdentity } from "../../storage/identity.ts";
import { isOpenElsewhere } from "../../storage/store-check.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { devHost } from "./ports.ts";

export interface DevNode {
  readonly id: string;
  readonly httpPort: number;
  readonly peerPort: number;
  readonly dataPath: string;
  readonly logPath: string;
}

export interface DevDirectory {
  readonly path: string;
  readonly configPath: string;
  readonly nodes: readonly DevNode[];
  /** True when no node has ever run here: then all of them are needed to found the cluster. */
  readonly isNew: boolean;
}

export interface DevDirectoryOptions {
  readonly data: string;
  readonly nodes?: number;
  readonly port?: number;
  readonly fresh?: boolean;
}

const mark = "# Made by `holdfast dev`";
const defaultNodes = 3;
const defaultPort = 7400;
const peerPortOffset = 10;

/** What would be prepared; nothing was written yet. */
export interface DevPlan {
  readonly nodes: readonly DevNode[];
  /** Wipes if asked to, then makes what is missing. Once only. */
  prepare(): Promise<DevDirectory>;
}

/** Rejects with CliError (73, 78) or ConfigError, also when a cluster runs on the directory. */
export async function planDevDirectory(options: DevDirectoryOptions): Promise<DevPlan> {
  const path = resolve(options.data);
  const configPath = join(path, "cluster.yaml");
  return guarded(path, async () => {
    if (existsSync(path)) {
      checkOwn(path, configPath);
      await checkIdle(path);
    }
    const isKept = options.fresh !== true && existsSync(configPath);
    const before = isKept ? readConfig(configPath) : undefined;
    const nodes = plan(path, options, before);
    return {
      nodes,
      prepare: () =>
        guarded(path, async () => {
          mkdirSync(path, { recursive: true, mode: 0o700 });
          if (options.fresh === true) wipe(path);
          if (before?.members[0]?.http.port !== nodes[0]?.httpPort) {
            writeFileSync(configPath, clusterFileText(nodes));
          }
          const { clusterName } = readConfig(configPath);
          for (const { id, dataPath } of nodes) {
            if (!hasContent(dataPath)) initDataDirectory({ path: dataPath, clusterName, name: id });
          }
          return { path, configPath, nodes, isNew: !nodes.some(({ dataPath }) => isFounded(dataPath)) };
        }),
    };
  });
}

/** The system's own errors, with what to do about them. */
async function guarded<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (typeof code !== "string" || !/^E[A-Z]+$/.test(code)) throw error;
    const detail = `cannot use ${path}: ${message}\nName another directory with --data.`;
    throw new CliError({ exitCode: exitCodes.cannotCreate, code: "unusable", detail }, error);
  }
}

/** Whatever cannot be read is for `server` to refuse. */
function isFounded(dataPath: string): boolean {
  try {
    return readIdentity(dataPath)?.state !== "new";
  } catch {
    return true;
  }
}

/** Throws when nodes run on the data: neither wiping nor other ports would do them good. */
async function checkIdle(path: string): Promise<void> {
  for (const name of readdirSync(path)) {
    const store = join(path, name, storeDirectoryName);
    if (!/^n\d$/.test(name) || !existsSync(store) || !(await isOpenElsewhere(store))) continue;
    const detail = `a cluster runs on ${path} already (${name})\nStop it, or name another directory with --data.`;
    throw new CliError({ exitCode: exitCodes.cannotCreate, code: "in-use", detail });
  }
}

/** Throws unless the directory is empty or of our own making. */
function checkOwn(path: string, configPath: string): void {
  if (readdirSync(path).length === 0) return;
  if (existsSync(configPath) && readFileSync(configPath, "utf8").startsWith(mark)) return;
  const detail = `${path} is not empty and was not made by \`holdfast dev\`\nName another directory with --data.`;
  throw new CliError({ exitCode: exitCodes.cannotCreate, code: "not-empty", detail });
}

/** The cluster file goes last: it is the mark. */
function wipe(path: string): void {
  for (const name of readdirSync(path)) {
    if (/^n\d(\.log)?$/.test(name)) rmSync(join(path, name), { recursive: true, force: true });
  }
  rmSync(join(path, "cluster.yaml"), { force: true });
}

function readConfig(configPath: string): ClusterConfig {
  return loadClusterFile(configPath, { environment: {}, flags: new Map() }).config;
}

function plan(
  path: string,
  options: DevDirectoryOptions,
  before: ClusterConfig | undefined,
): readonly DevNode[] {
  const count = options.nodes ?? before?.members.length ?? defaultNodes;
  if (before !== undefined && before.members.length !== count) {
    const detail =
      `${path} holds a cluster of ${before.members.length} nodes, and its members do not change\n` +
      "Leave --nodes out, begin again with --fresh, or name another directory with --data.";
    throw new CliError({ exitCode: exitCodes.configuration, code: "configuration", detail });
  }
  const port = options.port ?? before?.members[0]?.http.port ?? defaultPort;
  return Array.from({ length: count }, (_, index) => {
    const id = `n${index + 1}`;
    return {
      id,
      httpPort: port + index,
      peerPort: port + peerPortOffset + index,
      dataPath: join(path, id),
      logPath: join(path, `${id}.log`),
    };
  });
}

function hasContent(path: string): boolean {
  return existsSync(path) && readdirSync(path).length > 0;
}

function clusterFileText(nodes: readonly DevNode[]): string {
  const members = nodes.map(
    ({ id, httpPort, peerPort }) =>
      `  - { id: ${id}, peer: "${devHost}:${peerPort}", http: "${devHost}:${httpPort}" }`,
  );
  return [
    `${mark}, for development only. Timing, settings and limits may be added; other ports rewrite it.`,
    "clusterName: dev",
    "members:",
    ...members,
    "",
  ].join("\n");
}
