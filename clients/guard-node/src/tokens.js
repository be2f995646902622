/** Verifies grant tokens with the issuer's keys. */

import { compactVerify, decodeProtectedHeader, importJWK } from 'jose';

/** A token for 20 resources has about 12,000 characters. It lives at most 300 seconds. */
const LONGEST = 24_576, LONGEST_LIFE = 300, CACHED = 10_000;
/** Milliseconds between two attempts to fetch the keys. */
const PAUSE = { unknown: 10_000, missing: 1_000 };

/** The algorithm that a key is for, or undefined. The key decides, so a token can't choose another algorithm for it. */
function algorithmOf({ kty, crv, alg, use = 'sig', d }) {
  const found = kty === 'RSA' ? 'RS256' : kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : undefined;
  return use === 'sig' && d === undefined && (alg ?? found) === found ? found : undefined;
}

export class Tokens {
  #lockbox; #audience; #feed; #keys = null; #fetching;
  #next = { unknown: 0, missing: 0 };
  #verified = new Map();

  constructor(lockbox, audience, feed) { [this.#lockbox, this.#audience, this.#feed] = [lockbox, audience, feed]; }

  /** Forgets all keys, and what they verified: a key may have been withdrawn. */
  forget() {
    this.#keys = this.#fetching = null;
    this.#next.missing = 0;
    this.#verified.clear();
  }

  /** The claims of a token that was verified before. */
  known(token) { return this.#verified.get(token); }

  /** Returns the claims, or the code of a refusal. Doesn't judge whether the token has ended: each decision does. */
  async verify(token) {
    try {
      const { alg, kid, typ, ...others } = decodeProtectedHeader(token);
      if (token.length > LONGEST || typ !== 'at+jwt' || typeof kid !== 'string' || Object.keys(others).length) return 'invalid_token';
      const keys = await this.#keysFor(kid), { alg: needed, key } = keys?.get(kid) ?? {};
      if (!key || needed !== alg) return keys ? 'invalid_token' : 'keys_unavailable';
      const { payload } = await compactVerify(token, key, { algorithms: [alg] });
      const claims = this.#checked(JSON.parse(new TextDecoder().decode(payload)));
      if (!claims || keys !== this.#keys) return claims ? 'keys_unavailable' : 'invalid_token';
      if (this.#verified.size >= CACHED) this.#verified.delete(this.#verified.keys().next().value);
      this.#verified.set(token, claims);
      return claims;
    } catch { return 'invalid_token'; }
  }

  /** Returns the claims with the details that are ours, or null. */
  #checked({ iss, aud, sub, email, iat, exp, jti, authorization_details }) {
    const details = authorization_details.filter(({ type, service }) => type === 'lockbox_grant' && this.#audience.endsWith(`/services/${service}`));
    for (const detail of details) detail.end = Date.parse(detail.window_end);
    const isRight = iss === this.#lockbox.issuer && aud === this.#audience && [sub, email, jti].every((text) => text && typeof text === 'string')
      && [iat, exp].every(Number.isFinite) && iat <= this.#feed.now() / 1000 + 5 && exp - iat <= LONGEST_LIFE && details.length
      && details.every(({ grant_id: grant, actions, end }) => grant === details[0].grant_id && grant && Array.isArray(actions) && end);
    return isRight ? { sub, email, exp, jti, details } : null;
  }

  /** Returns the keys. Without keys it tries each second to fetch them, and for an unknown key every ten seconds. */
  async #keysFor(kid) {
    const kind = this.#keys ? 'unknown' : 'missing', now = performance.now();
    if (!this.#keys?.has(kid) && now >= this.#next[kind]) {
      this.#next[kind] = now + PAUSE[kind];
      const fetching = this.#fetching = this.#fetch().then((keys) => { if (this.#fetching === fetching) this.#keys = keys; }, () => undefined);
    }
    if (!this.#keys?.has(kid)) await this.#fetching;
    return this.#keys;
  }

  async #fetch() {
    const { keys } = await this.#lockbox.json('/.well-known/jwks.json');
    const usable = keys.map((jwk) => ({ jwk, alg: algorithmOf(jwk) })).filter(({ alg }) => alg);
    return new Map(await Promise.all(usable.map(async ({ jwk, alg }) => [jwk.kid, { alg, key: await importJWK(jwk, alg) }])));
  }
}
