// The list of uploads under way.

import {$, element, button, bytes, say} from "./elements.js";

export const words = {
  waiting: "cut off: choose the same file to go on", sending: "sending", paused: "paused", refused: "stopped", uploaded: "uploaded", aborted: "aborted",
};

// addRow shows an upload; the result is to be called whenever it changes. act has pause, resume and abort.
export function addRow(upload, act) {
  const named = text => `${text}: ${upload.filename}`;
  const bar = element("progress");
  bar.max = Math.max(1, upload.size);
  bar.setAttribute("aria-label", named("Progress"));
  const facts = element("p", "facts"), problem = element("p", "problem");
  problem.setAttribute("role", "alert");
  const pause = button("Pause", named("Pause"), () => act.pause(upload));
  const resume = button("Resume", named("Resume"), () => act.resume(upload));
  const abort = button("Abort", named("Abort"), () => act.abort(upload));
  const row = element("li", "", "", element("span", "name", upload.filename), bar, facts, problem, element("p", "buttons", "", pause, resume, abort));
  row.dataset.name = upload.filename;
  $("uploads").prepend(row);

  return () => {
    if (upload.state === "aborted") row.remove();
    row.dataset.state = upload.state;
    bar.value = upload.size ? upload.sent : Number(upload.state === "uploaded");
    const percent = upload.size ? Math.floor(100 * upload.sent / upload.size) : 0;
    say(facts, `${words[upload.state]}: ${bytes(upload.sent)} of ${bytes(upload.size)}, ${upload.over ? 100 : percent} %${upload.text ? "; " + upload.text : ""}`);
    say(problem, upload.problem);
    pause.hidden = !upload.active;
    resume.hidden = upload.active || upload.over;
    resume.textContent = !upload.file ? "Choose the file" : upload.id ? "Resume" : "Try again";
    abort.textContent = upload.over || !upload.id && !upload.active ? "Clear" : "Abort";
    $("no-uploads").hidden = $("uploads").childElementCount > 0;
  };
}
