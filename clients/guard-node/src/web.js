/** The guard in Express, Fastify and plain http, and the pages under `/.lockbox/`. */

import { createHash, randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { deflateRawSync, inflateRawSync } from 'node:zlib';

const SESSION = '__Host-lockbox', TRY = '__Host-lockbox-try', SAFE = ['GET', 'HEAD', 'OPTIONS'];
const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override'];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const VERIFIER = /^[\w-]{43}$/;
/** A path of this site. Browsers read "\" as "/", and leave out control characters. */
const PATH = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e\u{80}-\u{10ffff}]*$/u;
const TOKEN_MAX = 24_576;
const STYLE = `
:root { color-scheme: light dark; background: Canvas; color: CanvasText; font: 1.0625rem/1.5 system-ui, sans-serif }
body { max-width: 32rem; margin: 15vh auto 2rem; padding: 0 1.5rem }
h1 { font-size: 1.5rem; line-height: 1.25; text-wrap: balance }
a { color: LinkText; text-underline-offset: 0.2em }
`;
const POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src";
const HEADERS = {
  'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer', 'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': `${POLICY} 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
};
const WORDS = {
  401: 'This content belongs to a customer. Open it from your window in Customer Lockbox.',
  403: 'Your window does not allow this. Nothing was done.',
  404: 'This page does not exist.',
  503: 'Access can’t be checked or recorded now, so it is refused. Try again in a moment.',
  window_closed: 'Your window is closed. To go on, ask for access again.',
  window_ended: 'Your window has ended. To go on, ask for access again.',
  code_refused: 'The code is not valid in this browser, or not any more. Open the window again.',
  release_failed: 'You are signed out here, but Customer Lockbox does not answer. Close the window there.',
};

const MISSING = { status: 404, code: 'not_found' };
const random = () => randomBytes(32).toString('base64url');

// --- Cookies ----------------------------------------------------------------------------------------------

const pairsOf = (request) => (request.headers.cookie ?? '').split(/; */);

function cookies(request, name) {
  return pairsOf(request).filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1));
}

/** Compresses the claims: browsers store at most 4,096 bytes, and claims about many resources repeat themselves. */
function packed(token) {
  const [header, claims, signature] = token.split('.');
  return ['z', header, deflateRawSync(Buffer.from(claims, 'base64url')).toString('base64url'), signature].join('.');
}

function unpacked(value) {
  const [mark, header, small, signature] = value.split('.');
  if (mark !== 'z') return value;
  try {
    const claims = inflateRawSync(Buffer.from(small, 'base64url'), { maxOutputLength: TOKEN_MAX });
    return [header, claims.toString('base64url'), signature].join('.');
  } catch { return 'unreadable'; }
}

/** The session's token, or the one that a program sends. Of two cookies, somebody has set one: neither counts. */
function tokenOf(request) {
  const [value, other] = cookies(request, SESSION);
  if (value === undefined) return { token: request.headers['lockbox-grant'] };
  return { token: other === undefined ? unpacked(value) : 'two cookies', isCookie: true };
}

/** Takes the guard's cookies and the program's token out of a request, so that the application never sees them. */
function strip({ rawHeaders, headers }) {
  const rest = pairsOf({ headers }).filter((pair) => !pair.startsWith(SESSION)).join('; ');
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (/^(cookie|lockbox-grant)$/i.test(rawHeaders[at])) rawHeaders[at + 1] = rawHeaders[at].length === 6 ? rest : '';
  }
  delete headers['lockbox-grant'];
  if (headers.cookie !== undefined) headers.cookie = rest;
}

const setCookie = (response, name, value, seconds) => response.appendHeader(
  'Set-Cookie', `${name}=${value}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=Lax`);

// --- Answers ----------------------------------------------------------------------------------------------

const escaped = (text) => String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
const urlOf = (request) => request.originalUrl ?? request.url;

/** The page of a refusal. `again` is the address that leads back here through Customer Lockbox, if there is one. */
const page = (heading, words, issuer, again) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${heading}</title><style>${STYLE}</style></head><body><main><h1>${heading}</h1><p>${words}</p>
${again ? `<p><a href="${escaped(again)}">Continue in the open window</a></p>` : ''}
<p><a href="${escaped(issuer)}/">Go to Customer Lockbox</a></p></main></body></html>`;

function send(response, status, headers = {}, body = '') {
  response.writeHead(status, { ...HEADERS, ...headers }).end(body);
}

function refuse({ issuer }, request, response, { status, code, grant }) {
  if (status === 503) response.setHeader('Retry-After', '5');
  if (status === 401) response.setHeader('WWW-Authenticate', `Lockbox realm="${issuer}"`);
  if (!request.headers.accept?.includes('text/html')) {
    return send(response, status, { 'Content-Type': 'application/json' }, JSON.stringify({ status, code }));
  }
  const isOver = code === 'token_ended' && request.method === 'GET';
  const again = isOver && `/.lockbox/open?${new URLSearchParams({ grant, to: urlOf(request) })}`;
  const heading = status === 404 ? 'Page not found' : 'You have no access here now';
  const body = page(heading, WORDS[code] ?? WORDS[status], issuer, again);
  return send(response, status, { 'Content-Type': 'text/html; charset=utf-8' }, body);
}

const pages = {
  'GET /.lockbox/open': (guard, request, response, query) => {
    const grant = query.get('grant') ?? '', state = query.get('to') ?? '/', secret = random();
    if (!UUID.test(grant) || !PATH.test(state)) return refuse(guard, request, response, MISSING);
    setCookie(response, TRY, secret, 300);
    const fields = new URLSearchParams({
      response_type: 'code', client_id: guard.clientId, redirect_uri: `${guard.origin}/.lockbox/code`, state, grant,
      code_challenge: createHash('sha256').update(secret).digest('base64url'), code_challenge_method: 'S256',
    });
    return send(response, 302, { Location: `${guard.issuer}/oauth/authorize?${fields}` });
  },
  'GET /.lockbox/code': async (guard, request, response, query) => {
    const [secret, other] = cookies(request, TRY), code = query.get('code'), to = query.get('state') ?? '';
    const isOurs = VERIFIER.test(secret) && other === undefined && PATH.test(to)
      && (query.get('iss') ?? guard.issuer) === guard.issuer;
    setCookie(response, TRY, '', 0);
    // Others may know the code now. With a wrong verifier, Customer Lockbox refuses it, and ends it.
    const session = code && await guard.redeem(code, isOurs ? secret : random())
      .catch((error) => void guard.emit('trouble', error));
    if (!session || !isOurs) return refuse(guard, request, response, { status: 401, code: 'code_refused' });
    if (!session.allowed) return refuse(guard, request, response, session);
    setCookie(response, SESSION, packed(session.token), session.secondsLeft);
    return send(response, 302, { Location: new URL(guard.origin + to).href });
  },
  'GET /.lockbox/status': async (guard, request, response) => {
    const session = await guard.session(tokenOf(request).token), { grant, reference, level, engineer } = session;
    const facts = { grant, reference, level, engineer, closes_at: session.closesAt, seconds_left: session.secondsLeft };
    const body = JSON.stringify({ open: session.allowed, ...(session.allowed && facts) });
    return send(response, 200, { 'Content-Type': 'application/json' }, body);
  },
  'POST /.lockbox/done': async (guard, request, response) => {
    // Under the referrer policy "no-referrer", a browser sends "null" as the origin of its own form.
    const { origin = 'null', 'sec-fetch-site': site } = request.headers;
    const isOurs = origin === guard.origin || (origin === 'null' && site === 'same-origin');
    if (!isOurs) return refuse(guard, request, response, { status: 403, code: 'other_origin' });
    const session = await guard.session(tokenOf(request).token);
    setCookie(response, SESSION, '', 0);
    const failed = session.allowed && await guard.release(session).catch((error) => guard.emit('trouble', error));
    if (failed) return refuse(guard, request, response, { status: 503, code: 'release_failed' });
    return send(response, 303, { Location: `${guard.issuer}/${session.allowed ? `windows/${session.grant}/` : ''}` });
  },
};

// --- Requests of the application --------------------------------------------------------------------------

/** Judges and records a request. Returns null if the rule says that it is not about a customer's content. */
async function judge(guard, rule, request, outer, route, response) {
  const sent = tokenOf(request), { method, headers } = request, isSafe = SAFE.includes(method);
  strip(request);
  const about = await rule(outer);
  if (!about) return null;
  const action = about.action ?? (isSafe && !headers.upgrade ? 'view' : 'act_as');
  const item = `${method} ${about.route ?? route() ?? '*'}`, query = new URL(urlOf(request), guard.origin).searchParams;
  const refused = query.has('_method') || OVERRIDES.some((name) => name in headers) ? 'method_override' : '';
  const decision = await guard.access({ ...about, token: sent.token, action }, item, refused);
  // Not before: the thief of a token must not get a new one from a request that is refused.
  const next = decision.allowed && sent.isCookie && response && await guard.renewed(sent.token);
  if (next && !response.headersSent) setCookie(response, SESSION, packed(next.token), next.secondsLeft);
  return Object.assign(decision, { action, item });
}

/** Cuts the response, or the socket of an upgrade, when the window ends. Nothing is written after that. */
function hold(guard, access, { socket, headers }, target) {
  const watched = guard.watch(access, access.action, access.item, () => {
    // A reset also drops what waits in the kernel for a slow reader. Only plain TCP has it.
    try { if (target.stream?.close) target.stream.close(8); else socket.resetAndDestroy(); } catch { socket.destroy(); }
  });
  (headers.upgrade ? socket : target).once('close', watched.done);
  if (socket.destroyed) watched.done();
  for (const name of ['write', 'end']) {
    const original = target[name];
    target[name] = function guarded(...words) {
      return watched.isOpen() || this.closed ? original.apply(this, words) : name === 'end' && this;
    };
  }
}

/** Returns whether the application may answer. If not, this has answered. */
async function admit(guard, rule, request, response, outer = request, route = () => undefined) {
  if (urlOf(request).startsWith('/.lockbox/')) {
    const { pathname, searchParams } = new URL(urlOf(request), guard.origin);
    const show = pages[`${request.method} ${pathname}`];
    if (!show) return void refuse(guard, request, response, MISSING);
    return void (await show(guard, request, response, searchParams));
  }
  const decision = await judge(guard, rule, request, outer, route, response);
  if (decision && !decision.allowed && !(await guard.refused(outer, response, decision))) {
    refuse(guard, request, response, decision);
  }
  if (!decision?.allowed) return !decision;
  response.setHeader('Cache-Control', 'no-store');
  hold(guard, decision, request, response);
  return (outer.lockbox = decision);
}

/** Writes `/w/:id` as `/w/{id}`. */
const braced = (pattern) => pattern.replace(/:(\w+)(\([^)]*\))?[?+*]?|\*(\w+)/g, (...all) => `{${all[1] ?? all[3]}}`);

/** Finds the patterns of the routes that Express would try for a path. It never contains a value of a parameter. */
function* patterns(stack, path, method) {
  for (const layer of stack) {
    const match = layer.match(path), { route, handle } = layer;
    if (!match) continue;
    const { params, path: matched } = match === true ? layer : match;
    const { _all: isForAll, get } = route?.methods ?? {}, isFor = isForAll || route?.methods[method];
    if (isFor || (get && method === 'head')) yield braced(String(route.path));
    if (!handle?.stack) continue;
    const found = Object.entries(params).flatMap(([name, value]) => [value].flat().map((each) => [each, `{${name}}`]));
    const values = new Map(found);
    const prefix = matched.split('/').map((part) => values.get(decodeURIComponent(part)) ?? part).join('/');
    for (const rest of patterns(handle.stack, path.slice(matched.length) || '/', method)) yield prefix + rest;
  }
}

function expressRoute(request) {
  try {
    const { stack } = request.app._router ?? request.app.router;
    const found = [...patterns(stack, urlOf(request).split('?')[0], request.method.toLowerCase())];
    return found.find((pattern) => !pattern.includes('*') && pattern !== '/{splat}') ?? found[0];
  } catch { return undefined; }
}

export const express = (guard, rule) => (request, response, next) => {
  admit(guard, rule, request, response, request, () => expressRoute(request)).then((is) => { if (is) next(); }, next);
};

export function fastify(guard, rule) {
  const plugin = async (app) => app.addHook('onRequest', async (request, reply) => {
    const route = () => request.routeOptions?.url && braced(request.routeOptions.url);
    if (!(await admit(guard, rule, request.raw, reply.raw, request, route))) reply.hijack();
  });
  // The hook is for the whole application, not only for this plugin.
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true });
}

export const http = (guard, rule, handler) => (request, response) => {
  admit(guard, rule, request, response).then((is) => { if (is) handler(request, response); }).catch((error) => {
    guard.emit('trouble', error);
    if (response.headersSent) response.destroy(); else send(response, 500);
  });
};

export const upgrade = (guard, rule, handler) => (request, socket, head) => {
  socket.on('error', () => socket.destroy());
  judge(guard, rule, request, request, () => undefined).then((decision) => {
    const { allowed = true, status } = decision ?? {};
    if (socket.destroyed) return;
    const refusal = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
    if (!allowed) return void socket.end(refusal);
    if (decision) hold(guard, decision, request, socket);
    request.lockbox = decision;
    handler(request, socket, head);
  }).catch((error) => { guard.emit('trouble', error); socket.destroy(); });
};
