// Pages work without this file. It shows times in the visitor's zone and keeps the task board up to date.
"use strict";

function showLocalTimes(root) {
  const now = new Date();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    const clock = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    element.textContent = moment.toDateString() === now.toDateString()
      ? clock
      : `${moment.toLocaleDateString([], { day: "numeric", month: "short" })} ${clock}`;
    element.title = moment.toString();
  }
}

function followBoard(board) {
  const live = document.getElementById("live");
  const tell = (state, text) => {
    // Said again only when it changes, so that a screen reader isn't interrupted by every event.
    if (live.dataset.state !== state) {
      live.dataset.state = state;
      live.textContent = text;
    }
  };
  let shown = new Map();

  const stream = new EventSource(board.dataset.stream);
  stream.addEventListener("open", () => tell("live", "Live"));
  stream.addEventListener("error", () => tell("lost", "Connection lost; trying again"));
  stream.addEventListener("board", event => {
    const next = document.createElement("div");
    next.innerHTML = event.data;
    const parts = new Map([...next.children].map(part => [part.dataset.part ?? "notice", part]));
    const latest = new Map([...parts].map(([name, part]) => [name, part.outerHTML]));

    // Only what has changed is replaced: whoever reads or tabs through another part isn't disturbed.
    const focused = document.activeElement?.id;
    let former = null;
    for (const [name, part] of parts) {
      const current = [...board.children].find(child => (child.dataset.part ?? "notice") === name);
      if (current && shown.get(name) === latest.get(name)) {
        former = current;
        continue;
      }
      showLocalTimes(part);
      const scrolled = current?.querySelector(".scroll")?.scrollLeft;
      if (current) current.replaceWith(part);
      else if (former) former.after(part);
      else board.prepend(part);
      if (scrolled) part.querySelector(".scroll").scrollLeft = scrolled;
      former = part;
    }
    for (const child of [...board.children])
      if (!parts.has(child.dataset.part ?? "notice")) child.remove();
    shown = latest;
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
  });
  addEventListener("pagehide", () => stream.close());
}

showLocalTimes(document);
const board = document.getElementById("board");
if (board) followBoard(board);
