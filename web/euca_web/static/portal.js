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

// A form with a large file shows how far it is; what is sent is what would be sent without this.
for (const form of document.querySelectorAll("form[data-upload]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const panel = form.querySelector(".upload"), bar = panel.querySelector("progress");
    const told = panel.querySelector("[role=status]"), button = form.querySelector("button");
    const request = new XMLHttpRequest();
    const ended = (sentence) => { told.textContent = sentence; button.disabled = false; };
    panel.hidden = false;
    button.disabled = true;
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      const percent = Math.floor(loaded / total * 100);
      if (percent === bar.value && told.textContent) return;
      bar.value = percent;
      told.textContent = `${percent} % ${told.dataset.sending}`;
    });
    request.upload.addEventListener("load", () => { bar.value = 100; told.textContent = told.dataset.inspected; });
    request.addEventListener("load", () => {
      const to = request.getResponseHeader("HX-Redirect");
      if (to) { location.assign(to); return; }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const refusal = page.querySelector(".notice.bad");
      ended(refusal ? refusal.textContent : told.dataset.lost);
    });
    request.addEventListener("error", () => ended(told.dataset.lost));
    request.open("POST", form.action);
    request.setRequestHeader("HX-Request", "true");  // the answer names the next page instead of being it
    request.send(new FormData(form));
  });
}
