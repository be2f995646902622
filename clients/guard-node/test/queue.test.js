import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Reporter } from '../src/lockbox.js';
import { Queue } from '../src/queue.js';
import { until } from './lockbox.js';
import { directory, lockboxFor } from './setting.js';
import { Lockbox } from '../src/lockbox.js';

const WRITER = new URL('programs/writer.js', import.meta.url).pathname;
/** `bin/test deep` sets DEEP. Then the queue gets as long, and the processes as many kills, as a bad day could give. */
const IS_DEEP = Boolean(process.env.DEEP), TOTAL = IS_DEEP ? 100_000 : 20_000, VICTIMS = IS_DEEP ? 20 : 3, STEADY = IS_DEEP ? '6000' : '2000';
const items = (records) => records.map((record) => JSON.parse(record).item);
const segments = (place) => readdirSync(place).filter((name) => name.endsWith('.log')).sort();

const opened = [];
after(() => Promise.all(opened.map((queue) => queue.close())));

function queueAt(...options) {
  const queue = new Queue(...options);
  opened.push(queue);
  return queue;
}

/** Takes everything out of the queue as a server would. */
async function drained(queue) {
  const found = [];
  for (let expected; ;) {
    const { first, records } = await queue.read();
    assert.equal(first, expected ?? first);
    if (!records.length) return found;
    found.push(...items(records));
    expected = first + records.length;
    await queue.settle(expected - 1);
  }
}

async function reporterFor(t, lockbox, queue) {
  const troubles = [];
  const reporter = new Reporter(new Lockbox({ issuer: lockbox.issuer, clientId: 'a', clientSecret: 'b' }), queue, (error) => troubles.push(error));
  return { reporter, troubles };
}

test('records come out in order, with dense numbers, also after a restart', async (t) => {
  const place = directory(t), queue = queueAt(place);
  await Promise.all(Array.from({ length: 50 }, (_, n) => queue.append({ item: `a${n}` })));
  const first = await queue.read();
  assert.deepEqual([first.first, items(first.records)], [1, Array.from({ length: 50 }, (_, n) => `a${n}`)]);
  await queue.settle(20);
  const again = queueAt(place);
  await again.append({ item: 'b0' });
  const second = await again.read();
  assert.deepEqual([second.first, second.guard, items(second.records).length, items(second.records).at(-1)], [21, first.guard, 31, 'b0']);
  assert.equal(again.backlog, 31);
});

test('a record is on the disk when append returns, and many share one write', async (t) => {
  const place = directory(t), queue = queueAt(place);
  await queue.append({ item: 'alone' });
  assert.match(readFileSync(join(place, segments(place)[0]), 'utf8'), /alone/);
  const begin = performance.now();
  await Promise.all(Array.from({ length: 2000 }, (_, n) => queue.append({ item: `x${n}` })));
  t.diagnostic(`2,000 at the same time: ${(performance.now() - begin).toFixed(0)} ms`);
  assert.equal(statSync(join(place, 'state.json')).mode & 0o77, 0);
});

test(`${TOTAL} accesses go through many segments: nothing lost, nothing twice`, async (t) => {
  const place = directory(t), queue = queueAt(place), total = TOTAL;
  const begin = performance.now();
  for (let n = 0; n < total; n += 5000) await Promise.all(Array.from({ length: 5000 }, (_, at) => queue.append({ item: `x${n + at}`, grant_id: 'c0ffee00-0000-4000-8000-000000000001', jti: 'c0ffee00-0000-4000-8000-000000000001' })));
  const middle = performance.now();
  assert.equal(queue.backlog, total);
  assert.ok(segments(place).length > total / 20_000);
  const found = await drained(queueAt(place));
  t.diagnostic(`in ${(middle - begin).toFixed(0)} ms, out ${(performance.now() - middle).toFixed(0)} ms`);
  assert.deepEqual(found, Array.from({ length: total }, (_, n) => `x${n}`));
  assert.equal(segments(place).length, 1);
});

test('several processes write to one queue, and one is killed at any write', async (t) => {
  const place = directory(t), written = [];
  const start = (name, ...words) => {
    const child = spawn(process.execPath, [WRITER, place, name, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
    let rest = '';
    child.stdout.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      written.push(...lines);
    });
    return child;
  };
  const steady = [start('s1', STEADY), start('s2', STEADY)];
  for (let n = 0; n < VICTIMS; n += 1) {
    const victim = start(`v${n}`);
    await until(() => written.some((name) => name.startsWith(`v${n}-`)));
    await new Promise((resolve) => { setTimeout(resolve, Math.random() * 60); });
    victim.kill('SIGKILL');
    await once(victim, 'close');
  }
  await Promise.all(steady.map((child) => child.exitCode ?? once(child, 'close')));
  const found = await drained(queueAt(place));
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
    const { first, records } = await queueAt(place).read();
    assert.deepEqual([first, items(records)], [1, ['a', 'b', 'c']]);
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
    for (const each of [name, 'state.json']) copyFileSync(join(source, each), join(place, each));
    truncateSync(join(place, name), size);
    const next = queueAt(place);
    await next.append({ item: 'c' });
    assert.deepEqual(items((await next.read()).records), ['a', 'c']);
  }
});

test('a sealed segment takes no more: a process that had it open goes on in the next one', async (t) => {
  const place = directory(t), one = queueAt(place), other = queueAt(place);
  await one.append({ item: 'a' });
  await other.append({ item: 'b' });
  appendFileSync(join(place, segments(place)[0]), '\nseal\n');
  await one.append({ item: 'c' });
  await other.append({ item: 'd' });
  assert.deepEqual(segments(place), ['0000000000000001.log', '0000000000000003.log']);
  assert.deepEqual(await drained(queueAt(place)), ['a', 'b', 'c', 'd']);
});

test('a full queue refuses accesses, and takes cuts', async (t) => {
  const queue = queueAt(directory(t), 2);
  for (const item of ['a', 'b']) await queue.append({ item });
  await assert.rejects(queue.append({ item: 'c' }), { code: 'queue_full' });
  await queue.append({ item: 'cut' }, { isUrgent: true });
  await queue.read();
  await queue.settle(3);
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
  assert.deepEqual(await drained(queueAt(place)), ['a', 'c']);
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
  const found = await drained(queue);
  assert.deepEqual(found, [...lines.filter((line) => line !== 'queue_unavailable'), 'after']);
});

test('the reporter sends in order and at most 1,000 at once, and each access counts once', async (t) => {
  const lockbox = await lockboxFor(t), queue = queueAt(directory(t));
  await Promise.all(Array.from({ length: 2500 }, (_, n) => queue.append({ item: `x${n}` })));
  const { reporter } = await reporterFor(t, lockbox, queue);
  while (await reporter.report());
  assert.deepEqual(lockbox.accesses().map(({ item }) => item), Array.from({ length: 2500 }, (_, n) => `x${n}`));
  assert.ok(lockbox.reports.every(({ count }) => count <= 1000));
  assert.equal(lockbox.reports[0].backlog, 2500);
});

test('an answer that got lost, a server that is down, and two reporters send nothing twice', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place);
  await Promise.all(Array.from({ length: 30 }, (_, n) => queue.append({ item: `x${n}` })));
  const { reporter } = await reporterFor(t, lockbox, queue);
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
  const { reporter: other } = await reporterFor(t, lockbox, queueAt(place));
  await Promise.all([reporter.report(), other.report()]);
  await reporter.report();
  assert.deepEqual(lockbox.accesses().map(({ item }) => item), [...Array.from({ length: 30 }, (_, n) => `x${n}`), 'last']);
});

test('a guard whose numbers can’t be used any more gets a new id, and loses nothing', async (t) => {
  const lockbox = await lockboxFor(t), place = directory(t), queue = queueAt(place), copy = directory(t);
  for (const item of ['a', 'b']) await queue.append({ item });
  cpSync(place, copy, { recursive: true });
  const { reporter } = await reporterFor(t, lockbox, queue);
  for (const item of ['c', 'd', 'e']) await queue.append({ item });
  while (await reporter.report());
  // The copy has less than the server knows.
  const { reporter: second } = await reporterFor(t, lockbox, queueAt(copy));
  await queueAt(copy).append({ item: 'f' });
  for (let n = 0; n < 3; n += 1) await second.report();
  assert.equal(lockbox.reported.size, 2);
  assert.ok(lockbox.accesses().some(({ item }) => item === 'f'));
  // The server was put back to an older state than the oldest record here.
  const { guard } = await queue.state();
  appendFileSync(join(place, segments(place)[0]), '\nseal\n');
  await queue.append({ item: 'g' });
  await reporter.report();
  lockbox.reported.get(guard).length = 1;
  await queue.append({ item: 'h' });
  for (let n = 0; n < 3; n += 1) await reporter.report();
  assert.ok(lockbox.reported.size === 3 && lockbox.accesses().some(({ item }) => item === 'h'));
});

test('a quiet guard gives a sign of life', async (t) => {
  const lockbox = await lockboxFor(t);
  const { reporter } = await reporterFor(t, lockbox, queueAt(directory(t)));
  await reporter.report();
  await reporter.report();
  assert.deepEqual(lockbox.reports.map(({ first, count, backlog, version }) => [first, count, backlog, version]), [[1, 0, 0, 'lockbox-guard-node/0.1.0']]);
});

test('an unreadable queue is no crash', async (t) => {
  const place = directory(t);
  writeFileSync(join(place, 'state.json'), 'not JSON');
  chmodSync(place, 0o700);
  await assert.rejects(queueAt(place).append({ item: 'a' }), { code: 'queue_unavailable' });
});
