// Asks the server for news, and loads the page anew when there is some. The reader's place, switches, open parts and
// sorted tables stay as they were. Before this text stands `const served`, with the page's digest and progress.
(() => {
  "use strict";
  const EVERY = 2000; // milliseconds between two questions
  const PLACES = "section[id], figure[id], h1";
  const KEY = "live";

  const clock = () => new Date().toLocaleTimeString();
  const loaded = clock();
  const textOf = (element) => element.textContent.trim();

  // --- The bar ---------------------------------------------------------------------------------------------

  const bar = document.createElement("aside");
  bar.className = "live";
  bar.setAttribute("aria-label", "Live report");
  const progress = document.createElement("span");
  const connection = document.createElement("span");
  connection.setAttribute("role", "status");
  const pause = document.createElement("button");
  pause.type = "button";
  bar.append(progress, connection, pause);
  document.body.append(bar);
  progress.textContent = `Live: ${served.progress} As of ${loaded}. `;

  const say = (text) => {
    if (connection.textContent !== text) connection.textContent = text;
  };

  let paused = false;
  const setPaused = (value) => {
    paused = value;
    pause.textContent = paused ? "Follow again" : "Stop following";
    say(paused ? "Not following: new epochs are not shown. " : "");
  };
  pause.addEventListener("click", () => setPaused(!paused));

  // --- What is kept from one page to the next ----------------------------------------------------------------

  // Names of elements that mean the same on the next page, where arms may have got other numbers
  const nameOf = (element) => {
    const inside = element.closest(PLACES)?.id ?? "";
    const words = element.matches("details") ? textOf(element.querySelector("summary"))
      : element.matches("select") ? element.dataset.choose
      : element.matches("input") ? textOf(element.closest("label"))
      : textOf(element);
    const table = element.closest("table")?.caption;
    return [element.tagName, inside, table ? textOf(table) : "", words].join("/");
  };
  const named = (selector) => new Map([...document.querySelectorAll(selector)].map((each) => [nameOf(each), each]));
  const FOCUSABLE = "a[href], button, input, select, summary";

  const place = () => {
    const above = [...document.querySelectorAll(PLACES)].filter((each) => each.getBoundingClientRect().top < 80);
    const last = above.at(-1);
    return last ? { id: last.id, top: last.getBoundingClientRect().top } : null;
  };

  const remember = () => {
    const focused = document.activeElement;
    const state = {
      place: place(),
      focus: focused && focused.matches(FOCUSABLE) ? nameOf(focused) : null,
      boxes: [...named("input[type=checkbox]")].map(([name, box]) => [name, box.checked]),
      choices: [...named("select")].map(([name, select]) => [name, textOf(select.selectedOptions[0])]),
      open: [...named("details")].map(([name, details]) => [name, details.open]),
      sorted: [...named("th[aria-sort]")].map(([name, heading]) => [name, heading.getAttribute("aria-sort")]),
    };
    sessionStorage.setItem(KEY, JSON.stringify(state));
  };

  const changed = (element) => element.dispatchEvent(new Event("change", { bubbles: true }));

  const restoreSwitches = (state) => {
    const boxes = named("input[type=checkbox]");
    for (const [name, checked] of state.boxes) {
      const box = boxes.get(name);
      if (box && box.checked !== checked) {
        box.checked = checked;
        changed(box);
      }
    }
    const selects = named("select");
    for (const [name, choice] of state.choices) {
      const option = [...(selects.get(name)?.options ?? [])].find((each) => textOf(each) === choice);
      if (option && !option.selected) {
        option.selected = true;
        changed(selects.get(name));
      }
    }
  };

  const restoreParts = (state) => {
    const parts = named("details");
    for (const [name, open] of state.open) if (parts.has(name)) parts.get(name).open = open;
    const headings = named("th");
    for (const [name, order] of state.sorted) {
      const heading = headings.get(name);
      const button = heading?.querySelector("button");
      for (let turn = 0; button && turn < 2 && heading.getAttribute("aria-sort") !== order; turn += 1) button.click();
    }
  };

  // Charts are drawn after the page has loaded, and the place moves with them until the reader does
  const restorePlace = (state) => {
    const target = state.place && (document.getElementById(state.place.id) ?? document.querySelector("h1"));
    if (!target) return;
    const scroll = () => window.scrollBy(0, target.getBoundingClientRect().top - state.place.top);
    const grown = new ResizeObserver(scroll);
    const stop = () => grown.disconnect();
    grown.observe(document.body);
    for (const moved of ["wheel", "touchstart", "keydown", "pointerdown"]) {
      window.addEventListener(moved, stop, { once: true, passive: true });
    }
    setTimeout(stop, 5000);
    scroll();
  };

  const restore = () => {
    const text = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    if (!text) return;
    const state = JSON.parse(text);
    restoreSwitches(state);
    restoreParts(state);
    named(FOCUSABLE).get(state.focus)?.focus({ preventScroll: true });
    restorePlace(state);
  };

  // --- News --------------------------------------------------------------------------------------------------

  // A reader who marks text, or looks at a value in a chart, is not interrupted
  const busy = () => {
    const tooltip = document.querySelector("#vg-tooltip-element.visible");
    return tooltip !== null || !(window.getSelection()?.isCollapsed ?? true);
  };

  const ask = async () => {
    try {
      const answer = await fetch("state", { cache: "no-store" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const state = await answer.json();
      if (!paused) say(state.problem ? `Newer results cannot be shown: ${state.problem} ` : "");
      if (state.digest !== served.digest && !paused && !busy()) {
        remember();
        window.location.reload();
        return;
      }
    } catch {
      say("The server does not answer: what you see is not followed any more. ");
    }
    setTimeout(ask, EVERY);
  };

  history.scrollRestoration = "manual";
  setPaused(false);
  restore();
  setTimeout(ask, EVERY);
})();
