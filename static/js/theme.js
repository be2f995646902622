// Changes the theme without loading the page anew; the form alone does it, too.

document.addEventListener("submit", async (event) => {
  const form = event.target.closest?.("[data-theme-form]");
  const theme = event.submitter?.value;
  if (!form || !theme) return;
  event.preventDefault();
  const body = new FormData(form, event.submitter);
  // The page stays, and its form may be sent again with another choice.
  body.delete("once");
  let stored = false;
  try {
    stored = (await fetch(form.action, { method: "POST", body, redirect: "manual" })).type === "opaqueredirect";
  } catch {
    stored = false;
  }
  if (!stored) {
    // Something needs the person's eyes, such as a sign-in that ended: let the browser go there.
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "theme", value: theme }));
    form.submit();
    return;
  }
  document.documentElement.dataset.theme = theme;
  for (const choice of form.querySelectorAll("[name=theme]")) choice.setAttribute("aria-pressed", String(choice.value === theme));
});
