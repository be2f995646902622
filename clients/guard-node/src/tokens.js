/** Verifies grant tokens with the issuer's keys. */

import { compactVerify, createRemoteJWKSet, decodeProtectedHeader } from 'jose';

/** A token for 20 resources has about 12,000 characters. It lives at most 300 seconds. */
const LONGEST = 24_576, LONGEST_LIFE = 300, CACHED = 10_000;
/** Milliseconds between two attempts to find an unknown key. */
const PAUSE = 10_000;
/** A cache on the way could still have a key that was withdrawn. */
const FETCHING = { cooldownDuration: Infinity, cacheMaxAge: Infinity, headers: { 'cache-control': 'no-cache' } };
/** The key decides: `jose` takes a key only for the algorithm of its kind, and only public keys for signatures. */
const ALGORITHMS = ['RS256', 'EdDSA'];

export class Tokens {
  #issuer; #service; #feed; #keys; #next = 0;
  #verified = new Map();

  constructor(issuer, service, feed) {
    [this.#issuer, this.#service, this.#feed] = [issuer, service, feed];
    this.forget();
  }

  /** Forgets all keys, and what they verified: a key may have been withdrawn. */
  forget() {
    this.#keys = createRemoteJWKSet(new URL(`${this.#issuer}/.well-known/jwks.json`), FETCHING);
    this.#verified.clear();
  }

  /** The claims of a token that was verified before. */
  known(token) { return this.#verified.get(token); }

  /** Returns the claims, or the code of a refusal. Doesn't judge whether the token has ended: each decision does. */
  async verify(token) {
    const keys = this.#keys;
    try {
      const { alg, kid, typ, ...others } = decodeProtectedHeader(token);
      const isUsual = typ === 'at+jwt' && typeof kid === 'string' && Object.keys(others).length === 0;
      if (!isUsual || token.length > LONGEST) return 'invalid_token';
      if (!keys.jwks() && await keys.reload().catch(() => true)) return 'keys_unavailable';
      if (performance.now() >= this.#next && keys.jwks().keys.every((key) => key.kid !== kid)) {
        this.#next = performance.now() + PAUSE;
        await keys.reload();
      }
      const { payload } = await compactVerify(token, keys, { algorithms: ALGORITHMS });
      const claims = this.#checked(JSON.parse(new TextDecoder().decode(payload)));
      if (!claims || keys !== this.#keys) return claims ? 'keys_unavailable' : 'invalid_token';
      if (this.#verified.size >= CACHED) this.#verified.delete(this.#verified.keys().next().value);
      this.#verified.set(token, claims);
      return claims;
    } catch { return 'invalid_token'; }
  }

  /** Returns the claims with the details that are ours, or null. */
  #checked({ iss, aud, sub, email, iat, exp, jti, authorization_details }) {
    const details = authorization_details
      .filter(({ type, service }) => type === 'lockbox_grant' && service === this.#service)
      .map((detail) => ({ ...detail, end: Date.parse(detail.window_end) }));
    const isOurs = iss === this.#issuer && aud === `${iss}/services/${this.#service}`
      && [sub, email, jti].every((text) => text && typeof text === 'string');
    const isShort = [iat, exp].every(Number.isFinite) && exp - iat <= LONGEST_LIFE
      && iat <= this.#feed.now() / 1000 + 5;
    const isWhole = details.length && details.every(({ grant_id: grant, actions, end }) => (
      grant && grant === details[0].grant_id && Array.isArray(actions) && end));
    return isOurs && isShort && isWhole ? { sub, email, exp, jti, details } : null;
  }
}
