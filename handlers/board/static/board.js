// Live pages: the server says that something changed, the page fetches itself anew and takes over
// what differs. Without scripts everything works, only not by itself.
"use strict";
(() => {
  const sign = document.getElementById("live");
  if (!sign || !window.EventSource) return;
  const { src, patient, every = "1000" } = sign.dataset;
  let last = 0;
  let timer = null;
  let busy = false;

  const say = (text, on) => {
    if (sign.textContent !== text) sign.textContent = text;
    sign.classList.toggle("on", on);
  };

  const opened = (region) =>
    new Set([...region.querySelectorAll("details[open][id]")].map((each) => each.id));

  const takeOver = (region, fresh) => {
    if (region.innerHTML === fresh.innerHTML) return;
    const open = opened(region);
    const focus = region.contains(document.activeElement) ? document.activeElement : null;
    const path = focus ? [...region.querySelectorAll(focus.tagName)].indexOf(focus) : -1;
    const scrolled = [...region.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
    region.replaceChildren(...fresh.childNodes);
    for (const each of region.querySelectorAll("details[id]")) each.open = open.has(each.id);
    region.querySelectorAll(".scroll").forEach((each, i) => { each.scrollLeft = scrolled[i] || 0; });
    if (focus) region.querySelectorAll(focus.tagName)[path]?.focus({ preventScroll: true });
  };

  const look = async () => {
    timer = null;
    if (busy || document.hidden) return;
    busy = true;
    last = Date.now();
    try {
      const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const region of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(region.id);
        if (fresh) takeOver(region, fresh);
      }
    } catch {
      say("Not live: the worker does not answer", false);
    } finally {
      busy = false;
    }
  };

  const changed = () => {
    if (patient) {
      document.getElementById("news").hidden = false;
    } else if (timer === null) {
      timer = setTimeout(look, Math.max(0, last + Number(every) - Date.now()));
    }
  };

  const lines = new EventSource(patient ? `${src}?patient=${encodeURIComponent(patient)}` : src);
  let before = false;
  lines.addEventListener("open", () => {
    say("Live", true);
    if (before) changed(); // something may have happened while the line was down
    before = true;
  });
  lines.addEventListener("changed", changed);
  lines.addEventListener("error", () => say("Not live: connecting again", false));
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !patient) changed(); });
  window.addEventListener("pagehide", () => lines.close());
})();
