// The mathematics of the page, tested against the package in tests/explorable. A classic script, so
// that it runs from a file: the scripts share one scope. Equation numbers: docs/derivation.md.
"use strict";

const ITEMS = 3, USERS = 4, UNITS = 2; // rows, columns, hidden units
const EPS = 2 ** -52;
const BLOCKS = {V: [0, 8], mu: [8, 10], W: [10, 18], b: [18, 22]}; // of theta, as the package

// The network of docs/tour.md; null is a hole, 0 is a rating.
const example = () => ({
	X: [[5, 3, null, 1], [4, null, null, 1], [null, 1, 5, 4]],
	V: [[0.2, -0.1], [0.1, 0.2], [-0.1, 0.3], [-0.2, 0.1]],
	mu: [0, 0.1],
	W: [[1, 0.5], [0.5, 1], [-1, 2], [-0.5, 2]],
	b: [3, 2, 3, 1],
	lambda: 1,
});

// Where each fault is planted: table, equation
const FAULTS = {
	none: " ",
	factor: "DA (4)",
	sign: "DA (3)",
	mean: "DA (4)",
	mask: "DA (5)",
	zero: "DA (5)",
	half: "DW (6)",
	activity: "DW (6)",
	bias: "Db (7)",
	swap: "DH (8)",
	slope: "DZ (9)",
	before: "DZ (9)",
	penalty: "DV (10)",
	rows: "Dmu (11)",
	value: "J (2)",
	both: "J (2)",
};

const grid = (n, m, f) =>
	Array.from({length: n}, (_, r) => Array.from({length: m}, (_, c) => f(r, c)));
const list = (n, f) => Array.from({length: n}, (_, k) => f(k));
function sum(n, f) {
	let total = 0;
	for (let k = 0; k < n; k++) total += f(k);
	return total;
}
const dot = (a, b) => sum(a.length, k => a[k] * b[k]);
const plus = (a, b, factor = 1) => a.map((x, k) => x + factor * b[k]);

function forward(p) {
	const Z = grid(ITEMS, UNITS, (r, i) =>
		sum(USERS, j => (p.X[r][j] ?? 0) * p.V[j][i]) + p.mu[i]);
	const H = grid(ITEMS, UNITS, (r, i) => 1 / (1 + Math.exp(-Z[r][i])));
	const Y = grid(ITEMS, USERS, (r, c) => sum(UNITS, i => H[r][i] * p.W[c][i]) + p.b[c]);
	return {Z, H, Y};
}

// (3), null where there is no rating
const errors = (p, Y, fault) => grid(ITEMS, USERS, (r, c) =>
	p.X[r][c] === null && fault !== "both" ? null : Y[r][c] - (p.X[r][c] ?? 0));

function value(p, fault = "none", Y = forward(p).Y) { // (2)
	const data = errors(p, Y, fault).flat().reduce((total, e) => total + (e ?? 0) ** 2, 0);
	const weights = [...p.W, ...p.V].flat();
	const penalty = (fault === "value" ? p.lambda : p.lambda / 2) * dot(weights, weights);
	return {data, penalty, J: data + penalty};
}

function signal(p, Y, E, fault) { // (4) and (5): null at the holes
	const rated = E.flat().filter(e => e !== null).length;
	const factor = {factor: 1, sign: -2, mean: 2 / rated}[fault] ?? 2;
	return grid(ITEMS, USERS, (r, c) => {
		if (p.X[r][c] === null && fault === "mask") return 2 * Y[r][c];
		if (p.X[r][c] === 0 && fault === "zero") return null;
		return E[r][c] === null ? null : factor * E[r][c];
	});
}

function backward(p, fault = "none") {
	const {Z, H, Y} = forward(p), l = p.lambda;
	const E = errors(p, Y, fault), DA = signal(p, Y, E, fault);
	const d = (r, c) => DA[r][c] ?? 0;
	const read = fault === "activity" ? Z : H;
	const DW = grid(USERS, UNITS, (c, i) =>
		sum(ITEMS, r => d(r, c) * read[r][i]) + (fault === "half" ? l / 2 : l) * p.W[c][i]);
	const Db = list(USERS, c => sum(ITEMS, r => d(r, c)) + (fault === "bias" ? l * p.b[c] : 0));
	const back = fault === "swap" ? p.V : p.W;
	const DH = grid(ITEMS, UNITS, (r, i) => sum(USERS, c => d(r, c) * back[c][i]));
	const slope = (h, z) =>
		fault === "slope" ? h : fault === "before" ? z * (1 - z) : h * (1 - h);
	const DZ = grid(ITEMS, UNITS, (r, i) => DH[r][i] * slope(H[r][i], Z[r][i]));
	const DV = grid(USERS, UNITS, (j, i) =>
		sum(ITEMS, r => (p.X[r][j] ?? 0) * DZ[r][i]) + (fault === "penalty" ? 0 : l * p.V[j][i]));
	const Dmu = list(UNITS, i => sum(ITEMS, r => DZ[r][i]) / (fault === "rows" ? ITEMS : 1));
	return {Z, H, Y, E, DA, DW, Db, DH, DZ, DV, Dmu, ...value(p, fault, Y)};
}

const pack = p => [...p.V.flat(), ...p.mu, ...p.W.flat(), ...p.b];
const unpack = (p, t) => ({
	...p,
	V: grid(USERS, UNITS, (j, i) => t[j * UNITS + i]),
	mu: t.slice(8, 10),
	W: grid(USERS, UNITS, (c, i) => t[10 + c * UNITS + i]),
	b: t.slice(18, 22),
});
const valueAt = (p, t, fault) => value(unpack(p, t), fault).J;
function gradient(p, fault) {
	const {DV, Dmu, DW, Db} = backward(p, fault);
	return [...DV.flat(), ...Dmu, ...DW.flat(), ...Db];
}

// Checks

const moved = (t, k, h) => t.map((x, n) => n === k ? x + h : x);
function difference(p, k, h, fault) {
	const t = pack(p), up = moved(t, k, h), down = moved(t, k, -h);
	return (valueAt(p, up, fault) - valueAt(p, down, fault)) / (up[k] - down[k]);
}

function check(p, fault = "none") {
	const g = gradient(p, fault), t = pack(p), J = Math.abs(valueAt(p, t, fault)), report = {};
	for (const [name, [first, end]] of Object.entries(BLOCKS)) {
		const rows = list(end - first, n => {
			const k = first + n, h = Math.cbrt(EPS) * Math.max(Math.abs(t[k]), 1);
			const numeric = difference(p, k, h, fault);
			return {index: n, analytic: g[k], numeric, gap: Math.abs(numeric - g[k]), h};
		});
		const worst = rows.reduce((a, b) => b.gap > a.gap ? b : a);
		const scale = Math.max(...rows.flatMap(x => [Math.abs(x.analytic), Math.abs(x.numeric)]));
		const budget = 1e-6 * scale + 8 * EPS * J / worst.h; // truncation, with room; rounding
		report[name] = {...worst, error: scale ? worst.gap / scale : 0, pass: worst.gap <= budget};
	}
	return report;
}
const blamed = (p, fault) =>
	Object.entries(check(p, fault)).filter(([, block]) => !block.pass).map(([name]) => name);

// The slope of |J(t + h d) - J(t) - h g.d| on logarithmic axes, d = (1, -1, 1, ...), fitted as in
// `taylor_test` to the four smallest steps that stand above the rounding; infinite where none does
function taylorSlope(p, fault, name) {
	const [first, end] = BLOCKS[name], t = pack(p), part = t.slice(first, end), points = [];
	const d = t.map((_, k) => k < first || k >= end ? 0 : (-1) ** k);
	const J = valueAt(p, t, fault), slope = dot(gradient(p, fault), d);
	const scale = Math.sqrt(dot(part, part) / part.length) || 1;
	for (let h = scale / 4; h > 64 * EPS * scale; h /= 4) {
		const up = valueAt(p, plus(t, d, h), fault), down = valueAt(p, plus(t, d, -h), fault);
		const rest = Math.abs((up - down) / 2 - h * slope) + Math.abs((up + down) / 2 - J);
		if (rest <= 16 * EPS * Math.max(up, down, J)) break;
		points.push([Math.log(h), Math.log(rest)]);
	}
	const fitted = points.slice(-4), n = fitted.length;
	if (n < 2) return Infinity;
	const [x, y] = [0, 1].map(k => sum(n, q => fitted[q][k]) / n);
	const along = fitted.map(([a]) => a - x);
	return dot(along, fitted.map(([, b]) => b - y)) / dot(along, along);
}

// The largest error of a block, as a part of its largest derivative
function errorAt(p, fault, name, h, g = gradient(p, fault)) {
	const [first, end] = BLOCKS[name];
	const scale = Math.max(1e-12, ...g.slice(first, end).map(Math.abs));
	return Math.max(...list(end - first, n =>
		Math.abs(difference(p, first + n, h, fault) - g[first + n]))) / scale;
}

// Steps, on any fun(t) -> [value, gradient]

// J over some entries of theta, the others as they are
const slice = (p, entries) => point => {
	const t = pack(p);
	entries.forEach((k, n) => { t[k] = point[n]; });
	const q = unpack(p, t), g = gradient(q);
	return [value(q).J, entries.map(k => g[k])];
};

function sgd(momentum = 0.9, nesterov = true) { // core/optimizers.py, SGD
	let velocity = null;
	return (t, g, rate) => {
		velocity = (velocity ?? g.map(() => 0)).map((v, k) => momentum * v - rate * g[k]);
		return t.map((x, k) =>
			nesterov ? x + momentum * velocity[k] - rate * g[k] : x + velocity[k]);
	};
}

function adam(beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8) { // core/optimizers.py, Adam
	let m = null, v = null, n = 0;
	return (t, g, rate) => {
		n += 1;
		m = (m ?? g.map(() => 0)).map((x, k) => beta1 * x + (1 - beta1) * g[k]);
		v = (v ?? g.map(() => 0)).map((x, k) => beta2 * x + (1 - beta2) * g[k] ** 2);
		return t.map((x, k) => {
			const mean = m[k] / (1 - beta1 ** n), square = v[k] / (1 - beta2 ** n);
			return x - rate * mean / (Math.sqrt(square) + epsilon);
		});
	};
}

// core/lbfgs.py: the two-loop recursion over the last ten pairs (s, y)
function lbfgsDirection(pairs, g) {
	let q = g;
	const coefficients = [];
	for (const [s, y, rho] of [...pairs].reverse()) {
		coefficients.push(rho * dot(s, q));
		q = plus(q, y, -coefficients.at(-1));
	}
	if (pairs.length) {
		const [, y, rho] = pairs.at(-1), yy = rho * dot(y, y);
		q = q.map(x => x / yy);
	}
	for (const [s, y, rho] of pairs) q = plus(q, s, coefficients.pop() - rho * dot(y, q));
	return q.map(x => -x);
}

// core/lbfgs.py, minimize_lbfgs: yields {point, value, evaluations} while the value falls
function* lbfgs(fun, point) {
	let [value, g] = fun(point), pairs = [], evaluations = 1;
	for (;;) {
		const d = lbfgsDirection(pairs, g), slope = dot(g, d);
		if (!(slope < 0)) return;
		const along = step => {
			evaluations += 1;
			const there = plus(point, d, step), [v, gradient] = fun(there);
			return {step, value: v, slope: dot(gradient, d), point: there, gradient};
		};
		const start = {step: 0, value, slope, point, gradient: g};
		const first = pairs.length ? 1 : 1 / Math.sqrt(-slope);
		const found = strongWolfe(along, start, first, EPS * Math.abs(value));
		if (found) {
			const s = plus(found.point, point, -1), y = plus(found.gradient, g, -1);
			if (dot(s, y) > 0 && dot(y, y) > 0) pairs = [...pairs, [s, y, 1 / dot(s, y)]].slice(-10);
			({point, value, gradient: g} = found);
			yield {point, value, evaluations};
		} else if (pairs.length) {
			pairs = [];
		} else {
			return;
		}
	}
}

function strongWolfe(phi, start, firstStep, noise) { // core/lbfgs.py, strong_wolfe
	const decreases = x => Number.isFinite(x.value) &&
		x.value <= start.value + 1e-4 * x.step * start.slope + noise;
	let low = start, high = null, step = firstStep;
	for (let n = 0; n < 20; n++) {
		const trial = phi(step);
		if (!decreases(trial) || (low !== start && trial.value > low.value + noise)) {
			high = trial;
		} else if (Math.abs(trial.slope) <= -0.9 * start.slope) {
			return trial;
		} else {
			if (trial.slope * ((high ? high.step : Infinity) - low.step) >= 0) high = low;
			low = trial;
		}
		step = high ? interpolate(low, high) : 10 * low.step;
		if (high && (step === low.step || step === high.step)) break;
	}
	return low === start ? null : low;
}

function interpolate(low, high) { // core/lbfgs.py: the cubic through two trials
	const width = high.step - low.step;
	if (!Number.isFinite(high.value + high.slope)) return low.step + 0.1 * width;
	const d1 = low.slope + high.slope - 3 * (low.value - high.value) / (low.step - high.step);
	const radicand = d1 * d1 - low.slope * high.slope;
	const d2 = Math.sign(width) * Math.sqrt(Math.max(radicand, 0));
	const denominator = high.slope - low.slope + 2 * d2;
	if (radicand < 0 || denominator === 0) return low.step + 0.5 * width;
	const step = high.step - width * (high.slope + d2 - d1) / denominator;
	const [near, far] = [low.step + 0.1 * width, high.step - 0.1 * width].sort((a, b) => a - b);
	return Math.min(Math.max(step, near), far);
}

// The address: what differs from the example, as "X=5,3,,1,...&lambda=0.5"

const LARGEST = 1e4; // of the numbers that may be typed
function read(text) { // null: a hole; undefined: no number
	const plain = text.trim().replace(",", ".").replace("−", "-");
	if (plain === "") return null;
	const number = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
	return Math.abs(number) <= LARGEST ? number : undefined;
}
const flat = x => [x].flat(2);
function encode(p) {
	const usual = example();
	return Object.keys(usual).filter(name => String(p[name]) !== String(usual[name]))
		.map(name => `${name}=${flat(p[name]).map(x => x ?? "").join()}`).join("&");
}
function decode(text) {
	const given = new URLSearchParams(text), p = example();
	for (const name of Object.keys(p)) {
		const numbers = (given.get(name) ?? "").split(",").map(read);
		const wanted = flat(p[name]).length;
		const good = x => x !== undefined && (x !== null || name === "X");
		if (numbers.length !== wanted || !numbers.every(good)) continue;
		if (name === "lambda") p.lambda = Math.max(0, numbers[0]);
		else if (!Array.isArray(p[name][0])) p[name] = numbers;
		else p[name] = p[name].map((row, r) => row.map((_, c) => numbers[r * row.length + c]));
	}
	return p;
}
