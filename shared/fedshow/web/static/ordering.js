// @ts-check
// Drawings ordered of this server: queued, followed, cancelled.

import { proof } from "./replacing.js";

/**
 * @typedef {object} Drawing
 * @property {string} id
 * @property {string} release
 * @property {"queued" | "drawing" | "done" | "failed" | "cancelled"} state
 * @property {string} reason
 * @property {number} ahead
 * @property {number} done_steps
 * @property {number} all_steps
 * @property {string} created
 * @property {string[]} pictures
 */

const DRAWINGS = "/api/drawings";
const LOOK_MILLISECONDS = 400;
const QUEUED_LOOK_MILLISECONDS = 1000;
const WAIT_MILLISECONDS = 3000;

/** @param {Drawing} drawing */
export const ended = ({ state }) => state !== "queued" && state !== "drawing";

/**
 * @param {string} path
 * @param {RequestInit} [how]
 * @returns {Promise<any>} what the server says; throws an Error with its reason
 */
export async function ask(path, how = {}) {
  const headers = { "content-type": "application/json", "x-fedshow-csrf": proof() };
  const answer = await fetch(path, { credentials: "same-origin", headers, ...how });
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => ({}));
  throw new Refused(said.message || `the server answered with ${answer.status}`, answer);
}

/** The server answered, and said no. */
export class Refused extends Error {
  /** @param {string} message @param {Response} answer */
  constructor(message, { status, headers }) {
    super(message);
    this.passing = status === 429 || status >= 500; // it may say otherwise when it is asked again
    this.waitMilliseconds = Math.max(WAIT_MILLISECONDS, 1000 * (Number(headers.get("retry-after")) || 0));
  }
}

/**
 * @param {string} release
 * @param {object} recipe
 * @returns {Promise<Drawing>}
 */
export const order = (release, recipe) =>
  ask(DRAWINGS, { method: "POST", body: JSON.stringify({ release, recipe }) });

/** @param {Drawing} drawing @returns {Promise<Drawing>} */
export const cancel = ({ id }) => ask(`${DRAWINGS}/${id}`, { method: "DELETE" });

/** @returns {Promise<Drawing[]>} one's own, newest first */
export const own = () => ask(DRAWINGS);

/**
 * Tells how far it is until it has ended; while the server does not answer, it is asked again.
 * @param {Drawing} drawing
 * @param {(drawing: Drawing | null) => void} tell null: no answer just now
 */
export async function follow(drawing, tell) {
  for (let last = drawing; !ended(last); ) {
    await pause(last.state === "queued" ? QUEUED_LOOK_MILLISECONDS : LOOK_MILLISECONDS);
    let wait = 0;
    const now = await ask(`${DRAWINGS}/${drawing.id}`).catch((error) => {
      if (error instanceof Refused && !error.passing) throw error;
      wait = error instanceof Refused ? error.waitMilliseconds : WAIT_MILLISECONDS;
      return null;
    });
    tell(now);
    last = now ?? last;
    if (wait) await pause(wait);
  }
}

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
