/** Verifies grant tokens with the issuer's keys. */

import { compactVerify, decodeProtectedHeader, importJWK } from 'jose';

/** A token for 20 resources has about 12,000 characters. */
const LONGEST = 24_576;
const LONGEST_LIFE = 300;
const CACHED = 10_000;
/** Milliseconds between two attempts to fetch the keys. */
const PAUSE = { unknown: 10_000, missing: 1_000 };

/** The algorithm that a key is for, or undefined. The key decides, so a token can't choose another algorithm for it. */
function algorithmOf({ kty, crv, alg, use = 'sig', d }) {
  const found = kty === 'RSA' ? 'RS256' : kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : undefined;
  return use === 'sig' && d === undefined && (alg ?? found) === found ? found : undefined;
}

export class Tokens {
  #lockbox; #context; #keys = null; #fetching;
  #next = { unknown: 0, missing: 0 };
  #verified = new Map();

  constructor(lockbox, audience, feed) {
    this.#lockbox = lockbox;
    this.#context = { issuer: lockbox.issuer, audience, feed };
  }

  /** Forgets all keys, and what they verified: a key may have been withdrawn. */
  forget() {
    this.#keys = null;
    this.#next.missing = 0;
    this.#fetching = undefined;
    this.#verified.clear();
  }

  /** The claims of a token that was verified before. */
  known(token) { return this.#verified.get(token); }

  /** Returns the claims, or the code of a refusal. Doesn't judge whether the token has ended: each decision does. */
  async verify(token) {
    if (token.length > LONGEST) return 'invalid_token';
    const verified = this.#verified;
    try {
      const { alg, kid, typ, ...others } = decodeProtectedHeader(token);
      if (typ !== 'at+jwt' || typeof kid !== 'string' || Object.keys(others).length) return 'invalid_token';
      const keys = await this.#keysFor(kid);
      if (!keys) return 'keys_unavailable';
      const key = keys.get(kid);
      if (!key || key.alg !== alg) return 'invalid_token';
      const { payload } = await compactVerify(token, key.key, { algorithms: [alg] });
      const claims = this.#checked(JSON.parse(new TextDecoder().decode(payload)));
      if (!claims || keys !== this.#keys) return claims ? 'keys_unavailable' : 'invalid_token';
      if (verified.size >= CACHED) verified.delete(verified.keys().next().value);
      verified.set(token, claims);
      return claims;
    } catch {
      return 'invalid_token';
    }
  }

  /** Returns the claims with the details that are ours, or null. */
  #checked({ iss, aud, sub, email, iat, exp, jti, authorization_details }) {
    const { issuer, audience, feed } = this.#context;
    const details = authorization_details.filter(({ type, service }) => type === 'lockbox_grant' && audience.endsWith(`/services/${service}`));
    for (const detail of details) detail.end = Date.parse(detail.window_end);
    const isRight = iss === issuer && aud === audience && [sub, email, jti].every((text) => text && typeof text === 'string')
      && [iat, exp].every(Number.isFinite) && iat <= feed.now() / 1000 + 5 && exp - iat <= LONGEST_LIFE && details.length
      && details.every(({ grant_id: grant, actions, end }) => grant && Array.isArray(actions) && end);
    return isRight ? { sub, email, exp, jti, details } : null;
  }

  /** Returns the keys. Without keys it tries each second to fetch them, and for an unknown key every ten seconds. */
  async #keysFor(kid) {
    const kind = this.#keys ? 'unknown' : 'missing', now = performance.now();
    if (!this.#keys?.has(kid) && now >= this.#next[kind]) {
      this.#next[kind] = now + PAUSE[kind];
      const fetching = this.#fetching = this.#fetch().then((keys) => {
        if (this.#fetching === fetching) this.#keys = keys;
      }, () => undefined);
    }
    if (!this.#keys?.has(kid)) await this.#fetching;
    return this.#keys;
  }

  async #fetch() {
    const { keys } = await this.#lockbox.json('/.well-known/jwks.json');
    const usable = keys.filter(algorithmOf).map(async (jwk) => [jwk.kid, { alg: algorithmOf(jwk), key: await importJWK(jwk, algorithmOf(jwk)) }]);
    return new Map(await Promise.all(usable));
  }
}
