// @ts-check
// What is painted over the picture: masks of regions, sketches and poses.

const FINE = 512;
const OPAQUE = 255;
const INSIDE = 128;
/** @typedef {"mask" | "guide"} Use A mask is white where it counts; a guide is a picture with black behind. */

export class Layer {
  canvas = document.createElement("canvas");
  blank = true;
  /** @type {string | null} The file that it was read from, while nobody has painted on it. */
  #file = null;
  #ink = "#fff";

  /**
   * @param {number} width of the picture, in pixels
   * @param {number} height
   * @param {Use} use
   */
  constructor(width, height, use) {
    this.use = use;
    this.width = width;
    this.height = height;
    this.canvas.setAttribute("aria-hidden", "true");
    this.#fit();
  }

  #fit() {
    const times = Math.max(1, Math.ceil(FINE / Math.max(this.width, this.height)));
    this.canvas.width = this.width * times;
    this.canvas.height = this.height * times;
  }

  get #pen() {
    const pen = this.canvas.getContext("2d", { willReadFrequently: true });
    if (!pen) throw new Error("this browser draws on no canvas");
    return pen;
  }

  /**
   * A line between two places, given as fractions.
   * @param {[number, number]} from
   * @param {[number, number]} to
   * @param {number} width as a fraction of the longer edge
   * @param {boolean} erases
   */
  stroke(from, to, width, erases) {
    const { width: w, height: h } = this.canvas;
    const pen = this.#pen;
    pen.globalCompositeOperation = erases ? "destination-out" : "source-over";
    pen.strokeStyle = this.#ink;
    pen.lineCap = "round";
    pen.lineWidth = Math.max(1, width * Math.max(w, h));
    pen.beginPath();
    pen.moveTo(from[0] * w, from[1] * h);
    pen.lineTo(to[0] * w, to[1] * h + 0.01); // a line of no length is not drawn
    pen.stroke();
    this.#file = null;
    this.blank = erases ? this.#isEmpty() : false;
  }

  /** Is painted, and shown, in this colour; the file is white all the same. @param {string} ink */
  tint(ink) {
    this.#ink = ink;
    fill(this.#pen, "source-in", ink);
  }

  clear() {
    this.#pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.#file = null;
    this.blank = true;
  }

  /**
   * Takes a picture in the place of what is there.
   * @param {Blob} file
   * @param {boolean} inked whether dark lines on white are meant
   */
  async read(file, inked = false) {
    const picture = await createImageBitmap(file);
    this.clear();
    const { width, height } = this.canvas;
    const pen = this.#pen;
    pen.globalCompositeOperation = "source-over";
    pen.imageSmoothingEnabled = picture.width > width;
    pen.drawImage(picture, 0, 0, width, height);
    if (this.use === "mask") {
      this.#lightToAlpha();
      this.tint(this.#ink);
    }
    const turned = inked && this.#turnIfLight();
    const fits = picture.width === this.width && picture.height === this.height;
    this.#file = fits && !turned ? await base64(file) : null;
    this.blank = this.#isEmpty();
  }

  /** Becomes as large as this; what is painted is stretched. @param {number} width @param {number} height */
  resize(width, height) {
    const before = document.createElement("canvas");
    before.width = this.canvas.width;
    before.height = this.canvas.height;
    before.getContext("2d")?.drawImage(this.canvas, 0, 0);
    [this.width, this.height, this.#file] = [width, height, null];
    this.#fit();
    this.#pen.drawImage(before, 0, 0, this.canvas.width, this.canvas.height);
  }

  /** Whether it is painted at this place. @param {number} x @param {number} y */
  holds(x, y) {
    const { width, height } = this.canvas;
    const [left, top] = [Math.min(width - 1, x * width), Math.min(height - 1, y * height)];
    return this.#pen.getImageData(Math.floor(left), Math.floor(top), 1, 1).data[3] >= INSIDE;
  }

  /** @returns {Promise<string>} a PNG file as large as the picture, in base64 */
  async png() {
    if (this.#file) return this.#file;
    const made = document.createElement("canvas");
    made.width = this.width;
    made.height = this.height;
    const pen = made.getContext("2d");
    if (pen) {
      pen.imageSmoothingQuality = "high"; // every pixel counts, not those in the middle
      pen.drawImage(this.canvas, 0, 0, made.width, made.height);
      if (this.use === "mask") fill(pen, "source-in", "#fff");
      fill(pen, "destination-over", "#000");
    }
    /** @type {Blob | null} */
    const file = await new Promise((done) => made.toBlob(done, "image/png"));
    if (!file) throw new Error("this browser writes no PNG files");
    return base64(file);
  }

  #isEmpty() {
    const { data } = this.#pen.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (let at = 3; at < data.length; at += 4) if (data[at] >= INSIDE) return false;
    return true;
  }

  #lightToAlpha() {
    this.#change((data, at) => {
      data[at + 3] = (Math.max(data[at], data[at + 1], data[at + 2]) * data[at + 3]) / OPAQUE;
      data.fill(OPAQUE, at, at + 3);
    });
  }

  /** Models read white lines on black; people draw black ones on white. */
  #turnIfLight() {
    const { data } = this.#pen.getImageData(0, 0, this.canvas.width, this.canvas.height);
    let light = 0;
    for (let at = 0; at < data.length; at += 4) light += data[at] * (data[at + 3] / OPAQUE);
    if (light / (data.length / 4) <= INSIDE) return false;
    this.#change((pixels, at) => {
      for (let colour = at; colour < at + 3; colour += 1) pixels[colour] = OPAQUE - pixels[colour];
    });
    return true;
  }

  /** @param {(data: Uint8ClampedArray, at: number) => void} change */
  #change(change) {
    const pen = this.#pen;
    const whole = pen.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (let at = 0; at < whole.data.length; at += 4) change(whole.data, at);
    pen.putImageData(whole, 0, 0);
  }
}

/** @param {CanvasRenderingContext2D} pen @param {GlobalCompositeOperation} how @param {string} colour */
function fill(pen, how, colour) {
  pen.globalCompositeOperation = how;
  pen.fillStyle = colour;
  pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
}

/**
 * @param {Blob} file
 * @returns {Promise<string>}
 */
export async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/**
 * @param {string} text
 * @returns {Blob}
 */
export function fromBase64(text) {
  return new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
}
