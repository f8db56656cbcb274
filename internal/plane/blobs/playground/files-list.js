// The list of the owner's files.

import {reason} from "./contract.js";
import {$, element, button, bytes, say} from "./elements.js";

const pageOf = 25;
let contract, cursor = "";

// show the first page, by a contract from now on.
export async function show(by = contract) {
  contract = by;
  await load("");
}

async function load(from) {
  const query = {limit: pageOf};
  if ($("status").value) query.status = $("status").value;
  if (from) query.cursor = from;
  try {
    const page = await contract.files(query);
    const rows = page.files.map(row);
    if (from) $("files").append(...rows); else $("files").replaceChildren(...rows);
    cursor = page.cursor || "";
    say($("files-problem"), "");
  } catch (e) {
    if (!from) $("files").replaceChildren();
    cursor = "";
    say($("files-problem"), reason(e));
  }
  $("more").hidden = !cursor;
  $("no-files").hidden = $("files").childElementCount > 0;
}

function row(file) {
  const named = text => `${text}: ${file.filename}`;
  const problem = element("p", "problem"), buttons = element("p", "buttons");
  problem.hidden = true;
  problem.setAttribute("role", "alert");
  const attempt = async act => {
    try {
      say(problem, "");
      await act();
    } catch (e) {
      say(problem, reason(e));
    }
  };
  if (file.status === "uploaded") buttons.append(button("Download", named("Download"), () => attempt(() => download(file))));
  if (file.status !== "deleted") buttons.append(deletion(named, () => attempt(() => remove(file))));
  const since = new Date(file.uploadedAt || file.createdAt).toLocaleString();
  const facts = [bytes(file.size), file.contentType, file.status, since, file.reason].filter(Boolean).join(" · ");
  const item = element("li", "", "", element("span", "name", file.filename), element("p", "facts", facts), buttons, problem);
  Object.assign(item.dataset, {name: file.filename, id: file.id});
  return item;
}

// deletion asks twice: what is deleted is gone.
function deletion(named, act) {
  const b = button("Delete", named("Delete"), () => {
    if (b.className === "sure") return act();
    b.className = "sure";
    b.textContent = "Really delete";
    b.setAttribute("aria-label", named("Really delete"));
  });
  b.addEventListener("blur", () => {
    b.className = "";
    b.textContent = "Delete";
    b.setAttribute("aria-label", named("Delete"));
  });
  return b;
}

// download has the browser follow the store's URL, which says by itself what the file is called.
async function download(file) {
  const {url} = await contract.download(file.id);
  const link = element("a");
  Object.assign(link, {href: url, target: "_blank", rel: "noopener noreferrer"});
  link.click();
}

async function remove(file) {
  await contract.remove(file.id);
  await load("");
}

$("more").addEventListener("click", () => load(cursor));
$("refresh").addEventListener("click", () => show());
$("status").addEventListener("change", () => contract && show());
