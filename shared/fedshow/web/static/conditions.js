// @ts-check
// Sketches, poses and depths that lead a picture: painted on the layout, or read from a file.

import { Layer, fromBase64 } from "./layers.js";
import { copyOf, part } from "./region-list.js";

/** @typedef {{kind: string, name: string, layer: Layer, weight: number, kept: Record<string, unknown>}} Condition */

/** Tells `chosen`, and `changed` with the layer that is new. */
export class Conditions extends EventTarget {
  /** @type {Map<Condition, HTMLElement>} */
  #rows = new Map();
  /** @type {Condition | null} */
  chosen = null;

  /**
   * @param {HTMLElement | null} list null where the base has none
   * @param {number} most
   */
  constructor(list, most) {
    super();
    this.list = list;
    this.most = most;
  }

  /** @returns {Condition[]} */
  get all() {
    return [...this.#rows.keys()];
  }

  /**
   * @param {string} kind
   * @param {string} name
   * @param {[number, number]} size
   * @param {number} [weight]
   * @param {Record<string, unknown>} [kept]
   * @returns {Condition | null} null when there are as many as may be
   */
  add(kind, name, size, weight = 1, kept = {}) {
    if (!this.list || this.#rows.size >= this.most) return null;
    const made = { kind, name, weight, kept, layer: new Layer(...size, "guide") };
    const row = copyOf("condition-row");
    this.#rows.set(made, row);
    this.#wire(made, row);
    this.list.append(row);
    this.dispatchEvent(new CustomEvent("changed", { detail: made.layer }));
    this.choose(made);
    return made;
  }

  /** @param {Condition} condition */
  remove(condition) {
    this.#rows.get(condition)?.remove();
    this.#rows.delete(condition);
    condition.layer.canvas.remove();
    if (this.chosen === condition) this.choose(null);
  }

  clear() {
    for (const one of this.all) this.remove(one);
  }

  /** @param {Condition | null} condition */
  choose(condition) {
    this.chosen = condition;
    for (const [one, row] of this.#rows) {
      part(row, "choose").setAttribute("aria-pressed", String(one === condition));
      row.classList.toggle("chosen", one === condition);
    }
    this.dispatchEvent(new Event("chosen"));
  }

  /** @returns {Promise<object[]>} as recipes say them */
  documents() {
    return Promise.all(this.all.map(async ({ kind, name, layer, weight, kept }) =>
      ({ ...kept, kind, name, weight, picture: await layer.png() })));
  }

  /** @param {any[]} said @param {[number, number]} size */
  async fill(said, size) {
    this.clear();
    for (const { kind, name, picture, weight, ...kept } of said) {
      await this.add(String(kind), String(name), size, Number(weight ?? 1), kept)?.layer.read(fromBase64(picture));
    }
    this.choose(null);
  }

  /** @param {Condition} condition @param {HTMLElement} row */
  #wire(condition, row) {
    const { name, layer } = condition;
    const choose = part(row, "choose");
    choose.textContent = labelOf(condition);
    choose.addEventListener("click", () => this.choose(condition));
    const weight = /** @type {HTMLInputElement} */ (part(row, "weight"));
    weight.value = String(condition.weight);
    weight.addEventListener("change", () => (condition.weight = Number(weight.value)));
    const upload = /** @type {HTMLInputElement} */ (part(row, "upload"));
    upload.addEventListener("change", () => {
      const file = upload.files?.[0];
      if (file) layer.read(file, name === "sketch").catch((error) => this.#complain(error));
      upload.value = "";
    });
    part(row, "clear").addEventListener("click", () => layer.clear());
    part(row, "remove").setAttribute("aria-label", `Remove ${name}`);
    part(row, "remove").addEventListener("click", () => {
      this.remove(condition);
      document.getElementById("offered")?.focus();
    });
  }

  /** @param {Error} error */
  #complain(error) {
    this.dispatchEvent(new CustomEvent("fault", { detail: `This file cannot be read as a picture: ${error.message}` }));
  }
}

/** @param {Condition} condition @returns {string} as the page offers it */
function labelOf({ kind, name }) {
  const options = /** @type {NodeListOf<HTMLOptionElement>} */ (document.querySelectorAll("#offered option"));
  return [...options].find((one) => one.value === `${kind} ${name}`)?.text ?? name;
}
