
"use strict";
const $ = id => document.getElementById(id);
const maxLog = 500, pollEvery = 2000, retryFirst = 500, retryMost = 8000, answerWithin = 15000;

// ---- what is shown ----

const counts = {received: 0, reconnects: 0, gaps: 0, faults: 0};

function count(what) {
  counts[what]++;
  $(what).textContent = counts[what];
  if (what === "faults") $("faults").parentElement.classList.add("bad");
}

function show(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

// log adds a row. Whatever messages hold is set as text, never as markup.
function log(kind, parts, data = {}) {
  const row = document.createElement("li"), time = element("time", "", new Date().toLocaleTimeString());
  row.className = kind === "message" ? "" : "note " + kind;
  Object.assign(row.dataset, {kind}, data);
  row.append(time, ...parts);
  $("log").prepend(row);
  while ($("log").childElementCount > maxLog) $("log").lastElementChild.remove();
  $("empty").hidden = true;
}

const note = (kind, text, data) => log(kind, [element("span", "text", text)], data);

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function showPositions(at) {
  $("positions").replaceChildren(...[...at].map(([room, position]) => {
    const item = element("li", "", room);
    item.append(element("code", "", position));
    return item;
  }));
}

// ---- tokens and requests ----

// A token of three parts is a client's. Any other is taken for the binding's: it
// stays in this field, and only client tokens minted of it go into URLs.
const isClientToken = token => token.split(".").length === 3;

class Refused extends Error {
  constructor(status, body, retryAfter) {
    const detail = body.detail ? ": " + body.detail : "";
    super(`${body.title || "Refused"} (${status})${detail}`);
    this.status = status;
    this.type = String(body.type || "").split("/").pop();
    this.retryAfter = Number(retryAfter) || 0;
    this.final = status >= 400 && status < 500 && status !== 429 && status !== 408;
  }
}

// call sends a request, and throws a Refused where the answer is a problem.
async function call(path, token, {body, headers = {}, signal, wait = 0} = {}) {
  const limit = AbortSignal.timeout(answerWithin + wait);
  const options = {headers: {...headers}, signal: signal ? AbortSignal.any([signal, limit]) : limit, cache: "no-store"};
  if (token) options.headers.Authorization = "Bearer " + token;
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, options);
  if (answer.ok || answer.status === 304) return answer;
  throw new Refused(answer.status, await answer.json().catch(() => ({})), answer.headers.get("Retry-After"));
}

// clientToken returns what may be sent in a URL: the token given, or one minted for these rooms.
async function clientToken(token, rooms, signal) {
  if (!token || isClientToken(token)) return token;
  const body = {rooms, rights: ["subscribe", "publish"], ttl: "15m", subject: "try-out-page"};
  return (await (await call("v1/tokens", token, {body, signal})).json()).token;
}

const messages = (room, query) => `v1/rooms/${encodeURIComponent(room)}/messages?` + new URLSearchParams(query);

// ---- a session: rooms that are followed until the user stops ----

class Session {
  constructor(protocol, rooms, token, begin) {
    Object.assign(this, {protocol, rooms, token, begin});
    this.at = new Map();       // room → position after the last message
    this.offsets = new Map();  // room → its offset
    this.ending = new AbortController();
    this.opened = 0;
  }

  get over() { return this.ending.signal.aborted; }
  since(room) { return this.at.get(room) || this.begin; }
  stop() { this.ending.abort(); }

  connected() {
    if (this.over) return;
    if (this.opened++) count("reconnects");
    show("connected", "connected");
    problem("");
    note("state", this.opened > 1 ? "connected again, resuming" : `connected over ${this.protocol}`, {state: "connected"});
  }

  moved(room, position) {
    this.at.set(room, position);
    showPositions(this.at);
  }

  message(m) {
    const last = this.offsets.get(m.room);
    if (last !== undefined && m.offset !== last + 1) {
      count("faults");
      note("fault", `${m.room}: ${m.offset} came after ${last}, and nothing was said`);
    }
    this.offsets.set(m.room, m.offset);
    this.moved(m.room, m.position);
    count("received");
    log("message", [element("span", "room", m.room), element("span", "offset", "#" + m.offset),
      element("pre", "", JSON.stringify(m.data, null, 1).replace(/\n */g, " "))], {room: m.room, offset: m.offset});
  }

  gap(room, position, reason) {
    this.offsets.delete(room);
    this.moved(room, position);
    count("gaps");
    note("gap", `gap in ${room}: ${reason}. Messages are lost; it goes on after ${position}`, {room, reason});
  }

  // run connects, and connects again, until it is stopped or refused for good.
  async run() {
    for (let wait = retryFirst; !this.over;) {
      const before = this.opened;
      let pass;
      try {
        show("connecting", "connecting…");
        pass = await clientToken(this.token, this.rooms, this.ending.signal);
        await this.ask(pass);
        await transports[this.protocol](this, pass);
      } catch (e) {
        if (this.over) break;
        // A token minted here that has expired is followed by the next one.
        const renew = e.status === 401 && pass !== this.token && this.opened > before;
        if (e.final && !renew) return this.refuse(e);
        if (this.opened > before) wait = retryFirst;
        const pause = e.after ?? Math.max(wait, 1000 * (e.retryAfter || 0));
        show("waiting", "reconnecting…");
        note("state", `${reason(e)}; trying again`, {state: "waiting"});
        await delay(pause * (e.after === undefined ? 0.5 + Math.random() : 1), this.ending.signal);
        wait = Math.min(2 * wait, retryMost);
      }
    }
    show("idle", "not connected");
  }

  // ask finds out why one may not connect: EventSource and WebSocket do not tell.
  async ask(pass) {
    const ask = room => call(messages(room, {since: "latest", limit: 1}), pass, {signal: this.ending.signal});
    try {
      await Promise.all(this.rooms.map(ask));
    } catch (e) {
      if (e.type !== "protocol-disabled") throw e;
    }
  }

  refuse(e) {
    this.stop();
    show("refused", "refused");
    problem(reason(e));
    note("fault", reason(e), {state: "refused"});
    buttons(false);
  }
}

const reason = e => e instanceof TypeError ? "the gateway does not answer" : e.message;
const final = text => Object.assign(new Error(text), {final: true});

function delay(ms, signal) {
  return new Promise(done => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); });
  });
}

// ended says what the end of a connection means: below 3500 one comes back.
function ended(code, text, after) {
  const why = text || "the connection broke";
  if (code >= 3500) return final(`${why} (${code})`);
  return Object.assign(new Error(code >= 3000 ? `${why} (${code})` : why), {after});
}

// ---- the protocols; each resolves never, and rejects when its connection is over ----

const transports = {
  WebSocket: overWebSocket, SSE: overEventSource,
  LongPolling: (session, pass) => overPolls(session, pass, 30), Polling: (session, pass) => overPolls(session, pass, 0),
};

function overWebSocket(session, pass) {
  return new Promise((_, fail) => {
    const url = new URL("v1/ws", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    if (pass) url.searchParams.set("access_token", pass);
    const socket = new WebSocket(url);
    const waiting = new Set(session.rooms);
    let after, refused;
    socket.onopen = () => session.rooms.forEach((room, id) =>
      socket.send(JSON.stringify({id, type: "subscribe", room, since: session.since(room)})));
    socket.onmessage = e => {
      const m = JSON.parse(e.data);
      if (m.type === "message") session.message(m);
      else if (m.type === "gap") session.gap(m.room, m.position, m.reason);
      else if (m.type === "reconnect") after = m.afterMs;
      else if (m.type === "error") { refused = new Refused(m.problem.status, m.problem); socket.close(); }
      else if (m.type === "subscribed") {
        if (!session.at.has(m.room)) session.moved(m.room, m.position);
        if (waiting.delete(m.room) && waiting.size === 0) session.connected();
      }
    };
    socket.onclose = e => fail(refused || ended(e.code, e.reason, after));
    session.ending.signal.addEventListener("abort", () => socket.close());
  });
}

function overEventSource(session, pass) {
  return new Promise((_, fail) => {
    const query = new URLSearchParams(session.rooms.map(room => ["room", room]));
    const known = [...session.at].map(([room, position]) => `${room}=${position}`).join(",");
    query.set("since", known || session.begin);
    if (pass) query.set("access_token", pass);
    const events = new EventSource("v1/stream?" + query);
    let closed;
    const end = e => { events.close(); fail(e); };
    events.addEventListener("ready", e => {
      for (const {room, position} of JSON.parse(e.data).rooms) session.moved(room, position);
      session.connected();
    });
    events.onmessage = e => session.message(JSON.parse(e.data));
    events.addEventListener("gap", e => { const g = JSON.parse(e.data); session.gap(g.room, g.position, g.reason); });
    events.addEventListener("close", e => { closed = JSON.parse(e.data); });
    events.onerror = () => {
      // A token that has ended is not sent again; all else EventSource tries by itself, from the last event's id.
      if (closed && (closed.code >= 3500 || closed.code === 3005)) return end(ended(closed.code, closed.reason));
      if (events.readyState === EventSource.CLOSED) return end(ended(0, "the stream was refused"));
      show("waiting", "reconnecting…");
      note("state", `${closed ? `${closed.reason} (${closed.code})` : "the stream broke"}; EventSource reconnects`, {state: "waiting"});
      closed = undefined;
    };
    session.ending.signal.addEventListener("abort", () => end(ended(0)));
  });
}

// overPolls asks room by room, each waiting for its next message or for a while.
function overPolls(session, pass, seconds) {
  const failed = new AbortController();
  const signal = AbortSignal.any([session.ending.signal, failed.signal]);
  let announced = false;
  const follow = async room => {
    for (let etag = "", first = true; !signal.aborted; first = false) {
      const query = {since: session.since(room), limit: 100};
      if (seconds && !first) query.wait = seconds + "s";
      const answer = await call(messages(room, query), pass, {signal, wait: 1000 * seconds, headers: etag ? {"If-None-Match": etag} : {}});
      if (!announced) { announced = true; session.connected(); }
      let more = false;
      if (answer.status !== 304) more = take(session, room, await answer.json());
      etag = seconds ? "" : answer.headers.get("ETag") || "";
      if (!seconds && !more) await delay(pollEvery, signal);
    }
  };
  return Promise.race(session.rooms.map(follow)).finally(() => failed.abort());
}

function take(session, room, page) {
  if (page.gap) session.gap(room, page.messages.length ? session.since(room) : page.next, page.gapReason);
  page.messages.forEach(m => session.message(m));
  session.moved(room, page.next);
  return page.more;
}

// ---- publishing ----

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, "0")).join("");

// publish tries again under one key, so that the message is stored once whatever happens.
async function publish(room, data, token) {
  const key = newKey();
  for (let tries = 1; ; tries++) {
    try {
      const answer = await call(`v1/rooms/${encodeURIComponent(room)}/messages`, token, {body: {data}, headers: {"Idempotency-Key": key}});
      return await answer.json();
    } catch (e) {
      if (e.final || tries === 6) throw e;
      published(`${reason(e)}; trying again…`, true);
      await delay(Math.max(retryFirst * tries, 1000 * (e.retryAfter || 0)), new AbortController().signal);
    }
  }
}

function published(text, bad) {
  $("published").hidden = false;
  $("published").className = bad ? "bad" : "";
  $("published").textContent = text;
}

function parse(text) {
  try { return JSON.parse(text); } catch { return text; }
}

// ---- the forms ----

let session;

function buttons(connected) {
  $("start").disabled = connected;
  $("stop").disabled = !connected;
  for (const field of $("connect").querySelectorAll("input, select")) field.disabled = connected && field.id !== "token";
  $("token").readOnly = connected;
}

const stored = ["rooms", "since", "to", "data"];

function remember() {
  const kept = {protocol: $("connect").protocol.value, token: isClientToken($("token").value.trim()) ? $("token").value.trim() : ""};
  for (const id of stored) kept[id] = $(id).value;
  try { sessionStorage.setItem("try-rooms", JSON.stringify(kept)); } catch { /* a browser may have none to give */ }
}

function recall() {
  let kept;
  try { kept = JSON.parse(sessionStorage.getItem("try-rooms")); } catch { /* as above */ }
  if (!kept) return;
  $("connect").protocol.value = kept.protocol;
  $("token").value = kept.token;
  for (const id of stored) $(id).value = kept[id];
}

$("connect").addEventListener("submit", e => {
  e.preventDefault();
  const rooms = [...new Set($("rooms").value.split(/[\s,]+/).filter(Boolean))];
  if (!rooms.length) return problem("Name a room, for instance lobby.");
  remember();
  problem("");
  $("positions").replaceChildren();
  session?.stop();
  session = new Session($("connect").protocol.value, rooms, $("token").value.trim(), $("since").value);
  buttons(true);
  session.run();
});

$("stop").addEventListener("click", () => {
  session.stop();
  show("idle", "not connected");
  note("state", "disconnected", {state: "idle"});
  buttons(false);
});

$("publish").addEventListener("submit", async e => {
  e.preventDefault();
  remember();
  $("send").disabled = true;
  $("published").hidden = true;
  try {
    const stored = await publish($("to").value.trim(), parse($("data").value), $("token").value.trim());
    published(`stored as #${stored.offset} of ${stored.room}`);
  } catch (e) {
    published(reason(e), true);
  }
  $("send").disabled = false;
});

$("clear").addEventListener("click", () => {
  $("log").replaceChildren();
  $("empty").hidden = false;
});

recall();
