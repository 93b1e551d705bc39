// @ts-check
// The regions of a picture: a box or a mask each, and what to draw in it.

import { Layer } from "./layers.js";

/** @typedef {[number, number, number, number]} Box Left, top, right and bottom, as fractions. */

export const LEAST = 0.05;
/** @type {Box[]} */
const FIRST_PLACES = [[0, 0, 0.5, 1], [0.5, 0, 1, 1], [0.3, 0.2, 0.7, 1]];
const DIGITS = 1000;

export class Region {
  prompt = "";
  /** @type {Record<string, unknown>} What a reopened recipe says besides, and no field shows. */
  kept = {};

  /**
   * @param {number} number
   * @param {Box | Layer} area
   */
  constructor(number, area) {
    this.number = number;
    this.area = area;
  }

  /** @returns {Box | null} */
  get box() {
    return this.area instanceof Layer ? null : this.area;
  }

  /** @returns {Layer | null} */
  get mask() {
    return this.area instanceof Layer ? this.area : null;
  }

  /** @returns {string} */
  get hue() {
    return `tint-${(this.number - 1) % 6}`;
  }

  /** @returns {string} where it is, in words */
  get where() {
    if (!this.box) return "mask";
    const [left, top, right, bottom] = this.box.map((edge) => Math.round(edge * 100));
    return `left ${left} %, top ${top} %, right ${right} %, bottom ${bottom} %`;
  }

  /** @returns {boolean} whether there is anything to draw in */
  get blank() {
    return this.mask?.blank ?? false;
  }
}

/** Tells `changed` of regions that came and went, `chosen`, `placed` and `said` of one. */
export class Regions extends EventTarget {
  /** @type {Region[]} */
  all = [];
  /** @type {Region | null} */
  chosen = null;

  /** @param {number} most */
  constructor(most) {
    super();
    this.most = most;
  }

  /**
   * @param {Box | Layer} area as it is: what a recipe says is not rounded
   * @param {string} [prompt]
   * @returns {Region | null} null when there are as many as may be
   */
  add(area, prompt = "") {
    if (this.all.length >= this.most) return null;
    const taken = new Set(this.all.map((region) => region.number));
    let number = 1;
    while (taken.has(number)) number += 1;
    const region = new Region(number, area);
    region.prompt = prompt;
    this.all.push(region);
    this.#tell("changed");
    this.choose(region);
    return region;
  }

  /** @returns {Box} where a box goes that nobody has drawn */
  get freePlace() {
    return FIRST_PLACES[Math.min(this.all.length, FIRST_PLACES.length - 1)];
  }

  /** @param {Region} region */
  remove(region) {
    this.all = this.all.filter((one) => one !== region);
    this.#tell("changed");
    if (this.chosen === region) this.choose(this.all.at(-1) ?? null);
  }

  clear() {
    this.all = [];
    this.#tell("changed");
    this.choose(null);
  }

  /** @param {Region | null} region */
  choose(region) {
    this.chosen = region;
    this.#tell("chosen");
  }

  /**
   * @param {Region} region
   * @param {Box} box
   */
  place(region, box) {
    region.area = within(box);
    this.#tell("placed");
  }

  /**
   * @param {Region} region
   * @param {string} prompt
   */
  say(region, prompt) {
    region.prompt = prompt;
    this.#tell("said");
  }

  /**
   * The uppermost region at this place; of those that overlap the smallest.
   * @param {number} x
   * @param {number} y
   * @returns {Region | null}
   */
  at(x, y) {
    const here = this.all.filter(({ box, mask }) =>
      box ? box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3] : mask?.holds(x, y));
    here.sort((one, other) => size(one.box) - size(other.box));
    return here[0] ?? null;
  }

  /** @param {string} what */
  #tell(what) {
    this.dispatchEvent(new Event(what));
  }
}

/**
 * The box within the picture, and not too small to be seen.
 * @param {Box} box
 * @returns {Box}
 */
export function within([x0, y0, x1, y1]) {
  const [left, right] = span(x0, x1);
  const [top, bottom] = span(y0, y1);
  return [left, top, right, bottom];
}

/**
 * @param {number} from
 * @param {number} to
 * @returns {[number, number]}
 */
function span(from, to) {
  const [low, high] = [Math.max(0, Math.min(from, to)), Math.min(1, Math.max(from, to))];
  const end = Math.min(1, Math.max(high, low + LEAST));
  return [rounded(Math.min(low, end - LEAST)), rounded(end)];
}

/** @param {number} value */
const rounded = (value) => Math.round(value * DIGITS) / DIGITS;

/** @param {Box | null} box */
const size = (box) => (box ? (box[2] - box[0]) * (box[3] - box[1]) : 0);
