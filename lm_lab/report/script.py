"""The report page's script: unpacks Plotly and the figures, draws them, switches tasks and sorts tables."""

JS = """
"use strict";
const byId = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let figures = null, task = null, convention = 0, drawing = Promise.resolve();

async function inflate(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent.trim()), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// every word must be in the name, which may be of one of several: "bert lora|adapter"
function wanted(name) {
  const words = (byId("filter")?.value ?? "").toLowerCase().split(/\\s+/).filter(Boolean);
  return words.every((word) => word.split("|").some((part) => part && name.toLowerCase().includes(part)));
}

function themed(figure, small) {
  const copy = structuredClone(figure), layout = copy.layout, narrow = innerWidth < 760;
  layout.font = {...layout.font, color: css("--ink"), size: small ? 11 : 13};
  layout.hoverlabel = {...layout.hoverlabel, bgcolor: css("--card"), bordercolor: css("--rule")};
  layout.hoverlabel.font = {...layout.hoverlabel.font, color: css("--ink")};
  layout.xaxis.title.font = layout.yaxis.title.font = {size: small ? 12 : 13, color: css("--muted")};
  layout.autosize = true;
  if (small) {
    layout.showlegend = false;
    layout.margin = {l: 46, r: 14, t: 14, b: 46};
    layout.annotations = [];
  } else if (narrow) {
    layout.legend = {...layout.legend, orientation: "h", x: 0, y: -0.2, yanchor: "top"};
    layout.margin = {l: 46, r: 8, t: 16, b: 50};
  }
  const menu = layout.updatemenus;
  delete layout.updatemenus;
  if (menu) {
    const [restyle, relayout] = menu[0].buttons[convention].args;
    restyle.x.forEach((x, i) => { copy.data[i].x = x; });
    for (const [path, value] of Object.entries(relayout)) {
      const keys = path.split("."), last = keys.pop();
      keys.reduce((node, key) => (node[key] ??= {}), layout)[last] = value;
    }
  }
  const hidden = byId("controls") && !byId("controls").checked;
  copy.data = copy.data.filter((t) => !(hidden && t.meta?.control) && wanted(t.legendgroup));
  layout.modebar = {bgcolor: "rgba(0,0,0,0)", color: css("--rule"), activecolor: css("--muted")};
  return copy;
}

// one after the other: Plotly loses an update that comes while it draws
function draw() { drawing = drawing.then(drawAll); }

function drawAll() {
  const options = {responsive: true, displaylogo: false, showSendToCloud: false};  // nothing on this page uploads
  options.modeBarButtonsToRemove = ["select2d", "lasso2d"];
  options.toImageButtonOptions = {format: "svg", filename: "lm_lab-" + task};
  return Promise.all([...document.querySelectorAll("[data-axis]")].map((holder) => {
    const small = holder.closest(".small") !== null;
    holder.setAttribute("aria-label", `Score against ${holder.dataset.axis}, ${task}; the table has its numbers`);
    const {data, layout} = themed(figures[task][holder.dataset.axis], small);
    const listed = data.filter((t) => t.showlegend !== false).length;
    if (!small) holder.style.height = Math.max(innerWidth < 760 ? 520 : 460, 21 * listed + 70) + "px";  // no scrolling
    return Plotly.react(holder, data, layout, {...options, displayModeBar: small ? false : "hover"});
  }));
}

function show() {
  for (const tab of document.querySelectorAll("button[data-task]"))
    tab.setAttribute("aria-pressed", String(tab.dataset.task === task));
  for (const tab of document.querySelectorAll("button[data-head]"))
    tab.setAttribute("aria-pressed", String(Number(tab.dataset.head) === convention));
  for (const row of document.querySelectorAll("tr[data-task]")) row.hidden = row.dataset.task !== task;
  if (figures) draw();
}

function listen() {
  for (const tab of document.querySelectorAll("button[data-task]"))
    tab.addEventListener("click", () => { task = tab.dataset.task; show(); });
  for (const tab of document.querySelectorAll("button[data-head]"))
    tab.addEventListener("click", () => { convention = Number(tab.dataset.head); show(); });
  if (byId("controls")) byId("controls").addEventListener("change", draw);
  byId("filter")?.addEventListener("input", () => {
    for (const row of document.querySelectorAll("tr[data-name]")) row.hidden = !wanted(row.dataset.name);
    if (figures) draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (figures) draw(); });
  task = document.querySelector("button[data-task]").dataset.task;
  show();
}

async function start() {
  if (typeof DecompressionStream === "undefined") {
    byId("no-figures").textContent =
      "This browser cannot unpack the interactive figures (it lacks DecompressionStream: Chrome 80, " +
      "Firefox 113 and Safari 16.4 have it). The picture and every table on this page are complete without them.";
    byId("no-figures").hidden = false;
    return;
  }
  const [library, data] = await Promise.all([inflate("plotly"), inflate("figures")]);
  const script = document.createElement("script");
  script.textContent = library;
  document.head.append(script);
  figures = JSON.parse(data);
  byId("static").remove();
  for (const holder of document.querySelectorAll(".interactive")) holder.hidden = false;
  draw();
}

function sortable(table) {
  const body = table.tBodies[0];
  const value = (row, i) => {
    const raw = row.cells[i].dataset.v ?? row.cells[i].textContent;
    return raw === "" || isNaN(raw) ? raw : Number(raw);
  };
  [...table.tHead.rows[0].cells].forEach((head, i) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up === 1 ? "ascending" : "descending");
    const rank = (a, b) => a === "" ? 1 : b === "" ? -1 : (a > b ? 1 : a < b ? -1 : 0) * up;
    [...body.rows].sort((a, b) => rank(value(a, i), value(b, i))).forEach((row) => body.append(row));
  }));
}

// figures have the width of the screen: on paper they take that of the page
function paper(printing) {
  if (!figures) return;
  for (const holder of document.querySelectorAll("[data-axis]")) {
    holder.style.width = printing ? (holder.closest(".small") ? "320px" : "670px") : "";
    Plotly.Plots.resize(holder);
  }
}
addEventListener("beforeprint", () => paper(true));
addEventListener("afterprint", () => paper(false));

document.querySelectorAll("table.sortable").forEach(sortable);
if (document.querySelector("button[data-task]")) listen();
if (byId("plotly")) start();
"""
