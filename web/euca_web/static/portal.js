// Comfort only: every page works without.
"use strict";

// A page that nobody sees, or in whose live part somebody is typing, does not look again.
document.addEventListener("htmx:beforeRequest", (event) => {
  const busy = document.activeElement && event.target.contains(document.activeElement)
    && document.activeElement.matches("input, select, textarea");
  if (document.hidden || busy) event.preventDefault();
});

// "Copy" beside what is to be pasted elsewhere.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 2000);
});
for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
