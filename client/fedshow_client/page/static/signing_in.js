// @ts-check
// The address that signs in has the code after its #: out of the history with it, and into the form.

const form = /** @type {HTMLFormElement} */ (document.getElementById("sign-in"));
const field = /** @type {HTMLInputElement} */ (document.getElementById("code"));

function signIn() {
  const code = location.hash.slice(1);
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  field.value = code;
  form.requestSubmit();
}

addEventListener("hashchange", signIn); // the address was opened where this page was open already
signIn();
