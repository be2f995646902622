// Opens an item beside its list, and empties the page when the window closes. Without this script each item opens in
// its own page, and the server refuses items after the window has closed.

const reader = document.getElementById("reader");

function empty() {
  const notice = document.getElementById("closed-notice");
  reader?.replaceChildren(...(notice ? [notice.content.cloneNode(true)] : []));
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "reader-item") return;
  for (const link of reader.querySelectorAll("[data-reader-link]")) link.removeAttribute("aria-current");
  event.detail.requestConfig.elt.setAttribute("aria-current", "true");
  const title = reader.querySelector("[data-reader-title]");
  title?.focus({ preventScroll: true });
  title?.scrollIntoView({ block: "nearest" });
});

document.addEventListener("htmx:responseError", (event) => {
  const asked = event.detail.requestConfig.elt;
  // A person who is not allowed to ask about the window any more must not see its content.
  if (asked.matches("[data-window-state]")) empty();
  // A refusal is a whole page, so the browser follows the link to it.
  else if (asked.matches("[data-reader-link]")) window.location.assign(asked.href);
});
