// Copies the value of a button's data-copy. The button then says so itself: it is a status for screen readers.

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

// Without a secure connection the browser gives no clipboard. Then the text is selected, to be copied by keyboard.
function selectBeside(button) {
  const text = button.parentElement.querySelector(".digest-value");
  if (text) getSelection().selectAllChildren(text);
}
