// Visit pages in Chromium and tell what is wrong with them, as one JSON object.
//
//   node tests/site/visit.mjs MODULES CHROMIUM < jobs.json
//
// MODULES holds puppeteer-core and axe-core. A job is {url, width, scheme}; with `axe` the page is
// checked by axe-core, `script` is evaluated, `keys` are pressed, `media` is "print", and `picture`
// is the name of a screenshot. The answer has `overflow` (what is wider than the window),
// `violations` (of axe-core), `foreign` (requests that leave the site), `errors` (of scripts), and
// `value` (of the script or the keys).
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const [modules, executablePath] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const puppeteer = require('puppeteer-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export async function open() {
  const args = ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'];
  return puppeteer.launch({ executablePath, args, headless: true, protocolTimeout: 240_000 });
}

// What reaches beyond the right edge of the window and cannot be scrolled to in a box of its own.
function overflow() {
  const { scrollWidth, clientWidth } = document.documentElement;
  const found = scrollWidth > clientWidth ? [`${scrollWidth} > ${clientWidth}`] : [];
  const box = (element) => {
    while ((element = element.parentElement)) {
      const { overflowX } = getComputedStyle(element);
      if (overflowX !== 'visible' && element !== document.body) return overflowX;
    }
    return 'none';
  };
  const all = document.querySelectorAll('article *');
  const wide = [...all].filter((element) => {
    const { right, width } = element.getBoundingClientRect();
    return width && right > clientWidth + 1 && !['auto', 'scroll'].includes(box(element));
  });
  return found.concat(wide.slice(0, 5).map(
    (element) => `${element.tagName}.${element.className}: ${element.textContent.slice(0, 60)}`,
  ));
}

// Press keys one after the other; tell after each what has the focus and what is checked.
async function press(page, keys) {
  const states = [];
  for (const key of keys) {
    await page.keyboard.press(key);
    states.push(await page.evaluate(() => [
      document.activeElement.textContent.trim().slice(0, 40),
      document.activeElement.getAttribute('aria-label') || '',
      location.hash,
      document.querySelector('#__navigation')?.checked ?? false,
    ]));
  }
  return states;
}

async function visit(page, job) {
  const foreign = [];
  const errors = [];
  for (const event of ['request', 'pageerror', 'console']) page.removeAllListeners(event);
  const { protocol: own } = new URL(job.url);
  page.on('request', (request) => {
    const { protocol } = new URL(request.url());
    if (![own, 'data:', 'about:'].includes(protocol)) foreign.push(request.url());
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.setViewport({ width: job.width, height: 900 });
  // each of the two takes back what the other has set
  if (job.media) await page.emulateMediaType(job.media);
  else await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: job.scheme }]);
  await page.goto('about:blank'); // or an address that differs in its fragment alone is not loaded
  await page.goto(job.url, { waitUntil: 'load' });
  await page.evaluate(() => document.fonts.ready);
  const found = { url: job.url, width: job.width, scheme: job.scheme, foreign, errors };
  found.overflow = await page.evaluate(overflow);
  if (job.script) found.value = await page.evaluate(job.script);
  if (job.keys) found.value = await press(page, job.keys);
  if (job.axe) {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(
      { include: [['html']], exclude: [['math']] }, // MathML is text to it, and slow
      { resultTypes: ['violations'], preload: false },
    ));
    found.violations = violations.map(
      ({ id, nodes }) => `${id} (${nodes.length}): ${nodes[0].html.slice(0, 200)}`,
    );
  }
  if (job.picture && job.url.includes('#')) await new Promise((done) => setTimeout(done, 1500));
  if (job.picture) await page.screenshot({ path: job.picture, fullPage: !!job.whole });
  return found;
}

const jobs = JSON.parse(readFileSync(0, 'utf8'));
const browser = await open();
const answers = [];
const waiting = [...jobs.entries()];
await Promise.all(Array.from({ length: 2 }, async () => {
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000); // the machine may be busy
  for (let next; (next = waiting.shift());) {
    const [place, job] = next;
    answers[place] = await visit(page, job);
  }
}));
await browser.close();
process.stdout.write(JSON.stringify(answers));
