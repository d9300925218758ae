"""The report page's script: unpacks Plotly and the figures, filters, switches tasks and sorts tables."""

from lm_lab.report.drawing import DRAWING

JS = (
    """
"use strict";
const byId = (id) => document.getElementById(id), all = (which) => [...document.querySelectorAll(which)];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const EACH = "each task", host = document.querySelector(".interactive");
let figures = null, task = null, axis = "parameters", convention = 0, drawing = Promise.resolve();

async function inflate(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent.trim()), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// every word must be in the name, which may be of one of several: "bert lora|adapter"; a word in quotes is all of it
function wanted({name, family, backbone}) {
  const asked = (byId("filter")?.value ?? "").toLowerCase(), exact = asked.match(/^"(.*)"$/);
  const isA = (id, value) => !byId(id)?.value || byId(id).value === "=" + value;
  if (!isA("family", family) || !isA("backbone", backbone)) return false;
  if (exact) return name.toLowerCase().split(" · ")[0] === exact[1];
  const words = asked.split(/\\s+/).filter(Boolean);
  return words.every((word) => word.split("|").some((part) => part && name.toLowerCase().includes(part)));
}
"""
    + DRAWING
    + """
function show() {
  const pressed = {task, head: String(convention), shown: axis};
  for (const [kind, value] of Object.entries(pressed))
    for (const tab of all(`button[data-${kind}]`))
      tab.setAttribute("aria-pressed", String(tab.dataset[kind] === value));
  const listed = task === EACH ? all("button[data-task]")[0].dataset.task : task;
  for (const row of all("tr[data-name]"))
    row.hidden = !wanted(row.dataset) || (row.dataset.task !== undefined && row.dataset.task !== listed);
  if (figures) draw();
}

function alone(name) {
  const quoted = `"${name}"`;
  byId("filter").value = byId("filter").value === quoted ? "" : quoted;
  show();
}

function listen() {
  const on = (which, act) => {
    for (const tab of all(which)) tab.addEventListener("click", () => { act(tab.dataset); show(); });
  };
  on("button[data-task]", (data) => { task = data.task; });
  on("button[data-head]", (data) => { convention = Number(data.head); });
  on("button[data-shown]", (data) => { axis = data.shown; });
  for (const entry of all("button[data-line]")) entry.addEventListener("click", () => alone(entry.dataset.line));
  for (const id of ["controls", "family", "backbone"]) byId(id)?.addEventListener("change", show);
  byId("filter")?.addEventListener("input", show);
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
  host.hidden = false;
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

addEventListener("beforeprint", () => paper(true));
addEventListener("afterprint", () => paper(false));
all("table.sortable").forEach(sortable);
if (document.querySelector("button[data-task]")) listen();
if (byId("plotly")) start();
"""
)
