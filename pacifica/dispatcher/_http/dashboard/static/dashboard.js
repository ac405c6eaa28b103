/* Shows times in the reader's zone, and keeps a page up to date without reloading it. Everything works without it. */
(() => {
  'use strict';

  const SECONDS = 3;
  const SOON = 0.5; /* while an event waits or runs, whose output is to be seen as it comes */
  const live = document.querySelector('[data-live]');
  const parts = (root) => new Map(
    [...root.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
  const sources = (found) => new Map([...found].map(([name, part]) => [name, part.outerHTML]));
  let shown = sources(parts(document)); /* as the server made them, to be compared with what it makes next */

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const elsewhere = zone && !['UTC', 'Etc/UTC'].includes(zone);

  const two = (number) => String(number).padStart(2, '0');
  const written = (date) => [
    [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(two).join('-'),
    [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')].join(' ');

  /* As much of a time as the server shows, in the reader's zone: no character more or less, so that nothing moves. */
  const localize = (root) => {
    if (!elsewhere) {
      return;
    }
    root.querySelectorAll('time, [data-time]').forEach((each) => {
      const at = each.dateTime || each.dataset.time;
      const utc = at.slice(0, 19).replace('T', ' ');
      const local = written(new Date(at));
      const begin = utc.indexOf(each.textContent);
      if (begin >= 0) {
        each.textContent = local.substr(begin, each.textContent.length);
      }
      if (each.dateTime) {
        each.title = begin >= 0 ? `${utc} UTC` : `${local}, ${utc} UTC`;
      }
    });
  };

  localize(document);
  if (elsewhere) {
    document.getElementById('zone').textContent =
      `Times are in this browser's zone, ${zone}; those to search for, and what shows on pointing at one, are UTC.`;
  }
  if (!live || !window.fetch) {
    return;
  }
  const say = document.getElementById('say');
  const state = document.getElementById('live-state');
  const pause = document.getElementById('pause');
  let paused = false;
  let timer = 0;

  const address = () => {
    const url = new URL(window.location.href);
    ['done', 'action', 'left', 'more'].forEach((name) => url.searchParams.delete(name));
    url.searchParams.set('fragment', '1');
    url.hash = '';
    return url;
  };

  /* What a person has done to a part of the page, to be done to the new one: focus, checks, texts, open details, scrolling. */
  const remember = (part) => {
    const focused = part.contains(document.activeElement) ? document.activeElement.id : '';
    const details = [...part.querySelectorAll('details[id]')].map((each) => [each.id, each.open]);
    const scrolled = [...part.querySelectorAll('[id$="-scroll"]')].map((each) => {
      const atEnd = 'follow' in each.dataset && each.scrollTop + each.clientHeight >= each.scrollHeight - 4;
      return [each.id, each.scrollLeft, atEnd ? Infinity : each.scrollTop];
    });
    const checked = [...part.querySelectorAll('input[id]:checked')].map((each) => each.id);
    const texts = [...part.querySelectorAll('textarea[id]')].filter((each) => each.value !== each.defaultValue)
      .map((each) => [each.id, each.value, each.selectionStart, each.selectionEnd]);
    return () => {
      texts.forEach(([id, text, begin, end]) => {
        const each = document.getElementById(id);
        if (each) {
          each.value = text;
          each.setSelectionRange(begin, end);
        }
      });
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

  const fresh = (part) => {
    const copy = document.importNode(part, true);
    localize(copy);
    return copy;
  };

  const show = (fetched) => {
    const now = parts(live);
    const next = parts(fetched);
    const same = [...now.keys()].join() === [...next.keys()].join();
    if (same) {
      next.forEach((part, name) => {
        if (shown.get(name) !== part.outerHTML) {
          const restore = remember(now.get(name));
          now.get(name).replaceWith(fresh(part));
          restore();
        }
      });
    } else {
      const restore = remember(live);
      live.replaceChildren(...[...next.values()].map(fresh));
      restore();
    }
    shown = sources(next);
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
  document.getElementById('live-control').hidden = false;
  live.querySelectorAll('[data-follow]').forEach((each) => {
    each.scrollTop = each.scrollHeight;
  });
  tell('Live');
  next();
})();
