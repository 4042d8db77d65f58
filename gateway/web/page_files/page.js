// What the pages share. Runs before they are drawn.

// The choice of light or dark: the system's, until the button is pressed.
(() => {
  const root = document.documentElement;
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
      label();
    });
    label();
  });
})();

// Makes one piece of a page like another, and changes only what differs: focus, scroll and open details stay.

const OWN = new Set(["open"]); // attributes that are the reader's, not the server's

function sameKind(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.id === other.id;
}

function adopt(element, attributes) {
  for (const { name } of [...element.attributes]) {
    if (!OWN.has(name) && !attributes.getNamedItem(name)) element.removeAttribute(name);
  }
  for (const { name, value } of attributes) {
    if (!OWN.has(name) && element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
}

function become(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (!sameKind(old, fresh)) {
    old.replaceWith(fresh);
  } else if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
  } else {
    adopt(old, fresh.attributes);
    becomeChildren(old, fresh);
  }
}

// A child with a `data-key` keeps its node wherever it moves; the others are compared place by place.
function becomeChildren(old, fresh) {
  const keyed = new Map([...old.children].filter((each) => each.dataset.key).map((each) => [each.dataset.key, each]));
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = wanted.dataset?.key && keyed.get(wanted.dataset.key);
    if (known) {
      if (known === place) place = place.nextSibling;
      else old.insertBefore(known, place);
      become(known, wanted);
    } else if (place && !place.dataset?.key && !wanted.dataset?.key) {
      const next = place.nextSibling;
      become(place, wanted);
      place = next;
    } else {
      old.insertBefore(wanted, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
