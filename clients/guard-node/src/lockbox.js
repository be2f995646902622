/** Calls Customer Lockbox as the application's client, and reports accesses to it. */

import { setTimeout as sleep } from 'node:timers/promises';

export const VERSION = 'lockbox-guard-node/0.1.0';
/** Milliseconds: for a call, between two looks at the queue, at most between two tries, and between two signs of life. */
const WITHIN = 10_000, LOOK = 500, LONGEST = 30_000, SIGN = 30_000;
const ADDRESS = /^(https:\/\/|http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$)/;

export class Lockbox {
  #basic; #asking;
  #token = { value: '', until: 0 };

  constructor({ issuer, clientId, clientSecret }) {
    if (!ADDRESS.test(issuer)) throw new TypeError('The issuer must have an https address.');
    this.issuer = issuer;
    this.#basic = `Basic ${Buffer.from([clientId, clientSecret].map(encodeURIComponent).join(':')).toString('base64')}`;
  }

  /** Sends a request. A redirect is an error, because it could lead the client's secret to another host. */
  async fetch(path, options) {
    const answer = await fetch(this.issuer + path, { redirect: 'error', signal: AbortSignal.timeout(WITHIN), ...options });
    if (answer.ok) return answer;
    const body = await answer.json().catch(() => null), code = body?.code ?? body?.error ?? '', { status } = answer;
    throw Object.assign(new Error(`${path.split('?')[0]} answered ${status} ${code}`), { status, code, body });
  }

  /** Calls the token endpoint. */
  async grant(fields, signal = AbortSignal.timeout(WITHIN)) {
    const headers = { authorization: this.#basic }, body = new URLSearchParams(fields);
    return (await this.fetch('/oauth/token', { method: 'POST', headers, body, signal })).json();
  }

  /** Gets the client's own token. Calls at the same time share one. */
  async #clientToken() {
    if (performance.now() < this.#token.until) return this.#token.value;
    this.#asking ??= this.grant({ grant_type: 'client_credentials', scope: 'guard' }).finally(() => { this.#asking = undefined; });
    const { access_token: value, expires_in: seconds } = await this.#asking;
    this.#token = { value, until: performance.now() + (seconds - 60) * 1000 };
    return value;
  }

  /** Calls the API. After a 401 it gets a new client token and tries once more. */
  async api(path, { headers, ...options }, isLast = false) {
    const authorization = `Bearer ${await this.#clientToken()}`;
    return this.fetch(path, { ...options, headers: { ...headers, authorization } }).catch((error) => {
      if (error.status !== 401 || isLast) throw error;
      this.#token.until = 0;
      return this.api(path, { headers, ...options }, true);
    });
  }

  async post(path, body) {
    const answer = await this.api(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    return answer.json().catch(() => ({}));
  }
}

/** Reports what is in the queue: in order, each access once, until the server has acknowledged it. */
export class Reporter {
  #lockbox; #queue; #trouble; #running; #last = -Infinity;
  #ended = new AbortController();

  constructor(lockbox, queue, trouble) { [this.#lockbox, this.#queue, this.#trouble] = [lockbox, queue, trouble]; }

  start() { this.#running = this.#run(this.#ended.signal); }

  /** Stops after one last report. */
  async stop() {
    this.#ended.abort();
    await this.#running;
    if (this.#running) await this.report().catch(this.#trouble);
  }

  async #run(signal) {
    for (let wait = LOOK; !signal.aborted;) {
      const isMore = await this.report().catch((error) => { this.#trouble(error); });
      wait = isMore === undefined ? Math.min(wait * 2, LONGEST) : LOOK;
      // A random length, so that several processes seldom send the same accesses. If they do, the server knows the numbers.
      if (!isMore) await sleep(wait * (0.5 + Math.random()), undefined, { ref: false, signal }).catch(() => undefined);
    }
  }

  /** Sends one batch. Returns whether there was something to send. */
  async report() {
    const { guard, first, records } = await this.#queue.read();
    if (!records.length && performance.now() - this.#last < SIGN) return false;
    const head = JSON.stringify({ guard, version: VERSION, first, backlog: this.#queue.backlog });
    const answer = await this.#lockbox.post('/api/v1/guard/accesses', `${head.slice(0, -1)},"accesses":[${records}]}`).catch((error) => {
      if (error.code !== 'reports_gap') throw error;
      return { acknowledged: error.body.expected - 1 };
    });
    if (answer.rejected) this.#trouble(new Error(`Customer Lockbox rejected ${answer.rejected} accesses.`));
    await this.#queue.settle(answer.acknowledged);
    this.#last = performance.now();
    return records.length > 0;
  }
}
