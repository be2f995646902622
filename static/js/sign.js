// Has the passkey sign what the page shows, and sends the answer with the form: one act, one post.
// What was signed is checked on the server, and by whoever verifies the log; nothing here is believed.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function asked(options) {
  const known = options.allowCredentials.map((each) => ({ ...each, id: bytes(each.id) }));
  return { ...options, challenge: bytes(options.challenge), allowCredentials: known };
}

function answered(credential) {
  const { clientDataJSON, authenticatorData, signature } = credential.response;
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response: {
      clientDataJSON: text(clientDataJSON),
      authenticatorData: text(authenticatorData),
      signature: text(signature),
    },
  };
}

async function sign(button) {
  const { form } = button;
  if (!form.elements.comment.reportValidity()) return;
  const problem = form.querySelector("[data-sign-problem]");
  problem.hidden = true;
  button.disabled = true;
  try {
    const publicKey = asked(JSON.parse(button.dataset.sign));
    const credential = await navigator.credentials.get({ publicKey });
    form.elements.assertion.value = JSON.stringify(answered(credential));
    form.requestSubmit();
  } catch {
    problem.hidden = false;
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-sign]");
  if (button) sign(button);
});
