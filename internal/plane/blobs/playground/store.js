// The store, to which bytes go by requests that the plane has signed.

// StoreRefused has what the store says, which is XML.
export class StoreRefused extends Error {
  constructor(status, text) {
    const part = name => new RegExp(`<${name}>([^<]*)<`).exec(text)?.[1] || "";
    super(`The store refused the bytes (${[status, part("Code")].filter(Boolean).join(" ")})${part("Message") ? ": " + part("Message") : ""}`);
    this.status = status;
    this.final = status >= 400 && status < 500 && status !== 408 && status !== 429;
  }
}

// send a piece of a file, and return the ETag that the store answers where the page may see it, telling how many bytes of it are on their way. XMLHttpRequest is used because fetch does not tell.
export function send({method, url, headers = {}}, piece, signal, moved) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    const stop = () => { request.abort(); failed(signal.reason); };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, {once: true});
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.upload.onprogress = e => moved(e.loaded);
    request.onload = () => {
      // Bytes that are there already (412) were sent by a request whose answer was lost.
      if (request.status < 300 || request.status === 412) return done(request.getResponseHeader("ETag"));
      failed(new StoreRefused(request.status, request.responseText));
    };
    request.onerror = async () => failed(await whyNot(piece));
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(piece);
  });
}

// whyNot finds out what a request failed of: browsers do not say.
async function whyNot(piece) {
  try {
    await piece.slice(0, 1).arrayBuffer();
  } catch {
    return Object.assign(new Error("The file can not be read: it was changed or removed since it was chosen. Choose it again."), {final: true});
  }
  return new Error("The store does not answer, or does not let this page in: its CORS rules must allow the page's origin");
}
