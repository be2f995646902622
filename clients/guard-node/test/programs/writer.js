/** Appends records without end, and prints the name of each one that is on the disk. Dies by SIGKILL. */
import { Queue } from '../../src/queue.js';

const [, , place, name, limit = '0'] = process.argv;
const queue = new Queue(place);
for (let n = 0; !Number(limit) || n < Number(limit); n += 20) {
  await Promise.all(Array.from({ length: 20 }, async (_, at) => {
    await queue.append({ item: `${name}-${n + at}`, words: 'ü€😀'.repeat(at) });
    process.stdout.write(`${name}-${n + at}\n`);
  }));
}
