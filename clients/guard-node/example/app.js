/**
 * A wiki with support impersonation, guarded by Customer Lockbox. The engineers of the provider sign in, and look into a
 * customer's workspace as its owner. The lines between the two marks are all that the guard needs.
 */

import { randomBytes } from 'node:crypto';
import express from 'express';
import { Guard } from 'lockbox-guard';

const { PORT = '4000', ORIGIN = `http://localhost:${PORT}`, WORKSPACE = 'w1' } = process.env;
const workspaces = { [WORKSPACE]: { owner: 'nina@contoso.example', pages: { plan: 'The plan for the year', team: 'Who does what' } } };
const sessions = new Map();

function escaped(text) { return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`); }

function shown(request, response, title, body) {
  const { lockbox } = request;
  const banner = lockbox ? `<aside role="status"><p>You see this as ${escaped(workspaces[request.session.workspace].owner)}, for
    ${escaped(lockbox.reference)}. <span id="left">${Math.ceil(lockbox.secondsLeft / 60)} minutes</span> left.</p>
    <form method="post" action="/.lockbox/done"><button>I am done</button></form></aside><script src="/banner.js"></script>` : '';
  response.send(`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
    <title>${escaped(title)}</title>${banner}<main><h1>${escaped(title)}</h1>${body}</main></html>`);
}

const app = express();
app.use(express.urlencoded({ extended: false }));
app.use((request, _response, next) => {
  const id = /(?:^|; )sid=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1];
  request.session = sessions.get(id) ?? {};
  next();
});

// --- The guard: from here ---------------------------------------------------------------------------------
const guard = new Guard({
  issuer: process.env.LOCKBOX_URL, service: process.env.LOCKBOX_SERVICE, origin: ORIGIN, queue: process.env.LOCKBOX_QUEUE,
  clientId: process.env.LOCKBOX_CLIENT_ID, clientSecret: process.env.LOCKBOX_CLIENT_SECRET,
});
guard.on('trouble', (error) => console.error(error.message));
app.use(guard.express(({ session }) => session.workspace && { identifier: session.workspace, engineer: session.engineer }));
// --- to here ----------------------------------------------------------------------------------------------

/** Stands for the application's own sign-in. An application of yours asks for a password, or your identity provider. */
app.post('/sign-in', (request, response) => {
  const id = randomBytes(32).toString('base64url');
  sessions.set(id, { engineer: request.body.email });
  response.cookie('sid', id, { httpOnly: true, sameSite: 'lax' }).redirect(303, '/');
});

/** Begins to look into a workspace. The guard then asks for an open window on each request of this session. */
app.post('/impersonate/:workspace', (request, response) => {
  if (!request.session.engineer || !Object.hasOwn(workspaces, request.params.workspace)) return response.sendStatus(404);
  request.session.workspace = request.params.workspace;
  return response.redirect(303, '/pages');
});

app.get('/', (request, response) => shown(request, response, 'Wiki', `<p>${escaped(request.session.engineer ?? 'Nobody is signed in.')}</p>`));

app.get('/pages', (request, response) => {
  const { pages } = workspaces[request.session.workspace] ?? { pages: {} };
  const links = Object.keys(pages).map((name) => `<li><a href="/pages/${escaped(name)}">${escaped(name)}</a></li>`);
  shown(request, response, 'Pages', `<ul>${links.join('')}</ul>`);
});

app.get('/pages/:page', (request, response) => {
  const text = workspaces[request.session.workspace]?.pages[request.params.page];
  if (text === undefined) return response.sendStatus(404);
  return shown(request, response, request.params.page, `<p>${escaped(text)}</p>
    <form method="post"><label>Text <input name="text" value="${escaped(text)}"></label> <button>Save</button></form>`);
});

app.post('/pages/:page', (request, response) => {
  workspaces[request.session.workspace].pages[request.params.page] = request.body.text;
  response.redirect(303, `/pages/${encodeURIComponent(request.params.page)}`);
});

/** Shows the time left, and leaves the page when the window has ended. */
app.get('/banner.js', (_request, response) => response.type('js').send(`setInterval(async () => {
  const status = await fetch('/.lockbox/status').then((answer) => answer.json(), () => ({ open: false }));
  if (status.open) document.getElementById('left').textContent = Math.ceil(status.seconds_left / 60) + ' minutes';
  else location.reload();
}, 15000);`));

app.listen(Number(PORT), '127.0.0.1', function listening() { console.log(`Listening on ${this.address().port}`); });
