// @ts-check
// Drawings on the page: how far they are, and their pictures.

import { Refused, cancel, ended, follow } from "./ordering.js";
import { copyOf, part } from "./region-list.js";

/** @typedef {import("./ordering.js").Drawing} Drawing */

export class Drawn {
  /** @type {Set<string>} Ids of those that are shown. */
  shown = new Set();

  /**
   * @param {HTMLElement} place
   * @param {HTMLElement} said a live region
   * @param {(picture: string) => void} goOn begins with the picture at this path
   */
  constructor(place, said, goOn) {
    this.place = place;
    this.said = said;
    this.goOn = goOn;
  }

  /** A row for pictures that belong together. @param {boolean} [last] below the others @returns {HTMLElement} */
  row(last = false) {
    const made = document.createElement("div");
    made.className = "together";
    if (last) this.place.append(made);
    else this.place.prepend(made);
    const none = document.getElementById("no-pictures");
    if (none) none.hidden = true;
    return made;
  }

  /**
   * Shows a drawing, and follows it to its end.
   * @param {HTMLElement} row
   * @param {Drawing} drawing
   * @param {string} about what can be read below its release
   * @param {string} words of what the pictures show
   */
  async show(row, drawing, about, words) {
    this.shown.add(drawing.id);
    const figure = this.#figure(row, drawing.release, about);
    part(figure, "cancel").addEventListener("click", () => {
      delete figure.dataset.besides;
      cancel(drawing).then((now) => this.#tell(figure, now, words), (error) => this.#notCancelled(figure, error));
    });
    this.#tell(figure, drawing, words);
    try {
      await follow(drawing, (now) => this.#tell(figure, now, words));
    } catch (error) {
      this.#fail(figure, error);
    }
  }

  /** @param {HTMLElement} row @param {string} release @param {unknown} error why there is no drawing */
  refuse(row, release, error) {
    this.#fail(this.#figure(row, release, ""), error);
  }

  /** @param {HTMLElement} row @param {string} release @param {string} about */
  #figure(row, release, about) {
    const figure = copyOf("drawing");
    part(figure, "release").textContent = release.slice(0, 8);
    part(figure, "about").textContent = about;
    row.append(figure);
    return figure;
  }

  /** @param {HTMLElement} figure @param {Drawing | null} drawing @param {string} words */
  #tell(figure, drawing, words) {
    const state = part(figure, "state");
    if (figure.dataset.over) return; // cancelled, and told so already
    const besides = figure.dataset.besides ?? "";
    if (!drawing) {
      state.textContent = `The server does not answer; asking again${besides}`;
      return;
    }
    const bar = /** @type {HTMLProgressElement} */ (figure.querySelector("progress"));
    bar.setAttribute("aria-label", `Drawing with ${drawing.release.slice(0, 8)}`);
    if (drawing.all_steps) bar.value = drawing.done_steps / drawing.all_steps;
    else bar.removeAttribute("value");
    const text = told(drawing);
    if (figure.dataset.state !== drawing.state) this.said.textContent = text;
    figure.dataset.state = drawing.state;
    state.textContent = ended(drawing) ? text : text + besides;
    if (!ended(drawing)) return;
    figure.dataset.over = "true";
    bar.remove();
    figure.querySelector("[data-part=cancel]")?.remove();
    part(figure, "under-way").hidden = drawing.state === "done";
    part(figure, "pictures").replaceChildren(...drawing.pictures.map((path) => this.#picture(path, words)));
  }

  /** It goes on, and can be cancelled again. @param {HTMLElement} figure @param {unknown} error */
  #notCancelled(figure, error) {
    if (figure.dataset.over) return;
    figure.dataset.besides = `; not cancelled: ${reasonOf(error)}`;
    this.said.textContent = `Not cancelled: ${reasonOf(error)}`;
    part(figure, "state").textContent += figure.dataset.besides;
  }

  /** @param {HTMLElement} figure @param {unknown} error */
  #fail(figure, error) {
    const why = reasonOf(error);
    figure.dataset.state = "failed";
    figure.dataset.over = "true";
    figure.querySelector("progress")?.remove();
    figure.querySelector("[data-part=cancel]")?.remove();
    this.said.textContent = part(figure, "state").textContent = why;
  }

  /** @param {string} path @param {string} words */
  #picture(path, words) {
    const made = copyOf("picture");
    const image = /** @type {HTMLImageElement} */ (made.querySelector("img"));
    image.alt = words;
    image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth < 256));
    image.src = path;
    const save = /** @type {HTMLAnchorElement} */ (part(made, "save"));
    save.href = path;
    save.download = `fedshow-${path.split("/").at(-3)}-${path.split("/").at(-1)}.png`;
    part(made, "again").addEventListener("click", () => this.goOn(path));
    return made;
  }
}

/** @param {unknown} error @returns {string} */
const reasonOf = (error) => (error instanceof Refused ? error.message : String(error));

/** @param {Drawing} drawing @returns {string} */
function told({ state, reason, ahead, done_steps, all_steps }) {
  if (state === "queued") return ahead ? `Waiting: ${ahead} before it` : "Waiting for its turn";
  if (state === "drawing") return all_steps ? `${done_steps} of ${all_steps} steps` : "Opening the release";
  if (state === "done") return "Drawn";
  return state === "cancelled" ? "Cancelled" : `Failed: ${reason}`;
}
