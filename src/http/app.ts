/**
 * The fastify app: how a raw request becomes an exchange, and how everything that goes wrong before that is answered.
 *
 *   bytes ─▶ node:http limits ─▶ route table (api/routes.ts) ─▶ body, schema ─▶ handler ─▶ node
 *            408 431 400 close    404 405 414 503                400 413 415 422
 *
 * Our own table matches the raw URL, because a name is everything after its prefix and may hold "/" and ":"; fastify
 * then knows each route by its id. Nothing here knows what a lock is.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from "fastify";
import { decodePathPart } from "../api/names.ts";
import { matchRoute, type RouteId, type RouteMatch, routeIds, routeOf } from "../api/routes.ts";
import { handleClientError, noteRequest } from "./client-error.ts";
import { Exchange, type HttpContext, type HttpRequest } from "./exchange.ts";
import { handlers, type NodeRoute } from "./handlers.ts";
import {
  bugFound,
  commonHeaders,
  type Problem,
  ProblemError,
  problemBody,
  problemType,
  retryHeaders,
} from "./problems.ts";
import { answerHealth, answerOpenApi } from "./process.ts";
import { invalidFields, problemOfError } from "./request-errors.ts";

/** What the table said about a request, kept beside it until its handler runs. */
interface Asked {
  readonly target: string;
  readonly match: RouteMatch;
}

const asked = Symbol("asked");

type Message = IncomingMessage & { [asked]?: Asked };

export function createApp(context: HttpContext): FastifyInstance {
  const { options, limits } = context;
  const boot = randomBytes(4).toString("hex");
  let requests = 0;
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    forceCloseConnections: true,
    bodyLimit: options.bodyBytes,
    keepAliveTimeout: limits.keepAliveMs,
    connectionTimeout: limits.stalledMs,
    requestTimeout: limits.requestMs,
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: limits.checkMs,
      // Refused below, as a problem document.
      requireHostHeader: false,
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
    genReqId: () => `${boot}-${(++requests).toString(36)}`,
    rewriteUrl: (message) => route(message),
    frameworkErrors: (error, request, reply) => answerError(context, error, request, reply),
    clientErrorHandler: (error, socket) => handleClientError(context, error, socket),
  });
  readBodiesAsJson(app);
  app.addHook("onRequest", (request, reply, done) => {
    noteRequest(request.raw, reply.raw);
    const problem = problemBeforeBody(context, request);
    if (problem === undefined) return done();
    answerProblem(context, problem, request, reply);
  });
  app.setErrorHandler((error, request, reply) => answerError(context, error, request, reply));
  for (const id of routeIds) addRoute(app, context, id);
  return app;
}

/** Everything that is not a route of the table goes to a path that fastify does not have. */
function route(message: Message): string {
  const target = message.url ?? "/";
  const path = target.replace(/^https?:\/\/[^/?]*/i, "");
  const question = path.indexOf("?");
  const rawPath = question < 0 ? path : path.slice(0, question);
  const match = matchRoute(message.method ?? "GET", rawPath);
  message[asked] = { target: path, match };
  if (match.kind !== "route") return "/";
  return `/${match.id}${question < 0 ? "" : path.slice(question)}`;
}

function askedOf(request: FastifyRequest): Asked {
  return (request.raw as Message)[asked] ?? { target: "/", match: { kind: "none" } };
}

/** What can be said before a body is read. */
function problemBeforeBody(context: HttpContext, request: FastifyRequest): Problem | undefined {
  const { isClosing, limits } = context;
  const { target, match } = askedOf(request);
  if (!hasOneHost(request.raw)) return { code: "bad-request", detail: "HTTP/1.1 wants one Host header." };
  if (target.length > limits.urlCharacters)
    return { code: "uri-too-long", detail: `The URL has more than ${limits.urlCharacters} characters.` };
  // A client that is redirected drops what follows a "#": one URL would be two names.
  if (target.includes("#"))
    return { code: "bad-request", detail: 'A "#" in a URL is written %23; use encodeURIComponent.' };
  if (decodePathPart(target) === undefined)
    return { code: "bad-request", detail: "The URL is not percent-encoded UTF-8; use encodeURIComponent." };
  switch (match.kind) {
    case "none":
      return { code: "not-found", detail: `There is no ${request.method} at this path; see docs/API.md.` };
    case "unknown-verb":
      return {
        code: "not-found",
        detail: `A POST here ends in one of ${match.verbs.map((verb) => `:${verb}`).join(" ")}.`,
        facts: { verbs: match.verbs },
      };
    case "wrong-method":
      return {
        code: "method-not-allowed",
        detail: `This path has ${match.allow.join(", ")}, not ${request.method}.`,
        facts: { allow: match.allow },
      };
    default: {
      const isAlwaysAnswered = match.id === "livez" || match.id === "readyz";
      if (!isClosing || isAlwaysAnswered) return undefined;
      return { code: "shutting-down", detail: "This node is stopping; ask another one." };
    }
  }
}

/** None, in HTTP/1.1, or two: whoever stands before this server may have read another one (RFC 9112 §3.2). */
function hasOneHost({ httpVersion, rawHeaders }: IncomingMessage): boolean {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === "host") count++;
  }
  return count === 1 || (count === 0 && httpVersion !== "1.1");
}

function addRoute(app: FastifyInstance, context: HttpContext, id: RouteId): void {
  const { method, query, body } = routeOf(id);
  app.route({
    method,
    url: `/${id}`,
    ...(id === "batch" ? { bodyLimit: context.options.batchBytes } : undefined),
    schema: { querystring: query, ...(body === undefined ? undefined : { body }) },
    // No body is an empty one.
    preValidation: (request, _reply, done) => {
      if (body !== undefined && request.body === undefined) request.body = {};
      done();
    },
    handler: (request, reply) => {
      if (id === "get-openapi") answerOpenApi(context, request, reply);
      else if (id === "livez" || id === "readyz") answerHealth(context, id, request, reply);
      else answerRoute(context, id, request, reply);
    },
  });
}

function answerRoute(
  context: HttpContext,
  id: NodeRoute,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const node = context.options.node();
  if (node === undefined) {
    const detail = `This node takes no part in a cluster yet: ${context.options.starting()}.`;
    answerProblem(context, { code: "no-leader", detail }, request, reply);
    return;
  }
  // Here and not sooner: the requests that one packet brought all pass the hooks before the first is handled.
  if ((context.connections.get(request.raw.socket)?.size ?? 0) >= context.limits.requestsPerConnection) {
    const detail = "Too many requests of this connection await their answers.";
    answerProblem(context, { code: "overloaded", detail, facts: { reason: "connection" } }, request, reply);
    return;
  }
  const { target, match } = askedOf(request);
  const param = match.kind === "route" ? match.param : "";
  const { socket } = request.raw;
  const connection = connectionOf(context, socket);
  const exchange = new Exchange(
    context,
    {
      request: requestOf(request),
      connection,
      respond: (status, headers, text) => reply.code(status).headers(headers).send(text),
    },
    { node, target, param },
  );
  if (socket.destroyed) exchange.handleHangUp();
  exchange.guard(() => handlers[id](exchange));
}

function requestOf(request: FastifyRequest): HttpRequest {
  const { id, headers, query, body } = request;
  return {
    id,
    headers,
    query,
    body,
    faultsOf: (part, schema) => {
      const validate = request.compileValidationSchema(schema);
      return validate(part) === true ? undefined : invalidFields(validate.errors ?? [], "body");
    },
  };
}

/**
 * The requests under way on a connection. Its close is watched once for all of them: a response that waits behind
 * another one of its connection never hears of it.
 */
function connectionOf({ connections }: HttpContext, socket: Socket): Set<Exchange> {
  const known = connections.get(socket);
  if (known !== undefined) return known;
  const exchanges = new Set<Exchange>();
  connections.set(socket, exchanges);
  socket.once("close", () => {
    for (const exchange of exchanges) exchange.handleHangUp();
  });
  return exchanges;
}

function answerProblem(
  context: HttpContext,
  problem: Problem,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const body = problemBody(problem, request.id);
  const { match } = askedOf(request);
  if (match.kind === "wrong-method") reply.header("allow", match.allow.join(", "));
  if (context.isClosing) reply.header("connection", "close");
  reply
    .code(body.status)
    .headers(commonHeaders(context.options, request.id))
    .headers(retryHeaders(problem.code))
    .type(problemType)
    .send(JSON.stringify(body));
}

/** Whatever was thrown on the way to a handler, or by one. */
function answerError(
  context: HttpContext,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const known =
    error instanceof ProblemError ? error.problem : problemOfError(error as FastifyError, context);
  if (known !== undefined) return answerProblem(context, known, request, reply);
  answerProblem(context, bugFound(context.options, error, request.id), request, reply);
}

/** JSON in UTF-8 is the only body there is; other bytes are refused, never guessed at. */
function readBodiesAsJson(app: FastifyInstance): void {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, bytes: Buffer, done) => {
    if (bytes.length === 0) return done(null, {});
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      return done(new ProblemError({ code: "bad-request", detail: "The body is not UTF-8." }));
    }
    parse(request, text, done);
  });
}
