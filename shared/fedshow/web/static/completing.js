// @ts-check
// Names of concepts complete as one types `<` in a field with `data-completes`.

const MOST = 8;
const BEGUN = /<([a-z0-9-]*)$/i;

/**
 * @param {HTMLElement} list an empty listbox of the page
 * @param {() => readonly string[]} names all there are
 * @returns {() => void} to be called when there are others: who types already is offered them
 */
export function complete(list, names) {
  /** @type {HTMLInputElement | HTMLTextAreaElement | null} */
  let field = null;
  let active = 0;

  const close = () => {
    list.hidden = true;
    field?.removeAttribute("aria-activedescendant");
    field = null;
  };

  const mark = () => {
    [...list.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === active)));
    list.children[active]?.scrollIntoView({ block: "nearest" });
    field?.setAttribute("aria-activedescendant", list.children[active]?.id ?? "");
  };

  /** @param {string} name */
  const take = (name) => {
    if (!field) return;
    const end = field.selectionStart ?? field.value.length;
    const begin = field.value.slice(0, end).replace(BEGUN, `<${name}>`);
    field.value = begin + field.value.slice(end).replace(/^[a-z0-9-]*>?/i, "");
    field.setSelectionRange(begin.length, begin.length);
    const taken = field;
    close();
    taken.dispatchEvent(new Event("input", { bubbles: true }));
  };

  /** @param {HTMLInputElement | HTMLTextAreaElement} where */
  const offer = (where) => {
    const begun = BEGUN.exec(where.value.slice(0, where.selectionStart ?? 0))?.[1]?.toLowerCase();
    const found = begun === undefined ? [] : fitting(names(), begun);
    if (!found.length) return close();
    field = where;
    active = 0;
    list.replaceChildren(...found.map((name, number) => option(name, number, take)));
    list.hidden = false;
    const edges = where.getBoundingClientRect();
    list.style.left = `${edges.left + scrollX}px`;
    list.style.top = `${edges.bottom + scrollY + 4}px`;
    where.setAttribute("aria-controls", list.id);
    mark();
  };

  /** @param {EventTarget | null} where */
  const offerIn = (where) => {
    if (where instanceof HTMLInputElement || where instanceof HTMLTextAreaElement) {
      if ("completes" in where.dataset) offer(where);
    }
  };

  document.addEventListener("input", ({ target }) => offerIn(target));
  document.addEventListener("focusout", close);
  document.addEventListener("keydown", (event) => {
    if (!field || event.isComposing) return;
    const number = list.children.length;
    if (event.key === "ArrowDown") active = (active + 1) % number;
    else if (event.key === "ArrowUp") active = (active + number - 1) % number;
    else if (event.key === "Enter" || event.key === "Tab") take(list.children[active].textContent ?? "");
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    mark();
  }, true);
  for (const one of document.querySelectorAll("[data-completes]")) one.setAttribute("aria-autocomplete", "list");
  return () => offerIn(document.activeElement);
}

/**
 * Names that begin so, then those that have it elsewhere.
 * @param {readonly string[]} names
 * @param {string} begun
 * @returns {string[]}
 */
export function fitting(names, begun) {
  const first = names.filter((name) => name.startsWith(begun));
  const others = names.filter((name) => !name.startsWith(begun) && name.includes(begun));
  return [...first, ...others].slice(0, MOST);
}

/** @param {string} name @param {number} number @param {(name: string) => void} take */
function option(name, number, take) {
  const made = document.createElement("li");
  made.id = `name-${number}`;
  made.setAttribute("role", "option");
  made.textContent = name;
  made.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the field stays the one that is typed in
    take(name);
  });
  return made;
}
