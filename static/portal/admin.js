// Progressive enhancement only: a form that takes its time says so, and is not sent twice.
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
// Back from the page that followed: the form is as it was.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
