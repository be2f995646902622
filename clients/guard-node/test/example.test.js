import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ORIGIN, until } from './lockbox.js';
import { directory, later, lockboxFor } from './setting.js';

const APP = new URL('../example/app.js', import.meta.url).pathname, SLOW = new URL('programs/slow.js', import.meta.url).pathname;

async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'close');
}

async function example(t, ...preload) {
  const lockbox = await lockboxFor(t);
  const env = {
    PATH: process.env.PATH, PORT: '0', ORIGIN, LOCKBOX_URL: lockbox.issuer, LOCKBOX_SERVICE: 'quillo',
    PASSWORD: 'p', TENANT: lockbox.detail().tenant, LOCKBOX_CLIENT_ID: 'quillo-app', LOCKBOX_CLIENT_SECRET: 's3cret', LOCKBOX_QUEUE: join(directory(t), 'queue'),
  };
  const child = spawn(process.execPath, [...preload.flatMap((path) => ['--import', path]), APP], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  later(t, () => ended(child));
  const [line] = await once(child.stdout, 'data');
  const base = `http://127.0.0.1:${/\d+/.exec(line)[0]}`;
  const call = (path, { cookie = '', ...options } = {}) => fetch(base + path, { redirect: 'manual', ...options, headers: { cookie, ...options.headers } });
  const form = (path, fields, cookie) => call(path, { method: 'POST', cookie, body: new URLSearchParams(fields) });
  const signIn = async (username) => (await form('/sign-in', { username, password: 'p' })).headers.getSetCookie()[0].split(';')[0];
  /** Signs an engineer in, and begins to see the workspace as its user with this token. */
  const impersonate = async (token) => {
    const sid = await signIn('ada@provider.example');
    const begun = await form('/impersonate/w1', {}, `${sid}; __Host-lockbox=${token}`);
    assert.equal(begun.status, 303);
    return begun.headers.getSetCookie()[0].split(';')[0];
  };
  return { lockbox, child, env, call, form, signIn, impersonate };
}

test('the example has at most ten lines for the guard', () => {
  const [, lines] = /from here -+\n(.*?)\n\/\/ --- to here/s.exec(readFileSync(APP, 'utf8'));
  assert.ok(lines.split('\n').length <= 9);
});

const html = { accept: 'text/html' };

test('an engineer of the example works in a workspace while the window is open, and each request is in the log', async (t) => {
  const { lockbox, call, form, signIn, impersonate } = await example(t);
  await until(() => lockbox.followers.size);
  const engineer = await signIn('ada@provider.example');
  const refused = await call('/impersonate/w1', { method: 'POST', cookie: engineer, headers: html });
  assert.deepEqual([refused.status, refused.headers.get('location')], [303, '/support/w1']);
  assert.equal((await call('/impersonate/w%31', { method: 'POST', cookie: engineer })).status, 401);
  assert.equal((await call('/IMPERSONATE/w1', { method: 'POST', cookie: engineer })).status, 303);
  assert.equal((await call('/pages/plan', { cookie: engineer })).headers.get('location'), '/support');

  const acting = lockbox.detail({ level: 'act_as', actions: ['list', 'view', 'read', 'download', 'act_as'] });
  const token = lockbox.token({}, acting), sid = await impersonate(token), cookie = `${sid}; __Host-lockbox=${token}`;
  const page = await (await call('/pages/plan?q=SECRET', { cookie })).text();
  for (const words of ['The plan for the year', 'nina@contoso.example', 'AR-7', '60 minutes', 'I am done']) assert.ok(page.includes(words), words);
  assert.equal((await form('/pages/plan', { body: 'SECRET' }, cookie)).status, 303);
  assert.equal((await call('/.lockbox/done', { method: 'POST', cookie, headers: { origin: ORIGIN } })).status, 303);
  const after = await call('/pages/plan', { cookie, headers: html });
  assert.deepEqual([after.status, after.headers.get('location')], [303, '/support/w1']);
  assert.equal((await call('/pages/plan', { cookie })).headers.get('location'), '/sign-in');
  const accesses = await until(() => lockbox.accesses().length === 4 && lockbox.accesses());
  assert.deepEqual(accesses.map(({ kind, action, item }) => [kind, action, item]), [
    ['access', 'view', 'POST /impersonate/{workspace}'], ['access', 'view', 'GET /pages/{page}'],
    ['access', 'act_as', 'POST /pages/{page}'], ['refused', 'view', 'GET /pages/{page}'],
  ]);
  assert.ok(!JSON.stringify(accesses).includes('SECRET'));
});

test('a request of the example works with what was decided, although the session changes while it is recorded', async (t) => {
  const { lockbox, call, form, impersonate } = await example(t, SLOW);
  await until(() => lockbox.followers.size);
  const token = lockbox.token({}, lockbox.detail({ level: 'act_as', actions: ['list', 'view', 'read', 'download', 'act_as'] }));
  const sid = await impersonate(token), cookie = `${sid}; __Host-lockbox=${token}`;
  const begin = performance.now(), changing = form('/pages/plan', { body: 'Changed' }, cookie), reading = call('/pages/team', { cookie });
  await new Promise((resolve) => { setTimeout(resolve, 100); });
  // This is not guarded, so it does not wait for the disk.
  const released = await form('/release', {}, sid);
  assert.deepEqual([released.headers.get('location'), performance.now() - begin < 700], ['/support/w1', true]);
  const answers = await Promise.all([changing, reading]);
  assert.deepEqual([answers[0].headers.get('location'), answers[1].status], ['/pages/plan', 200]);
  assert.ok((await answers[1].text()).includes('Who does what'));
  assert.equal((await call('/pages/team', { cookie })).headers.get('location'), '/sign-in');
});

test('another engineer’s token is refused in the example', async (t) => {
  const { lockbox, form, signIn } = await example(t);
  await until(() => lockbox.followers.size);
  const answer = await form('/impersonate/w1', {}, `${await signIn('eve@provider.example')}; __Host-lockbox=${lockbox.token()}`);
  assert.deepEqual([answer.status, (await answer.json()).code], [403, 'other_engineer']);
});

test('the customers of the example need no window, and no Customer Lockbox', async (t) => {
  const { lockbox, call, form, signIn } = await example(t);
  await lockbox.close();
  const cookie = await signIn('nina@contoso.example');
  assert.equal((await form('/pages/plan', { body: 'Our own words' }, cookie)).status, 303);
  const page = await (await call('/pages/plan', { cookie })).text();
  assert.deepEqual([page.includes('Our own words'), page.includes('I am done')], [true, false]);
});

test('what the example recorded before it was killed is reported after its next start', async (t) => {
  const { lockbox, child, env, call, impersonate } = await example(t);
  await until(() => lockbox.followers.size);
  lockbox.intercept = (_request, response, url) => url.pathname.endsWith('/accesses') && response.writeHead(503).end();
  const token = lockbox.token(), cookie = `${await impersonate(token)}; __Host-lockbox=${token}`;
  for (let n = 0; n < 4; n += 1) assert.equal((await call('/', { cookie })).status, 200);
  child.kill('SIGKILL');
  await once(child, 'close');
  lockbox.intercept = () => false;
  const again = spawn(process.execPath, [APP], { env, stdio: 'ignore' });
  later(t, () => ended(again));
  await until(() => lockbox.accesses().length === 5);
});
