// Making what is shown. Whatever files and answers hold is set as text, never as markup.

export const $ = id => document.getElementById(id);

export function element(tag, className, text, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text) e.textContent = text;
  e.append(...children);
  return e;
}

export function button(text, label, act) {
  const b = element("button", "", text);
  b.type = "button";
  b.setAttribute("aria-label", label);
  b.addEventListener("click", act);
  return b;
}

export function bytes(n) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (n >= size) return `${(n / size).toFixed(1)} ${unit}`;
  }
  return `${n} bytes`;
}

// say sets a text, and hides what has none.
export function say(e, text) {
  if (e.textContent !== text) e.textContent = text;
  e.hidden = !text;
}
