// The page is complete without this file. It keeps the figures up to date, shows times in the reader's zone, filters the
// pools, and sends commands.
"use strict";

const live = document.getElementById("live");
const announcement = document.getElementById("status");

const clockOf = moment => moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

function showLocalTimes(root) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    const clock = clockOf(moment);
    element.textContent = moment.toDateString() === today
      ? clock
      : `${moment.toLocaleDateString([], { day: "numeric", month: "short" })} ${clock}`;
    element.title = moment.toString();
  }
}

// Elements stay who they are, so that focus, selection, scrolling and what the reader has opened stay, too.
const keyOf = node => node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key : undefined;

function isSelected(node) {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && selection.containsNode(node, true);
}

function update(node, latest) {
  if (node.nodeType === Node.TEXT_NODE) {
    if (node.nodeValue !== latest.nodeValue && !isSelected(node)) node.nodeValue = latest.nodeValue;
    return;
  }
  if (node.nodeType !== Node.ELEMENT_NODE || "keep" in node.dataset || "shell" in node.dataset) return;
  for (const { name, value } of latest.attributes)
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  for (const { name } of [...node.attributes])
    // Open is what the reader has opened.
    if (!latest.hasAttribute(name) && name !== "open") node.removeAttribute(name);
  updateChildren(node, latest);
}

function updateChildren(parent, latest) {
  const known = new Map();
  for (const child of parent.childNodes) if (keyOf(child)) known.set(keyOf(child), child);
  let wanted = [...latest.childNodes];
  if ("calm" in parent.dataset && parent.matches(":hover, :focus-within")) {
    // Rows must not move away from under the pointer that is about to press one.
    const places = new Map([...parent.childNodes].map((child, place) => [keyOf(child), place]));
    const place = child => places.get(keyOf(child)) ?? Infinity;
    wanted.sort((a, b) => place(a) - place(b) || 0);
  }
  const keys = new Set(wanted.map(keyOf).filter(Boolean));
  let next = parent.firstChild;
  for (const child of wanted) {
    while (next && keyOf(next) && !keys.has(keyOf(next))) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
    const key = keyOf(child);
    const match = key ? known.get(key) : next && !keyOf(next) && next.nodeName === child.nodeName ? next : undefined;
    if (!match || match.nodeName !== child.nodeName) {
      parent.insertBefore(document.importNode(child, true), next);
      continue;
    }
    if (match === next) next = next.nextSibling;
    else if (parent.moveBefore) parent.moveBefore(match, next);
    else parent.insertBefore(match, next);
    update(match, child);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function showPart(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  showLocalTimes(template.content);
  const latest = template.content.firstElementChild;
  const current = document.getElementById(latest.id);
  const focused = document.activeElement;
  const section = focused?.closest("main section");
  if (!current) document.getElementById(latest.dataset.into)?.append(document.importNode(latest, true));
  else if (current.nodeName === latest.nodeName) update(current, latest);
  else current.replaceWith(document.importNode(latest, true));
  if (section && document.activeElement !== focused) {
    // What had the focus is gone, or was moved: the reader goes on from there, not from the top of the page.
    if (focused.isConnected) focused.focus({ preventScroll: true });
    else section.querySelector("h2")?.focus({ preventScroll: true });
  }
  if (latest.dataset.title) document.title = latest.dataset.title;
  if (latest.id === "pools") filterPools();
}

let stream;
let lost = false;

function tell(state, text) {
  live.dataset.state = state;
  live.querySelector(".text").textContent = text;
}

function follow() {
  stream?.close();
  // Of pools that are closed only the rows are sent.
  const open = [...document.querySelectorAll(".pool[open]")].map(pool => pool.id);
  stream = new EventSource(`${live.dataset.stream}?open=${open.join(",")}`);
  stream.addEventListener("part", event => showPart(event.data));
  stream.addEventListener("time", event => {
    tell("live", `Live, ${clockOf(new Date(event.data))}`);
    if (lost) say("The connection is back.");
    lost = false;
  });
  stream.addEventListener("error", () => {
    tell("lost", "Connection lost; trying again");
    if (!lost) say("The connection to the pooler is lost: the figures stand still.");
    lost = true;
    // An answer that is no stream, such as that of a full house, ends an EventSource for good.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => { if (!document.hidden) follow(); }, 5000);
  });
}

function say(text, isBad = false) {
  announcement.textContent = text;
  announcement.className = `wrap ${isBad ? "bad" : ""}`;
}

let reopening;
document.addEventListener("toggle", event => {
  if (!event.target.matches(".pool") || document.hidden) return;
  clearTimeout(reopening);
  reopening = setTimeout(follow, 100);
}, true);

document.addEventListener("visibilitychange", () => {
  // Nobody looks: nothing has to be drawn.
  if (!document.hidden) follow();
  else {
    stream?.close();
    tell("still", "Standing still");
  }
});
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", event => { if (event.persisted) follow(); });

const filterFrom = 10;

function filterPools() {
  const input = document.getElementById("filter");
  const pools = document.querySelectorAll("#pool-list > .pool");
  input.hidden = pools.length < filterFrom && input.value === "";
  const text = input.value.trim().toLowerCase();
  for (const pool of pools) pool.hidden = text !== "" && !pool.querySelector(".name")?.textContent.toLowerCase().includes(text);
}

document.addEventListener("input", event => { if (event.target.id === "filter") filterPools(); });

const keyName = "pooler-admin-key";

function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise(resolve => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

async function confirmed(button) {
  if (!button.dataset.confirm) return true;
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = button.dataset.confirm;
  dialog.querySelector("[value=yes]").textContent = button.textContent.trim();
  return ask(dialog);
}

async function askedForKey(again) {
  const input = document.getElementById("key-input");
  input.value = "";
  document.getElementById("key-note").textContent = again ? "That was not the key." : "It is kept until this tab is closed.";
  // Headers take no other characters, and fetch throws.
  const given = await ask(document.getElementById("key")) && /^[\x20-\x7e]+$/.test(input.value);
  if (given) sessionStorage.setItem(keyName, input.value);
  input.value = "";
  return given;
}

async function send(path) {
  const key = sessionStorage.getItem(keyName);
  return fetch(path, { method: "POST", headers: key ? { "X-Admin-Key": key } : {} });
}

async function run(button) {
  const { post } = button.dataset;
  const what = button.getAttribute("aria-label") ?? button.textContent.trim();
  if (!await confirmed(button)) return;
  say(`${what}: under way`);
  try {
    let answer = await send(post);
    while (answer.status === 401) {
      const wasGiven = sessionStorage.getItem(keyName) !== null;
      sessionStorage.removeItem(keyName);
      if (!await askedForKey(wasGiven)) return say(`${what}: not done, the key is missing`, true);
      answer = await send(post);
    }
    const result = await answer.json().catch(() => ({}));
    if (answer.ok) say(`${what}: ${result.result ?? "done"}`);
    else say(`${what}: ${[result.detail ?? result.title ?? answer.statusText, ...(result.errors ?? [])].join("; ")}`, true);
  } catch {
    sessionStorage.removeItem(keyName);
    say(`${what}: no answer from the pooler`, true);
  }
}

document.addEventListener("click", event => {
  const button = event.target.closest?.("button");
  if (button?.dataset.post) run(button);
  if (button && "close" in button.dataset) button.closest("dialog").close();
});


document.documentElement.classList.add("scripted");
showLocalTimes(document);
filterPools();
if (!document.hidden) follow();
