/** A guard with a Customer Lockbox of its own, for one test. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guard } from 'lockbox-guard';
import { FakeLockbox, ORIGIN, SERVICE } from './lockbox.js';

const ends = new WeakMap();

/** Runs something at the end of a test: what began last ends first. */
export function later(t, end) {
  if (!ends.has(t)) {
    ends.set(t, []);
    t.after(async () => { for (const each of ends.get(t).reverse()) await each(); });
  }
  ends.get(t).push(end);
}

export function directory(t) {
  const place = mkdtempSync(join(tmpdir(), 'guard-'));
  later(t, () => rmSync(place, { recursive: true, force: true }));
  return place;
}

export async function lockboxFor(t, changes = {}) {
  const lockbox = await Object.assign(new FakeLockbox(), changes).listen();
  later(t, () => lockbox.close());
  return lockbox;
}

export function guardFor(t, lockbox, options = {}) {
  const guard = new Guard({ issuer: lockbox.issuer, service: SERVICE, clientId: 'quillo-app', clientSecret: 's3cret', origin: ORIGIN, queue: options.queue ?? join(directory(t), 'queue'), ...options });
  guard.troubles = [];
  guard.on('trouble', (error) => guard.troubles.push(error));
  later(t, () => guard.stop());
  return guard;
}

export async function setting(t, options) {
  const lockbox = await lockboxFor(t);
  const guard = guardFor(t, lockbox, options);
  await guard.start();
  return { lockbox, guard };
}

export const QUESTION = { identifier: 'w1', engineer: 'ada@provider.example', action: 'view' };
