"""The API's addresses. They do not end in a slash."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.decorators.http import require_safe

from requests_app.domain.errors import NotFound
from requests_app.doors.api import (
    access_requests,
    access_tasks,
    azure,
    callers,
    decision_point,
    deputies,
    events,
    forward_auth,
    gates,
    grants,
    guard,
    guard_release,
    guard_reports,
    imports,
    invitations,
    log,
    log_files,
    log_proofs,
    me,
    members,
    mutes,
    oauth,
    passkeys,
    plans,
    proposals,
    provider_people,
    reader,
    resources,
    restored,
    search,
    shared_signals,
    sign_on,
    tenants,
    tickets,
    token_keys,
    webhooks,
)
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.schema import extend_schema
from requests_app.doors.api.scim import views as scim

app_name = "api"


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI 3.1 document for machines.

    The document is public, and contains nothing that the source does not contain.
    """
    return HttpResponse(reader.as_json(), content_type="application/json")


class Nothing(ApiView):
    """Answers each unknown address with a problem document, not with a page."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request)

    @extend_schema(exclude=True)
    def get(self, request: Any) -> Any:
        raise NotFound

    post = put = patch = delete = get

    def known_parameters(self) -> frozenset[str]:
        return frozenset(self.request.query_params)


#: The modules of the kinds of rows whose plain acts get routes from their declarations.
_PLAIN = (access_requests, deputies, gates, invitations, mutes, proposals, tickets, webhooks)
_ONE = "access-requests/<uuid:pk>"
_TICKET = "tickets/<uuid:pk>"
_HOOK = "webhooks/<uuid:pk>"
_TENANT = "tenants/<uuid:tenant>"
_MEMBER = f"{_TENANT}/members/<uuid:person>"
_LOG = f"{_TENANT}/log"
_PERSON = "provider/people/<uuid:person>"
v1 = [
    # Django tries one address after the other. These are called most.
    path("access-requests", access_requests.AccessRequests.as_view(), name="access_requests"),
    path(_ONE, access_requests.OneAccessRequest.as_view(), name="access_request"),
    path(f"{_ONE}/manifest", access_requests.Manifest.as_view(), name="manifest"),
    path(f"{_ONE}/approve", access_requests.Approve.as_view(), name="approve"),
    path(f"{_ONE}/deny", access_requests.Deny.as_view(), name="deny"),
    path("me", me.Me.as_view(), name="me"),
    path("me/step-up", me.StepUp.as_view(), name="step_up"),
    path("clients", callers.ProviderClients.as_view(), name="provider_clients"),
    path("clients/<uuid:pk>", callers.OneClient.as_view(), name="client"),
    path("clients/<uuid:pk>/tokens", callers.LastingToken.as_view(), name="client_tokens"),
    path("clients/<uuid:pk>/callbacks", webhooks.ClientCallbacks.as_view(), name="client_callbacks"),
    path("clients/<uuid:pk>/rotate-secret", callers.RotateSecret.as_view(), name="rotate_secret"),
    path("tenants/<uuid:tenant>/clients", callers.TenantClients.as_view(), name="clients"),
    path("tokens", callers.Tokens.as_view(), name="tokens"),
    path("tokens/<uuid:pk>", callers.OneToken.as_view(), name="token_of"),
    path("webhooks", webhooks.ProviderWebhooks.as_view(), name="provider_webhooks"),
    path("tenants/<uuid:tenant>/webhooks", webhooks.TenantWebhooks.as_view(), name="webhooks"),
    path(_HOOK, webhooks.OneWebhook.as_view(), name="webhook"),
    path(f"{_HOOK}/rotate-secret", webhooks.RotateWebhook.as_view(), name="webhook_rotate"),
    path(f"{_HOOK}/test", webhooks.SendTest.as_view(), name="webhook_test"),
    path(f"{_HOOK}/deliveries", webhooks.Deliveries.as_view(), name="webhook_deliveries"),
    path(f"{_HOOK}/deliveries/<uuid:message>", webhooks.OneDelivery.as_view(), name="webhook_delivery"),
    path(f"{_HOOK}/deliveries/<uuid:message>/redeliver", webhooks.Redeliver.as_view(), name="webhook_redeliver"),
    path("plans", plans.Plans.as_view(), name="plans"),
    path("plans/<uuid:pk>", plans.OnePlan.as_view(), name="plan"),
    path("provider/people", provider_people.ProviderPeople.as_view(), name="provider_people"),
    path(_PERSON, provider_people.OneProviderPerson.as_view(), name="provider_person"),
    path(f"{_PERSON}/give-role", provider_people.GiveQueueRole.as_view(), name="provider_person_give_role"),
    path(f"{_PERSON}/take-role", provider_people.TakeQueueRole.as_view(), name="provider_person_take_role"),
    path(f"{_PERSON}/switch-off", provider_people.SwitchOffProviderPerson.as_view(), name="provider_person_switch_off"),
    path(f"{_PERSON}/switch-on", provider_people.SwitchOnProviderPerson.as_view(), name="provider_person_switch_on"),
    path("provider/proposed-changes", proposals.Proposed.as_view(), name="proposed_changes"),
    path("provider/proposed-changes/<uuid:pk>", proposals.OneProposed.as_view(), name="proposed_change"),
    path("tenants", tenants.Tenants.as_view(), name="tenants"),
    path(_TENANT, tenants.OneTenant.as_view(), name="tenant"),
    path(f"{_TENANT}/change", tenants.ChangeTenant.as_view(), name="tenant_change"),
    path(f"{_TENANT}/switch-off", tenants.SwitchOffTenant.as_view(), name="tenant_switch_off"),
    path(f"{_TENANT}/switch-on", tenants.SwitchOnTenant.as_view(), name="tenant_switch_on"),
    path(f"{_TENANT}/under-way", tenants.UnderWay.as_view(), name="under_way"),
    path(f"{_TENANT}/enable-lockbox", tenants.EnableLockbox.as_view(), name="enable_lockbox"),
    path(f"{_TENANT}/restored", restored.Restored.as_view(), name="restored"),
    path(f"{_TENANT}/rule-out-level", tenants.RuleOutLevel.as_view(), name="rule_out_level"),
    path(f"{_TENANT}/allow-level", tenants.AllowLevel.as_view(), name="allow_level"),
    path(f"{_TENANT}/disable-lockbox", tenants.DisableLockbox.as_view(), name="disable_lockbox"),
    path(f"{_TENANT}/addresses", tenants.Addresses.as_view(), name="addresses"),
    path(f"{_TENANT}/addresses/<uuid:address>", tenants.OneAddress.as_view(), name="address"),
    path(f"{_TENANT}/resources", resources.Resources.as_view(), name="resources"),
    path(f"{_TENANT}/resources/<uuid:resource>", resources.OneResource.as_view(), name="resource"),
    path(f"{_TENANT}/resources/<uuid:resource>/check", resources.CheckResource.as_view(), name="resource_check"),
    path(f"{_TENANT}/practice", tickets.Practice.as_view(), name="practice"),
    path(f"{_TENANT}/members", members.Members.as_view(), name="members"),
    path(f"{_TENANT}/proposals", proposals.Proposals.as_view(), name="proposals"),
    path(f"{_TENANT}/announced-changes", proposals.Announced.as_view(), name="announced_changes"),
    path(f"{_TENANT}/two-person-control", proposals.Control.as_view(), name="two_person_control"),
    path("proposals/<uuid:pk>/confirm", proposals.Confirm.as_view(), name="proposal_confirm"),
    path(f"{_TENANT}/out-of-office", deputies.Absences.as_view(), name="absences"),
    path(f"{_TENANT}/mutes", mutes.Mutes.as_view(), name="mutes"),
    path("invitations", invitations.ProviderInvitations.as_view(), name="provider_invitations"),
    path(f"{_TENANT}/invitations", invitations.Invitations.as_view(), name="invitations"),
    path(_MEMBER, members.OneMember.as_view(), name="member"),
    path(f"{_MEMBER}/give-role", members.GiveRole.as_view(), name="member_give_role"),
    path(f"{_MEMBER}/take-role", members.TakeRole.as_view(), name="member_take_role"),
    path(f"{_MEMBER}/switch-off", members.SwitchOff.as_view(), name="member_switch_off"),
    path(f"{_MEMBER}/switch-on", members.SwitchOn.as_view(), name="member_switch_on"),
    path(
        f"{_MEMBER}/reset-second-factors",
        members.ResetSecondFactors.as_view(),
        name="member_reset_second_factors",
    ),
    path(f"{_TENANT}/sign-on", sign_on.OneSignOn.as_view(), name="sign_on"),
    path(f"{_TENANT}/sign-on/key", sign_on.SignOnKey.as_view(), name="sign_on_key"),
    path(f"{_TENANT}/domains", sign_on.Domains.as_view(), name="domains"),
    path("domains/<uuid:pk>", sign_on.OneDomain.as_view(), name="domain"),
    path("domains/<uuid:pk>/check", sign_on.CheckDomain.as_view(), name="domain_check"),
    path(f"{_TENANT}/identities", sign_on.Identities.as_view(), name="identities"),
    path("identities/<uuid:pk>", sign_on.OneIdentity.as_view(), name="identity"),
    path(f"{_TENANT}/passkey-options", passkeys.PasskeyOptions.as_view(), name="passkey_options"),
    path(f"{_TENANT}/passkeys", passkeys.Passkeys.as_view(), name="passkeys"),
    path("resources/bulk", imports.BulkResources.as_view(), name="resources_bulk"),
    path("imports/<uuid:pk>", imports.OneImport.as_view(), name="import"),
    path("services", resources.Services.as_view(), name="services"),
    path("services/<uuid:pk>", resources.OneService.as_view(), name="service"),
    path("services/<uuid:pk>/proxies", gates.Proxies.as_view(), name="proxies"),
    path("proxies/<uuid:pk>", gates.OneProxy.as_view(), name="proxy"),
    path("grants", grants.Grants.as_view(), name="grants"),
    path("grants/<uuid:pk>", grants.OneGrant.as_view(), name="grant"),
    path("grants/<uuid:pk>/token", grants.GrantToken.as_view(), name="grant_token"),
    path("grants/<uuid:pk>/accesses", grants.Accesses.as_view(), name="grant_accesses"),
    path("guard/accesses", guard_reports.Accesses.as_view(), name="guard_accesses"),
    path("guard/feed", guard.Feed.as_view(), name="guard_feed"),
    path("guard/release", guard_release.Release.as_view(), name="guard_release"),
    path("tickets", tickets.Tickets.as_view(), name="tickets"),
    path(_TICKET, tickets.OneTicket.as_view(), name="ticket"),
    path(f"{_TICKET}/comments", tickets.Comments.as_view(), name="comments"),
    path(f"{_TICKET}/comments/<uuid:comment>", tickets.OneComment.as_view(), name="comment"),
    path(f"{_TICKET}/link", tickets.Link.as_view(), name="ticket_link"),
    path(f"{_TICKET}/assign", tickets.Assign.as_view(), name="ticket_assign"),
    path(_LOG, log.TenantLog.as_view(), name="log"),
    path(f"{_LOG}/entries", log.TenantEntries.as_view(), name="log_entries"),
    path(f"{_LOG}/entries/<int:seq>", log.TenantEntry.as_view(), name="log_entry"),
    path(f"{_LOG}/entries/<int:seq>/proof", log_proofs.TenantProof.as_view(), name="log_proof"),
    path(f"{_LOG}/checkpoints", log_proofs.TenantCheckpoints.as_view(), name="log_checkpoints"),
    path(f"{_LOG}/checkpoint", log_proofs.TenantCheckpoint.as_view(), name="log_checkpoint"),
    path(f"{_LOG}/consistency/<int:old>/<int:new>", log_proofs.TenantConsistency.as_view(), name="log_consistency"),
    path(f"{_LOG}/export", log_files.Export.as_view(), name="log_export"),
    path(f"{_LOG}/evidence", log_files.LogEvidence.as_view(), name="log_evidence"),
    path(f"{_ONE}/evidence", log_files.AccessRequestEvidence.as_view(), name="evidence"),
    path(f"{_TENANT}/events", events.Events.as_view(), name="events"),
    path("log", log.ProviderLog.as_view(), name="provider_log"),
    path("log/entries", log.ProviderEntries.as_view(), name="provider_log_entries"),
    path("log/entries/<int:seq>", log.ProviderEntry.as_view(), name="provider_log_entry"),
    path("log/entries/<int:seq>/proof", log_proofs.ProviderProof.as_view(), name="provider_log_proof"),
    path("log/checkpoints", log_proofs.ProviderCheckpoints.as_view(), name="provider_log_checkpoints"),
    path("log/checkpoint", log_proofs.ProviderCheckpoint.as_view(), name="provider_log_checkpoint"),
    path(
        "log/consistency/<int:old>/<int:new>",
        log_proofs.ProviderConsistency.as_view(),
        name="provider_log_consistency",
    ),
    path("log/export", log_files.ProviderExport.as_view(), name="provider_log_export"),
    *(route for module in _PLAIN for route in module.ACTS.routes()),
]

urlpatterns = [
    path("api/v1/", include(v1)),
    path("api/", reader.reader, name="reader"),
    path("api/v1/openapi.json", openapi, name="openapi"),
    path("oauth/token", oauth.token, name="token"),
    path(".well-known/oauth-authorization-server", oauth.metadata, name="metadata"),
    path(".well-known/jwks.json", token_keys.jwks, name="jwks"),
    *azure.urlpatterns,
    *decision_point.urlpatterns,
    *search.urlpatterns,
    *access_tasks.urlpatterns,
    *shared_signals.urlpatterns,
    *forward_auth.urlpatterns,
    *scim.urlpatterns,
    re_path(r"^(?:api|access/v1|ssf)/", Nothing.as_view(), name="nothing"),
]
