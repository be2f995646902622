import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import express from 'express';
import express4 from 'express4';
import Fastify from 'fastify';
import { WebSocket, WebSocketServer } from 'ws';
import { ORIGIN, until } from './lockbox.js';
import { Queue } from '../src/queue.js';
import { directory, later, setting } from './setting.js';

const rule = (request) => {
  const [, kind, identifier] = (request.originalUrl ?? request.url).split('?')[0].split('/');
  return kind === 'w' ? { identifier, engineer: 'ada@provider.example', tenant: 'contoso' } : null;
};
const big = Buffer.alloc(64 * 1024, 'x');

/** Streams without end, as fast as the client reads. */
function pour(response) {
  const more = () => { while (!response.destroyed && response.write(big)); };
  response.on('drain', more);
  more();
}

const kinds = {
  'Express 5': (guard) => expressApp(guard, express),
  'Express 4': (guard) => expressApp(guard, express4),
  async Fastify(guard) {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(guard.fastify(rule));
    app.get('/w/:id/pages', async (request, reply) => reply.header('set-cookie', 'own=1').send({ reference: request.lockbox.reference, cookie: request.headers.cookie ?? '', raw: request.raw.rawHeaders.join() }));
    app.post('/w/:id/pages', async () => 'changed');
    app.get('/w/:id/stream', (_request, reply) => { reply.hijack(); pour(reply.raw); });
    app.get('/w/:id/events', (_request, reply) => { reply.hijack(); reply.raw.write(': begun\n\n'); });
    app.get('/public', async () => 'public');
    await app.listen({ port: 0, host: '127.0.0.1' });
    return app.server;
  },
  async http(guard) {
    const paths = {
      '/pages': (request, response) => response.end(JSON.stringify({ reference: request.lockbox?.reference, cookie: request.headers.cookie ?? '', raw: request.rawHeaders.join() })),
      '/stream': (_request, response) => pour(response), '/events': (_request, response) => response.write(': begun\n\n'), '/public': (_request, response) => response.end('public'),
    };
    const own = (request) => rule(request) && { ...rule(request), route: `/w/{id}${request.url.split('?')[0].replace(/^\/w\/[^/]*/, '')}` };
    const server = http.createServer(guard.http(own, (request, response) => {
      const name = Object.keys(paths).find((path) => request.url.split('?')[0].endsWith(path));
      if (request.method === 'POST') response.end('changed'); else paths[name](request, response);
    }));
    return server.listen(0, '127.0.0.1');
  },
};

function expressApp(guard, kind) {
  const app = kind();
  app.use(guard.express(rule));
  const workspace = kind.Router({ mergeParams: true });
  workspace.get('/pages', (request, response) => response.cookie('own', '1').json({ reference: request.lockbox.reference, cookie: request.headers.cookie ?? '', raw: request.rawHeaders.join() }));
  workspace.post('/pages', (_request, response) => response.send('changed'));
  workspace.get('/stream', (_request, response) => pour(response));
  workspace.get('/events', (_request, response) => response.write(': begun\n\n'));
  app.use('/w/:id', workspace);
  app.get('/public', (_request, response) => response.send('public'));
  return app.listen(0, '127.0.0.1');
}

async function site(t, kind = 'Express 5', options = {}) {
  const { lockbox, guard } = await setting(t, options);
  const server = await kinds[kind](guard);
  if (!server.listening) await once(server, 'listening');
  later(t, () => { server.closeAllConnections(); server.close(); });
  const base = `http://127.0.0.1:${server.address().port}`;
  const get = (path, { token, cookie, ...options } = {}) => fetch(base + path, {
    redirect: 'manual', ...options, headers: { ...(token && { cookie: `__Host-lockbox=${token}` }), ...(cookie && { cookie }), ...options.headers },
  });
  const reported = (count) => until(() => lockbox.accesses().length >= count && lockbox.accesses());
  return { lockbox, guard, server, base, get, reported };
}

// Most of these tests wait, so they run at the same time.
describe('the guard in an application', { concurrency: 6 }, () => {
for (const kind of Object.keys(kinds)) {
  test(`${kind}: a request is refused without a token, and recorded and answered with one`, async (t) => {
    const { lockbox, get, reported } = await site(t, kind);
    assert.equal((await get('/public')).status, 200);
    const refused = await get('/w/w1/pages');
    assert.deepEqual([refused.status, await refused.json()], [401, { status: 401, code: 'no_token' }]);
    const token = lockbox.token();
    const answer = await get('/w/w1/pages?secret=1', { cookie: `a=b; __Host-lockbox=${token}; __Host-lockbox-try=x; c=d`, headers: { 'lockbox-grant': token } });
    const body = await answer.json();
    assert.deepEqual([answer.status, body.reference, body.cookie, answer.headers.get('cache-control')], [200, 'AR-7', 'a=b; c=d', 'no-store']);
    assert.ok(!body.raw.includes(token));
    assert.equal((await get('/w/w1/pages', { method: 'POST', token })).status, 403);
    assert.equal((await get('/w/w2/pages', { token })).status, 403);
    const acting = lockbox.token({}, lockbox.detail({ level: 'act_as', actions: ['list', 'view', 'read', 'download', 'act_as'] }));
    assert.equal(await (await get('/w/w1/pages', { method: 'POST', headers: { 'lockbox-grant': acting } })).text(), 'changed');
    const accesses = await reported(4);
    assert.deepEqual(accesses.map(({ kind: what, code, action, item }) => [what, code, action, item]), [
      ['access', '', 'view', 'GET /w/{id}/pages'], ['refused', 'level_too_low', 'act_as', 'POST /w/{id}/pages'],
      ['refused', 'out_of_scope', 'view', 'GET /w/{id}/pages'], ['access', '', 'act_as', 'POST /w/{id}/pages'],
    ]);
    const { at, jti, ...first } = accesses[0];
    assert.deepEqual(first, { grant_id: lockbox.detail().grant_id, resource: lockbox.detail().resource, engineer: lockbox.claims().sub, action: 'view', item: 'GET /w/{id}/pages', kind: 'access', code: '' });
    assert.ok(jti && Math.abs(Date.parse(at) - Date.now()) < 5000);
  });

  test(`${kind}: an open download, a blocked reader and an event stream are cut in a second when the grant is revoked`, async (t) => {
    const { lockbox, server, get, reported } = await site(t, kind);
    const token = lockbox.token();
    const events = await get('/w/w1/events', { token });
    const download = await get('/w/w1/stream', { token });
    const reader = download.body.getReader();
    await reader.read();
    const blocked = net.connect(server.address().port, '127.0.0.1', () => blocked.write(`GET /w/w1/stream HTTP/1.1\r\nHost: x\r\nCookie: __Host-lockbox=${token}\r\n\r\n`));
    let received = 0;
    blocked.on('data', (chunk) => { received += chunk.length; }).on('error', () => undefined).pause();
    await until(() => lockbox.accesses().length === 3);
    const begin = performance.now();
    lockbox.revoke();
    await assert.rejects((async () => { while (!(await reader.read()).done); })());
    await assert.rejects(events.text());
    const took = performance.now() - begin;
    // The reader that was blocked gets only what its own machine already has: megabytes waited for it here.
    blocked.resume();
    await once(blocked, 'close');
    assert.ok(received > 0 && received < 1 << 20, String(received));
    t.diagnostic(`revoked to the last byte: ${took.toFixed(0)} ms`);
    assert.ok(took < 1000, String(took));
    const cuts = (await reported(6)).slice(3);
    assert.deepEqual(cuts.map(({ kind: what, code, item }) => [what, code, item]).sort(), [
      ['cut', 'closed', 'GET /w/{id}/events'], ['cut', 'closed', 'GET /w/{id}/stream'], ['cut', 'closed', 'GET /w/{id}/stream'],
    ]);
    assert.equal((await get('/w/w1/pages', { token })).status, 403);
  });
}

test('a response is cut at the end of the window, and not at the end of the token', async (t) => {
  const { lockbox, get, reported } = await site(t);
  const end = lockbox.now() + 2500, iat = Math.floor(lockbox.now() / 1000);
  // Within the second, the present one may be over before the request arrives.
  const token = lockbox.token({ exp: iat + 2 }, lockbox.detail({ window_end: new Date(end).toISOString() }));
  const reader = (await get('/w/w1/stream', { token })).body.getReader();
  await assert.rejects((async () => { while (!(await reader.read()).done); })());
  const late = Date.now() - end;
  assert.ok(late > -100 && late < 1000, String(late));
  assert.equal((await reported(2))[1].code, 'elapsed');
});

test('a response is cut when the feed is silent', async (t) => {
  let slept = 0;
  const { lockbox, get } = await site(t, 'Express 5', { monotonic: () => performance.now() + slept });
  const reader = (await get('/w/w1/stream', { token: lockbox.token() })).body.getReader();
  await reader.read();
  clearInterval(lockbox.beat);
  lockbox.isUp = false;
  slept = 15_000;
  const begin = performance.now();
  await assert.rejects((async () => { while (!(await reader.read()).done); })());
  assert.ok(performance.now() - begin < 1000);
  assert.equal((await get('/w/w1/pages', { token: lockbox.token() })).status, 503);
  lockbox.isUp = true;
  await until(() => lockbox.accesses().some(({ kind, code }) => kind === 'cut' && code === 'silent'));
});

test('a WebSocket is refused without a token, and cut when the grant is revoked', async (t) => {
  const { lockbox, guard } = await setting(t);
  const sockets = new WebSocketServer({ noServer: true });
  const server = http.createServer((_request, response) => response.end());
  server.on('upgrade', guard.upgrade((request) => ({ ...rule(request), route: '/w/{id}/live' }), (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (peer) => { setInterval(() => peer.send('tick'), 20).unref(); peer.on('error', () => undefined); });
  }));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  later(t, () => server.close());
  const address = `ws://127.0.0.1:${server.address().port}/w/w1/live`;
  const status = (headers) => new Promise((resolve) => { new WebSocket(address, { headers }).on('unexpected-response', (_request, { statusCode }) => resolve(statusCode)).on('error', () => undefined); });
  assert.equal(await status({}), 401);
  assert.equal(await status({ 'lockbox-grant': lockbox.token() }), 403);
  const token = lockbox.token({}, lockbox.detail({ actions: ['list', 'view', 'read', 'download', 'act_as'] }));
  const socket = new WebSocket(address, { headers: { cookie: `__Host-lockbox=${token}` } });
  socket.on('error', () => undefined);
  await once(socket, 'message');
  const begin = performance.now();
  lockbox.revoke();
  await once(socket, 'close');
  assert.ok(performance.now() - begin < 1000);
  const accesses = await until(() => lockbox.accesses().length === 3 && lockbox.accesses());
  assert.deepEqual(accesses.map(({ kind, code, action, item }) => [kind, code, action, item]), [
    ['refused', 'level_too_low', 'act_as', 'GET /w/{id}/live'], ['access', '', 'act_as', 'GET /w/{id}/live'], ['cut', 'closed', 'act_as', 'GET /w/{id}/live'],
  ]);
});

test('a queue that is full refuses before the application sees the request', async (t) => {
  const place = join(directory(t), 'queue'), { lockbox, get } = await site(t, 'Express 5', { queueLimit: 1, queue: place });
  const token = lockbox.token();
  lockbox.intercept = (_request, response, url) => url.pathname.endsWith('/accesses') && response.writeHead(503).end();
  assert.equal((await get('/w/w1/pages', { token })).status, 200);
  const other = new Queue(place);
  later(t, () => other.close());
  await Promise.allSettled(Array.from({ length: 3000 }, () => other.append({ words: 'y'.repeat(1000) })));
  const full = await get('/w/w1/pages', { token });
  assert.deepEqual([full.status, full.headers.get('retry-after'), (await full.json()).code], [503, '5', 'queue_full']);
});

test('cookie tricks: two cookies, another name, a packed one that is broken', async (t) => {
  const { lockbox, get } = await site(t);
  const token = lockbox.token(), code = async (cookie) => (await (await get('/w/w1/pages', { cookie })).json()).code;
  assert.equal(await code(`__Host-lockbox=${token}; __Host-lockbox=${token}`), 'invalid_token');
  assert.equal(await code(`__host-lockbox=${token}; lockbox=${token}; __Secure-lockbox=${token}; x__Host-lockbox=${token}`), 'no_token');
  assert.equal(await code('__Host-lockbox=z.AAAA.BBBB'), 'invalid_token');
  assert.equal(await code('__Host-lockbox=z.'), 'invalid_token');
});

test('a request that wants to be another method is refused, whatever the level', async (t) => {
  const { lockbox, get } = await site(t);
  const token = lockbox.token({}, lockbox.detail({ actions: ['list', 'view', 'act_as'] }));
  for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override']) {
    for (const method of ['GET', 'POST']) assert.equal((await (await get('/w/w1/pages', { method, token, headers: { [name]: 'DELETE' } })).json()).code, 'method_override');
  }
  assert.equal((await (await get('/w/w1/pages?_method=DELETE', { token })).json()).code, 'method_override');
});

test('a token is renewed before it ends, once for requests at the same time', async (t) => {
  const { lockbox, get } = await site(t);
  const iat = Math.floor(lockbox.now() / 1000), ending = { iat: iat - 250, exp: iat + 50 };
  const token = lockbox.token(ending);
  const answers = await Promise.all(Array.from({ length: 5 }, () => get('/w/w1/pages', { token })));
  const [fresh] = answers.map((answer) => answer.headers.getSetCookie().find((cookie) => cookie.startsWith('__Host-lockbox=')));
  assert.match(fresh, /^__Host-lockbox=[\w.-]+; Path=\/; Max-Age=3\d\d\d; Secure; HttpOnly; SameSite=Lax$/);
  assert.ok(answers.every((answer) => answer.headers.getSetCookie().length === 2));
  assert.equal(lockbox.calls.filter(({ text }) => text.includes('token-exchange')).length, 1);
  assert.equal((await get('/w/w1/pages', { cookie: fresh.split(';')[0] })).status, 200);
  // Nobody gets a new token without being the engineer who is signed in at the application.
  const count = lockbox.calls.length, others = lockbox.token({ ...ending, sub: 'eve', email: 'eve@provider.example' });
  for (const [path, status] of [['/.lockbox/status', 200], ['/w/w1/pages', 403]]) {
    const answer = await get(path, { token: others });
    assert.deepEqual([answer.status, answer.headers.getSetCookie().filter((cookie) => cookie.includes('__Host-'))], [status, []]);
  }
  assert.equal(lockbox.calls.slice(count).filter(({ text }) => text.includes('token-exchange')).length, 0);
  // A renewal that fails changes nothing as long as the token lives. One for another person is not used.
  for (const body of ['{}', JSON.stringify({ access_token: lockbox.token({ sub: 'eve', email: 'eve@provider.example' }) }), 'x']) {
    lockbox.intercept = (_request, response, _url, text) => text.includes('token-exchange') && response.writeHead(200).end(body);
    const answer = await get('/w/w1/pages', { token: lockbox.token(ending) });
    assert.deepEqual([answer.status, answer.headers.getSetCookie()], [200, ['own=1; Path=/']]);
  }
});

test('a browser gets in with a one-time code, and only the browser that began', async (t) => {
  const { lockbox, get } = await site(t);
  const grant = lockbox.detail().grant_id;
  const opened = await get(`/.lockbox/open?grant=${grant}&to=${encodeURIComponent('/w/w1/pages?a=ü')}`);
  const [name, secret] = /^(__Host-lockbox-try)=([\w-]{43}); Path=\/; Max-Age=300; Secure; HttpOnly; SameSite=Lax$/.exec(opened.headers.getSetCookie()[0]).slice(1);
  const target = new URL(opened.headers.get('location')), asked = Object.fromEntries(target.searchParams);
  assert.deepEqual([target.origin + target.pathname, asked.redirect_uri, asked.code_challenge_method, asked.grant, asked.client_id, asked.response_type], [`${lockbox.issuer}/oauth/authorize`, `${ORIGIN}/.lockbox/code`, 'S256', grant, 'quillo-app', 'code']);
  for (const header of ['cache-control', 'referrer-policy', 'x-content-type-options']) assert.ok(opened.headers.get(header), header);
  const back = (code, cookie, state = asked.state) => get(`/.lockbox/code?${new URLSearchParams({ code, state })}`, { cookie });
  for (const [what, cookie, state] of [['another browser', `${name}=${'A'.repeat(43)}`], ['no cookie', undefined], ['a wrong cookie', `${name}=x`], ['two cookies', `${name}=${secret}; ${name}=${secret}`], ['other site', `${name}=${secret}`, '//evil.example/']]) {
    const code = lockbox.code(secret), refused = await back(code, cookie, state);
    assert.deepEqual([refused.status, refused.headers.getSetCookie().filter((each) => each.startsWith('__Host-lockbox='))], [401, []], what);
    // The code is used up, so that nobody who saw it can use it with the right cookie.
    assert.equal(lockbox.codes.has(code), false, what);
    assert.equal((await back(code, `${name}=${secret}`)).status, 401, what);
  }
  const mixed = `${lockbox.code(secret)}&iss=https://evil.example`;
  assert.equal((await get(`/.lockbox/code?state=/&code=${mixed}`, { cookie: `${name}=${secret}` })).status, 401);
  const code = lockbox.code(secret);
  const done = await back(code, `${name}=${secret}`);
  const cookies = done.headers.getSetCookie();
  assert.deepEqual([done.status, done.headers.get('location')], [302, `${ORIGIN}/w/w1/pages?a=%C3%BC`]);
  assert.match(cookies[0], /^__Host-lockbox-try=; Path=\/; Max-Age=0; /);
  assert.equal((await get('/w/w1/pages', { cookie: cookies[1].split(';')[0] })).status, 200);
  assert.equal((await back(code, `${name}=${secret}`)).status, 401);
  // A token of another issuer or audience is refused here, too.
  const wrong = lockbox.code(secret, { aud: 'https://other.example' });
  assert.equal((await back(wrong, `${name}=${secret}`)).status, 401);
  const status = await (await get('/.lockbox/status', { cookie: cookies[1].split(';')[0] })).json();
  assert.ok(status.seconds_left > 3500 && Date.parse(status.closes_at) > Date.now(), JSON.stringify(status));
  assert.deepEqual({ ...status, closes_at: '', seconds_left: 0 }, { open: true, grant, reference: 'AR-7', level: 'view', engineer: 'ada@provider.example', closes_at: '', seconds_left: 0 });
  assert.deepEqual(await (await get('/.lockbox/status')).json(), { open: false });
});

test('a session for 20 resources fits into a cookie', async (t) => {
  const { lockbox, get } = await site(t);
  const details = Array.from({ length: 20 }, (_, n) => lockbox.detail({ identifier: `w${n}`, resource: crypto.randomUUID() }));
  const code = lockbox.code('a'.repeat(43), {}, ...details);
  const answer = await get(`/.lockbox/code?code=${code}&state=/`, { cookie: `__Host-lockbox-try=${'a'.repeat(43)}` });
  const cookie = answer.headers.getSetCookie()[1];
  assert.ok(cookie.length < 4096, String(cookie.length));
  assert.equal((await get('/w/w19/pages', { cookie: cookie.split(';')[0] })).status, 200);
});

test('the reserved path leads to no other site', async (t) => {
  const { lockbox, get } = await site(t);
  const grant = lockbox.detail().grant_id;
  for (const to of ['//evil.example', '/\\evil.example', '\\\\evil.example', 'https://evil.example', '/\t/evil.example', '/a\nb', '/ /evil.example', '', '/a\\b', 'javascript:x', '/\u007f']) {
    assert.equal((await get(`/.lockbox/open?grant=${grant}&to=${encodeURIComponent(to)}`)).status, 404, JSON.stringify(to));
  }
  for (const id of ['', 'x', `${grant}&client_id=x`, '../..']) assert.equal((await get(`/.lockbox/open?grant=${encodeURIComponent(id)}&to=/`)).status, 404);
  const secret = 'a'.repeat(43);
  const odd = await get(`/.lockbox/code?code=${lockbox.code(secret)}&state=${encodeURIComponent('/.//evil.example')}`, { cookie: `__Host-lockbox-try=${secret}` });
  assert.equal(new URL(odd.headers.get('location')).origin, ORIGIN);
  for (const path of ['/.lockbox/', '/.lockbox/other', '/.lockbox/done', '/.lockbox/__proto__']) assert.notEqual((await get(path)).status, 200, path);
});

test('"I am done" gives the window back, only from the application itself', async (t) => {
  const { lockbox, get } = await site(t);
  const token = lockbox.token(), done = (headers, more = { token }) => get('/.lockbox/done', { method: 'POST', headers, ...more });
  for (const headers of [{}, { origin: 'https://evil.example' }, { origin: 'null' }, { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }]) {
    assert.equal((await done(headers)).status, 403, JSON.stringify(headers));
  }
  assert.equal((await get('/.lockbox/done', { token })).status, 404);
  assert.deepEqual(lockbox.released, []);
  const answer = await done({ origin: 'null', 'sec-fetch-site': 'same-origin' });
  assert.deepEqual([answer.status, answer.headers.get('location')], [303, `${lockbox.issuer}/windows/${lockbox.detail().grant_id}/`]);
  assert.match(answer.headers.getSetCookie()[0], /^__Host-lockbox=; Path=\/; Max-Age=0; /);
  assert.deepEqual(lockbox.released, [token]);
  assert.equal((await get('/w/w1/pages', { token })).status, 403);
  // It is closed here although Lockbox can't be told.
  const other = lockbox.token({}, lockbox.detail({ grant_id: 'c0ffee00-0000-4000-8000-000000000009' }));
  lockbox.intercept = (_request, response, url) => url.pathname.endsWith('/release') && response.writeHead(503).end();
  assert.equal((await done({ origin: ORIGIN }, { token: other })).status, 503);
  assert.equal((await get('/w/w1/pages', { token: other })).status, 403);
});

test('a browser gets a page that leads to Customer Lockbox, and back into a window that is open', async (t) => {
  const { lockbox, get } = await site(t);
  const page = async (token) => { const answer = await get('/w/w1/pages?q="<script>', { token, headers: { accept: 'text/html' } }); return [answer, await answer.text()]; };
  const [answer, text] = await page();
  const [, style] = /<style>(.*?)<\/style>/s.exec(text), hash = createHash('sha256').update(style).digest('base64');
  assert.deepEqual([answer.status, answer.headers.get('content-security-policy')], [
    401, `default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-${hash}'`,
  ]);
  assert.ok(text.includes(`href="${lockbox.issuer.replaceAll('/', '/')}/"`) && !text.includes('<script>'), text);
  const iat = Math.floor(lockbox.now() / 1000);
  const [, ended] = await page(lockbox.token({ iat: iat - 300, exp: iat - 1 }));
  assert.ok(ended.includes(`/.lockbox/open?grant=${lockbox.detail().grant_id}&#38;to=%2Fw%2Fw1%2Fpages`), ended);
  // The same for a form. A form can't be sent again by a link.
  const form = await get('/w/w1/pages', { method: 'POST', token: lockbox.token({ iat: iat - 300, exp: iat - 1 }), headers: { accept: 'text/html' } });
  const says = await form.text();
  assert.deepEqual([form.status, form.headers.get('content-type')], [401, 'text/html; charset=utf-8']);
  assert.ok(says.includes('Open it from your window') && !says.includes('/.lockbox/open'), says);
  const token = lockbox.token();
  assert.equal((await page(token))[0].status, 200);
  lockbox.revoke();
  const [closed, why] = await until(async () => { const found = await page(token); return found[0].status === 403 && found; });
  assert.ok(closed.status === 403 && why.includes('Your window is closed.'), why);
});

test('a rule that fails refuses', async (t) => {
  const { lockbox, guard } = await setting(t);
  const handler = () => assert.fail();
  const server = http.createServer(guard.http(() => { throw new Error('broken'); }, handler)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  later(t, () => server.close());
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/`, { headers: { 'lockbox-grant': lockbox.token() } });
  assert.equal(answer.status, 500);
});

test('patterns of Express never contain a value', async (t) => {
  const { lockbox, guard } = await setting(t);
  for (const kind of [express, express4]) {
    const app = kind(), inner = kind.Router();
    app.use(guard.express((request) => ({ identifier: 'w1', engineer: 'ada@provider.example', route: undefined, action: 'view', request: undefined })));
    inner.get('/pages/:page', (_request, response) => response.end());
    app.use('/static/of/:secret', inner);
    app.get(['/one/:a', '/two/:b'], (_request, response) => response.end());
    app.get(/^\/regexp\/(\w+)$/, (_request, response) => response.end());
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    later(t, () => server.close());
    const before = lockbox.accesses().length;
    for (const path of ['/static/of/SECRET/pages/SECRET', '/one/SECRET', '/regexp/SECRET', '/nothing/SECRET', '/static/of/SE%43RET/pages/1', '/%E0%A4%A']) {
      await fetch(`http://127.0.0.1:${server.address().port}${path}?SECRET=SECRET`, { headers: { 'lockbox-grant': lockbox.token() } }).then((answer) => answer.text());
    }
    const found = (await until(() => lockbox.accesses().length >= before + 6 && lockbox.accesses())).slice(before).map(({ item }) => item);
    assert.ok(!found.join().includes('SECRET') && !found.join().includes('SE%43RET'), found.join('\n'));
    assert.ok(found.every((item) => /^[A-Z]{1,20} \/[!-"$->@-~]*$/.test(item)), found.join('\n'));
    assert.deepEqual([found[0], found[3]], ['GET /static/of/{secret}/pages/{page}', 'GET /*']);
  }
});
});

test('a handler that blocked the event loop over the end writes nothing after it', async (t) => {
  const { lockbox, guard } = await setting(t);
  const app = express();
  app.get('/w/:id', guard.express(rule), (_request, response) => {
    response.write('before');
    const end = performance.now() + 700;
    while (performance.now() < end);
    response.end('after');
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  later(t, () => server.close());
  const token = lockbox.token({}, lockbox.detail({ window_end: new Date(lockbox.now() + 500).toISOString() }));
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/w/w1`, { headers: { 'lockbox-grant': token } }).then((response) => response.text(), () => 'cut').catch(() => 'cut');
  assert.equal(answer, 'cut');
  assert.equal((await until(() => lockbox.accesses().length === 2 && lockbox.accesses()))[0].item, 'GET /w/{id}');
});

test('a request whose window ends while its access is being stored never reaches the application', async (t) => {
  const place = join(directory(t), 'queue'), { lockbox, guard } = await setting(t, { queue: place });
  const token = lockbox.token({}, lockbox.detail({ actions: ['list', 'view', 'read', 'download', 'act_as'] }));
  const server = http.createServer(guard.http(rule, () => assert.fail('The application saw it.'))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  later(t, () => server.close());
  const file = await open(place), kind = Object.getPrototypeOf(file), { datasync } = kind;
  await file.close();
  let isWaiting = false;
  const revoked = new Promise((resolve) => {
    kind.datasync = async function slow() {
      isWaiting = true;
      await until(async () => (await guard.session(token)).code === 'window_closed').finally(resolve);
      return datasync.call(this);
    };
  });
  t.after(() => { kind.datasync = datasync; });
  const answer = fetch(`http://127.0.0.1:${server.address().port}/w/w1`, { method: 'POST', headers: { 'lockbox-grant': token } });
  await until(() => isWaiting);
  lockbox.revoke();
  await revoked;
  kind.datasync = datasync;
  assert.deepEqual([(await answer).status, await (await answer).json()], [403, { status: 403, code: 'window_closed' }]);
  const accesses = await until(() => lockbox.accesses().length === 2 && lockbox.accesses());
  assert.deepEqual(accesses.map(({ kind: what, code, item }) => [what, code, item]), [['access', '', 'POST /*'], ['cut', 'closed', 'POST /*']]);
});
