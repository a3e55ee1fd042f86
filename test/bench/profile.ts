/**
 * A V8 CPU profile, summed up: which part of the program the main thread was in. Each sample counts for the function
 * that ran (self time), put into a bucket by where that function comes from. Native functions have no file: they
 * count by their name, or else for whoever called them. Pure.
 */

/** The parts of `.cpuprofile` that are read. Times are microseconds of the monotonic clock. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

export const idleBucket = "idle";

/** The first that matches. `url` is what V8 gives: a file URL, `node:…`, or nothing. */
const files: readonly (readonly [RegExp, string])[] = [
  [/\/dist\/raft\//, "raft"],
  [/\/dist\/locks\//, "locks"],
  [/\/dist\/(codec)\/|\/node_modules\/msgpackr/, "codec (msgpack)"],
  [/\/dist\/storage\/|\/node_modules\/(level|classic-level|abstract-level|level-\w+)\//, "storage (LevelDB)"],
  [/\/dist\/transport\//, "transport between nodes"],
  [/\/dist\/node\//, "driver"],
  [/\/dist\/(http|api)\//, "our HTTP handlers"],
  [/\/dist\//, "server, rest"],
  [/\/node_modules\/(secure-json-parse|fast-json-stringify)/, "JSON"],
  [/\/node_modules\//, "fastify and its schemas"],
  [/^node:(_http|internal\/http|http)/, "node:http"],
  [/^node:(net|internal\/stream_base|internal\/streams|stream|_stream|internal\/net)/, "sockets and streams"],
  [
    /^node:buffer|^node:internal\/(buffer|crypto|encoding|url|querystring|util)/,
    "buffers, encodings, hashes",
  ],
  [/^node:/, "events, timers, callbacks"],
];

const natives: readonly (readonly [RegExp, string])[] = [
  [/^(writev|write(Latin1|Utf8|Ascii|Ucs2)?String|writeBuffer)$/, "writes to sockets (system calls)"],
  [/^(\(garbage collector\))$/, "garbage collection"],
  [/^(\(idle\))$/, idleBucket],
  [/^(\(program\))$/, "native: event loop, reads, parser"],
  [/^(parse|stringify|JSON\.parse|JSON\.stringify)$/, "JSON"],
];

/** Of an anonymous function without a file: what schema compilers make at start. */
const compiledBucket = "fastify and its schemas";

/** Microseconds for each bucket, of the samples within the window; idle time included, under `idleBucket`. */
export function bucketTimes(
  profile: CpuProfile,
  { fromMicros, toMicros }: { readonly fromMicros: number; readonly toMicros: number },
): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  for (const [id, micros] of selfTimes(profile, { fromMicros, toMicros })) {
    const bucket = bucketOf(profile).get(id) ?? "unknown";
    times.set(bucket, (times.get(bucket) ?? 0) + micros);
  }
  return times;
}

/** A sample is taken at the end of its delta and counts for the time since the one before. */
function selfTimes(
  { samples, timeDeltas, startTime }: CpuProfile,
  { fromMicros, toMicros }: { readonly fromMicros: number; readonly toMicros: number },
): ReadonlyMap<number, number> {
  const times = new Map<number, number>();
  let at = startTime;
  for (const [i, id] of samples.entries()) {
    const delta = timeDeltas[i] ?? 0;
    at += delta;
    if (at < fromMicros || at > toMicros) continue;
    times.set(id, (times.get(id) ?? 0) + Math.max(0, delta));
  }
  return times;
}

const known = new WeakMap<CpuProfile, ReadonlyMap<number, string>>();

function bucketOf(profile: CpuProfile): ReadonlyMap<number, string> {
  const made = known.get(profile);
  if (made !== undefined) return made;
  const buckets = new Map<number, string>();
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const visit = (node: ProfileNode, callers: string) => {
    const own = ownBucket(node.callFrame) ?? callers;
    buckets.set(node.id, own);
    for (const id of node.children ?? []) {
      const child = nodes.get(id);
      if (child !== undefined) visit(child, own);
    }
  };
  const [root] = profile.nodes;
  if (root !== undefined) visit(root, "events, timers, callbacks");
  known.set(profile, buckets);
  return buckets;
}

function ownBucket({ functionName, url }: ProfileNode["callFrame"]): string | undefined {
  if (url !== "") return files.find(([pattern]) => pattern.test(url))?.[1] ?? "server, rest";
  const native = natives.find(([pattern]) => pattern.test(functionName))?.[1];
  if (native !== undefined) return native;
  return /^(validate\d*|anonymous|serialize|parse\w+)$/.test(functionName) ? compiledBucket : undefined;
}
