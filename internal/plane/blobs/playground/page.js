// The page to try uploads: what its forms do.

import {Contract, isClientToken, reason} from "./contract.js";
import {$, bytes, say} from "./elements.js";
import {Upload} from "./upload.js";
import {addRow, words} from "./uploads-list.js";
import * as filesList from "./files-list.js";
import * as kept from "./kept.js";

let contract, settings = {checksum: "", partBytes: 0, maxBytes: 0, contentTypes: []};
// wanted is the upload whose file is being chosen.
let wanted;
const uploads = [];

function show(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

// ---- who one is ----

async function open() {
  const token = $("token").value.trim(), owner = $("owner").value.trim();
  kept.keepWho({token: isClientToken(token) ? token : "", owner});
  const opened = new Contract(token, owner);
  // Nothing that is chosen meanwhile is to be another owner's.
  contract = undefined;
  ready(false);
  show("opening", "asking…");
  say($("problem"), "");
  try {
    await opened.files({limit: 1});
    settings = await (await fetch("playground/settings.json", {cache: "no-store"})).json();
  } catch (e) {
    show("refused", "refused");
    return say($("problem"), reason(e));
  }
  contract = opened;
  show("open", opened.minted ? `files of ${owner}` : "files of the token's subject");
  limits();
  ready(true);
  await Promise.all([filesList.show(contract), ...uploads.filter(u => u.state === "waiting").map(u => u.peek(contract))]);
}

function ready(yes) {
  $("file").disabled = $("refresh").disabled = !yes;
}

function limits() {
  const types = settings.contentTypes || [];
  $("file").accept = types.join(",");
  const parts = settings.partBytes < settings.maxBytes ? ` Above ${bytes(settings.partBytes)} they go in parts.` : "";
  $("limits").textContent = `Up to ${bytes(settings.maxBytes)}, ${types.length ? types.join(", ") : "of any type"}.${parts}`;
}

$("who").addEventListener("submit", e => {
  e.preventDefault();
  open();
});

// ---- uploads ----

function add(file, record) {
  const upload = new Upload(file, record, changed);
  uploads.push(upload);
  upload.render = addRow(upload, {pause: u => u.pause(), resume, abort});
  upload.render();
  return upload;
}

// changed draws an upload, once a frame at most for its progress.
function changed(upload) {
  if (upload.state === upload.shown) {
    upload.drawing ||= requestAnimationFrame(() => { upload.drawing = 0; upload.render(); });
    return;
  }
  upload.shown = upload.state;
  upload.render();
  say($("said"), `${upload.filename}: ${words[upload.state]}`);
  if (upload.state === "uploaded" && contract) filesList.show();
}

function resume(upload) {
  if (!contract) return say($("problem"), "Give a token first.");
  if (upload.file) return upload.start(contract, settings);
  wanted = upload;
  $("file").click();
}

async function abort(upload) {
  if (upload.over) upload.become("aborted");
  else if (!upload.id || contract) await upload.abort(contract);
  else return say($("problem"), "Give a token first.");
  if (upload.state === "aborted") uploads.splice(uploads.indexOf(upload), 1);
}

// take files that were chosen: one that an upload waits for goes on there, all others begin.
function take(files) {
  if (!contract) return say($("problem"), "Give a token first.");
  for (const file of files) {
    const known = uploads.find(u => !u.file && u.is(file));
    if (!known && wanted) {
      wanted.become("waiting", "", `${file.name} is not the file that was being sent: choose ${wanted.filename} of ${bytes(wanted.size)}, as it was then. Or abort this, and begin anew.`);
      continue;
    }
    const upload = known || add(file);
    upload.file = file;
    upload.start(contract, settings);
  }
  wanted = undefined;
}

$("file").addEventListener("change", () => {
  take([...$("file").files]);
  $("file").value = "";
});
$("file").addEventListener("cancel", () => { wanted = undefined; });

const over = yes => $("drop").classList.toggle("over", yes);
document.addEventListener("dragover", e => { e.preventDefault(); over(true); });
document.addEventListener("dragleave", e => { if (!e.relatedTarget) over(false); });
document.addEventListener("drop", e => {
  e.preventDefault();
  over(false);
  wanted = undefined;
  take([...e.dataTransfer.files]);
});

// ---- what was left by the page before ----

kept.uploads().forEach(record => add(null, record));
const {token, owner} = kept.who();
if (owner) $("owner").value = owner;
if (token) {
  $("token").value = token;
  open();
}
