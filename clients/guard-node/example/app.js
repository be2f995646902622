/**
 * A wiki with support impersonation, guarded by Customer Lockbox. The engineers of the provider sign in, and see a
 * customer's workspace as its user. The lines between the two marks are all that the guard needs.
 */

import { randomBytes } from 'node:crypto';
import express from 'express';
import { Guard } from 'lockbox-guard';
import * as desk from './desk.js';
import * as views from './views.js';

const { PORT = '4000', ORIGIN = `http://localhost:${PORT}`, WORKSPACE = 'w1', TENANT, PASSWORD, LOCKBOX_URL } = process.env;
const workspaces = { [WORKSPACE]: { name: 'Contoso', tenant: TENANT, user: 'nina@contoso.example', pages: { plan: 'The plan for the year', team: 'Who does what' } } };
/** Nobody changes a session: it is replaced by another one. */
const sessions = new Map(), asked = [];
/** With these refusals the window is still open, or Lockbox is not heard. An impersonation waits. Nothing is shown. */
const PASSING = ['level_too_low', 'method_override', 'feed_silent', 'keys_unavailable', 'queue_unavailable', 'queue_full'];

const isStaff = ({ user, engineer }) => !engineer && user?.endsWith('@provider.example');
const forStaff = (request, response, next) => (isStaff(request.session) ? next() : response.redirect(303, '/'));

/** Replaces the session of this browser. The former one is gone. */
function begin(request, response, session) {
  sessions.delete(request.sid);
  const sid = randomBytes(32).toString('base64url');
  sessions.set(sid, Object.freeze(session));
  response.cookie('wiki', sid, { httpOnly: true, sameSite: 'lax', secure: ORIGIN.startsWith('https:') });
}

/** Returns what an engineer begins to see, or sees, as a customer's user. Ways out of the impersonation are not guarded. */
function impersonated({ session, method, path }) {
  const begins = isStaff(session) && method === 'POST' && /^\/impersonate\/([^/]+)$/.exec(path);
  if (!begins && (!session.engineer || ['/release', '/sign-out'].includes(path))) return null;
  const identifier = begins ? decodeURIComponent(begins[1]) : session.workspace;
  const action = begins ? 'view' : path === '/export' ? 'download' : undefined;
  return { tenant: workspaces[identifier]?.tenant ?? 'none', identifier, engineer: session.engineer ?? session.user, action };
}

/** Ends an impersonation whose window has ended, together with the session of the customer's user. */
function refused(request, response, { status, code }) {
  const { identifier } = impersonated(request);
  if (!PASSING.includes(code) && request.session.engineer) begin(request, response, { user: request.session.engineer });
  if (!request.headers.accept?.includes('text/html')) return false;
  if (PASSING.includes(code)) response.status(status).send(views.page(request, 'Not allowed', views.refused(code)));
  else response.redirect(303, `/support/${encodeURIComponent(identifier)}`);
  return true;
}

const app = express();
// The rules above compare paths, so each route has one spelling.
app.enable('case sensitive routing').enable('strict routing').disable('x-powered-by');
app.use('/static', express.static(new URL('static', import.meta.url).pathname));
app.use((request, response, next) => {
  response.set('Content-Security-Policy', `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' ${LOCKBOX_URL}`);
  response.set('Referrer-Policy', 'same-origin');
  request.sid = /(?:^|; )wiki=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1];
  request.session = sessions.get(request.sid) ?? {};
  // A form of another site can change nothing.
  const isOurs = ['GET', 'HEAD', 'OPTIONS'].includes(request.method) || !request.headers.origin || request.headers.origin === ORIGIN;
  if (isOurs) next(); else response.sendStatus(403);
});

// --- The guard: from here ---------------------------------------------------------------------------------
const guard = new Guard({
  issuer: LOCKBOX_URL, service: process.env.LOCKBOX_SERVICE, origin: ORIGIN, queue: process.env.LOCKBOX_QUEUE, refused,
  clientId: process.env.LOCKBOX_CLIENT_ID, clientSecret: process.env.LOCKBOX_CLIENT_SECRET,
});
guard.on('trouble', (error) => console.error(error.message));
app.use(guard.express(impersonated));
// --- to here ----------------------------------------------------------------------------------------------

app.use(express.urlencoded({ extended: false }));

/** Begins to see a workspace as its user: only while a window of this engineer is open. */
app.post('/impersonate/:workspace', forStaff, (request, response, next) => {
  if (Object.hasOwn(workspaces, request.params.workspace)) next(); else response.sendStatus(404);
}, (request, response) => {
  const { identifier: workspace } = request.lockbox;
  begin(request, response, { user: workspaces[workspace].user, engineer: request.session.user, workspace });
  response.redirect(303, '/');
});

app.post('/release', (request, response) => {
  const { engineer, workspace } = request.session;
  if (engineer) begin(request, response, { user: engineer });
  response.redirect(303, workspace ? `/support/${workspace}` : '/');
});

app.get('/sign-in', (request, response) => response.send(views.page(request, 'Sign in', views.signIn())));

/** Stands for the application's own sign-in: here, everybody has the same password. */
app.post('/sign-in', (request, response) => {
  const { username, password } = request.body;
  if (!PASSWORD || password !== PASSWORD) {
    return response.status(403).send(views.page(request, 'Sign in', views.signIn('Username or password is wrong. Nobody is signed in.')));
  }
  const [workspace] = Object.entries(workspaces).find(([, { user }]) => user === username) ?? [];
  begin(request, response, { user: username, workspace });
  return response.redirect(303, '/');
});

app.post('/sign-out', (request, response) => {
  sessions.delete(request.sid);
  response.redirect(303, '/sign-in');
});

app.get('/support', forStaff, (request, response) => response.send(views.page(request, 'Workspaces of customers', views.list(
  Object.entries(workspaces).map(([key, { name }]) => [`/support/${key}`, name])))));

async function support(request, response, problem = '') {
  const { workspace: key } = request.params, { user: engineer } = request.session;
  const mine = asked.filter((each) => each.key === key && each.engineer === engineer).slice(-5).reverse();
  const rows = await Promise.all(mine.map(async (each) => ({ ...each, ...await desk.state(each.id).catch((error) => ({ state: error.message })) })));
  response.send(views.page(request, workspaces[key].name, views.support({ key, rows, problem, ...workspaces[key] })));
}

app.route('/support/:workspace').all(forStaff, (request, response, next) => {
  if (Object.hasOwn(workspaces, request.params.workspace)) next(); else response.sendStatus(404);
}).get((request, response) => support(request, response)).post(async (request, response) => {
  const { workspace: key } = request.params, { user: engineer } = request.session, form = request.body;
  try {
    const { id, reference } = await desk.ask({ tenant: workspaces[key].tenant, key, engineer, form });
    asked.push({ id, reference, key, engineer, case: form.case });
    return response.redirect(303, `/support/${key}`);
  } catch (error) {
    if (!(error instanceof desk.Declined)) throw error;
    return support(request, response, error.message);
  }
});

/** From here on, everything belongs to one workspace: for an engineer, to the one that was decided about. */
app.use((request, response, next) => {
  if (isStaff(request.session)) return response.redirect(303, '/support');
  if (!request.session.workspace) return response.redirect(303, '/sign-in');
  request.pages = workspaces[request.session.engineer ? request.lockbox.identifier : request.session.workspace].pages;
  return next();
});

app.get('/', (request, response) => response.send(views.page(request, 'Pages', views.list(
  [...Object.keys(request.pages).map((name) => [`/pages/${name}`, name]), ['/export', 'Download all pages']]))));

app.get('/export', (request, response) => response.attachment('pages.txt').send(Object.values(request.pages).join('\n')));

app.all('/pages/:page', (request, response, next) => {
  if (Object.hasOwn(request.pages, request.params.page)) next(); else response.sendStatus(404);
});

app.get('/pages/:page', (request, response) => {
  const { page } = request.params;
  response.send(views.page(request, page, views.content(request.pages[page])));
});

app.post('/pages/:page', (request, response) => {
  request.pages[request.params.page] = String(request.body.body ?? '');
  response.redirect(303, `/pages/${request.params.page}`);
});

app.listen(Number(PORT), '127.0.0.1', function listening() { console.log(`Listening on ${this.address().port}`); });
