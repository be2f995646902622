// The reader beside its list: an item opens without leaving the list, and a window that closes empties the page.
// Without this script each item has a page of its own, and the server refuses what the window no longer gives.

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
  // Whoever may not even ask about the window any more has nothing to read in it.
  if (asked.matches("[data-window-state]")) empty();
  // A refusal is a page of its own; the link itself leads to it.
  else if (asked.matches("[data-reader-link]")) window.location.assign(asked.href);
});
