/** Decides about each access, records it, and cuts what is still open when its window ends. */

import { EventEmitter } from 'node:events';
import { Feed } from './feed.js';
import { Lockbox, VERSION } from './lockbox.js';
import { Queue } from './queue.js';
import { Reporter } from './reporter.js';
import { Tokens } from './tokens.js';
import * as web from './web.js';

/** The engineer of a rule in an application that doesn't know who is signed in. Then the token alone says who it is. */
export const ANYBODY = Symbol('anybody');
/** Milliseconds: between two looks at what is open, from a renewal to a token's end, and after a failed renewal. */
const TICK = 200, RENEWAL = 120_000, PAUSE = 10_000, URN = 'urn:ietf:params:oauth';
const STATUS = {
  '': 200, no_token: 401, invalid_token: 401, token_ended: 401,
  keys_unavailable: 503, feed_silent: 503, queue_unavailable: 503, queue_full: 503,
};
const REASONS = { '': '', silent: 'feed_silent', closed: 'window_closed', elapsed: 'window_ended' };
/** The actions that Customer Lockbox knows. It would take no report with another one. */
const ACTIONS = ['list', 'view', 'read', 'download', 'act_as'];
const NEEDED = ['issuer', 'service', 'clientId', 'clientSecret', 'origin', 'queue'];

/** Writes an item as Customer Lockbox takes it: a method, and the pattern of a path in ASCII without a query. */
function legible(item) {
  const [verb, ...words] = item.split(' '), path = words.join('').replace(/^\/|[^!-"$->@-~]/g, '');
  return `${verb.replace(/[^A-Z]/g, '').slice(0, 20) || 'X'} /${path}`.slice(0, 300);
}

/** Outside ASCII, different letters can have the same small letter. */
const isSameAddress = (one, other) => /^[\x20-\x7e]*$/.test(one + other) && one.toLowerCase() === other.toLowerCase();

/** Returns what was decided. A refusal has claims and a grant only if the token's signature is good. */
function decided(code, { claims, detail, token, now } = {}) {
  const { grant_id: grant, reference, level, identifier, window_end: closesAt } = detail ?? {};
  return {
    code, allowed: !code, status: STATUS[code] ?? 403, claims, detail, token, now, grant, reference, level, identifier,
    engineer: claims?.email, closesAt, secondsLeft: detail && Math.max(0, Math.round((detail.end - now) / 1000)),
  };
}

/** Emits `trouble` with an error that an operator should know. */
export class Guard extends EventEmitter {
  #lockbox; #feed; #tokens; #queue; #reporter; #timer; #ready;
  #open = new Set();
  #renewals = new Map();

  constructor(options) {
    super();
    const { issuer, service, clientId, clientSecret, origin, queue, queueLimit, monotonic } = options;
    const missing = NEEDED.filter((name) => !options[name]), { refused = () => false } = options;
    if (missing.length) throw new TypeError(`These options are missing: ${missing}.`);
    if (new URL(origin).origin !== origin) throw new TypeError('The origin must be like https://app.example.');
    Object.assign(this, { issuer, service, clientId, origin, refused });
    const trouble = (error) => this.emit('trouble', error);
    this.on('trouble', () => undefined);
    this.#lockbox = new Lockbox({ issuer, clientId, clientSecret });
    this.#queue = new Queue(queue, queueLimit);
    this.#reporter = new Reporter(this.#lockbox, queue, trouble);
    this.#feed = new Feed(this.#lockbox, monotonic);
    this.#tokens = new Tokens(issuer, service, this.#feed);
    this.#feed.on('trouble', trouble).on('keys', () => this.#tokens.forget()).on('closed', () => this.#cut());
  }

  /** Begins to follow the feed and to report. Returns when the first decision can be made. */
  start() {
    return this.#ready ??= new Promise((resolve) => {
      this.#feed.once('state', resolve);
      this.#timer = setInterval(() => { this.#feed.notice(); this.#cut(); }, TICK).unref();
      this.#reporter.start();
      void this.#feed.follow(async () => `/api/v1/guard/feed?guard=${await this.#reporter.guard()}&version=${VERSION}`);
    });
  }

  /** Stops following, and sends what is recorded. */
  async stop() {
    clearInterval(this.#timer);
    this.#feed.stop();
    await this.#queue.close();
    await this.#reporter.stop();
  }

  /** Decides about the token alone: is it good now, and is its window open? */
  async session(token) {
    if (!token || !this.#feed.isLive()) return decided(token ? 'feed_silent' : 'no_token');
    const claims = this.#tokens.known(token) ?? await this.#tokens.verify(token);
    if (typeof claims === 'string') return decided(claims);
    const [detail] = claims.details, now = this.#feed.now();
    const code = REASONS[this.#ended(detail)] || (now < claims.exp * 1000 ? '' : 'token_ended');
    return decided(code, { claims, token, detail, now });
  }

  /** Decides whether the token allows this engineer this action on this resource, now. Changes and records nothing. */
  async decide({ token, tenant, identifier, resource, engineer, action }) {
    const session = await this.session(token);
    if (!session.allowed) return session;
    const { sub, email, details } = session.claims;
    const isEngineer = [ANYBODY, sub, email].includes(engineer) || isSameAddress(String(engineer ?? ''), email);
    const detail = details.find((each) => (identifier ?? resource) !== undefined
      && (identifier ?? each.identifier) === each.identifier && (resource ?? each.resource) === each.resource
      && [undefined, each.tenant, each.tenant_slug].includes(tenant));
    const code = !detail ? 'out_of_scope' : detail.actions.includes(action) ? '' : 'level_too_low';
    return decided(isEngineer ? code : 'other_engineer', { ...session, detail: detail ?? session.detail });
  }

  /** Why a window has ended, or an empty text. */
  #ended({ grant_id: grant, end }) {
    if (!this.#feed.isLive()) return 'silent';
    return this.#feed.isClosed(grant) ? 'closed' : this.#feed.now() < end ? '' : 'elapsed';
  }

  /** Decides, and records the access on the disk. Call it before the first byte, and before anything changes. */
  async access(question, item, refuse = '') {
    const { action } = question, found = await this.decide(question);
    const decision = found.allowed && refuse ? decided(refuse, found) : found;
    if (!decision.allowed) {
      const isKnown = decision.grant && decision.status !== 503 && ACTIONS.includes(action);
      if (isKnown) void this.#record(decision, action, item, 'refused', decision.code);
      return decision;
    }
    const fault = await this.#record(decision, action, item, 'access');
    if (fault) return decided(fault, decision);
    // The disk can have taken long.
    const again = await this.decide(question);
    if (!again.allowed) void this.#record(decision, action, item, 'cut', this.#ended(decision.detail) || 'elapsed');
    return again;
  }

  /** Returns an empty text when the record is on the disk, or else the code of a refusal. */
  async #record({ claims, detail, grant: grant_id }, action, item, kind, code = '') {
    const { sub: engineer, jti } = claims, { resource } = detail, at = new Date(this.#feed.now()).toISOString();
    const record = { grant_id, resource, engineer, jti, action, item: legible(item), at, kind, code };
    return this.#queue.append(record, { isUrgent: kind === 'cut' }).then(() => '', (error) => {
      this.emit('trouble', error);
      return error.code;
    });
  }

  /** Watches something open under an access. When the window ends, calls `cut` once. */
  watch(access, action, item, cut) {
    const entry = { access, action, item, cut };
    this.#open.add(entry);
    const isOpen = () => {
      this.#cut([entry]);
      return this.#open.has(entry);
    };
    return { isOpen, done: () => this.#open.delete(entry) };
  }

  #cut(entries = this.#open) {
    for (const entry of entries) {
      const { access, action, item, cut } = entry, code = this.#ended(access.detail);
      if (!code || !this.#open.delete(entry)) continue;
      cut();
      void this.#record(access, action, item, 'cut', code);
    }
  }

  // --- Through Customer Lockbox -------------------------------------------------------------------------

  /** Exchanges the one-time code of this browser for a grant token. */
  async redeem(code, verifier) {
    const redirect_uri = `${this.origin}/.lockbox/code`;
    const fields = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri };
    return this.session((await this.#lockbox.grant(fields)).access_token);
  }

  /** Returns the session of a newer token if this one ends soon, and its window does not. Calls share one renewal. */
  async renewed(token) {
    const { allowed, claims, detail, grant } = await this.session(token), exp = claims?.exp * 1000;
    if (!allowed || exp - this.#feed.now() >= RENEWAL || detail.end - exp < 1000) return undefined;
    if (!this.#renewals.has(token)) {
      const fields = { grant_type: `${URN}:grant-type:token-exchange`, subject_token: token };
      fields.subject_token_type = `${URN}:token-type:access_token`;
      const renewal = this.#lockbox.grant(fields, AbortSignal.timeout(3000)).then(async (answer) => {
        const next = await this.session(answer.access_token);
        return next.allowed && next.claims.sub === claims.sub && next.grant === grant ? next : undefined;
      }).catch((error) => void this.emit('trouble', error));
      this.#renewals.set(token, renewal);
      void renewal.then((next) => setTimeout(() => this.#renewals.delete(token), next ? RENEWAL : PAUSE).unref());
    }
    return this.#renewals.get(token);
  }

  /** Gives the window back, as the engineer. It is closed here at once. */
  async release({ token, grant }) {
    this.#feed.close(grant);
    await this.#lockbox.post('/api/v1/guard/release', JSON.stringify({ token }));
  }

  // --- Middleware, which begins to follow the feed -------------------------------------------------------

  #with(kind, ...words) { void this.start(); return kind(this, ...words); }
  express(rule) { return this.#with(web.express, rule); }
  fastify(rule) { return this.#with(web.fastify, rule); }
  http(rule, handler) { return this.#with(web.http, rule, handler); }
  upgrade(rule, handler) { return this.#with(web.upgrade, rule, handler); }
}
