// The operators' search: “/” goes to it, arrows walk through its suggestions, Escape leaves them. It works without this.
(() => {
  "use strict";
  const form = document.querySelector("[data-finder]");
  const input = form.querySelector("input");
  const list = form.querySelector(".finder-list");
  const links = () => [...list.querySelectorAll("a")];
  const close = () => list.replaceChildren();

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
    event.preventDefault();
    input.focus();
    input.select();
  });

  form.addEventListener("keydown", (event) => {
    const all = links();
    if (event.key === "Escape" && list.hasChildNodes()) {
      event.preventDefault();
      close();
      input.focus();
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !all.length) return;
    event.preventDefault();
    const next = all.indexOf(document.activeElement) + step;
    if (next < 0) input.focus();
    else all[Math.min(next, all.length - 1)].focus();
  });

  // What is open closes when the focus, or a click, goes elsewhere.
  form.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !form.contains(event.relatedTarget)) close();
  });
  document.addEventListener("click", (event) => {
    if (!form.contains(event.target)) close();
  });
})();
