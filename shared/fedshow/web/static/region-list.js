// @ts-check
// The regions as a list: what each shows, and where it is in numbers.

/** @typedef {import("./regions.js").Region} Region */
/** @typedef {import("./regions.js").Regions} Regions */

const EDGES = ["Left %", "Top %", "Right %", "Bottom %"];

export class RegionList {
  /** @type {Map<Region, HTMLElement>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} list
   * @param {Regions} regions
   */
  constructor(list, regions) {
    this.list = list;
    this.regions = regions;
    regions.addEventListener("changed", () => this.#renew());
    for (const what of ["chosen", "placed", "said"]) regions.addEventListener(what, () => this.#show());
  }

  /** @param {Region} region */
  focus(region) {
    /** @type {HTMLElement | null | undefined} */
    const field = this.#rows.get(region)?.querySelector("[data-part=prompt]");
    field?.focus();
  }

  /** @param {Element | null} element @returns {Region | null} whose row it is in */
  at(element) {
    for (const [region, row] of this.#rows) if (row.contains(element)) return region;
    return null;
  }

  #renew() {
    for (const [region, row] of this.#rows) {
      if (this.regions.all.includes(region)) continue;
      row.remove();
      this.#rows.delete(region);
    }
    for (const region of this.regions.all) {
      if (!this.#rows.has(region)) this.#rows.set(region, this.#row(region));
    }
    const none = document.getElementById("no-regions");
    if (none) none.hidden = this.regions.all.length > 0;
    this.#show();
  }

  /** @param {Region} region */
  #row(region) {
    const row = copyOf("region-row");
    row.classList.add(region.hue);
    const choose = part(row, "choose");
    choose.textContent = String(region.number);
    choose.setAttribute("aria-label", `Choose region ${region.number}`);
    choose.addEventListener("click", () => this.regions.choose(region));
    const prompt = /** @type {HTMLInputElement} */ (part(row, "prompt"));
    prompt.setAttribute("aria-label", `Prompt of region ${region.number}`);
    prompt.addEventListener("input", () => this.regions.say(region, prompt.value));
    prompt.addEventListener("focus", () => this.regions.choose(region));
    part(row, "remove").setAttribute("aria-label", `Remove region ${region.number}`);
    part(row, "remove").addEventListener("click", () => {
      this.regions.remove(region);
      document.getElementById("add-box")?.focus();
    });
    if (region.box) this.#edges(part(row, "edges"), region);
    else this.#upload(part(row, "upload"), region);
    this.list.append(row);
    return row;
  }

  /** @param {HTMLElement} place @param {Region} region */
  #edges(place, region) {
    place.hidden = false;
    EDGES.forEach((name, edge) => {
      const label = copyOf("place-row");
      const field = /** @type {HTMLInputElement} */ (label.querySelector("input"));
      part(label, "", "span").textContent = name;
      field.addEventListener("change", () => {
        if (!region.box || !field.value) return;
        const box = /** @type {import("./regions.js").Box} */ ([...region.box]);
        box[edge] = Number(field.value) / 100;
        this.regions.place(region, box);
      });
      place.append(label);
    });
  }

  /** @param {HTMLElement} place @param {Region} region */
  #upload(place, region) {
    place.hidden = false;
    const field = /** @type {HTMLInputElement} */ (place.querySelector("input"));
    field.addEventListener("change", () => {
      const file = field.files?.[0];
      if (file) region.mask?.read(file).then(() => this.#show());
      field.value = "";
    });
  }

  #show() {
    for (const [region, row] of this.#rows) {
      row.classList.toggle("chosen", region === this.regions.chosen);
      part(row, "choose").setAttribute("aria-pressed", String(region === this.regions.chosen));
      part(row, "where").textContent = region.box ? `Box: ${region.where}` : "Mask: paint it on the layout";
      const prompt = /** @type {HTMLInputElement} */ (part(row, "prompt"));
      if (prompt.value !== region.prompt) prompt.value = region.prompt;
      const fields = /** @type {NodeListOf<HTMLInputElement>} */ (part(row, "edges").querySelectorAll("input"));
      fields.forEach((field, edge) => {
        if (region.box && field !== document.activeElement) field.value = String(Math.round(region.box[edge] * 100));
      });
    }
  }
}

/** What a template of the page holds, anew. @param {string} id @returns {HTMLElement} */
export function copyOf(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  const made = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  return /** @type {HTMLElement} */ (made.firstElementChild);
}

/** @param {HTMLElement} whole @param {string} name @param {string} [where] @returns {HTMLElement} */
export function part(whole, name, where = `[data-part="${name}"]`) {
  const found = /** @type {HTMLElement | null} */ (whole.querySelector(where));
  if (!found) throw new Error(`no part ${name}`);
  return found;
}
