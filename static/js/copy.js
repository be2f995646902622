// Copies the value of a button's data-copy, and says so in the button itself, which is a status for screen readers.

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const label = button.querySelector("[data-copy-label]");
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    selectBeside(button);
    return;
  }
  label.setAttribute("role", "status");
  label.textContent = button.dataset.copied;
  setTimeout(() => { label.textContent = before; }, 2000);
});

// Without a secure connection the browser keeps the clipboard shut: the text is selected, ready for the keyboard.
function selectBeside(button) {
  const text = button.parentElement.querySelector(".digest-value");
  if (text) getSelection().selectAllChildren(text);
}
