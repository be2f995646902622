/**
 * Stores accesses on the disk. All processes of one application share the directory, without locks.
 *
 * Each write appends whole lines to the newest segment (O_APPEND), so all processes see the same order. Torn lines
 * don't count. Lines after the line `seal` don't count either: their writers write them again, to the next segment.
 */

import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

export const SEGMENT = 1 << 20;
/** The largest group of records in one write, and in one report. */
export const RECORDS = 1000;
const SEAL = 'seal', LIMIT = 500 * SEGMENT;

const sum = (text) => createHash('sha256').update(text).digest('hex').slice(0, 16);
const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
const refusal = (code, cause) => Object.assign(new Error(`No access can be stored: ${code}.`, { cause }), { code });

export const segment = (place, number) => `${place}/${String(number).padStart(12, '0')}.log`;

/** Returns the numbers of the segments, in their order. */
export async function segmentsIn(place) {
  await fs.mkdir(place, { mode: 0o700 }).catch((error) => { if (error.code !== 'EEXIST') throw error; });
  const names = (await fs.readdir(place)).filter((name) => name.endsWith('.log'));
  return names.map((name) => parseInt(name, 10)).sort((a, b) => a - b);
}

/** Opens a file or a directory for one piece of work. */
export async function opened(path, flags, work) {
  const file = await fs.open(path, flags, 0o600);
  return work(file).finally(() => file.close());
}

/** Reads the lines that have their end, up to the seal. All text is ASCII. */
export async function linesFrom(file, offset, most = Infinity) {
  const { size } = await file.stat(), length = Math.max(0, Math.min(size - offset, most));
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  const text = buffer.latin1Slice(0, bytesRead), end = text.lastIndexOf('\n') + 1;
  const lines = text.slice(0, end).split('\n').slice(0, -1), seal = lines.indexOf(SEAL);
  return { lines: seal < 0 ? lines : lines.slice(0, seal), isSealed: seal >= 0, end: offset + end, size };
}

/** Returns the JSON of the lines that are whole records. */
export function recordsOf(lines) {
  return lines.filter((line) => line.slice(0, 17) === `${sum(line.slice(17))} `).map((line) => line.slice(30));
}

export class Queue {
  #place; #limit; #segment; #flushing;
  #waiting = [];

  constructor(place, limit = LIMIT) { [this.#place, this.#limit] = [place, Math.max(limit, SEGMENT)]; }

  /** Returns when the record is on the disk. Calls at the same time share a write. An error has a refusal's code. */
  append(record, { isUrgent = false } = {}) {
    return new Promise((resolve, reject) => {
      // The random part tells equal records of different processes apart.
      const text = `${randomBytes(6).toString('hex')} ${JSON.stringify(record).replace(/[\x80-\uffff]/g, escape)}`;
      this.#waiting.push({ line: `${sum(text)} ${text}`, isUrgent, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async #flush() {
    // One turn of the event loop brings more records into the group.
    await turn();
    while (this.#waiting.length) {
      const group = this.#waiting.splice(0, RECORDS);
      try {
        const isFull = (await this.#newest()).before >= this.#limit, fits = ({ isUrgent }) => isUrgent || !isFull;
        const lines = group.filter(fits).map(({ line }) => line);
        while (lines.length && !(await this.#write(lines)));
        for (const each of group) if (fits(each)) each.resolve(); else each.reject(refusal('queue_full'));
      } catch (cause) {
        // The next write looks anew at what is there.
        await this.#leave();
        for (const { reject } of group) reject(refusal('queue_unavailable', cause));
      }
    }
    this.#flushing = undefined;
  }

  async close() {
    await this.#flushing;
    await this.#leave();
  }

  async #leave() {
    const { file } = this.#segment ?? {};
    this.#segment = undefined;
    await file?.close().catch(() => undefined);
  }

  /** Writes lines to the newest segment. Returns false if another process sealed it before they were there. */
  async #write(lines) {
    const { file, offset } = await this.#newest(), text = `\n${lines.join('\n')}\n`;
    const seal = () => file.write(`\n${SEAL}\n`);
    try {
      // The line break at its beginning ends the line of a process that died within it.
      if ((await file.write(text)).bytesWritten < text.length) throw new Error('The disk took only a part.');
      await file.datasync();
    } catch (error) {
      // The disk may lose what is here. What comes next must not depend on it.
      if (offset) await seal().catch(() => undefined);
      throw error;
    }
    const there = await this.#look();
    if (this.#segment.offset > SEGMENT) await seal();
    return there.includes(lines[0]);
  }

  async #look() {
    const { lines, isSealed, end } = await linesFrom(this.#segment.file, this.#segment.offset);
    Object.assign(this.#segment, { isSealed, offset: end });
    return lines;
  }

  /** Returns the newest segment. If it is sealed, begins the next one. */
  async #newest() {
    for (;;) {
      const all = await segmentsIn(this.#place), last = all.at(-1) ?? 1, { number, isSealed } = this.#segment ?? {};
      const next = number === last && isSealed ? last + 1 : last;
      if (number === next) return Object.assign(this.#segment, { before: (last - all[0]) * SEGMENT });
      await this.#leave();
      this.#segment = { number: next, offset: 0, file: await fs.open(segment(this.#place, next), 'a+', 0o600) };
      for (const path of [this.#place, dirname(this.#place)]) await opened(path, 'r', (directory) => directory.sync());
      await this.#look();
    }
  }
}
