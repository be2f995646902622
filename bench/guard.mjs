// The guard for Node, for bench/guards.py and bench/revoked.py: `guard.mjs DIRECTORY_OF_THE_GUARD measure|watch`.
//
// measure: reads one JSON document, and prints the seconds of each decision.
// watch: reads a line with the options, then a line for each token. For each token it prints one line when the guard
// allows it, and one line with the time of the first refusal, in nanoseconds of the clock that all processes share.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const [directory, mode] = process.argv.slice(2);
const { Guard } = await import(`${directory}/src/index.js`);
const WARM_UP = 250;

async function timed(count, act) {
  const seconds = [];
  for (let n = -WARM_UP; n < count; n += 1) {
    const begun = process.hrtime.bigint();
    await act(Math.max(n, 0));
    if (n >= 0) seconds.push(Number(process.hrtime.bigint() - begun) / 1e9);
  }
  return seconds;
}

async function surely(decision) {
  const { allowed, code } = await decision;
  if (!allowed) throw new Error(`no: ${code}`);
}

if (mode === 'measure') {
  const { options, question, item, tokens, each } = JSON.parse(readFileSync(0, 'utf8'));
  const guard = new Guard(options), [known, ...others] = tokens, asked = { ...question, token: known };
  await guard.start();
  const decide = await timed(each, () => surely(guard.decide(asked)));
  const access = await timed(each, () => surely(guard.access(asked, item)));
  const first = [];
  for (const token of others) {
    const begun = process.hrtime.bigint();
    await surely(guard.decide({ ...question, token }));
    first.push(Number(process.hrtime.bigint() - begun) / 1e9);
  }
  // A pipe takes in only a part at once.
  await new Promise((resolve) => process.stdout.write(JSON.stringify({ decide, access, first }), resolve));
  process.exit(0);
}

let guard, question;
for await (const line of createInterface({ input: process.stdin })) {
  const found = JSON.parse(line);
  if (!guard) {
    ({ question } = found);
    guard = new Guard(found.options);
    await guard.start();
    continue;
  }
  const asked = { ...question, ...found };
  while (!(await guard.decide(asked)).allowed) await pause(1);
  console.log('allowed');
  while ((await guard.decide(asked)).allowed) await pause(1);
  console.log(String(process.hrtime.bigint()));
}
process.exit(0);
