/** Asks for access at Customer Lockbox, for an engineer, with the provider's own case as the reference. */

const { LOCKBOX_URL, LOCKBOX_SERVICE, LOCKBOX_DESK_ID, LOCKBOX_DESK_SECRET } = process.env;

/** Lockbox did not accept the call. The message is for the engineer. */
export class Declined extends Error {}

async function call(path, options) {
  const answer = await fetch(LOCKBOX_URL + path, { redirect: 'error', signal: AbortSignal.timeout(10_000), ...options })
    .catch((error) => { throw new Declined('Lockbox does not answer. Try again in a moment.', { cause: error }); });
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  throw new Declined(found.errors?.map((each) => each.detail).join('; ') || found.title || `Lockbox answered ${answer.status}.`);
}

async function api(path, body) {
  const authorization = `Basic ${Buffer.from(`${LOCKBOX_DESK_ID}:${LOCKBOX_DESK_SECRET}`).toString('base64')}`;
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  const { access_token: token } = await call('/oauth/token', { method: 'POST', headers: { authorization }, body: form });
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return call(`/api/v1/${path}`, body ? { method: 'POST', headers, body: JSON.stringify(body) } : { headers });
}

/** Opens a ticket for the case, or takes the one that it has, and submits an access request for the engineer. */
export async function ask({ tenant, key, engineer, form }) {
  const [resource] = (await api(`tenants/${tenant}/resources?${new URLSearchParams({ external_id: key })}`)).items;
  if (!resource) throw new Declined('Lockbox does not know this workspace.');
  const query = new URLSearchParams({ tenant, external_reference: form.case, is_live: 'true' });
  const ticket = (await api(`tickets?${query}`)).items[0] ?? await api('tickets', {
    tenant, service: LOCKBOX_SERVICE, title: `Support case ${form.case}`, body: form.tried,
    external_reference: form.case, external_url: form.case_url,
  });
  return api('access-requests', {
    ticket: ticket.id, engineer, resources: [resource.id], level: form.level, window_seconds: Number(form.minutes) * 60,
    tried: form.tried, justification: form.justification,
  });
}

export const state = (id) => api(`access-requests/${id}`);
