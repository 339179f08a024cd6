// The page in headless Chromium, opened from a file, with every host name refused.
// GOLDEN=golden.json CHROMIUM=/usr/bin/chromium node --test tests/explorable/page.test.mjs
import {after, before, test} from "node:test";
import assert from "node:assert";
import fs from "node:fs";
import {createRequire} from "node:module";
import {fileURLToPath} from "node:url";

const require = createRequire(new URL("../../docs/site/", import.meta.url));
const puppeteer = require("puppeteer-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const {records} = JSON.parse(fs.readFileSync(process.env.GOLDEN, "utf8"));
const ADDRESS = new URL("../../docs/explorable/index.html", import.meta.url).href;
const SHOTS = process.env.SHOTS; // a folder for screenshots, if they are wanted

let browser;
before(async () => {
  browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM,
    protocolTimeout: 600_000,
    args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"],
  });
});
after(() => browser?.close());

// Open the page at a width and in a scheme; run body(page); nothing may be asked for or go wrong.
async function opened(body, {hash = "#lang=en", width = 1280, scheme = "light"} = {}) {
  const page = await browser.newPage(), wrong = [];
  page.on("pageerror", error => wrong.push(error.message));
  page.on("console", message => message.type() === "error" && wrong.push(message.text()));
  page.on("request", request => /^(file|data):/.test(request.url()) || wrong.push(request.url()));
  await page.setViewport({width, height: width > 500 ? 900 : 780});
  await page.emulateMediaFeatures([{name: "prefers-color-scheme", value: scheme}]);
  await page.goto(ADDRESS + hash);
  await body(page);
  assert.deepEqual(wrong, []);
  await page.close();
}
const text = (page, selector) => page.$eval(selector, node => node.textContent);
const drawn = page => page.evaluate(() => new Promise(done => {
  requestAnimationFrame(() => requestAnimationFrame(done));
}));

test("it opens with the tour's numbers, and a rating of 0 is a rating", () => opened(async page => {
  assert.equal(await text(page, "#J"), "J = 13.857698");
  await page.type('input[aria-label^="X item 1, user 3"]', "0");
  const J = await page.evaluate(() => value(Object.assign(example(),
    {X: [[5, 3, 0, 1], [4, null, null, 1], [null, 1, 5, 4]]})).J);
  assert.equal(await text(page, "#J"), `J = ${J.toFixed(6)}`);
  await page.click("#reset");
  assert.equal(await text(page, "#J"), "J = 13.857698");
}));

test("what is no number is marked, and changes nothing", () => opened(async page => {
  const box = await page.$('input[aria-label^="V user 1, unit 1"]');
  await box.type("x");
  assert.equal(await box.evaluate(node => node.getAttribute("aria-invalid")), "true");
  assert.equal(await text(page, "#J"), "J = 13.857698");
  await page.keyboard.press("Tab");
  assert.equal(await box.evaluate(node => node.value + node.getAttribute("aria-invalid")), "0.2null");
}));

test("the tables show the package's numbers in every state", () => opened(async page => {
  const wrong = await page.evaluate(all => all.flatMap(record => {
    history.replaceState(null, "", `#lang=en&${encode(record.state)}`);
    recall();
    return Object.keys(TABLES).filter(n => n in record).flatMap(n =>
      cells[n].flatMap((row, r) => row.map((cell, c) => {
        const x = at(record, n, r, c);
        const shown = Number(cell.textContent.replace("−", "-").replace("·10⁻⁴", "e-4"));
        const tiny = /·10⁻/.test(cell.textContent);
        const good = x === null ? cell.textContent === "·"
          : tiny ? Math.abs(x) < 5e-4 : Math.abs(shown - x) <= (Math.abs(x) < 10 ? 6e-4 : 6e-2);
        return good ? "" : `${n} ${r} ${c}: ${cell.textContent}, ${x}`;
      }))).filter(Boolean);
  }), records);
  assert.deepEqual(wrong, []);
}));

test("what a number is made of gives that number, with every fault", () => opened(async page => {
  const [wrong, count] = await page.evaluate(all => {
    const bad = [];
    let seen = 0;
    for (const {state, faulty} of all) {
      history.replaceState(null, "", `#lang=en&fault=${faulty.fault}&${encode(state)}`);
      recall();
      const s = backward(p, fault);
      for (const n of [...Object.keys(TABLES), "J"].filter(name => !isTyped(name))) {
        cells[n].forEach((row, r) => row.forEach((_, c) => {
          const x = valueOf(s, n, r, c);
          if (x === null) return;
          choose([n, r, c]);
          const line = document.querySelectorAll("#made p")[1].textContent;
          const said = line.split(" = ")[1].replaceAll("−", "-").replaceAll("·", "*")
            .replaceAll("²", "**2").replaceAll(/(-[\d.]+)\*\*/g, "($1)**").replaceAll("exp", "Math.exp")
            .replaceAll(/\* 10([⁻⁰-⁹¹²³]+)/g, "");
          const got = new Function(`return ${said}`)();
          const size = Math.max(1, ...(said.match(/\d[\d.]*/g) ?? []).map(Number)) ** 2;
          seen += 1;
          if (!(Math.abs(got - x) <= 2e-3 * size)) bad.push(`${faulty.fault} ${n}: ${line}`);
          if (!document.querySelector("[data-ring=chosen]")) bad.push(`${n}: no ring`);
        }));
      }
    }
    return [bad, seen];
  }, records.slice(0, 32));
  assert.deepEqual(wrong, []);
  assert.ok(count > 32 * 50);
}));

test("ingredients are ringed, and a parameter says what it does", () => opened(async page => {
  await page.click('button[aria-label^="Z item 1, unit 1"]');
  const ringed = role => page.$$eval(`[data-ring=${role}]`, nodes => nodes.map(node => node.value));
  assert.deepEqual(await ringed("a"), ["5", "3", "1"]);
  assert.deepEqual(await ringed("b"), ["0.2", "0.1", "-0.2"]);
  assert.deepEqual(await ringed("c"), ["0"]);
  assert.ok((await text(page, "#made")).includes("= 5 · 0.2 + 3 · 0.1 + 1 · (−0.2) + 0 = 1.100000"));
  await page.focus('input[aria-label^="V user 1, unit 1"]');
  assert.ok((await text(page, "#made")).includes("−3.1407"));
  await page.$eval("#slider", node => { node.value = 1; node.oninput({target: node}); });
  assert.equal(await page.evaluate(() => p.V[0][0]), 1);
}));

test("the arrow keys move within a table, and Escape closes", () => opened(async page => {
  await page.focus('button[aria-label^="Z item 1, unit 1"]');
  for (const key of ["ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
  const label = () => page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  assert.equal(await label(), "Z item 2, unit 2, −0.200");
  assert.ok((await text(page, "#made")).includes("z22"));
  await page.keyboard.press("Tab"); // one stop for each table
  assert.ok((await label()).startsWith("H item 1, unit 1"));
  await page.focus('input[aria-label^="W unit 1, user 1"]');
  await page.keyboard.press("ArrowDown");
  assert.ok((await label()).startsWith("W unit 2, user 1"));
  await page.keyboard.press("Escape");
  assert.equal(await page.$eval("#why", node => node.hidden), true);
}));

test("with the keyboard alone, a fault is planted, judged and revealed", () => opened(async page => {
  for (const {faulty: {fault, verdicts}} of records.slice(0, 16)) { // the example, each fault
    await page.select("#fault", fault);
    assert.equal(await text(page, "#verdict"), "", "nothing is given away");
    assert.equal(await page.$(".wrong, .source"), null);
    const failed = Object.keys(verdicts).filter(name => verdicts[name] !== "pass");
    for (const name of failed) {
      await page.focus(`#guess-${name}`);
      await page.keyboard.press("Space");
    }
    await page.focus("#reveal");
    await page.keyboard.press("Enter");
    const shown = await page.$$eval("#verdict tbody tr", rows => rows.map(row =>
      [row.cells[0].textContent.replace("μ", "mu"), row.cells[1].textContent.slice(2)]));
    assert.deepEqual(Object.fromEntries(shown), verdicts, fault);
    assert.ok((await text(page, "#verdict p")).startsWith("✓"), fault);
    const marked = await page.$$eval(".wrong", nodes => nodes.length);
    assert.equal(marked > 0, failed.length > 0 && fault !== "value" || fault === "both", fault);
  }
  assert.ok((await text(page, "#verdict")).includes("No gradient check can see that"));
}));

test("the step h follows slider and pointer; W and b have no truncation", () => opened(async page => {
  await drawn(page);
  await page.focus("#h");
  await page.keyboard.press("End");
  const says = await text(page, "#hsays");
  assert.ok(says.startsWith("At h = 1.0: V ") && says.includes("no such branch"), says);
  const errors = await page.evaluate(() => Object.keys(BLOCKS).map(n => errorAt(p, "none", n, 0.1)));
  assert.ok(errors[0] > 1e-3 && errors[1] > 1e-5 && errors[2] < 1e-12 && errors[3] < 1e-12);
  const box = await (await page.$("#curves svg")).boundingBox();
  await page.mouse.move(box.x + box.width - 30, box.y + 100);
  await page.mouse.down();
  await page.mouse.move(box.x + 60, box.y + 100, {steps: 5});
  await page.mouse.up();
  assert.ok(Number(await page.$eval("#h", node => node.value)) < 4);
  assert.ok((await text(page, "#hsays")).includes("Rounding rules"));
}));

test("the walks are the lesson's", () => opened(async page => {
  const wrong = await page.evaluate(async all => {
    const bad = [];
    for (const {state, walks} of all) {
      const [across, up] = walks.entries;
      const rest = `across=${across}&up=${up}&start=${walks.start.join()}`;
      history.replaceState(null, "", `#lang=en&${encode(state)}&${rest}`);
      recall();
      drawWalk();
      for (const [rule, wanted] of Object.entries(walks)) {
        if (!(rule in RULES)) continue;
        for (const _ of wanted) document.getElementById(`go-${rule}-1`).click();
        const path = walk.rules[rule].path.slice(1);
        path.slice(0, 4).forEach((point, n) => point.forEach((x, k) => {
          const close = Math.abs(x - wanted[n][k]) <= 1e-6 * Math.max(1, Math.abs(x));
          if (!close) bad.push(`${rule} ${n}: ${x}, ${wanted[n][k]}`);
        }));
      }
    }
    return bad;
  }, records.slice(16, 20));
  assert.deepEqual(wrong, []);
  await page.click("#contours");
  const start = await page.evaluate(() => walk.start);
  assert.equal(await page.$eval("#sx", node => Number(node.value)), start[0]);
  await page.click("#go-lbfgs-10");
  assert.ok(/\d+ steps, \d+ evaluations/.test(await text(page, "#at-lbfgs")));
}));

test("the address holds the state", async () => {
  let address;
  await opened(async page => {
    await page.type('input[aria-label^="X item 1, user 3"]', "2.5");
    await page.select("#fault", "swap");
    await page.click('button[aria-label^="DZ item 1, unit 2"]');
    await page.select("#up", "21");
    await page.click("#ko");
    await page.waitForFunction(() => location.hash.includes("lang=ko"));
    address = await page.evaluate(() => location.hash);
  });
  assert.ok(address.includes("fault=swap"));
  await opened(async page => {
    const state = await page.evaluate(() => [p.X[0][2], fault, chosen, axes(), lang]);
    assert.deepEqual(state, [2.5, "swap", ["DZ", 0, 1], [0, 21], "ko"]);
    await page.evaluate(() => { location.hash = "#X=1&fault=constructor&chosen=toString&h=x&size=7"; });
    await page.waitForFunction(() => fault === "none");
    assert.equal(await text(page, "#J"), "J = 13.857698");
  }, {hash: address});
});

test("both languages say everything", () => opened(async page => {
  const shape = await page.evaluate(() => {
    const keys = (x, at = "") => Object.entries(x).flatMap(([name, y]) =>
      typeof y === "object" && !Array.isArray(y) ? keys(y, `${at}${name}.`) : [at + name]);
    const [en, ko] = [keys(WORDS.en), keys(WORDS.ko)];
    const given = [...document.querySelectorAll("[data-t]")].map(node => node.dataset.t);
    return [en.filter(name => !ko.includes(name)), given.filter(name => !ko.includes(name)),
      ko.filter(name => !en.includes(name) && !given.includes(name))];
  });
  assert.deepEqual(shape, [[], [], []]);
  for (const id of ["ko", "en"]) {
    await page.click(`#${id}`);
    await page.select("#fault", id === "ko" ? "both" : "swap");
    await page.click("#reveal");
    await page.click("#go-adam-10");
    const body = await page.evaluate(() => document.body.innerText);
    assert.ok(!/undefined|NaN|null|\[object/.test(body), body);
    assert.equal(/[가-힣]{2}/.test(body.replace("한국어", "")), id === "ko");
    assert.equal(await page.evaluate(() => document.documentElement.lang), id);
  }
}));

const RULES = {preload: false, resultTypes: ["violations"]};
for (const width of [1280, 768, 390, 360]) {
  for (const scheme of ["light", "dark"]) {
    const lang = (scheme === "dark") === (width > 500) ? "ko" : "en";
    test(`${width} px, ${scheme}, ${lang}: no sideways scrolling, nothing that axe finds`, () =>
      opened(async page => {
        await page.click("#reveal");
        for (const name of ["nesterov", "lbfgs"]) await page.click(`#go-${name}-10`);
        await drawn(page);
        const sizes = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(sizes[0] <= sizes[1], sizes.join(" > "));
        const cut = await page.$$eval(".cell", nodes => nodes.filter(node =>
          node.scrollWidth > node.clientWidth + 1).map(node => node.getAttribute("aria-label")));
        assert.deepEqual(cut, []);
        await page.evaluate(axe);
        const {violations} = await page.evaluate(rules => globalThis.axe.run(document, rules), RULES);
        assert.deepEqual(violations.map(({id, nodes}) => [id, nodes.length, nodes[0].html,
          nodes[0].failureSummary]), []);
        if (!SHOTS) return;
        const path = `${SHOTS}/${width}_${scheme}_${lang}.png`;
        await page.screenshot({path, fullPage: true});
      }, {hash: `#lang=${lang}&fault=swap&chosen=Z,0,0`, width, scheme}));
  }
}
