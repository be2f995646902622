/** Calls Customer Lockbox as the application's client. */

export const VERSION = 'lockbox-guard-node/0.1.0';
/** Milliseconds for a call. */
const WITHIN = 10_000;
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
    const signal = AbortSignal.timeout(WITHIN);
    const answer = await fetch(this.issuer + path, { redirect: 'error', signal, ...options });
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
    this.#asking ??= this.grant({ grant_type: 'client_credentials', scope: 'guard' })
      .finally(() => { this.#asking = undefined; });
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
