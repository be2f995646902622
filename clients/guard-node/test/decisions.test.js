import assert from 'node:assert/strict';
import { createHmac, createSecretKey } from 'node:crypto';
import { describe, test } from 'node:test';
import { ANYBODY } from 'lockbox-guard';
import { FakeLockbox, jws, newKey, until } from './lockbox.js';
import { guardFor, lockboxFor, QUESTION, setting } from './setting.js';

async function refusals(guard, question) { return (await guard.decide({ ...QUESTION, ...question })).code; }

// Most of these tests wait, so they run at the same time.
describe('decisions', { concurrency: 6 }, () => {
test('a good token allows what its window allows, and nothing else', async (t) => {
  const { lockbox, guard } = await setting(t);
  const token = lockbox.token();
  const decision = await guard.decide({ ...QUESTION, token });
  assert.equal(decision.allowed, true);
  assert.deepEqual([decision.grant, decision.reference, decision.level, decision.engineer], [lockbox.detail().grant_id, 'AR-7', 'view', 'ada@provider.example']);
  assert.ok(decision.secondsLeft > 3590 && decision.secondsLeft <= 3600);
  const cases = [
    [{ engineer: 'ADA@provider.example' }, ''], [{ engineer: lockbox.claims().sub }, ''], [{ engineer: ANYBODY }, ''],
    [{ engineer: 'eve@provider.example' }, 'other_engineer'], [{ engineer: '' }, 'other_engineer'], [{ engineer: undefined }, 'other_engineer'],
    [{ identifier: 'w2' }, 'out_of_scope'], [{ identifier: undefined }, 'out_of_scope'], [{ identifier: null }, 'out_of_scope'],
    [{ identifier: undefined, resource: lockbox.detail().resource }, ''], [{ resource: 'w1' }, 'out_of_scope'],
    [{ tenant: 'contoso' }, ''], [{ tenant: lockbox.detail().tenant }, ''], [{ tenant: 'fabrikam' }, 'out_of_scope'], [{ tenant: '' }, 'out_of_scope'],
    [{ action: 'list' }, ''], [{ action: 'download' }, 'level_too_low'], [{ action: 'act_as' }, 'level_too_low'], [{ action: undefined }, 'level_too_low'],
    [{ token: undefined }, 'no_token'], [{ token: '' }, 'no_token'],
  ];
  for (const [question, code] of cases) assert.equal(await refusals(guard, { token, ...question }), code, JSON.stringify(question));
});

test('an address is the same in any letter case, but only with ASCII letters', async (t) => {
  const { lockbox, guard } = await setting(t);
  const token = lockbox.token({ email: 'kim@provider.example' });
  for (const engineer of ['kim@provider.example', 'KIM@Provider.example']) assert.equal(await refusals(guard, { token, engineer }), '');
  // The sign for kelvin: its small letter is a k.
  assert.equal(await refusals(guard, { token, engineer: '\u212Aim@provider.example' }), 'other_engineer');
  const other = lockbox.token({ email: '\u212Aim@provider.example' });
  assert.deepEqual(await Promise.all(['kim@provider.example', '\u212Aim@provider.example'].map((engineer) => refusals(guard, { token: other, engineer }))), ['other_engineer', '']);
});

test('a token for several resources allows each of them', async (t) => {
  const { lockbox, guard } = await setting(t);
  const token = lockbox.token({}, ...Array.from({ length: 20 }, (_, n) => lockbox.detail({ identifier: `w${n}` })));
  for (let n = 0; n < 20; n += 1) assert.equal(await refusals(guard, { token, identifier: `w${n}` }), '');
  assert.equal(await refusals(guard, { token, identifier: 'w20' }), 'out_of_scope');
});

test('EdDSA tokens are good, too', async (t) => {
  const { lockbox, guard } = await setting(t);
  assert.equal(await refusals(guard, { token: lockbox.signed(lockbox.claims(), lockbox.keys[1]) }), '');
});

test('a changed token, and any trick with its header, is refused', async (t) => {
  const { lockbox, guard } = await setting(t);
  const [rsa, ed] = lockbox.keys, claims = lockbox.claims(), stranger = newKey('RS256', 'rsa');
  const good = lockbox.signed(claims), [head, , signature] = good.split('.');
  const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const mac = (key) => { const text = `${encoded({ typ: 'at+jwt', alg: 'HS256', kid: 'rsa' })}.${encoded(claims)}`; return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`; };
  const der = rsa.jwk.n;
  const tricks = {
    'other claims': `${head}.${encoded({ ...claims, email: 'eve@provider.example' })}.${signature}`,
    'other header': `${encoded({ typ: 'at+jwt', alg: 'RS256', kid: 'ed' })}.${good.split('.')[1]}.${signature}`,
    'no signature': `${head}.${good.split('.')[1]}.`,
    'alg none': `${encoded({ typ: 'at+jwt', alg: 'none', kid: 'rsa' })}.${encoded(claims)}.`,
    'HMAC with the public key': mac(Buffer.from(der, 'base64url')),
    'HMAC with the public PEM': mac(createSecretKey(Buffer.from('pem')).export()),
    'another key with the same id': lockbox.signed(claims, stranger),
    'RSA key with alg EdDSA': jws({ typ: 'at+jwt', alg: 'EdDSA', kid: 'rsa' }, claims, ed.privateKey, null),
    'EdDSA key with alg RS256': jws({ typ: 'at+jwt', alg: 'RS256', kid: 'ed' }, claims, rsa.privateKey),
    'PS256, which nobody allows': lockbox.signed(claims, rsa, { alg: 'PS256' }),
    'RS512, which nobody allows': jws({ typ: 'at+jwt', alg: 'RS512', kid: 'rsa' }, claims, rsa.privateKey, 'sha512'),
    jku: lockbox.signed(claims, stranger, { jku: 'https://evil.example/jwks.json' }),
    jwk: lockbox.signed(claims, stranger, { jwk: stranger.jwk }),
    x5u: lockbox.signed(claims, rsa, { x5u: 'https://evil.example/x' }),
    x5c: lockbox.signed(claims, rsa, { x5c: ['x'] }),
    crit: lockbox.signed(claims, rsa, { crit: ['b64'], b64: false }),
    'no kid': lockbox.signed(claims, rsa, { kid: undefined }),
    'unknown kid': lockbox.signed(claims, newKey('RS256', 'new')),
    'kid of the prototype': lockbox.signed(claims, rsa, { kid: 'constructor' }),
    'typ JWT': lockbox.signed(claims, rsa, { typ: 'JWT' }),
    'no typ': lockbox.signed(claims, rsa, { typ: undefined }),
    'other issuer': lockbox.token({ iss: 'https://evil.example' }),
    'other audience': lockbox.token({ aud: `${lockbox.issuer}/services/other` }),
    'several audiences': lockbox.token({ aud: [`${lockbox.issuer}/services/quillo`] }),
    'longer than five minutes': lockbox.token({ exp: claims.iat + 400 }),
    'from the future': lockbox.token({ iat: claims.iat + 60, exp: claims.iat + 120 }),
    'no exp': lockbox.token({ exp: undefined }), 'exp as text': lockbox.token({ exp: String(claims.exp) }),
    'no sub': lockbox.token({ sub: undefined }), 'no jti': lockbox.token({ jti: '' }),
    'no details': lockbox.token({ authorization_details: undefined }), 'empty details': lockbox.token({ authorization_details: [] }),
    'details of another kind': lockbox.token({}, lockbox.detail({ type: 'payment' })),
    'details of another service': lockbox.token({}, lockbox.detail({ service: 'other' })),
    'no end of the window': lockbox.token({}, lockbox.detail({ window_end: '' })), 'actions as text': lockbox.token({}, lockbox.detail({ actions: 'view' })),
    nonsense: 'x', dots: '..', 'two cookies': 'two cookies', 'very long': `${good}${'x'.repeat(20_000)}`, null: `${head}.${encoded(null)}.${signature}`,
  };
  for (const [name, token] of Object.entries(tricks)) assert.equal(await refusals(guard, { token }), 'invalid_token', name);
  assert.equal(await refusals(guard, { token: good }), '');
  assert.equal(lockbox.calls.filter(({ url }) => url.host !== new URL(lockbox.issuer).host).length, 0);
});

test('a key that is no signing key of these two kinds verifies nothing', async (t) => {
  const { lockbox, guard } = await setting(t);
  const [key] = lockbox.keys, odd = [{ use: 'enc' }, { alg: 'RS512' }, { kty: 'oct', k: 'AAAA' }, { d: 'AAAA' }];
  for (const [at, change] of odd.entries()) {
    lockbox.keys = [{ ...key, kid: `odd${at}`, jwk: { ...key.jwk, kid: `odd${at}`, ...change } }];
    lockbox.send('keys', {});
    const before = lockbox.calls.length;
    await until(async () => (await refusals(guard, { token: lockbox.token() })) === 'invalid_token' && lockbox.calls.length > before);
  }
});

test('a token ends by the time of the server', async (t) => {
  const { lockbox, guard } = await setting(t);
  const iat = Math.floor(lockbox.now() / 1000);
  assert.equal(await refusals(guard, { token: lockbox.token({ iat: iat - 300, exp: iat }) }), 'token_ended');
  const token = lockbox.token({ exp: iat + 2 });
  assert.equal(await refusals(guard, { token }), '');
  await until(async () => (await refusals(guard, { token })) === 'token_ended');
  const ending = lockbox.token({}, lockbox.detail({ window_end: new Date(lockbox.now() + 400).toISOString() }));
  assert.equal(await refusals(guard, { token: ending }), '');
  await until(async () => (await refusals(guard, { token: ending })) === 'window_ended', 1000);
});

for (const ahead of [3_600_000, -3_600_000]) {
  test(`a clock that is wrong by ${ahead / 3_600_000} hour changes nothing`, async (t) => {
    const lockbox = await lockboxFor(t, { ahead });
    const guard = guardFor(t, lockbox);
    await guard.start();
    const iat = Math.floor(lockbox.now() / 1000);
    assert.equal(await refusals(guard, { token: lockbox.token() }), '');
    assert.equal(await refusals(guard, { token: lockbox.token({ iat: iat - 301, exp: iat - 1 }) }), 'token_ended');
    assert.equal(await refusals(guard, { token: lockbox.token({}, lockbox.detail({ window_end: new Date(lockbox.now() - 2000).toISOString() })) }), 'window_ended');
  });
}

test('nothing is allowed before the first state', async (t) => {
  const lockbox = await lockboxFor(t, { isUp: false });
  const guard = guardFor(t, lockbox);
  void guard.start();
  assert.equal(await refusals(guard, { token: lockbox.token() }), 'feed_silent');
  lockbox.isUp = true;
  await until(async () => (await refusals(guard, { token: lockbox.token() })) === '');
});

test('a feed that begins with something else is not followed', async (t) => {
  const lockbox = await lockboxFor(t);
  lockbox.intercept = (_request, response, url) => url.pathname.endsWith('/feed')
    && response.writeHead(200, { 'content-type': 'text/event-stream' }).write(`event: sign\ndata: {"at":"${new Date().toISOString()}"}\n\n`);
  const guard = guardFor(t, lockbox);
  void guard.start();
  await until(() => guard.troubles.length);
  assert.equal(await refusals(guard, { token: lockbox.token() }), 'feed_silent');
});

test('a silent feed closes everything after 15 seconds, although the token lives', async (t) => {
  let slept = 0;
  const { lockbox, guard } = await setting(t, { monotonic: () => performance.now() + slept });
  const token = lockbox.token();
  clearInterval(lockbox.beat);
  slept = 14_000;
  assert.equal(await refusals(guard, { token }), '');
  slept = 15_001;
  assert.equal(await refusals(guard, { token }), 'feed_silent');
  lockbox.ahead = 15_001;
  lockbox.sign();
  await until(async () => (await refusals(guard, { token })) === '');
});

test('signs that are delayed by 15 seconds are no signs of life', async (t) => {
  let slept = 0;
  const { lockbox, guard } = await setting(t, { monotonic: () => performance.now() + slept });
  const token = lockbox.token();
  slept = 20_000;
  const signs = lockbox.calls.length;
  await until(() => guard.troubles.some(({ message }) => message === 'The feed is delayed.'));
  // The guard connects again, and a new state sets the time.
  await until(() => lockbox.calls.slice(signs).some(({ path }) => path.endsWith('/feed')));
  await until(async () => (await refusals(guard, { token })) === '');
});

test('a revoked grant is refused in less than a second, and after a reconnection, too', async (t) => {
  const { lockbox, guard } = await setting(t);
  const token = lockbox.token(), other = lockbox.token({}, lockbox.detail({ grant_id: 'c0ffee00-0000-4000-8000-000000000002' }));
  assert.equal(await refusals(guard, { token }), '');
  const begin = performance.now();
  lockbox.revoke();
  await until(async () => (await refusals(guard, { token })) === 'window_closed', 1000);
  t.diagnostic(`revoked to refused: ${(performance.now() - begin).toFixed(0)} ms`);
  assert.equal(await refusals(guard, { token: other }), '');
  lockbox.closed.push({ grant_id: 'c0ffee00-0000-4000-8000-000000000002', closed_at: '', reason: 'revoked' });
  for (const follower of lockbox.followers) follower.destroy();
  await until(async () => (await refusals(guard, { token: other })) === 'window_closed');
  assert.equal(lockbox.calls.filter(({ path }) => path.endsWith('/feed')).at(-1).headers['last-event-id'], '1');
});

test('a withdrawn key verifies nothing any more, not even a token that was verified before', async (t) => {
  const { lockbox, guard } = await setting(t);
  const token = lockbox.token();
  assert.equal(await refusals(guard, { token }), '');
  lockbox.keys[0] = newKey('RS256', 'rolled');
  lockbox.send('keys', {});
  await until(async () => (await refusals(guard, { token })) === 'invalid_token');
  assert.equal(await refusals(guard, { token: lockbox.token() }), '');
  const fetches = lockbox.calls.filter(({ path }) => path.endsWith('jwks.json'));
  assert.ok(fetches.length >= 2 && fetches.every(({ headers }) => headers['cache-control'] === 'no-cache'));
  // While the keys can't be fetched, the old ones are not used.
  lockbox.intercept = (_request, response, url) => url.pathname.endsWith('jwks.json') && response.writeHead(500).end();
  lockbox.send('keys', {});
  await until(async () => (await refusals(guard, { token: lockbox.token() })) === 'keys_unavailable');
  lockbox.intercept = () => false;
  await until(async () => (await refusals(guard, { token: lockbox.token() })) === '');
});

test('unknown keys make the guard fetch the keys only once in ten seconds', async (t) => {
  const { lockbox, guard } = await setting(t);
  await refusals(guard, { token: lockbox.token() });
  const fetches = () => lockbox.calls.filter(({ path }) => path.endsWith('jwks.json')).length, before = fetches();
  const unknown = newKey('EdDSA', 'unknown'), later = newKey('EdDSA', 'later');
  await Promise.all(Array.from({ length: 50 }, () => refusals(guard, { token: lockbox.signed(lockbox.claims(), unknown) })));
  assert.equal(fetches() - before, 1);
  // A key that came in the meantime is known after ten seconds, or after the feed says so.
  lockbox.keys.push(later);
  assert.equal(await refusals(guard, { token: lockbox.signed(lockbox.claims(), later) }), 'invalid_token');
  lockbox.send('keys', {});
  await until(async () => (await refusals(guard, { token: lockbox.signed(lockbox.claims(), later) })) === '');
});

test('the issuer has https, or is on this machine', () => {
  const lockbox = new FakeLockbox();
  const stay = { after() {} };
  assert.throws(() => guardFor(stay, { ...lockbox, issuer: 'http://lockbox.example' }, { queue: '/nonexistent' }), /https/);
  assert.throws(() => guardFor(stay, { ...lockbox, issuer: 'https://lockbox.example' }, { queue: '/nonexistent', origin: 'https://app.example/' }), /origin/);
  assert.throws(() => guardFor(stay, { ...lockbox, issuer: 'https://lockbox.example' }, { queue: '' }), /queue/);
});
});
