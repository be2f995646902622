// Fills in a form again that was sent after its session had ended. The text stays in this tab: sessionStorage has it
// from the moment of sending until the next page shows that the form has arrived, or until the form is filled in again.
// Passwords and other secrets are never stored. Another person who signs in in this tab does not get the text.

const KEY = "lockbox-unsent-form";
// As long as the server stores a form (keeping.py), and no more text than the server stores.
const STORED_FOR = 30 * 60 * 1000;
const MOST = 64 * 1024;
const ALWAYS_NEW = new Set(["csrfmiddlewaretoken", "once", "manifest"]);

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content;
const person = meta("lockbox-person");
const secrets = new Set((meta("lockbox-secrets") ?? "").split(" "));
const isSecret = (control) => control.type === "password" || secrets.has(control.name.split("-").at(-1)) || control.name.startsWith("step-up");
const isTyped = (control) =>
  control.name && !["hidden", "file", "submit", "button", "password"].includes(control.type) && !isSecret(control);

const pathOf = (form) => new URL(form.getAttribute("action") || location.href, location.href).pathname;
const formsOf = (path) => [...document.forms].filter((form) => form.method === "post" && pathOf(form) === path);

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

let end;

function write(sent) {
  // A page can stay open for hours.
  clearTimeout(end);
  if (sent) end = setTimeout(() => write(null), sent.at + STORED_FOR - Date.now());
  // Without storage, for example in a private window of some browsers, the person must enter the text again.
  try {
    if (sent) sessionStorage.setItem(KEY, JSON.stringify(sent));
    else sessionStorage.removeItem(KEY);
  } catch {}
}

function stored(form) {
  const hidden = new Set([...form.elements].filter((control) => control.name && isSecret(control)).map((control) => control.name));
  const fields = [...new FormData(form)].filter(
    ([name, value]) => typeof value === "string" && !hidden.has(name) && !ALWAYS_NEW.has(name)
  );
  const length = fields.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (!fields.length || length > MOST) return null;
  const path = pathOf(form);
  return { person, path, place: formsOf(path).indexOf(form), fields, at: Date.now(), isUnsent: false };
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (person && form.method === "post" && !event.defaultPrevented) write(stored(form));
});

function fillIn(form, fields) {
  const changed = new Set();
  const values = (name) => fields.filter(([each]) => each === name).map(([, value]) => value);
  const left = new Map();
  for (const control of form.elements) {
    if (!isTyped(control)) continue;
    const { name } = control;
    if (control.type === "checkbox" || control.type === "radio") control.checked = values(name).includes(control.value);
    else if (control.type === "select-multiple") {
      for (const option of control.options) option.selected = values(name).includes(option.value);
    } else {
      // A field that was disabled was not sent, and has the page's value.
      if (!left.has(name)) left.set(name, values(name));
      control.value = left.get(name).shift() ?? control.value;
    }
    changed.add(control);
  }
  // Other scripts show fields that belong to a choice.
  for (const control of changed) control.dispatchEvent(new Event("change", { bubbles: true }));
}

const sent = read();
const remaining = sent ? sent.at + STORED_FOR - Date.now() : 0;
if (remaining <= 0) write(null);
else if (document.querySelector("[data-unsent]")) {
  // The server says on this page that it has refused the form.
  write({ ...sent, isUnsent: true });
} else if (!person) write(sent);
else if (sent.person !== person || !sent.isUnsent) write(null);
else {
  const found = formsOf(sent.path);
  const form = found[sent.place] ?? found[0];
  if (form && [...form.elements].some(isTyped)) {
    fillIn(form, sent.fields);
    write(null);
  } else write(sent);
}
