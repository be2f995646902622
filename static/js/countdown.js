// Counts times down, shows when a deadline has passed, and empties content when its window closes. The server enforces
// all of this: without this script, nothing more can be opened.

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content;
const words = JSON.parse(meta("lockbox-words") || "null");

// The reader's clock may be wrong, so it only measures the time since the server's answer arrived. In a page from the
// browser's cache the server's "now" is old: with it, the page would show more time than there is.
const sent = Date.parse(meta("lockbox-now") || "");
const [navigation] = performance.getEntriesByType("navigation");
const isFresh = navigation?.transferSize > 0 && !Number.isNaN(sent);
const offset = isFresh ? sent - (performance.timeOrigin + navigation.responseStart) : 0;
const now = () => Date.now() + offset;

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const SECONDS_MATTER = 10 * MINUTE;

const fill = (pattern, key, value) => pattern.replace(`%(${key})s`, value);
const unit = (name, n) => fill(words[name], "n", String(n));

// The same rules as relative_words() on the server, so that the first tick changes nothing.
function relative(seconds) {
  if (seconds > 0) return fill(words.in, "time", twoUnits(Math.floor(seconds)));
  const gone = Math.floor(-seconds);
  if (gone < MINUTE) return words.now;
  const [name, size] = [["d", DAY], ["h", HOUR], ["min", MINUTE]].find(([, size]) => gone >= size);
  return fill(words.ago, "time", unit(name, Math.floor(gone / size)));
}

function twoUnits(seconds) {
  const whole = (size) => Math.floor(seconds / size);
  const rest = (outer, inner) => Math.floor((seconds % outer) / inner);
  let pairs = [["s", seconds]];
  if (seconds >= DAY) pairs = [["d", whole(DAY)], ["h", rest(DAY, HOUR)]];
  else if (seconds >= HOUR) pairs = [["h", whole(HOUR)], ["min", rest(HOUR, MINUTE)]];
  else if (seconds >= SECONDS_MATTER) pairs = [["min", whole(MINUTE)]];
  else if (seconds >= MINUTE) pairs = [["min", whole(MINUTE)], ["s", seconds % MINUTE]];
  return pairs.filter(([, n], index) => n > 0 || (index === 0 && pairs.length === 1)).map(([name, n]) => unit(name, n)).join(" ");
}

function tickRelative(at) {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const text = relative((Date.parse(element.dateTime) - at) / 1000);
    if (element.textContent !== text) element.textContent = text;
  }
}

function tickDeadlines(at) {
  for (const element of document.querySelectorAll("[data-deadline]")) {
    const left = (Date.parse(element.dataset.deadline) - at) / 1000;
    const isPast = left <= 0;
    element.classList.toggle("deadline-past", isPast);
    element.classList.toggle("deadline-soon", !isPast && left <= Number(element.dataset.soon));
    element.querySelector("[data-before]")?.toggleAttribute("hidden", isPast);
    element.querySelector("[data-after]")?.toggleAttribute("hidden", !isPast);
    const bar = element.querySelector("progress");
    if (bar) bar.value = Math.max(0, Math.min(bar.max, bar.max - left));
  }
}

// An element with data-closes-at is emptied at that time. The template that data-closed-notice names replaces the
// content, so that the page says why.
function tickClosing(at) {
  for (const element of document.querySelectorAll("[data-closes-at]")) {
    if (Date.parse(element.dataset.closesAt) > at) continue;
    const notice = document.getElementById(element.dataset.closedNotice || "");
    element.replaceChildren(...(notice?.content ? [notice.content.cloneNode(true)] : []));
    delete element.dataset.closesAt;
  }
}

// An event in the answer to a poll says that a window was closed early.
function closeNow() {
  for (const element of document.querySelectorAll("[data-closes-at]")) element.dataset.closesAt = new Date(0).toISOString();
  tick();
}

function tick() {
  const at = now();
  tickClosing(at);
  tickDeadlines(at);
  if (words) tickRelative(at);
}

tick();
setInterval(tick, 1000);
// A page that was in the background or in the history can show the time of hours ago.
document.addEventListener("visibilitychange", tick);
window.addEventListener("pageshow", tick);
document.addEventListener("htmx:afterSwap", tick);
document.addEventListener("lockbox:closed", closeNow);
