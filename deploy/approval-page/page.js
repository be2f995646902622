// The steps of the page: token, list, text, signature, result. The page stores no secret except the token of this tab,
// loads nothing from other sites, and never turns text into HTML.

import { config } from "./config.js";
import {
  Refused, button, canChange, challengeOf, duration, ground, hex, isPractice, level, lines, read, readAsked, scope, sentence, visible,
} from "./manifest.js";

const TOKEN = "lockbox-token";
const rpId = config.rpId || location.hostname;
const at = (id) => document.getElementById(id);
const SECTIONS = ["connect", "list", "decide", "done", "keys"];

// --- What is shown ----------------------------------------------------------------------------------------

function show(section) {
  for (const id of SECTIONS) at(id).hidden = id !== section;
  at("leave").hidden = section === "connect";
  at(section).querySelector("h1")?.scrollIntoView({ block: "nearest" });
}

function problem(words) {
  at("problem").textContent = words;
  at("problem").hidden = !words;
  if (words) at("problem").scrollIntoView({ block: "nearest" });
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const grouped = (digest) => digest.replace(/(.{4})(?=.)/g, "$1 ");
const instant = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });

// Runs one step, and shows what went wrong.
async function step(act, ...inert) {
  problem("");
  for (const each of inert) each.disabled = true;
  try {
    await act();
  } catch (error) {
    problem(wordsFor(error));
  } finally {
    for (const each of inert) each.disabled = false;
  }
}

function wordsFor(error) {
  if (error instanceof Refused) return `Nothing was signed. ${error.message}`;
  if (error instanceof Answered) return error.message;
  if (error.name === "NotAllowedError") return "Nothing was signed: the key was not used.";
  if (error instanceof TypeError) return `${config.api} does not answer this page. Is its address set there?`;
  return `This did not work: ${error.message}`;
}

// --- The API ----------------------------------------------------------------------------------------------

class Answered extends Error {}

async function call(path, { method = "GET", body, headers = {} } = {}) {
  const answer = await fetch(`${config.api}/api/v1/${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}`,
      ...(body ? { "Content-Type": "application/json" } : {}),
      ...headers,
    },
    body: body ? JSON.stringify(body) : undefined,
    credentials: "omit",
    cache: "no-store",
    referrerPolicy: "no-referrer",
    redirect: "error",
  });
  const found = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    sessionStorage.removeItem(TOKEN);
    show("connect");
    throw new Answered("This token is not known, or has expired.");
  }
  if (!answer.ok) throw new Answered(visible([found.title, ...(found.errors ?? []).map((each) => each.detail)].join(" ")));
  return { found, etag: answer.headers.get("ETag") };
}

// --- The list, in the server's words ----------------------------------------------------------------------

async function list() {
  const { found } = await call(`access-requests?state=PENDING_CUSTOMER&tenant=${config.tenant}&order=decide_by`);
  at("waiting").replaceChildren(...found.items.map(line));
  at("nothing").hidden = found.items.length > 0;
  show("list");
}

function line(row) {
  const item = element("li");
  const mark = row.is_practice === true ? "Practice: " : "";
  item.append(element("p", `${mark}${visible(row.reference)}: ${visible(row.engineer.name)} asks`));
  item.append(element("p", `Answer by ${instant(row.decide_by)}`, "soft"));
  const choices = element("p", undefined, "choices");
  for (const [decision, words] of [["approve", "Read the approval"], ["deny", "Read the denial"]]) {
    const choice = element("button", words);
    choice.type = "button";
    choice.setAttribute("aria-label", `${words} of ${visible(row.reference)}`);
    choice.addEventListener("click", () => step(() => prepare(row.id, decision), choice));
    choices.append(choice);
  }
  item.append(choices);
  return item;
}

// --- What is signed, out of the text itself ---------------------------------------------------------------

let prepared = null;

async function prepare(accessRequest, decision) {
  const { etag } = await call(`access-requests/${accessRequest}`);
  const { found } = await call(`access-requests/${accessRequest}/manifest?decision=${decision}`);
  const text = found.manifest;
  if (typeof text !== "string") throw new Refused("The server gave no text.");
  const said = read(text, { tenant: config.tenant, accessRequest, decision });
  const asked = await readAsked(found.asked, said);
  const challenge = await challengeOf(text);
  prepared = { accessRequest, decision, etag, text, asked: found.asked, said, challenge, digest: hex(challenge) };
  at("verdict").textContent = decision === "approve" ? "You approve" : "You deny";
  at("verdict").className = decision;
  at("sentence").textContent = sentence(said);
  at("facts").replaceChildren(...facts(said, asked));
  at("digest").textContent = grouped(prepared.digest);
  at("text").textContent = visible(text);
  at("comment").value = "";
  at("sign").textContent = button(said);
  show("decide");
}

function facts(said, asked) {
  const named = ({ id, name }) => [visible(name), id];
  const practice = [["Practice", ["The content is made up. Nobody’s real content is opened."]]];
  const rows = [
    ...(isPractice(said) ? practice : []),
    ["What", [[level(said), scope(said)].join(" ")]],
    ...(canChange(said) ? [["▲ Can change things", ["The engineer can change, send and delete things there, in the name of your users."], "changes"]] : []),
    ...("service_words" in said ? [["The service says", [`“${visible(said.service_words)}”`]]] : []),
    ...said.resources.map((each, place) => [
      place === 0 ? "On" : "And on",
      [visible(each.name), `${visible(each.kind)} · ${visible(each.locator ?? each.external_id)} · ${visible(each.id)}`],
    ]),
    ["Of the service", [visible(said.service)]],
    ...("enforced_by" in said ? [["Enforced by", [visible(said.enforced_by), "an application of the provider; your log shows only what Lockbox allowed there, and what it reports"]]] : []),
    ["For how long", [duration(said.minutes)]],
    ["Who", named(said.engineer)],
    ["Why, in the engineer’s words", [lines(asked.justification)], "quote"],
    ["What was tried first", [lines(asked.tried)], "quote"],
    ["Because of", ground(asked)],
    ["After", asked.previous ? [visible(asked.previous), "an earlier access request"] : ["no earlier access request"]],
    ["Confirmed by", said.provider_approver ? named(said.provider_approver) : ["nobody at the provider"]],
    ["Tenant", named(said.tenant)],
    ["In the name of", named(said.decider)],
    ["Access request", [visible(said.access_request.reference), `${visible(said.access_request.id)} · digest of what was asked for, computed here: ${visible(said.access_request.digest)}`]],
    ["Valid until", [instant(said.not_after)]],
    ["Your log at that time", said.checkpoint ? [`${said.checkpoint.size} entries`, `${visible(said.checkpoint.origin)} · ${visible(said.checkpoint.root)}`] : ["not signed yet"]],
    ["Can be used", ["once", visible(said.nonce)]],
  ];
  return rows.flatMap(([term, [words, small], kind]) => {
    const said = element("dd", words, kind);
    if (small) said.append(element("small", small));
    return [element("dt", term), said];
  });
}

const text64 = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const bytes64 = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

async function sign() {
  const { accessRequest, decision, etag, text, asked, said, challenge, digest } = prepared;
  // Checks the text again: the page may have been open for some time.
  read(text, { tenant: config.tenant, accessRequest, decision });
  const credential = await navigator.credentials.get({
    publicKey: { challenge, rpId, userVerification: "required", timeout: 300_000, allowCredentials: [] },
  });
  const { clientDataJSON, authenticatorData, signature } = credential.response;
  const assertion = {
    id: credential.id,
    rawId: text64(credential.rawId),
    type: credential.type,
    response: {
      clientDataJSON: text64(clientDataJSON),
      authenticatorData: text64(authenticatorData),
      signature: text64(signature),
    },
  };
  const signed = { manifest: text, asked, assertion, digest };
  prepared = { ...prepared, signed };
  const answer = decision === "approve" ? "Your approval" : "Your denial";
  at("done-digest").textContent = grouped(digest);
  try {
    const { found } = await call(`access-requests/${accessRequest}/${decision}`, {
      method: "POST",
      headers: { "If-Match": etag },
      body: { comment: at("comment").value.trim(), signature: { manifest: text, assertion } },
    });
    at("done-title").textContent = `${answer} is signed and sent`;
    at("done-text").textContent = `${sentence(said)} The server reports the state: ${visible(String(found.state))}.`;
  } catch (error) {
    // The server may have got the answer anyway. So the page says that it was signed, and the person can save it.
    at("done-title").textContent = `${answer} is signed, and the server did not confirm it`;
    at("done-text").textContent = `${sentence(said)} ${wordsFor(error)}`;
  }
  show("done");
}

function save() {
  const { signed, said } = prepared;
  const blob = new Blob([`${JSON.stringify(signed, null, 2)}\n`], { type: "application/json" });
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = `signed-${said.access_request.reference.replace(/[^\w-]/g, "")}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// --- Keys -------------------------------------------------------------------------------------------------

async function addKey() {
  const name = at("key-name").value.trim();
  const proof = { password: at("password").value };
  const code = at("code").value.trim();
  await call("me/step-up", { method: "POST", body: code ? { ...proof, code } : proof });
  at("password").value = at("code").value = "";
  const { found } = await call(`tenants/${config.tenant}/passkey-options`, { method: "POST", body: {} });
  const { options } = found;
  const credential = await navigator.credentials.create({
    publicKey: {
      ...options,
      // Always the site of this page, even if the server names another.
      rp: { id: rpId, name: rpId },
      user: { ...options.user, id: bytes64(options.user.id) },
      challenge: bytes64(options.challenge),
      excludeCredentials: options.excludeCredentials.map((each) => ({ ...each, id: bytes64(each.id) })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      attestation: "none",
    },
  });
  await call(`tenants/${config.tenant}/passkeys`, {
    method: "POST",
    body: {
      name,
      response: {
        id: credential.id,
        rawId: text64(credential.rawId),
        type: credential.type,
        response: {
          clientDataJSON: text64(credential.response.clientDataJSON),
          attestationObject: text64(credential.response.attestationObject),
        },
      },
    },
  });
  await list();
}

// --- The page ---------------------------------------------------------------------------------------------

function leave() {
  sessionStorage.removeItem(TOKEN);
  prepared = null;
  problem("");
  show("connect");
}

function onSubmit(id, act) {
  at(id).addEventListener("submit", (event) => {
    event.preventDefault();
    step(act, event.submitter);
  });
}

function onClick(id, act) {
  at(id).addEventListener("click", () => step(async () => act(), at(id)));
}

at("site").textContent = rpId;
at("key-site").textContent = rpId;
onSubmit("connect-form", async () => {
  sessionStorage.setItem(TOKEN, at("token").value.trim());
  at("token").value = "";
  await list();
});
onSubmit("key-form", addKey);
onClick("again", list);
onClick("to-list", list);
onClick("back", list);
onClick("keys-back", list);
onClick("to-keys", () => show("keys"));
onClick("sign", sign);
onClick("save", save);
onClick("leave", leave);
show("connect");
if (sessionStorage.getItem(TOKEN)) step(list);
