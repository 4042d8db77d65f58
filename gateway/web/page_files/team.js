// The team page: asks the gateway what any app could ask, with the key that was pasted, and shows it.
// The key is kept in this tab's session storage. What comes back is put in as text, never as HTML.

const Q = "/api/v1/ie/requestqueue/apikey";
const USAGE = "/gateway/v1/usage";
const EVERY = 10000;
const PAGE = 25;
const ENDED = { success: "good", failed: "bad", cancelled: "" };

const by = (id) => document.getElementById(id);
const base = document.querySelector('meta[name="gateway-url"]').content || location.origin;
let key = sessionStorage.getItem("key") ?? "";
let relays = false; // whether the team's files may be had through the gateway
const thumbnails = new Thumbnails();

function make(name, properties = {}, ...children) {
  const { data = {}, ...rest } = properties;
  const element = Object.assign(document.createElement(name), rest);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const get = (path) => fetch(path, { headers: { Authorization: `Bearer ${key}` }, cache: "no-store" });

async function ask(path) {
  const answer = await get(path);
  if (path === USAGE) relays = answer.headers.has("x-gateway-relay");
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({})); // a proxy in front may answer with a page of its own
  throw new Refused(answer.status, body.error ?? `The answer is ${answer.status} ${answer.statusText}`.trim());
}

// numbers and times

const whole = new Intl.NumberFormat("en");
const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const exact = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 });
const amount = (value, unit) => (unit === "USD" ? cents : whole).format(value);

function span(seconds) {
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

// limits

function gauge(limit) {
  const share = limit.limit > 0 ? Math.min(100, (100 * limit.used) / limit.limit) : 100;
  const level = limit.mode === "shadow" ? "shadow" : share >= 100 ? "full" : share >= 80 ? "high" : "";
  const window = limit.window === "at once" ? "at once" : `a ${limit.window}`;
  const words = [share >= 100 ? "Full" : `${amount(limit.remaining, limit.unit)} left`];
  if (limit.scope === "key") words.push("this key's own");
  if (limit.models.length) words.push(limit.models.join(", "));
  if (limit.mode === "shadow") words.push("only reports");
  if (limit.resets_at) words.push(`resets in ${span((Date.parse(limit.resets_at) - Date.now()) / 1000)}`);
  return make("div", { className: `gauge ${level}` },
    make("span", { textContent: limit.name }),
    make("span", { className: "of", textContent: `${amount(limit.used, limit.unit)} of ${amount(limit.limit, limit.unit)} ${limit.unit} ${window}` }),
    bar(share),
    make("small", { textContent: words.join(" · ") }));
}

function bar(share) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" })) svg.setAttribute(name, value);
  const rect = svg.appendChild(document.createElementNS(space, "rect"));
  rect.setAttribute("width", share.toFixed(2));
  rect.setAttribute("height", "1");
  return svg;
}

function showUsage(usage) {
  by("team").textContent = usage.team;
  by("who").textContent = `with the key ${usage.key}`;
  by("month-jobs").textContent = whole.format(usage.month.jobs);
  by("month-usd").textContent = cents.format(usage.month.usd);
  const models = Object.keys(usage.month.by_model).length;
  by("month-models").textContent = models === 1 ? "of one model" : `of ${models} models`;
  fill(by("gauges"), usage.limits.length ? usage.limits.map(gauge) : [make("p", { className: "empty", textContent: "Your team has no limits." })]);
}

function fill(parent, children) {
  const wanted = parent.cloneNode();
  wanted.append(...children);
  become(parent, wanted);
}

// jobs

// Results are wherever upstream puts them in the outcome. Links are https, but for a simulator on this machine.
const LINK = /^(https:\/\/|http:\/\/(127\.0\.0\.1|localhost)[:/])\S+$/;

function links(outcome) {
  const found = new Set();
  const look = (value, depth) => {
    if (typeof value === "string" && LINK.test(value)) found.add(value);
    else if (value && typeof value === "object" && depth < 5) Object.values(value).forEach((each) => look(each, depth + 1));
  };
  look(outcome, 0);
  return [...found].slice(0, 8);
}

function failure(outcome) {
  const error = outcome?.error;
  return typeof error === "string" ? error : typeof error?.message === "string" ? error.message : "";
}

function jobRow(job) {
  const results = make("td", { className: "words", data: { label: "Results" } });
  const urls = links(job.outcome);
  const picture = relays && job.status === "success" ? thumbnails.of(job.request_id, get, showListing) : "";
  if (picture) results.append(make("img", { className: "thumbnail", src: picture, alt: `What ${job.request_id} made` }));
  urls.forEach((url, number) => {
    const name = new URL(url).pathname.split("/").pop() || `result ${number + 1}`;
    results.append(make("a", { href: url, target: "_blank", rel: "noopener noreferrer", textContent: name }), " ");
  });
  if (!urls.length) results.append(make("span", { className: "soft", textContent: failure(job.outcome) || "–" }));
  const created = Number(job.created_at);
  return make("tr", { data: { key: job.request_id } },
    make("td", { className: "id mono", textContent: job.request_id }),
    make("td", { className: "words", textContent: job.model, data: { label: "Model" } }),
    make("td", { data: { label: "State" } }, make("span", { className: `state ${ENDED[job.status] ?? "live"}`, textContent: job.status })),
    make("td", { className: "number", textContent: created ? `${span(Date.now() / 1000 - created)} ago` : "–", data: { label: "Created" } }),
    results);
}

let listing = { requests: [] };

function showJobs(fresh) {
  listing = fresh;
  showListing();
}

function showListing() {
  const live = listing.requests.filter((job) => !(job.status in ENDED)).length;
  by("live-jobs").textContent = whole.format(live);
  by("live-of").textContent = `among your newest ${listing.requests.length}`;
  by("no-jobs").hidden = listing.requests.length > 0;
  by("jobs-box").hidden = listing.requests.length === 0;
  fill(by("job-rows"), listing.requests.map(jobRow));
}

// models

function price(detail) {
  const info = detail.price_info;
  return Number.isFinite(info?.price) ? `${exact.format(info.price / 1e6)} USD per ${info.unit || "job"}` : "not stated by GMI";
}

function range(parameter) {
  if (Array.isArray(parameter.options) && parameter.options.length) {
    return parameter.options.map((each) => (typeof each === "object" ? JSON.stringify(each) : String(each))).join(", ");
  }
  const ends = [parameter.min_value, parameter.max_value].map((each) => each ?? "");
  return ends.some((each) => each !== "") ? `${ends[0]} to ${ends[1]}` : "";
}

function parametersTable(parameters) {
  const rows = parameters.map((each) => make("tr", {},
    make("th", { scope: "row" }, make("code", { textContent: each.name }), make("small", { className: "soft", textContent: each.required ? "required" : "" })),
    make("td", { textContent: each.type ?? "", data: { label: "Type" } }),
    make("td", { className: "words", textContent: range(each), data: { label: "May be" } }),
    make("td", { textContent: each.default_value == null ? "" : String(each.default_value), data: { label: "Default" } }),
    make("td", { className: "words", textContent: each.description ?? "", data: { label: "Meaning" } })));
  const heads = ["Parameter", "Type", "May be", "Default", "Meaning"].map((text) => make("th", { scope: "col", textContent: text }));
  return make("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: "Parameters" },
    make("table", { className: "stack" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}

async function open(details, model) {
  if (!details.open || details.dataset.asked) return;
  details.dataset.asked = "yes";
  const box = details.appendChild(make("div", {}, make("p", { className: "soft", textContent: "Asking…" })));
  try {
    const detail = await ask(`${Q}/models/${encodeURIComponent(model)}`);
    const facts = { "List price": price(detail), "In GMI's words": detail.pricing_details };
    const parts = [make("dl", { className: "facts" }, ...Object.entries(facts).flatMap(([name, text]) =>
      text ? [make("dt", { textContent: name }), make("dd", { textContent: text })] : []))];
    if (detail.brief_description) parts.unshift(make("p", { textContent: detail.brief_description }));
    if (Array.isArray(detail.parameters) && detail.parameters.length) parts.push(parametersTable(detail.parameters));
    box.replaceChildren(...parts);
  } catch (error) {
    delete details.dataset.asked;
    box.remove();
    tell(error);
  }
}

function showModels(ids) {
  by("models-count").textContent = `${whole.format(ids.length)} your team may use`;
  by("model-list").replaceChildren(...ids.map((model) => {
    const details = make("details", {}, make("summary", {}, make("code", { textContent: model })));
    details.addEventListener("toggle", () => open(details, model));
    return make("li", { data: { model: model.toLowerCase() } }, details);
  }));
  find();
}

function find() {
  const wanted = by("find").value.trim().toLowerCase();
  const items = [...by("model-list").children];
  for (const item of items) item.hidden = !item.dataset.model.includes(wanted);
  const none = items.every((item) => item.hidden);
  by("no-models").hidden = !none;
  by("no-models").textContent = items.length ? "No model is called so." : "Your team may use no model that upstream lists now.";
}

// calls

const snippets = {
  curl: () => `Q=${base}${Q}
job=$(curl -s "$Q/requests" -H "Authorization: Bearer $GATEWAY_KEY" -H "Content-Type: application/json" \\
        -d '{"model": "Veo3", "payload": {"prompt": "a lighthouse at dawn"}}')
while echo "$job" | jq -e '.status and (.status | IN("success", "failed", "cancelled") | not)' > /dev/null; do
  sleep 1
  job=$(curl -s "$Q/requests/$(echo "$job" | jq -r .request_id)" -H "Authorization: Bearer $GATEWAY_KEY")
done
echo "$job" | jq '.outcome // .' # a refusal has no outcome, and says why`,
  python: () => `import os, time, uuid
import httpx

gmi = httpx.Client(
    base_url="${base}${Q}",
    headers={"Authorization": f"Bearer {os.environ['GATEWAY_KEY']}"},
    timeout=310,
)
answer = gmi.post(
    "/requests",
    json={"model": "Veo3", "payload": {"prompt": "a lighthouse at dawn"}},
    headers={"Idempotency-Key": str(uuid.uuid4())},
)
if answer.is_error:
    raise SystemExit(f"{answer.status_code} {answer.text}")
record = answer.json()
while record["status"] not in ("success", "failed", "cancelled"):
    time.sleep(1)
    record = gmi.get(f"/requests/{record['request_id']}").raise_for_status().json()
print(record["outcome"])`,
  javascript: () => `const gmi = "${base}${Q}";
const headers = { Authorization: \`Bearer \${process.env.GATEWAY_KEY}\`, "Content-Type": "application/json" };

const answer = await fetch(\`\${gmi}/requests\`, {
  method: "POST",
  headers: { ...headers, "Idempotency-Key": crypto.randomUUID() },
  body: JSON.stringify({ model: "Veo3", payload: { prompt: "a lighthouse at dawn" } }),
});

async function read(answer) {
  if (!answer.ok) throw new Error(\`\${answer.status} \${await answer.text()}\`);
  return answer.json();
}

let record = await read(answer);
while (!["success", "failed", "cancelled"].includes(record.status)) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  record = await read(await fetch(\`\${gmi}/requests/\${record.request_id}\`, { headers }));
}
console.log(record.outcome);`,
};

const tabs = [...document.querySelectorAll('[role="tab"]')];

function choose(tab) {
  for (const each of tabs) {
    each.setAttribute("aria-selected", String(each === tab));
    each.tabIndex = each === tab ? 0 : -1;
  }
  by("snippet").setAttribute("aria-labelledby", tab.id);
  by("code").textContent = snippets[tab.id.replace("tab-", "")]();
}

tabs.forEach((tab, number) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(number + step + tabs.length) % tabs.length];
    next.focus();
    choose(next);
  });
});
choose(tabs[0]);

by("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(by("code").textContent);
    by("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(by("code"));
    by("copy").textContent = "Press Ctrl+C";
  }
  setTimeout(() => (by("copy").textContent = "Copy"), 2000);
});

// the key, and keeping up to date

function show(signed) {
  by("ask").hidden = signed;
  by("signed").hidden = !signed;
  for (const element of document.querySelectorAll("[data-signed]")) element.hidden = !signed;
}

function forget(message = "") {
  key = "";
  sessionStorage.removeItem("key");
  thumbnails.forget();
  by("key").value = "";
  by("wrong").textContent = message;
  by("wrong").hidden = !message;
  by("fresh").hidden = true;
  for (const id of ["gauges", "job-rows", "model-list", "team", "who"]) by(id).replaceChildren();
  show(false);
  by("key").focus();
}

function tell(error) {
  if (error.status === 401) return forget(error.message);
  const place = by(by("signed").hidden ? "wrong" : "trouble"); // before the first answer nothing else is to be seen
  place.textContent = error instanceof Refused ? error.message : "The gateway does not answer.";
  place.hidden = false;
  by("fresh").textContent = "Not up to date";
  by("fresh").className = "state bad";
}

// What a key may not ask for (its scopes are narrower) leaves its part empty and the others whole.
async function part(path, render) {
  try {
    render(await ask(path));
  } catch (error) {
    if (error.status !== 403) throw error;
  }
}

async function refresh() {
  const asked = key;
  if (!asked || document.hidden) return;
  try {
    const usage = await ask(USAGE);
    if (key !== asked) return;
    showUsage(usage);
    show(true);
    await part(`${Q}/requests?limit=${PAGE}`, showJobs);
    by("trouble").hidden = true;
    by("fresh").textContent = "Live";
    by("fresh").className = "state good";
    by("fresh").hidden = false;
  } catch (error) {
    tell(error);
  }
}

async function start() {
  by("wrong").hidden = true;
  await refresh();
  if (!key) return;
  try {
    await part(`${Q}/models`, (listing) => showModels(listing.model_ids));
  } catch (error) {
    tell(error);
  }
}

by("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  key = by("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) return forget("A team key has neither spaces nor other letters than ASCII's.");
  sessionStorage.setItem("key", key);
  start();
});
by("forget").addEventListener("click", () => forget());
by("find").addEventListener("input", find);
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, EVERY);
if (key) start();
