// @ts-check
// Buttons with `data-copy`: pressing one copies the text of the element with that id.

const SHOWN_MILLISECONDS = 2000;

for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("button[data-copy]"))) {
  const words = button.textContent ?? "";
  button.hidden = false;
  button.addEventListener("click", () => {
    const text = document.getElementById(button.dataset.copy ?? "")?.textContent ?? "";
    navigator.clipboard.writeText(text).then(
      () => say("Copied"),
      () => say("Not allowed"),
    );
  });

  /** @param {string} answer */
  const say = (answer) => {
    button.textContent = answer;
    setTimeout(() => (button.textContent = words), SHOWN_MILLISECONDS);
  };
}
