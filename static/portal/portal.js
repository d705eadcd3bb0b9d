// Progressive enhancement only: every form on every page works without this file.
(() => {
  "use strict";
  const root = document.documentElement;
  root.dataset.script = "";

  const settingOf = (node) => node.closest("[data-setting]");
  const busy = (setting) => setting?.getAttribute("aria-busy") === "true";

  // A click never moves the switch: it sends the form or opens the dialog, and the server's answer renders the new state.
  document.addEventListener("click", (event) => {
    const control = event.target.closest("[data-switch]");
    if (!control) return;
    event.preventDefault();
    if (!busy(settingOf(control))) ask(control.form);
  });

  // The form may also be submitted by Enter or by its button: a form that must ask opens its dialog instead.
  // In the capture phase, before htmx would send it.
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

  // Closes the dialog by its "keep off" button, and open menus by a click elsewhere.
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

  // --- While a request runs, and when it fails ---

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
    // Closing the dialog before the swap returns the focus to the switch, where it then stays.
    event.target.closest("dialog")?.close();
    setting.setAttribute("aria-busy", "true");
    region("status")?.replaceChildren();
    region("alert")?.replaceChildren();
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    settingOf(event.detail.elt)?.removeAttribute("aria-busy");
  });

  // Says that nothing was saved, in the setting's own words, with the request's id to quote to support.
  function failed(event) {
    if (event.detail.requestConfig?.verb === "get") return; // it saves nothing: the page only stays as it is
    const reference = event.detail.xhr?.getResponseHeader("X-Request-ID");
    const words = settingOf(event.detail.elt)?.dataset ?? root.dataset;
    say("alert", [words.failed, reference && `${root.dataset.reference} ${reference}`].filter(Boolean).join(" "));
  }
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, failed);

  // A refusal that contains the setting as it is now (X-Setting) is swapped in like a success; other error pages are not.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.status < 400 || !xhr.getResponseHeader("X-Setting")) return;
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  });

  // If the focused button is gone after the swap, the focus goes to the setting's switch, or else to its state.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (document.activeElement && document.activeElement !== document.body) return;
    const setting = event.target.matches?.("[data-setting]")
      ? event.target
      : event.target.querySelector?.("[data-setting]");
    (setting?.querySelector("[data-switch]:not(:disabled)") ?? setting?.querySelector("[data-said]"))?.focus();
  });

  // --- Copying: a button (data-copy) for the text of another element ---

  // Hidden where there is nothing to offer: without this script, and where browsers give pages no clipboard.
  document.addEventListener("DOMContentLoaded", () => {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    const source = button && region(button.dataset.copy);
    if (!source) return;
    const said = button.parentElement.querySelector("[role=status]");
    said.textContent = ""; // the same words once more are announced only if they come anew
    navigator.clipboard
      .writeText(source.value ?? source.textContent.trim())
      .then(() => button.dataset.copied)
      .catch(() => button.dataset.notCopied)
      .then((words) => {
        said.textContent = words;
      });
  });
})();
