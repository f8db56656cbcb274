// What outlives the page: uploads that are under way for this browser, the token for this tab.

const place = "try-uploads " + location.pathname;

function read(storage) {
  try { return JSON.parse(storage().getItem(place)); } catch { return null; /* a browser may have none to give */ }
}

function write(storage, value) {
  try { storage().setItem(place, JSON.stringify(value)); } catch { /* as above */ }
}

const local = () => localStorage, session = () => sessionStorage;

// uploads are [{id, filename, size, modified, whole, doubtful, etags}]; see Upload.
export const uploads = () => read(local) || [];

export function keep(record) {
  write(local, [...uploads().filter(u => u.id !== record.id), record]);
}

export function forget(id) {
  write(local, uploads().filter(u => u.id !== id));
}

// who is {token, owner}; a binding's token is never given here.
export const who = () => read(session) || {};
export const keepWho = value => write(session, value);
