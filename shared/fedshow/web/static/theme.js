// @ts-check
// The button that makes pages light or dark, whatever the browser prefers; the server reads the cookie.

const button = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

/** @returns {boolean} */
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
}

function show() {
  button.setAttribute("aria-pressed", String(isDark()));
  button.classList.toggle("dark", isDark());
}

button.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `fedshow-theme=${theme}; path=/; max-age=31536000; samesite=strict${secure}`;
  show();
});
prefersDark.addEventListener("change", show);
button.hidden = false;
show();
