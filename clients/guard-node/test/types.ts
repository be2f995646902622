/** Uses all of the public types as an application would. The compiler reads this file, and nothing runs it. */
import { createServer, type IncomingMessage } from 'node:http';
import { ANYBODY, Guard, type About, type Code, type Decision, type Options, type Rule } from 'lockbox-guard';

const options: Options = {
  issuer: 'https://lockbox.example', service: 'quillo', origin: 'https://app.example', clientId: 'a', clientSecret: 'b',
  queue: '/var/lib/quillo', queueLimit: 1_000_000, monotonic: () => 0,
  refused: (_request, _response, { code }) => code === 'window_closed',
};
const guard = new Guard(options);
guard.on('trouble', (error: Error) => console.error(error.message));

const rule: Rule<IncomingMessage> = ({ url }) => url !== '/' && { identifier: 'w1', engineer: ANYBODY, tenant: 'contoso', route: '/w/{id}' };
const later: Rule<{ user?: string }> = async ({ user }) => (user ? { resource: 'uuid', engineer: user, action: 'download' } : null);
createServer(guard.http(rule, (_request, response) => { response.end(); })).on('upgrade', guard.upgrade(rule, (_request, socket) => { socket.end(); }));
guard.express(later)({}, {}, () => undefined);
void guard.fastify(later)({});

const question = { token: 'x', identifier: 'w1', engineer: 'ada@provider.example', action: 'view' } as const;
const decision: Decision = await guard.decide(question);
const code: Code | '' = decision.code, texts: (string | undefined)[] = [decision.grant, decision.reference, decision.level, decision.identifier, decision.engineer, decision.closesAt];
const access = await guard.access(question, 'GET /w/{id}');
const { isOpen, done } = guard.watch(access, 'view', 'GET /w/{id}', () => undefined);
if (isOpen() && access.allowed && (access.secondsLeft ?? 0) + access.status > 0) done();
await guard.start();
await guard.stop();
console.log(code, texts);

// @ts-expect-error A rule names a resource.
const nothing: About = { engineer: 'ada@provider.example' };
// @ts-expect-error A rule says who is signed in.
const nobody: About = { identifier: 'w1' };
// @ts-expect-error Nothing else is an action.
const write: About = { identifier: 'w1', engineer: ANYBODY, action: 'write' };
// @ts-expect-error A guard has a queue.
new Guard({ issuer: '', service: '', origin: '', clientId: '', clientSecret: '' });
console.log(nothing, nobody, write);
