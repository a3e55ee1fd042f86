/**
 * The cluster file: text, environment and flags to a `ClusterConfig` with every default filled in.
 * Precedence: default < file < environment < flag. Strict: what is not understood is refused, with its place, what is
 * wrong and what would be right; all of it at once. Never writes, and never looks at a running cluster.
 */
import { readFileSync } from "node:fs";
import type { Settings } from "../locks/settings.ts";
import { closest } from "./closest.ts";
import { ConfigError, type ConfigProblem, type Origin } from "./problems.ts";
import { checkRelations } from "./relations.ts";
import {
  derivedSetting,
  environmentName,
  type Field,
  fields,
  fileSettingNames,
  groupNames,
  keysOf,
  membersMax,
} from "./schema.ts";
import type { ClusterConfig, HostPort, MemberConfig } from "./types.ts";
import {
  type FieldValue,
  readAddressValue,
  readFileValue,
  readName,
  readTextValue,
  type ValueReading,
} from "./values.ts";
import { readYaml, type YamlMap, type YamlReader, type YamlValue } from "./yaml-source.ts";

/** Everything that a configuration is made of. */
export interface ConfigSources {
  /** As it shall stand in messages. */
  readonly file: string;
  readonly text: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path to text, for `--set PATH=VALUE`. */
  readonly flags: ReadonlyMap<string, string>;
}

export interface LoadedConfig {
  readonly config: ClusterConfig;
  /** For people; the configuration works. */
  readonly warnings: readonly string[];
  /** Where each value came from, by path. */
  readonly origins: ReadonlyMap<string, Origin>;
}

const fileBytesMax = 1_048_576;

/** Reads the file at `path`. Throws ConfigError with every problem. */
export function loadClusterFile(
  path: string,
  sources: Pick<ConfigSources, "environment" | "flags">,
): LoadedConfig {
  return parseClusterFile({ ...sources, file: path, text: readText(path) });
}

/** Throws ConfigError with every problem. Pure. */
export function parseClusterFile(sources: ConfigSources): LoadedConfig {
  const reader = readYaml({
    text: sources.text,
    file: sources.file,
    topKeys: keysOf(""),
    mistakes: {
      [`settings.${derivedSetting}`]: {
        what: "is not set by hand",
        right: "remove it; it is twice timing.electionTimeoutMs",
      },
    },
  });
  const builder = new Builder(reader, sources);
  builder.readFields();
  const members = builder.readMembers();
  builder.checkFlags();
  if (reader.problems.length > 0) throw sorted(reader.problems);
  const config = builder.build(members);
  const { problems, warnings } = checkRelations(config, builder.origins);
  if (problems.length > 0) throw sorted(problems);
  return {
    config,
    warnings: [...builder.strangeVariables(), ...warnings],
    origins: builder.origins,
  };
}

function readText(path: string): string {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > fileBytesMax)
      throw new Error(`it has ${bytes.length} bytes, more than ${fileBytesMax}`);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a directory" : message;
    const origin: Origin = { kind: "file", file: path, line: undefined, column: undefined };
    const right = "name the cluster file with --config; cluster.example.yaml is one to start from";
    throw new ConfigError([{ origin, path: "", what: `cannot be read, ${why}`, right }]);
  }
}

/** In the order of the file; what is not in the file comes last. */
function sorted(problems: readonly ConfigProblem[]): ConfigError {
  const place = ({ origin }: ConfigProblem): number =>
    origin.kind === "file" ? (origin.line ?? 0) * 100_000 + (origin.column ?? 0) : Number.MAX_SAFE_INTEGER;
  return new ConfigError([...problems].sort((a, b) => place(a) - place(b)));
}

class Builder {
  readonly origins = new Map<string, Origin>();
  readonly #reader: YamlReader;
  readonly #sources: ConfigSources;
  readonly #values = new Map<string, FieldValue>();

  constructor(reader: YamlReader, sources: ConfigSources) {
    this.#reader = reader;
    this.#sources = sources;
  }

  readFields(): void {
    const groups = new Map<string, YamlMap | undefined>([["", this.#reader.top]]);
    for (const name of groupNames) {
      const value = this.#reader.top.values.get(name);
      groups.set(name, value && this.#reader.map(value, name, keysOf(name)));
    }
    for (const field of fields) {
      const dot = field.path.indexOf(".");
      const map = groups.get(dot < 0 ? "" : field.path.slice(0, dot));
      this.#readField(field, map?.values.get(field.path.slice(dot + 1)));
    }
  }

  /** Every source that names the field is judged, the strongest one counts. */
  #readField(field: Field, inFile: YamlValue | undefined): void {
    const { path, type } = field;
    if ("fallback" in type) this.#take(path, { kind: "value", value: type.fallback }, { kind: "default" });
    if (inFile !== undefined) {
      const raw = this.#reader.scalar(inFile, path);
      if (raw !== undefined) this.#take(path, readFileValue(type, raw), inFile.origin);
    }
    const name = environmentName(path);
    const variable = this.#sources.environment[name];
    if (variable !== undefined && variable !== "") {
      this.#take(path, readTextValue(type, variable), { kind: "environment", name });
    }
    const flag = this.#sources.flags.get(path);
    if (flag !== undefined) {
      this.#take(path, readTextValue(type, flag), { kind: "flag", name: `--set ${path}` });
    }
    if (type.kind === "name" && inFile === undefined && !this.origins.has(path)) {
      const what = "is missing";
      this.#reader.problems.push({ origin: this.#reader.top.origin, path, what, right: "add it" });
    }
  }

  #take(path: string, reading: ValueReading, origin: Origin): FieldValue | undefined {
    if (reading.kind === "wrong") {
      this.#reader.problems.push({ origin, path, what: reading.what, right: reading.right });
      return undefined;
    }
    this.#values.set(path, reading.value);
    this.origins.set(path, origin);
    return reading.value;
  }

  readMembers(): readonly MemberConfig[] {
    const value = this.#reader.top.values.get("members");
    const right = "list the founding members, each with id, peer and http";
    if (value === undefined) {
      const { origin } = this.#reader.top;
      this.#reader.problems.push({ origin, path: "members", what: "is missing", right });
      return [];
    }
    const items = this.#reader.list(value, "members");
    if (items === undefined) return [];
    if (items.length === 0 || items.length > membersMax) {
      const what = `must be 1 to ${membersMax}, are ${items.length}`;
      this.#reader.problems.push({ origin: value.origin, path: "members", what, right });
    }
    return items.flatMap((item, index) => this.#readMember(item, `members[${index}]`) ?? []);
  }

  #readMember(item: YamlValue, path: string): MemberConfig | undefined {
    const map = this.#reader.map(item, path, ["id", "peer", "http"]);
    if (map === undefined) return undefined;
    const id = this.#readMemberKey(map, path, "id", readName);
    const peer = this.#readMemberKey(map, path, "peer", readAddressValue);
    const http = this.#readMemberKey(map, path, "http", readAddressValue);
    if (id === undefined || peer === undefined || http === undefined) return undefined;
    return { id: id as string, peer: peer as HostPort, http: http as HostPort };
  }

  #readMemberKey(
    map: YamlMap,
    path: string,
    key: "id" | "peer" | "http",
    read: (raw: string | number | boolean) => ValueReading,
  ): FieldValue | undefined {
    const value = map.values.get(key);
    const full = `${path}.${key}`;
    if (value === undefined) {
      const right = key === "id" ? "add it, as id: n1" : `add it, as ${key}: 127.0.0.1:7400`;
      this.#reader.problems.push({ origin: map.origin, path: full, what: "is missing", right });
      return undefined;
    }
    const raw = this.#reader.scalar(value, full);
    return raw === undefined ? undefined : this.#take(full, read(raw), value.origin);
  }

  checkFlags(): void {
    const paths = fields.map(({ path }) => path);
    for (const name of this.#sources.flags.keys()) {
      if (paths.includes(name)) continue;
      const near = closest(name, paths);
      const right = near === undefined ? "see the keys in cluster.example.yaml" : `did you mean ${near}?`;
      const origin: Origin = { kind: "flag", name: `--set ${name}` };
      this.#reader.problems.push({ origin, path: name, what: "is no key of the cluster file", right });
    }
  }

  /** A mistyped variable would be passed over in silence; a platform may set such names itself, so it is no error. */
  strangeVariables(): readonly string[] {
    const names = fields.map(({ path }) => environmentName(path));
    const prefixes = groupNames.map((name) => `${environmentName(name)}_`);
    return Object.keys(this.#sources.environment).flatMap((name) => {
      if (names.includes(name) || !prefixes.some((prefix) => name.startsWith(prefix))) return [];
      const near = closest(name, names);
      return [`${name} sets nothing${near === undefined ? "" : `: did you mean ${near}?`}`];
    });
  }

  /** Only when nothing was reported: then every field has a value of its type. */
  build(members: readonly MemberConfig[]): ClusterConfig {
    const number = (path: string) => this.#values.get(path) as number;
    const electionTimeoutMs = number("timing.electionTimeoutMs");
    const settings = Object.fromEntries(fileSettingNames.map((name) => [name, number(`settings.${name}`)]));
    return {
      clusterName: this.#values.get("clusterName") as string,
      members,
      timing: {
        tickMs: number("timing.tickMs"),
        heartbeatMs: number("timing.heartbeatMs"),
        electionTimeoutMs,
      },
      settings: { ...settings, [derivedSetting]: 2 * electionTimeoutMs } as unknown as Settings,
      node: {
        bodyBytes: number("node.bodyBytes"),
        batchBytes: number("node.batchBytes"),
        connections: number("node.connections"),
        logBytes: number("node.logBytes"),
        snapshotEveryBytes: number("node.snapshotEveryBytes"),
      },
      listen: {
        http: this.#values.get("listen.http") as HostPort | undefined,
        peer: this.#values.get("listen.peer") as HostPort | undefined,
      },
      security: { open: this.#values.get("security.open") as boolean },
    };
  }
}
