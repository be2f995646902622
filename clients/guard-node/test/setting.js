/** A guard with a Customer Lockbox of its own, for one test. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guard } from 'lockbox-guard';
import { FakeLockbox, ORIGIN, SERVICE } from './lockbox.js';

export function directory(t) {
  const place = mkdtempSync(join(tmpdir(), 'guard-'));
  t.after(() => rmSync(place, { recursive: true, force: true }));
  return place;
}

export async function lockboxFor(t, changes = {}) {
  const lockbox = await Object.assign(new FakeLockbox(), changes).listen();
  t.after(() => lockbox.close());
  return lockbox;
}

export function guardFor(t, lockbox, options = {}) {
  const guard = new Guard({ issuer: lockbox.issuer, service: SERVICE, clientId: 'quillo-app', clientSecret: 's3cret', origin: ORIGIN, queue: join(directory(t), 'queue'), ...options });
  guard.troubles = [];
  guard.on('trouble', (error) => guard.troubles.push(error));
  t.after(() => guard.stop());
  return guard;
}

export async function setting(t, options) {
  const lockbox = await lockboxFor(t);
  const guard = guardFor(t, lockbox, options);
  await guard.start();
  return { lockbox, guard };
}

export const QUESTION = { identifier: 'w1', engineer: 'ada@provider.example', action: 'view' };
