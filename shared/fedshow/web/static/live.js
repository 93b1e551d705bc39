// @ts-check
// Keeps the page of what goes on now true: rows come by events, the rest is fetched when told that it changed.

import { replacePart } from "./replacing.js";

const AGAIN_MILLISECONDS = 5000;
const log = /** @type {HTMLElement} */ (document.getElementById("log"));
const connection = /** @type {HTMLElement} */ (document.getElementById("connection"));
const most = Number(log.dataset.most);
let last = log.dataset.after ?? "0";

/**
 * @param {string} words
 * @param {boolean} good
 */
function say(words, good) {
  if (connection.textContent !== words) connection.textContent = words;
  connection.className = `badge ${good ? "admitted" : "waiting"}`;
}

/** @param {Record<string, string>} entry */
function add(entry) {
  const row = document.createElement("tr");
  for (const name of ["at", "action", "subject", "who", "details"]) {
    row.insertCell().textContent = entry[name] ?? "";
  }
  row.cells[4].className = "muted";
  log.prepend(row);
  while (log.children.length > most) log.lastElementChild?.remove();
}

function follow() {
  const events = new EventSource(`${log.dataset.events}?after=${last}`); // the browser comes back by itself
  events.addEventListener("open", () => say("connected", true));
  events.addEventListener("entry", (event) => {
    last = event.lastEventId;
    add(JSON.parse(event.data));
  });
  events.addEventListener("changed", () => {
    replacePart(new URL(location.href), "now").catch((error) => {
      if (!(error instanceof TypeError)) location.reload(); // signed out; otherwise nobody is there just now
    });
  });
  events.addEventListener("error", () => {
    say("connection lost, trying again", false);
    if (events.readyState === EventSource.CLOSED) comeBack(); // refused, not lost
  });
}

/** Whoever is signed out is shown the way in; too many streams, or a server that begins, are waited for. */
async function comeBack() {
  const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
  if (answer?.redirected) location.reload();
  else setTimeout(follow, AGAIN_MILLISECONDS);
}

follow();
