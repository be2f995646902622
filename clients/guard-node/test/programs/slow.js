/** Makes the disk of a program slow (node --import). */
import { open } from 'node:fs/promises';

const file = await open('.'), kind = Object.getPrototypeOf(file), { datasync } = kind;
await file.close();
kind.datasync = async function slow() {
  await new Promise((resolve) => { setTimeout(resolve, 700); });
  return datasync.call(this);
};
