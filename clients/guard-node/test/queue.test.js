import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Lockbox } from '../src/lockbox.js';
import { Queue } from '../src/queue.js';
import { Reporter } from '../src/reporter.js';
import { until } from './lockbox.js';
import { directory, later, lockboxFor } from './setting.js';

const WRITER = new URL('programs/writer.js', import.meta.url).pathname;
/** `bin/test deep` sets DEEP. Then the queue gets as long, and the processes as many kills, as a bad day could give. */
const IS_DEEP = Boolean(process.env.DEEP), TOTAL = IS_DEEP ? 100_000 : 20_000, VICTIMS = IS_DEEP ? 20 : 3, STEADY = IS_DEEP ? '6000' : '2000';
const ROUNDS = IS_DEEP ? 3 : 1;
const segments = (place) => readdirSync(place).filter((name) => name.endsWith('.log')).sort();

const opened = [];
after(() => Promise.all(opened.map((queue) => queue.close())));

function queueAt(...options) {
  const queue = new Queue(...options);
  opened.push(queue);
  return queue;
}

function reporterFor(lockbox, place) {
  const troubles = [], client = new Lockbox({ issuer: lockbox.issuer, clientId: 'a', clientSecret: 'b' });
  return Object.assign(new Reporter(client, place, (error) => troubles.push(error)), { troubles });
}

/** Sends all that is in the queue to a server. Returns the items of all accesses that the server has. */
async function drained(t, place, lockbox) {
  const server = lockbox ?? await lockboxFor(t), reporter = reporterFor(server, place);
  // The reporter before may be dead. The next one waits until that is clear.
  await until(() => reporter.report());
  while (await reporter.report());
  await reporter.stop();
  return server.accesses().map(({ item }) => item);
}

test('records come out in order, with dense numbers, also after a restart', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place);
  await Promise.all(Array.from({ length: 50 }, (_, n) => queue.append({ item: `a${n}` })));
  const all = Array.from({ length: 50 }, (_, n) => `a${n}`);
  assert.deepEqual(await drained(t, place, lockbox), all);
  await queueAt(place).append({ item: 'b0' });
  assert.deepEqual(await drained(t, place, lockbox), [...all, 'b0']);
  assert.equal(lockbox.reported.size, 1);
  assert.deepEqual(lockbox.reports.map(({ first, count, backlog }) => [first, count, backlog]), [[1, 0, 0], [1, 50, 50], [51, 0, 0], [51, 1, 1]]);
});

test('a record is synced when append returns, and many share one write', async (t) => {
  const place = directory(t), queue = queueAt(place), file = await open(place), kind = Object.getPrototypeOf(file);
  await file.close();
  const { datasync, sync } = kind, synced = { files: 0, directories: 0 };
  t.after(() => Object.assign(kind, { datasync, sync }));
  Object.assign(kind, {
    async datasync() { await datasync.call(this); synced.files += 1; },
    async sync() { await sync.call(this); synced.directories += 1; },
  });
  for (let n = 1; n <= 3; n += 1) {
    let isOnDisk = false;
    const append = queue.append({ item: `n${n}` }).then(() => { isOnDisk = synced.files === n; });
    await append;
    assert.ok(isOnDisk, `${synced.files} of ${n}`);
  }
  // The new file in its directory, and the new directory in its parent.
  assert.equal(synced.directories, 2);
  assert.match(readFileSync(join(place, segments(place)[0]), 'utf8'), /n3/);
  await Promise.all(Array.from({ length: 2000 }, (_, n) => queue.append({ item: `x${n}` })));
  assert.ok(synced.files <= 3 + 3, String(synced.files));
  assert.equal(statSync(join(place, segments(place)[0])).mode & 0o77, 0);
});

test(`${TOTAL} accesses go through many segments: nothing lost, nothing twice`, async (t) => {
  const place = directory(t), queue = queueAt(place), total = TOTAL;
  const begin = performance.now();
  for (let n = 0; n < total; n += 5000) await Promise.all(Array.from({ length: 5000 }, (_, at) => queue.append({ item: `x${n + at}`, grant_id: 'c0ffee00-0000-4000-8000-000000000001', jti: 'c0ffee00-0000-4000-8000-000000000001' })));
  const middle = performance.now();
  assert.ok(segments(place).length > total / 20_000);
  const found = await drained(t, place);
  t.diagnostic(`in ${(middle - begin).toFixed(0)} ms, out ${(performance.now() - middle).toFixed(0)} ms`);
  assert.deepEqual(found, Array.from({ length: total }, (_, n) => `x${n}`));
  assert.equal(segments(place).length, 1);
});

/** Starts a process that appends records. Their names come into a list when they are on the disk. */
function writer(written, place, ...words) {
  const child = spawn(process.execPath, [WRITER, place, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  let rest = '';
  child.stdout.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    written.push(...lines);
  });
  return child;
}

test('several processes write to one queue, and one is killed at any write', async (t) => {
  const place = directory(t), written = [], start = (...words) => writer(written, place, ...words);
  const steady = [start('s1', STEADY), start('s2', STEADY)];
  for (let n = 0; n < VICTIMS; n += 1) {
    const victim = start(`v${n}`);
    await until(() => written.some((name) => name.startsWith(`v${n}-`)));
    await new Promise((resolve) => { setTimeout(resolve, Math.random() * 60); });
    victim.kill('SIGKILL');
    await once(victim, 'close');
  }
  await Promise.all(steady.map((child) => child.exitCode ?? once(child, 'close')));
  const found = await drained(t, place);
  assert.deepEqual(written.filter((name) => !found.includes(name)), []);
  assert.equal(new Set(found).size, found.length);
  // Of a group that a killed process did not confirm, some records may be there.
  assert.ok(found.length - written.length < 500, `${found.length} of ${written.length}`);
});

for (const [name, tail] of [['half a line', '0123456789abcdef 0123'], ['half a line with zeros', '\0\0\0\0'], ['a line with a wrong sum', `${'0'.repeat(16)} 0123456789ab {"item":"forged"}\n`], ['nothing but breaks', '\n\n\n']]) {
  test(`what is left of a torn write doesn't count: ${name}`, async (t) => {
    const place = directory(t), queue = queueAt(place);
    await queue.append({ item: 'a' });
    appendFileSync(join(place, segments(place)[0]), tail);
    await queue.append({ item: 'b' });
    await queueAt(place).append({ item: 'c' });
    assert.deepEqual(await drained(t, place), ['a', 'b', 'c']);
  });
}

test('a record cut at any byte is not counted, and its number goes to the next one', async (t) => {
  const source = directory(t), queue = queueAt(source);
  for (const item of ['a', 'b']) await queue.append({ item });
  const [name] = segments(source), whole = statSync(join(source, name)).size;
  const begin = readFileSync(join(source, name), 'latin1').lastIndexOf('\n', whole - 2) + 1;
  for (let size = begin; size < whole - 1; size += 1) {
    const place = join(source, String(size));
    mkdirSync(place);
    copyFileSync(join(source, name), join(place, name));
    truncateSync(join(place, name), size);
    await queueAt(place).append({ item: 'c' });
    assert.deepEqual(await drained(t, place), ['a', 'c']);
  }
});

test('a sealed segment takes no more: a process that had it open goes on in the next one', async (t) => {
  const place = directory(t), one = queueAt(place), other = queueAt(place);
  await one.append({ item: 'a' });
  await other.append({ item: 'b' });
  appendFileSync(join(place, segments(place)[0]), '\nseal\n');
  await one.append({ item: 'c' });
  await other.append({ item: 'd' });
  assert.deepEqual(segments(place), ['000000000001.log', '000000000002.log']);
  assert.deepEqual(await drained(t, place), ['a', 'b', 'c', 'd']);
});

test('a full queue refuses accesses, and takes cuts', async (t) => {
  const place = directory(t), queue = queueAt(place, 1), words = 'y'.repeat(1000);
  await Promise.allSettled(Array.from({ length: 3000 }, (_, n) => queue.append({ item: `x${n}`, words })));
  await assert.rejects(queue.append({ item: 'c' }), { code: 'queue_full' });
  await assert.rejects(queueAt(place, 1).append({ item: 'c' }), { code: 'queue_full' });
  await queue.append({ item: 'cut' }, { isUrgent: true });
  assert.equal((await drained(t, place)).at(-1), 'cut');
  await queue.append({ item: 'd' });
});

test('a queue that can’t be written refuses, and works again afterwards', async (t) => {
  const place = directory(t);
  writeFileSync(join(place, 'file'), '');
  await assert.rejects(queueAt(join(place, 'file', 'queue')).append({ item: 'a' }), { code: 'queue_unavailable' });
  await assert.rejects(queueAt('/proc/no/such/place').append({ item: 'a' }), { code: 'queue_unavailable' });
  const queue = queueAt(join(place, 'queue'));
  await queue.append({ item: 'a' });
  rmSync(join(place, 'queue'), { recursive: true });
  writeFileSync(join(place, 'queue'), '');
  await assert.rejects(queue.append({ item: 'b' }), { code: 'queue_unavailable' });
  rmSync(join(place, 'queue'));
  await queue.append({ item: 'c' });
});

test('a full disk refuses: nothing of the refused access is taken for a record', async (t) => {
  const place = directory(t), queue = queueAt(place);
  await queue.append({ item: 'a' });
  // Every write to /dev/full fails with ENOSPC.
  const [name] = segments(place), kept = readFileSync(join(place, name));
  rmSync(join(place, name));
  symlinkSync('/dev/full', join(place, name));
  await assert.rejects(queueAt(place).append({ item: 'b' }), { code: 'queue_unavailable' });
  rmSync(join(place, name));
  writeFileSync(join(place, name), kept);
  await queueAt(place).append({ item: 'c' });
  assert.deepEqual(await drained(t, place), ['a', 'c']);
});

test('on a disk that takes only a part of a record, the access is refused and the next ones count', async (t) => {
  const place = directory(t);
  const program = `import { Queue } from ${JSON.stringify(new URL('../src/queue.js', import.meta.url).href)};
    const queue = new Queue(${JSON.stringify(place)});
    for (let n = 0; n < 20; n += 1) console.log(await queue.append({ item: 'x' + n, words: 'y'.repeat(200) }).then(() => 'x' + n, (error) => error.code));`;
  // The shell limits files to 2 KiB, and a write over the limit takes only a part.
  const run = spawnSync('sh', ['-c', `trap '' XFSZ; ulimit -f 4; exec "$0" --input-type=module -e "$1"`, process.execPath, program], { encoding: 'utf8' });
  const lines = run.stdout.trim().split('\n');
  assert.ok(lines.includes('queue_unavailable') && lines[0] === 'x0', run.stdout + run.stderr);
  const queue = queueAt(place);
  await queue.append({ item: 'after' });
  const found = await drained(t, place);
  assert.deepEqual(found, [...lines.filter((line) => line !== 'queue_unavailable'), 'after']);
});

test('the reporter sends in order and at most 1,000 at once, and each access counts once', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place);
  await Promise.all(Array.from({ length: 2500 }, (_, n) => queue.append({ item: `x${n}` })));
  assert.deepEqual(await drained(t, place, lockbox), Array.from({ length: 2500 }, (_, n) => `x${n}`));
  assert.deepEqual(lockbox.reports.map(({ count }) => count > 0 && count <= 1000), [false, true, true, true]);
  const [, { backlog }] = lockbox.reports;
  assert.ok(Math.abs(backlog - 2500) < 50, String(backlog));
});

// These tests wait for a reporter that is dead, so they run at the same time.
describe('reporters', { concurrency: true }, () => {
test('an answer that got lost, and a server that is down, send nothing twice', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place), reporter = reporterFor(lockbox, place);
  await reporter.report();
  const all = Array.from({ length: 30 }, (_, n) => `x${n}`);
  await Promise.all(all.map((item) => queue.append({ item })));
  // The server takes the report, but its answer gets lost.
  lockbox.intercept = (request, response, url) => {
    if (url.pathname.endsWith('/accesses')) response.writeHead = () => response.destroy();
    return false;
  };
  await assert.rejects(reporter.report());
  assert.equal(lockbox.accesses().length, 30);
  lockbox.intercept = () => false;
  lockbox.isUp = false;
  await assert.rejects(reporter.report());
  lockbox.isUp = true;
  await queue.append({ item: 'last' });
  // A new life doesn't know whether the server has the report.
  assert.deepEqual(await drained(t, place, lockbox), [...all, 'last']);
  assert.equal(lockbox.reported.size, 1);
});

test('one process reports. Another one takes over when it ends, or after three seconds when it is dead', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place);
  const [one, other, third] = [1, 2, 3].map(() => reporterFor(lockbox, place));
  one.start();
  await until(() => lockbox.reports.length);
  for (let n = 0; n < 3; n += 1) assert.equal(await other.report(), false);
  await one.stop();
  const begin = performance.now();
  await queue.append({ item: 'a' });
  while (await other.report());
  assert.ok(performance.now() - begin < 1000);
  // `other` gives no sign of life now: nothing touches its file.
  await queue.append({ item: 'b' });
  await until(() => third.report());
  const waited = performance.now() - begin;
  assert.ok(waited > 2900, String(waited));
  while (await third.report());
  // It was not dead: it finds that it is not the reporter any more, also in the middle of a report.
  await queue.append({ item: 'c' });
  assert.equal(await other.report(), false);
  while (await third.report());
  assert.deepEqual(lockbox.accesses().map(({ item }) => item), ['a', 'b', 'c']);
  assert.deepEqual([lockbox.reported.size, new Set(lockbox.reports.map(({ life }) => life)).size], [1, 3]);
});

test('a report that comes after another process took over is sent by that one', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place);
  const [one, other] = [1, 2].map(() => reporterFor(lockbox, place));
  await one.report();
  await queue.append({ item: 'a' });
  let late;
  lockbox.intercept = (_request, response, url, text) => {
    if (!url.pathname.endsWith('/accesses') || late) return false;
    return Boolean(late = { text, response });
  };
  const report = one.report();
  await until(() => late);
  await until(() => other.report());
  late.response.writeHead(409, { 'content-type': 'application/json' }).end('{"code":"guard_copied"}');
  await report;
  assert.equal(await one.report(), false);
  while (await other.report());
  assert.deepEqual([lockbox.accesses().map(({ item }) => item), lockbox.reported.size], [['a'], 1]);
});

test('several processes report, answers get lost, and each reporter is killed: nothing lost, nothing twice', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), written = [], running = [];
  later(t, () => running.forEach((child) => child.kill('SIGKILL')));
  // Every third answer gets lost after the server has taken the report.
  let count = 0;
  lockbox.intercept = (_request, response, url) => {
    count += 1;
    if (url.pathname.endsWith('/accesses') && count % 3 === 0) response.writeHead = () => response.destroy();
    return false;
  };
  const start = (name) => running.push(writer(written, place, name, '0', lockbox.issuer));
  start('p');
  await until(() => lockbox.reports.length);
  for (let n = 0; n < ROUNDS; n += 1) {
    start(`p${n}`);
    // The one that began first is the reporter. It is killed some reports later, and after three seconds another one goes on.
    const reports = lockbox.reports.length;
    await until(() => lockbox.reports.length > reports + 4, 15_000);
    await new Promise((resolve) => { setTimeout(resolve, Math.random() * 100); });
    running.shift().kill('SIGKILL');
  }
  await until(() => new Set(lockbox.reports.map(({ life }) => life)).size > ROUNDS, 15_000);
  const ends = running.map((child) => once(child, 'close'));
  for (const child of running) child.kill('SIGKILL');
  await Promise.all(ends);
  lockbox.intercept = () => false;
  const found = await drained(t, place, lockbox);
  assert.deepEqual(written.filter((name) => !found.includes(name)), []);
  assert.equal(new Set(found).size, found.length);
  assert.equal(lockbox.reported.size, 1);
  t.diagnostic(`${found.length} accesses, ${lockbox.lives.size} guard, ${new Set(lockbox.reports.map(({ life }) => life)).size} lives`);
});

for (const [name, inFlight] of [['', false], [' while a report is under way', true]]) {
  test(`a queue that is copied to a second machine${name} loses nothing`, async (t) => {
    const lockbox = await lockboxFor(t), place = directory(t), copy = directory(t), queue = queueAt(place);
    const original = reporterFor(lockbox, place);
    for (const item of ['a', 'b']) await queue.append({ item });
    await original.report();
    if (inFlight) lockbox.intercept = (_request, response, url) => url.pathname.endsWith('/accesses') && response.writeHead(503).end();
    await original.report().catch(() => undefined);
    cpSync(place, copy, { recursive: true });
    lockbox.intercept = () => false;
    // The original goes on, then the copy has as many accesses of its own.
    for (const item of ['c', 'd']) await queue.append({ item });
    while (await original.report());
    const copied = queueAt(copy), second = reporterFor(lockbox, copy);
    for (const item of ['C', 'D', 'E']) await copied.append({ item });
    await until(() => second.report());
    while (await second.report());
    await queue.append({ item: 'e' });
    while (await original.report());
    await copied.append({ item: 'F' });
    while (await second.report());
    const found = lockbox.accesses().map(({ item }) => item);
    assert.deepEqual([...new Set(found)].sort(), ['C', 'D', 'E', 'F', 'a', 'b', 'c', 'd', 'e']);
    assert.ok(lockbox.reported.size >= 2);
    assert.equal(found.length, 9, 'nothing twice');
  });
}
});

test('a server that was put back gets what it lost, as far as it is here, from a new guard', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place), reporter = reporterFor(lockbox, place);
  for (const item of ['a', 'b']) await queue.append({ item });
  while (await reporter.report());
  const [known] = lockbox.reported.values();
  known.length = 1;
  await queue.append({ item: 'c' });
  while (await reporter.report());
  assert.deepEqual([...lockbox.reported.values()].map((accesses) => accesses.map(({ item }) => item)), [['a'], ['c']]);
});

test('a quiet guard gives a sign of life', async (t) => {
  const lockbox = await lockboxFor(t), reporter = reporterFor(lockbox, directory(t));
  await reporter.report();
  await reporter.report();
  assert.deepEqual(lockbox.reports.map(({ first, count, backlog, version }) => [first, count, backlog, version]), [[1, 0, 0, 'lockbox-guard-node/0.1.0']]);
});

test('an unreadable state is no crash, and is left as it is', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), reporter = reporterFor(lockbox, place);
  writeFileSync(join(place, 'reporter-000000000001'), 'not JSON');
  await queueAt(place).append({ item: 'a' });
  await assert.rejects(reporter.report(), SyntaxError);
  await assert.rejects(reporter.guard(), SyntaxError);
  assert.equal(readFileSync(join(place, 'reporter-000000000001'), 'utf8'), 'not JSON');
});
