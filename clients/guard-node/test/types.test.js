import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as guard from 'lockbox-guard';

const path = (name) => new URL(name, import.meta.url).pathname;
const declared = readFileSync(path('../index.d.ts'), 'utf8');

test('an application can be written in TypeScript', () => {
  const words = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--exactOptionalPropertyTypes', path('types.ts')];
  const { status, stdout } = spawnSync(process.execPath, [path('../node_modules/typescript/bin/tsc'), ...words], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

test('the types name exactly what the package has', () => {
  const [, body] = /export class Guard[^{]*\{\n(.*?)^\}/ms.exec(declared);
  const methods = [...body.matchAll(/^ {2}(\w+)[(<]/gm)].map(([, name]) => name);
  const inner = ['session', 'redeem', 'renewed', 'release'];
  assert.deepEqual([...methods, ...inner].sort(), Object.getOwnPropertyNames(guard.Guard.prototype).sort());
  assert.deepEqual([...declared.matchAll(/^export (?:class|const) (\w+)/gm)].map(([, name]) => name).sort(), Object.keys(guard).sort());
  const [, options] = /export interface Options \{\n(.*?)^\}/ms.exec(declared);
  const source = readFileSync(path('../src/guard.js'), 'utf8');
  const taken = [...source.matchAll(/\{([^{}]*)\} = options;/g)].flatMap(([, names]) => names.split(','));
  const names = taken.map((each) => each.trim().split(' ')[0]);
  assert.deepEqual([...options.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name).sort(), names.sort());
});
