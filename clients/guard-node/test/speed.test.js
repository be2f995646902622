import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QUESTION, setting } from './setting.js';

test('after the first verification, a decision takes at most 20 µs in the median', async (t) => {
  const { lockbox, guard } = await setting(t);
  const question = { ...QUESTION, token: lockbox.token(), tenant: 'contoso' };
  await guard.decide(question);
  const measured = [];
  for (let tries = 0; tries < 3; tries += 1) {
    const times = [];
    for (let n = 0; n < 20_000; n += 1) {
      // A token from a request is a new string each time.
      const token = Buffer.from(question.token).toString();
      const begin = process.hrtime.bigint();
      const { allowed } = await guard.decide({ ...question, token });
      times.push(Number(process.hrtime.bigint() - begin) / 1000);
      assert.equal(allowed, true);
    }
    times.sort((a, b) => a - b);
    measured.push(times[times.length / 2]);
    t.diagnostic(`decision: p50 ${times[10_000].toFixed(1)} µs, p99 ${times[19_800].toFixed(1)} µs`);
    if (measured.at(-1) <= 20) return;
  }
  assert.fail(`p50 in µs: ${measured}`);
});
