/** A small Customer Lockbox for the tests: keys, tokens, codes, the feed and reports. */

import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';

export const SERVICE = 'quillo', ORIGIN = 'http://localhost:4000', ADA = '5c1f8f0e-0000-4000-8000-000000000001';
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** Signs any header and claims, also wrong ones. */
export function jws(header, claims, key, algorithm = header.alg === 'RS256' ? 'sha256' : null) {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${sign(algorithm, Buffer.from(text), key).toString('base64url')}`;
}

export function newKey(alg = 'RS256', kid = randomUUID()) {
  const pair = alg === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
  return { kid, alg, privateKey: pair.privateKey, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } };
}

// All servers of a file have the same keys: making an RSA key blocks the event loop, and so the tests beside it.
const KEYS = [newKey('RS256', 'rsa'), newKey('EdDSA', 'ed')];

export class FakeLockbox {
  keys = [...KEYS];
  /** How far this server's clock is from the machine's, in milliseconds. */
  ahead = 0;
  followers = new Set();
  /** Reported accesses by guard, and every report. */
  reported = new Map();
  reports = [];
  lives = new Map();
  calls = [];
  codes = new Map();
  closed = [];
  released = [];
  isUp = true;
  signs = 100;
  /** Set to replace an answer: (request, response) => whether it answered. */
  intercept = () => false;

  async listen(port = 0) {
    this.server = createServer((request, response) => this.#answer(request, response).catch((error) => response.destroy(error)));
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    this.issuer ??= `http://127.0.0.1:${this.server.address().port}`;
    this.beat = setInterval(() => this.sign(), this.signs);
    return this;
  }

  async close() {
    clearInterval(this.beat);
    this.server.closeAllConnections();
    await new Promise((resolve) => { this.server.close(resolve); });
  }

  now() { return Date.now() + this.ahead; }

  detail(changes = {}) {
    return {
      type: 'lockbox_grant', grant_id: 'c0ffee00-0000-4000-8000-000000000001', reference: 'AR-7', level: 'view', actions: ['list', 'view'],
      tenant: 'aaaaaaaa-0000-4000-8000-000000000001', tenant_slug: 'contoso', service: SERVICE,
      resource: 'bbbbbbbb-0000-4000-8000-000000000001', identifier: 'w1', window_end: new Date(this.now() + 3_600_000).toISOString(), ...changes,
    };
  }

  claims(changes = {}, ...details) {
    const iat = Math.floor(this.now() / 1000);
    return {
      iss: this.issuer, aud: `${this.issuer}/services/${SERVICE}`, sub: ADA, email: 'ada@provider.example', name: 'Ada', client_id: 'lockbox',
      iat, exp: iat + 300, jti: randomUUID(), authorization_details: details.length ? details : [this.detail()], ...changes,
    };
  }

  token(changes = {}, ...details) { return this.signed(this.claims(changes, ...details)); }

  signed(claims, key = this.keys[0], header = {}) { return jws({ typ: 'at+jwt', alg: key.alg, kid: key.kid, ...header }, claims, key.privateKey); }

  send(event, data, id) { for (const follower of this.followers) follower.write(`${id ? `id: ${id}\n` : ''}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`); }

  sign() { this.send('sign', { at: new Date(this.now()).toISOString() }); }

  revoke(grant_id = this.detail().grant_id, reason = 'revoked') {
    const entry = { grant_id, closed_at: new Date(this.now()).toISOString(), reason };
    this.closed.push(entry);
    this.send('closed', entry, String(this.closed.length));
  }

  /** All accesses that were reported, in order. */
  accesses() { return [...this.reported.values()].flat(); }

  code(verifier, changes, ...details) {
    const code = randomUUID();
    this.codes.set(code, { challenge: createHash('sha256').update(verifier).digest('base64url'), token: this.token(changes, ...details) });
    return code;
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.issuer);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    this.calls.push({ path: url.pathname, url, text, headers: request.headers });
    if (!this.isUp) return response.destroy();
    if (this.intercept(request, response, url, text)) return undefined;
    const json = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (url.pathname === '/.well-known/jwks.json') return json(200, { keys: this.keys.map(({ jwk }) => jwk) });
    if (url.pathname === '/oauth/token') return this.#token(new URLSearchParams(text), json);
    if (request.headers.authorization !== 'Bearer client-token') return json(401, { code: 'not_authenticated' });
    if (url.pathname === '/api/v1/guard/feed') return this.#follow(response);
    if (url.pathname === '/api/v1/guard/accesses') return this.#report(JSON.parse(text), json);
    if (url.pathname === '/api/v1/guard/release') {
      this.released.push(JSON.parse(text).token);
      return json(200, {});
    }
    return json(404, {});
  }

  #token(form, json) {
    const type = form.get('grant_type');
    if (type === 'client_credentials') return json(200, { access_token: 'client-token', expires_in: 3600, token_type: 'Bearer' });
    if (type === 'authorization_code') {
      const found = this.codes.get(form.get('code'));
      this.codes.delete(form.get('code'));
      const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
      const isRight = found?.challenge === challenge && form.get('redirect_uri') === `${ORIGIN}/.lockbox/code`;
      return isRight ? json(200, { access_token: found.token }) : json(400, { error: 'invalid_grant' });
    }
    const claims = JSON.parse(Buffer.from(form.get('subject_token').split('.')[1], 'base64url'));
    const iat = Math.floor(this.now() / 1000);
    return json(200, { access_token: this.signed({ ...claims, iat, exp: iat + 300, jti: randomUUID() }), issued_token_type: form.get('subject_token_type') });
  }

  #follow(response) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`event: state\ndata: ${JSON.stringify({ at: new Date(this.now()).toISOString(), closed: this.closed })}\n\n`);
    this.followers.add(response);
    response.on('close', () => this.followers.delete(response));
  }

  #report({ guard, life, former, first, accesses, ...rest }, json) {
    this.reports.push({ guard, life, first, count: accesses.length, ...rest });
    if (!life) return json(422, { code: 'invalid' });
    // As the product does: another life gets the guard id only without accesses, and after a life of the same queue.
    const holder = this.lives.get(guard) ?? life, isClaim = !accesses.length && (former?.includes(holder) ?? true);
    if (holder !== life && !isClaim) return json(409, { code: 'guard_copied' });
    this.lives.set(guard, life);
    if (!this.reported.has(guard)) this.reported.set(guard, []);
    const known = this.reported.get(guard);
    if (first > known.length + 1) return json(409, { code: 'reports_gap', expected: known.length + 1 });
    known.push(...accesses.slice(known.length + 1 - first));
    return json(200, { acknowledged: known.length, rejected: 0 });
  }
}

/** Waits until something is true. */
export async function until(holds, within = 5000) {
  for (const end = performance.now() + within; performance.now() < end;) {
    const found = await holds();
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
  throw new Error(`This did not become true: ${holds}`);
}
