/**
 * One request to one node, and what came of it. Follows nothing and repeats nothing: `http-client.ts` decides.
 */
import { deriveController } from "../client/abort.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { ApiAnswer, ApiRequest } from "./http-client.ts";

export type Attempt =
  | { readonly kind: "answer"; readonly answer: ApiAnswer }
  /** 307: another node leads. Nothing was done. */
  | { readonly kind: "redirect"; readonly origin: string }
  | { readonly kind: "trouble"; readonly trouble: Trouble };

/** Why another attempt is due. */
export interface Trouble {
  /** `refused`: nobody listens there. `late`: no answer in time. `broken`: the connection failed. `answered`: a 503. */
  readonly kind: "refused" | "late" | "broken" | "answered";
  readonly text: string;
  /** Of the answer. */
  readonly code: string | undefined;
  readonly retryAfterMs: number | undefined;
}

/** Statuses that say nothing about the request itself; 502 and 504 come from what stands in front of a node. */
const passing: ReadonlySet<number> = new Set([408, 502, 503, 504]);

/** Throws the reason when `request.signal` is aborted, and CliError when something else than a node answers. */
export async function attempt(origin: string, request: ApiRequest, timeoutMs: number): Promise<Attempt> {
  const { controller, release } = deriveController(request.signal);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    controller.abort();
  }, timeoutMs);
  try {
    const response = await fetch(origin + request.path, {
      method: request.method,
      redirect: "manual",
      signal: controller.signal,
      headers: headersOf(request),
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
    });
    const text = await response.text();
    return judge(origin, response, text);
  } catch (error) {
    if (error instanceof CliError) throw error;
    request.signal?.throwIfAborted();
    return { kind: "trouble", trouble: troubleOf(origin, error, isLate) };
  } finally {
    clearTimeout(timer);
    release();
  }
}

function headersOf({ body, sessionId }: ApiRequest): Record<string, string> {
  return {
    accept: "application/json",
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...(sessionId === undefined ? {} : { "holdfast-session": sessionId }),
  };
}

function judge(origin: string, response: Response, text: string): Attempt {
  const { status } = response;
  const location = response.headers.get("location");
  if (status === 307 && location !== null) {
    return { kind: "redirect", origin: new URL(location, origin).origin };
  }
  const body = objectIn(text);
  if (passing.has(status)) {
    const { detail, code, retryAfterMs } = body ?? {};
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    const trouble: Trouble = {
      kind: "answered",
      text: typeof detail === "string" ? detail : `${origin} answers ${status}`,
      code: typeof code === "string" ? code : undefined,
      retryAfterMs:
        typeof retryAfterMs === "number" ? retryAfterMs : seconds >= 0 ? seconds * 1000 : undefined,
    };
    return { kind: "trouble", trouble };
  }
  if (body === undefined) {
    const detail = `${origin} answers ${status}, but not as a node of Holdfast does\nName a node with --endpoint or HOLDFAST_ENDPOINTS.`;
    throw new CliError({ exitCode: exitCodes.unavailable, code: "not-holdfast", detail });
  }
  return { kind: "answer", answer: { status, text, body } };
}

function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Readonly<Record<string, unknown>>;
    }
  } catch {
    // No JSON.
  }
  return undefined;
}

function troubleOf(origin: string, error: unknown, isLate: boolean): Trouble {
  const none = { code: undefined, retryAfterMs: undefined };
  if (isLate) return { kind: "late", text: `${origin} did not answer in time`, ...none };
  const cause = (error as Error).cause as (Error & { readonly code?: string }) | undefined;
  const code = cause?.code ?? "";
  if (code === "ECONNREFUSED") return { kind: "refused", text: "connection refused", ...none };
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return { kind: "refused", text: `${new URL(origin).hostname} is not known`, ...none };
  }
  return { kind: "broken", text: cause?.message || (error as Error).message, ...none };
}
