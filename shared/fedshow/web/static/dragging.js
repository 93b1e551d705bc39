// @ts-check
// Cards with `data-concept` are dragged with mouse or finger, or pressed.

const FAR_PIXELS = 6;

/**
 * @param {HTMLElement} tray
 * @param {(name: string, where: {clientX: number, clientY: number}) => void} drop
 * @param {(name: string) => void} press
 */
export function dragCards(tray, drop, press) {
  let dragged = false;

  tray.addEventListener("pointerdown", (event) => {
    const card = cardOf(event);
    if (!card || event.button !== 0) return;
    dragged = false;
    drag(card, event, (where) => {
      dragged = true;
      if (where) drop(card.dataset.concept ?? "", where);
    });
  });
  tray.addEventListener("click", (event) => {
    const card = cardOf(event);
    if (card && !dragged) press(card.dataset.concept ?? "");
    dragged = false;
  });
}

/** @param {Event} event @returns {HTMLElement | null} */
const cardOf = (event) => /** @type {HTMLElement} */ (event.target).closest("[data-concept]");

/**
 * @param {HTMLElement} card
 * @param {PointerEvent} from
 * @param {(where: PointerEvent | null) => void} end where it was let go, if anywhere
 */
function drag(card, from, end) {
  /** @type {HTMLElement | null} */
  let ghost = null;
  const over = new AbortController();
  const { signal } = over;
  /** @type {Element | null} */
  let below = null;

  /** @param {Element | null} target */
  const light = (target) => {
    if (target === below) return;
    below?.classList.remove("below");
    below = target;
    below?.classList.add("below");
  };
  const stop = () => {
    over.abort();
    ghost?.remove();
    light(null);
  };

  card.setPointerCapture(from.pointerId);
  card.addEventListener("pointermove", (event) => {
    const far = Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > FAR_PIXELS;
    if (!ghost && !far) return;
    ghost ??= ghostOf(card);
    ghost.style.transform = `translate(${event.clientX + 8}px, ${event.clientY + 8}px)`;
    const under = document.elementFromPoint(event.clientX, event.clientY);
    light(under?.closest(".box, .stage, .region, [data-completes]") ?? null);
  }, { signal });
  card.addEventListener("pointerup", (event) => {
    const moved = ghost !== null;
    stop();
    if (moved) end(event);
  }, { signal });
  card.addEventListener("pointercancel", () => {
    const moved = ghost !== null;
    stop();
    if (moved) end(null);
  }, { signal });
}

/** @param {HTMLElement} card */
function ghostOf(card) {
  const ghost = /** @type {HTMLElement} */ (card.cloneNode(true));
  ghost.classList.add("ghost");
  ghost.setAttribute("aria-hidden", "true");
  ghost.tabIndex = -1;
  document.body.append(ghost);
  return ghost;
}

/**
 * The text with the concept in it: instead of the one that it names, or behind.
 * @param {string} text
 * @param {string} name
 * @returns {string}
 */
export function naming(text, name) {
  if (!text.trim()) return `a <${name}>`;
  const other = /<[^<>\s]+>/;
  return other.test(text) ? text.replace(other, () => `<${name}>`) : `${text.trimEnd()} <${name}>`;
}
