// @ts-check
// Fetching a page of this server and taking one part of it.

/** @type {AbortController | undefined} */
let last;

/**
 * Fills our part with this id with what the page at `url` has there; a live region stays one.
 * @param {URL} url
 * @param {string} id
 * @returns {Promise<boolean>} false when a later call overtook this one
 */
export async function replacePart(url, id) {
  last?.abort();
  const mine = (last = new AbortController());
  try {
    const answer = await fetch(url, { signal: mine.signal, credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(id);
    if (answer.redirected || !fresh) throw new Error(`${url} has no part ${id}`);
    document.getElementById(id)?.replaceChildren(...fresh.childNodes);
    return true;
  } catch (error) {
    if (mine.signal.aborted) return false;
    throw error;
  }
}

/** @returns {string} what a request of ours shows in the header x-fedshow-csrf */
export function proof() {
  const found = /** @type {HTMLMetaElement | null} */ (document.querySelector('meta[name="csrf"]'));
  return found?.content ?? "";
}
