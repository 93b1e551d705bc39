// @ts-check
// Parts of a page with `data-live` follow what happens: the page is fetched again and again, also
// after the daemon was away, and what has changed takes its place.

const EVERY_MILLISECONDS = 2000;
const lost = /** @type {HTMLElement} */ (document.getElementById("lost"));

/** @param {Document} fresh */
function replaceChanged(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(part.id);
    const busy = part.contains(document.activeElement); // somebody is about to press something in it
    if (now && !busy && now.innerHTML !== part.innerHTML) part.replaceChildren(...now.childNodes);
  }
}

async function look() {
  const answer = await fetch(location.href, { credentials: "same-origin" });
  if (answer.redirected) return location.reload(); // signed out: the way in is shown
  if (!answer.ok) throw new Error(`${answer.status}`);
  replaceChanged(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

async function watch() {
  if (!document.hidden) {
    await look().then(
      () => (lost.hidden = true),
      () => (lost.hidden = false),
    );
  }
  setTimeout(watch, EVERY_MILLISECONDS);
}

setTimeout(watch, EVERY_MILLISECONDS);
