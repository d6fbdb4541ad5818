// Keeps the page fresh, and the map at hand. Everything here is a convenience: without it the pages say the same.
'use strict';
(() => {
  const parser = new DOMParser();
  const live = document.getElementById('live');
  const lost = document.getElementById('lost');
  const build = document.documentElement.dataset.build;

  // What the server last said of each part, to tell whether it says something else now.
  const said = new Map();
  const partsOf = doc => [...doc.querySelectorAll('[data-live][id]')];
  const remember = doc => partsOf(doc).forEach(part => said.set(part.id, part.outerHTML));
  remember(document);

  // ---- times, in the reader's own zone

  const clock = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'});
  const day = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23'});
  function localize(root) {
    for (const time of root.querySelectorAll('time[datetime]')) {
      const at = new Date(time.dateTime);
      const today = new Date().toDateString() === at.toDateString();
      time.textContent = (today ? clock : day).format(at);
      time.title = at.toLocaleString();
    }
    for (const origin of root.querySelectorAll('[data-origin]')) origin.textContent = location.origin;
  }

  // ---- freshness: the server says that something has changed, and the page asks for itself again

  let asking = false, again = false;
  async function refresh() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, {headers: {Accept: 'text/html'}, cache: 'no-store'});
      if (answer.redirected && new URL(answer.url).pathname === '/login') { location.assign(answer.url); return; }
      if (answer.ok || answer.status === 404) swap(parser.parseFromString(await answer.text(), 'text/html'));
    } catch { /* the stream notices, and says so */ } finally {
      asking = false;
      if (again) { again = false; refresh(); }
    }
  }

  function swap(next) {
    if (next.documentElement.dataset.build !== build) { location.reload(); return; }
    for (const part of partsOf(next)) {
      const now = document.getElementById(part.id);
      const text = part.outerHTML;
      if (!now || said.get(part.id) === text) continue;
      const active = document.activeElement;
      const focused = now.contains(active) && active !== now ? keyOf(active) : '';
      const scrolled = [now.scrollLeft, now.scrollTop];
      const known = new Set([...now.querySelectorAll('[data-key]')].map(row => row.dataset.key));
      said.set(part.id, text);
      document.adoptNode(part);
      if (now.matches('[data-map]') && part.matches('[data-map]')) now.replaceChildren(...part.childNodes);
      else now.replaceWith(part);
      const fresh = document.getElementById(part.id) || now;
      localize(fresh);
      if (known.size) for (const row of fresh.querySelectorAll('[data-key]')) if (!known.has(row.dataset.key)) row.classList.add('fresh');
      if (focused) [...fresh.querySelectorAll('a, button, input, summary')].find(e => keyOf(e) === focused)?.focus({preventScroll: true});
      fresh.scrollTo(...scrolled);
      maps.get(fresh)?.redrawn();
    }
  }
  const keyOf = e => e.id || e.getAttribute?.('href') || e.textContent;

  // A browser has six connections to a server, for all pages together: those that nobody sees keep none.
  let stream, wait = 500, timer;
  function disconnect() { stream?.close(); clearTimeout(timer); }
  function connect() {
    disconnect();
    stream = new EventSource('/live');
    stream.onopen = () => { wait = 500; lost.hidden = true; live.textContent = 'live'; live.classList.remove('away'); };
    stream.addEventListener('change', event => {
      if (JSON.parse(event.data).build !== build) { location.reload(); return; }
      refresh();
    });
    stream.onerror = () => {
      stream.close();
      if (lost.hidden) document.getElementById('lost-since').textContent = clock.format(new Date());
      lost.hidden = false;
      live.textContent = 'away';
      live.classList.add('away');
      timer = setTimeout(connect, wait);
      wait = Math.min(wait * 2, 5000);
    };
  }
  window.addEventListener('pagehide', disconnect);
  window.addEventListener('pageshow', event => { if (event.persisted) connect(); });
  document.addEventListener('visibilitychange', () => { if (document.hidden) disconnect(); else connect(); });

  // ---- lists: search as you type

  for (const form of document.querySelectorAll('form.tools')) {
    let typing;
    const go = () => {
      const query = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
      const target = new URL(form.action);
      target.search = query;
      history.replaceState(null, '', target);
      refresh();
    };
    form.addEventListener('input', event => {
      if (event.target.matches('[data-find]')) return;
      clearTimeout(typing);
      typing = setTimeout(go, event.target.matches('select') ? 0 : 150);
    });
    form.addEventListener('submit', event => { event.preventDefault(); clearTimeout(typing); if (!form.querySelector('[data-find]')) go(); });
    for (const select of form.querySelectorAll('select[name=namespace]')) select.addEventListener('change', () => {
      const target = new URL(location.href);
      if (select.value) target.searchParams.set('namespace', select.value); else target.searchParams.delete('namespace');
      location.assign(target);
    });
    for (const button of form.querySelectorAll('button')) button.hidden = true;
  }
  document.addEventListener('keydown', event => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const search = document.getElementById('search');
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });

  // ---- maps: look closer, and see who is connected with whom

  const maps = new Map();
  class View {
    constructor(canvas) {
      this.canvas = canvas;
      this.scale = 1;
      this.pinned = '';
      this.find = '';
      canvas.addEventListener('pointerover', event => this.look(event.target.closest?.('.box')?.dataset.id));
      canvas.addEventListener('pointerout', event => { if (!event.relatedTarget?.closest?.('.box')) this.look(''); });
      canvas.addEventListener('focusin', event => this.look(event.target.closest?.('.box')?.dataset.id));
      canvas.addEventListener('focusout', () => this.look(''));
      canvas.addEventListener('wheel', event => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoom(this.scale * Math.exp(-event.deltaY / 300), event);
      }, {passive: false});
      canvas.addEventListener('keydown', event => {
        const step = {'+': 1.25, '=': 1.25, '-': 0.8}[event.key];
        if (step) this.zoom(this.scale * step); else if (event.key === '0') this.fit(); else return;
        event.preventDefault();
      });
      this.drag();
      this.redrawn();
      this.fit();
    }

    get svg() { return this.canvas.querySelector('svg'); }

    redrawn() {
      const svg = this.svg;
      if (!svg) return;
      this.size = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];
      this.boxes = new Map([...svg.querySelectorAll('.box')].map(box => [box.dataset.id, box]));
      this.lines = [...svg.querySelectorAll('.line')];
      // From afar names are as large as fits into most boxes; the long ones as fits into theirs.
      svg.classList.remove('far');
      const names = [...this.boxes.values()].map(box => {
        const name = box.querySelector('.name'), text = name.getBBox();
        return {name, size: 13 * (box.querySelector('.frame').getBBox().width - text.x - 10) / text.width};
      });
      const usual = names.map(({size}) => size).sort((a, b) => a - b)[names.length >> 1];
      for (const {name, size} of names) name.style.setProperty('--far', Math.min(26, usual, size) + 'px');
      this.zoom(this.scale);
      this.light();
    }

    // zoom keeps what is at the pointer, or in the middle, where it is.
    zoom(scale, at) {
      if (!this.size) return;
      scale = Math.min(3, Math.max(0.12, scale));
      const canvas = this.canvas, rect = canvas.getBoundingClientRect();
      const x = at ? at.clientX - rect.left : canvas.clientWidth / 2, y = at ? at.clientY - rect.top : canvas.clientHeight / 2;
      const by = scale / this.scale;
      const left = (canvas.scrollLeft + x) * by - x, top = (canvas.scrollTop + y) * by - y;
      this.scale = scale;
      this.svg.classList.toggle('far', scale < 0.65);
      this.svg.setAttribute('width', this.size[0] * scale);
      this.svg.setAttribute('height', this.size[1] * scale);
      canvas.scrollTo(left, top);
    }

    // fit shows everything, but no smaller than can be read, nor larger than it is.
    fit() {
      if (!this.size) return;
      const wide = (this.canvas.clientWidth - 2) / this.size[0];
      const limit = parseFloat(getComputedStyle(this.canvas).maxHeight) || innerHeight;
      const high = this.canvas.classList.contains('small') ? 1 : (limit - 4) / this.size[1];
      this.zoom(Math.max(0.3, Math.min(1, wide, high)));
    }

    drag() {
      const canvas = this.canvas;
      let from;
      canvas.addEventListener('pointerdown', event => {
        if (event.button === 0 && event.pointerType === 'mouse' && !event.target.closest('a')) from = [event.clientX + canvas.scrollLeft, event.clientY + canvas.scrollTop];
      });
      window.addEventListener('pointermove', event => {
        if (!from) return;
        canvas.classList.add('drag');
        canvas.scrollTo(from[0] - event.clientX, from[1] - event.clientY);
      });
      window.addEventListener('pointerup', () => { from = undefined; canvas.classList.remove('drag'); });
    }

    look(id) { if (this.pinned !== (id || '')) { this.pinned = id || ''; this.light(); } }

    // light lights up what a box needs directly, and everything that would break without it.
    light() {
      const svg = this.svg, id = this.pinned;
      if (!svg || !this.lines) return;
      for (const e of svg.querySelectorAll('.near, .breaks, .at')) e.classList.remove('near', 'breaks', 'at');
      const found = this.find && !id ? [...this.boxes.keys()].filter(key => key.toLowerCase().includes(this.find)) : [];
      svg.classList.toggle('looking', Boolean(id && this.boxes.has(id)) || found.length > 0);
      for (const key of found) this.boxes.get(key).classList.add('near');
      if (!id || !this.boxes.has(id)) return;
      const broken = new Set([id]);
      for (let grown = true; grown;) {
        grown = false;
        for (const {dataset} of this.lines) if (broken.has(dataset.to) && !broken.has(dataset.from) && !dataset.optional) { broken.add(dataset.from); grown = true; }
      }
      for (const line of this.lines) {
        const {from, to, optional} = line.dataset;
        const breaks = broken.has(from) && broken.has(to) && !optional;
        if (!breaks && from !== id && to !== id) continue;
        line.classList.add('near');
        if (breaks) line.classList.add('breaks');
        this.boxes.get(from)?.classList.add('near');
        this.boxes.get(to)?.classList.add('near');
      }
      for (const key of broken) this.boxes.get(key)?.classList.add('near', 'breaks');
      this.boxes.get(id).classList.add('near', 'at');
      this.boxes.get(id).classList.remove('breaks');
    }

    // show brings a box into the middle.
    show(id) {
      const box = this.boxes?.get(id);
      if (!box) return;
      const a = box.getBoundingClientRect(), b = this.canvas.getBoundingClientRect();
      this.canvas.scrollBy(a.left + a.width / 2 - b.left - b.width / 2, a.top + a.height / 2 - b.top - b.height / 2);
    }
  }
  for (const canvas of document.querySelectorAll('[data-map]')) maps.set(canvas, new View(canvas));
  const view = maps.get(document.getElementById('canvas'));
  const zoom = document.querySelector('[data-zoom]');
  if (zoom && view) {
    zoom.hidden = false;
    zoom.addEventListener('click', event => {
      const by = event.target.dataset.by;
      if (by === 'fit') view.fit(); else if (by) view.zoom({in: view.scale * 1.25, out: view.scale * 0.8, one: 1}[by]);
    });
  }
  const find = document.querySelector('[data-find]');
  if (find && view) {
    find.addEventListener('input', () => {
      view.find = find.value.trim().toLowerCase();
      view.light();
      const first = view.find && [...view.boxes.keys()].find(key => key.toLowerCase().includes(view.find));
      if (first) view.show(first);
    });
    find.addEventListener('keydown', event => {
      const first = view.svg.querySelector('a.box.near');
      if (event.key === 'Enter' && view.find && first) first.focus();
    });
  }
  if (view) {
    const over = event => view.look(event.target.closest?.('[data-node]')?.dataset.node || '');
    for (const section of document.querySelectorAll('.columns')) for (const kind of ['pointerover', 'focusin', 'pointerleave', 'focusout']) section.addEventListener(kind, over);
  }

  localize(document);
  if (!document.hidden) connect();
})();
