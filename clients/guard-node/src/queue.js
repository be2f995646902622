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

/** Opens a file or a directory for one piece of work. */
async function opened(path, flags, work) {
  const file = await fs.open(path, flags, 0o600);
  return work(file).finally(() => file.close());
}

const refusal = (code, cause) => Object.assign(new Error(`The queue can’t take an access: ${code}.`, { cause }), { code });

export class Queue {
  #place; #limit; #segment; #state; #last = 0; #isFlushing = false;
  #waiting = [];
  #turn = Promise.resolve();

  constructor(place, limit = 1_000_000) { [this.#place, this.#limit] = [place, limit]; }

  /** How many records are not acknowledged, as far as this process has read. */
  get backlog() { return Math.max(0, this.#last - (this.#state?.acknowledged ?? 0)); }

  /** Returns when the record is on the disk. Calls at the same time share one write. An error has the code of a refusal. */
  append(record, { isUrgent = false } = {}) {
    return new Promise((resolve, reject) => {
      if (!isUrgent && this.backlog + this.#waiting.length >= this.#limit) throw refusal('queue_full');
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
      const group = this.#waiting.splice(0, RECORDS), lines = group.map(({ line }) => line);
      try {
        while (!(await this.#alone(() => this.#write(lines))));
        for (const { resolve } of group) resolve();
      } catch (cause) {
        // The next write looks anew at what is there.
        await this.close();
        for (const { reject } of group) reject(refusal('queue_unavailable', cause));
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
    const segment = await this.#newest(), { file } = segment;
    const seal = () => file.write(`\n${SEAL}\n`).catch(() => undefined);
    // A line break comes first, because another process may have died within its line.
    const text = `\n${lines.join('\n')}\n`;
    try {
      if ((await file.write(text)).bytesWritten < text.length) throw new Error('The disk took only a part.');
      await file.datasync();
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
      const first = Math.max(newest, segment ? segment.first + segment.count : newest || acknowledged + 1);
      this.#segment = undefined;
      await segment?.file.close();
      this.#segment = { file: await fs.open(this.#path(first), 'a+', 0o600), first, offset: 0, count: 0, isSealed: false };
      await opened(this.#place, 'r', (directory) => directory.sync());
    }
  }

  /** Counts the records up to the end, or up to the seal. Returns whether the line is one of them. */
  async #scan(segment, wanted) {
    if (segment.isSealed) return false;
    const { lines, end } = await linesFrom(segment.file, segment.offset), seal = lines.indexOf(SEAL);
    const valid = seal < 0 ? lines : lines.slice(0, seal);
    Object.assign(segment, { offset: end, isSealed: seal >= 0, count: segment.count + valid.filter(isWhole).length });
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
    const unless = (code) => (error) => { if (error.code !== code) throw error; };
    await fs.mkdir(this.#place, { mode: 0o700 }).catch(unless('EEXIST'));
    const text = await fs.readFile(`${this.#place}/${STATE}`, 'utf8').catch(unless('ENOENT'));
    if (!text) await this.#store({ guard: randomUUID(), base: 0, acknowledged: 0 });
    return text ? (this.#state = JSON.parse(text)) : this.state();
  }

  /** Writes the state in its place, which also works on a full disk. It is shorter than a sector, so it is never torn. */
  async #store(state) {
    const text = JSON.stringify(state).padEnd(200), flags = constants.O_RDWR | constants.O_CREAT;
    await opened(`${this.#place}/${STATE}`, flags, (file) => file.write(text, 0).then(() => file.datasync()));
    this.#state = state;
  }

  /** Reads the next records that are not acknowledged: the guard's id, the number of the first one, and their JSON. */
  async read() {
    await this.#alone(() => this.#newest());
    const { guard, base, acknowledged } = await this.state(), firsts = await this.#firsts(), number = acknowledged + 1;
    const first = this.#last > acknowledged && (firsts.findLast((each) => each <= number) ?? firsts[0]);
    let records = first ? await this.#collect(first, acknowledged) : [], next = firsts.find((each) => each > first);
    if (first && !records.length && next) records = await this.#collect(next, acknowledged); else next = first;
    if (!records.length || next <= number) return { guard, first: number - base, records };
    // Places that the disk lost can't be sent any more. The numbers of a new guard have no gap.
    await this.#store({ guard: randomUUID(), base: next - 1, acknowledged: next - 1 });
    return this.read();
  }

  /** Returns the records of a segment behind a place. */
  async #collect(first, acknowledged) {
    return opened(this.#path(first), 'r', async (file) => {
      const { lines } = await linesFrom(file, 0), seal = lines.indexOf(SEAL);
      const valid = (seal < 0 ? lines : lines.slice(0, seal)).filter(isWhole);
      let bytes = 0;
      const found = valid.slice(Math.max(0, acknowledged + 1 - first)).slice(0, RECORDS).filter((line) => (bytes += line.length) < BYTES);
      // The process that wrote a record may not have synced it yet. What the server has must not be lost here.
      await file.datasync();
      return found.map((line) => line.slice(30));
    });
  }

  /** Stores up to which number the server has the records. Removes the segments that it has. */
  async settle(number) {
    const { base, acknowledged, guard } = await this.state(), place = base + number, firsts = await this.#firsts();
    // The server has more than the disk: the directory is a copy, or was put back. Its numbers can't be used any more.
    if (place > this.#last) return this.#store({ guard: randomUUID(), base: acknowledged, acknowledged });
    if (place !== acknowledged) await this.#store({ guard, base, acknowledged: place });
    for (const [at, first] of firsts.entries()) if (firsts[at + 1] <= place + 1) await fs.rm(this.#path(first), { force: true });
  }
}
