// @ts-check
// The layout as one sees it: boxes are drawn, moved and resized, masks and sketches painted.

import { LEAST, within } from "./regions.js";

/** @typedef {import("./regions.js").Box} Box */
/** @typedef {import("./regions.js").Region} Region */
/** @typedef {import("./regions.js").Regions} Regions */
/** @typedef {import("./layers.js").Layer} Layer */
/** @typedef {[number, number]} Point */
/** @typedef {(to: Point) => void} Gesture */

const STEP = 0.02;
const FAR = 0.1;
const CORNERS = ["nw", "ne", "sw", "se"];
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Stage {
  /** @type {Map<Region, HTMLElement>} */
  #boxes = new Map();
  /** @type {() => Layer | null} What a brush paints on now. */
  target = () => null;
  tool = "box";
  brush = 0.04;

  /**
   * @param {HTMLElement} element
   * @param {Regions} regions
   */
  constructor(element, regions) {
    this.element = element;
    this.regions = regions;
    regions.addEventListener("changed", () => this.#renew());
    for (const what of ["chosen", "placed", "said"]) regions.addEventListener(what, () => this.#show());
    element.addEventListener("pointerdown", (event) => this.#press(event));
  }

  /** @param {string} tool */
  use(tool) {
    this.tool = tool;
    this.element.classList.toggle("painting", tool !== "box");
  }

  /** Has the proportions of the picture. @param {number} width @param {number} height */
  shape(width, height) {
    this.element.style.aspectRatio = `${width} / ${height}`;
    this.element.classList.toggle("upright", height > width);
  }

  /** Puts a canvas over the backdrop. @param {Layer} layer @param {string} look */
  cover(layer, look) {
    layer.canvas.className = `layer ${look}`;
    this.element.querySelector(".hint")?.before(layer.canvas);
  }

  /** @param {{clientX: number, clientY: number}} event @returns {Point} as fractions */
  place({ clientX, clientY }) {
    const edges = this.element.getBoundingClientRect();
    const x = (clientX - edges.left - this.element.clientLeft) / this.element.clientWidth;
    const y = (clientY - edges.top - this.element.clientTop) / this.element.clientHeight;
    return [Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y))];
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    const gesture = this.#begin(event, this.place(event));
    if (!gesture) return;
    this.element.setPointerCapture(event.pointerId);
    const over = new AbortController();
    const { signal } = over;
    this.element.addEventListener("pointermove", (move) => gesture(this.place(move)), { signal });
    for (const end of ["pointerup", "pointercancel"]) {
      this.element.addEventListener(end, () => over.abort(), { signal });
    }
  }

  /** @param {PointerEvent} event @param {Point} from @returns {Gesture | null} */
  #begin(event, from) {
    const layer = this.target();
    if (this.tool !== "box") return layer && this.#paint(layer, from);
    const pressed = /** @type {HTMLElement} */ (event.target);
    for (const [region, element] of this.#boxes) {
      if (!region.box || !element.contains(pressed)) continue;
      this.regions.choose(region);
      element.focus();
      return this.#drag(region, region.box, from, pressed.dataset.corner ?? "");
    }
    return this.#draw(from);
  }

  /** @param {Region} region @param {Box} box @param {Point} from @param {string} corner @returns {Gesture} */
  #drag(region, [left, top, right, bottom], from, corner) {
    if (!corner) return ([x, y]) => this.#move(region, [left, top, right, bottom], [x - from[0], y - from[1]]);
    return ([x, y]) => {
      const [x0, x1] = corner.includes("w") ? [Math.min(x, right - LEAST), right] : [left, Math.max(x, left + LEAST)];
      const [y0, y1] = corner.includes("n") ? [Math.min(y, bottom - LEAST), bottom] : [top, Math.max(y, top + LEAST)];
      this.regions.place(region, [x0, y0, x1, y1]);
    };
  }

  /** @param {Region} region @param {Box} box @param {Point} by */
  #move(region, [left, top, right, bottom], [dx, dy]) {
    const x = Math.min(1 - right, Math.max(-left, dx));
    const y = Math.min(1 - bottom, Math.max(-top, dy));
    this.regions.place(region, [left + x, top + y, right + x, bottom + y]);
  }

  /** @param {Point} from @returns {Gesture} */
  #draw(from) {
    /** @type {Region | null} */
    let region = null;
    return (to) => {
      const far = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])) >= LEAST;
      if (!region && !far) return; // a click draws nothing
      region ??= this.regions.add(within([...from, ...to]));
      if (region) this.regions.place(region, [...from, ...to]);
    };
  }

  /** @param {Layer} layer @param {Point} from @returns {Gesture} */
  #paint(layer, from) {
    let last = from;
    const erases = this.tool === "eraser";
    layer.stroke(from, from, this.brush, erases);
    return (to) => {
      layer.stroke(last, to, this.brush, erases);
      last = to;
    };
  }

  /** @param {KeyboardEvent} event @param {Region} region */
  #key(event, region) {
    const arrow = ARROWS[event.key];
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.regions.remove(region);
      (this.#boxes.get(/** @type {Region} */ (this.regions.chosen)) ?? document.getElementById("add-box"))?.focus();
    } else if (arrow && region.box) {
      event.preventDefault();
      const step = event.ctrlKey || event.altKey ? FAR : STEP;
      const [left, top, right, bottom] = region.box;
      const by = /** @type {Point} */ (arrow.map((way) => way * step));
      if (event.shiftKey) {
        this.regions.place(region, [left, top, Math.max(left + LEAST, right + by[0]), Math.max(top + LEAST, bottom + by[1])]);
      } else this.#move(region, region.box, by);
    }
  }

  #renew() {
    for (const [region, element] of this.#boxes) {
      if (this.regions.all.includes(region)) continue;
      element.remove();
      this.#boxes.delete(region);
    }
    for (const region of this.regions.all) {
      if (this.#boxes.has(region)) continue;
      this.#boxes.set(region, region.mask ? this.#covered(region.mask, region) : this.#boxed(region));
    }
    this.element.classList.toggle("used", this.regions.all.length > 0);
    this.#show();
  }

  /** @param {Layer} mask @param {Region} region */
  #covered(mask, region) {
    this.cover(mask, `mask ${region.hue}`);
    mask.tint(getComputedStyle(mask.canvas).getPropertyValue("--tint"));
    return mask.canvas;
  }

  /** @param {Region} region */
  #boxed(region) {
    const box = document.createElement("div");
    box.className = `box ${region.hue}`;
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-roledescription", "box");
    box.append(document.createElement("span"), ...CORNERS.map((corner) => {
      const handle = document.createElement("i");
      handle.dataset.corner = corner;
      return handle;
    }));
    box.addEventListener("keydown", (event) => this.#key(event, region));
    box.addEventListener("focus", () => this.regions.choose(region));
    this.element.append(box);
    return box;
  }

  #show() {
    for (const [region, element] of this.#boxes) {
      element.classList.toggle("chosen", region === this.regions.chosen);
      if (!region.box) continue;
      const [left, top, right, bottom] = region.box;
      element.style.inset = [top, 1 - right, 1 - bottom, left].map((edge) => `${edge * 100}%`).join(" ");
      element.setAttribute("aria-label", `Region ${region.number}, ${region.prompt || "empty"}, ${region.where}`);
      const words = element.querySelector("span");
      if (words) words.textContent = `${region.number} ${region.prompt}`;
    }
  }
}
