// Draws executions that are compared, and lets some of them be picked out: by dragging, or by ticking them in the table.
"use strict";

(() => {
  const charts = document.getElementById("charts");
  if (!charts || typeof uPlot === "undefined") return;
  const part = (name) => charts.querySelector(`[data-part=${name}]`);
  const mostWords = 12, mostAxes = 14, edge = 0.015, dashes = [5, 4];
  const byHand = matchMedia("(pointer: coarse)").matches;
  const hint = byHand ? "Tick executions in the table to pick them out" : part("picked").textContent;
  let rows = [], dimensions = [], picked = new Set(), plots = [], colours = {};

  const readColours = () => {
    const of = (selector) => getComputedStyle(charts.querySelector(selector)).color;
    colours = { line: of(".chart-line"), picked: of(".chart-picked"), failed: of(".chart-failed"), ink: getComputedStyle(charts).color, rule: getComputedStyle(charts).borderTopColor };
  };

  /** A column that can be drawn: numbers that differ, or a few words, each of which has a place. */
  const dimension = (key) => {
    const values = rows.map((row) => row[key]);
    const known = values.filter((value) => value !== null && value !== undefined);
    const name = key.replace(/^(parameters|results)\./, "");
    if (known.length && known.every((value) => typeof value === "number")) {
      const low = Math.min(...known), high = Math.max(...known);
      return low < high ? { key, name, low, high, words: null, at: (row) => row[key] ?? null } : null;
    }
    if (known.some((value) => typeof value === "object")) return null;
    const words = [...new Set(known.map(String))].sort();
    if (words.length < 2 || words.length > mostWords) return null;
    return { key, name, low: 0, high: words.length - 1, words, at: (row) => (row[key] === null || row[key] === undefined ? null : words.indexOf(String(row[key]))) };
  };

  const short = (value) => Number(value.toPrecision(4)).toLocaleString(undefined, { maximumSignificantDigits: 4 });
  const end = (of, value) => (of.words ? of.words[value] : short(value)).slice(0, 14);
  const share = (of, row) => { const value = of.at(row); return value === null ? null : (value - of.low) / (of.high - of.low); };
  const colour = (row) => (picked.has(row.id) ? colours.picked : failed(row) ? colours.failed : colours.line);
  const failed = (row) => row.status === "failed";
  const faint = (row) => (picked.size && !picked.has(row.id) ? 0.12 : 0.75);
  const ratio = () => devicePixelRatio || 1;
  /** Those that are picked come last, on top of the others. */
  const inOrder = () => [...rows].sort((a, b) => picked.has(a.id) - picked.has(b.id));

  const pick = (ids) => {
    picked = new Set(ids);
    for (const line of document.querySelectorAll("tr[data-row]")) {
      const chosen = picked.has(Number(line.dataset.row));
      line.classList.toggle("picked", chosen);
      line.classList.toggle("unpicked", picked.size > 0 && !chosen);
      line.querySelector("input[type=checkbox]").checked = chosen;
    }
    part("picked").textContent = picked.size ? `${picked.size} of ${rows.length} picked out` : hint;
    part("clear").hidden = !picked.size;
    for (const plot of plots) plot.redraw(false);
  };

  const base = (host, height) => ({
    width: Math.max(240, host.clientWidth),
    height,
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: true, setScale: false, uni: 4 }, y: false, x: false },
    series: [{}, { paths: () => null, points: { show: false } }],
  });

  /** What a drag says: the corners in the chart's own units; nothing where it was a click. */
  const dragged = (plot) => {
    const { left, top, width, height } = plot.select;
    if (width < 3 && height < 3) return null;
    for (const other of plots) if (other !== plot) other.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    return { x: [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")], y: [plot.posToVal(top + height, "y"), plot.posToVal(top, "y")] };
  };

  const parallel = () => {
    const host = part("parallel");
    const shown = dimensions.slice(0, Math.max(2, Math.min(mostAxes, Math.floor(host.clientWidth / 72))));
    const font = `${11 * ratio()}px system-ui, sans-serif`;
    const draw = (plot) => {
      const { ctx } = plot;
      const x = shown.map((_, at) => plot.valToPos(at, "x", true));
      const y = (value) => plot.valToPos(value, "y", true);
      ctx.save();
      ctx.lineWidth = ratio();
      ctx.strokeStyle = colours.rule;
      for (const at of x) { ctx.beginPath(); ctx.moveTo(at, y(0)); ctx.lineTo(at, y(1)); ctx.stroke(); }
      for (const row of inOrder()) {
        ctx.strokeStyle = colour(row);
        ctx.globalAlpha = faint(row);
        ctx.lineWidth = (picked.has(row.id) ? 2 : 1.25) * ratio();
        ctx.setLineDash(failed(row) ? dashes.map((length) => length * ratio()) : []);
        ctx.beginPath();
        let before = false;
        shown.forEach((of, at) => {
          const value = share(of, row);
          if (value !== null) before ? ctx.lineTo(x[at], y(value)) : ctx.moveTo(x[at], y(value));
          before = value !== null;
        });
        ctx.stroke();
      }
      ctx.setLineDash([]);
      ctx.globalAlpha = 1;
      ctx.fillStyle = colours.ink;
      ctx.font = font;
      shown.forEach((of, at) => {
        ctx.textAlign = at === 0 ? "left" : at === shown.length - 1 ? "right" : "center";
        ctx.fillText(end(of, of.high), x[at], y(1) - 6 * ratio());
        ctx.fillText(end(of, of.low), x[at], y(0) + 14 * ratio());
        ctx.font = `600 ${font}`;
        ctx.fillText(of.name.slice(0, 12), x[at], y(0) + 30 * ratio());
        ctx.font = font;
      });
      ctx.restore();
    };
    const select = (plot) => {
      const range = dragged(plot);
      if (!range) return pick([]);
      const axes = shown.filter((_, at) => at >= range.x[0] - 0.15 && at <= range.x[1] + 0.15);
      if (!axes.length) return pick([]);
      const inside = (row) => axes.every((of) => { const value = share(of, row); return value !== null && value >= range.y[0] - edge && value <= range.y[1] + edge; });
      return pick(rows.filter(inside).map((row) => row.id));
    };
    const options = {
      ...base(host, 280),
      padding: [22, 14, 38, 14],
      scales: { x: { time: false, range: [0, shown.length - 1] }, y: { range: [0, 1] } },
      axes: [{ show: false }, { show: false }],
      hooks: { draw: [draw], setSelect: [select] },
    };
    return new uPlot(options, [shown.map((_, at) => at), shown.map(() => null)], host);
  };

  /** A dot, or a cross for what failed: the colour may say that it is picked out. */
  const mark = (ctx, x, y, row) => {
    const size = (picked.has(row.id) ? 5 : 4) * ratio();
    ctx.beginPath();
    if (failed(row)) {
      ctx.strokeStyle = colour(row);
      ctx.lineWidth = 2 * ratio();
      for (const down of [-size, size]) { ctx.moveTo(x - size, y - down); ctx.lineTo(x + size, y + down); }
      ctx.stroke();
    } else {
      ctx.fillStyle = colour(row);
      ctx.arc(x, y, size, 0, 2 * Math.PI);
      ctx.fill();
    }
  };

  const scatter = () => {
    const host = part("scatter"), of = { x: dimensions[part("x").value], y: dimensions[part("y").value] };
    const places = rows.map((row) => [of.x.at(row), of.y.at(row), row]).filter(([x, y]) => x !== null && y !== null).sort((a, b) => a[0] - b[0]);
    const wide = (one) => { const pad = (one.high - one.low) * 0.06 || 1; return [one.low - pad, one.high + pad]; };
    const draw = (plot) => {
      const { ctx } = plot;
      ctx.save();
      for (const row of inOrder()) {
        const x = of.x.at(row), y = of.y.at(row);
        if (x === null || y === null) continue;
        ctx.globalAlpha = faint(row);
        mark(ctx, plot.valToPos(x, "x", true), plot.valToPos(y, "y", true), row);
      }
      ctx.restore();
    };
    const select = (plot) => {
      const range = dragged(plot);
      const inside = ([x, y]) => range && x >= range.x[0] && x <= range.x[1] && y >= range.y[0] && y <= range.y[1];
      return pick(places.filter(inside).map(([, , row]) => row.id));
    };
    const axis = (one) => ({
      stroke: colours.ink, font: "11px system-ui, sans-serif", labelFont: "600 11px system-ui, sans-serif", label: one.name.slice(0, 40), labelSize: 18,
      grid: { stroke: colours.rule, width: 1 }, ticks: { show: false },
      ...(one.words ? { splits: () => one.words.map((_, at) => at), values: (_, at) => at.map((each) => one.words[each].slice(0, 10)) } : {}),
    });
    const options = {
      ...base(host, 280),
      scales: { x: { time: false, range: wide(of.x) }, y: { range: wide(of.y) } },
      axes: [{ ...axis(of.x), size: 26 }, { ...axis(of.y), size: 56 }],
      hooks: { draw: [draw], setSelect: [select] },
    };
    return new uPlot(options, [places.map(([x]) => x), places.map(([, y]) => y)], host);
  };

  const draw = () => {
    for (const plot of plots) plot.destroy();
    readColours();
    plots = [parallel(), scatter()];
  };

  const begin = (found) => {
    rows = found;
    const keys = [...new Set(rows.flatMap(Object.keys))].filter((key) => !["id", "status", "started_at"].includes(key));
    const rank = (key) => (key.startsWith("parameters.") ? 0 : key.startsWith("results.") ? 1 : 2);
    dimensions = keys.sort((a, b) => rank(a) - rank(b)).map(dimension).filter(Boolean);
    if (dimensions.length < 2) return;
    const first = dimensions.findIndex((one) => one.key.startsWith("results."));
    for (const [name, chosen] of [["x", 0], ["y", first > 0 ? first : 1]]) {
      dimensions.forEach((one, at) => part(name).add(new Option(one.name, at, false, at === chosen)));
      part(name).addEventListener("change", draw);
    }
    charts.hidden = false;
    part("picked").textContent = hint;
    draw();
    let width = charts.clientWidth;
    new ResizeObserver(() => { if (charts.clientWidth !== width) { width = charts.clientWidth; draw(); } }).observe(charts);
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    part("clear").addEventListener("click", () => { for (const plot of plots) plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false); pick([]); });
    const ticked = () => [...document.querySelectorAll("tr[data-row] input:checked")].map((box) => Number(box.value));
    document.getElementById("choose").addEventListener("change", () => pick(ticked()));
    if (ticked().length && ticked().length < rows.length) pick(ticked());
  };

  fetch(charts.dataset.source, { headers: { Accept: "application/json" } })
    .then((answer) => { if (!answer.ok) throw new Error(`the service answered ${answer.status}`); return answer.json(); })
    .then(begin)
    .catch((error) => {
      charts.hidden = false;
      charts.querySelector(".chart-row").hidden = true;
      part("picked").textContent = `The charts cannot be drawn: ${error.message}. The table has all values.`;
    });
})();
