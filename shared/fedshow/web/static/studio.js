// @ts-check
// The studio: what its parts tell each other.

import { carriedBy } from "./carried.js";
import { complete } from "./completing.js";
import { Conditions } from "./conditions.js";
import { dragCards, naming } from "./dragging.js";
import { Drawn } from "./drawn.js";
import { alsoSaid } from "./kept.js";
import { Layer } from "./layers.js";
import { ask, order, own } from "./ordering.js";
import { RecipeForm, field } from "./recipe-form.js";
import { RegionList } from "./region-list.js";
import { replacePart } from "./replacing.js";
import { Regions, within } from "./regions.js";
import { Stage } from "./stage.js";

const EARLIER = 12;
const SEEDS = 2 ** 31;
const PAUSE_MILLISECONDS = 200;

/** @param {HTMLFormElement} form */
function open(form) {
  const regions = new Regions(Number(form.dataset.regions));
  const conditions = new Conditions(document.getElementById("conditions"), Number(form.dataset.conditions));
  const stage = new Stage(element("stage"), regions);
  const list = new RegionList(element("regions"), regions);
  const recipes = new RecipeForm(regions, conditions);
  const drawn = new Drawn(element("drawn"), element("said"), (path) =>
    fetch(path).then((answer) => answer.blob()).then(reopen).catch(complain));
  const parts = { regions, conditions, stage, list, recipes };

  /** @param {Blob} file */
  async function reopen(file) {
    complain(null);
    const { recipe, release, began } = await carriedBy(file);
    const picture = await createImageBitmap(file);
    await recipes.fill(recipe, [picture.width, picture.height]);
    recipes.picture = file;
    showPicture(picture);
    const here = release && [...element("release").children].some((one) => one.getAttribute("value") === release);
    if (here) chooseRelease(release);
    const also = alsoSaid(recipes.kept, regions.all, conditions.all);
    tellKept(also, release && !here ? release : null, began);
    stage.shape(...recipes.size);
    regions.choose(null);
    scrollTo({ top: 0 });
  }

  wireLayout(parts);
  wireTools(parts);
  wireTray(parts);
  field("reopen").addEventListener("change", () => {
    const file = field("reopen").files?.[0];
    if (file) reopen(file).catch(complain);
    field("reopen").value = "";
  });
  element("another").addEventListener("click", () => (field("seed").value = String(Math.floor(Math.random() * SEEDS))));
  element("anew").addEventListener("click", () => location.assign(location.pathname));
  form.addEventListener("keydown", keepFromDrawing);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    complain(null);
    draw(recipes, drawn).catch(complain);
  });
  showEarlier(drawn).catch(complain);
}

/** Enter in a field takes what was typed there; pictures are ordered in prompts alone. @param {KeyboardEvent} event */
function keepFromDrawing(event) {
  const { target, key, isComposing } = event;
  if (key !== "Enter" || isComposing || !(target instanceof HTMLInputElement) || "completes" in target.dataset) return;
  if (target.type === "file") return; // it opens what chooses one
  event.preventDefault();
  target.dispatchEvent(new Event("change", { bubbles: true }));
}

/** @typedef {{regions: Regions, conditions: Conditions, stage: Stage, list: RegionList, recipes: RecipeForm}} Parts */

/** What is chosen decides what the pointer does. @param {Parts} parts */
function wireLayout({ regions, conditions, stage, recipes }) {
  regions.addEventListener("chosen", () => {
    if (!regions.chosen) return;
    conditions.choose(null);
    useTool(stage, regions.chosen.mask ? "brush" : "box");
  });
  conditions.addEventListener("chosen", () => {
    if (!conditions.chosen) return;
    regions.choose(null);
    useTool(stage, "brush");
  });
  conditions.addEventListener("changed", (event) => stage.cover(/** @type {CustomEvent} */ (event).detail, "guide"));
  conditions.addEventListener("fault", (event) => complain(/** @type {CustomEvent} */ (event).detail));
  stage.target = () => {
    const chosen = conditions.chosen?.layer ?? regions.chosen?.mask;
    return chosen ?? (stage.tool === "brush" ? (regions.add(new Layer(...recipes.size, "mask"))?.mask ?? null) : null);
  };
  for (const id of ["size-width", "size-height"]) {
    field(id).addEventListener("change", () => {
      recipes.resize();
      stage.shape(...recipes.size);
    });
  }
  stage.shape(...recipes.size);
}

/** @param {Parts} parts */
function wireTools({ regions, conditions, stage, list, recipes }) {
  for (const choice of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[name=tool]"))) {
    choice.addEventListener("change", () => useTool(stage, choice.value));
  }
  field("width").addEventListener("input", () => (stage.brush = Number(field("width").value) / 100));
  element("add-box").addEventListener("click", () => {
    const region = regions.add(regions.freePlace);
    if (region) list.focus(region);
  });
  element("add-mask").addEventListener("click", () => {
    const region = regions.add(new Layer(...recipes.size, "mask"));
    if (region) list.focus(region);
  });
  document.getElementById("add-condition")?.addEventListener("click", () => {
    const [kind, ...name] = field("offered").value.split(" ");
    conditions.add(kind, name.join(" "), recipes.size);
  });
}

/** Concepts of the release: found, dropped, pressed, completed. @param {Parts} parts */
function wireTray(parts) {
  const { regions, stage, list } = parts;
  /** @type {readonly string[]} */
  let names = [];
  let timer = 0;

  const renew = () => {
    const url = new URL(location.href);
    url.search = new URLSearchParams({ release: field("release").value, find: field("find").value }).toString();
    return replacePart(url, "tray").catch(complain);
  };
  const offerAnew = complete(element("names"), () => names);
  const learn = async () => {
    names = (await ask(`/api/releases/${field("release").value}`)).concepts;
    offerAnew();
  };
  field("find").addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(renew, PAUSE_MILLISECONDS);
  });
  field("find").addEventListener("keydown", ({ key, isComposing }) => {
    if (key !== "Enter" || isComposing) return;
    clearTimeout(timer);
    renew();
  });
  field("release").addEventListener("change", () => Promise.all([renew(), learn()]).catch(complain));
  learn().catch(complain);

  /** @param {string} name @param {{clientX: number, clientY: number}} where */
  const drop = (name, where) => {
    const under = document.elementFromPoint(where.clientX, where.clientY);
    const row = list.at(under);
    if (row) return regions.say(row, naming(row.prompt, name));
    if (under?.closest("#prompt, #negative")) return put(/** @type {HTMLInputElement} */ (under), name);
    if (!under?.closest("#stage")) return;
    const [x, y] = stage.place(where);
    const region = regions.at(x, y) ?? regions.add(within([x - 0.25, y - 0.4, x + 0.25, y + 0.4]));
    if (!region) return;
    regions.say(region, naming(region.prompt, name));
    regions.choose(region);
  };
  dragCards(element("tray"), drop, (name) => {
    const { chosen } = regions;
    if (chosen) regions.say(chosen, naming(chosen.prompt, name));
    else put(field("prompt"), name);
  });
}

/** @param {HTMLInputElement} where @param {string} name */
function put(where, name) {
  where.value = naming(where.value, name);
}

/** @param {Stage} stage @param {string} tool */
function useTool(stage, tool) {
  stage.use(tool);
  element("brush-size").hidden = tool === "box";
  const choice = /** @type {HTMLInputElement | null} */ (document.querySelector(`[name=tool][value=${tool}]`));
  if (choice) choice.checked = true;
}

/** Orders the pictures, of two releases from the same seed. @param {RecipeForm} recipes @param {Drawn} drawn */
async function draw(recipes, drawn) {
  const recipe = await recipes.read();
  const releases = [...new Set([field("release").value, field("other").value].filter(Boolean))];
  const words = [recipe.prompt, ...recipe.regions.map((/** @type {any} */ one) => one.prompt)].join("; ");
  const [first, ...others] = await Promise.allSettled(releases.map((release) => order(release, recipe)));
  if (first.status === "rejected" && others.every((one) => one.status === "rejected")) throw first.reason;
  const row = drawn.row();
  [first, ...others].forEach((answer, number) => {
    if (answer.status === "fulfilled") drawn.show(row, answer.value, `seed ${recipe.seed}`, words);
    else drawn.refuse(row, releases[number], answer.reason);
  });
  element("pictures-title").focus({ preventScroll: true });
  element("pictures-title").scrollIntoView({ block: "start" });
}

/** What was drawn before. @param {Drawn} drawn */
async function showEarlier(drawn) {
  const found = (await own()).filter(({ id, state }) => !drawn.shown.has(id) && state !== "failed" && state !== "cancelled");
  for (const drawing of found.slice(0, EARLIER)) {
    const when = new Date(drawing.created).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    drawn.show(drawn.row(true), drawing, when, `Drawn ${when}`);
  }
}

/** With all that hangs on it: cards, and names that complete. @param {string} release */
function chooseRelease(release) {
  if (field("release").value === release) return;
  field("release").value = release;
  field("release").dispatchEvent(new Event("change"));
}

/** @param {ImageBitmap} picture */
function showPicture(picture) {
  const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector("#stage .backdrop"));
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
  canvas.classList.toggle("tiny", picture.width < 256);
  element("stage").classList.add("used");
  element("begin").hidden = false;
}

/**
 * Says what of a reopened picture no field shows.
 * @param {string} also
 * @param {string | null} gone the release that it was drawn with, when it is not here
 * @param {boolean} began
 */
function tellKept(also, gone, began) {
  const said = ["This picture's recipe is filled in."];
  if (also) said.push(`It also says ${also}.`);
  if (gone) said.push(`It was drawn with release ${gone.slice(0, 8)}, which is not here.`);
  if (began) said.push("It began with a picture, which it does not carry.");
  element("kept").textContent = said.join(" ");
  element("kept").hidden = false;
}

/** @param {unknown} error null: nothing is wrong */
function complain(error) {
  const fault = element("fault");
  fault.hidden = !error;
  fault.textContent = error instanceof Error ? error.message : String(error ?? "");
}

/** @param {string} id @returns {HTMLElement} */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id}`);
  return found;
}

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("studio"));
if (form) open(form);
