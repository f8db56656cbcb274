// The contract, as any client uses it.

const answerWithin = 30_000;

// Refused has the words of a problem document.
export class Refused extends Error {
  constructor(status, body, retryAfter) {
    const places = (body.errors || []).map(e => `${(e.location || "").replace(/^(body|query)\./, "")} ${e.message}`.trim());
    const detail = [body.detail, ...places.filter(place => !String(body.detail).includes(place))].filter(Boolean).join("; ");
    super(`${body.title || "Refused"} (${status})${detail ? ": " + detail : ""}`);
    this.status = status;
    this.type = String(body.type || "").split("/").pop();
    this.retryAfter = Number(retryAfter) || 0;
    // again are numbers of parts that the store does not have as they were sent.
    this.again = Array.isArray(body.again) ? body.again : [];
    // What is final is not tried again as it is.
    this.final = status >= 400 && status < 500 && status !== 429 && status !== 408;
  }
}

// A token of three parts is a client's. Any other is taken for the binding's: it stays in this page, and is sent for
// nothing but client tokens.
export const isClientToken = token => token.split(".").length === 3;

export const reason = e => e instanceof TypeError ? "the bucket's plane does not answer" : e.message;

export class Contract {
  constructor(token, owner) {
    Object.assign(this, {token, owner, minted: isClientToken(token) ? null : {token: ""}});
  }

  async mint() {
    const body = {rights: ["submit", "read", "manage"], ttl: "15m", subject: this.owner};
    this.minted.token = (await (await this.send("POST", "v1/tokens", this.token, {body})).json()).token;
  }

  // call sends a request and returns what the answer says, or throws a Refused. A minted token that has ended is followed by
  // the next one.
  async call(method, path, options = {}) {
    if (this.minted && !this.minted.token) await this.mint();
    try {
      return await (await this.send(method, path, this.minted?.token || this.token, options)).json();
    } catch (e) {
      if (!this.minted || e.status !== 401) throw e;
      await this.mint();
      return (await this.send(method, path, this.minted.token, options)).json();
    }
  }

  async send(method, path, token, {body, headers = {}, signal}) {
    const limit = AbortSignal.timeout(answerWithin);
    const options = {method, headers: {...headers, Authorization: "Bearer " + token}, signal: signal ? AbortSignal.any([signal, limit]) : limit, cache: "no-store"};
    if (body !== undefined) {
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    const answer = await fetch(path, options);
    if (answer.ok) return answer;
    throw new Refused(answer.status, await answer.json().catch(() => ({})), answer.headers.get("Retry-After"));
  }

  // begin may be sent again under the same key: it is one upload.
  begin(body, key, signal) { return this.call("POST", "v1/uploads", {body, headers: {"Idempotency-Key": key}, signal}); }
  // look says what is missing of an upload, with fresh requests to send that, and the parts of those numbers again.
  look(id, again, signal) {
    return this.call("GET", `v1/uploads/${id}${again.length ? "?again=" + again.join(",") : ""}`, {signal});
  }
  // complete says which parts the store has acknowledged, [{number, etag}]; undefined for what went by one request.
  complete(id, parts, signal) { return this.call("POST", `v1/uploads/${id}:complete`, {body: parts && {parts}, signal}); }
  abort(id) { return this.call("POST", `v1/uploads/${id}:abort`); }
  files(query) { return this.call("GET", "v1/files?" + new URLSearchParams(query)); }
  download(id) { return this.call("POST", `v1/files/${id}:download`); }
  remove(id) { return this.call("DELETE", `v1/files/${id}`); }
}
