// Draws the stack's dashboards with Plotly. Text of others reaches the page as text only: no markup is made from it.
"use strict";

const REFRESH_MS = 30000;
const RETRY_MS = 1000;
const FEW = 10;
const COLOURS = ["#2f6fb0", "#d9822b", "#3a9a5b", "#b8423a", "#7d5fb2", "#8a6247", "#d16ba5", "#5f6b7a", "#a3a32b", "#2aa5b5"];
const SI = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const BINARY = [[2 ** 40, "Ti"], [2 ** 30, "Gi"], [2 ** 20, "Mi"], [2 ** 10, "Ki"], [1, ""]];
const TIMES = [[86400, " d"], [3600, " h"], [60, " min"], [1, " s"], [1e-3, " ms"], [1e-6, " µs"]];
// How Grafana's units are written: steps of size with their letters, and what follows.
const UNITS = {
  short: [SI, ""], reqps: [SI, "/s"], cps: [SI, "/s"], bytes: [BINARY, "B"], Bps: [BINARY, "B/s"], watt: [SI, "W"],
  hertz: [SI, "Hz"], s: [TIMES, ""], celsius: [[[1, ""]], " °C"], percentunit: [[[0.01, ""]], " %"],
};

const address = new URLSearchParams(location.search);
let pages = [];
let round = 0;

function element(name, text = "", classes = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = classes;
  return made;
}

async function ask(path, query = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// The step of a unit that suits a number, and what is written after it.
function stepOf(unit, size) {
  const [steps, suffix] = UNITS[unit] || UNITS.short;
  const [factor, letter] = steps.find(([limit]) => Math.abs(size) >= limit) || steps.find(([limit]) => limit === 1) || steps[0];
  return [factor, letter + suffix];
}

function written(value, unit) {
  if (value === null) return "–";
  const [factor, suffix] = stepOf(unit, value);
  const scaled = value / factor;
  const size = Math.abs(scaled);
  const digits = size >= 100 || Number.isInteger(scaled) ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4;
  return `${scaled.toFixed(digits)}${/^[a-zA-Zµ]/.test(suffix) ? " " : ""}${suffix}`;
}

function chosenPage() {
  return pages.find((page) => page.uid === address.get("page")) || pages[0];
}

function goTo(changes) {
  for (const [name, value] of Object.entries(changes)) value === null ? address.delete(name) : address.set(name, value);
  history.replaceState(null, "", `?${address}`);
  build();
}

// A page about one thing begins with the first one; the empty value stands for all of them.
async function offerValues(page) {
  const label = document.getElementById("variable");
  const select = label.querySelector("select");
  label.hidden = !page.variable;
  select.length = 1;
  if (!page.variable) return;
  label.querySelector("span").textContent = page.variable;
  const values = await ask("values", { page: page.uid });
  for (const value of values) select.add(new Option(value, value));
  select.value = address.has("value") ? address.get("value") : values[0] || "";
}

async function build() {
  const page = chosenPage();
  const main = document.querySelector("main");
  document.title = `${page.title} – qwen-onprem`;
  document.getElementById("pages").replaceChildren(...pages.map((one) => {
    const link = element("a", one.title);
    link.href = `?page=${encodeURIComponent(one.uid)}`;
    if (one === page) link.setAttribute("aria-current", "page");
    link.addEventListener("click", (event) => { event.preventDefault(); goTo({ page: one.uid, value: null }); });
    return link;
  }));
  document.getElementById("span").value = address.get("span") || "3600";
  main.replaceChildren(element("p", page.text));
  let number = 0;
  for (const row of page.rows) {
    const line = element("div", "", "row");
    for (const panel of row.panels) line.append(frame(panel, number++));
    main.append(element("h2", row.title), line);
  }
  await offerValues(page).catch(report);
  await refresh();
}

function frame(panel, number) {
  const made = element("section", "", `panel w${panel.width}`);
  const title = element("h3", `${panel.title} `);
  if (panel.text) title.append(element("small", panel.text));
  made.append(title, element("div", "", "graph"), element("ul", "", "legend"));
  made.dataset.number = number;
  made.dataset.unit = panel.unit;
  return made;
}

function report(error) {
  document.getElementById("state").textContent = `not read: ${error.message.split("\n")[0]}`;
}

async function refresh() {
  const mine = ++round;
  const page = chosenPage();
  const query = { page: page.uid, span: document.getElementById("span").value };
  const chosen = document.querySelector("#variable select").value;
  if (page.variable && chosen) query.value = chosen;
  const state = document.getElementById("state");
  state.textContent = "reading";
  const frames = [...document.querySelectorAll(".panel")];
  const failed = await Promise.all(frames.map((one) => fill(one, query, mine)));
  if (mine !== round) return;
  const wrong = failed.filter(Boolean).length;
  state.textContent = wrong ? `${wrong} panels not read` : `read at ${new Date().toLocaleTimeString()}`;
  state.dataset.read = "yes";
}

// Fills a panel; returns whether it could not be read.
async function fill(panel, query, mine) {
  const graph = panel.querySelector(".graph");
  try {
    const found = await ask("panel", { ...query, panel: panel.dataset.number });
    if (mine === round) draw(panel, graph, found);
    return false;
  } catch (error) {
    if (mine === round) { Plotly.purge(graph); graph.replaceChildren(element("p", error.message, "note wrong")); }
    return true;
  }
}

// A time as Plotly takes it: the reader's own, without a zone.
function local(seconds) {
  const date = new Date(seconds * 1000);
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

function draw(panel, graph, found) {
  const { unit } = panel.dataset;
  const seen = found.series.filter((one) => one.values.some((value) => value !== null));
  const last = (one) => one.values.findLast((value) => value !== null);
  const legend = panel.querySelector(".legend");
  if (!seen.length) {
    Plotly.purge(graph);
    graph.replaceChildren(element("p", "no data", "note"));
    legend.replaceChildren();
    return;
  }
  const steps = seen[0].values.length;
  const x = Array.from({ length: steps }, (_, at) => local(found.start_s + at * found.step_s));
  const colour = (at) => COLOURS[at % COLOURS.length];
  const most = Math.max(...seen.flatMap((one) => one.values.map((value) => value ?? 0)));
  const [factor, suffix] = stepOf(unit, most);
  const traces = seen.map((one, at) => ({
    x, y: one.values.map((value) => (value === null ? null : value / factor)), name: plain(one.name), type: "scatter",
    // A line needs two points side by side, and a young series may have one.
    mode: one.values.filter((value) => value !== null).length < FEW ? "lines+markers" : "lines", marker: { size: 4 }, line: { color: colour(at), width: 1.5, dash: one.planned ? "dash" : "solid" },
    text: one.values.map((value) => written(value, unit)), hovertemplate: "%{x|%H:%M:%S}  %{text}  %{fullData.name}<extra></extra>",
  }));
  if (graph.querySelector(".note")) graph.replaceChildren();
  Plotly.react(graph, traces, {
    margin: { l: 62, r: 8, t: 6, b: 26 }, showlegend: false, hovermode: "closest", font: { size: 11, color: "#1d2430" },
    xaxis: { type: "date", range: [x[0], x[steps - 1]], nticks: 6, gridcolor: "#eceff3", fixedrange: true },
    yaxis: { range: [0, (most / factor) * 1.08 || 1], nticks: 5, ticksuffix: suffix, gridcolor: "#eceff3", zeroline: false, fixedrange: true },
  }, { displayModeBar: false, responsive: true });
  legend.replaceChildren(...seen.map((one, at) => {
    const line = element("li");
    const swatch = element("i");
    swatch.style.background = colour(at);
    const name = element("span", one.name);
    name.title = one.name;
    line.append(swatch, name, element("b", written(last(one), unit)));
    return line;
  }));
  if (found.left_out) legend.prepend(element("li", `and ${found.left_out} more, not drawn`));
}

// Plotly reads some markup in names; this shows it as it is.
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

document.getElementById("span").addEventListener("change", (event) => goTo({ span: event.target.value }));
document.querySelector("#variable select").addEventListener("change", (event) => goTo({ value: event.target.value }));
// A forwarded port may refuse a connection now and then: without its pages there would be nothing to try again.
function start() {
  ask("pages").then((found) => {
    pages = found;
    build();
    setInterval(refresh, REFRESH_MS);
  }, (error) => {
    report(error);
    setTimeout(start, RETRY_MS);
  });
}

start();
