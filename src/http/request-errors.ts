/**
 * What fastify found wrong with a request, in the words of the catalogue. Unknown errors are bugs and stay unknown.
 */
import type { FastifyError, FastifySchemaValidationError } from "fastify";
import type { FieldError } from "../api/types.ts";
import type { HttpContext } from "./exchange.ts";
import type { Problem } from "./problems.ts";

export function problemOfError(error: FastifyError, { options }: HttpContext): Problem | undefined {
  if (error.validation !== undefined)
    return invalidFields(error.validation, error.validationContext ?? "body");
  switch (error.code) {
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return { code: "unsupported-media-type", detail: "Send the body as application/json (curl: --json)." };
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return {
        code: "too-large",
        detail: `The body has more than ${options.bodyBytes} bytes (${options.batchBytes} in a batch).`,
      };
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return { code: "bad-request", detail: "The body has another length than Content-Length says." };
    case "FST_ERR_BAD_URL":
      return { code: "bad-request", detail: "The URL is malformed." };
    default:
      if (error.statusCode === 400)
        return { code: "bad-request", detail: `The body is not JSON: ${error.message}` };
      return undefined;
  }
}

export function invalidFields(
  faults: readonly Pick<FastifySchemaValidationError, "instancePath" | "keyword" | "params" | "message">[],
  where: string,
): Problem {
  const errors = faults.map((fault) => fieldError(fault, where));
  const detail = errors.map(({ path, message }) => `${path} ${message}`).join("; ");
  return { code: "invalid", detail, facts: { errors } };
}

function fieldError(
  {
    instancePath,
    keyword,
    params,
    message,
  }: Pick<FastifySchemaValidationError, "instancePath" | "keyword" | "params" | "message">,
  where: string,
): FieldError {
  const extra = params["additionalProperty"];
  const path = keyword === "additionalProperties" ? `${instancePath}/${String(extra)}` : instancePath;
  const allowed = params["allowedValues"];
  const text =
    keyword === "additionalProperties"
      ? "is not a field of this request"
      : Array.isArray(allowed)
        ? `must be ${allowed.join(" or ")}`
        : (message ?? "is not valid");
  // Query parameters are named as they are written, fields of a body as JSON pointers.
  return { path: where === "body" ? path || "/" : path.slice(1), message: text };
}
