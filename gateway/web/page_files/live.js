// Keeps a page up to date: asks for it again every few seconds and changes only what differs, so that focus, scroll,
// open details and what is being typed stay as they are. Without scripts the pages work, and stand still.

const EVERY = 5000;
const state = document.getElementById("live");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status === 401) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    become(document.querySelector("main"), page.querySelector("main"));
    state.textContent = answer.ok ? "Live" : "The gateway answers with an error";
    state.className = answer.ok ? "state good" : "state bad";
  } catch {
    state.textContent = "The gateway does not answer";
    state.className = "state bad";
  }
}

if (document.querySelector("main[data-live]")) {
  state.hidden = false;
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
}

// Keys of the chosen team alone, and one press more for what changes something.
const team = document.querySelector("select[data-keys]");
if (team) {
  const keys = JSON.parse(team.dataset.keys);
  const list = document.getElementById("key");
  const choose = () => {
    const chosen = list.value;
    const names = keys[team.value] ?? [];
    list.replaceChildren(new Option("the first one", ""), ...names.map((name) => new Option(name, name)));
    list.value = names.includes(chosen) ? chosen : "";
  };
  team.addEventListener("change", choose);
  choose();
}
