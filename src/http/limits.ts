/**
 * This node's own limits on what clients may send and how slowly. Milliseconds, bytes or counts, as the names say.
 * None of them limits how long a request is held: they end with the last byte of the request.
 */

export interface HttpLimits {
  /** Headers must have arrived, counted from the connection's start or the end of the request before. */
  readonly headersMs: number;
  /** The whole request must have arrived. Invariant: >= headersMs. */
  readonly requestMs: number;
  /** How often the two above are looked at: a slow client lives at most that much longer. */
  readonly checkMs: number;
  /** A connection without a request under way is closed after this. */
  readonly keepAliveMs: number;
  /**
   * A connection on which no byte moves for so long, in either direction, is closed: whoever does not read holds memory.
   * Invariant: > the longest `pollMs`.
   */
  readonly stalledMs: number;
  /** Request line and headers together. */
  readonly headerBytes: number;
  /** Path and query. */
  readonly urlCharacters: number;
  /** Requests of one connection that may await their answers: pipelining must not make work without bound. */
  readonly requestsPerConnection: number;
  /** How long `close` lets writes under way find out what became of them. */
  readonly closeGraceMs: number;
}

export const defaultLimits: HttpLimits = {
  headersMs: 5_000,
  requestMs: 10_000,
  checkMs: 500,
  keepAliveMs: 30_000,
  stalledMs: 60_000,
  headerBytes: 8_192,
  urlCharacters: 4_096,
  requestsPerConnection: 64,
  closeGraceMs: 500,
};
