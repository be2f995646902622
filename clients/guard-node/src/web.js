/** The guard in Express, Fastify and plain http, and the pages under `/.lockbox/`. */

import { createHash, randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { deflateRawSync, inflateRawSync } from 'node:zlib';

const SESSION = '__Host-lockbox', TRY = '__Host-lockbox-try';
const SAFE = ['GET', 'HEAD', 'OPTIONS'];
const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override'];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** A path of this site. Browsers read "\" as "/", and leave out control characters. */
const PATH = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e\u{80}-\u{10ffff}]*$/u;
/** Browsers don't store a cookie of more than 4,096 bytes. Tokens for many resources are longer, but repeat themselves. */
const COOKIE_MAX = 3500, TOKEN_MAX = 24_576;
const HEADERS = {
  'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer', 'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
};
const WORDS = {
  401: 'You need an open window for this. Open it at Customer Lockbox.',
  403: 'Your window does not allow this.',
  404: 'This page does not exist.',
  503: 'Access can’t be checked or recorded now, so it is refused. Try again in a moment.',
  code_refused: 'The code is not valid in this browser, or not any more. Open the window again.',
  release_failed: 'You are signed out here, but Customer Lockbox could not be told. End the window there.',
};

// --- Cookies ----------------------------------------------------------------------------------------------

function cookies(request, name) {
  const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1));
}

function packed(token) {
  if (token.length <= COOKIE_MAX) return token;
  const [header, claims, signature] = token.split('.');
  const text = [header, claims].map((part) => Buffer.from(part, 'base64url').toString('latin1')).join('\0');
  return `z.${deflateRawSync(Buffer.from(text, 'latin1')).toString('base64url')}.${signature}`;
}

function unpacked(value) {
  if (!value.startsWith('z.')) return value;
  try {
    const [, text, signature] = value.split('.');
    const parts = inflateRawSync(Buffer.from(text, 'base64url'), { maxOutputLength: TOKEN_MAX }).toString('latin1').split('\0');
    return [...parts.map((part) => Buffer.from(part, 'latin1').toString('base64url')), signature].join('.');
  } catch {
    return 'unreadable';
  }
}

/** The session's token, or the one that a program sends. With two cookies, somebody has set one of them: neither counts. */
function tokenOf(request) {
  const [value, other] = cookies(request, SESSION);
  if (value === undefined) return { token: request.headers['lockbox-grant'] };
  return { token: other === undefined ? unpacked(value) : 'two cookies', isCookie: true };
}

function setCookie(response, name, value, seconds) {
  response.appendHeader('Set-Cookie', `${name}=${value}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=Lax`);
}

/** Takes the guard's cookies and the program's token out of a request, so that the application never sees them. */
function strip(request) {
  const rest = (request.headers.cookie ?? '').split(/; */).filter((pair) => !pair.startsWith(SESSION)).join('; ');
  const { rawHeaders: raw, headers } = request;
  for (let at = 0; at < raw.length; at += 2) if (['cookie', 'lockbox-grant'].includes(raw[at].toLowerCase())) raw[at + 1] = raw[at].length === 6 ? rest : '';
  delete headers['lockbox-grant'];
  if (headers.cookie !== undefined) headers.cookie = rest;
}

async function renew(guard, response, token) {
  const next = await guard.renewed(token);
  if (next && !response.headersSent) setCookie(response, SESSION, packed(next.token), next.secondsLeft);
  return next?.token ?? token;
}

// --- Answers ----------------------------------------------------------------------------------------------

function escaped(text) { return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`); }

/** The page of a refusal. `again` is the address that leads back here through Customer Lockbox, if there is one. */
export function page({ words, issuer, again }) {
  const links = [again && `<p><a href="${escaped(again)}">Continue in the open window</a></p>`, `<p><a href="${escaped(issuer)}/">Customer Lockbox</a></p>`];
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Customer Lockbox</title><h1>Customer Lockbox</h1><p>${escaped(words)}</p>${links.filter(Boolean).join('')}</html>`;
}

function send(response, status, headers = {}, body = '') {
  response.writeHead(status, { ...HEADERS, ...headers });
  response.end(body);
}

function refuse(guard, request, response, { status, code, detail }) {
  const headers = status === 503 ? { 'Retry-After': '5' } : status === 401 ? { 'WWW-Authenticate': `Lockbox realm="${guard.issuer}"` } : {};
  if (request.method !== 'GET' || !request.headers.accept?.includes('text/html')) {
    return send(response, status, { ...headers, 'Content-Type': 'application/json' }, JSON.stringify({ status, code }));
  }
  const back = new URLSearchParams({ grant: detail?.grant_id, to: urlOf(request) });
  const again = code === 'token_ended' && `/.lockbox/open?${back}`;
  const text = guard.page({ status, code, words: WORDS[code] ?? WORDS[status] ?? WORDS[403], issuer: guard.issuer, again: again || undefined });
  return send(response, status, { ...headers, 'Content-Type': 'text/html; charset=utf-8' }, text);
}

// --- The path /.lockbox/ ----------------------------------------------------------------------------------

function urlOf(request) { return request.originalUrl ?? request.url; }

const pages = {
  'GET /.lockbox/open': (guard, request, response, query) => {
    const [grant, to] = [query.get('grant') ?? '', query.get('to') ?? '/'];
    if (!UUID.test(grant) || !PATH.test(to)) return refuse(guard, request, response, { status: 404, code: 'not_found' });
    const secret = randomBytes(32).toString('base64url');
    const code_challenge = createHash('sha256').update(secret).digest('base64url');
    const fields = { response_type: 'code', client_id: guard.clientId, redirect_uri: `${guard.origin}/.lockbox/code`, state: to, grant, code_challenge };
    setCookie(response, TRY, secret, 300);
    return send(response, 302, { Location: `${guard.issuer}/oauth/authorize?${new URLSearchParams({ ...fields, code_challenge_method: 'S256' })}` });
  },
  'GET /.lockbox/code': async (guard, request, response, query) => {
    const [secret, other] = cookies(request, TRY);
    const [code, to] = [query.get('code'), query.get('state') ?? ''];
    setCookie(response, TRY, '', 0);
    const isWhole = secret && other === undefined && code && PATH.test(to);
    const session = isWhole && await guard.redeem(code, secret).catch((error) => void guard.emit('trouble', error));
    if (!session?.allowed) return refuse(guard, request, response, { status: 403, code: 'code_refused' });
    setCookie(response, SESSION, packed(session.token), session.secondsLeft);
    return send(response, 302, { Location: new URL(guard.origin + to).href });
  },
  'GET /.lockbox/status': async (guard, request, response) => {
    const { token, isCookie } = tokenOf(request);
    const session = await guard.session(isCookie ? await renew(guard, response, token) : token);
    const facts = session.allowed ? {
      open: true, grant: session.grant, reference: session.reference, level: session.level, engineer: session.engineer,
      closes_at: session.closesAt, seconds_left: session.secondsLeft,
    } : { open: false };
    return send(response, 200, { 'Content-Type': 'application/json' }, JSON.stringify(facts));
  },
  'POST /.lockbox/done': async (guard, request, response) => {
    // Under the referrer policy "no-referrer", a browser sends "null" as the origin of its own form.
    const { origin = 'null', 'sec-fetch-site': site } = request.headers;
    const isOwn = origin === guard.origin || (origin === 'null' && site === 'same-origin');
    if (!isOwn) return refuse(guard, request, response, { status: 403, code: 'other_origin' });
    const session = await guard.session(tokenOf(request).token);
    setCookie(response, SESSION, '', 0);
    if (!session.allowed) return send(response, 303, { Location: `${guard.issuer}/` });
    try {
      await guard.release(session);
    } catch (error) {
      guard.emit('trouble', error);
      return refuse(guard, request, response, { status: 503, code: 'release_failed' });
    }
    return send(response, 303, { Location: `${guard.issuer}/windows/${session.grant}/` });
  },
};

// --- Requests of the application --------------------------------------------------------------------------

/** Judges and records a request. Returns null if the rule says that it is not about a customer's content. */
async function judge(guard, rule, request, outer, route, response) {
  let { token, isCookie } = tokenOf(request);
  strip(request);
  const about = await rule(outer);
  if (!about) return null;
  const { method, headers } = request;
  const isSafe = SAFE.includes(method);
  const action = about.action ?? (isSafe && !headers.upgrade ? 'view' : 'act_as');
  const item = `${method} ${about.route ?? route() ?? '*'}`;
  if (isCookie && response) token = await renew(guard, response, token);
  const isOverridden = OVERRIDES.some((name) => name in headers) || new URL(urlOf(request), guard.origin).searchParams.has('_method');
  const decision = await guard.access({ ...about, token, action }, item, isOverridden ? 'method_override' : '');
  return Object.assign(decision, { action, item });
}

function reset(socket) {
  // A reset also drops what waits in the kernel for a slow reader.
  try { socket.resetAndDestroy(); } catch { socket.destroy(); }
}

/** Cuts the response, or the socket of an upgrade, when the window ends. Nothing is written after that. */
function hold(guard, access, request, target) {
  const stream = target.stream;
  const watched = guard.watch(access, access.action, access.item, () => (stream?.close ? stream.close(8) : reset(request.socket)));
  (request.headers.upgrade ? request.socket : target).once('close', watched.done);
  if (request.socket.destroyed) watched.done();
  for (const name of ['write', 'end']) {
    const original = target[name];
    target[name] = function guarded(...words) { return watched.isOpen() || this.closed ? original.apply(this, words) : name === 'end' && this; };
  }
}

/** Returns whether the application may answer. If not, this has answered. */
async function admit(guard, rule, request, response, outer, route) {
  const url = urlOf(request);
  if (url.startsWith('/.lockbox/')) {
    const { pathname, searchParams } = new URL(url, guard.origin);
    const show = pages[`${request.method} ${pathname}`];
    await (show ? show(guard, request, response, searchParams) : refuse(guard, request, response, { status: 404, code: 'not_found' }));
    return false;
  }
  const decision = await judge(guard, rule, request, outer, route, response);
  if (decision && !decision.allowed) refuse(guard, request, response, decision);
  if (!decision?.allowed) return !decision;
  response.setHeader('Cache-Control', 'no-store');
  hold(guard, decision, request, response);
  outer.lockbox = decision;
  return true;
}

/** Writes `/w/:id` as `/w/{id}`. */
function braced(pattern) { return pattern.replace(/:(\w+)(\([^)]*\))?[?+*]?|\*(\w+)/g, (_all, name, _rule, rest) => `{${name ?? rest}}`); }

/** Finds the patterns of the routes that Express would try for a path. It never contains a value of a parameter. */
function* patterns(stack, path, method) {
  for (const layer of stack) {
    const match = layer.match(path);
    if (!match) continue;
    const { route, handle } = layer, { params, path: matched } = match === true ? layer : match;
    if (route && (route.methods._all || route.methods[method] || (method === 'head' && route.methods.get))) yield braced(String(route.path));
    if (!handle?.stack) continue;
    const values = new Map(Object.entries(params).flatMap(([name, value]) => [value].flat().map((each) => [each, `{${name}}`])));
    const prefix = matched.split('/').map((part) => values.get(decodeURIComponent(part)) ?? part).join('/');
    for (const found of patterns(handle.stack, path.slice(matched.length) || '/', method)) yield prefix + found;
  }
}

function expressRoute(request) {
  try {
    const { stack } = request.app._router ?? request.app.router;
    const found = [...patterns(stack, urlOf(request).split('?')[0], request.method.toLowerCase())];
    return found.find((pattern) => !pattern.includes('*') && pattern !== '/{splat}') ?? found[0];
  } catch {
    return undefined;
  }
}

export function express(guard, rule) {
  void guard.start();
  return (request, response, next) => {
    const isAdmitted = admit(guard, rule, request, response, request, () => expressRoute(request));
    isAdmitted.then((is) => { if (is) next(); }, next);
  };
}

export function fastify(guard, rule) {
  const plugin = async (app) => {
    void guard.start();
    app.addHook('onRequest', async (request, reply) => {
      const route = () => request.routeOptions?.url && braced(request.routeOptions.url);
      if (!(await admit(guard, rule, request.raw, reply.raw, request, route))) reply.hijack();
    });
  };
  // The hook is for the whole application, not only for this plugin.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true });
}

export function http(guard, rule, handler) {
  void guard.start();
  return (request, response) => {
    admit(guard, rule, request, response, request, () => undefined).then((is) => { if (is) handler(request, response); }).catch((error) => {
      guard.emit('trouble', error);
      if (response.headersSent) response.destroy(); else send(response, 500);
    });
  };
}

export function upgrade(guard, rule, handler) {
  return (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    judge(guard, rule, request, request, () => undefined).then((decision) => {
      if (socket.destroyed) return;
      const { allowed = true, status } = decision ?? {};
      if (!allowed) return void socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      if (decision) hold(guard, decision, request, socket);
      request.lockbox = decision;
      handler(request, socket, head);
    }).catch((error) => {
      guard.emit('trouble', error);
      socket.destroy();
    });
  };
}
