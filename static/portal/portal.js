// Progressive enhancement only: every form on every page works without this file.
(() => {
  "use strict";
  const root = document.documentElement;
  root.dataset.script = "";

  const settingOf = (node) => node.closest("[data-setting]");
  const busy = (setting) => setting?.getAttribute("aria-busy") === "true";

  // The switch never moves by itself: it asks, and the answer of the server draws it anew.
  document.addEventListener("click", (event) => {
    const control = event.target.closest("[data-switch]");
    if (!control) return;
    event.preventDefault();
    if (!busy(settingOf(control))) ask(control.form);
  });

  // Enter on the switch, or its button: the same way.
  document.addEventListener(
    "submit",
    (event) => {
      const dialog = dialogOf(event.target);
      if (dialog && !dialog.contains(event.target)) {
        event.preventDefault();
        event.stopImmediatePropagation();
        dialog.showModal();
      }
    },
    true,
  );

  function ask(form) {
    const dialog = dialogOf(form);
    if (dialog) dialog.showModal();
    else form.requestSubmit();
  }

  function dialogOf(form) {
    return form.dataset.asks ? document.getElementById(form.dataset.asks) : null;
  }

  document.addEventListener("click", (event) => {
    event.target.closest("[data-keep-off]")?.closest("dialog")?.close();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  // --- While the server is asked, and when it does not answer as it should ---

  const region = (id) => document.getElementById(id);

  function say(id, text) {
    const note = document.createElement("p");
    note.className = id === "alert" ? "note warn" : "note";
    note.textContent = text;
    region(id)?.replaceChildren(note);
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    const setting = settingOf(event.target);
    if (!setting) return;
    if (busy(setting)) {
      event.preventDefault();
      return;
    }
    // Closing first gives the focus back to the switch, where it stays.
    event.target.closest("dialog")?.close();
    setting.setAttribute("aria-busy", "true");
    region("status")?.replaceChildren();
    region("alert")?.replaceChildren();
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    settingOf(event.detail.elt)?.removeAttribute("aria-busy");
  });

  function failed(event) {
    const reference = event.detail.xhr?.getResponseHeader("X-Request-ID");
    const words = settingOf(event.detail.elt)?.dataset ?? root.dataset;
    say("alert", [words.failed, reference && `${root.dataset.reference} ${reference}`].filter(Boolean).join(" "));
  }
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, failed);

  // A refusal that brings the setting as it is now is shown like any other answer; every other error page is not.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.status < 400 || !xhr.getResponseHeader("X-Setting")) return;
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  });

  // A button that is gone after the swap leaves the focus nowhere: give it to the setting's control or else its words.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (document.activeElement && document.activeElement !== document.body) return;
    const setting = event.target.matches?.("[data-setting]")
      ? event.target
      : event.target.querySelector?.("[data-setting]");
    (setting?.querySelector("[data-switch]:not(:disabled)") ?? setting?.querySelector("[data-said]"))?.focus();
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  });
})();
