// What the theme lacks: search from a folder, and the keyboard.
'use strict';

// A page that was opened from a folder may not read its neighbors, so results come without excerpts.
if (location.protocol === 'file:' && typeof DOCUMENTATION_OPTIONS !== 'undefined') {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

const SCROLLERS = '.equation > .math, .highlight pre, .table-wrapper';

// Who scrolls sideways can be reached and scrolled by keyboard, and says what it is.
function markScrollers() {
  for (const box of document.querySelectorAll(SCROLLERS)) {
    const scrolls = box.scrollWidth > box.clientWidth;
    const name = box.matches('.math') ? 'Formula' : box.matches('pre') ? 'Code' : 'Table';
    const wanted = { tabindex: '0', role: 'group', 'aria-label': `${name}, scrolls sideways` };
    for (const [key, value] of Object.entries(wanted)) {
      if (scrolls) box.setAttribute(key, value);
      else box.removeAttribute(key);
    }
  }
}

// The two drawers of a small screen are opened by labels, which no key reaches.
function openByKey() {
  for (const [id, name] of [['__navigation', 'Pages'], ['__toc', 'Contents of this page']]) {
    const box = document.getElementById(id);
    if (!box) continue;
    const labels = document.querySelectorAll(`label.toc-overlay-icon[for="${id}"], ` +
      `label.nav-overlay-icon[for="${id}"]`);
    const icons = [...labels].map((label) => label.querySelector('.icon'));
    const say = () => icons.forEach((icon) => icon.setAttribute('aria-expanded', box.checked));
    for (const icon of icons) {
      icon.setAttribute('role', 'button');
      icon.setAttribute('tabindex', '0');
      icon.setAttribute('aria-label', name);
      icon.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        box.click();
      });
    }
    box.addEventListener('change', say);
    say();
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && box.checked) box.click();
    });
  }
}

// Paper is white, whatever the screen is.
function printInTheLight() {
  let before;
  window.addEventListener('beforeprint', () => {
    before = document.body.dataset.theme;
    document.body.dataset.theme = 'light';
  });
  window.addEventListener('afterprint', () => { document.body.dataset.theme = before; });
}

// A symbol in a formula opens its entry of the glossary. For who has no pointer, all symbols of a
// page are listed below its title.
function openGlossary() {
  const known = window.SYMBOLS;
  const title = document.querySelector('article h1');
  const { lang } = document.documentElement;
  const root = document.documentElement.getAttribute('data-content_root') ?? '';
  const entry = ([anchor]) => `${root}docs/glossary.html#${anchor}`;
  const signs = document.querySelectorAll('article math :is(mi, mo):not(msup > :nth-child(2))');
  const page = location.pathname.split('/').at(-1).replace('.html', '');
  const own = window.OWN[page] ?? '';
  const used = new Set();
  for (const sign of signs) {
    if (!Object.hasOwn(known, sign.textContent) || own.includes(sign.textContent)) continue;
    used.add(sign.textContent);
    sign.classList.add('symbol');
    sign.addEventListener('click', () => {
      location.href = entry(known[sign.textContent]);
    });
  }
  if (!title || !used.size || page === 'glossary') return;
  const list = document.createElement('details');
  const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  list.className = 'symbols';
  list.append(make('summary', lang === 'ko' ? '이 페이지의 기호 (영어 용어집)' : 'Symbols of this page'));
  for (const sign of [...used].sort((a, b) => a.localeCompare(b))) {
    const link = make('a', `${sign} ${known[sign][1]}`);
    Object.assign(link, { href: entry(known[sign]), lang: 'en' });
    list.append(link, ' ');
  }
  title.after(list);
}

document.addEventListener('DOMContentLoaded', () => {
  openGlossary();
  printInTheLight();
  openByKey();
  markScrollers();
  document.fonts.ready.then(markScrollers);
  window.addEventListener('resize', markScrollers);
});
