// Keeps the content of the page fresh: every 5 s, while the page is visible, the new <main> is merged into the old one, so
// that scroll position, selection, focus, checked boxes and open details stay. Without this script the pages are whole.
"use strict";
const PERIOD = 5000, LIMIT = 10000, SLOWEST = 60000;
const main = document.querySelector("main");
const note = document.getElementById("contact");
let etag = "", timer = 0, failures = 0, busy = false;

// Merges `next` into `old`, an element of the same name.
function merge(old, next) {
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of [...next.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const wanted = new Set([...next.children].map(child => child.id).filter(id => id));
  let at = old.firstChild;
  for (const child of [...next.childNodes]) {
    // Nodes that are gone, and those before a node that stays, are removed: a moved element would lose its focus.
    while (at && at.id && !wanted.has(at.id)) at = removed(at);
    const kept = child.id ? [...old.children].find(one => one.id === child.id) : at;
    while (child.id && kept && at && at !== kept && !wanted.has(at.id)) at = removed(at);
    if (!kept || !fits(kept, child)) {
      old.insertBefore(child, at);
      continue;
    }
    if (kept === at) at = at.nextSibling;
    else old.insertBefore(kept, at);
    if (kept.nodeType !== Node.ELEMENT_NODE) {
      if (kept.data !== child.data) kept.data = child.data;
    } else merge(kept, child);
  }
  while (at) at = removed(at);
}

function fits(old, next) {
  return old.nodeName === next.nodeName && (old.id || "") === (next.id || "");
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

async function update() {
  busy = true;
  try {
    const headers = etag ? { "If-None-Match": etag } : {};
    const answer = await fetch(location.href, { headers, signal: AbortSignal.timeout(LIMIT) });
    if (answer.status !== 304) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      merge(main, document.adoptNode(page.querySelector("main")));
      document.title = page.title;
      etag = answer.headers.get("ETag") || "";
    }
    failures = 0;
  } catch {
    failures += 1;
  }
  note.hidden = failures === 0;
  busy = false;
  plan();
}

// The pause doubles with each failure, up to a limit.
function plan() {
  clearTimeout(timer);
  if (!document.hidden && !busy) timer = setTimeout(update, Math.min(PERIOD * 2 ** failures, SLOWEST));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (!busy) update();
});
plan();
