"""The report page's style sheet: light and dark by the reader's setting, one column, readable in print."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #ffffff; --ink: #22262b; --muted: #646c76; --rule: #e3e4e1; --hover: #f3f3ef;
  --accent: #1b6fae; --warn: #9a4d00; --warn-paper: #fff4e3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1a1d22; --ink: #e4e6ea; --muted: #9aa2ad; --rule: #2e333b; --hover: #22262d;
    --accent: #6db3ea; --warn: #f0b465; --warn-paper: #2a2113;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.6rem 1.4rem 5rem; max-width: 1280px; background: var(--paper); color: var(--ink);
  font: 15.5px/1.58 Inter, "Helvetica Neue", Helvetica, Arial, sans-serif; font-variant-numeric: tabular-nums;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.015em; font-weight: 650; }
h2 { font-size: 1.14rem; margin: 3rem 0 .5rem; letter-spacing: -.005em; font-weight: 650; }
p { margin: .45rem 0; max-width: 100ch; }
.lead p { max-width: 82ch; }
.muted, .note, figcaption { color: var(--muted); }
.note, figcaption { font-size: .87rem; }
.lead { font-size: 1.1rem; line-height: 1.5; margin: 1.2rem 0 1.4rem; padding-left: 1rem; }
.lead { border-left: 3px solid var(--accent); }
.lead p { margin: .35rem 0; }
.lead .flag { font-size: 1rem; font-weight: 450; }
.lead .flag summary { color: inherit; font-weight: 600; }
.warn { background: var(--warn-paper); color: var(--warn); padding: .55rem .9rem; border-radius: 6px; max-width: none; }
.warn p { margin: .15rem 0; }
figure { margin: .8rem 0; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
figure { padding: .8rem .8rem .3rem; }
figure svg { max-width: 100%; height: auto; }
figcaption { padding: .3rem .4rem .5rem; }
.plot { width: 100%; height: 460px; }
.small .plot { height: 300px; }
.small { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem; }
.small figure { margin: 0; padding: .6rem .4rem 0; min-width: 0; }
.tabs { display: flex; flex-wrap: wrap; gap: .3rem .35rem; align-items: center; margin: .9rem 0 .2rem; }
.tabs button {
  font: inherit; font-size: .9rem; color: var(--muted); background: none; border: 1px solid var(--rule);
  border-radius: 999px; padding: .18rem .8rem; cursor: pointer;
}
.tabs button:hover { color: var(--ink); }
.tabs button[aria-pressed="true"] { color: var(--paper); background: var(--ink); border-color: var(--ink); }
.tabs .gap { flex: 1; }
.tabs input[type="search"] {
  font: inherit; font-size: .9rem; color: var(--ink); background: var(--card); border: 1px solid var(--rule);
  border-radius: 999px; padding: .18rem .8rem; width: 12.5rem;
}
.tabs select {
  font: inherit; font-size: .9rem; color: var(--ink); background: var(--card); border: 1px solid var(--rule);
  border-radius: 999px; padding: .18rem .6rem; max-width: 12rem;
}
#beyond { padding: 0 .4rem; }
#shown { display: flex; gap: .35rem; }
.tabs label { font-size: .88rem; color: var(--muted); }
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 8px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .38rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child, .word, .wrap { text-align: left; }
td.wrap { white-space: normal; min-width: 22rem; text-align: left; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
thead th { font-weight: 600; color: var(--muted); border-bottom: 1px solid var(--muted); }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th button:hover { color: var(--ink); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
a { color: var(--accent); }
.contents { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .9rem; margin: 1.1rem 0 0; }
thead th[aria-sort="ascending"]::after { content: " ↑"; }
thead th[aria-sort="descending"]::after { content: " ↓"; }
tbody tr:hover { background: var(--hover); }
td.best { font-weight: 650; }
tr.control td { color: var(--muted); font-style: italic; }
.swatch { width: .95em; height: .95em; margin-right: .4em; vertical-align: -.1em; }
.key { display: flex; flex-wrap: wrap; gap: .1rem .9rem; padding: .1rem .4rem .4rem; }
.key button { font: inherit; font-size: .85rem; color: var(--ink); background: none; border: 0; }
.key button { padding: .1rem 0; cursor: pointer; }
[hidden] { display: none !important; }
.half { color: var(--muted); font-weight: 400; }
.flag { color: var(--warn); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.4rem; margin: .6rem 0; font-size: .92rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { white-space: pre-wrap; }
details summary { cursor: pointer; color: var(--muted); margin: .6rem 0; }
@media (max-width: 820px) {
  body { padding: 1.4rem .9rem 3rem; }
  .small { grid-template-columns: 1fr; }
  h1 { font-size: 1.4rem; }
  .plot { height: 520px; }
  figure { overflow-x: auto; }
  figure > svg { min-width: 620px; }
  dl { grid-template-columns: 1fr; gap: 0 0; } dd { margin-bottom: .5rem; }
}
@media print {
  @page { size: A4; margin: 13mm; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  .tabs, .contents, .modebar-container { display: none !important; }
  .small { grid-template-columns: repeat(2, 1fr); }
  .scroll { overflow: visible; border: 0; }
  table { font-size: 7.5pt; }
  th, td { padding: .18rem .3rem; white-space: normal; }
  th:first-child, td:first-child { white-space: nowrap; }
  td.wrap { min-width: 0; }
  tr[hidden] { display: table-row !important; }
  figure { overflow: visible; }
  figure > svg { min-width: 0; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
