/**
 * What the process answers by itself, in any state and with no node: /livez, /readyz, /openapi.json. Never redirected.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import { openApiDocument } from "../api/openapi.ts";
import { unreadyReasons } from "./cluster.ts";
import type { HttpContext } from "./exchange.ts";
import { commonHeaders, jsonType } from "./problems.ts";

/** For load balancers and supervisors: small, and answered by any node in any state. */
export function answerHealth(
  context: HttpContext,
  id: "livez" | "readyz",
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const reasons = id === "livez" ? [] : unreadyReasons(context.options, context.isClosing);
  const status = id === "livez" ? "ok" : reasons.length === 0 ? "ready" : "unready";
  const body = reasons.length === 0 ? { status } : { status, reasons };
  reply
    .code(reasons.length === 0 ? 200 : 503)
    .headers(commonHeaders(context.options, request.id))
    .type(jsonType)
    .send(JSON.stringify(body));
}

let openApi: string | undefined;

/** Made when somebody asks, once. */
export function answerOpenApi(context: HttpContext, request: FastifyRequest, reply: FastifyReply): void {
  openApi ??= JSON.stringify(openApiDocument());
  reply.headers(commonHeaders(context.options, request.id)).type(jsonType).send(openApi);
}
