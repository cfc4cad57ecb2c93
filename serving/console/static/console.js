"use strict";
// Comfort only: every page and every action works without this script.
(() => {
  const KEYS_OFF = "bonitas.keys-off";

  const keysAreOff = () => {
    try {
      return localStorage.getItem(KEYS_OFF) === "1";
    } catch {
      return false; // Storage is blocked: the choice lasts as long as the page.
    }
  };
  let keysOff = keysAreOff();

  const isTyping = (element) =>
    element instanceof HTMLElement &&
    (element.isContentEditable || element.matches("input:not([type=checkbox], [type=radio]), select, textarea"));

  // --- keys ---------------------------------------------------------------------------------------
  const words = (element) => {
    if (element.dataset.keyLabel) return element.dataset.keyLabel;
    if (element.getAttribute("aria-label")) return element.getAttribute("aria-label");
    const copy = element.cloneNode(true);
    copy.querySelectorAll("kbd").forEach((key) => key.remove());
    return copy.textContent.trim().replace(/\s+/g, " ") || element.dataset.key;
  };

  const showKeys = () => {
    let dialog = document.getElementById("keys");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.id = "keys";
      dialog.setAttribute("aria-labelledby", "keys-title");
      document.body.append(dialog);
    }
    const title = document.createElement("h2");
    title.id = "keys-title";
    title.textContent = "Keyboard shortcuts";
    const list = document.createElement("dl");
    list.className = "facts";
    const add = (key, text) => {
      const entry = document.createElement("div");
      const term = document.createElement("dt");
      const kbd = document.createElement("kbd");
      kbd.className = "kbd";
      kbd.textContent = key;
      term.append(kbd);
      const meaning = document.createElement("dd");
      meaning.textContent = text;
      entry.append(term, meaning);
      list.append(entry);
    };
    const seen = new Set();
    document.querySelectorAll("[data-key]").forEach((element) => {
      if (!seen.has(element.dataset.key)) add(element.dataset.key, words(element));
      seen.add(element.dataset.key);
    });
    if (document.querySelector("[data-row]")) add("j / k", "Next / previous in the list");
    add("?", "This list");
    const choice = document.createElement("p");
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !keysOff;
    box.addEventListener("change", () => {
      keysOff = !box.checked;
      try {
        localStorage.setItem(KEYS_OFF, keysOff ? "1" : "0");
      } catch {
        // As above.
      }
    });
    label.append(box, "Use these keys");
    choice.append(label);
    const form = document.createElement("form");
    form.method = "dialog";
    const close = document.createElement("button");
    close.className = "button-plain";
    close.textContent = "Close";
    form.append(close);
    dialog.replaceChildren(title, list, choice, form);
    if (!dialog.open) dialog.showModal();
  };

  const moveInList = (step) => {
    const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.getClientRects().length);
    if (!rows.length) return;
    const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
    const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
    const target = rows[next];
    (target.matches("a, button, [tabindex]") ? target : target.querySelector("a, button"))?.focus();
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.defaultPrevented) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    if (keysOff) return;
    if (event.key === "?") {
      event.preventDefault();
      showKeys();
    } else if (event.key === "j" || event.key === "k") {
      if (!document.querySelector("[data-row]")) return;
      event.preventDefault();
      moveInList(event.key === "j" ? 1 : -1);
    } else {
      const element = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
      if (!element || element.disabled || !element.getClientRects().length) return;
      event.preventDefault();
      if (isTyping(element)) element.focus();
      else element.click();
    }
  });

  document.querySelectorAll("[data-show-keys]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", showKeys);
  });

  // --- countdowns ---------------------------------------------------------------------------------
  const span = (seconds) => {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) {
      return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
    }
    return `${Math.floor(seconds / 86400)} days`;
  };

  // A sandbox's clock is ahead of this machine's.
  const ahead = Number(document.body.dataset.aheadMs ?? 0);
  const tick = () => {
    document.querySelectorAll("time[data-countdown]").forEach((time) => {
      const milliseconds = Date.parse(time.dateTime) - Date.now() - ahead;
      if (Number.isNaN(milliseconds)) return;
      const seconds = Math.floor(Math.abs(milliseconds) / 1000);
      const text = seconds === 0 ? "now" : milliseconds > 0 ? `in ${span(seconds)}` : `${span(seconds)} ago`;
      if (time.textContent !== text) time.textContent = text;
      time.classList.toggle("overdue", milliseconds < 0);
    });
  };
  tick();
  setInterval(tick, 1000);

  // --- parts that are fetched anew ----------------------------------------------------------------
  const say = (text) => {
    const notice = document.createElement("p");
    notice.className = "notice";
    notice.textContent = text;
    document.getElementById("notice")?.replaceChildren(notice);
  };

  // What has the focus is found again by what it is, because the element itself is replaced.
  const signature = (element) => {
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element.getAttribute("href")) return `[href="${CSS.escape(element.getAttribute("href"))}"]`;
    if (element.dataset.key) return `[data-key="${CSS.escape(element.dataset.key)}"]`;
    return null;
  };

  let isPaused = false;
  const areas = document.querySelectorAll("[data-refresh-url]");
  if (areas.length) {
    // What changes by itself can be held still.
    const toggle = document.createElement("button");
    toggle.type = "button";
    toggle.className = "button-quiet";
    toggle.textContent = "Pause updates";
    toggle.addEventListener("click", () => {
      isPaused = !isPaused;
      toggle.textContent = isPaused ? "Resume updates" : "Pause updates";
    });
    areas[0].before(toggle);
  }

  const refreshed = (area) => {
    let shown = null;
    const refresh = async () => {
      const focus = document.activeElement;
      const holdsFocus = area.contains(focus);
      if (isPaused || document.hidden || document.querySelector("dialog[open]")) return true;
      if (holdsFocus && isTyping(focus)) return true;
      const url = new URL(area.dataset.refreshUrl, location.href);
      if (url.origin !== location.origin) return false;
      const answer = await fetch(url, { headers: { "Bonitas-Refresh": "1" }, redirect: "error", cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) {
        say("Your session has ended. Reload the page to sign in again.");
        return false;
      }
      if (!answer.ok) return true;
      const html = await answer.text();
      if (html === shown || isPaused) return true;
      const current = document.activeElement;
      const again = area.contains(current) ? signature(current) : null;
      if (area.contains(current) && isTyping(current)) return true;
      area.innerHTML = html;
      shown = html;
      tick();
      if (again) area.querySelector(again)?.focus({ preventScroll: true });
      return true;
    };

    const seconds = Math.max(Number(area.dataset.refreshSeconds) || 15, 2);
    const loop = async () => {
      let goOn = true;
      try {
        goOn = await refresh();
      } catch {
        // The network or the server is away for a moment: what is shown stays, and the next turn tries again.
      }
      if (goOn) setTimeout(loop, seconds * 1000);
    };
    setTimeout(loop, seconds * 1000);
  };
  areas.forEach(refreshed);

  // --- forms --------------------------------------------------------------------------------------
  const confirmed = new WeakSet();
  const sent = new WeakSet();

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const dialog = form.dataset.confirm ? document.getElementById(form.dataset.confirm) : null;
    if (dialog && !confirmed.has(form)) {
      event.preventDefault();
      const submitter = event.submitter;
      dialog.returnValue = "";
      dialog.addEventListener(
        "close",
        () => {
          if (dialog.returnValue !== "confirm") return;
          confirmed.add(form);
          form.requestSubmit(submitter);
        },
        { once: true },
      );
      dialog.showModal();
      return;
    }
    confirmed.delete(form);
    if (form.method === "dialog") return;
    // A second click while the first is on its way would ask for the same step twice.
    if (sent.has(form)) event.preventDefault();
    else if (form.method === "post") {
      sent.add(form);
      setTimeout(() => sent.delete(form), 5000);
    }
  });
  window.addEventListener("pageshow", (event) => {
    // A page out of the browser's cache may be older than the session.
    if (event.persisted) location.reload();
  });
})();
