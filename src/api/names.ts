/**
 * What may be called what: lock names, session and claim ids, and how a name stands in a URL.
 * Clients check with these very functions before they send, because URL libraries rewrite what is not allowed here.
 * SEMANTICS §10. Pure.
 */

export const lockNameBytesMax = 512;

/** How long one request may be held, milliseconds. */
export const pollMsMax = 25_000;

/** 16–64 characters; 128 random bits in any spelling fit. */
export const sessionIdPattern = "^[A-Za-z0-9._~-]{16,64}$";
/** Not "." or "..": URL libraries eat those. */
export const claimIdPattern = "^(?!\\.{1,2}$)[A-Za-z0-9._~-]{1,64}$";

const sessionId = new RegExp(sessionIdPattern);
const claimId = new RegExp(claimIdPattern);

export function isSessionId(text: string): boolean {
  return sessionId.test(text);
}

export function isClaimId(text: string): boolean {
  return claimId.test(text);
}

/** What is wrong with a lock's name, as the end of a sentence; undefined when nothing is. */
export function lockNameFault(name: string): string | undefined {
  if (name === "") return "must not be empty";
  if (!isWellFormed(name)) return "must be well-formed Unicode (it has half of a surrogate pair)";
  if (utf8Length(name) > lockNameBytesMax) return `must have at most ${lockNameBytesMax} bytes of UTF-8`;
  if (/\p{Cc}/u.test(name)) return "must not contain control characters";
  if (name.includes("\\")) return "must not contain a backslash";
  if (name.startsWith("_")) return 'must not begin with "_", which is reserved';
  for (const segment of name.split("/")) {
    if (segment === "") return 'must not begin or end with "/" or contain "//"';
    if (segment === "." || segment === "..") return 'must not contain a segment "." or ".."';
  }
  if (name.normalize("NFC") !== name) return "must be in Unicode normalization form C (NFC)";
  return undefined;
}

/** False when half of a surrogate pair stands alone: no UTF-8 can carry that. */
export function isWellFormed(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const next = text.charCodeAt(i + 1);
    if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return false;
    i++;
  }
  return true;
}

/** Bytes of `text` in UTF-8. `text` is well-formed. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A surrogate pair is two units and four bytes.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
  }
  return bytes;
}

/**
 * What a percent-encoded part of a path spells; undefined when it is not percent-encoded UTF-8. Raw bytes outside of
 * ASCII are refused: HTTP gives them no meaning, and guessing one would make two names out of one.
 */
export function decodePathPart(raw: string): string | undefined {
  if (!/^[\x21-\x7e]*$/.test(raw)) return undefined;
  try {
    return decodeURIComponent(raw);
  } catch {
    return undefined;
  }
}

/** How a lock's name stands in a URL: `/` and `:` may be raw or encoded, this encodes all. */
export function encodeLockName(name: string): string {
  return encodeURIComponent(name);
}

/** Splits `…:verb` at the last literal colon of an undecoded path. */
export function splitVerb(rawPath: string): { readonly path: string; readonly verb: string } | undefined {
  const colon = rawPath.lastIndexOf(":");
  return colon < 0 ? undefined : { path: rawPath.slice(0, colon), verb: rawPath.slice(colon + 1) };
}
