/**
 * A queue of accesses on the disk, which all processes of one application share without locks.
 *
 * A segment is named after the place of its first record. Each write appends whole lines (O_APPEND), so all processes
 * see the same order. A record's place is how many whole records come before it. Torn lines don't count. Lines after
 * the line `seal` don't count either: their writers write them again, to the next segment. All text is ASCII.
 */

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';

const SEGMENT = 1 << 20, SEAL = 'seal', STATE = 'state.json';
/** The largest report, and the largest group of records in one write. */
const RECORDS = 1000, BYTES = 900_000;

const sum = (text) => createHash('sha256').update(text).digest('hex').slice(0, 16);
const isWhole = (line) => line[16] === ' ' && line.slice(0, 16) === sum(line.slice(17));
const ascii = (text) => text.replace(/[\x80-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Reads the lines that have their end, and says where the last one ends. */
async function linesFrom(file, offset) {
  const length = Math.max(0, (await file.stat()).size - offset);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  const text = buffer.latin1Slice(0, bytesRead);
  const end = text.lastIndexOf('\n') + 1;
  return { lines: text.slice(0, end).split('\n'), end: offset + end };
}

export class Queue {
  #place; #limit; #segment; #state; #last = 0; #isFlushing = false;
  #waiting = [];
  #turn = Promise.resolve();

  constructor(place, limit = 1_000_000) {
    this.#place = place;
    this.#limit = limit;
  }

  /** How many records are not acknowledged, as far as this process has read. */
  get backlog() { return Math.max(0, this.#last - (this.#state?.acknowledged ?? 0)); }

  /** Returns when the record is on the disk. Calls at the same time share one write. An error has the code of a refusal. */
  append(record, { isUrgent = false } = {}) {
    return new Promise((resolve, reject) => {
      if (!isUrgent && this.backlog + this.#waiting.length >= this.#limit) throw Object.assign(new Error('The queue is full.'), { code: 'queue_full' });
      // The random part tells equal records of different processes apart.
      const text = `${randomBytes(6).toString('hex')} ${ascii(JSON.stringify(record))}`;
      this.#waiting.push({ line: `${sum(text)} ${text}`, resolve, reject });
      if (!this.#isFlushing) void this.#flush();
    });
  }

  async #flush() {
    this.#isFlushing = true;
    // One turn of the event loop brings more records into the group.
    await new Promise(setImmediate);
    while (this.#waiting.length) {
      const group = this.#waiting.splice(0, RECORDS);
      try {
        while (!(await this.#alone(() => this.#write(group.map(({ line }) => line)))));
        for (const { resolve } of group) resolve();
      } catch (cause) {
        // The next write looks anew at what is there.
        await this.close();
        for (const { reject } of group) reject(Object.assign(new Error('The queue can’t be written.', { cause }), { code: 'queue_unavailable' }));
      }
    }
    this.#isFlushing = false;
  }

  async close() {
    await this.#alone(() => this.#segment?.file.close()).catch(() => undefined);
    this.#segment = undefined;
  }

  /** Runs one thing after the other. */
  #alone(work) {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Writes lines to the newest segment. Returns false if another process sealed it before they were there. */
  async #write(lines) {
    const segment = await this.#newest();
    const seal = () => segment.file.write(`\n${SEAL}\n`).catch(() => undefined);
    // A line break comes first, because another process may have died within its line.
    const text = `\n${lines.join('\n')}\n`;
    try {
      if ((await segment.file.write(text)).bytesWritten < text.length) throw new Error('The disk took only a part.');
      await segment.file.datasync();
    } catch (error) {
      // After an error, the disk may lose lines. Later places must not depend on them.
      if (segment.count) await seal();
      throw error;
    }
    const isThere = await this.#scan(segment, lines[0]);
    if (segment.offset > SEGMENT && !segment.isSealed) await seal();
    return isThere;
  }

  /** Returns the newest segment, with all its records counted. If it is sealed, begins the next one. */
  async #newest() {
    for (;;) {
      const segment = this.#segment;
      if (segment) await this.#scan(segment);
      const { acknowledged } = segment ? {} : await this.state();
      const newest = (await this.#firsts()).at(-1) ?? 0;
      if (segment?.first === newest && !segment.isSealed) return segment;
      const next = segment ? segment.first + segment.count : newest || acknowledged + 1;
      const first = Math.max(newest, next);
      this.#segment = undefined;
      await segment?.file.close();
      this.#segment = { file: await fs.open(this.#path(first), 'a+', 0o600), first, offset: 0, count: 0, isSealed: false };
      const directory = await fs.open(this.#place);
      await directory.sync().finally(() => directory.close());
    }
  }

  /** Counts the records up to the end, or up to the seal. Returns whether the line is one of them. */
  async #scan(segment, wanted) {
    if (segment.isSealed) return false;
    const { lines, end } = await linesFrom(segment.file, segment.offset);
    const seal = lines.indexOf(SEAL);
    const valid = seal < 0 ? lines : lines.slice(0, seal);
    segment.count += valid.filter(isWhole).length;
    Object.assign(segment, { offset: end, isSealed: seal >= 0 });
    this.#last = Math.max(this.#last, segment.first + segment.count - 1);
    return valid.includes(wanted);
  }

  #path(first) { return `${this.#place}/${String(first).padStart(16, '0')}.log`; }

  async #firsts() {
    return (await fs.readdir(this.#place)).map((name) => Number(/^(\d{16})\.log$/.exec(name)?.[1])).filter(Boolean).sort((a, b) => a - b);
  }

  // --- For the reporter ---------------------------------------------------------------------------------

  /** Returns the guard's id, the place before its number 1, and the last place that was acknowledged. */
  async state() {
    await fs.mkdir(this.#place, { mode: 0o700 }).catch((error) => { if (error.code !== 'EEXIST') throw error; });
    const text = await fs.readFile(`${this.#place}/${STATE}`, 'utf8').catch((error) => { if (error.code !== 'ENOENT') throw error; });
    if (!text) await this.#store({ guard: randomUUID(), base: 0, acknowledged: 0 });
    return text ? (this.#state = JSON.parse(text)) : this.state();
  }

  /** Writes the state in its place, which also works on a full disk. It is shorter than a sector, so it is never torn. */
  async #store(state) {
    const file = await fs.open(`${this.#place}/${STATE}`, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      await file.write(JSON.stringify(state).padEnd(200), 0);
      await file.datasync();
    } finally {
      await file.close();
    }
    this.#state = state;
  }

  /** Reads the next records that are not acknowledged: the guard's id, the number of the first one, and their JSON. */
  async read() {
    await this.#alone(() => this.#newest());
    const { guard, base, acknowledged } = await this.state();
    const firsts = await this.#firsts(), records = [];
    for (const [at, first] of firsts.entries()) {
      if (firsts[at + 1] <= acknowledged + 1 || this.#last <= acknowledged) continue;
      await this.#collect(first, acknowledged, records);
      // Places that the disk lost can't be sent any more. The numbers of a new guard have no gap.
      if (records.length && first > acknowledged + 1) return this.#store({ guard: randomUUID(), base: first - 1, acknowledged: first - 1 }).then(() => this.read());
      if (records.length) break;
    }
    return { guard, first: acknowledged + 1 - base, records };
  }

  async #collect(first, acknowledged, records) {
    const file = await fs.open(this.#path(first));
    try {
      const { lines } = await linesFrom(file, 0);
      let place = first, bytes = 0;
      for (const line of lines) {
        if (line === SEAL || records.length >= RECORDS || bytes > BYTES) break;
        if (!isWhole(line) || place++ <= acknowledged) continue;
        bytes += line.length;
        records.push(line.slice(30));
      }
      // The process that wrote a record may not have synced it yet. What the server has must not be lost here.
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** Stores up to which number the server has the records. Removes the segments that it has. */
  async settle(number) {
    const { base, acknowledged, guard } = await this.state();
    const place = base + number, firsts = await this.#firsts();
    // The server has more than the disk: the directory is a copy, or was put back. Its numbers can't be used any more.
    if (place > this.#last) return this.#store({ guard: randomUUID(), base: acknowledged, acknowledged });
    if (place !== acknowledged) await this.#store({ guard, base, acknowledged: place });
    for (const [at, first] of firsts.entries()) if (firsts[at + 1] <= place + 1) await fs.rm(this.#path(first), { force: true });
  }
}
