// node --test tests/explorable/model.test.js, with the golden values of the package in $GOLDEN
"use strict";
const test = require("node:test");
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");

const SOURCE = fs.readFileSync(path.join(__dirname, "../../docs/explorable/model.js"), "utf8");
const NAMES = "example, FAULTS, value, backward, gradient, blamed, taylorSlope, errorAt, slice, sgd," +
  "adam, lbfgs, read, encode, decode";
const load = source => new Function(`${source}; return {${NAMES}};`)();
const {faults, records: golden} = JSON.parse(fs.readFileSync(process.env.GOLDEN, "utf8"));
const ARRAYS = ["Z", "H", "Y", "E", "DA", "DH", "DZ", "DV", "Dmu", "DW", "Db"];
const NUMBERS = ["data", "penalty", "J"];

function near(got, wanted, what, tolerance = 1e-12) {
  const [a, b] = [[got].flat(2), [wanted].flat(2)];
  assert.equal(a.length, b.length, what);
  const scale = Math.max(1, ...b.map(x => Math.abs(x ?? 0)));
  a.forEach((x, k) => {
    const same = x === b[k] || (x !== null && Math.abs(x - b[k]) <= tolerance * scale);
    assert.ok(same, `${what}[${k}]: ${x} is not ${b[k]}`);
  });
}

const CHECKS = [];
function check(name, body) {
  CHECKS.push(body);
  test(name, () => body(load(SOURCE), golden));
}

check("the first state is the example, and there are at least 200 others", (Model, records) => {
  assert.deepEqual(Model.example(), records[0].state);
  const random = records.filter(record => record.state.b.join() !== "3,2,3,1");
  assert.ok(new Set(random.map(record => JSON.stringify(record.state))).size >= 200);
});

check("every intermediate, J and every gradient is the package's", (Model, records) => {
  for (const record of records) {
    const s = Model.backward(record.state);
    for (const name of [...ARRAYS, ...NUMBERS]) near(s[name], record[name], name);
  }
});

check("there are at least eleven faults, and exactly one that no check can see", (Model, records) => {
  assert.deepEqual(Object.keys(Model.FAULTS), faults);
  assert.ok(faults.length - 1 >= 11);
  const state = JSON.parse(JSON.stringify(Model.example()));
  state.X[0][0] = 0; // so that "zero" shows
  const unseen = faults.filter(fault => fault !== "none" && !Model.blamed(state, fault).length);
  assert.deepEqual(unseen, ["both"]);
});

check("every fault: value, gradient and blamed blocks are those of check_gradient", (Model, records) => {
  for (const {state, faulty} of records) {
    near(Model.value(state, faulty.fault).J, faulty.value, `${faulty.fault}: J`);
    near(Model.gradient(state, faulty.fault), faulty.gradient, `${faulty.fault}: gradient`);
    const failed = Object.keys(faulty.verdicts).filter(name => faulty.verdicts[name] !== "pass");
    assert.deepEqual(Model.blamed(state, faulty.fault), failed, faulty.fault);
  }
});

check("Taylor slopes are those of taylor_test", (Model, records) => {
  for (const {state, faulty, slopes} of records.filter(record => record.slopes)) {
    for (const [name, slope] of Object.entries(slopes)) {
      const got = Model.taylorSlope(state, faulty.fault, name);
      if (slope === null) assert.equal(got, Infinity, faulty.fault);
      else assert.ok(Math.abs(got - slope) < 0.1, `${faulty.fault} ${name}: ${got}, ${slope}`);
    }
  }
});

check("errors of central differences are those of the package's value", (Model, records) => {
  for (const {state, step_errors: wanted} of records.filter(record => record.step_errors)) {
    for (const [key, error] of Object.entries(wanted)) {
      const [name, h] = key.split(" "), got = Model.errorAt(state, "none", name, Number(h));
      if ("Wb".includes(name)) assert.ok(got < 1e-9 && error < 1e-9, `${key}: ${got}`);
      else near(got, error, key, 1e-9);
    }
  }
});

check("steps of SGD and Adam are the lesson's", (Model, records) => {
  const rules = {
    sgd: [() => Model.sgd(0, false), 0.02],
    momentum: [() => Model.sgd(0.9, false), 0.01],
    nesterov: [() => Model.sgd(), 0.01],
    adam: [() => Model.adam(), 0.1],
  };
  for (const {state, walks} of records) {
    const fun = Model.slice(state, walks.entries);
    for (const [name, [make, rate]] of Object.entries(rules)) {
      const step = make();
      let point = walks.start;
      walks[name].forEach((wanted, n) => {
        point = step(point, fun(point)[1], rate);
        if (wanted.every(x => Math.abs(x) < 1e3)) near(point, wanted, `${name} ${n}`, 1e-10);
      });
    }
  }
});

check("iterations of L-BFGS are the lesson's, line search included", (Model, records) => {
  let compared = 0;
  for (const {state, walks} of records) {
    const iterates = Model.lbfgs(Model.slice(state, walks.entries), walks.start);
    let last = Infinity;
    for (const [x, y, J] of walks.lbfgs) {
      const next = iterates.next().value;
      const settled = last - J < 1e-9 * Math.abs(J); // what is left is rounding
      last = J;
      if (settled) break;
      near(next.point, [x, y], "point", 1e-6);
      near(next.value, J, "J", 1e-10);
      compared += 1;
    }
  }
  assert.ok(compared > 3 * records.length, `${compared} iterations compared`);
});

check("the address holds the state, and what cannot be read is the example's", (Model, records) => {
  for (const {state} of records) assert.deepEqual(Model.decode(Model.encode(state)), state);
  assert.equal(Model.encode(Model.example()), "");
  const broken = ["X=1,2", "V=a,b", "mu=1,", "lambda=", "lambda=1e9", "b=1,2,3,Infinity", "%%%"];
  for (const text of broken) assert.deepEqual(Model.decode(text), Model.example(), text);
  assert.equal(Model.decode("lambda=-2").lambda, 0);
});

check("numbers are read with comma, point and both signs; nothing else is a number", (Model, records) => {
  const good = {"1": 1, " -2.5": -2.5, "−3": -3, "0,5": 0.5, ".5": 0.5, "1e-3": 1e-3, "": null};
  for (const [text, number] of Object.entries(good)) assert.equal(Model.read(text), number, text);
  for (const text of ["-", "x", "1e", "0x10", "Infinity", "1 2", "1e5"]) {
    assert.equal(Model.read(text), undefined, text);
  }
});

// Mistakes in the page's own mathematics: a text of model.js, and what it becomes.
const MISTAKES = [
  ["(p.X[r][j] ?? 0) * p.V[j][i]) + p.mu[i]", "(p.X[r][j] ?? 0) * p.V[j][i])"],
  ["p.lambda / 2) * dot(weights", "p.lambda) * dot(weights"],
  ["h * (1 - h);", "h * (1 + h);"],
  ['p.X[r][c] === 0 && fault === "zero"', 'p.X[r][c] === 1 && fault === "zero"'],
  ["1e-6 * scale + 8 * EPS", "1e-1 * scale + 8 * EPS"],
  ["points.slice(-4)", "points.slice(0, 2)"],
  ["x + momentum * velocity[k] - rate * g[k]", "x + velocity[k]"],
  ["(Math.sqrt(square) + epsilon)", "Math.sqrt(square + epsilon)"],
  ["start.value + 1e-4 * x.step", "start.value + 0.9 * x.step"],
  ["coefficients.pop() - rho", "coefficients.shift() - rho"],
  ["low.step + 0.1 * width, high", "low.step + 0.4 * width, high"],
  ['numbers[r * row.length + c]', 'numbers[c * p[name].length + r]'],
];

test("a mistake in any part of it would be seen", () => {
  const some = golden.slice(0, 32), [, ...laws] = CHECKS; // not the one that counts the states
  for (const [right, wrong] of MISTAKES) {
    assert.equal(SOURCE.split(right).length, 2, right);
    const Model = load(SOURCE.replace(right, wrong));
    assert.ok(laws.some(law => {
      try { law(Model, some); } catch { return true; }
      return false;
    }), `nobody saw: ${wrong}`);
  }
});
