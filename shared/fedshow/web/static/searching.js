// @ts-check
// A search form with `data-results`: while one types, the part of the page with that id is replaced.

import { replacePart } from "./replacing.js";

const PAUSE_MILLISECONDS = 120;

for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("form[data-results]"))) {
  let timer = 0;

  const search = () => {
    clearTimeout(timer);
    const fields = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (value) fields.append(name, String(value));
    }
    const url = new URL(form.action);
    url.search = fields.toString();
    replacePart(url, form.dataset.results ?? "").then(
      (shown) => shown && history.replaceState(null, "", url),
      () => form.submit(), // the browser says what is wrong better than we can
    );
  };

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(search, PAUSE_MILLISECONDS);
  });
  for (const choice of form.querySelectorAll("select")) {
    choice.addEventListener("change", search); // some programs that choose for people tell only this
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
}
