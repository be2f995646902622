"""Says what the facts show about the first resource of the provider's set-up, and how its content is reached."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

from django.conf import settings
from django.urls import reverse
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.scopes import Scope
from requests_app.platform import addresses
from requests_app.queries.guide import Found, StepLink, blocked, done, left_out, still_open
from requests_app.queries.installation import is_trial
from requests_app.queries.provider_facts import SHOWN, FirstTenant, ProviderFacts, Queue
from requests_app.words import checks

RESOURCES = StepLink(gettext_lazy("Resources, to test them"), "admin:requests_app_resource_changelist")
ADD_RESOURCE = StepLink(gettext_lazy("Add a resource"), "admin:requests_app_resource_add")
GUARDS = StepLink(gettext_lazy("Guards"), "admin:requests_app_guard_changelist")
ADD_CLIENT = StepLink(gettext_lazy("Add an API client"), "admin:requests_app_client_add")


def first_resource(facts: ProviderFacts) -> Found:
    lines = [f"{row.name}: {checks.unreachable(row, facts.at)}" for row in facts.unreachable]
    reached = [queue.name for queue in facts.queues if queue.is_reached]
    if reached:
        words = _("A test reached a resource of %(names)s.")
        return _ready(words % {"names": get_text_list(reached[:SHOWN], _("and"))}, lines)
    elsewhere = [queue.name for queue in facts.queues if queue.is_external and queue.has_resource]
    if elsewhere and not any(queue.has_resource for queue in facts.queues if not queue.is_external):
        words = _("There is a resource of %(names)s. Only its own application can reach it.")
        return done(words % {"names": get_text_list(elsewhere[:SHOWN], _("and"))})
    if not facts.queues:
        return blocked(_("Add a service first."), links=0)
    if facts.first_tenant is None:
        return blocked(_("Add a tenant first."), links=0)
    return _not_ready(facts, facts.first_tenant, lines)


def _ready(says: str, lines: list[str]) -> Found:
    """Return the finished step. It links to the resources while some of them can't be reached."""
    return replace(done(says, *lines), first=RESOURCES if lines else None)


def _not_ready(facts: ProviderFacts, tenant: FirstTenant, lines: list[str]) -> Found:
    listed = [queue for queue in facts.queues if not queue.is_external]
    if any(queue.has_resource for queue in listed):
        if not facts.unreachable:
            return still_open(_("A test of the resource runs by itself, in about a minute."), waits=True, links=0)
        return still_open(_("No test has reached a resource yet."), *lines, first=RESOURCES, links=0)
    if not listed:
        return still_open(_("There is no resource yet."), *lines)
    # Only a service whose content is elsewhere needs a resource that somebody types.
    if is_trial():
        lines.append(_("If this directory is empty, the next page can add a sample folder."))
    links = 1 if len(listed) < len(facts.queues) else 0
    return still_open(_place(tenant), *lines, first=_find(listed, tenant), links=links)


def _place(tenant: FirstTenant) -> str:
    """Return the sentence that names the directory of the tenant's content."""
    words = _("Each folder or mailbox in %(place)s/ can become a resource.")
    return words % {"place": settings.CONTENT_ROOT / tenant.slug}


def _find(services: list[Queue], tenant: FirstTenant) -> StepLink:
    query = (("service", str(services[0].pk)),) if len(services) == 1 else ()
    words = _("Find resources of %(name)s") % {"name": tenant.name}
    return StepLink(words, "admin:requests_app_tenant_act", args=(str(tenant.pk), "find-resources"), query=query)


def application(facts: ProviderFacts) -> Found:
    """Say whether an external service was heard of: its guard, its gate's proxy, or a question of its application."""
    external = [queue for queue in facts.queues if queue.is_external]
    if not external:
        return left_out(_("No service has its content in an application of yours."))
    lines = [_sign_line(queue, facts) for queue in external[:SHOWN]]
    heard = [queue for queue in external if queue.key in facts.signs or queue.key in facts.asked]
    if heard:
        words = _("Your application is connected: %(names)s.")
        return done(words % {"names": get_text_list([queue.name for queue in heard[:SHOWN]], _("and"))}, *lines)
    words = _("Connect %(name)s") % {"name": external[0].name}
    first = StepLink(words, "admin:requests_app_service_change", args=(str(external[0].pk),))
    says = _("Nothing was heard of an application yet.")
    if Scope.GUARD in facts.client_scopes:
        lines.append(
            _(
                "Start the application with the settings of its guard, which are on the page of the service. Then open "
                "its address /.lockbox/status once."
            )
        )
        return still_open(says, *lines, first=first)
    if Scope.EVALUATE not in facts.client_scopes:
        lines.append(_client_line(facts))
    return still_open(says, *lines, commands=_questions(facts), first=first)


def _sign_line(queue: Queue, facts: ProviderFacts) -> str:
    """Return when the service was last heard of, and how."""
    found = facts.signs.get(queue.key)
    if found is not None:
        return f"{queue.name}: {found.words(facts.at)}."
    if queue.key in facts.asked:
        return _("%(service)s: its application has asked for access.") % {"service": queue.name}
    return _("%(service)s: nothing was heard yet.") % {"service": queue.name}


def _client_line(facts: ProviderFacts) -> str:
    if facts.is_in_use:
        return _(
            "It needs an API client: with the scope guard if it has a guard, or with the scope evaluate if it asks "
            "Lockbox itself. A web tool behind a gate needs a proxy."
        )
    return _(
        "It needs an API client: with the scope guard if it has a guard, or with the scope evaluate if it asks Lockbox "
        "itself. Add it before the first customer switches Lockbox on: afterwards, the scope takes a second member of "
        "staff and the waiting time. A web tool behind a gate needs a proxy."
    )


def _questions(facts: ProviderFacts) -> tuple[str, ...]:
    """Return commands that get a token for a client, and ask the decision point as the application does."""
    asked = facts.example
    if asked is None:
        return ()
    question = {
        "subject": {"type": "engineer", "id": asked.engineer or "engineer@example.com"},
        "action": {"name": "read"},
        "resource": {"type": asked.service, "id": asked.resource},
        "context": {"tenant": asked.tenant, "purpose": "access"},
    }
    token, here = addresses.absolute(reverse("api:token")), addresses.absolute(reverse("api:evaluation"))
    heads = '-H "Authorization: Bearer $LOCKBOX_TOKEN" -H "Content-Type: application/json"'
    return (
        f"curl -sS --fail-with-body -u CLIENT_ID -d grant_type=client_credentials {token}",
        f"curl -sS --fail-with-body {heads} {here} -d {shlex.quote(json.dumps(question, ensure_ascii=False))}",
    )
