// Asks the browser for a passkey: to make one, sign in, confirm, or sign a decision. The form sends the answer.
// The server checks the answer, and so does a person who verifies the log. Nobody depends on a check in this script.
// The page waits for this script before it shows the button: a press must not come too early and be lost.

"use strict";

(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const known = (keys) => keys.map((each) => ({ ...each, id: bytes(each.id) }));

  async function asked(button) {
    const { sign, signAt } = button.dataset;
    // The sign-in page can be open for hours, so the server makes the challenge only when the button is pressed.
    const options = signAt ? await (await fetch(signAt, { headers: { Accept: "application/json" } })).json() : JSON.parse(sign);
    return { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) };
  }

  function wanted(button) {
    const options = JSON.parse(button.dataset.create);
    return {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    };
  }

  function answered(credential) {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response };
  }

  async function use(button) {
    const { form } = button;
    const typed = form.elements.comment ?? form.elements.name;
    // The browser can't show what is wrong in a field that is folded away.
    const fold = typed?.closest("details");
    if (fold && !typed.checkValidity()) fold.open = true;
    if (typed && !typed.reportValidity()) return;
    const [problem, twice] = ["problem", "known"].map((name) => form.querySelector(`[data-sign-${name}]`));
    for (const words of [problem, twice]) if (words) words.hidden = true;
    button.disabled = true;
    try {
      const credential = button.dataset.create
        ? await navigator.credentials.create({ publicKey: wanted(button) })
        : await navigator.credentials.get({ publicKey: await asked(button) });
      form.querySelector("[data-sign-answer]").value = JSON.stringify(answered(credential));
      form.requestSubmit();
    } catch (error) {
      (error.name === "InvalidStateError" && twice ? twice : problem).hidden = false;
      button.disabled = false;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-sign], [data-sign-at], [data-create]");
    if (button) use(button);
  });
})();
