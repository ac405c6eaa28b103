/* Keeps a page up to date without reloading it. Everything works without this file, too. */
(() => {
  'use strict';

  const SECONDS = 3;
  const SOON = 0.5; /* while an event waits or runs, whose output is to be seen as it comes */
  const live = document.querySelector('[data-live]');
  if (!live || !window.fetch) {
    return;
  }
  const say = document.getElementById('say');
  const state = document.getElementById('live-state');
  const pause = document.getElementById('pause');
  let paused = false;
  let timer = 0;
  let shown = new Map();

  const parts = (root) => new Map(
    [...root.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));

  const address = () => {
    const url = new URL(window.location.href);
    ['done', 'action', 'left', 'more'].forEach((name) => url.searchParams.delete(name));
    url.searchParams.set('fragment', '1');
    url.hash = '';
    return url;
  };

  /* What a person has done to a part of the page, to be done to the new one: focus, checks, open details, scrolling. */
  const remember = (part) => {
    const focused = part.contains(document.activeElement) ? document.activeElement.id : '';
    const details = [...part.querySelectorAll('details[id]')].map((each) => [each.id, each.open]);
    const scrolled = [...part.querySelectorAll('[id$="-scroll"]')].map((each) => {
      const atEnd = 'follow' in each.dataset && each.scrollTop + each.clientHeight >= each.scrollHeight - 4;
      return [each.id, each.scrollLeft, atEnd ? Infinity : each.scrollTop];
    });
    const checked = [...part.querySelectorAll('input[id]:checked')].map((each) => each.id);
    return () => {
      checked.forEach((id) => {
        const each = document.getElementById(id);
        if (each) {
          each.checked = true;
        }
      });
      details.forEach(([id, open]) => {
        const each = document.getElementById(id);
        if (each) {
          each.open = open;
        }
      });
      scrolled.forEach(([id, left, top]) => {
        const each = document.getElementById(id);
        if (each) {
          each.scrollLeft = left;
          each.scrollTop = Math.min(top, each.scrollHeight);
        }
      });
      const again = focused && document.getElementById(focused);
      if (again) {
        again.focus({preventScroll: true});
      }
    };
  };

  const show = (fetched) => {
    const now = parts(live);
    const next = parts(fetched);
    const same = [...now.keys()].join() === [...next.keys()].join();
    if (same) {
      next.forEach((part, name) => {
        if (shown.get(name) !== part.outerHTML) {
          const restore = remember(now.get(name));
          now.get(name).replaceWith(document.importNode(part, true));
          restore();
        }
      });
    } else {
      const restore = remember(live);
      live.replaceChildren(...[...next.values()].map((part) => document.importNode(part, true)));
      restore();
    }
    shown = new Map([...next].map(([name, part]) => [name, part.outerHTML]));
    const words = fetched.getElementById('say').textContent.trim();
    if (say.textContent.trim() !== words) {
      say.textContent = words;
    }
  };

  const tell = (text) => {
    if (state.textContent !== text) {
      state.textContent = text;
    }
  };

  const next = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(update, (live.querySelector('[data-soon]') ? SOON : SECONDS) * 1000);
  };

  const update = async () => {
    window.clearTimeout(timer);
    if (paused || document.hidden) {
      return;
    }
    try {
      const answer = await fetch(address(), {credentials: 'same-origin', cache: 'no-store', redirect: 'error'});
      if (!answer.ok) {
        throw new Error(String(answer.status));
      }
      const fetched = new DOMParser().parseFromString(await answer.text(), 'text/html');
      if (!paused) {
        show(fetched);
        tell('Live');
      }
    } catch (error) {
      tell('Not up to date: no good answer from the server');
    }
    next();
  };

  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    tell(paused ? 'Paused' : 'Live');
    update();
  });
  document.addEventListener('visibilitychange', update);
  shown = new Map([...parts(live)].map(([name, part]) => [name, part.outerHTML]));
  document.getElementById('live-control').hidden = false;
  live.querySelectorAll('[data-follow]').forEach((each) => {
    each.scrollTop = each.scrollHeight;
  });
  tell('Live');
  next();
})();
