// What is signed: the text is read here to the letter, and nothing else that a server says has a part in it.
// A text that this page can't show whole, or that could be read in two ways, is refused and not signed.

export const FORMAT = "lockbox-decision-v1";

export class Refused extends Error {}

const NAMED = ["id", "name"];
const MEMBERS = {
  "": [
    "access_request", "checkpoint", "decider", "decision", "engineer", "format", "level", "minutes", "nonce",
    "not_after", "provider_approver", "resources", "service", "stage", "tenant",
  ],
  access_request: ["digest", "id", "reference"],
  checkpoint: ["origin", "root", "size"],
  decider: NAMED,
  engineer: NAMED,
  provider_approver: NAMED,
  resource: ["id", "kind", "locator", "name"],
  tenant: NAMED,
};
const OPTIONAL = new Set(["checkpoint", "provider_approver"]);
const LEVELS = new Map([["names", "see the names of what is in"], ["read", "read what is in"]]);
const KINDS = new Map([
  ["mailbox", ["mailbox", "mailboxes"]],
  ["library", ["document library", "document libraries"]],
  ["database", ["database", "databases"]],
]);

// --- The text ---------------------------------------------------------------------------------------------

// RFC 8785 for what such a text holds: objects, lists, strings, whole numbers, null.
export function canonical(value) {
  if (value === null || typeof value === "string") return JSON.stringify(value);
  if (Number.isSafeInteger(value)) return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object") {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  throw new Refused("The text contains something that no such text has.");
}

// SHA-256 over the format's name, a line feed and the text: what the key signs, and the digest that people compare.
export async function challengeOf(text) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${FORMAT}\n${text}`)));
}

// SHA-256 of a text, in hexadecimal.
const digestOf = async (text) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));

export const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// The text as an object, if it is whole, can be read in one way, and is about just this; `wanted` has tenant,
// access_request and decision.
export function read(text, wanted, now = Date.now()) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    throw new Refused("The text can't be read.");
  }
  requireShape(said);
  // A member that stands there twice, another spelling of a letter or a number: what one reader sees, another does not.
  if (canonical(said) !== text) throw new Refused("The text could be read in two ways.");
  if (said.format !== FORMAT) throw new Refused("The text has a format that this page does not know.");
  if (said.tenant.id !== wanted.tenant) throw new Refused("The text is about another tenant.");
  if (said.access_request.id !== wanted.accessRequest) throw new Refused("The text is about another access request.");
  if (said.decision !== wanted.decision) throw new Refused("The text says the opposite of what you chose.");
  if (said.stage !== "customer") throw new Refused("The text is not an answer of a customer.");
  const until = Date.parse(said.not_after);
  if (!(until > now)) throw new Refused("The text is no longer valid. Begin again.");
  // Five minutes, and as much for clocks that differ: what is kept back must soon be worth nothing.
  if (until > now + 600_000) throw new Refused("The text would be valid for too long.");
  return said;
}

function requireShape(said) {
  requireMembers(said, "", "The text");
  for (const [name, wanted] of Object.entries(MEMBERS)) {
    if (name === "" || name === "resource" || (OPTIONAL.has(name) && said[name] === null)) continue;
    requireMembers(said[name], name, `“${name}”`);
    if (wanted === NAMED) requireText(said[name].id, said[name].name);
  }
  if (!Array.isArray(said.resources) || said.resources.length < 1) throw new Refused("The text names no resource.");
  for (const resource of said.resources) {
    requireMembers(resource, "resource", "A resource");
    requireText(...Object.values(resource));
  }
  requireText(said.decision, said.format, said.level, said.nonce, said.not_after, said.service, said.stage);
  requireText(...Object.values(said.access_request));
  if (!Number.isSafeInteger(said.minutes) || said.minutes < 1) throw new Refused("The text names no length of time.");
}

function requireMembers(value, kind, what) {
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  const names = isObject ? Object.keys(value).sort().join() : "";
  if (names !== MEMBERS[kind].join()) throw new Refused(`${what} has other parts than this page can show.`);
}

function requireText(...values) {
  if (values.some((value) => typeof value !== "string")) throw new Refused("A part of the text is not a text.");
}

// --- What was asked for -----------------------------------------------------------------------------------

const ASKED = [
  "authority", "demand_date", "demand_reference", "engineer", "instrument", "justification", "level", "previous", "reason",
  "reference", "resources", "service", "tenant", "ticket", "tried", "window_for",
];
const WORDS = ["authority", "demand_reference", "engineer", "instrument", "justification", "level", "reason", "reference", "service", "tenant", "tried"];
const NULLABLE = ["demand_date", "previous", "ticket"];

// The engineer's words and all the rest that the text names by its digest alone. They are the server's only until this
// digest is worked out here: with one letter changed it is another, and what is signed would not be about them.
export async function readAsked(text, said) {
  if (typeof text !== "string" || (await digestOf(text)) !== said.access_request.digest) {
    throw new Refused("The reason that the server gives is not the one that the text is about.");
  }
  let asked;
  try {
    asked = JSON.parse(text);
  } catch {
    throw new Refused("What was asked for can't be read.");
  }
  const isObject = asked !== null && typeof asked === "object" && !Array.isArray(asked);
  if (!isObject || Object.keys(asked).sort().join() !== ASKED.join()) {
    throw new Refused("What was asked for has other parts than this page can show.");
  }
  if (canonical(asked) !== text) throw new Refused("What was asked for could be read in two ways.");
  requireText(...WORDS.map((name) => asked[name]), ...NULLABLE.map((name) => asked[name] ?? ""));
  // What stands in both must be the same in both; a window may be cut to the tenant's longest, and never lengthened.
  const same = [
    [asked.reference, said.access_request.reference],
    [asked.tenant, said.tenant.id],
    [asked.engineer, said.engineer.id],
    [asked.service, said.service],
    [asked.level, said.level],
    [canonical(asked.resources), canonical(said.resources)],
  ];
  const isLonger = !Number.isSafeInteger(asked.window_for) || said.minutes * 60 > asked.window_for;
  if (isLonger || same.some(([one, other]) => one !== other)) {
    throw new Refused("The text allows something else than what was asked for.");
  }
  return asked;
}

// --- In words ---------------------------------------------------------------------------------------------

// What turns text round, or stands in it unseen, is shown as its code.
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu, (letter) =>
    `⟨U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

// The same for somebody's own words, which have lines.
export const lines = (text) => text.split("\n").map(visible).join("\n");

// On what ground: a ticket, a problem of the provider's own, or somebody's demand.
export function ground(asked) {
  if (asked.reason === "legal_demand") {
    const parts = [asked.instrument, asked.authority, asked.demand_reference, asked.demand_date ?? ""];
    return ["A law-enforcement demand", parts.map(visible).join(" · ")];
  }
  const kinds = { customer_ticket: "A ticket of yours", provider_initiated: "A problem that the provider found" };
  return [kinds[asked.reason] ?? `“${visible(asked.reason)}”`, visible(asked.ticket ?? "")];
}

export function duration(minutes) {
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  const parts = [];
  if (hours) parts.push(hours === 1 ? "1 hour" : `${hours} hours`);
  if (rest) parts.push(rest === 1 ? "1 minute" : `${rest} minutes`);
  return parts.join(" ");
}

export function scope(said) {
  const counts = new Map();
  for (const { kind } of said.resources) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, n]) => {
    const [one, many] = KINDS.get(kind) ?? [`“${visible(kind)}”`, `“${visible(kind)}”`];
    return `${n} ${n === 1 ? one : many}`;
  }).join(" and ");
}

export const level = (said) => LEVELS.get(said.level) ?? `do “${visible(said.level)}” with`;

// The whole decision in one sentence; the button repeats it.
export function sentence(said) {
  const act = `${level(said)} ${scope(said)} of ${visible(said.tenant.name)} for ${duration(said.minutes)}`;
  return said.decision === "approve"
    ? `You allow ${visible(said.engineer.name)} to ${act}.`
    : `You do not allow ${visible(said.engineer.name)} to ${act}.`;
}

export function button(said) {
  return said.decision === "approve"
    ? `Sign the approval: ${duration(said.minutes)}, ${scope(said)}`
    : `Sign the denial: ${scope(said)} stay closed`;
}
