import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ORIGIN, until } from './lockbox.js';
import { directory, later, lockboxFor } from './setting.js';

const APP = new URL('../example/app.js', import.meta.url).pathname;

async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'close');
}

async function example(t) {
  const lockbox = await lockboxFor(t);
  const env = {
    PATH: process.env.PATH, PORT: '0', ORIGIN, LOCKBOX_URL: lockbox.issuer, LOCKBOX_SERVICE: 'quillo',
    LOCKBOX_CLIENT_ID: 'quillo-app', LOCKBOX_CLIENT_SECRET: 's3cret', LOCKBOX_QUEUE: join(directory(t), 'queue'),
  };
  const child = spawn(process.execPath, [APP], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  later(t, () => ended(child));
  const [line] = await once(child.stdout, 'data');
  const base = `http://127.0.0.1:${/\d+/.exec(line)[0]}`;
  const call = (path, { cookie = '', ...options } = {}) => fetch(base + path, { redirect: 'manual', ...options, headers: { cookie, ...options.headers } });
  const form = (path, fields, cookie) => call(path, { method: 'POST', cookie, body: new URLSearchParams(fields) });
  return { lockbox, child, env, call, form };
}

test('the example has at most ten lines for the guard', () => {
  const [, lines] = /from here -+\n(.*?)\n\/\/ --- to here/s.exec(readFileSync(APP, 'utf8'));
  assert.ok(lines.split('\n').length <= 9);
});

test('an engineer of the example works in a workspace while the window is open, and each request is in the log', async (t) => {
  const { lockbox, call, form } = await example(t);
  await until(() => lockbox.followers.size);
  assert.equal((await call('/pages')).status, 200);
  const [sid] = (await form('/sign-in', { email: 'ada@provider.example' })).headers.getSetCookie()[0].split(';');
  assert.equal((await form('/impersonate/w1', {}, sid)).status, 303);
  const refused = await call('/pages/plan', { cookie: sid, headers: { accept: 'text/html' } });
  assert.deepEqual([refused.status, (await refused.text()).includes('The plan for the year')], [401, false]);

  const opened = await call(`/.lockbox/open?grant=${lockbox.detail().grant_id}&to=/pages/plan`, { cookie: sid });
  const [trial] = opened.headers.getSetCookie()[0].split(';');
  const acting = lockbox.detail({ level: 'act_as', actions: ['list', 'view', 'read', 'download', 'act_as'] });
  const code = lockbox.code(trial.split('=')[1], {}, acting);
  const back = await call(`/.lockbox/code?code=${code}&state=/pages/plan`, { cookie: `${sid}; ${trial}` });
  const cookie = `${sid}; ${back.headers.getSetCookie()[1].split(';')[0]}`;
  const page = await (await call('/pages/plan?q=SECRET', { cookie })).text();
  for (const words of ['The plan for the year', 'nina@contoso.example', 'AR-7', '60 minutes', 'I am done']) assert.ok(page.includes(words), words);
  assert.equal((await form('/pages/plan', { text: 'SECRET' }, cookie)).status, 303);
  assert.equal((await call('/.lockbox/done', { method: 'POST', cookie, headers: { origin: ORIGIN } })).status, 303);
  assert.equal((await call('/pages/plan', { cookie })).status, 403);
  const accesses = await until(() => lockbox.accesses().length === 3 && lockbox.accesses());
  assert.deepEqual(accesses.map(({ kind, action, item }) => [kind, action, item]), [
    ['access', 'view', 'GET /pages/{page}'], ['access', 'act_as', 'POST /pages/{page}'], ['refused', 'view', 'GET /pages/{page}'],
  ]);
  assert.ok(!JSON.stringify(accesses).includes('SECRET'));
});

test('another engineer’s token is refused in the example', async (t) => {
  const { lockbox, call, form } = await example(t);
  await until(() => lockbox.followers.size);
  const [sid] = (await form('/sign-in', { email: 'eve@provider.example' })).headers.getSetCookie()[0].split(';');
  await form('/impersonate/w1', {}, sid);
  const answer = await call('/pages', { cookie: `${sid}; __Host-lockbox=${lockbox.token()}` });
  assert.deepEqual([answer.status, (await answer.json()).code], [403, 'other_engineer']);
});

test('what the example recorded before it was killed is reported after its next start', async (t) => {
  const { lockbox, child, env, call, form } = await example(t);
  await until(() => lockbox.followers.size);
  lockbox.intercept = (_request, response, url) => url.pathname.endsWith('/accesses') && response.writeHead(503).end();
  const [sid] = (await form('/sign-in', { email: 'ada@provider.example' })).headers.getSetCookie()[0].split(';');
  await form('/impersonate/w1', {}, sid);
  for (let n = 0; n < 5; n += 1) assert.equal((await call('/pages', { cookie: `${sid}; __Host-lockbox=${lockbox.token()}` })).status, 200);
  child.kill('SIGKILL');
  await once(child, 'close');
  lockbox.intercept = () => false;
  const again = spawn(process.execPath, [APP], { env, stdio: 'ignore' });
  later(t, () => ended(again));
  await until(() => lockbox.accesses().length === 5);
});
