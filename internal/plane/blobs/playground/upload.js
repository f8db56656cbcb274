// One upload: begun, sent, paused, resumed, completed or aborted.

import {reason} from "./contract.js";
import {checksum} from "./checksum.js";
import {patiently} from "./retry.js";
import {send} from "./store.js";
import * as kept from "./kept.js";

// atOnce is how many parts are on their way together, mostAgain how many may be asked for that the store may have, and
// mostTimes how often one part is sent again because the store has something else.
const atOnce = 3, mostAgain = 64, mostTimes = 3;

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, "0")).join("");

// Upload is in one of these states: waiting (for its file, after a reload), sending, paused, refused, uploaded, aborted.
// changed is called whenever something of it is to be shown.
export class Upload {
  constructor(file, record, changed) {
    Object.assign(this, {file, changed, id: record?.id, key: newKey(), stored: 0, moving: new Map(), text: "", problem: ""});
    // whole is true of what goes by one request. What is doubtful are the parts that were sent and not acknowledged: a store
    // may have kept a part that was cut off, and take it for whole. Those are sent again. Of all others there is the ETag
    // that the store has answered, by which the upload is completed.
    this.whole = record?.whole ?? false;
    this.doubtful = new Set(record?.doubtful);
    this.etags = new Map(record?.etags);
    this.filename = file?.name ?? record.filename;
    this.size = file?.size ?? record.size;
    this.modified = file?.lastModified ?? record.modified;
    this.state = file ? "paused" : "waiting";
  }

  // is reports whether a file that was chosen is the one that this upload is of.
  is(file) { return file.name === this.filename && file.size === this.size && file.lastModified === this.modified; }

  // sent is how many bytes the store has or is being given.
  get sent() { return Math.min(this.size, this.stored + [...this.moving.values()].reduce((sum, bytes) => sum + bytes, 0)); }
  // again are numbers of parts to ask for, whatever the store has of them.
  get again() { return [...this.doubtful].slice(0, mostAgain); }
  // acknowledged are the parts that the store has answered for.
  get acknowledged() { return this.whole ? undefined : [...this.etags].map(([number, etag]) => ({number, etag})); }
  get active() { return this.state === "sending"; }
  get over() { return this.state === "uploaded" || this.state === "aborted"; }

  become(state, text = "", problem = "") {
    Object.assign(this, {state, text, problem});
    this.changed(this);
  }

  say(text) {
    this.text = text;
    this.changed(this);
  }

  // peek finds out how much of an upload is stored that waits for its file.
  async peek(contract) {
    try {
      const upload = await contract.look(this.id, this.again);
      if (upload.status === "uploaded") return this.done();
      this.stored = upload.stored || 0;
      this.become(this.state, "", upload.status === "pending" ? "" : `The upload is ${upload.status}: ${upload.reason}. Abort it, and begin anew.`);
    } catch (e) {
      this.become(this.state, "", reason(e));
    }
  }

  // start begins the upload, or goes on with what is missing of it.
  async start(contract, settings) {
    const ending = this.ending = new AbortController();
    this.moving.clear();
    this.become("sending", this.id ? "asking what is missing…" : "beginning…");
    try {
      await this.run(contract, settings, ending.signal);
    } catch (e) {
      if (ending.signal.aborted) return;
      ending.abort();
      this.moving.clear();
      this.become("refused", "", reason(e));
    }
  }

  pause() {
    this.ending.abort();
    this.moving.clear();
    this.become("paused");
  }

  // abort gives the upload up; what the store has of it is removed.
  async abort(contract) {
    this.ending?.abort();
    this.moving.clear();
    try {
      if (this.id) await contract.abort(this.id);
    } catch (e) {
      // What is not there, or over, needs no abort.
      if (![404, 409, 410].includes(e.status)) return this.become("refused", "", reason(e));
    }
    kept.forget(this.id);
    this.become("aborted");
  }

  done() {
    kept.forget(this.id);
    this.stored = this.size;
    this.moving.clear();
    this.become("uploaded");
  }

  keep() {
    kept.keep({id: this.id, filename: this.filename, size: this.size, modified: this.modified, whole: this.whole, doubtful: [...this.doubtful], etags: [...this.etags]});
  }

  async run(contract, settings, signal) {
    const trying = e => this.say(`${reason(e)}; trying again…`);
    // What goes whole can not go on in the middle, and the store may have kept what came of it.
    if (this.id && this.whole) await this.giveUp(contract);
    if (!this.id) await this.begin(contract, settings, signal, trying);
    try {
      await this.sendAndComplete(contract, signal, trying);
    } catch (e) {
      // A request that broke off and was tried again has left something else in the store.
      if (e.type !== "gone" || !this.whole || !this.retried) throw e;
      await this.giveUp(contract);
      return this.run(contract, settings, signal);
    }
    this.done();
  }

  // sendAndComplete sends parts once more of which the store has something else than was sent, or of which the ETag was lost.
  async sendAndComplete(contract, signal, trying) {
    for (const times = new Map(); ;) {
      await this.sendMissing(contract, signal, trying);
      this.say("completing…");
      try {
        return await patiently(() => contract.complete(this.id, this.acknowledged, signal), signal, trying);
      } catch (e) {
        if (!e.again?.length) throw e;
        for (const number of e.again) {
          times.set(number, (times.get(number) || 0) + 1);
          if (times.get(number) > mostTimes) throw e;
          this.etags.delete(number);
          this.doubtful.add(number);
        }
        this.keep();
      }
    }
  }

  // giveUp has the next attempt be an upload of its own.
  async giveUp(contract) {
    const id = this.id;
    Object.assign(this, {id: undefined, key: newKey(), retried: false});
    kept.forget(id);
    // What can not be aborted ends by itself, when its time is up.
    await contract.abort(id).catch(() => {});
  }

  async begin(contract, settings, signal, trying) {
    const ask = {filename: this.filename, contentType: this.file.type || "application/octet-stream", size: this.size};
    if (settings.checksum && this.size <= settings.partBytes) {
      this.say("computing its checksum…");
      ask.checksum = await checksum(settings.checksum, this.file);
    }
    signal.throwIfAborted();
    const upload = await patiently(() => contract.begin(ask, this.key, signal), signal, trying);
    Object.assign(this, {id: upload.id, whole: Boolean(upload.put), doubtful: new Set(), etags: new Map()});
    this.keep();
  }

  // sendMissing sends what the store does not have, until it says that it has all of it.
  async sendMissing(contract, signal, trying) {
    const look = () => patiently(() => contract.look(this.id, this.again, signal), signal, trying);
    let upload = await look();
    for (let again = 0; upload.status === "pending";) {
      const before = this.stored = upload.stored || 0;
      const pieces = upload.put ? [{number: 1, offset: 0, size: this.size, request: upload.put}] : upload.parts || [];
      if (!pieces.length) return;
      this.say("");
      try {
        await this.sendAll(pieces, signal, trying);
        if (upload.put) return;
        upload = await look();
      } catch (e) {
        // A request that has ended is refused: there are fresh ones. Without progress, it is something else.
        if (e.status !== 403) throw e;
        upload = await look();
        if ((upload.stored || 0) <= before && ++again > 1) throw e;
      }
      this.stored = upload.stored || 0;
      this.moving.clear();
    }
  }

  // sendAll sends pieces, some at once. The first that fails for good ends the others.
  async sendAll(pieces, signal, trying) {
    const queue = [...pieces], failed = new AbortController(), either = AbortSignal.any([signal, failed.signal]);
    const worker = async () => {
      for (let piece; (piece = queue.shift());) await this.sendPiece(piece, either, trying);
    };
    try {
      await Promise.all(Array.from({length: Math.min(atOnce, queue.length)}, worker));
    } catch (e) {
      failed.abort(e);
      throw e;
    }
  }

  async sendPiece({number, offset, size, request}, signal, trying) {
    const moved = bytes => {
      if (signal.aborted) return;
      this.moving.set(number, bytes);
      this.changed(this);
    };
    const piece = this.file.slice(offset, offset + size);
    this.doubtful.add(number);
    this.etags.delete(number);
    this.keep();
    const etag = await patiently(() => send(request, piece, signal, moved), signal, e => { this.retried = true; moved(0); trying(e); });
    if (!this.whole) {
      if (!etag) throw Object.assign(new Error("The page may not see what the store acknowledges: the bucket's CORS rules must expose the header ETag"), {final: true});
      this.etags.set(number, etag);
    }
    this.doubtful.delete(number);
    this.keep();
    moved(size);
    this.say("");
  }
}
