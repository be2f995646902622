/** Reports what is in the queue: in order, each access once, until the server has acknowledged it. */

import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { VERSION } from './lockbox.js';
import { linesFrom, opened, RECORDS, recordsOf, SEGMENT, segment, segmentsIn } from './queue.js';

/** Milliseconds: between two looks, at most between two tries, between signs of life, and until a reporter is dead. */
const LOOK = 500, LONGEST = 30_000, SIGN = 30_000, DEAD = 3000;
const BYTES = 900_000, SIZE = 4096, FORMER = 50, FIRST = { number: 1, segment: 1, offset: 0, count: 0 };
const NAME = /^reporter-\d{12}$/;

/**
 * One of the processes reports. Its term has a file, which says how far it is, and a `life`. A process whose term is
 * not the newest stops. The server takes accesses only from the life that came last, so a copy of the directory on
 * another machine can't use the same numbers: one of the two gets a new guard id.
 */
export class Reporter {
  #lockbox; #place; #trouble; #running; #beat; #state; #term; #sight; #since; #last = -Infinity; #isClaimed = false;
  #ended = new AbortController();

  constructor(lockbox, place, trouble) { [this.#lockbox, this.#place, this.#trouble] = [lockbox, place, trouble]; }

  start() {
    this.#beat = setInterval(() => this.#touch().catch(() => undefined), DEAD / 5).unref();
    this.#running = this.#run(this.#ended.signal);
  }

  /** Stops after one last report. */
  async stop() {
    this.#ended.abort();
    clearInterval(this.#beat);
    await this.#running;
    if (this.#running) await this.report().catch(this.#trouble);
    if (this.#term) await this.#store({ isOver: true }).catch(this.#trouble);
  }

  async #run(signal) {
    for (let wait = LOOK; !signal.aborted;) {
      const isMore = await this.report().catch((error) => { this.#trouble(error); });
      wait = isMore === undefined ? Math.min(wait * 2, LONGEST) : LOOK;
      if (!isMore) await sleep(wait, undefined, { ref: false, signal }).catch(() => undefined);
    }
  }

  /** Returns the guard's id, which the first reporter made. */
  async guard() {
    await this.#leads();
    return (await this.#stateOf(await this.#newest())).guard;
  }

  // --- Terms ------------------------------------------------------------------------------------------------

  async #newest() { return (await fs.readdir(this.#place)).filter((name) => NAME.test(name)).sort().at(-1); }

  async #touch() { if (this.#term) await fs.utimes(this.#path(this.#term), new Date(), new Date()); }

  #path(name) { return `${this.#place}/${name}`; }

  async #stateOf(name) { return JSON.parse((await fs.readFile(this.#path(name), 'utf8')).split('\n')[0]); }

  /** Returns whether this process reports. It begins a term if no reporter is alive. */
  async #leads() {
    await segmentsIn(this.#place);
    const last = await this.#newest();
    if (last && last === this.#term) return true;
    this.#term = undefined;
    const before = last ? await this.#stateOf(last) : { guard: randomUUID(), ...FIRST, former: [] };
    const sight = last && `${last} ${(await fs.stat(this.#path(last))).mtimeMs}`;
    if (sight !== this.#sight) [this.#sight, this.#since] = [sight, performance.now()];
    if (before.life && !before.isOver && performance.now() - this.#since < DEAD) return false;
    return this.#begin(before, `reporter-${String(Number(last?.slice(9) ?? 0) + 1).padStart(12, '0')}`);
  }

  /** Begins a term. Of several processes that try at the same time, one succeeds. */
  async #begin({ former, ...before }, name) {
    const life = randomUUID(), draft = this.#path(life);
    // `former` is the last one: without former lives, all fits into one sector.
    const lives = [...former, before.life].filter(Boolean).slice(-FORMER);
    this.#state = { ...before, life, isOver: false, former: lives };
    await opened(draft, 'wx', (file) => this.#write(file));
    const error = await fs.link(draft, this.#path(name)).catch((each) => each);
    await fs.rm(draft);
    if (error) return false;
    [this.#term, this.#isClaimed] = [name, false];
    for (const each of await fs.readdir(this.#place)) if (NAME.test(each) && each < name) await fs.rm(this.#path(each));
    return true;
  }

  /** Writes in place, which a full disk allows. What changes is shorter than a sector, so it is never torn. */
  async #write(file) {
    await file.write(`${JSON.stringify(this.#state)}\n`.padEnd(SIZE), 0);
    await file.datasync();
  }

  /** Stores changes of the state. Fails if a later term has removed the file. */
  async #store(changes) {
    Object.assign(this.#state, changes);
    await opened(this.#path(this.#term), 'r+', (file) => this.#write(file));
  }

  // --- Reports ----------------------------------------------------------------------------------------------

  /** Sends one batch. Returns whether there may be more to send. */
  async report() {
    if (!(await this.#leads())) return false;
    // A new life first claims the guard id, and learns whether the server has what the last life sent.
    const { records, end, backlog } = this.#isClaimed ? await this.#read() : { records: [], backlog: 0 };
    if (this.#isClaimed && !records.length && performance.now() - this.#last < SIGN) return false;
    // Before it is sent: a later life must know which numbers can be the ones of this queue.
    if (records.length && !this.#state.count) await this.#store({ count: records.length, end });
    const { guard, life, number: first, former } = this.#state;
    const head = JSON.stringify({ guard, life, former, version: VERSION, first, backlog });
    const body = `${head.slice(0, -1)},"accesses":[${records}]}`;
    const answer = await this.#lockbox.post('/api/v1/guard/accesses', body).catch((error) => {
      if (!['guard_copied', 'reports_gap'].includes(error.code)) throw error;
      return { acknowledged: (error.body.expected ?? 0) - 1 };
    });
    if (answer.rejected) this.#trouble(new Error(`Customer Lockbox rejected ${answer.rejected} accesses.`));
    if (await this.#newest() === this.#term) await this.#settle(answer.acknowledged);
    this.#last = performance.now();
    return true;
  }

  /** Goes on behind what the server has. If anybody else used the guard's numbers, takes a new guard id. */
  async #settle(acknowledged) {
    const { number, count, offset, end } = this.#state, next = number + count;
    const rest = acknowledged >= next - 1 ? { number: next, offset: count ? end : offset, count: 0 } : { number };
    this.#isClaimed = acknowledged === rest.number - 1;
    const changes = this.#isClaimed ? rest : { ...rest, guard: randomUUID(), number: 1, count: 0 };
    if (count || !this.#isClaimed || this.#state.former.length) await this.#store({ ...changes, former: [] });
  }

  /** Reads the next records, or again those that were sent and not acknowledged. Goes on behind a sealed segment. */
  async #read() {
    for (const state = this.#state; ;) {
      const all = await segmentsIn(this.#place), at = all.findIndex((each) => each >= state.segment), number = all[at];
      if (at < 0) return { records: [] };
      if (number !== state.segment) Object.assign(state, { segment: number, offset: 0, count: 0 });
      const { lines, isSealed, size } = await opened(segment(this.#place, number), 'r', async (file) => {
        const found = await linesFrom(file, state.offset, state.count ? state.end - state.offset : BYTES);
        // The process that wrote a record may not have synced it yet. What the server has must not be lost here.
        await file.datasync();
        return found;
      });
      const taken = lines.slice(0, RECORDS), records = recordsOf(taken);
      const end = taken.reduce((place, line) => place + line.length + 1, state.offset);
      const left = size - state.offset + (all.length - 1 - at) * SEGMENT;
      // Further records are counted by their length.
      if (records.length) return { records, end, backlog: Math.round(records.length * left / (end - state.offset)) };
      state.offset = end;
      if (!taken.length && !(isSealed && at < all.length - 1)) return { records };
      if (!taken.length) for (const each of all.slice(0, at + 1)) await fs.rm(segment(this.#place, each));
    }
  }
}
