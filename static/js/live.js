// Says when a polled list can no longer be updated, and never shows a sign-in page in place of the list.

const within = (event) => event.target.closest?.("[data-live]");

function setStale(event, isStale) {
  within(event)?.querySelector("[data-live-stale]")?.toggleAttribute("hidden", !isStale);
}

for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => setStale(event, true));
}

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) setStale(event, false);
});

// The request was redirected, so the session has ended. Loading the page again leads to the sign-in.
document.addEventListener("htmx:beforeSwap", (event) => {
  const asked = new URL(event.detail.pathInfo.finalRequestPath, location.href);
  const answered = new URL(event.detail.xhr.responseURL || asked);
  if (asked.pathname === answered.pathname) return;
  event.detail.shouldSwap = false;
  location.reload();
});
