// @ts-check
// The server that is chosen goes along as one walks through the folders.

const server = /** @type {HTMLSelectElement | null} */ (document.getElementById("server"));

function pass() {
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll(".places-in a"))) {
    const address = new URL(link.href);
    if (server) address.searchParams.set("server", server.value);
    link.href = address.href;
  }
}

server?.addEventListener("change", pass);
pass(); // a browser that goes back keeps what was chosen
