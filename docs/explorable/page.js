// What is on the page: tables, what each number is made of, faults, and two pictures.

const $ = id => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const focused = () => document.activeElement;
const seq = n => list(n, k => k);

const maker = space => (tag, attributes = {}, ...children) => {
	const node = document.createElementNS(`http://www.w3.org/${space}`, tag);
	for (const [name, x] of Object.entries(attributes)) {
		if (name.startsWith("on")) node[name] = x;
		else node.setAttribute(name, x);
	}
	node.append(...children);
	return node;
};
const el = maker("1999/xhtml"), svg = maker("2000/svg");

// How numbers and formulas are written

const minus = text => text.replace("-", "−");
const power = n => [...String(n)].map(d => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(d)]).join("");
function scientific(x) {
	const [mantissa, exponent] = x.toExponential(1).split("e");
	return minus(mantissa) + (x && +exponent ? `·10${power(+exponent)}` : "");
}
function written(x, digits = 3) {
	const size = Math.abs(x);
	if (size >= 1e5 || (size && size < 10 ** -digits / 2)) return scientific(x);
	return minus(x.toFixed(size >= 1000 ? 1 : digits));
}
const short = x => minus(String(Number(x.toPrecision(4)))); // inside of sums

// "d^A_{11}" with superscript and subscript, letters in italics
const math = text => el("span", {class: "math"}, ...text.split(/([_^](?:{[^}]*}|.))/).flatMap(part => {
	const low = {_: "sub", "^": "sup"}[part[0]];
	if (low) return el(low, {}, part.slice(1).replace(/[{}]/g, ""));
	return part.split(/([A-Za-zμλ]+)/).map(x => /^[A-Za-zμλ]$/.test(x) ? el("i", {}, x) : x);
}));

// Kind of row and of column, formula, the same by entries (its letter, where it is typed), equation
const TABLES = {
	X: ["item", "user", "X", "x"],
	V: ["user", "unit", "V", "V"],
	mu: ["", "unit", "μ", "μ"],
	W: ["unit", "user", "W^T", "W"],
	b: ["", "user", "b", "b"],
	Z: ["item", "unit", "Z = X V + μ", "z_{ri} = Σ_j x_{rj} V_{ji} + μ_i", "(1)"],
	H: ["item", "unit", "H = g(Z)", "h_{ri} = g(z_{ri}) = 1 / (1 + e^{−z})", "(1)"],
	Y: ["item", "user", "Y = H W^T + b", "y_{rc} = Σ_i h_{ri} W_{ci} + b_c", "(1)"],
	E: ["item", "user", "E = Y − X", "e_{rc} = y_{rc} − x_{rc}", "(3)"],
	DA: ["item", "user", "D_A = 2 E", "d^A_{rc} = 2 e_{rc}", "(4), (5)"],
	DW: ["unit", "user", "D_W^T = H^T D_A + λ W^T", "d^W_{ci} = Σ_r d^A_{rc} h_{ri} + λ W_{ci}", "(6)"],
	Db: ["", "user", "D_b", "d^b_c = Σ_r d^A_{rc}", "(7)"],
	DH: ["item", "unit", "D_H = D_A W", "d^H_{ri} = Σ_c d^A_{rc} W_{ci}", "(8)"],
	DZ: ["item", "unit", "D_Z = D_H ∘ H ∘ (1−H)", "d^Z_{ri} = d^H_{ri} h_{ri} (1 − h_{ri})", "(9)"],
	DV: ["user", "unit", "D_V = X^T D_Z + λ V", "d^V_{ji} = Σ_r x_{rj} d^Z_{ri} + λ V_{ji}", "(10)"],
	Dmu: ["", "unit", "D_μ", "d^μ_i = Σ_r d^Z_{ri}", "(11)"],
};
const OBJECTIVE = "J = Σ e^2 + λ/2 Σ (V^2 + W^2)";
const GROUPS = ["X", "V mu", "Z", "H", "W b", "Y", "E", "J", "DA", "DW Db", "DH", "DZ", "DV Dmu"];
const COUNT = {item: ITEMS, user: USERS, unit: UNITS, "": 1};
const NAMES = {V: "V", mu: "μ", W: "W", b: "b"};
const isTyped = n => n === "X" || n === "lambda" || n in BLOCKS;
const isTurned = n => n === "W" || n === "DW"; // shown transposed
const isVector = n => TABLES[n][0] === "";

let p, fault, chosen, revealed, lang, walk, J;
const cells = {}, english = {};
const words = () => WORDS[lang];
const at = (s, n, r, c) => isVector(n) ? s[n][c] : s[n][r][c];
function valueOf(s, n, r, c) {
	return n === "lambda" ? p.lambda : n === "J" ? s.J : at(isTyped(n) ? p : s, n, r, c);
}
function set([n, r, c], x) {
	if (n === "lambda") p.lambda = x;
	else if (isVector(n)) p[n][c] = x;
	else p[n][r][c] = x;
}
function entry(k) {
	const [n, [first]] = Object.entries(BLOCKS).find(([, [, end]]) => k < end);
	const place = isVector(n) ? [k - first] : [k - first >> 1, k - first & 1];
	return `${NAMES[n]}[${place.map(x => x + 1).join(", ")}]`;
}

function build() {
	$("net").append(...GROUPS.map(names => {
		const [first] = names = names.split(" ");
		return el("div", {class: `group ${first}`, style: `grid-area: ${first}`},
			...first === "J" ? objective() : names.map(table));
	}));
}

function objective() {
	const sum = el("button", {type: "button", class: "cell", id: "J", onclick: () => choose(["J", 0, 0])});
	const field = el("input", {id: "lambda", size: 5, autocomplete: "off", onblur: show,
		oninput: () => typed(field, ["lambda"]), onfocus: () => choose(["lambda", 0, 0])});
	[cells.J, cells.lambda] = [[[sum]], [[field]]];
	return [el("div", {}, math(OBJECTIVE), el("small", {}, " (2)")), sum, el("div", {id: "parts"}),
		el("label", {}, math("λ"), " ", field)];
}

function table(n) {
	const [rows, columns, formula, , equation = ""] = TABLES[n];
	const head = (kind, k, scope) => kind ? el("th", {scope}, {item: "i", user: "u", unit: "h"}[kind] + (k + 1)) : el("td");
	cells[n] = seq(isTurned(n) ? USERS : COUNT[rows]).map(() => []);
	const row = y => el("tr", {}, head(rows, y, "row"), ...seq(COUNT[columns]).map(x => {
		const [r, c] = isTurned(n) ? [x, y] : [y, x], pick = () => choose([n, r, c]);
		const cell = isTyped(n) ? el("input", {autocomplete: "off", onblur: show,
			oninput: () => typed(cell, [n, r, c]),
			onfocus: () => { cell.select(); pick(); }})
			: el("button", {type: "button", tabindex: x || y ? -1 : 0, onclick: pick, onfocus: pick});
		cell.className = "cell";
		cell.onkeydown = event => move(event, n, y, x);
		cells[n][r][c] = cell;
		return el("td", {}, cell);
	}));
	return el("table", {class: n}, el("caption", {}, math(formula), " ", el("small", {}, equation),
		" ", el("small", {"data-name": n})), el("thead", {}, el("tr", {}, el("td"),
		...seq(COUNT[columns]).map(x => head(columns, x, "col")))), el("tbody", {}, ...seq(COUNT[rows]).map(row)));
}

function typed(field, place) {
	const x = read(field.value), [n] = place;
	const good = x !== undefined && (x !== null || n === "X") && (n !== "lambda" || x >= 0);
	field.setAttribute("aria-invalid", !good);
	if (!good) return;
	set(place, x);
	changed();
}

// The arrow keys move within a table; in a box, left and right are its own.
function move(event, n, y, x) {
	const way = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
	if (!way || (isTyped(n) && way[1]) || event.altKey) return;
	const place = [y + way[0], x + way[1]], [row, column] = isTurned(n) ? place.reverse() : place;
	const next = cells[n][row]?.[column];
	if (!next) return;
	event.preventDefault();
	if (!isTyped(n)) {
		for (const cell of cells[n].flat()) cell.tabIndex = -1;
		next.tabIndex = 0;
	}
	next.focus();
}

// What a number is made of: texts, and ingredients [table, row, column, role: a color]
function terms(n, r, c, s) {
	const rated = (q, j) => p.X[q][j] !== null, counts = (q, j) => s.DA[q][j] !== null;
	const items = seq(ITEMS), users = seq(USERS);
	const add = sums => sums.length ? sums.flatMap((x, k) => k ? [" + ", ...x] : x) : ["0"];
	const dots = (which, left, right) =>
		add(which.map(q => [[...left(q), "a"], " · ", [...right(q), "b"]]));
	const lambda = ["lambda", 0, 0, "c"];
	const decay = (block, by = " · ") => [" + ", lambda, by, [block, r, c, "c"]];
	const factor = {factor: "1", mean: `2/${p.X.flat().filter(x => x !== null).length}`, sign: "−2"};
	const codes = fault === "activity" ? "Z" : "H", from = fault === "before" ? "Z" : "H";
	const back = fault === "swap" ? "V" : "W";
	return {
		J: () => [...add(items.flatMap(q => users.filter(j => s.E[q][j] !== null)
			.map(j => [["E", q, j, "a"], "²"]))), " + ", lambda, fault === "value" ? " · " : "/2 · ",
			short([p.V, p.W].flat(2).reduce((total, x) => total + x * x, 0))],
		Z: () => [...dots(users.filter(j => rated(r, j)), j => ["X", r, j], j => ["V", j, c]), " + ",
			["mu", 0, c, "c"]],
		H: () => ["1 / (1 + exp(−", ["Z", r, c, "a"], "))"],
		Y: () => [...dots(seq(UNITS), i => ["H", r, i], i => ["W", c, i]), " + ", ["b", 0, c, "c"]],
		E: () => [["Y", r, c, "a"], " − ", rated(r, c) ? ["X", r, c, "b"] : "0"],
		DA: () => [`${factor[fault] ?? 2} · `, [rated(r, c) ? "E" : "Y", r, c, "a"]],
		DW: () => [...dots(items.filter(q => counts(q, r)), q => ["DA", q, r], q => [codes, q, c]),
			...decay("W", fault === "half" ? "/2 · " : " · ")],
		Db: () => [...add(items.filter(q => counts(q, c)).map(q => [["DA", q, c, "a"]])),
			...fault === "bias" ? decay("b") : []],
		DH: () => dots(users.filter(j => counts(r, j)), j => ["DA", r, j], j => [back, j, c]),
		DZ: () => [["DH", r, c, "a"], " · ", [from, r, c, "b"],
			...fault === "slope" ? [] : [" · (1 − ", [from, r, c, "b"], ")"]],
		DV: () => [...dots(items.filter(q => rated(q, r)), q => ["X", q, r], q => ["DZ", q, c]),
			...fault === "penalty" ? [] : decay("V")],
		Dmu: () => ["(", ...add(items.map(q => [["DZ", q, c, "a"]])), fault === "rows" ? ") / 3" : ")"],
	}[n]();
}

// Lines about a number, and the cells to ring
function about(n, r, c, s) {
	const w = words(), x = valueOf(s, n, r, c), rings = [];
	const [, , , rule = OBJECTIVE, equation = n === "J" ? "(2)" : ""] = TABLES[n] ?? [];
	const place = n in TABLES ? `_{${isVector(n) ? "" : r + 1}${c + 1}}` : "";
	const sign = n === "lambda" ? "λ" : rule.split(/_| =/)[0] + place;
	const lines = [isTyped(n) ? el("p", {}, math(sign), x === null ? "" : ` = ${short(x)}`)
		: el("p", {}, math(rule), " ", el("small", {}, equation))];
	let remark = w.notes[n === "Dmu" ? "Db" : n] ?? "";
	if (n === "X") {
		rings.push(...x === null ? [["Y", r, c]] : [...seq(UNITS).map(i => ["Z", r, i]), ["E", r, c]]);
		if (x === null) remark = w.isHole(written(s.Y[r][c]));
	} else if (n in BLOCKS) {
		const k = BLOCKS[n][0] + (isVector(n) ? c : UNITS * r + c), d = at(s, `D${n}`, r, c);
		const really = valueAt(p, moved(pack(p), k, 0.01), fault) - s.J;
		remark = w.isParameter(written(d, 4), written(d / 100, 5), written(really, 5));
		rings.push([`D${n}`, r, c]);
	} else if (x === null) {
		remark = w.noError;
	} else if (n !== "lambda") {
		const made = terms(n, r, c, s);
		lines.push(el("p", {}, math(sign), " = ", ...made.map((term, k) => {
			if (typeof term === "string") return term;
			rings.push(term);
			const y = valueOf(s, ...term);
			return el("b", {class: `r${term[3]}`}, k && y < 0 ? `(${short(y)})` : short(y));
		}), el("strong", {}, ` = ${written(x, 6)}`)));
		if (n === "Y" && p.X[r][c] === null) remark = w.prediction;
	}
	lines.push(el("p", {}, remark));
	const right = valueOf(backward(p), n, r, c);
	if (Math.abs(right - x) > 1e-9) lines.push(el("p", {class: "fail"}, w.withFault(written(right ?? 0, 6))));
	return [lines, rings];
}

function choose(place) {
	if (String(chosen) === String(place)) return;
	chosen = place;
	explain();
	remember();
}

function explain() {
	for (const old of all("[data-ring]")) old.removeAttribute("data-ring");
	$("why").hidden = !chosen;
	if (!chosen) return;
	const [n, row, column] = chosen, s = backward(p, fault), [lines, rings] = about(...chosen, s);
	for (const [m, r, c, role = "a"] of rings) cells[m][r][c].dataset.ring = role;
	cells[n][row][column].dataset.ring = "chosen";
	$("made").replaceChildren(...lines);
	$("slider").closest("p").hidden = !isTyped(n);
	if (!isTyped(n) || focused() === $("slider")) return;
	const x = valueOf(s, ...chosen) ?? 0, positive = n === "X" || n === "lambda";
	const [min, max] = positive ? [0, 5] : [Math.floor(x) - 3, Math.floor(x) + 3];
	Object.assign($("slider"), {min: Math.min(min, x), max: Math.max(max, x), value: x,
		step: n === "X" ? 0.5 : 0.05});
}

function changed() {
	walk.rules = null;
	unreveal();
	show();
	remember();
}

function show() {
	const s = backward(p, fault), right = revealed ? backward(p) : s, w = words();
	J = s.J;
	for (const n of Object.keys(TABLES)) {
		const source = isTyped(n) ? p : s, [rows, columns] = TABLES[n];
		const largest = Math.max(1e-9, ...[source[n]].flat(2).map(Math.abs));
		cells[n].forEach((row, r) => row.forEach((cell, c) => {
			const x = at(source, n, r, c), [y, z] = isTurned(n) ? [c, r] : [r, c];
			const hole = ["X", "Y", "E", "DA"].includes(n) && p.X[r][c] === null;
			const wrong = !isTyped(n) && Math.abs((at(right, n, r, c) ?? 0) - (x ?? 0)) > 1e-9;
			const kind = hole ? n === "Y" ? "predicted" : "hole" : x < 0 ? "negative" : "positive";
			cell.dataset.kind = kind;
			cell.classList.toggle("wrong", wrong);
			cell.style.setProperty("--size", `${Math.round(60 * Math.abs(x) / largest)}%`);
			if (!isTyped(n)) cell.textContent = x === null ? "·" : written(x, Math.abs(x) < 10 ? 3 : 2);
			else if (cell !== focused()) {
				cell.value = x === null ? "" : Number(x.toFixed(4));
				cell.removeAttribute("aria-invalid");
			}
			cell.setAttribute("aria-label", [
				`${n.replace("mu", "μ")} ${rows && `${w[rows]} ${y + 1}, `}${w[columns]} ${z + 1}`,
				cell.textContent, hole && w[kind], wrong && w.wrong].filter(Boolean).join(", "));
		}));
	}
	if ($("lambda") !== focused()) $("lambda").value = p.lambda;
	$("J").textContent = `J = ${written(J, 6)}`;
	$("parts").textContent = `${w.data} ${written(s.data)} + ${w.penalty} ${written(s.penalty)}`;
	explain();
	$("planted").textContent = fault === "none" ? "" : w.planted(faultName(fault));
	later();
}

let waiting = 0; // pictures are slow: one for each frame
function later() {
	cancelAnimationFrame(waiting);
	waiting = requestAnimationFrame(() => { drawCurves(); drawWalk(); });
}

const faultName = name => `${FAULTS[name].split(" ")[1]} ${words().faults[name]}`.trim();
function unreveal() {
	revealed = false;
	$("verdict").replaceChildren();
	for (const old of all(".source")) old.classList.remove("source");
}

function reveal() {
	const w = words(), report = check(p, fault), names = Object.keys(BLOCKS);
	const failed = names.filter(n => !report[n].pass), said = names.filter(n => $(`guess-${n}`).checked);
	const hit = said.join() === failed.join(), of = blocks => blocks.map(n => NAMES[n]).join(", ") || w.none;
	revealed = true;
	const rows = names.map(n => {
		const {pass, index, analytic, numeric, error} = report[n], slope = taylorSlope(p, fault, n);
		const texts = [entry(BLOCKS[n][0] + index), written(analytic, 5), written(numeric, 5),
			scientific(error), slope === Infinity ? "∞" : slope.toFixed(2)];
		return el("tr", {}, el("th", {scope: "row"}, NAMES[n]),
			el("td", {class: pass ? "pass" : "fail"}, pass ? `✓ ${w.pass}` : `✗ ${w.fail}`),
			...texts.map(text => el("td", {}, text)));
	});
	const moral = {none: w.clean, both: w.unseen}[fault] ?? w.morals[failed.join()] ?? w.one;
	$("verdict").replaceChildren(
		el("p", {class: hit ? "pass" : "fail"}, `${hit ? "✓" : "✗"} ${w.blames(of(failed), of(said))}`),
		el("p", {}, moral),
		el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": w.heads[1]}, el("table", {},
			el("thead", {}, el("tr", {}, ...w.heads.map(text => el("th", {scope: "col"}, text)))),
			el("tbody", {}, ...rows))));
	const [source] = FAULTS[fault].split(" ");
	if (source) all(`.${source}`).at(-1).classList.add("source");
	show();
}

const LAST = 52; // h = 10^(-k/4), k up to here
const stepAt = k => 10 ** (-k / 4);
const picture = (host, width, height, label, parts) => host.replaceChildren(
	svg("svg", {width, height, role: "img", "aria-label": label}, ...parts));

function drawCurves() {
	const host = $("curves"), w = words(), W = host.clientWidth, H = Math.min(380, 0.6 * W + 60);
	const L = 48, B = 44, T = 12, k = LAST - $("h").value, names = Object.keys(BLOCKS);
	const x = q => W - 12 - q / LAST * (W - L - 12);
	const y = e => T + (1 - Math.min(1, Math.max(-14, Math.log10(e || 1e-15)))) / 15 * (H - T - B);
	const text = (x, y, content, more) => svg("text", {x, y, "text-anchor": "middle", ...more}, content);
	const parts = [text((L + W) / 2, H - 6, "h")];
	for (let e = -14; e <= 0; e += 2) {
		parts.push(svg("line", {x1: L, x2: W - 12, y1: y(10 ** e), y2: y(10 ** e), class: "grid"}),
			text(L - 6, y(10 ** e) + 4, e ? `10${power(e)}` : "1", {"text-anchor": "end"}));
	}
	for (let q = 0; q <= LAST; q += 8) parts.push(text(x(q) - (q ? 0 : 4), H - B + 18, q ? `10${power(-q / 4)}` : "1"));
	const g = gradient(p, fault);
	const curves = names.map(n => seq(LAST + 1).map(q => errorAt(p, fault, n, stepAt(q), g)));
	curves.forEach((curve, place) => {
		const points = curve.map((e, q) => `${x(q).toFixed(1)},${y(e).toFixed(1)}`), q = 5 + 6 * place;
		parts.push(svg("polyline", {points: points.join(" "), class: `line ${names[place]}`,
			"stroke-dasharray": ["", "7 4", "2 3", "9 3 2 3"][place]}),
			svg("circle", {cx: x(k), cy: y(curve[k]), r: 4.5, class: `dot ${names[place]}`}),
			text(x(q), y(curve[q]) - 8, NAMES[names[place]], {class: `name ${names[place]}`}));
	});
	parts.push(svg("line", {x1: x(k), x2: x(k), y1: T, y2: H - B, class: "handle"}),
		svg("rect", {x: x(k) - 5, y: H - B - 11, width: 10, height: 22, rx: 4}));
	picture(host, W, H, w.curves, parts);
	host.onpointerdown = host.onpointermove = event => {
		if (!event.buttons) return;
		const part = (event.clientX - host.getBoundingClientRect().left - L) / (W - L - 12);
		$("h").value = Math.round(part * LAST);
		drawCurves();
		remember();
	};
	const h = scientific(stepAt(k)), stuck = curves.some(curve => Math.min(...curve) > 1e-6);
	const errors = curves.map((curve, n) => `${NAMES[names[n]]} ${scientific(curve[k])}`).join(", ");
	$("hout").textContent = h;
	$("h").setAttribute("aria-valuetext", `h = ${h}`);
	$("hsays").textContent = `${w.hsays(h, errors)} ` +
		(stuck ? w.plateau : k < 16 ? w.large : k < 27 ? w.valley : w.small);
}

const RULES = { // name, rule, rate
	sgd: ["SGD", () => sgd(0, false), "0.02"],
	nesterov: ["SGD, Nesterov 0.9", sgd, "0.01"],
	adam: ["Adam", adam, "0.1"],
	lbfgs: ["L-BFGS"],
};
let drawn = []; // the level lines, and of what
const axes = () => ["across", "up"].map(id => Number($(id).value));
function begin() {
	walk.fun = slice(p, axes());
	walk.rules = Object.fromEntries(Object.entries(RULES).map(([name, [, make]]) =>
		[name, {path: [walk.start], evaluations: 0, step: make?.()}]));
	walk.rules.lbfgs.iterates = lbfgs(walk.fun, walk.start);
}

function go(name, steps) {
	const rule = walk.rules[name], w = words();
	for (let n = 0; n < steps && !rule.said; n++) {
		const here = rule.path.at(-1), next = rule.iterates?.next().value;
		if (name === "lbfgs" && !next) rule.said = w.done;
		else {
			const point = next?.point ?? rule.step(here, walk.fun(here)[1], read(RULES[name][2]) ?? 0);
			rule.evaluations = next?.evaluations ?? rule.evaluations + 1;
			if (point.every(x => Math.abs(x) < 1e4)) rule.path.push(point);
			else rule.said = w.fled;
		}
	}
	drawWalk();
}

function buildRules() {
	const w = words();
	$("rules").replaceChildren(...Object.entries(RULES).map(([name, rule]) => el("div", {class: `bar ${name}`},
		el("b", {}, rule[0]), ...rule[2] ? [el("label", {}, w.rate, el("input", {size: 5, value: rule[2],
			id: `rate-${name}`, oninput: event => { rule[2] = event.target.value || "0"; }}))] : [],
		...[1, 10].map(n => el("button", {type: "button", id: `go-${name}-${n}`,
			"aria-label": `${rule[0]}: ${w.go(n)}`, onclick: () => go(name, n)}, w.go(n))),
		el("output", {id: `at-${name}`}))));
}

function drawWalk() {
	const host = $("contours"), w = words(), W = host.clientWidth, H = Math.round(Math.min(0.7 * W + 60, 540));
	const size = Number($("size").value), center = axes().map(k => pack(p)[k]), n = 44;
	walk.start ??= center.map((x, k) => Number((x - (0.75 - 0.15 * k) * size).toFixed(2)));
	if (!walk.rules) begin();
	const x = a => ((a - center[0]) / size + 1) * W / 2, y = b => (1 - (b - center[1]) / size) * H / 2;
	const key = [encode(p), axes(), size, W].join();
	if (key !== drawn[0]) {
		const F = grid(n + 1, n + 1, (a, b) => valueAt(p, axes().reduce((t, k, q) =>
			moved(t, k, (2 * [a, b][q] / n - 1) * size), pack(p))));
		const sorted = F.flat().sort((a, b) => a - b), low = sorted[0];
		const range = sorted[sorted.length * 0.98 | 0] - low || 1;
		drawn = [key, list(18, q => svg("path", {class: "level", "stroke-opacity": 0.8 - q / 28,
			d: contour(F, low + range * ((q + 1) / 18) ** 2.2, W / n, H / n, H)}))];
	}
	const parts = [...drawn[1]];
	for (const [name, rule] of Object.entries(walk.rules)) {
		const points = rule.path.map(([a, b]) => [x(a).toFixed(1), y(b).toFixed(1)]), last = rule.path.at(-1);
		parts.push(svg("polyline", {points: points.join(" "), class: `line ${name}`}),
			...points.slice(1).map(([cx, cy]) => svg("circle", {cx, cy, r: 3.5, class: `dot ${name}`})));
		$(`at-${name}`).textContent = w.walked(rule.path.length - 1, rule.evaluations, last.map(x => written(x)).join(", "),
			written(walk.fun(last)[0], 6)) + (rule.said ? ` ${rule.said}` : "");
	}
	const [across, up] = axes().map(entry);
	parts.push(svg("circle", {cx: x(walk.start[0]), cy: y(walk.start[1]), r: 8, class: "start"}),
		svg("text", {x: W - 8, y: H - 10, "text-anchor": "end"}, `${across} →`),
		svg("text", {x: 8, y: 20}, `↑ ${up}`));
	picture(host, W, H, w.contours(across, up), parts);
	host.onclick = event => {
		const box = host.getBoundingClientRect();
		startAt([((event.clientX - box.left) / W * 2 - 1) * size + center[0],
			(1 - (event.clientY - box.top) / H * 2) * size + center[1]].map(q => Number(q.toFixed(2))));
	};
	["sx", "sy"].forEach((id, k) => {
		if (focused() !== $(id)) $(id).value = walk.start[k];
	});
}

function startAt(point) {
	walk = {start: point, moved: point};
	drawWalk();
	remember();
}

function contour(F, level, dx, dy, H) { // marching squares
	const path = [], low = F.map(column => column.map(z => z < level));
	for (let a = 0; a + 1 < F.length; a++) {
		for (let b = 0; b + 1 < F.length; b++) {
			const under = low[a][b] + low[a + 1][b] + low[a][b + 1] + low[a + 1][b + 1];
			if (under % 4 === 0) continue;
			const corners = [[a, b], [a + 1, b], [a + 1, b + 1], [a, b + 1]];
			const hits = corners.flatMap(([u, v], k) => {
				const [s, t] = corners[(k + 1) % 4], f = F[u][v] - level, g = F[s][t] - level;
				if (f < 0 === g < 0) return [];
				const part = f / (f - g), at = [(u + part * (s - u)) * dx, H - (v + part * (t - v)) * dy];
				return [at.map(q => q.toFixed(1)).join(" ")];
			});
			for (let k = 0; k + 1 < hits.length; k += 2) path.push(`M${hits[k]}L${hits[k + 1]}`);
		}
	}
	return path.join("");
}

const USUAL = {lang: "", fault: "none", chosen: "", h: "32", across: "0", up: "10", size: "4", start: ""};
const FIELDS = ["h", "across", "up", "size"];
let pause = 0; // browsers take few changes of the address in a second
function remember() {
	clearTimeout(pause);
	pause = setTimeout(() => {
		const now = {lang, fault, chosen: String(chosen ?? ""), start: String(walk.moved ?? "")};
		for (const id of FIELDS) now[id] = $(id).value;
		const rest = Object.entries(now).filter(([name, x]) => x !== USUAL[name]).map(x => x.join("="));
		history.replaceState(null, "", "#" + [encode(p), ...rest].filter(Boolean).join("&"));
	}, 150);
}

function recall() {
	const text = location.hash.slice(1), given = {...USUAL, ...Object.fromEntries(new URLSearchParams(text))};
	const asked = given.lang || new URLSearchParams(location.search).get("lang") || navigator.language;
	p = decode(text);
	fault = Object.hasOwn(FAULTS, given.fault) ? given.fault : "none";
	const [n, r, c] = given.chosen.split(",");
	chosen = cells[n]?.[r]?.[c] ? [n, Number(r), Number(c)] : null;
	for (const id of FIELDS) {
		$(id).value = given[id];
		if (!$(id).value) $(id).value = USUAL[id];
	}
	const start = given.start.split(",").map(read);
	const moved = start.length === 2 && start.every(Number.isFinite) ? start : null;
	walk = {start: moved, moved};
	speak(asked.startsWith("ko") ? "ko" : "en");
}

function speak(language) {
	document.documentElement.lang = lang = language;
	const w = words(), text = lang === "en" ? english : w;
	for (const node of all("[data-t]")) node.innerHTML = text[node.dataset.t];
	for (const node of all("[data-name]")) node.textContent = w[node.dataset.name];
	for (const id of ["en", "ko"]) $(id).setAttribute("aria-pressed", id === lang);
	document.title = text.title;
	$("fault").replaceChildren(...Object.keys(FAULTS).map(name => el("option", {value: name}, faultName(name))));
	$("fault").value = fault;
	unreveal();
	buildRules();
	show();
	remember();
}

for (const node of all("[data-t]")) english[node.dataset.t] = node.innerHTML;
const options = (id, values, name) =>
	$(id).append(...values.map(value => el("option", {value}, name(value))));
options("across", seq(22), entry);
options("up", seq(22), entry);
options("size", [1, 2, 4, 8, 16], String);
$("guesses").append(...Object.keys(BLOCKS).map(n => el("label", {},
	el("input", {type: "checkbox", id: `guess-${n}`}), math(NAMES[n]))));
build();

$("fault").onchange = () => {
	fault = $("fault").value;
	for (const box of all("#guesses input")) box.checked = false;
	changed();
};
$("reveal").onclick = reveal;
$("reset").onclick = () => { p = example(); changed(); };
$("descend").onclick = () => {
	const g = gradient(p, fault), bound = x => Math.max(-LARGEST, Math.min(LARGEST, x));
	p = unpack(p, pack(p).map((x, k) => bound(x - 0.02 * g[k])));
	changed();
};
$("close").onclick = () => choose(null);
document.onkeydown = event => { if (event.key === "Escape") choose(null); };
$("slider").oninput = event => { set(chosen, Number(event.target.value)); changed(); };
$("h").oninput = () => { drawCurves(); remember(); };
for (const id of FIELDS.slice(1)) $(id).onchange = () => startAt(null);
["sx", "sy"].forEach((id, k) => {
	$(id).oninput = event => {
		const x = read(event.target.value);
		if (Number.isFinite(x)) startAt(walk.start.map((old, q) => q === k ? x : old));
	};
});
$("restart").onclick = () => { walk.rules = null; drawWalk(); };
for (const id of ["en", "ko"]) $(id).onclick = () => speak(id);
onhashchange = recall;
onresize = later;
recall();
