/** The pages of the wiki, as text. */

const escaped = (text) => String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
const STATES = {
  PENDING_PROVIDER: 'waits for a colleague', PENDING_CUSTOMER: 'waits for the customer', OPEN: 'open', DENIED: 'denied',
  CLOSED: 'over', EXPIRED: 'nobody decided in time', WITHDRAWN: 'withdrawn',
};

/** Shown on each page of an impersonated session. It works without the script, which only counts the minutes. */
const banner = ({ session, lockbox }) => (session.engineer ? `<div role="status" aria-label="Support access"><p>
  <strong>${escaped(session.engineer)}, you see the wiki as ${escaped(session.user)}.</strong>
  ${lockbox ? `${escaped(lockbox.reference)}${lockbox.level === 'act_as' ? '' : ', looking only'}: <span id="time-left">${Math.round(lockbox.secondsLeft / 60)} minutes left.</span>` : ''}
  The customer reads each request in the log.</p>
  <form method="post" action="/.lockbox/done"><button>I am done</button></form>
  <form method="post" action="/release"><button>Back to support</button></form></div><script src="/static/banner.js" defer></script>` : '');

export const page = (request, title, body) => `<!doctype html><html lang="en"><meta charset="utf-8">
  <meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><link rel="stylesheet" href="/static/style.css">
  <header><a href="/">Wiki</a>${request.session.user ? `<form method="post" action="/sign-out"><span>${escaped(request.session.user)}</span> <button>Sign out</button></form>` : ''}</header>
  <main><h1>${escaped(title)}</h1>${body}</main>${banner(request)}</html>`;

export const list = (links) => `<ul>${links.map(([address, words]) => `<li><a href="${escaped(address)}">${escaped(words)}</a></li>`).join('')}</ul>`;

export const signIn = (problem) => `${problem ? `<p role="alert">${escaped(problem)}</p>` : ''}<form method="post" class="stack"><label>Username <input name="username" required autocomplete="username"></label>
  <label>Password <input name="password" type="password" required autocomplete="current-password"></label><button>Sign in</button></form>`;

export const content = (text) => `<p>${escaped(text)}</p><h2>Change it</h2><form method="post" class="stack">
  <label>Body <textarea name="body">${escaped(text)}</textarea></label><button>Save</button></form>`;

export const refused = (code) => (code === 'level_too_low'
  ? '<p>The customer did not approve this. Nothing was done. To do more, ask for access with another level.</p>'
  : '<p>The wiki does not hear Customer Lockbox, or can’t record the request. Nothing was done. Try again in a moment.</p>');

const row = ({ key, reference, case: number, state, grant }) => `<li>${escaped(reference)} for ${escaped(number)}: ${escaped(STATES[state] ?? state)}
  ${state === 'OPEN' ? `<a href="/.lockbox/open?grant=${grant.id}&amp;to=/support/${escaped(key)}">Open</a>` : ''}</li>`;

export const support = ({ key, user, rows, problem }) => `
  <p>You can log in as a user only while your window is open, and this browser came in with it.</p>
  <form method="post" action="/impersonate/${escaped(key)}"><button>Log in as ${escaped(user)}</button></form>
  ${rows.length ? `<h2>You asked for access</h2><ul>${rows.map(row).join('')}</ul>` : ''}
  <h2>Ask for access</h2>${problem ? `<p role="alert">${escaped(problem)}</p>` : ''}
  <form method="post" class="stack">
    <label>Your case, for example in Zendesk <input name="case" required maxlength="120"></label>
    <label>Its address <input name="case_url" type="url"></label>
    <label>Level <select name="level"><option value="view">Look only</option><option value="act_as">Change things as a user</option></select></label>
    <label>For how many minutes <input name="minutes" type="number" min="15" max="480" value="60"></label>
    <label>What did you try without access? <textarea name="tried" required></textarea></label>
    <label>Why do you need access? <textarea name="justification" required></textarea></label>
    <button>Ask for access</button>
  </form>`;
