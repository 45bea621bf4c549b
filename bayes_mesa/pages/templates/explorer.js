"use strict";
// The arithmetic of reweighing.py, stock.py and reweighed_phase.py, in the same order; nothing is
// fetched, nothing is kept but the part of the address behind "#".
(() => {
  const section = document.getElementById("explorer");
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const FEW = 20; // effective draws of a row of the phase diagram, below which it is hatched

  // --- what the page holds ----------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const doubles = (text) => {
    const view = new DataView(bytes(text).buffer);
    return Float64Array.from({ length: view.byteLength / 8 }, (_, k) => view.getFloat64(8 * k, true));
  };
  const each = (object, change) =>
    new Map(Object.entries(object).map(([name, value]) => [name, change(value)]));

  const families = data.families.map((f) => ({
    ...f,
    favored: bytes(f.favored),
    mass: doubles(f.mass),
    logs: each(f.logs, doubles),
    pulls: each(f.pulls, doubles),
  }));
  const sliders = new Map(data.sliders.map((s) => [s.slot, s]));
  const phase = data.phase && { ...data.phase, critical: doubles(data.phase.critical) };

  const state = { medians: new Map(), weights: null, cost: phase && phase.cost };
  const medianOf = (slot) => state.medians.get(slot) ?? sliders.get(slot).median;
  const weightOf = (family) => (state.weights ? state.weights.get(family.name) : family.weight);

  // --- weights of the draws ---------------------------------------------------------------------

  // log of the standard normal distribution function: Marsaglia's series in the middle, the
  // continued fraction of the Mills ratio in the tail.
  function logNdtr(x) {
    if (x > 5) return Math.log1p(-Math.exp(logNdtr(-x)));
    const logDensity = -0.5 * x * x - 0.5 * Math.log(2 * Math.PI);
    if (x < -5) {
      let fraction = -x;
      for (let k = 100; k >= 1; k -= 1) fraction = -x + k / fraction;
      return logDensity - Math.log(fraction);
    }
    let term = x;
    let sum = x;
    for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) {
      term *= (x * x) / k;
      sum += term;
    }
    return Math.log(0.5 + Math.exp(logDensity) * sum);
  }

  function movedFactors(without) {
    const found = new Map();
    for (const [slot, median] of state.medians) {
      const factor = Math.log(median / sliders.get(slot).median);
      if (factor !== 0 && slot !== without) found.set(slot, factor);
    }
    return found;
  }

  function logWeights(family, moved) {
    const total = new Float64Array(family.favored.length);
    for (const [slot, factor] of moved) {
      const x = family.logs.get(slot);
      if (!x) continue;
      const { form, coefficients, low } = sliders.get(slot);
      if (form === "normal") {
        const [mean, deviation] = coefficients;
        let constant = 0;
        if (low !== null) {
          const cut = (mean - Math.log(low)) / deviation;
          constant = logNdtr(cut) - logNdtr(cut + factor / deviation);
        }
        for (let i = 0; i < total.length; i += 1) {
          total[i] += (factor * (x[i] - mean) - 0.5 * factor ** 2) / deviation ** 2 + constant;
        }
      } else {
        const [a, b, c] = coefficients;
        const slope = b * Math.expm1(-c * factor);
        for (let i = 0; i < total.length; i += 1) {
          total[i] += -a * factor - slope * Math.exp(c * x[i]);
        }
      }
      const pull = family.pulls.get(slot);
      if (!pull) continue;
      const shift = factor / coefficients[1];
      let half = 0;
      for (const [other, entry] of Object.entries(sliders.get(slot).precision)) {
        if (moved.has(other)) {
          half += (0.5 * entry * moved.get(other)) / sliders.get(other).coefficients[1];
        }
      }
      for (let i = 0; i < total.length; i += 1) total[i] += shift * (pull[i] - half);
    }
    return total;
  }

  function weighed(family, moved) {
    const logs = logWeights(family, moved);
    const largest = logs.reduce((a, b) => Math.max(a, b), -Infinity);
    const weight = logs.map((x) => Math.exp(x - largest));
    let sum = 0;
    let squares = 0;
    for (const w of weight) {
      sum += w;
      squares += w * w;
    }
    return {
      family,
      weight,
      sum,
      logMean: largest + Math.log(sum / weight.length),
      effective: sum ** 2 / squares,
    };
  }

  // Weighted mean of x, NaN left out: null if there is none.
  function mean(part, x) {
    let total = 0;
    let sum = 0;
    for (let i = 0; i < x.length; i += 1) {
      if (Number.isNaN(x[i])) continue;
      total += part.weight[i] * x[i];
      sum += part.weight[i];
    }
    return sum > 0 ? total / sum : null;
  }

  function probabilities(parts) {
    const weights = families.map(weightOf);
    const all = weights.reduce((a, b) => a + b, 0);
    if (!data.evidence) return weights.map((w) => w / all);
    const logs = parts.map(
      (part, k) =>
        Math.log(((part.family.probability / part.family.weight) * weights[k]) / all) + part.logMean,
    );
    const largest = Math.max(...logs);
    const scaled = logs.map((x) => Math.exp(x - largest));
    const sum = scaled.reduce((a, b) => a + b, 0);
    return scaled.map((x) => x / sum);
  }

  // Weighted share of the draws in which x is a number.
  function shareOf(part, x) {
    let there = 0;
    for (let i = 0; i < x.length; i += 1) if (!Number.isNaN(x[i])) there += part.weight[i];
    return there / part.sum;
  }

  // ρ ∝ π times those shares: a family counts by its draws that have a figure.
  function among(pi, shares) {
    if (shares.every((s) => s === 1)) return pi;
    const rho = pi.map((p, k) => p * shares[k]);
    const all = rho.reduce((a, b) => a + b, 0);
    return all > 0 ? rho.map((r) => r / all) : rho;
  }

  // Null where no family has a figure.
  function average(rho, figures) {
    let sum = null;
    for (let k = 0; k < rho.length; k += 1) if (rho[k] > 0) sum += rho[k] * figures[k];
    return sum;
  }

  // Standard error of the average: of the weighted means, and with evidence of the families'
  // probabilities, to first order.
  function errorOf(parts, pi, favored, whole) {
    let variance = 0;
    const slopes = pi.map(() => 0);
    parts.forEach((part, k) => {
      if (!(pi[k] > 0)) return;
      const { family, weight, sum } = part;
      const n = weight.length;
      const away = data.evidence ? favored[k] - whole : 0;
      let squares = 0;
      for (let i = 0; i < n; i += 1) {
        const w = (weight[i] * n) / sum;
        squares += (w * (family.favored[i] - favored[k]) + (w - 1) * away) ** 2;
      }
      variance += (pi[k] * family.inflation) ** 2 * (squares / n / n);
      slopes[k] = (pi[k] * away) / family.probability;
    });
    data.covariance.forEach((row, k) =>
      row.forEach((entry, l) => {
        variance += slopes[k] * entry * slopes[l];
      }),
    );
    return Math.sqrt(Math.max(variance, 0));
  }

  function reweighed() {
    const moved = movedFactors();
    const parts = families.map((family) => weighed(family, moved));
    const pi = probabilities(parts);
    const favored = parts.map((part) => mean(part, part.family.favored));
    const mass = parts.map((part) => mean(part, part.family.mass));
    const rho = among(pi, parts.map((part) => shareOf(part, part.family.mass)));
    const whole = average(pi, favored);
    return {
      parts,
      pi,
      error: errorOf(parts, pi, favored, whole),
      favored,
      mass,
      effective: 1 / parts.reduce((sum, part, k) => sum + pi[k] ** 2 / part.effective, 0),
      averageFavored: whole,
      averageMass: average(rho, mass),
    };
  }

  // --- the phase diagram ------------------------------------------------------------------------

  function phaseShares() {
    const family = families.find((f) => f.name === phase.family);
    const values = family.logs.get(state.cost);
    const sorted = values.slice().sort();
    const edges = Array.from(
      { length: phase.rows - 1 },
      (_, k) => sorted[Math.floor(((k + 1) * sorted.length) / phase.rows)],
    );
    const part = weighed(family, movedFactors(data.evidence ? undefined : "linear_rate"));
    const columns = phase.rates.length;
    const first = new Float64Array(phase.rows * (columns + 1));
    const total = new Float64Array(phase.rows);
    const squares = new Float64Array(phase.rows);
    for (let i = 0; i < values.length; i += 1) {
      let row = 0;
      while (row < edges.length && edges[row] <= values[i]) row += 1;
      let column = 0;
      while (column < columns && !(phase.critical[i] < phase.rates[column])) column += 1;
      first[row * (columns + 1) + column] += part.weight[i];
      total[row] += part.weight[i];
      squares[row] += part.weight[i] ** 2;
    }
    const shares = [];
    for (let row = 0; row < phase.rows; row += 1) {
      let below = 0;
      for (let column = 0; column < columns; column += 1) {
        below += first[row * (columns + 1) + column];
        shares.push(below / total[row]);
      }
    }
    const effective = Array.from(total, (t, row) => (t > 0 ? t ** 2 / squares[row] : 0));
    return { edges, sorted, shares, effective };
  }

  // --- numbers as people read them (number_text.py) ----------------------------------------------

  function probabilityText(x) {
    if (x === null || Number.isNaN(x)) return "–";
    if (x === 0 || x === 1) return String(x);
    if (x < 0.0005) return x.toExponential(1);
    if (x > 0.9995) return `1 − ${(1 - x).toExponential(1)}`;
    return x.toFixed(3);
  }

  function percentText(x) {
    if (x > 0 && x < 0.001) return "<\u00a00.1\u00a0%";
    if (x > 0.999 && x < 1) return ">\u00a099.9\u00a0%";
    return `${Number((100 * x).toPrecision(3))}\u00a0%`;
  }

  function numberText(x) {
    if (x === 0) return "0";
    const digits = Number(x.toPrecision(3));
    return x >= 1e-3 && x < 1e6 ? String(digits) : digits.toExponential().replace("+", "");
  }

  function digitText(x) {
    const digit = Number(x.toPrecision(1));
    return x === 0 || x >= 1e-4 ? String(digit) : digit.toExponential();
  }

  // Rounded down, so that 99.9 does not pass for 100; but 6000 − 1e-12 is 6000.
  const countText = (x) =>
    Math.floor(x + 1e-6).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const powerText = (k) => `10${String(k).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)])}`;

  function put(element, text, value) {
    element.textContent = text;
    element.dataset.value = value === null ? "" : String(value);
  }

  // --- drawing ----------------------------------------------------------------------------------

  const byId = (name) => document.getElementById(`explorer-${name}`);
  const MARGIN = { left: 62, right: 14, top: 8, bottom: 92 };
  let drawn = null;

  function element(name, attributes, parent, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  function decades(low, high, most) {
    const first = Math.ceil(low / Math.LN10 - 1e-9);
    const last = Math.floor(high / Math.LN10 + 1e-9);
    const step = Math.max(1, Math.ceil((last - first + 1) / most));
    const found = [];
    for (let k = first; k <= last; k += 1) if (k % step === 0) found.push(k);
    return found.length ? found : [first];
  }

  // Axes, legend and empty cells; their colours are put in by `fill`.
  function draw(found) {
    const svg = byId("phase");
    svg.replaceChildren();
    const width = Math.max(svg.clientWidth || 640, 260);
    const height = Math.round(Math.min(Math.max(width * 0.75, 300), 440));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const right = width - MARGIN.right;
    const bottom = height - MARGIN.bottom;
    const logs = phase.rates.map(Math.log);
    const half = (logs[1] - logs[0]) / 2;
    const low = logs[0] - half;
    const high = logs[logs.length - 1] + half;
    const n = found.sorted.length;
    let floor = found.sorted[Math.floor(0.01 * n)];
    let top = found.sorted[Math.ceil(0.99 * n) - 1];
    if (!(top - floor > 1e-9) || !Number.isFinite(floor)) [floor, top] = [top - 1, top + 1];
    const across = (x) => MARGIN.left + ((x - low) / (high - low)) * (right - MARGIN.left);
    const up = (y) => bottom - ((y - floor) / (top - floor)) * (bottom - MARGIN.top);
    const within = (y) => Math.min(Math.max(y, floor), top);

    const pattern = element(
      "pattern",
      { id: "explorer-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      element("defs", {}, svg),
    );
    element("path", { d: "M0 6L6 0", class: "hatch" }, pattern);
    const ends = [floor, ...found.edges.map(within), top];
    const cells = [];
    const few = [];
    for (let row = 0; row < phase.rows; row += 1) {
      const y = up(ends[row + 1]);
      const tall = Math.max(up(ends[row]) - y, 0);
      for (const x of logs) {
        const wide = across(x + half) - across(x - half);
        cells.push(
          element(
            "rect",
            { class: "cell", x: across(x - half), y, width: wide, height: tall },
            svg,
          ),
        );
      }
      few.push(
        element(
          "rect",
          { class: "few", x: MARGIN.left, y, width: right - MARGIN.left, height: tall },
          svg,
        ),
      );
    }
    const frame = { x: MARGIN.left, y: MARGIN.top };
    const size = { width: right - MARGIN.left, height: bottom - MARGIN.top };
    element("rect", { class: "frame", ...frame, ...size }, svg);
    for (const k of decades(low, high, Math.floor(width / 60))) {
      const x = across(k * Math.LN10);
      element("path", { class: "tick", d: `M${x} ${bottom}v5` }, svg);
      element("text", { x, y: bottom + 19, "text-anchor": "middle" }, svg, powerText(k));
    }
    const rows = decades(floor, top, Math.floor(height / 40));
    for (const k of rows) {
      const y = up(k * Math.LN10);
      if (y < MARGIN.top - 1 || y > bottom + 1) continue;
      element("path", { class: "tick", d: `M${MARGIN.left} ${y}h-5` }, svg);
      element("text", { x: MARGIN.left - 9, y: y + 4, "text-anchor": "end" }, svg, powerText(k));
    }
    const middle = { x: (MARGIN.left + right) / 2, "text-anchor": "middle" };
    element("text", { ...middle, y: bottom + 39 }, svg, "linear rate, steps per bit");
    const unit = sliders.get(state.cost).unit || "times";
    const turn = { transform: `translate(14 ${(MARGIN.top + bottom) / 2}) rotate(-90)` };
    const label = element("text", { ...turn, "text-anchor": "middle" }, svg, `${state.cost}, ${unit}`);
    // Its name stands above the diagram as well: a long one gives way to its unit.
    if (label.getComputedTextLength() > bottom - MARGIN.top) label.textContent = unit;
    legend(svg, right, height);
    const marks = ["halo", "ring"].map((name) => element("circle", { class: name, r: 7 }, svg));
    drawn = { width: svg.clientWidth, cost: state.cost, cells, few, marks, across, up, within, low, high };
  }

  function legend(svg, right, height) {
    const steps = 11;
    const wide = (right - MARGIN.left) / steps;
    const y = height - 36;
    for (let k = 0; k < steps; k += 1) {
      const x = MARGIN.left + k * wide;
      const place = { class: "cell", x, y, width: wide, height: 12 };
      element("rect", { ...place, "fill-opacity": k / (steps - 1) }, svg);
    }
    element("rect", { class: "frame", x: MARGIN.left, y, width: right - MARGIN.left, height: 12 }, svg);
    element("text", { x: MARGIN.left, y: height - 8 }, svg, "0");
    element("text", { x: right, y: height - 8, "text-anchor": "end" }, svg, "1");
    const middle = { x: (MARGIN.left + right) / 2, y: height - 8, "text-anchor": "middle" };
    element("text", middle, svg, "P(deceptive favored)");
  }

  function showPhase() {
    const found = phaseShares();
    if (!drawn || drawn.cost !== state.cost || drawn.width !== byId("phase").clientWidth) draw(found);
    drawn.cells.forEach((cell, k) => {
      const share = found.shares[k];
      cell.setAttribute("fill-opacity", Number.isNaN(share) ? 0 : share.toFixed(4));
      cell.dataset.value = String(share);
    });
    drawn.few.forEach((cell, row) => {
      cell.setAttribute("visibility", found.effective[row] < FEW ? "visible" : "hidden");
      cell.dataset.value = String(found.effective[row]);
    });
    const rate = sliders.has("linear_rate") ? medianOf("linear_rate") : phase.rate;
    const x = drawn.across(Math.min(Math.max(Math.log(rate), drawn.low), drawn.high));
    const y = drawn.up(drawn.within(Math.log(medianOf(state.cost))));
    for (const mark of drawn.marks) {
      mark.setAttribute("cx", x);
      mark.setAttribute("cy", y);
    }
    sayPhase(found, rate);
  }

  function sayPhase(found, rate) {
    const column = phase.rates.reduce((best, r, k) => {
      const away = (x) => Math.abs(Math.log(x / rate));
      return away(r) < away(phase.rates[best]) ? k : best;
    }, 0);
    const at = (row) => probabilityText(found.shares[row * phase.rates.length + column]);
    byId("phase-said").textContent =
      `At ${numberText(phase.rates[column])} steps per bit it goes from ${at(0)} in the twelfth of ` +
      `the draws with the least ${state.cost} to ${at(phase.rows - 1)} in that with the most.`;
    if (!byId("numbers").open) return;
    const table = byId("numbers").querySelector("table");
    const shown = Array.from({ length: 7 }, (_, k) => Math.round((k * (phase.rates.length - 1)) / 6));
    const rows = [];
    const cell = (name, text) => {
      const made = document.createElement(name);
      made.textContent = text;
      if (name === "th") made.scope = "col";
      return made;
    };
    const row = (...cells) => {
      const made = document.createElement("tr");
      made.append(...cells);
      return made;
    };
    const headings = shown.map((c) => cell("th", numberText(phase.rates[c])));
    rows.push(row(cell("th", `${state.cost} up to`), ...headings));
    for (let r = phase.rows - 1; r >= 0; r -= 1) {
      const end = r < found.edges.length ? numberText(Math.exp(found.edges[r])) : "any";
      const figures = shown.map((c) =>
        cell("td", probabilityText(found.shares[r * phase.rates.length + c])),
      );
      const head = cell("th", end);
      head.scope = "row";
      rows.push(row(head, ...figures));
    }
    table.replaceChildren(...rows);
  }

  // --- what is shown ----------------------------------------------------------------------------

  const rowsOfFamilies = new Map(
    [...section.querySelectorAll("tr[data-family]")].map((row) => [row.dataset.family, row]),
  );
  let speaking = 0;

  function changes() {
    const said = [...state.medians].map(
      ([slot, m]) => `${slot} ${numberText(sliders.get(slot).median)} → ${numberText(m)}`,
    );
    if (state.weights) {
      said.push(families.map((f) => `weight of ${f.name} ${numberText(weightOf(f))}`).join(", "));
    }
    return said;
  }

  function show() {
    const found = reweighed();
    const reliable = found.effective >= data.least;
    const said = changes();
    section.classList.toggle("unreliable", !reliable);
    section.classList.toggle("touched", said.length > 0);
    byId("lead").textContent = said.length ? "With these beliefs" : "As the model has it";
    put(byId("favored"), probabilityText(found.averageFavored), found.averageFavored);
    put(byId("error"), digitText(found.error), found.error);
    byId("mass-part").hidden = found.averageMass === null;
    if (found.averageMass !== null) put(byId("mass"), percentText(found.averageMass), found.averageMass);
    put(byId("effective"), countText(found.effective), found.effective);
    byId("all").textContent = countText(families.reduce((sum, f) => sum + f.favored.length, 0));
    byId("doubt").hidden = reliable;
    found.parts.forEach((part, k) => {
      const row = rowsOfFamilies.get(part.family.name);
      const cells = row.querySelectorAll("td");
      row.classList.toggle("unreliable", part.effective < data.least);
      put(cells[0], probabilityText(found.pi[k]), found.pi[k]);
      put(cells[1], probabilityText(found.favored[k]), found.favored[k]);
      put(cells[2], probabilityText(found.mass[k]), found.mass[k]);
      put(cells[3], countText(part.effective), part.effective);
    });
    byId("moved").textContent = said.length ? `Moved: ${said.join("; ")}.` : "";
    byId("reset").disabled = said.length === 0;
    if (phase) showPhase();
    // Said once the hand is still, not at every step of a slider.
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      const few = reliable ? "" : " Too few effective draws to trust it.";
      byId("spoken").textContent =
        `Deceptive favored with probability ${probabilityText(found.averageFavored)}, ` +
        `${countText(found.effective)} effective draws.${few}`;
    }, 500);
  }

  // --- controls ---------------------------------------------------------------------------------

  const LOG10 = (x) => Math.log(x) / Math.LN10;
  const controls = [];

  // Not by a rounding error under the hand that holds it.
  function putRange(range, value) {
    if (Math.abs(Number(range.value) - value) > 1e-9) range.value = value;
  }

  function showControls() {
    for (const control of controls) control.show();
    const choice = byId("family");
    if (choice) {
      const alone = families.filter((f) => weightOf(f) > 0);
      choice.value = !state.weights ? "" : alone.length === 1 ? alone[0].name : "own";
    }
    if (phase) byId("cost").value = state.cost;
  }

  function changed() {
    showControls();
    show();
    // The address is written anew, without what it named in vain.
    showLost([]);
    remember();
  }

  function setMedian(slot, value) {
    if (!(value > 0 && Number.isFinite(value))) return false;
    // No farther than the slider goes: beyond it no draw is left, and numbers overflow.
    const slider = sliders.get(slot);
    const median = Math.min(Math.max(value, slider.from), slider.to);
    if (median === slider.median) state.medians.delete(slot);
    else state.medians.set(slot, median);
    return true;
  }

  function setWeight(name, value) {
    if (!(value >= 0 && value <= 1)) return false;
    const weights = new Map(families.map((f) => [f.name, weightOf(f)]));
    weights.set(name, value);
    // Some family must have weight.
    if (![...weights.values()].some((w) => w > 0)) return false;
    setWeights(weights);
    return true;
  }

  function setWeights(weights) {
    const same = families.every((f) => weights.get(f.name) === f.weight);
    state.weights = same ? null : weights;
  }

  function only(name) {
    setWeights(new Map(families.map((f) => [f.name, f.name === name ? 1 : 0])));
  }

  for (const box of section.querySelectorAll(".explorer-slider")) {
    const [range, text] = box.querySelectorAll("input");
    const { slot, family: name } = box.dataset;
    const family = families.find((f) => f.name === name);
    if (slot) {
      const slider = sliders.get(slot);
      range.min = LOG10(slider.from);
      range.max = LOG10(slider.to);
      range.addEventListener("input", () => {
        setMedian(slot, 10 ** Number(range.value));
        changed();
      });
      text.addEventListener("change", () => {
        setMedian(slot, Number(text.value.replace(",", ".")));
        changed();
      });
      controls.push({
        show() {
          const median = medianOf(slot);
          putRange(range, LOG10(median));
          range.setAttribute("aria-valuetext", `${numberText(median)} ${slider.unit}`.trim());
          text.value = numberText(median);
          box.classList.toggle("moved", state.medians.has(slot));
        },
      });
    } else {
      range.addEventListener("input", () => {
        setWeight(name, Number(range.value));
        changed();
      });
      text.addEventListener("change", () => {
        setWeight(name, Number(text.value.replace(",", ".")));
        changed();
      });
      controls.push({
        show() {
          putRange(range, weightOf(family));
          text.value = numberText(weightOf(family));
          box.classList.toggle("moved", state.weights !== null);
        },
      });
    }
  }

  byId("family")?.addEventListener("change", (event) => {
    if (event.target.value === "") state.weights = null;
    else only(event.target.value);
    changed();
  });
  byId("cost")?.addEventListener("change", (event) => {
    state.cost = event.target.value;
    changed();
  });
  byId("numbers")?.addEventListener("toggle", show);
  byId("reset").addEventListener("click", () => {
    state.medians.clear();
    state.weights = null;
    changed();
  });

  // --- the address: "#bits.get_base_obj=3000&weight.levin=0&cost=bits.combine" --------------------

  function recall() {
    state.medians.clear();
    state.weights = null;
    if (phase) state.cost = phase.cost;
    const lost = [];
    for (const [key, value] of isPlace() ? [] : new URLSearchParams(location.hash.slice(1))) {
      if (!taken(key, value)) lost.push(oneWay(`${key}=${value}`));
    }
    showLost(lost);
  }

  // A link within the page, which sets nothing.
  const isPlace = () => !location.hash.includes("=");

  // Sets what a key of the address names; false where there is no such thing, or no such value.
  function taken(key, value) {
    const name = key.startsWith("weight.") ? key.slice(7) : null;
    // Number("") is 0.
    const number = value.trim() ? Number(value) : NaN;
    if (sliders.has(key)) return setMedian(key, number);
    if (families.some((f) => f.name === name)) return setWeight(name, number);
    if (key === "family" && families.some((f) => f.name === value)) only(value);
    else if (key === "cost" && phase && phase.costs.includes(value)) state.cost = value;
    else return false;
    return true;
  }

  // As in wording.py: no mark that turns round what follows, and no text that never ends.
  function oneWay(text) {
    const plain = text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
    return plain.length > 60 ? `${plain.slice(0, 57)}...` : plain;
  }

  function showLost(lost) {
    const few = lost.slice(0, 5).join("; ");
    const more = lost.length > 5 ? ` and ${lost.length - 5} more` : "";
    byId("lost").hidden = lost.length === 0;
    byId("lost").textContent = lost.length
      ? `Left out of the address, as it names nothing here or has no such value: ${few}${more}.`
      : "";
  }

  let written = location.hash;
  function remember() {
    const parts = new URLSearchParams();
    for (const [slot, median] of state.medians) parts.set(slot, String(median));
    if (state.weights) for (const [name, w] of state.weights) parts.set(`weight.${name}`, String(w));
    if (phase && state.cost !== phase.cost) parts.set("cost", state.cost);
    const text = parts.toString();
    if (`#${text}` === written || (!text && !written)) return;
    written = text ? `#${text}` : "";
    try {
      history.replaceState(null, "", written || location.pathname + location.search);
    } catch {
      // A page without an address of its own still works; it only cannot be shared as it stands.
    }
  }

  addEventListener("hashchange", () => {
    // Links within the page change the address as well, and must not undo what was moved.
    if (location.hash === written || isPlace()) return;
    written = location.hash;
    recall();
    showControls();
    show();
  });

  recall();
  section.hidden = false;
  const link = byId("link");
  if (link) link.hidden = false;
  showControls();
  show();
  if (phase && "ResizeObserver" in window) {
    // In a frame of its own: drawing changes the height, which would be reported once more.
    const again = () => drawn.width !== byId("phase").clientWidth && showPhase();
    new ResizeObserver(() => requestAnimationFrame(again)).observe(byId("phase"));
  }
})();
