// Changes the theme without loading the page again. Without this script, the form loads the page again.

document.addEventListener("submit", async (event) => {
  const form = event.target.closest?.("[data-theme-form]");
  const theme = event.submitter?.value;
  if (!form || !theme) return;
  event.preventDefault();
  const body = new FormData(form, event.submitter);
  // The page is not replaced, and its form can be sent again with another choice.
  body.delete("once");
  let stored = false;
  try {
    stored = (await fetch(form.action, { method: "POST", body, redirect: "manual" })).type === "opaqueredirect";
  } catch {
    stored = false;
  }
  if (!stored) {
    // The answer is a page that the person must see, such as the sign-in: the browser loads it.
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "theme", value: theme }));
    form.submit();
    return;
  }
  document.documentElement.dataset.theme = theme;
  for (const choice of form.querySelectorAll("[name=theme]")) choice.setAttribute("aria-pressed", String(choice.value === theme));
});
