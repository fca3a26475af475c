"use strict";
// Elements from data. Text is always text: nothing here takes markup.

/** An element. attributes: functions listen to events, true sets, false and null leave out. children: nodes, texts. */
function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const byId = (id) => document.getElementById(id);
const spoken = (text) => h("span", { class: "hidden" }, text);
const plural = (count, one, many) => `${count} ${count === 1 ? one : (many ?? `${one}s`)}`;
const unique = (values) => [...new Set(values)];
const media = (query) => window.matchMedia(query).matches;

/** A metric's title with what follows its underscore as an index. */
function titled(title) {
  const [name, ...rest] = title.split("_");
  return rest.length ? [name, spoken(" "), h("wbr"), h("sub", {}, rest.join("_"))] : [name];
}

/** A button that copies a text, from disk, too, where pages may have no clipboard. */
function copyButton(text) {
  const button = h("button", { type: "button", class: "quiet copy", onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = h("textarea", { class: "hidden" }, text);
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  return button;
}

/** Reads or keeps a choice of the reader; some browsers keep nothing for pages from disk. */
function remembered(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(`guidebench-${name}`);
    localStorage.setItem(`guidebench-${name}`, value);
  } catch {
    return null;
  }
}
