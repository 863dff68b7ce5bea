// Asks every few seconds whether anything has changed, and puts the new content in the place of the old one. Without it the page
// reloads itself by a line in its head.
"use strict";
(() => {
  const main = document.getElementById("main");
  const link = document.getElementById("link");
  const patience = 15000;
  const every = () => Number(document.documentElement.dataset.every) || 5000;
  let etag = "", failed = 0;

  const say = (text, lost) => {
    if (link.textContent !== text) link.textContent = text;
    link.classList.toggle("lost", lost);
  };

  // Green would be a lie as soon as nobody can say so.
  const lose = () => {
    const words = "No connection: what you see is old";
    const verdict = main.querySelector(".verdict");
    const head = verdict && verdict.querySelector("h1");
    if (head) {
      verdict.className = "verdict look";
      head.textContent = "! " + words;
    }
    document.title = "! " + words;
    etag = "";
    say(words, true);
  };

  const put = (text) => {
    const open = [...main.querySelectorAll("details[open]")].map((one) => one.id);
    const held = document.activeElement && main.contains(document.activeElement) ? document.activeElement : null;
    const at = held && held !== main ? [...main.querySelectorAll("a,summary")].indexOf(held) : -1;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    main.replaceChildren(...fresh.body.childNodes);
    for (const id of open) {
      const one = document.getElementById(id);
      if (one) one.open = true;
    }
    const again = at < 0 ? null : main.querySelectorAll("a,summary")[at];
    if (again) again.focus({ preventScroll: true });
    const verdict = main.querySelector("[data-title]");
    if (verdict) document.title = verdict.dataset.title;
  };

  const ask = async () => {
    try {
      const answer = await fetch("/fragment" + location.search, {
        headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store", signal: AbortSignal.timeout(patience),
      });
      if (answer.status === 200) {
        etag = answer.headers.get("ETag") || "";
        put(await answer.text());
      } else if (answer.status !== 304) throw new Error(String(answer.status));
      failed = 0;
      say("Live", false);
    } catch {
      failed += 1;
      if (failed > 1) lose();
    }
    setTimeout(ask, every());
  };
  document.documentElement.dataset.live = "yes";
  ask();
})();
