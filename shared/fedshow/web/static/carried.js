// @ts-check
// The recipe that a picture carries in its PNG file; the file stays in this browser.

const CHUNK = "fedshow";
const MOST_BYTES = 32 * 2 ** 20;
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** @typedef {{recipe: Record<string, any>, release: string | null, began: boolean}} Carried */

/**
 * @param {Blob} file
 * @returns {Promise<Carried>} throws an Error that says why there is none
 */
export async function carriedBy(file) {
  if (file.size > MOST_BYTES) throw new Error("This file is larger than 32 MB.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (SIGNATURE.some((byte, at) => bytes[at] !== byte)) throw new Error("This is no PNG file.");
  const text = chunkOf(bytes);
  if (text === null) throw new Error("This picture carries no recipe: fedshow did not draw it, or it was edited.");
  const said = parsed(text);
  const recipe = said?.recipe;
  if (said?.format !== 1 || typeof recipe?.prompt !== "string") throw new Error("The recipe of this picture cannot be read.");
  if (!Number.isSafeInteger(recipe.seed ?? 0)) throw new Error("The seed of this picture is larger than browsers can count.");
  return { recipe, release: said.model?.release ?? null, began: "image_sha256" in said };
}

/** @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * The uncompressed international text chunk with our keyword (PNG specification, 11.3.3.4).
 * @param {Uint8Array} bytes
 * @returns {string | null}
 */
function chunkOf(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = SIGNATURE.length; at + 12 <= bytes.length; ) {
    const [begin, end] = [at + 8, at + 8 + view.getUint32(at)];
    const kind = String.fromCharCode(...bytes.subarray(at + 4, begin));
    if (kind === "iTXt" && end <= bytes.length) {
      const text = textOf(bytes.subarray(begin, end));
      if (text !== null) return text;
    }
    at = end + 4;
  }
  return null;
}

/** @param {Uint8Array} data @returns {string | null} */
function textOf(data) {
  const keyword = data.indexOf(0);
  const plain = data[keyword + 1] === 0;
  if (String.fromCharCode(...data.subarray(0, Math.min(keyword, 79))) !== CHUNK || !plain) return null;
  const language = data.indexOf(0, keyword + 3);
  const translated = data.indexOf(0, language + 1);
  return language < 0 || translated < 0 ? null : new TextDecoder().decode(data.subarray(translated + 1));
}
