"""What a figure becomes on a screen: the reader's colours, a panel a backbone or a task, names beside their curves."""

DRAWING = """
const GLYPHS = {circle: "●", diamond: "◆", square: "■", "triangle-up": "▲", x: "✖", star: "★"};
const LINE = 16;  // px of a name
const cut = (words, letters) => words.length > letters ? words.slice(0, letters - 1) + "…" : words;
const panelsBy = () => task === EACH ? "task" : host.dataset.panels;
const seen = (meta) => !(meta.control && byId("controls") && !byId("controls").checked) &&
  wanted({name: `${meta.line} · ${meta.backbone}`, ...meta});

// one figure, with the convention of the axis that was chosen and what the filters leave
function chosen(name, of) {
  const {traces, axes} = figures[of], {x, layout} = structuredClone(axes[name]), menu = layout.updatemenus;
  const copy = {layout, data: structuredClone(traces).map((trace, i) => ({...trace, x: x[i]}))};
  delete layout.updatemenus;
  if (menu) {
    const [restyle, relayout] = menu[0].buttons[convention].args;
    restyle.x.forEach((x, i) => { copy.data[i].x = x; });
    for (const [path, value] of Object.entries(relayout)) {
      const keys = path.split("."), last = keys.pop();
      keys.reduce((node, key) => (node[key] ??= {}), layout)[last] = value;
    }
  }
  copy.data = copy.data.filter((trace) => seen(trace.meta));
  return copy;
}

function themed(name, small) {
  const tasks = Object.keys(figures).filter((of) => of !== "average");
  const parts = task === EACH ? tasks.map((of) => chosen(name, of)) : [chosen(name, task)];
  const layout = parts[0].layout, narrow = innerWidth < 760, data = parts.flatMap((part) => part.data);
  if (parts.length > 1) {
    for (const axis of ["xaxis", "yaxis"])
      layout[axis].range = ["min", "max"].map((most, end) =>
        Math[most](...parts.map((part) => part.layout[axis].range[end])));
    layout.meta.beyond = parts.flatMap((part) => part.layout.meta.beyond);
  }
  layout.font = {...layout.font, color: css("--ink"), size: small || narrow ? 11 : 13};
  layout.hoverlabel = {...layout.hoverlabel, bgcolor: css("--card"), bordercolor: css("--rule")};
  layout.hoverlabel.font = {...layout.hoverlabel.font, color: css("--ink")};
  layout.xaxis.title.font = layout.yaxis.title.font = {size: small ? 12 : 13, color: css("--muted")};
  layout.modebar = {bgcolor: "rgba(0,0,0,0)", color: css("--rule"), activecolor: css("--muted")};
  Object.assign(layout, {autosize: true, showlegend: false, margin: {l: 46, r: 14, t: 14, b: 46}});
  if (small) layout.annotations = [];
  return {data, layout};
}

// a panel for each backbone or task, all with the same axes
function panelled(figure, width) {
  const {data, layout} = figure, by = panelsBy(), names = [...new Set(data.map((trace) => trace.meta[by]))];
  const few = names.length <= 4, least = few ? 400 : width < 560 ? 150 : 230, PANEL = few ? 280 : 170;  // px
  const columns = Math.max(1, Math.min(names.length, Math.floor(width / least)));
  const rows = Math.ceil(names.length / columns), tall = rows * PANEL, {xaxis, yaxis} = layout;
  const titles = [[xaxis.title.text, 0.5, 0, 0, -40, 0], [yaxis.title.text, 0, 0.5, -40, 0, -90]];
  layout.annotations = titles.map(([text, x, y, xshift, yshift, textangle]) =>
    ({text, x, y, xshift, yshift, textangle, xref: "paper", yref: "paper", showarrow: false, font: xaxis.title.font}));
  layout.shapes = [];
  names.forEach((name, i) => {
    const column = i % columns, row = Math.floor(i / columns), k = i ? i + 1 : "", last = i + columns >= names.length;
    const small = {tickfont: {size: 10}, title: {text: ""}, nticks: 4}, left = (column + 0.04) / columns;
    layout["xaxis" + k] = {...xaxis, ...small, anchor: "y" + k, matches: i ? "x" : undefined, showticklabels: last,
      domain: [left, (column + 0.96) / columns]};
    layout["yaxis" + k] = {...yaxis, ...small, anchor: "x" + k, matches: i ? "y" : undefined, showticklabels: !column,
      domain: [1 - (row + 1 - 14 / PANEL) / rows, 1 - (row + 26 / PANEL) / rows]};
    layout.annotations.push({text: cut(name, Math.floor((width - 60) / columns / 7)), hovertext: name, showarrow: false,
      x: left, y: 1 - (row + 4 / PANEL) / rows, xref: "paper", yref: "paper", xanchor: "left", yanchor: "top",
      font: {size: 12, color: css("--ink")}});
    for (const trace of data.filter((one) => one.meta[by] === name)) {
      Object.assign(trace, {xaxis: "x" + k, yaxis: "y" + k});
      if (trace.meta.reference && trace.showlegend !== false) layout.shapes.push({type: "line", xref: `x${k} domain`,
        yref: "y" + k, x0: 0, x1: 1, y0: trace.y[0], y1: trace.y[0], layer: "below",
        line: {dash: "dash", width: 1.2, color: trace.line.color}});
    }
  });
  layout.margin = {l: 56, r: 6, t: 26, b: 56};
  return tall + 82;
}

const glyph = (trace) => `<span style="color:${trace.line.color}">` +
  `${GLYPHS[[trace.marker.symbol].flat()[0].replace(/(-open|-dot)+$/, "")] ?? "●"}</span>`;

// where a name stands beside its point and covers nothing: px from the left and the top of the plot; or nothing
function beside({at: [x, y], high, low, words}, taken, area) {
  const wide = 6.8 * words.length + 6, middle = x - wide / 2;
  const places = [[x + 20, y - 7], [x - wide - 9, y - 7], [middle, high - 17], [middle, low + 3]];
  return places.map(([left, top]) => [left, left + wide, top, top + 14]).find((box) =>
    box[0] >= 2 && box[1] <= area.w && box[2] >= 0 && box[3] <= area.h &&
    !taken.some((other) => box[0] < other[1] && other[0] < box[1] && box[2] < other[3] && other[2] < box[3]));
}

// every curve's name: beside its end where there is room, else at the right, as near to its height as others let it
function label(holder) {
  const {xaxis, yaxis, _size: area} = holder._fullLayout, taken = [], ends = [];
  const place = ({range: [a, b]}, value, size) => (value - a) / (b - a) * size;
  const across = (x) => place(xaxis, Math.log10(x), area.w), down = (y) => area.h - place(yaxis, y, area.h);
  for (const trace of holder.data) {
    const mean = trace.showlegend !== false, points = trace.x.flatMap((x, i) => x == null ? [] : [i]);
    const {array, arrayminus} = mean ? trace.error_y : {array: [], arrayminus: []};
    const spans = points.map((i) => ({at: [across(trace.x[i]), down(trace.y[i])], trace, words: cut(trace.name, 28),
      high: down(trace.y[i] + (array[i] ?? 0)), low: down(trace.y[i] - (arrayminus[i] ?? 0))}));
    for (const {at: [x, y], high, low} of spans)
      taken.push([x - 5, x + 5, Math.min(high, y - 5), Math.max(low, y + 5)]);
    if (mean && spans.length) ends.push(spans.sort((a, b) => b.at[0] - a.at[0])[0]);
  }
  const inside = ({at: [x, y]}) => x >= 0 && x <= area.w && y >= -1 && y <= area.h + 1;
  const shown = ends.filter(inside).sort((a, b) => a.at[1] - b.at[1]);
  for (const end of shown) if ((end.box = beside(end, taken, area))) taken.push(end.box);
  const right = shown.filter((end) => !end.box);
  right.forEach((end, i) => { end.y = Math.max(end.at[1], i ? right[i - 1].y + LINE : 0); });
  right.reduceRight((floor, end) => (end.y = Math.min(end.y, floor)) - LINE, area.h);
  const paper = {xref: "paper", yref: "paper"};
  const lines = right.map(({trace, at: [x, y], y: to}) => ({...paper, type: "line", name: "lead", layer: "below",
    x0: x / area.w, y0: 1 - y / area.h, x1: 1 + 10 / area.w, y1: 1 - to / area.h, opacity: 0.6,
    line: {color: trace.line.color, width: 1, dash: "dot"}}));
  const names = shown.map(({trace, words, box, y}) => ({...paper, xanchor: "left", yanchor: "middle", showarrow: false,
    x: box ? box[0] / area.w : 1, y: 1 - (box ? box[2] + 7 : y) / area.h, xshift: box ? 0 : 11, borderpad: 0,
    text: box ? words : `${glyph(trace)} ${words}`, hovertext: trace.name, name: trace.meta.line, captureevents: true,
    bgcolor: css("--card"), font: {size: 12, color: css("--ink")}}));
  const others = (list, mine) => (list ?? []).filter((one) => !mine(one));
  return Plotly.relayout(holder, {shapes: [...others(holder.layout.shapes, (one) => one.name === "lead"), ...lines],
    annotations: [...others(holder.layout.annotations, (one) => one.captureevents), ...names]});
}

// one after the other: Plotly loses an update that comes while it draws
function draw() { drawing = drawing.then(drawAll); }

async function drawAll() {
  const options = {responsive: true, displaylogo: false, showSendToCloud: false};  // nothing on this page uploads
  options.modeBarButtonsToRemove = ["select2d", "lasso2d"];
  options.toImageButtonOptions = {format: "svg", filename: "lm_lab-" + task};
  const panels = panelsBy(), named = !panels && innerWidth >= 760, [first, ...others] = all("[data-axis]");
  document.querySelector(".small").hidden = Boolean(panels);
  byId("shown").hidden = !panels;
  if (!panels) axis = "parameters";
  first.dataset.axis = axis;
  document.querySelector(".key").hidden = named;
  for (const holder of [first, ...others])
    holder.setAttribute("aria-label", `Score against ${holder.dataset.axis}, ${task}; the table has its numbers`);
  for (const holder of panels ? [first] : [first, ...others]) {
    const small = holder !== first, name = holder.dataset.axis, figure = themed(name, small), {data, layout} = figure;
    const listed = data.filter((trace) => trace.showlegend !== false);
    const longest = Math.max(0, ...listed.map((trace) => trace.name.length));
    const tall = panels ? panelled(figure, holder.clientWidth) : Math.max(460, LINE * listed.length + 80);
    if (!small) holder.style.height = tall + "px";
    if (!small && named) layout.margin = {l: 56, r: 34 + 7.2 * Math.min(longest, 28), t: 34, b: 52};
    await Plotly.react(holder, data, layout, {...options, displayModeBar: small ? false : "hover"});
    if (small) continue;
    const {beyond} = layout.meta, said = "Beyond the axis, drawn as arrows at its end";
    byId("beyond").textContent = beyond.length ? `${said}: ${beyond.join("; ")}.` : "";
    if (named) await label(holder);
    if (!holder.dataset.wired) {
      holder.on("plotly_relayout", (change) => {
        if (!panelsBy() && innerWidth >= 760 && Object.keys(change).some((key) => /axis/.test(key))) label(holder);
      });
      holder.on("plotly_clickannotation", ({annotation}) => { if (annotation.captureevents) alone(annotation.name); });
      holder.dataset.wired = "yes";
    }
  }
  const lines = new Set(Object.values(figures).flatMap((of) => of.traces).map(({meta}) => meta).filter(seen)
    .map(({line}) => line));
  for (const entry of all("button[data-line]")) entry.hidden = !lines.has(entry.dataset.line);
}

// figures have the width of the screen: on paper they take that of A4, at once (a resize of Plotly's waits for a while)
function paper(printing) {
  if (!figures) return;
  for (const holder of all("[data-axis]").filter((one) => one.data && one.offsetParent)) {
    const small = holder.closest(".small") !== null, own = {width: null, height: null, autosize: true};
    const height = Math.min(holder.offsetHeight, 860);
    Plotly.relayout(holder, printing ? {width: small ? 316 : 664, height: small ? 300 : height, autosize: false} : own);
    holder.style.maxHeight = printing ? "860px" : "";
    if (!small && !panelsBy() && innerWidth >= 760) label(holder);
  }
}
"""
