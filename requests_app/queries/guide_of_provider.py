"""Declares the steps of the provider's set-up, with what the facts say about each of them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.models.invitations import PROVIDER_ROLES
from requests_app.platform import addresses, program
from requests_app.platform.loopback import is_loopback
from requests_app.queries import provider_facts
from requests_app.queries.guide import Found, Guide, Step, StepLink, blocked, done, left_out, listed, still_open, when
from requests_app.queries.installation import MAIL_FILES, is_trial, provider_name
from requests_app.queries.provider_facts import SHOWN, Coming, Invited, ProviderFacts, Queue
from requests_app.words import checks, mail


def provider_guide(*, actor: Actor, at: datetime) -> Guide[ProviderFacts]:
    """Return the steps of the provider's set-up with their states, for staff and for an operator's command."""
    if not actor.is_system:
        policy.require_staff(actor)
    return listed(STEPS, provider_facts.read(at))


# --- What each fact says -----------------------------------------------------------------------------------


def _name_and_address(facts: ProviderFacts) -> Found:
    name, address = settings.PROVIDER_NAME, settings.BASE_URL
    shown = {"name": name, "address": address}
    if not settings.PROVIDER_NAME_IS_SET:
        return (left_out if is_trial() else still_open)(provider_name())
    if is_loopback(urlsplit(address).hostname or ""):
        words = _("Everybody reads the name “%(name)s”. Only this machine can open %(address)s, as in a trial.")
        return done(words % shown)
    if not address.startswith("https://"):
        return still_open(_("The address %(address)s has no TLS, so passwords can be read on the way.") % shown)
    return done(_("Everybody reads the name “%(name)s”, and opens %(address)s.") % shown)


def _mail(facts: ProviderFacts) -> Found:
    tested_at = facts.installation.mail_tested_at
    if tested_at is not None:
        words = _("The mail server accepted a test mail on %(when)s.") % {"when": when(tested_at, facts.at)}
        return (still_open if facts.failing and facts.failing.is_all else done)(words, *_failing_lines(facts))
    if settings.EMAIL_BACKEND == MAIL_FILES:
        words = _(
            "There is no mail server, as in a trial: each mail becomes a file in %(folder)s, and nobody gets it. For "
            "real use, set EMAIL_URL."
        )
        return left_out(words % {"folder": settings.EMAIL_FILE_PATH})
    return still_open(_("No mail server has accepted a test mail yet."), *_failing_lines(facts))


def _failing_lines(facts: ProviderFacts) -> list[str]:
    found = facts.failing
    return [mail.failing(found.n, since=found.since, reason=found.reason, at=facts.at)] if found else []


def _log_key(facts: ProviderFacts) -> Found:
    row = facts.installation
    if is_trial() and not row.key_copy_hash:
        words = _("The logs of a trial need no copy of the key. In a real installation, init makes one.")
        return left_out(words)
    if facts.key_used_at is None and not row.key_copy_hash:
        return blocked(_("The log’s key has signed nothing yet. That takes about a minute after the start."), links=0)
    if not row.key_copy_hash:
        words = _("There is no copy of the key yet. On the server, run: %(command)s")
        return still_open(words % {"command": program.command("log_key copy")}, links=0)
    if row.key_copy_confirmed_at is None:
        return still_open(_("There is an encrypted copy. Nobody has shown yet that it is stored."))
    confirmed = {"when": when(row.key_copy_confirmed_at, facts.at), "command": program.command("log_key copy")}
    if facts.key_changed_at is not None and facts.key_changed_at > row.key_copy_confirmed_at:
        words = _("The key was changed after its copy was confirmed on %(when)s. Make a new copy: %(command)s")
        return still_open(words % confirmed, links=0)
    return done(_("Somebody showed on %(when)s that the encrypted copy is stored.") % confirmed)


def _plan(facts: ProviderFacts) -> Found:
    if not facts.plans:
        return still_open(_("There is no plan yet."), links=1)
    if not facts.has_lockbox_plan:
        words = _("No plan includes Lockbox, so no tenant can switch it on: %(names)s.")
        return still_open(words % {"names": ", ".join(facts.plans)})
    words = ngettext("You have this plan: %(names)s.", "You have these plans: %(names)s.", len(facts.plans))
    return done(words % {"names": ", ".join(facts.plans)})


def _second_staff(facts: ProviderFacts) -> Found:
    humans = {human for _name, human, _since in facts.staff}
    names = str(get_text_list([name for name, _human, _since in facts.staff[:SHOWN]], _("and")))
    if len(humans) < 2:
        waits = bool(_expected(facts, {Role.STAFF}))
        words = (
            _("The staff has one human: %(names)s.")
            if waits
            else _("The staff has one human: %(names)s. You need another one.")
        )
        one = words % {"names": names} if names else _("Nobody is staff yet.")
        return _with_expected(still_open(one, waits=waits), facts, {Role.STAFF})
    since = next(since for _name, human, since in facts.staff if human != facts.staff[0][1])
    words = _("%(names)s are staff. There have been two of them since %(when)s.")
    return done(words % {"names": names, "when": when(since, facts.at)})


def _service(facts: ProviderFacts) -> Found:
    if not facts.queues:
        return still_open(_("There is no service yet."), links=1)
    lines = [f"{row.name}: {checks.unreachable(row, facts.at)}" for row in facts.unreachable]
    reached = [queue.name for queue in facts.queues if queue.is_reached]
    if reached:
        words = _("A test reached a resource of %(names)s.")
        return done(words % {"names": get_text_list(reached[:SHOWN], _("and"))}, *lines)
    asked = [queue.name for queue in facts.queues if queue.key in facts.asked]
    if asked:
        words = _("Your own application has the content of %(names)s, and has asked this installation for access.")
        return done(words % {"names": get_text_list(asked[:SHOWN], _("and"))}, *lines)
    return _service_not_ready(facts, lines)


def _service_not_ready(facts: ProviderFacts, lines: list[str]) -> Found:
    if any(queue.is_external for queue in facts.queues) and not facts.has_asking_client:
        lines.append(_client_line(facts))
    elsewhere = [queue.name for queue in facts.queues if queue.is_external and queue.has_resource]
    if elsewhere:
        words = _("No application has asked about a resource of %(names)s yet.")
        return still_open(
            words % {"names": get_text_list(elsewhere[:SHOWN], _("and"))}, *lines, commands=_questions(facts)
        )
    names = str(get_text_list([queue.name for queue in facts.queues[:SHOWN]], _("and")))
    if facts.first_tenant is None:
        words = _("%(names)s is set up. A resource belongs to a tenant, so you can add one after your first tenant.")
        return blocked(words % {"names": names}, *lines)
    if any(queue.has_resource for queue in facts.queues):
        return still_open(_("No test has reached a resource yet. Test one on its page."), *lines, first=_RESOURCES)
    words = ngettext(
        "%(names)s is set up, but has no resource yet.",
        "%(names)s are set up, but have no resource yet.",
        len(facts.queues),
    )
    return still_open(words % {"names": names}, *lines, first=_ADD_RESOURCE)


def _client_line(facts: ProviderFacts) -> str:
    if facts.is_in_use:
        return _("Your application needs an API client with the scope evaluate, which no client has yet.")
    return _(
        "Your application needs an API client with the scope evaluate. Add it before the first customer switches "
        "Lockbox on: afterwards, the scope takes a second member of staff and the waiting time."
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


def _people(facts: ProviderFacts) -> Found:
    if not facts.queues:
        return blocked(_("People work in the queue of a service, and there is no service yet."), links=2)
    # The last link is useful only if something is prepared.
    links = None if facts.prepared else 2
    roles = {Role.ENGINEER, Role.PROVIDER_APPROVER}
    lines = [*(_queue_line(queue) for queue in facts.queues[:SHOWN]), *_prepared_lines(facts)]
    staffed = [queue.name for queue in facts.queues if queue.is_staffed]
    if not staffed:
        words = _("No queue has both an engineer and another human as approver.")
        expected = _expected(facts, roles)
        has_engineer = any(queue.engineers for queue in facts.queues) or Role.ENGINEER in expected
        has_approver = any(queue.approvers for queue in facts.queues) or Role.PROVIDER_APPROVER in expected
        first = _INVITE_APPROVER if has_engineer and not has_approver else None
        waits = bool(expected) and has_engineer and has_approver
        return _with_expected(still_open(words, *lines, links=links, first=first, waits=waits), facts, roles)
    words = ngettext(
        "In the queue of %(names)s, one person can ask and another can confirm.",
        "In the queues of %(names)s, one person can ask and another can confirm.",
        len(staffed),
    )
    found = done(words % {"names": get_text_list(staffed[:SHOWN], _("and"))}, *lines, links=links)
    return _with_expected(found, facts, roles)


def _expected(facts: ProviderFacts, roles: set[Role]) -> set[str]:
    """Return those of the roles that somebody gets without a further act of the reader."""
    invited = {each.role for each in facts.invited if not each.is_overtaken}
    return (invited | {each.role for each in facts.coming}) & {str(role) for role in roles}


def _with_expected(found: Found, facts: ProviderFacts, roles: set[Role]) -> Found:
    """Add who is invited to these roles or gets one soon, and which invitations must be sent again."""
    coming = [each for each in facts.coming if each.role in roles][:SHOWN]
    invited = [each for each in facts.invited if each.role in roles][:SHOWN]
    lines = [*(_coming_line(each, facts.at) for each in coming), *(_invited_line(each, facts.at) for each in invited)]
    if invited and not facts.is_in_use:
        lines.append(_("An invitation ends if nobody has accepted it when the first customer switches Lockbox on."))
    about = [_SEND_AGAIN] if any(each.is_overtaken for each in invited) else []
    for each in coming:
        label = _("Proposal of the role of %(name)s") % {"name": each.name}
        about.append(StepLink(label, "admin:requests_app_proposal_change", args=(str(each.proposal),)))
    return replace(found, lines=(*found.lines, *lines), about=tuple(about))


def _coming_line(row: Coming, at: datetime) -> str:
    shown = {"name": row.name, "role": dict(PROVIDER_ROLES)[row.role]}
    if row.at is None:
        words = _("%(name)s has accepted, and gets the role “%(role)s” when a second member of the staff confirms it.")
        return words % shown
    return _("%(name)s gets the role “%(role)s” on %(when)s.") % {**shown, "when": when(row.at, at)}


def _invited_line(row: Invited, at: datetime) -> str:
    if row.is_overtaken:
        words = _("The invitation of %(email)s ended when a customer switched Lockbox on. Send it again.")
        return words % {"email": row.email}
    words = _("%(email)s was invited on %(when)s and has not accepted yet.")
    return words % {"email": row.email, "when": when(row.at, at)}


def _prepared_lines(facts: ProviderFacts) -> list[str]:
    if not facts.prepared:
        return []
    words = ngettext(
        "A file has prepared an invitation for %(n)d person. Nobody has sent it yet.",
        "A file has prepared invitations for %(n)d people. Nobody has sent them yet.",
        facts.prepared,
    )
    return [words % {"n": facts.prepared}]


def _queue_line(queue: Queue) -> str:
    engineers = ngettext("%(n)d engineer", "%(n)d engineers", queue.engineers) % {"n": queue.engineers}
    approvers = ngettext("%(n)d approver", "%(n)d approvers", queue.approvers) % {"n": queue.approvers}
    return _("%(service)s: %(engineers)s, %(approvers)s") % {
        "service": queue.name,
        "engineers": engineers,
        "approvers": approvers,
    }


def _first_tenant(facts: ProviderFacts) -> Found:
    row = facts.first_tenant
    if row is None:
        if not facts.plans:
            return blocked(_("A tenant needs a plan, and there is no plan yet."))
        return still_open(_("There is no tenant yet."), links=1)
    if row.administrator:
        words = _("%(name)s has an administrator: %(person)s.")
        return done(words % {"name": row.name, "person": row.administrator})
    if row.invited_at is not None:
        words = _("%(email)s was invited on %(when)s to be the administrator of %(name)s.")
        return done(words % {"email": row.invited, "name": row.name, "when": when(row.invited_at, facts.at)})
    words = _("Invite the administrator of %(name)s") % {"name": row.name}
    invite = StepLink(words, "admin:requests_app_tenant_act", args=(str(row.pk), "invite"))
    return still_open(_("%(name)s has no administrator, and nobody is invited.") % {"name": row.name}, first=invite)


def _practice(facts: ProviderFacts) -> Found:
    if facts.is_practised:
        return done(_("A practice request went all the way and was answered."))
    if facts.first_tenant is None or not any(queue.is_staffed for queue in facts.queues):
        return blocked(_("It needs a tenant, and an engineer and an approver in one queue."))
    return still_open(_("No practice request has been answered yet."))


_PERSON = "admin:requests_app_person_add"
_INVITE_APPROVER = StepLink(gettext_lazy("Invite an approver"), _PERSON, query=(("role", Role.PROVIDER_APPROVER),))
_SEND_AGAIN = StepLink(
    gettext_lazy("Invitations to send again"),
    "admin:requests_app_invitation_changelist",
    query=(("state", "overtaken"),),
)
_ADD_RESOURCE = StepLink(gettext_lazy("Add a resource"), "admin:requests_app_resource_add")
_RESOURCES = StepLink(gettext_lazy("Resources, to test them"), "admin:requests_app_resource_changelist")

#: The steps, in the order in which they are best done.
STEPS: tuple[Step[ProviderFacts], ...] = (
    Step(
        name="name",
        title=gettext_lazy("Your name and your address"),
        why=gettext_lazy("Customers read this name on every page and in every mail, and mails link to this address."),
        without=gettext_lazy("Customers read a name that is not yours, or links in mails lead nowhere."),
        minutes=2,
        fact=_name_and_address,
    ),
    Step(
        name="mail",
        title=gettext_lazy("Mail"),
        why=gettext_lazy(
            "Invitations and access requests go out by mail, and customers have only a few hours to answer."
        ),
        without=gettext_lazy("Nobody learns that somebody waits for them, and every access request expires."),
        minutes=3,
        fact=_mail,
        button=StepLink(gettext_lazy("Send me a test mail"), "admin:set_up_test_mail"),
    ),
    Step(
        name="log_key",
        title=gettext_lazy("Copy of the log’s key"),
        why=gettext_lazy("This key signs each customer’s log. A copy lets you continue the logs on another machine."),
        without=gettext_lazy("If the server is lost, each log ends, and every customer must accept a new key."),
        minutes=5,
        fact=_log_key,
        links=(StepLink(gettext_lazy("Confirm the copy"), "admin:set_up_key_copy"),),
    ),
    Step(
        name="plan",
        title=gettext_lazy("Plan"),
        why=gettext_lazy("A plan says whether its tenants can switch Lockbox on."),
        without=gettext_lazy("You can’t add a tenant."),
        minutes=1,
        fact=_plan,
        links=(
            StepLink(gettext_lazy("Add a plan"), "admin:requests_app_plan_add"),
            StepLink(gettext_lazy("Plans"), "admin:requests_app_plan_changelist"),
        ),
    ),
    Step(
        name="staff",
        title=gettext_lazy("Second member of staff"),
        why=gettext_lazy("Changes that could weaken a customer need two humans."),
        without=gettext_lazy("One person decides alone, and if they are away, nobody can change anything."),
        minutes=2,
        fact=_second_staff,
        links=(
            StepLink(gettext_lazy("Invite a person"), _PERSON, query=(("role", Role.STAFF),)),
            StepLink(gettext_lazy("People"), "admin:requests_app_person_changelist"),
        ),
    ),
    Step(
        name="service",
        title=gettext_lazy("First service, and the way to its content"),
        why=gettext_lazy("A service says how its content is reached. Its resources are what engineers ask for."),
        without=gettext_lazy("Nobody can ask for access."),
        minutes=4,
        fact=_service,
        links=(
            StepLink(gettext_lazy("Add a service"), "admin:requests_app_service_add"),
            _ADD_RESOURCE,
            _RESOURCES,
            StepLink(gettext_lazy("Add an API client"), "admin:requests_app_client_add"),
        ),
    ),
    Step(
        name="people",
        title=gettext_lazy("Engineers and approvers"),
        why=gettext_lazy("An engineer asks for access, and a colleague confirms that there is no other way."),
        without=gettext_lazy("Access requests can’t be made, or nobody confirms them and they expire."),
        minutes=4,
        fact=_people,
        links=(
            StepLink(gettext_lazy("Invite a person"), _PERSON),
            StepLink(gettext_lazy("Queues"), "admin:requests_app_queueassignment_changelist"),
            StepLink(gettext_lazy("Send the prepared invitations"), "admin:set_up_send_invitations"),
        ),
    ),
    Step(
        name="tenant",
        title=gettext_lazy("First tenant, and its administrator"),
        why=gettext_lazy("The customer’s administrator invites the customer’s people and switches Lockbox on."),
        without=gettext_lazy("The customer can’t decide on anything, because nobody there has an account."),
        minutes=3,
        fact=_first_tenant,
        links=(
            StepLink(gettext_lazy("Add a tenant"), "admin:requests_app_tenant_add"),
            StepLink(gettext_lazy("Tenants"), "admin:requests_app_tenant_changelist"),
        ),
    ),
    Step(
        name="practice",
        title=gettext_lazy("Practice request"),
        why=gettext_lazy("It goes through everybody’s hands like a real access request, on content that is made up."),
        without=gettext_lazy("You learn during the first real problem whether everybody knows what to do."),
        minutes=10,
        fact=_practice,
        links=(StepLink(gettext_lazy("Start it from the tenant’s page"), "admin:requests_app_tenant_changelist"),),
    ),
)
