/** Follows the ends of windows. Says what time it is at Customer Lockbox, and which grants are closed. */

import { EventEmitter } from 'node:events';
import { uptime } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventSourceParserStream } from 'eventsource-parser/stream';

/** Milliseconds: after so many without a sign, everything is closed. A connection is given up after fewer. */
const SILENT = 15_000, PATIENCE = 12_000, REMEMBERED = 3_600_000;
const PARSING = { onError: 'terminate', maxBufferSize: 4 << 20 };

/** Emits `state`, `closed`, `keys` when the keys may have changed, and `trouble` with an error. */
export class Feed extends EventEmitter {
  #lockbox; #monotonic; #offset = null; #last = 0; #id = ''; #asleep = Infinity;
  #closed = new Map();
  #ended = new AbortController();

  constructor(lockbox, monotonic = () => performance.now()) {
    super();
    [this.#lockbox, this.#monotonic] = [lockbox, monotonic];
  }

  /** The server's time in milliseconds, by its signs and a monotonic clock. A wrong wall clock changes nothing. */
  now() { return this.#offset + this.#monotonic(); }

  isLive() { return this.#offset !== null && this.now() - this.#last < SILENT; }

  isClosed(grant) { return this.#closed.has(grant); }

  close(grant) { this.#closed.set(grant, this.#monotonic()); this.emit('closed'); }

  /** Closes everything until the next sign if the machine slept, because the monotonic clock stands still meanwhile. */
  notice() {
    const asleep = uptime() * 1000 - performance.now();
    if (asleep - this.#asleep > 2000) this.#last = -Infinity;
    this.#asleep = asleep;
  }

  stop() { this.#ended.abort(); }

  /** Follows the feed until `stop`. `path` returns its address. */
  async follow(path) {
    for (let wait = 250; !this.#ended.signal.aborted; wait = Math.min(wait * 2, 5000)) {
      const attempt = new AbortController(), signal = AbortSignal.any([attempt.signal, this.#ended.signal]);
      const watchdog = setTimeout(() => attempt.abort(new Error('The feed is silent.')), PATIENCE).unref();
      try {
        const headers = { accept: 'text/event-stream', ...(this.#id && { 'last-event-id': this.#id }) };
        const { body } = await this.#lockbox.api(await path(), { headers, signal });
        let isFirst = true;
        const events = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream(PARSING));
        for await (const { event, data, id } of events) {
          if (isFirst && event !== 'state') throw new Error('The feed did not begin with a state.');
          this.#take(event, JSON.parse(data));
          [isFirst, wait, this.#id] = [false, 250, id || this.#id];
          watchdog.refresh();
        }
      } catch (error) {
        if (!this.#ended.signal.aborted) this.emit('trouble', error);
      }
      clearTimeout(watchdog);
      attempt.abort();
      await sleep(wait * (0.5 + Math.random() / 2), undefined, { ref: false });
    }
  }

  #take(event, facts) {
    const isState = event === 'state';
    if (isState) for (const { grant_id: grant } of facts.closed) this.close(grant);
    if (event === 'closed') this.close(facts.grant_id);
    if (isState || event === 'sign') this.#hear(facts.at, isState ? -Infinity : this.#offset);
    if (isState || event === 'keys') this.emit('keys');
    if (isState) this.emit('state');
  }

  /** Sets the time by the message that was delayed least. One that was delayed too long is no sign of life. */
  #hear(at, offset) {
    const time = Date.parse(at), now = this.#monotonic();
    if (Number.isNaN(time) || offset + now - time >= SILENT) throw new Error('The feed is delayed.');
    [this.#offset, this.#last] = [Math.max(offset, time - now), time];
    for (const [grant, closed] of this.#closed) if (now - closed > REMEMBERED) this.#closed.delete(grant);
  }
}
