// node --test tests/explorable/model.test.js, with the golden values of the package in $GOLDEN
"use strict";
const test = require("node:test");
const assert = require("node:assert");
const fs = require("node:fs");
const Model = require("../../docs/explorable/model.js");

const {faults, records} = JSON.parse(fs.readFileSync(process.env.GOLDEN, "utf8"));
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

test("the first state is the example, and there are at least 200 others", () => {
  assert.deepEqual(Model.example(), records[0].state);
  const random = records.filter(record => record.state.b.join() !== "3,2,3,1");
  assert.ok(new Set(random.map(record => JSON.stringify(record.state))).size >= 200);
});

test("every intermediate, J and every gradient is the package's", () => {
  for (const record of records) {
    const s = Model.backward(record.state);
    for (const name of [...ARRAYS, ...NUMBERS]) near(s[name], record[name], name);
  }
});

test("there are at least eleven faults, and exactly one that no check can see", () => {
  assert.deepEqual(Object.keys(Model.FAULTS), faults);
  assert.ok(faults.length - 1 >= 11);
  const state = JSON.parse(JSON.stringify(Model.example()));
  state.X[0][0] = 0; // so that "zero" shows
  const unseen = faults.filter(fault => fault !== "none" && !Model.blamed(state, fault).length);
  assert.deepEqual(unseen, ["both"]);
});

test("every fault: value, gradient and blamed blocks are those of check_gradient", () => {
  for (const {state, faulty} of records) {
    near(Model.value(state, faulty.fault).J, faulty.value, `${faulty.fault}: J`);
    near(Model.gradient(state, faulty.fault), faulty.gradient, `${faulty.fault}: gradient`);
    const failed = Object.keys(faulty.verdicts).filter(name => faulty.verdicts[name] !== "pass");
    assert.deepEqual(Model.blamed(state, faulty.fault), failed, faulty.fault);
  }
});

test("Taylor slopes are those of taylor_test", () => {
  for (const {state, faulty, slopes} of records.filter(record => record.slopes)) {
    const report = Model.check(state, faulty.fault);
    for (const [name, slope] of Object.entries(slopes)) {
      const got = report[name].slope;
      if (slope === null) assert.equal(got, Infinity, faulty.fault);
      else assert.ok(Math.abs(got - slope) < 0.1, `${faulty.fault} ${name}: ${got}, ${slope}`);
    }
  }
});

test("errors of central differences are those of the package's value", () => {
  for (const {state, step_errors: wanted} of records.filter(record => record.step_errors)) {
    for (const [key, error] of Object.entries(wanted)) {
      const [name, h] = key.split(" "), got = Model.errorAt(state, "none", name, Number(h));
      if ("Wb".includes(name)) assert.ok(got < 1e-9 && error < 1e-9, `${key}: ${got}`);
      else near(got, error, key, 1e-9);
    }
  }
});

test("steps of SGD and Adam are the lesson's", () => {
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

test("iterations of L-BFGS are the lesson's, line search included", () => {
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

test("the address holds the state, and what cannot be read is the example's", () => {
  for (const {state} of records) assert.deepEqual(Model.decode(Model.encode(state)), state);
  assert.equal(Model.encode(Model.example()), "");
  const broken = ["X=1,2", "V=a,b", "mu=1,", "lambda=", "lambda=1e9", "b=1,2,3,Infinity", "%%%"];
  for (const text of broken) assert.deepEqual(Model.decode(text), Model.example(), text);
  assert.equal(Model.decode("lambda=-2").lambda, 0);
});

test("numbers are read with comma, point and both signs; nothing else is a number", () => {
  const good = {"1": 1, " -2.5": -2.5, "−3": -3, "0,5": 0.5, ".5": 0.5, "1e-3": 1e-3, "": null};
  for (const [text, number] of Object.entries(good)) assert.equal(Model.read(text), number, text);
  for (const text of ["-", "x", "1e", "0x10", "Infinity", "1 2", "1e5"]) {
    assert.equal(Model.read(text), undefined, text);
  }
});
