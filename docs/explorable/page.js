// What is on the page: tables that can be edited, what each number is made of, and two pictures.
"use strict";

(() => {
  const {ITEMS, USERS, UNITS, BLOCKS, FAULTS} = Model;
  const $ = id => document.getElementById(id);
  const seq = n => Array.from({length: n}, (_, k) => k);

  function fill(node, attributes, children) {
    for (const [name, x] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), x);
      else if (x !== false) node.setAttribute(name, x === true ? "" : x);
    }
    node.append(...children);
    return node;
  }
  const el = (tag, attributes = {}, ...children) =>
    fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

  // How numbers and formulas are written

  const minus = text => text.replace("-", "−");
  const power = n => [...String(n)].map(d => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(d)]).join("");
  function written(x, digits = 3) {
    if (!Number.isFinite(x)) return minus(String(x));
    const size = Math.abs(x);
    if (size >= 1e5 || (size && size < 10 ** -digits / 2)) {
      const [mantissa, exponent] = x.toExponential(1).split("e");
      return minus(mantissa) + "·10" + power(Number(exponent));
    }
    return minus(x.toFixed(size >= 1000 ? 1 : digits));
  }
  const short = x => minus(String(Number(x.toPrecision(4)))); // inside of sums
  const paren = x => x < 0 ? `(${short(x)})` : short(x);

  // "z_{11}" and "e^{x}" with subscripts and superscripts, single letters in italics
  function math(text) {
    const parts = text.split(/([_^](?:\{[^}]*\}|.))/);
    return el("span", {class: "math"}, ...parts.flatMap(part => {
      const low = {_: "sub", "^": "sup"}[part[0]];
      if (low) return el(low, {}, part.slice(1).replace(/[{}]/g, ""));
      return part.split(/([A-Za-zθμλ]+)/).map(word =>
        /^[A-Za-zθμλ]$/.test(word) ? el("i", {}, word) : word);
    }));
  }

  // Tables: [kind of row, kind of column, letter, formula, equation]; V, mu, W, b and X are typed
  const TABLES = {
    X: ["item", "user", "x", "X"],
    V: ["user", "unit", "V", "V"],
    mu: ["", "unit", "μ", "μ"],
    Z: ["item", "unit", "z", "Z = X V + μ", "(1)"],
    H: ["item", "unit", "h", "H = g(Z)", "(1)"],
    W: ["unit", "user", "W", "W^T"],
    b: ["", "user", "b", "b"],
    Y: ["item", "user", "y", "Y = H W^T + b", "(1)"],
    E: ["item", "user", "e", "E = Y − X", "(3)"],
    DA: ["item", "user", "∂J/∂a", "D_A = 2 E", "(4), (5)"],
    DW: ["unit", "user", "∂J/∂W", "D_W^T = H^T D_A + λ W^T", "(6)"],
    Db: ["", "user", "∂J/∂b", "D_b = Σ_r D_A", "(7)"],
    DH: ["item", "unit", "∂J/∂h", "D_H = D_A W", "(8)"],
    DZ: ["item", "unit", "∂J/∂z", "D_Z = D_H ∘ H ∘ (1−H)", "(9)"],
    DV: ["user", "unit", "∂J/∂V", "D_V = X^T D_Z + λ V", "(10)"],
    Dmu: ["", "unit", "∂J/∂μ", "D_μ = Σ_r D_Z", "(11)"],
  };
  const GROUPS = [["X"], ["V", "mu"], ["Z"], ["H"], ["W", "b"], ["Y"], ["E"], ["J"],
    ["DA"], ["DW", "Db"], ["DH"], ["DZ"], ["DV", "Dmu"]];
  const COUNT = {item: ITEMS, user: USERS, unit: UNITS, "": 1};
  const SIGN = {item: "i", user: "u", unit: "h"};
  const isTyped = n => n === "X" || n in BLOCKS;
  const isTurned = n => n === "W" || n === "DW"; // shown transposed, above and below Y
  const isVector = n => TABLES[n][0] === "";
  const GREEK = {V: "V", mu: "μ", W: "W", b: "b"};

  // What is chosen and set
  let p, fault, chosen, revealed, guessed, lang, walk, J = null, before = null;
  const tally = [0, 0], cells = {}, english = {};
  const words = () => WORDS[lang];
  const at = (s, n, r, c) => isVector(n) ? s[n][c] : s[n][r][c];
  const symbol = (n, r, c) =>
    `${TABLES[n][2]}_{${isVector(n) ? "" : r + 1}${c + 1}}`;
  const thetaName = k => {
    const [n, [first]] = Object.entries(BLOCKS).find(([, [a, b]]) => k >= a && k < b);
    return [n, ...(isVector(n) ? [0, k - first] : [k - first >> 1, k - first & 1])];
  };
  const plainName = k => {
    const [n, r, c] = thetaName(k);
    return isVector(n) ? `${GREEK[n]}[${c + 1}]` : `${GREEK[n]}[${r + 1}, ${c + 1}]`;
  };

  function label(n, r, c) {
    const w = words(), [rows, columns] = TABLES[n], [y, x] = isTurned(n) ? [c, r] : [r, c];
    const place = [rows && `${w[rows]} ${y + 1}`, `${w[columns]} ${x + 1}`].filter(Boolean);
    return `${n.replace("D", "D ").replace("mu", "μ")} ${place.join(", ")}`;
  }

  function set(n, r, c, x) {
    if (isVector(n)) p[n][c] = x; else p[n][r][c] = x;
  }

  function build() {
    $("net").replaceChildren(...GROUPS.map(names => el("div", {class: `group ${names[0]}`},
      ...names.map(n => n === "J" ? objectiveCard() : table(n)))),
    el("ul", {id: "legend"}));
  }

  function objectiveCard() {
    cells.J = el("button", {type: "button", class: "cell", onclick: () => choose(["J", 0, 0])});
    return el("div", {id: "objective"},
      el("div", {class: "caption"}, math("J = Σ e^2 + λ/2 Σ (V^2 + W^2)"), el("small", {}, " (2)")),
      cells.J, el("div", {id: "parts"}),
      el("label", {}, math("λ"), " ", el("input", {id: "lambda", size: 5, autocomplete: "off",
        oninput: event => typed(event.target, "lambda"), onfocus: () => choose(["lambda", 0, 0]),
        onblur: show})));
  }

  function table(n) {
    const [rows, columns, , formula, equation] = TABLES[n];
    const head = (kind, k, scope) => kind ? el("th", {scope}, SIGN[kind] + (k + 1)) : el("td");
    cells[n] = isTurned(n) ? seq(USERS).map(() => []) : seq(COUNT[rows]).map(() => []);
    const body = seq(COUNT[rows]).map(y => el("tr", {}, head(rows, y, "row"),
      ...seq(COUNT[columns]).map(x => {
        const [r, c] = isTurned(n) ? [x, y] : [y, x], cell = isTyped(n) ? input(n, r, c)
          : el("button", {type: "button", class: "cell", tabindex: x || y ? -1 : 0,
            onclick: () => choose([n, r, c]), onfocus: () => choose([n, r, c])});
        cell.addEventListener("keydown", event => move(event, n, y, x));
        cells[n][r][c] = cell;
        return el("td", {}, cell);
      })));
    const name = el("span", {class: "name", "data-name": n});
    return el("table", {class: n},
      el("caption", {}, math(formula), el("small", {}, ` ${equation ?? ""} `), name),
      el("thead", {}, el("tr", {}, el("td"),
        ...seq(COUNT[columns]).map(x => head(columns, x, "col")))),
      el("tbody", {}, ...body));
  }

  const input = (n, r, c) => el("input", {class: "cell", autocomplete: "off", spellcheck: "false",
    inputmode: n === "X" ? "decimal" : "text",
    oninput: event => typed(event.target, n, r, c),
    onfocus: event => { event.target.select(); choose([n, r, c]); }, onblur: show});

  function typed(field, n, r, c) {
    const x = Model.read(field.value);
    const good = x !== undefined && (x !== null || n === "X") && (n !== "lambda" || x >= 0);
    field.toggleAttribute("aria-invalid", !good);
    if (!good) return field.setAttribute("aria-invalid", "true");
    if (n === "lambda") p.lambda = x; else set(n, r, c, x);
    return changed();
  }

  // The arrow keys move within a table; in a box, left and right only from the ends of its text.
  function move(event, n, y, x) {
    const d = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    const {value, selectionStart, selectionEnd} = event.target;
    if (!d || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (value && isTyped(n) && d[1]) {
      const whole = selectionStart === 0 && selectionEnd === value.length;
      if (!whole && selectionEnd !== (d[1] > 0 ? value.length : 0)) return;
    }
    const [row, column] = [y + d[0], x + d[1]];
    const next = isTurned(n) ? cells[n][column]?.[row] : cells[n][row]?.[column];
    if (!next) return;
    event.preventDefault();
    if (!isTyped(n)) {
      for (const cell of cells[n].flat()) cell.tabIndex = -1;
      next.tabIndex = 0;
    }
    next.focus();
  }

  // What a number is made of: its formula; its terms, strings and ingredients [n, r, c, role],
  // where the role (a, b, c) is a color; further cells to ring; a remark.
  function made(n, r, c, s) {
    const w = words(), R = r + 1, C = c + 1, rated = (q, j) => p.X[q][j] !== null;
    const counts = (q, j) => s.DA[q][j] !== null;
    const sum = list => list.length ? list.flatMap((x, k) => k ? [" + ", ...x] : x) : ["0"];
    const products = pairs => sum(pairs.map(([a, b]) => [[...a, "a"], " · ", [...b, "b"]]));
    const weight = (block, half, left) => left ? [] :
      [" + ", ["lambda", 0, 0, "c"], half ? "/2 · " : " · ", [block, r, c, "c"]];
    const is = symbol(n, r, c);
    switch (n) {
      case "J": {
        const e = seq(ITEMS).flatMap(q => seq(USERS).filter(j => s.E[q][j] !== null)
          .map(j => [["E", q, j, "a"], "²"]));
        const half = fault === "value" ? "" : "/2", squares = s.penalty / (p.lambda || 1);
        return [`J = Σ e^2 + λ${half} Σ (V^2 + W^2)`,
          [...sum(e), " + ", ["lambda", 0, 0, "c"], `${half} · ${short(
            p.lambda ? squares * (half ? 2 : 1) : [p.V, p.W].flat(2).reduce((t, x) => t + x * x, 0))}`],
          w.objective, ["V", "W"].flatMap(m => cells[m].flat())];
      }
      case "Z": {
        const js = seq(USERS).filter(j => rated(r, j));
        return [`${is} = Σ_j x_{${R}j} V_{j${C}} + μ_{${C}}`,
          [...products(js.map(j => [["X", r, j], ["V", j, c]])), " + ", ["mu", 0, c, "c"]],
          js.length < USERS ? w.noHoles : ""];
      }
      case "H":
        return [`${is} = g(z_{${R}${C}}) = 1 / (1 + e^{−z})`,
          ["1 / (1 + exp(−", ["Z", r, c, "a"], "))"], w.squash];
      case "Y":
        return [`${is} = Σ_i h_{${R}i} W_{${C}i} + b_{${C}}`,
          [...products(seq(UNITS).map(i => [["H", r, i], ["W", c, i]])), " + ", ["b", 0, c, "c"]],
          rated(r, c) ? "" : w.prediction];
      case "E":
        if (s.E[r][c] === null) return [is, [], w.noError, [cells.X[r][c]]];
        return [`${is} = y_{${R}${C}} − x_{${R}${C}}`,
          [["Y", r, c, "a"], " − ", rated(r, c) ? ["X", r, c, "b"] : "0"], ""];
      case "DA": {
        if (s.DA[r][c] === null) return [is, [], w.noError, [cells.E[r][c]]];
        if (!rated(r, c)) return [`${is} = 2 y_{${R}${C}}`, ["2 · ", ["Y", r, c, "a"]], ""];
        const factor = {factor: "1", sign: "−2", mean: `2/${p.X.flat().filter(x => x !== null).length}`};
        return [`${is} = ${factor[fault] ?? 2} e_{${R}${C}}`,
          [`${factor[fault] ?? 2} · `, ["E", r, c, "a"]], ""];
      }
      case "DW": {
        const read = fault === "activity" ? "Z" : "H", qs = seq(ITEMS).filter(q => counts(q, r));
        return [`${is} = Σ_r D_A_{r${R}} ${read.toLowerCase()}_{r${C}} + λ${fault === "half" ? "/2" : ""} W_{${R}${C}}`,
          [...products(qs.map(q => [["DA", q, r], [read, q, c]])), ...weight("W", fault === "half")],
          w.outer];
      }
      case "Db":
        return [`${is} = Σ_r D_A_{r${C}}` + (fault === "bias" ? ` + λ b_{${C}}` : ""),
          [...sum(seq(ITEMS).filter(q => counts(q, c)).map(q => [["DA", q, c, "a"]])),
            ...weight("b", false, fault !== "bias")], w.sums];
      case "DH": {
        const m = fault === "swap" ? "V" : "W", js = seq(USERS).filter(j => counts(r, j));
        return [`${is} = Σ_c D_A_{${R}c} ${m}_{c${C}}`,
          products(js.map(j => [["DA", r, j], [m, j, c]])), w.back];
      }
      case "DZ": {
        const m = fault === "before" ? "Z" : "H", x = m.toLowerCase();
        const tail = fault === "slope" ? [] : [" · (1 − ", [m, r, c, "b"], ")"];
        return [`${is} = D_H_{${R}${C}} · ${x}` + (fault === "slope" ? "" : ` (1 − ${x})`),
          [["DH", r, c, "a"], " · ", [m, r, c, "b"], ...tail], w.slope];
      }
      case "DV": {
        const qs = seq(ITEMS).filter(q => rated(q, r)), left = fault === "penalty";
        return [`${is} = Σ_r x_{r${R}} D_Z_{r${C}}` + (left ? "" : ` + λ V_{${R}${C}}`),
          [...products(qs.map(q => [["X", q, r], ["DZ", q, c]])), ...weight("V", false, left)],
          w.outerV];
      }
      case "Dmu": {
        const terms = sum(seq(ITEMS).map(q => [["DZ", q, c, "a"]])), mean = fault === "rows";
        return [`${is} = Σ_r D_Z_{r${C}}` + (mean ? " / 3" : ""),
          mean ? ["(", ...terms, ") / 3"] : terms, w.sums];
      }
    }
    return null;
  }

  // A number that is typed: where it goes, and for a parameter what its derivative promises
  function whereTo(n, r, c, s) {
    const w = words();
    if (n === "lambda") return ["λ", w.isLambda, [...cells.V.flat(), ...cells.W.flat()]];
    if (n === "X") {
      const row = p.X[r][c] === null ? [cells.Y[r][c]] : [...cells.Z[r], cells.E[r][c]];
      const said = p.X[r][c] === null ? w.isHole(written(s.Y[r][c])) : w.isRating;
      return [symbol(n, r, c), said, row];
    }
    const raised = structuredClone(p), d = at(s, `D${n}`, r, c);
    if (isVector(n)) raised[n][c] += 0.01; else raised[n][r][c] += 0.01;
    const really = Model.value(raised, fault).J - s.J;
    const said = w.isParameter(written(d, 4), written(d / 100, 5), written(really, 5));
    return [symbol(n, r, c), said, [cells[`D${n}`][r][c]]];
  }

  const cellOf = (n, r, c) =>
    n === "lambda" ? $("lambda") : n === "J" ? cells.J : cells[n][r][c];

  function choose(where) {
    if (String(chosen) === String(where)) return;
    chosen = where;
    explain();
    remember();
  }

  function explain() {
    for (const old of document.querySelectorAll("[data-ring]")) delete old.dataset.ring;
    for (const old of $("net").querySelectorAll("[aria-pressed=true]")) {
      old.setAttribute("aria-pressed", "false");
    }
    $("why").hidden = !chosen;
    if (!chosen) return;
    const [n, r, c] = chosen, s = Model.backward(p, fault), lines = [], cell = cellOf(n, r, c);
    const typedIn = isTyped(n) || n === "lambda";
    if (typedIn) {
      const [name, said, rings] = whereTo(n, r, c, s), x = valueOf(s, n, r, c);
      for (const ring of rings) ring.dataset.ring = "a";
      lines.push(el("p", {}, math(name), x === null ? "" : ` = ${short(x)}`),
        el("p", {class: "remark"}, said));
      if (document.activeElement !== $("slider")) slide(n, x);
    } else {
      const [formula, terms, remark, rings = []] = made(n, r, c, s), x = valueOf(s, n, r, c);
      for (const ring of rings) ring.dataset.ring = "a";
      const numbers = terms.map((term, k) => {
        if (typeof term === "string") return term;
        const [m, q, j, role] = term, y = valueOf(s, m, q, j);
        cellOf(m, q, j).dataset.ring = role;
        return el("b", {class: role}, k && y < 0 ? paren(y) : short(y));
      });
      lines.push(el("p", {}, math(formula), el("small", {}, ` ${equationOf(n)}`)));
      if (terms.length) {
        lines.push(el("p", {class: "numbers"}, "= ", ...numbers, el("strong", {}, ` = ${written(x, 6)}`)));
      }
      const right = valueOf(Model.backward(p), n, r, c), differs = Math.abs(right - x) > 1e-9;
      if (remark) lines.push(el("p", {class: "remark"}, remark));
      if (differs) lines.push(el("p", {class: "bad"}, words().withFault(written(right ?? 0, 6))));
      cell.setAttribute("aria-pressed", "true");
    }
    cell.dataset.ring = "chosen";
    $("touch").hidden = !typedIn;
    $("hole").hidden = n !== "X";
    $("made").replaceChildren(...lines);
  }
  const valueOf = (s, n, r, c) => n === "lambda" ? p.lambda : n === "J" ? s.J
    : at(isTyped(n) ? p : s, n, r, c);
  const equationOf = n => n === "J" ? "(2)" : TABLES[n][4];

  function slide(n, x) {
    const [min, max, step] = n === "X" ? [0, 5, 0.5] : n === "lambda" ? [0, 5, 0.1]
      : [Math.floor(x) - 3, Math.floor(x) + 3, 0.05];
    Object.assign($("slider"), {min: Math.min(min, x), max: Math.max(max, x), step, value: x ?? 0});
  }

  // Drawing all numbers anew

  function changed(except = document.activeElement) {
    before = J;
    walk.rules = null;
    unreveal();
    show(except);
    remember();
  }

  function show(except) {
    const s = Model.backward(p, fault), right = revealed ? Model.backward(p) : s, w = words();
    J = s.J;
    for (const n of Object.keys(TABLES)) {
      const source = isTyped(n) ? p : s;
      const largest = Math.max(1e-9, ...[source[n]].flat(2).map(x => Math.abs(x ?? 0)));
      cells[n].forEach((row, r) => row.forEach((cell, c) => {
        const x = at(source, n, r, c), hole = "XYEDA".includes(n) && p.X[r][c] === null;
        const wrong = !isTyped(n) && Math.abs((at(right, n, r, c) ?? 0) - (x ?? 0)) > 1e-9;
        cell.dataset.kind = hole ? (n === "Y" ? "predicted" : "hole") : "";
        cell.classList.toggle("wrong", wrong);
        cell.style.setProperty("--size", `${Math.round(60 * Math.abs(x ?? 0) / largest)}%`);
        cell.classList.toggle("negative", x < 0);
        if (isTyped(n)) {
          if (cell !== except) {
            cell.value = x === null ? "" : String(Number(x.toFixed(4)));
            cell.removeAttribute("aria-invalid");
          }
          cell.setAttribute("aria-label", label(n, r, c) + (hole ? `, ${w.holeCell}` : ""));
        } else {
          cell.textContent = x === null ? "·" : written(x);
          const notes = [hole && (n === "Y" ? w.predicted : x === null && w.holeCell), wrong && w.wrong];
          cell.setAttribute("aria-label",
            [`${label(n, r, c)}: ${cell.textContent}`, ...notes.filter(Boolean)].join(", "));
        }
      }));
    }
    if ($("lambda") !== except) {
      $("lambda").value = p.lambda;
      $("lambda").removeAttribute("aria-invalid");
    }
    const change = before === null ? 0 : J - before;
    cells.J.textContent = `J = ${written(J, 6)}`;
    $("parts").textContent = `${w.data} ${written(s.data)} + ${w.penalty} ${written(s.penalty)}` +
      (change ? ` · ${w.change} ${change > 0 ? "+" : ""}${written(change)}` : "");
    explain();
    showFault();
    later();
  }

  let waiting = 0; // the pictures cost more than the tables: once for each frame
  function later() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { drawCurves(); drawWalk(); });
  }

  // Faults

  const faultName = name =>
    `${FAULTS[name].equation ?? ""} ${words().faults[name]}`.trim();
  function unreveal() {
    revealed = false;
    $("verdict").replaceChildren();
  }

  function showFault() {
    $("planted").hidden = fault === "none";
    $("planted").firstChild.textContent = words().planted(faultName(fault), revealed);
    for (const old of $("net").querySelectorAll(".source")) old.classList.remove("source");
    const {at: where} = FAULTS[fault];
    if (revealed && where) $("net").querySelector(`.group.${where}, table.${where}`).classList.add("source");
  }

  function reveal() {
    const w = words(), report = Model.check(p, fault), names = Object.keys(BLOCKS);
    const failed = names.filter(n => !report[n].pass);
    const said = names.filter(n => $(`guess-${n}`).checked), hit = said.join() === failed.join();
    const called = list => list.map(n => GREEK[n]).join(", ") || w.nothing;
    if (!revealed) {
      tally[1] += 1;
      tally[0] += hit;
    }
    revealed = true;
    const rows = names.map(n => {
      const x = report[n], [first] = BLOCKS[n], slope = Model.taylorSlope(p, fault, n);
      const cellsOf = [plainName(first + x.index), written(x.analytic, 5), written(x.numeric, 5),
        x.error < 5e-16 ? "0" : scientific(x.error), slope === Infinity ? w.exact : slope.toFixed(2)];
      return el("tr", {}, el("th", {scope: "row"}, GREEK[n]),
        el("td", {class: x.pass ? "pass" : "fail"}, x.pass ? `✓ ${w.pass}` : `✗ ${w.fail}`),
        ...cellsOf.map(text => el("td", {}, text)));
    });
    const heads = [w.unit1, w.verdict, w.worst, w.byHand, w.numeric, w.error, w.taylor];
    $("verdict").replaceChildren(
      el("p", {class: hit ? "pass" : "fail"}, w.blames(called(failed)) + " " +
        (hit ? w.hit : w.missed(called(said))) + " " + w.tally(...tally)),
      el("p", {}, moral(failed)),
      el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": w.verdict},
        el("table", {class: "plain"}, el("thead", {}, el("tr", {},
          ...heads.map(text => el("th", {scope: "col"}, text)))), el("tbody", {}, ...rows))));
    show();
  }
  const scientific = x => {
    const [mantissa, exponent] = x.toExponential(1).split("e");
    return `${mantissa}·10${power(Number(exponent))}`;
  };

  function moral(failed) {
    const w = words();
    if (fault === "none") return w.clean;
    if (fault === "both") return w.unseen;
    const text = {"": w.asleep, "V,mu": w.lower, "V,W": w.both2, "V,mu,W,b": w.all};
    return text[failed.join()] ?? (failed.length === 1 ? w.one : "");
  }

  // The step h

  const STEPS = 52; // h = 10^(-k/4), the largest first
  const stepAt = k => 10 ** (-k / 4);
  const DASH = {V: "", mu: "7 4", W: "2 3", b: "9 3 2 3"};
  const widthOf = host => Math.max(280, Math.min(host.clientWidth, 820));

  function drawCurves() {
    const host = $("curves"), w = words(), W = widthOf(host), H = Math.min(380, 0.62 * W + 60);
    const [L, B, T, R] = [50, 44, 12, 12], k = STEPS - $("h").value, h = stepAt(k);
    const x = q => W - R - q / STEPS * (W - L - R);
    const y = e => T + (1 - Math.min(1, Math.max(-14, Math.log10(Math.max(e, 1e-15))))) / 15 * (H - T - B);
    const g = Model.gradient(p, fault), parts = [];
    const line = (points, more) => svg("polyline", {fill: "none",
      points: points.map(([q, e]) => `${x(q).toFixed(1)},${y(e).toFixed(1)}`).join(" "), ...more});
    for (let e = -14; e <= 0; e += 2) {
      parts.push(svg("line", {x1: L, x2: W - R, y1: y(10 ** e), y2: y(10 ** e), class: "grid"}),
        svg("text", {x: L - 6, y: y(10 ** e) + 4, "text-anchor": "end"}, e ? `10${power(e)}` : "1"));
    }
    for (let q = 0; q <= STEPS; q += 8) {
      parts.push(svg("text", {x: x(q), y: H - B + 18, "text-anchor": q ? "middle" : "end"},
        q ? `10${power(-q / 4)}` : "1"));
    }
    parts.push(svg("text", {x: (L + W) / 2, y: H - 6, "text-anchor": "middle"}, w.stepAxis),
      svg("text", {x: L + 4, y: T + 10}, w.errorAxis));
    const curves = Object.keys(BLOCKS).map(n =>
      [n, seq(STEPS + 1).map(q => [q, Model.errorAt(p, fault, n, stepAt(q), g)])]);
    const atOne = curves[0][1][4][1] * 100, size = Math.max(...g.slice(0, 8).map(Math.abs));
    parts.push(line([[0, atOne], [20, atOne * 1e-10]], {class: "guide"}),
      line([[28, 2e-16 * J / size * 1e7], [STEPS, 2e-16 * J / size * 1e13]], {class: "guide"}),
      svg("text", {x: x(13), y: y(atOne * 10 ** -6.5) + 16}, w.truncation),
      svg("text", {x: x(46) + 4, y: y(2e-16 * J / size * 10 ** 11.5) - 12}, w.rounding));
    curves.forEach(([n, curve], place) => {
      const spot = curve[[6, 12, 18, 24][place]];
      parts.push(line(curve, {class: `curve ${n}`, "stroke-dasharray": DASH[n]}),
        svg("circle", {cx: x(k), cy: y(curve[k][1]), r: 4.5, class: `dot ${n}`}),
        svg("text", {x: x(spot[0]), y: y(spot[1]) - 8, class: `name ${n}`, "text-anchor": "middle"}, GREEK[n]));
    });
    parts.push(svg("line", {x1: x(k), x2: x(k), y1: T, y2: H - B, class: "handle"}),
      svg("rect", {x: x(k) - 5, y: H - B - 11, width: 10, height: 22, rx: 4, class: "grip"}));
    const drag = event => {
      if (event.type === "pointermove" && !event.buttons) return;
      const box = host.getBoundingClientRect();
      const q = Math.round((W - R - (event.clientX - box.left)) / (W - L - R) * STEPS);
      $("h").value = STEPS - Math.min(STEPS, Math.max(0, q));
      drawCurves();
      remember();
    };
    host.onpointerdown = event => { host.setPointerCapture(event.pointerId); drag(event); };
    host.onpointermove = drag;
    host.replaceChildren(svg("svg", {width: W, height: H, role: "img", "aria-label": w.curves}, ...parts));
    const here = curves.map(([n, curve]) => [n, curve[k][1]]);
    const text = here.map(([n, e]) => `${GREEK[n]} ${scientific(e)}`).join(", ");
    const stuck = fault !== "none" && curves.some(([, c]) => Math.min(...c.map(q => q[1])) > 1e-6);
    $("hout").textContent = scientific(h);
    $("h").setAttribute("aria-valuetext", `h = ${scientific(h)}`);
    $("hsays").textContent = `${w.hsays(scientific(h), text)} ` +
      (stuck ? w.plateau : k < 16 ? w.large : k < 27 ? w.valley : w.small);
  }

  // Walks

  const RULES = {sgd: "SGD", adam: "Adam", lbfgs: "L-BFGS"};
  function begin() {
    const momentum = $("momentum")?.value ?? "0";
    const entries = [Number($("across").value), Number($("up").value)];
    const fun = Model.slice(p, entries), fresh = () => ({path: [walk.start], evaluations: 0, said: ""});
    walk.fun = fun;
    walk.rules = {
      sgd: {...fresh(), step: Model.sgd(momentum === "0" ? 0 : 0.9, momentum === "nesterov")},
      adam: {...fresh(), step: Model.adam()},
      lbfgs: {...fresh(), iterates: Model.lbfgs(fun, walk.start)},
    };
  }

  function go(name, steps) {
    const rule = walk.rules[name], w = words();
    for (let n = 0; n < steps && !rule.said; n++) {
      let next;
      if (rule.iterates) {
        const {value, done} = rule.iterates.next();
        if (done) { rule.said = w.done; break; }
        next = value.point;
        rule.evaluations = value.evaluations;
      } else {
        const rate = Model.read($(`rate-${name}`).value);
        const here = rule.path.at(-1);
        next = rule.step(here, walk.fun(here)[1], rate ?? 0);
        rule.evaluations += 1;
        if (!next.every(x => Math.abs(x) < 1e4)) { rule.said = w.fled; break; }
      }
      rule.path.push(next);
    }
    drawWalk();
    const point = rule.path.at(-1), value = written(walk.fun(point)[0], 6);
    $("walksays").textContent = w.walksays(RULES[name],
      `(${point.map(x => written(x)).join(", ")})`, value) + (rule.said ? ` ${rule.said}.` : "");
  }

  function buildRules() {
    const w = words(), heads = [w.rule, w.rate, "", w.steps, w.evaluations, "J"];
    const old = {sgd: $("rate-sgd")?.value ?? "0.02", adam: $("rate-adam")?.value ?? "0.1"};
    const momentum = $("momentum")?.value ?? "0";
    const kinds = [["0", w.plain], ["0.9", "0.9"], ["nesterov", "0.9, Nesterov"]];
    const settings = name => name === "lbfgs" ? "" : el("span", {},
      el("input", {id: `rate-${name}`, size: 5, value: old[name], "aria-label": `${RULES[name]}: ${w.rate}`}),
      name === "adam" ? "" : el("label", {}, ` ${w.momentum} `, el("select", {id: "momentum",
        onchange: () => { begin(); drawWalk(); }},
      ...kinds.map(([value, text]) => el("option", {value, selected: value === momentum}, text)))));
    $("rules").replaceChildren(el("table", {class: "plain"},
      el("thead", {}, el("tr", {}, ...heads.map((text, k) => text ? el("th", {scope: "col"}, text)
        : el("td", {})))),
      el("tbody", {}, ...Object.keys(RULES).map(name => el("tr", {class: name},
        el("th", {scope: "row"}, el("span", {class: "swatch"}), RULES[name]),
        el("td", {}, settings(name)),
        el("td", {}, ...[1, 10].map(n => el("button", {type: "button", id: `go-${name}-${n}`,
          "aria-label": `${RULES[name]}: ${w.go(n)}`, onclick: () => go(name, n)}, w.go(n)))),
        ...["steps", "evaluations", "J"].map(what => el("td", {id: `${name}-${what}`})))))));
  }

  function drawWalk() {
    const host = $("contours"), W = widthOf(host), H = Math.round(Math.min(0.72 * W + 40, 540));
    const entries = [Number($("across").value), Number($("up").value)], n = 56;
    const size = Number($("size").value), center = entries.map(k => Model.pack(p)[k]);
    walk.start ??= [center[0] - 0.75 * size, center[1] - 0.6 * size];
    if (!walk.rules) begin();
    const x = a => (a - center[0] + size) / (2 * size) * W;
    const y = b => H - (b - center[1] + size) / (2 * size) * H;
    const place = (a, b) => [center[0] + (2 * a / n - 1) * size, center[1] + (2 * b / n - 1) * size];
    const F = seq(n + 1).map(a => seq(n + 1).map(b => walk.fun(place(a, b))[0]));
    const all = F.flat().sort((a, b) => a - b), low = all[0], high = all[Math.floor(0.98 * all.length)];
    const parts = [shade(F, low, high, W, H)];
    for (let q = 1; q <= 16; q++) {
      const level = low + (high - low) * (q / 16) ** 2.2;
      parts.push(svg("path", {d: contour(F, level, W / n, H / n, H), class: "level"}));
    }
    for (const [name, rule] of Object.entries(walk.rules)) {
      const points = rule.path.map(([a, b]) => [x(a).toFixed(1), y(b).toFixed(1)]);
      parts.push(svg("polyline", {points: points.join(" "), class: `way ${name}`, fill: "none"}),
        ...points.slice(1).map(([cx, cy]) => svg("circle", {cx, cy, r: 3.5, class: `dot ${name}`})));
      $(`${name}-steps`).textContent = rule.path.length - 1;
      $(`${name}-evaluations`).textContent = rule.evaluations;
      $(`${name}-J`).textContent = rule.said || written(walk.fun(rule.path.at(-1))[0], 4);
    }
    const [sx, sy] = [x(walk.start[0]), y(walk.start[1])], [across, up] = entries.map(plainName);
    parts.push(svg("circle", {cx: sx, cy: sy, r: 8, class: "start"}),
      svg("text", {x: W - 8, y: H - 10, "text-anchor": "end", class: "axis"}, `${across} →`),
      svg("text", {x: 8, y: 20, class: "axis"}, `↑ ${up}`));
    host.onclick = event => {
      const box = host.getBoundingClientRect();
      startAt([center[0] + ((event.clientX - box.left) / W * 2 - 1) * size,
        center[1] + (1 - (event.clientY - box.top) / H * 2) * size].map(q => Number(q.toFixed(2))));
    };
    host.replaceChildren(svg("svg", {width: W, height: H, role: "img",
      "aria-label": words().contours(across, up)}, ...parts));
    for (const [k, id] of ["sx", "sy"].entries()) {
      if (document.activeElement !== $(id)) $(id).value = written(walk.start[k], 2).replace("−", "-");
    }
  }

  function startAt(point) {
    walk.start = point;
    walk.rules = null;
    drawWalk();
    remember();
  }

  function shade(F, low, high, W, H) { // one pixel for each value; the color is the page's
    const n = F.length, canvas = el("canvas", {width: n, height: n}), pen = canvas.getContext("2d");
    const image = pen.createImageData(n, n);
    for (let a = 0; a < n; a++) {
      for (let b = 0; b < n; b++) {
        const depth = Math.sqrt(Math.min(1, (F[a][b] - low) / (high - low || 1)));
        image.data.set([60, 90, 200, 110 * (1 - depth)], 4 * ((n - 1 - b) * n + a));
      }
    }
    pen.putImageData(image, 0, 0);
    return svg("image", {href: canvas.toDataURL(), width: W, height: H, preserveAspectRatio: "none"});
  }

  function contour(F, level, dx, dy, H) { // marching squares
    let d = "";
    for (let a = 0; a + 1 < F.length; a++) {
      for (let b = 0; b + 1 < F.length; b++) {
        const corners = [[a, b], [a + 1, b], [a + 1, b + 1], [a, b + 1]], hits = [];
        corners.forEach(([u, v], k) => {
          const [s, t] = corners[(k + 1) % 4], f = F[u][v] - level, g = F[s][t] - level;
          if ((f < 0) === (g < 0)) return;
          const part = f / (f - g);
          hits.push(`${((u + part * (s - u)) * dx).toFixed(1)} ${(H - (v + part * (t - v)) * dy).toFixed(1)}`);
        });
        for (let k = 0; k + 1 < hits.length; k += 2) d += `M${hits[k]}L${hits[k + 1]}`;
      }
    }
    return d;
  }

  // The address

  const SETTINGS = {lang: "", fault: "none", chosen: "", h: "32", across: "0", up: "10",
    size: "4", start: "", momentum: "0"};
  function settings() {
    const ids = Object.fromEntries(["h", "across", "up", "size"].map(id => [id, $(id).value]));
    return {lang, fault, chosen: (chosen ?? []).join("."), ...ids,
      start: walk.moved ? walk.start.join() : "", momentum: $("momentum").value};
  }

  let pause = 0; // browsers take only so many changes of the address in a second
  function remember() {
    clearTimeout(pause);
    pause = setTimeout(() => {
      const rest = Object.entries(settings()).filter(([name, x]) => x !== SETTINGS[name]);
      const hash = "#" + [Model.encode(p), new URLSearchParams(rest)].filter(x => String(x)).join("&");
      try { history.replaceState(null, "", hash); } catch { location.replace(hash); }
      $("address").value = location.href;
    }, 150);
  }

  function recall() {
    const text = location.hash.slice(1);
    const given = {...SETTINGS, ...Object.fromEntries(new URLSearchParams(text))};
    const asked = given.lang || new URLSearchParams(location.search).get("lang") || navigator.language;
    p = Model.decode(text);
    before = null;
    fault = given.fault in FAULTS ? given.fault : "none";
    const [n, r, c] = given.chosen.split(".");
    chosen = null;
    if (n === "J" || n === "lambda" || (n in TABLES && cells[n][r]?.[c])) {
      chosen = [n, Number(r), Number(c)];
    }
    for (const id of ["h", "across", "up", "size"]) {
      $(id).value = given[id];
      if ($(id).value === "") $(id).value = SETTINGS[id];
    }
    const start = given.start.split(",").map(Model.read);
    const moved = start.length === 2 && start.every(x => typeof x === "number");
    walk = {start: moved ? start : null, moved, rules: null};
    speak(asked.startsWith("ko") ? "ko" : "en");
    if (["0.9", "nesterov"].includes(given.momentum)) $("momentum").value = given.momentum;
    $("fault").value = fault;
  }

  function speak(language) {
    lang = language;
    document.documentElement.lang = lang;
    const said = key => lang === "en" ? english[key] : words()[key];
    for (const node of document.querySelectorAll("[data-t]")) node.innerHTML = said(node.dataset.t);
    for (const node of document.querySelectorAll("[data-l]")) {
      node.setAttribute("aria-label", said(node.dataset.l));
    }
    document.title = said("title");
    for (const node of document.querySelectorAll("[data-name]")) {
      node.textContent = words()[node.dataset.name];
    }
    for (const id of ["en", "ko"]) $(id).setAttribute("aria-pressed", id === lang);
    const kinds = ["typed", "hole", "predicted", "positive", "negative"];
    $("legend").replaceChildren(...words().legend.map((text, k) =>
      el("li", {}, el("span", {class: `cell ${kinds[k]}`, "data-kind": kinds[k]}), text)));
    $("fault").replaceChildren(...Object.keys(FAULTS).map(name =>
      el("option", {value: name, selected: name === fault}, faultName(name))));
    unreveal();
    buildRules();
    $("walksays").textContent = $("copied").textContent = "";
    show();
    remember();
  }

  function listen() {
    $("reset").onclick = () => { p = Model.example(); changed(); };
    $("descend").onclick = () => {
      const g = Model.gradient(p, fault);
      p = Model.unpack(p, Model.pack(p).map((x, k) => Math.max(-1e4, Math.min(1e4, x - 0.02 * g[k]))));
      changed();
    };
    $("fault").onchange = event => {
      fault = event.target.value;
      for (const n of Object.keys(BLOCKS)) $(`guess-${n}`).checked = false;
      changed();
    };
    $("planted").lastElementChild.onclick = () => {
      fault = $("fault").value = "none";
      changed();
      $("net").querySelector("input").focus();
    };
    $("reveal").onclick = reveal;
    $("close").onclick = () => { cellOf(...chosen).focus(); choose(null); };
    document.addEventListener("keydown", event => { if (event.key === "Escape") choose(null); });
    $("slider").oninput = event => {
      const [n, r, c] = chosen, x = Number(event.target.value);
      if (n === "lambda") p.lambda = x; else set(n, r, c, x);
      changed();
    };
    $("hole").onclick = () => { set(...chosen, null); changed(); };
    $("h").oninput = () => { drawCurves(); remember(); };
    for (const id of ["across", "up", "size"]) {
      $(id).onchange = () => { walk = {start: null, moved: false, rules: null}; drawWalk(); remember(); };
    }
    for (const [k, id] of ["sx", "sy"].entries()) {
      $(id).oninput = event => {
        const x = Model.read(event.target.value);
        if (typeof x !== "number") return;
        walk.moved = true;
        startAt(walk.start.map((old, q) => q === k ? x : old));
      };
    }
    $("restart").onclick = () => { walk.rules = null; drawWalk(); };
    for (const id of ["en", "ko"]) $(id).onclick = () => speak(id);
    $("copy").onclick = () => {
      $("address").select();
      document.execCommand("copy"); // the newer way is closed to pages from a file
      $("copied").textContent = words().copied;
    };
    addEventListener("hashchange", recall);
    addEventListener("resize", later);
  }

  for (const node of document.querySelectorAll("[data-t]")) english[node.dataset.t] = node.innerHTML;
  for (const node of document.querySelectorAll("[data-l]")) {
    english[node.dataset.l] = node.getAttribute("aria-label");
  }
  for (const id of ["across", "up"]) {
    $(id).append(...seq(22).map(k => el("option", {value: k}, plainName(k))));
  }
  $("size").append(...[1, 2, 4, 8, 16].map(x => el("option", {value: x}, String(x))));
  $("guesses").append(...Object.keys(BLOCKS).map(n => el("label", {},
    el("input", {type: "checkbox", id: `guess-${n}`}), " ", math(GREEK[n]))));
  build();
  listen();
  recall();
  globalThis.Explorable = {get state() { return p; }, get fault() { return fault; },
    get walk() { return walk; }};
})();
