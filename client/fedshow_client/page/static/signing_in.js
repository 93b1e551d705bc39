// @ts-check
// The address that signs in has the code after its #: out of the history with it, and into the form.

const form = /** @type {HTMLFormElement} */ (document.getElementById("sign-in"));
const code = location.hash.slice(1);

if (code) {
  history.replaceState(null, "", location.pathname);
  /** @type {HTMLInputElement} */ (document.getElementById("code")).value = code;
  form.requestSubmit();
}
