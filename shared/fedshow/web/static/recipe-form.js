// @ts-check
// The studio's form as a recipe, and a recipe as the form.

import { Layer, base64, fromBase64 } from "./layers.js";

/** @typedef {import("./regions.js").Regions} Regions */
/** @typedef {import("./conditions.js").Conditions} Conditions */
/** @typedef {Record<string, any>} Recipe */

/** Fields by what recipes call them; an empty one is not said. */
const TEXTS = { prompt: "prompt", negative: "negative", overlap: "overlap" };
const NUMBERS = {
  seed: "seed", steps: "steps", n: "n", width: "size-width", height: "size-height",
  guidance: "guidance", windows: "windows", presence: "presence",
};
const DEFAULTS = { negative: "", overlap: "average", seed: 0, steps: 20, n: 1, guidance: "", windows: 0, presence: 0 };
const OTHERS = ["regions", "conditions", "image", "strength"];

export class RecipeForm {
  /** @type {Recipe} What a reopened recipe says besides. */
  kept = {};
  /** @type {Blob | null} The picture on the layout. */
  picture = null;

  /**
   * @param {Regions} regions
   * @param {Conditions} conditions
   */
  constructor(regions, conditions) {
    this.regions = regions;
    this.conditions = conditions;
  }

  /** @returns {[number, number]} width and height */
  get size() {
    return [Number(field(NUMBERS.width).value) || 8, Number(field(NUMBERS.height).value) || 8];
  }

  /** @returns {Promise<Recipe>} */
  async read() {
    /** @type {Recipe} */
    const recipe = { ...this.kept };
    for (const [name, id] of Object.entries(TEXTS)) recipe[name] = field(id).value;
    for (const [name, id] of Object.entries(NUMBERS)) {
      if (field(id).value !== "") recipe[name] = Number(field(id).value);
    }
    recipe.regions = await Promise.all(this.regions.all.map(async ({ kept, prompt, box, mask }) =>
      ({ ...kept, prompt, ...(mask ? { mask: await mask.png() } : { box }) })));
    recipe.conditions = await this.conditions.documents();
    if (this.picture && field("begins").checked) {
      recipe.image = await base64(this.picture);
      recipe.strength = Number(field("strength").value);
    }
    return recipe;
  }

  /**
   * Fills everything in; what no field shows is kept.
   * @param {Recipe} recipe
   * @param {[number, number]} size of its picture
   */
  async fill(recipe, size) {
    const [width, height] = size;
    const whole = { ...DEFAULTS, ...recipe, width, height };
    const shown = { ...TEXTS, ...NUMBERS };
    for (const [name, id] of Object.entries(shown)) {
      field(id).value = String(/** @type {Recipe} */ (whole)[name] ?? "");
    }
    const known = [...Object.keys(shown), ...OTHERS];
    this.kept = Object.fromEntries(Object.entries(recipe).filter(([name]) => !known.includes(name)));
    field("begins").checked = false;
    field("strength").value = String(recipe.strength ?? 0.6);
    this.regions.clear();
    for (const said of recipe.regions ?? []) await this.#addRegion(said, size);
    await this.conditions.fill(recipe.conditions ?? [], size);
  }

  /** @param {Recipe} said @param {[number, number]} size */
  async #addRegion({ box, mask, prompt, ...kept }, size) {
    let area = box;
    if (mask) {
      area = new Layer(...size, "mask");
      await area.read(fromBase64(mask));
    }
    const region = this.regions.add(area, String(prompt));
    if (region) region.kept = kept;
  }

  /** Masks and sketches become as large as the picture. */
  resize() {
    const masks = this.regions.all.map((region) => region.mask);
    for (const layer of [...masks, ...this.conditions.all.map((one) => one.layer)]) layer?.resize(...this.size);
  }
}

/** @param {string} id @returns {HTMLInputElement} */
export function field(id) {
  return /** @type {HTMLInputElement} */ (document.getElementById(id));
}
