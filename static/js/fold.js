// Shows the fields of a fold only while another field has the value that they are for. Hidden fields are not sent.

for (const fold of document.querySelectorAll("details[data-for]")) {
  const field = fold.closest("form").elements.namedItem(fold.dataset.for);
  const update = () => {
    const isNeeded = field.value === fold.dataset.forValue || Boolean(fold.querySelector(".field-wrong"));
    fold.hidden = !isNeeded;
    fold.open = isNeeded;
    for (const input of fold.querySelectorAll("input, select, textarea")) input.disabled = !isNeeded;
  };
  field.addEventListener("change", update);
  // The browser may put back an earlier choice after this script has run.
  window.addEventListener("pageshow", update);
  update();
}
