// A Holdfast client, written from API.md alone: sessions that stay alive, locks that are waited for. Node >= 20.
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const now = () => [performance.now(), Date.now()];
// The larger of two clocks: the one may stand still while the machine sleeps, the other may be set back.
const since = ([running, wall]) => Math.max(performance.now() - running, Date.now() - wall);

/** `signal` aborts when nothing of the session may be believed any more: stop at once what runs under its locks. */
export async function openSession(url, options = {}) {
  const sessionId = crypto.randomUUID(); // Ids are chosen here, so that every request can be repeated.
  const headers = { "content-type": "application/json", "holdfast-session": sessionId };
  const lost = new AbortController();
  const holds = new Map();
  let lease = { leaseMs: Infinity, sentAt: now() };
  const isOver = () => lost.signal.aborted || since(lease.sentAt) >= lease.leaseMs;
  async function call(method, path, body) {
    for (; !isOver(); ) {
      // fetch follows a 307 to the leader by itself. A request is held for 25 s at most.
      const init = { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(30_000) };
      const silence = { code: "no-answer", retryable: true };
      const answer = await fetch(url + path, init)
        .then((response) => response.json())
        .catch(() => silence);
      if (answer.code === undefined) return answer;
      if (!answer.retryable) throw Object.assign(new Error(answer.detail), answer);
      await sleep(answer.retryAfterMs ?? 200); // What became of it is unknown: the same again, with the same ids.
    }
    throw new Error("the lease is over");
  }
  async function renew(path, body) {
    const sentAt = now(); // The lease counts from the sending of the first try.
    const answer = await call("POST", path, body);
    if (isOver()) throw new Error("the lease is over"); // An answer that came too late revives nothing.
    lease = { ...answer, sentAt };
    for (const { claimId, reason } of answer.ended ?? []) holds.get(claimId)?.abort(new Error(reason));
  }
  await renew("/v1/sessions", { ...options, sessionId });
  const watch = setInterval(() => isOver() && end(new Error("the lease is over")), 100);
  const end = (why) => (clearInterval(watch), lost.abort(why));
  const keepAlive = async () => {
    for (; !isOver(); await sleep(lease.renewAfterMs))
      await renew(`/v1/sessions/${sessionId}:keepalive`, { seen: lease.revision });
  };
  keepAlive().catch(end);
  return {
    signal: lost.signal,
    /** Waits in the queue for `waitMs`; throws with a `code` when it is not granted. */
    async acquire(lock, wish = {}) {
      const claimId = crypto.randomUUID();
      const hold = new AbortController();
      holds.set(claimId, hold); // Before it is asked for: its end may be heard of sooner than its grant.
      const path = `/v1/locks/${encodeURIComponent(lock)}:acquire`;
      let claim = await call("POST", path, { ...wish, claimId });
      while (claim.state === "waiting") claim = await call("GET", `/v1/claims/${claimId}`);
      const signal = AbortSignal.any([lost.signal, hold.signal]);
      if (isOver() || signal.aborted || claim.state !== "held")
        throw Object.assign(new Error("not held"), { code: claim.reason });
      const release = () => call("DELETE", `/v1/claims/${claimId}`); // 409 claim-lost: it ran unprotected.
      return { fence: claim.fence, signal, release };
    },
    close: () => call("DELETE", `/v1/sessions/${sessionId}`).finally(() => end(new Error("closed"))),
  };
}
