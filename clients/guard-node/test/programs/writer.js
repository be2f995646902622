/**
 * Appends records without end, and prints the name of each one that is on the disk. Dies by SIGKILL. With the address
 * of a server, it also reports them.
 */
import { Lockbox } from '../../src/lockbox.js';
import { Queue } from '../../src/queue.js';
import { Reporter } from '../../src/reporter.js';

const [, , place, name, limit = '0', issuer] = process.argv;
const queue = new Queue(place);
if (issuer) new Reporter(new Lockbox({ issuer, clientId: 'a', clientSecret: 'b' }), place, () => undefined).start();
for (let n = 0; !Number(limit) || n < Number(limit); n += 20) {
  await Promise.all(Array.from({ length: 20 }, async (_, at) => {
    await queue.append({ item: `${name}-${n + at}`, words: 'ü€😀'.repeat(at) });
    process.stdout.write(`${name}-${n + at}\n`);
  }));
  // The writers of a reporter don't fill the disk while they wait for it.
  if (issuer) await new Promise((resolve) => { setTimeout(resolve, 20); });
}
