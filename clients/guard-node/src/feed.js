/** Follows the ends of windows. Says what time it is at Customer Lockbox, and which grants are closed. */

import { EventEmitter } from 'node:events';
import { uptime } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** After so many milliseconds without a sign, everything is closed. */
const SILENT = 15_000;
/** A connection without any message for this long is given up. Signs come every 5 seconds. */
const PATIENCE = 12_000;
const REMEMBERED = 3_600_000, LONGEST = 4 << 20;

/** Emits `state`, `closed`, `keys` when the keys may have changed, and `trouble` with an error. */
export class Feed extends EventEmitter {
  #lockbox; #monotonic; #offset = null; #last = 0; #id = ''; #asleep = Infinity;
  #closed = new Map();
  #ended = new AbortController();

  constructor(lockbox, monotonic = () => performance.now()) {
    super();
    this.#lockbox = lockbox;
    this.#monotonic = monotonic;
  }

  /** The server's time in milliseconds. It comes from the signs and a monotonic clock, so a wrong wall clock changes nothing. */
  now() { return this.#offset + this.#monotonic(); }

  isLive() { return this.#offset !== null && this.now() - this.#last < SILENT; }

  isClosed(grant) { return this.#closed.has(grant); }

  close(grant) {
    this.#closed.set(grant, this.#monotonic());
    this.emit('closed');
  }

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
      const attempt = new AbortController();
      const watchdog = setTimeout(() => attempt.abort(new Error('The feed is silent.')), PATIENCE).unref();
      try {
        const headers = { accept: 'text/event-stream', ...(this.#id && { 'last-event-id': this.#id }) };
        const signal = AbortSignal.any([attempt.signal, this.#ended.signal]);
        const { body } = await this.#lockbox.api(await path(), { headers, signal });
        let expected = 'state';
        for await (const { event, data, id } of messages(body)) {
          if (event !== (expected ?? event)) throw new Error('The feed did not begin with a state.');
          this.#take(event, JSON.parse(data));
          if (id) this.#id = id;
          watchdog.refresh();
          expected = undefined;
          wait = 250;
        }
      } catch (error) {
        if (!this.#ended.signal.aborted) this.emit('trouble', error);
      } finally {
        clearTimeout(watchdog);
        attempt.abort();
      }
      await sleep(wait * (0.5 + Math.random() / 2), undefined, { ref: false });
    }
  }

  #take(event, facts) {
    if (event === 'state') {
      for (const { grant_id: grant } of facts.closed) this.close(grant);
      this.#hear(facts.at, -Infinity);
      this.emit('keys');
      this.emit('state');
    } else if (event === 'sign') this.#hear(facts.at, this.#offset);
    else if (event === 'closed') this.close(facts.grant_id);
    else if (event === 'keys') this.emit('keys');
  }

  /** Sets the time. The message that was delayed least tells it best. One that was delayed too long is no sign of life. */
  #hear(at, offset) {
    const time = Date.parse(at), now = this.#monotonic();
    if (Number.isNaN(time) || offset + now - time >= SILENT) throw new Error('The feed is delayed.');
    this.#offset = Math.max(offset, time - now);
    this.#last = time;
    for (const [grant, closed] of this.#closed) if (now - closed > REMEMBERED) this.#closed.delete(grant);
  }
}

/** Reads server-sent events. */
async function* messages(body) {
  let text = '';
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split(/\r?\n\r?\n/);
    text = blocks.pop();
    if (text.length > LONGEST) throw new Error('The feed sent a message that is too long.');
    for (const block of blocks) {
      const message = Object.fromEntries(block.split(/\r?\n/).map((line) => line.split(/: ?(.*)/s)));
      if (message.data) yield message;
    }
  }
}
