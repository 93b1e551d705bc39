// @ts-check
// What a reopened picture's recipe says and no field shows.

/** What these are where nothing is said, and so not worth telling. @type {Record<string, unknown>} */
const UNSAID = { scale: 1, separation: 0, layout: 0, weight: 1, feather: 0, start: 0, end: 1 };

/**
 * @param {Record<string, unknown>} kept of the whole picture
 * @param {{prompt: string, kept: Record<string, unknown>}[]} regions
 * @param {{name: string, kept: Record<string, unknown>}[]} conditions
 * @returns {string} empty when there is nothing to tell
 */
export function alsoSaid(kept, regions, conditions) {
  const parts = [
    told(kept),
    ...regions.map((one) => about(one.prompt, one.kept)),
    ...conditions.map((one) => about(one.name, one.kept)),
  ];
  return parts.filter(Boolean).join("; ");
}

/** @param {string} what @param {Record<string, unknown>} kept */
const about = (what, kept) => (told(kept) ? `of “${what}” ${told(kept)}` : "");

/** @param {Record<string, unknown>} kept @returns {string} */
function told({ controls, ...others }) {
  const weights = Object.entries(controls ?? {}).map(([name, weight]) => [`weight of ${name}`, weight]);
  const differing = Object.entries(others).filter(([name, value]) => (value ?? UNSAID[name]) !== UNSAID[name]);
  return [...differing, ...weights].map(([name, value]) => `${name} ${value === "" ? "empty" : value}`).join(", ");
}
