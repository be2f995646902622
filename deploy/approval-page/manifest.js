// Reads the text that is signed. Nothing else that the server sends affects what is signed. A text that this page can't
// show completely, or that could be read in two ways, is refused and not signed.

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
// If an application of the provider enforces the window, the text names this application. Its resources have an id there
// instead of a locator.
const EXTERNAL = {
  resource: ["external_id", "id", "kind", "name"],
};
// Members that a text has only if they say something: who enforces the window, and what the service itself says about
// the level. The server can't use them to replace the words of this page.
const OF_SERVICE = ["enforced_by", "service_words"];
// Only the text of a practice request has this member, and there it is `true`. A text without it is about real content.
const PRACTICE = "practice";
// The locator of every practice resource, and of no real one. The server can't call real content practice.
const PRACTICE_LOCATOR = ":practice";
const OPTIONAL = new Set(["checkpoint", "provider_approver"]);
const LEVELS = new Map([
  ["names", "see the names of what is in"],
  ["view", "view, and not download, what is in"],
  ["read", "read what is in"],
  ["act_as", "act as your users and change things in"],
]);
// The levels with which the engineer can change nothing. An unknown level is not one of them.
const READING = new Set(["names", "view", "read"]);
const KINDS = new Map([
  ["mailbox", ["mailbox", "mailboxes"]],
  ["library", ["document library", "document libraries"]],
  ["database", ["database", "databases"]],
  ["workspace", ["workspace", "workspaces"]],
  ["other", ["resource", "resources"]],
]);

// --- The text ---------------------------------------------------------------------------------------------

// Writes a value as in RFC 8785. Such a text has only objects, lists, strings, whole numbers, null, and the mark `true`.
export function canonical(value) {
  if (value === null || value === true || typeof value === "string") return JSON.stringify(value);
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

// Returns the text as an object. Refuses a text that is not complete, can be read in two ways, or is about something
// else than `wanted` (tenant, accessRequest and decision).
export function read(text, wanted, now = Date.now()) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    throw new Refused("The text can't be read.");
  }
  requireShape(said);
  // With a repeated member, or another spelling of a letter or number, two programs could read two different texts.
  if (canonical(said) !== text) throw new Refused("The text could be read in two ways.");
  if (said.format !== FORMAT) throw new Refused("The text has a format that this page does not know.");
  if (said.tenant.id !== wanted.tenant) throw new Refused("The text is about another tenant.");
  if (said.access_request.id !== wanted.accessRequest) throw new Refused("The text is about another access request.");
  if (said.decision !== wanted.decision) throw new Refused("The text says the opposite of what you chose.");
  if (said.stage !== "customer") throw new Refused("The text is not an answer of a customer.");
  const until = Date.parse(said.not_after);
  if (!(until > now)) throw new Refused("The text is no longer valid. Begin again.");
  // Five minutes, and five more for clocks that differ. A signature that somebody withholds must soon be useless.
  if (until > now + 600_000) throw new Refused("The text would be valid for too long.");
  return said;
}

function requireShape(said) {
  const isExternal = said !== null && typeof said === "object" && "enforced_by" in said;
  requireMembers(said, "", "The text", isExternal);
  for (const [name, wanted] of Object.entries(MEMBERS)) {
    if (name === "" || name === "resource" || (OPTIONAL.has(name) && said[name] === null)) continue;
    requireMembers(said[name], name, `“${name}”`);
    if (wanted === NAMED) requireText(said[name].id, said[name].name);
  }
  if (!Array.isArray(said.resources) || said.resources.length < 1) throw new Refused("The text names no resource.");
  for (const resource of said.resources) {
    requireMembers(resource, "resource", "A resource", isExternal);
    requireText(...Object.values(resource));
    if ((resource.locator === PRACTICE_LOCATOR) !== isPractice(said)) {
      throw new Refused("The text says “practice” about real content, or the reverse.");
    }
  }
  requireText(...OF_SERVICE.filter((name) => name in said).map((name) => said[name]));
  requireText(said.decision, said.format, said.level, said.nonce, said.not_after, said.service, said.stage);
  requireText(...Object.values(said.access_request));
  if (!Number.isSafeInteger(said.minutes) || said.minutes < 1) throw new Refused("The text names no length of time.");
}

function requireMembers(value, kind, what, isExternal = false) {
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  const names = isObject ? membersOf(value, kind === "").join() : "";
  const found = kind === "" ? [...MEMBERS[""], ...OF_SERVICE.filter((name) => isObject && name in value)].sort() : null;
  const wanted = found ?? ((isExternal && EXTERNAL[kind]) || MEMBERS[kind]);
  if (names !== wanted.join()) throw new Refused(`${what} has other parts than this page can show.`);
}

// Returns the names of an object's members in order, without the mark of a practice request if it may have that mark.
function membersOf(value, mayBePractice) {
  const isMarked = mayBePractice && value[PRACTICE] === true;
  return Object.keys(value).filter((name) => !(isMarked && name === PRACTICE)).sort();
}

export const isPractice = (said) => said[PRACTICE] === true;

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

// Reads what the engineer asked for. The signed text has only its digest, so this page computes the digest itself: if
// the server changed one letter, the digest is different, and the page refuses.
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
  const wanted = [...ASKED, ...OF_SERVICE.filter((name) => name in said)].sort();
  if (!isObject || membersOf(asked, true).join() !== wanted.join()) {
    throw new Refused("What was asked for has other parts than this page can show.");
  }
  if (canonical(asked) !== text) throw new Refused("What was asked for could be read in two ways.");
  requireText(...WORDS.map((name) => asked[name]), ...NULLABLE.map((name) => asked[name] ?? ""));
  // These members are in both texts and must be equal. The window can be shorter than what was asked for, never longer.
  const same = [
    [isPractice(asked), isPractice(said)],
    [asked.reference, said.access_request.reference],
    [asked.tenant, said.tenant.id],
    [asked.engineer, said.engineer.id],
    [asked.service, said.service],
    [asked.level, said.level],
    [asked.enforced_by, said.enforced_by],
    [asked.service_words, said.service_words],
    [canonical(asked.resources), canonical(said.resources)],
  ];
  const isLonger = !Number.isSafeInteger(asked.window_for) || said.minutes * 60 > asked.window_for;
  if (isLonger || same.some(([one, other]) => one !== other)) {
    throw new Refused("The text allows something else than what was asked for.");
  }
  return asked;
}

// --- In words ---------------------------------------------------------------------------------------------

// Shows invisible characters, and characters that change the direction of text, as their code.
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu, (letter) =>
    `⟨U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

// The same for text with several lines, which a person wrote.
export const lines = (text) => text.split("\n").map(visible).join("\n");

// Returns the reason for the access: a ticket, a problem that the provider found, or a demand.
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

// Whether the engineer can change things, or perhaps can, because this page does not know the level.
export const canChange = (said) => !READING.has(said.level);

// The whole decision in one sentence; the button repeats it.
export function sentence(said) {
  const act = `${level(said)} ${scope(said)} of ${visible(said.tenant.name)} for ${duration(said.minutes)}`;
  const mark = isPractice(said) ? "Practice, with made-up content: " : "";
  return said.decision === "approve"
    ? `${mark}You allow ${visible(said.engineer.name)} to ${act}.`
    : `${mark}You do not allow ${visible(said.engineer.name)} to ${act}.`;
}

export function button(said) {
  const mark = isPractice(said) ? "Practice: " : "";
  if (canChange(said) && said.decision === "approve") {
    return `${mark}Sign the approval to change things: ${duration(said.minutes)}, ${scope(said)}`;
  }
  return said.decision === "approve"
    ? `${mark}Sign the approval: ${duration(said.minutes)}, ${scope(said)}`
    : `${mark}Sign the denial: ${scope(said)} stay closed`;
}
