// Progressive enhancement only: a slow form (data-busy) says that it is being sent, and is not sent twice.
document.addEventListener("submit", (event) => {
  const words = event.target.dataset.busy;
  const button = words && event.target.querySelector("button[type=submit]");
  if (!button) return;
  if (event.target.getAttribute("aria-busy") === "true") {
    event.preventDefault();
    return;
  }
  event.target.setAttribute("aria-busy", "true");
  button.textContent = words;
});
// The Back button may restore this page as it was left, with its busy form: load it afresh.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
