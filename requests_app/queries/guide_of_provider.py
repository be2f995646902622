"""Declares the steps of the provider's set-up, with what the facts say about each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit_app import keys
from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.models.invitations import PROVIDER_ROLES
from requests_app.platform import program
from requests_app.platform.loopback import is_loopback
from requests_app.queries import provider_facts
from requests_app.queries.guide import (
    Found,
    Guide,
    Step,
    StepLink,
    blocked,
    done,
    left_out,
    listed,
    played,
    still_open,
    when,
)
from requests_app.queries.guide_of_content import (
    ADD_CLIENT,
    ADD_RESOURCE,
    GUARDS,
    RESOURCES,
    application,
    first_resource,
)
from requests_app.queries.installation import MAIL_FILES, is_trial, provider_name
from requests_app.queries.practice import Turn
from requests_app.queries.provider_facts import SHOWN, Coming, FirstTenant, Invited, Practising, ProviderFacts, Queue
from requests_app.words import mail


def provider_guide(*, actor: Actor, at: datetime) -> Guide[ProviderFacts]:
    """Return the steps of the provider's set-up with their states, for staff and for an operator's command."""
    if not actor.is_system:
        policy.require_staff(actor)
    facts = provider_facts.read(at, reader=actor.person_id)
    if is_trial():
        return listed(STEPS, facts, then=_("For real use, install it with customer-lockbox init."))
    return listed(STEPS, facts, then=_("Now add your other tenants."), then_link=_IMPORT)


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
    if keys.is_in_hsm():
        return left_out(_("The key is in an HSM and can’t be copied. Back up the HSM as its maker says."))
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
    return (left_out if is_trial() else done)(words % {"names": ", ".join(facts.plans)})


def _second_staff(facts: ProviderFacts) -> Found:
    humans = {human for _name, human, _since in facts.staff}
    names = str(get_text_list([name for name, _human, _since in facts.staff[:SHOWN]], _("and")))
    if len(humans) < 2:
        waits = bool(_expected(facts, {Role.STAFF}))
        if is_trial() and humans and not waits:
            return left_out(_("One member of staff is enough for a trial."))
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
    words = ngettext("You have this service: %(names)s.", "You have these services: %(names)s.", len(facts.queues))
    return done(
        words % {"names": get_text_list([queue.name for queue in facts.queues[:SHOWN]], _("and"))}, *_now(facts)
    )


def _now(facts: ProviderFacts) -> list[str]:
    """Return what is best done before the first customer switches Lockbox on."""
    if facts.is_in_use:
        return []
    words = _(
        "Add all of your services now, with their clients, proxies and people. After the first customer has switched "
        "Lockbox on, each of these changes is announced and waits."
    )
    return [words]


def _people(facts: ProviderFacts) -> Found:
    if not facts.queues:
        return blocked(_("Add a service first."), links=0)
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
        first, second = _people_links(facts, has_engineer=has_engineer, has_approver=has_approver)
        waits = bool(expected) and has_engineer and has_approver
        if waits:
            words, lines = _("The people who are invited must accept first."), _prepared_lines(facts)
            if is_trial():
                words = _("The people who are invited must accept first. Their links are in the terminal.")
        found = still_open(words, *lines, links=links, first=first, second=second, waits=waits)
        return _with_expected(found, facts, roles)
    words = ngettext(
        "In the queue of %(names)s, one person can ask and another can confirm.",
        "In the queues of %(names)s, one person can ask and another can confirm.",
        len(staffed),
    )
    found = done(words % {"names": get_text_list(staffed[:SHOWN], _("and"))}, *lines, links=links)
    return _with_expected(found, facts, roles)


def _people_links(
    facts: ProviderFacts, *, has_engineer: bool, has_approver: bool
) -> tuple[StepLink | None, StepLink | None]:
    """Return the links to the roles that are still missing.

    Who tries the product alone becomes the approver with one press. As soon as a customer has switched Lockbox on, this
    would need a second member of staff, so it is not offered any more.
    """
    if has_approver:
        return (None if has_engineer or not is_trial() else _INVITE_ENGINEER), None
    invite = _INVITE_APPROVER if has_engineer else None
    if not is_trial() or facts.is_in_use or facts.reader is None:
        return invite, None
    queue = next((each for each in facts.queues if each.engineers), facts.queues[0])
    press = StepLink(
        _("Make yourself an approver of %(service)s") % {"service": queue.name},
        "admin:requests_app_person_act",
        args=(str(facts.reader), "queue"),
        query=(("service", str(queue.pk)), ("role", Role.PROVIDER_APPROVER)),
        is_press=True,
    )
    return press, invite or _INVITE_ENGINEER


def _expected(facts: ProviderFacts, roles: set[Role]) -> set[str]:
    """Return those of the roles that somebody gets without a further act of the reader."""
    invited = {each.role for each in facts.invited if not each.is_overtaken}
    return (invited | {each.role for each in facts.coming}) & {str(role) for role in roles}


def _with_expected(found: Found, facts: ProviderFacts, roles: set[Role]) -> Found:
    """Add who is invited to these roles or gets one soon, and which invitations must be sent again."""
    coming = [each for each in facts.coming if each.role in roles][:SHOWN]
    invited = [each for each in facts.invited if each.role in roles][:SHOWN]
    lines = [*(_coming_line(each, facts.at) for each in coming), *(_invited_line(each, facts.at) for each in invited)]
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
            return blocked(_("Add a plan first."), links=0)
        return still_open(_("There is no tenant yet."), links=1)
    if row.administrator:
        words = _("%(name)s has an administrator: %(person)s.")
        return done(words % {"name": row.name, "person": row.administrator})
    if row.invited_at is not None:
        words = _("%(email)s was invited on %(when)s to be the administrator of %(name)s.")
        return done(words % {"email": row.invited, "name": row.name, "when": when(row.invited_at, facts.at)})
    words = _("Invite the administrator of %(name)s") % {"name": row.name}
    role = (("role", Role.ADMINISTRATOR),)
    invite = StepLink(words, "admin:requests_app_tenant_act", args=(str(row.pk), "invite"), query=role)
    says = _("%(name)s has no administrator, and nobody is invited.") % {"name": row.name}
    return still_open(says, *_now(facts), first=invite)


def _practice(facts: ProviderFacts) -> Found:
    tenant = facts.first_tenant
    if facts.is_practised:
        return done(_("An access request went all the way and was answered."))
    if facts.practising is not None:
        label = _("Ticket") if is_trial() else _("Practice ticket")
        ticket = StepLink(label, "admin:requests_app_ticket_change", args=(str(facts.practising.ticket_id),))
        words = _turn(facts.practising)
        says = played(words) if facts.practising.names else words
        return still_open(says, waits=True, first=ticket, links=0)
    if tenant is None:
        return blocked(_("Add a tenant first."), links=0)
    if not any(queue.is_staffed for queue in facts.queues):
        return blocked(_("An engineer and an approver must have accepted first."), links=0)
    first = _start_practice(facts, tenant) if tenant.is_only else None
    if tenant.can_switch_on and not facts.is_in_use:
        words = _("%(name)s has not switched Lockbox on yet.")
        return still_open(words % {"name": tenant.name}, waits=True, first=first, links=0 if first else None)
    if is_trial() and tenant.administrator:
        words = _("%(person)s, of %(name)s, can open a ticket now.")
        says = played(words % {"person": tenant.administrator, "name": tenant.name})
        return still_open(says, waits=True, first=first, links=0 if first else None)
    return still_open(_("Nobody has answered an access request yet."), first=first, links=0 if first else None)


def _start_practice(facts: ProviderFacts, tenant: FirstTenant) -> StepLink:
    staffed = [queue for queue in facts.queues if queue.is_staffed]
    query = (("service", str(staffed[0].pk)),) if len(staffed) == 1 else ()
    args = (str(tenant.pk), "start-practice")
    return StepLink(_("Start a practice request"), "admin:requests_app_tenant_act", args=args, query=query)


def _turn(found: Practising) -> str:
    """Return the sentence that says who must act next."""
    who = found.tenant if found.turn is Turn.CUSTOMER else settings.PROVIDER_NAME
    if not found.names:
        return _("It waits for somebody at %(who)s, but nobody there can act.") % {"who": who}
    n, shown = len(found.names), {"names": get_text_list(list(found.names), _("or")), "who": who}
    if found.turn is Turn.ENGINEER:
        words = ngettext("It waits for %(names)s, an engineer.", "It waits for %(names)s, engineers.", n)
    else:
        words = ngettext(
            "It waits for %(names)s, an approver of %(who)s.", "It waits for %(names)s, approvers of %(who)s.", n
        )
    return words % shown


_IMPORT = StepLink(gettext_lazy("Import tenants and resources"), "admin:requests_app_import_add")
_PERSON = "admin:requests_app_person_add"
_INVITE_APPROVER = StepLink(gettext_lazy("Invite an approver"), _PERSON, query=(("role", Role.PROVIDER_APPROVER),))
_INVITE_ENGINEER = StepLink(gettext_lazy("Invite an engineer"), _PERSON, query=(("role", Role.ENGINEER),))
_SEND_AGAIN = StepLink(
    gettext_lazy("Invitations to send again"),
    "admin:requests_app_invitation_changelist",
    query=(("state", "overtaken"),),
)

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
        minutes=1,
        fact=_second_staff,
        links=(
            StepLink(gettext_lazy("Invite a person"), _PERSON, query=(("role", Role.STAFF),)),
            StepLink(gettext_lazy("People"), "admin:requests_app_person_changelist"),
        ),
    ),
    Step(
        name="service",
        title=gettext_lazy("First service"),
        why=gettext_lazy("A service says how its content is reached."),
        without=gettext_lazy("Nobody can ask for access."),
        minutes=1,
        fact=_service,
        links=(
            StepLink(gettext_lazy("Add a service"), "admin:requests_app_service_add"),
            StepLink(gettext_lazy("Services"), "admin:requests_app_service_changelist"),
        ),
    ),
    Step(
        name="people",
        title=gettext_lazy("Engineers and approvers"),
        why=gettext_lazy("An engineer asks for access, and a colleague confirms that there is no other way."),
        without=gettext_lazy("Access requests can’t be made, or nobody confirms them and they expire."),
        minutes=1,
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
        minutes=1,
        fact=_first_tenant,
        links=(
            StepLink(gettext_lazy("Add a tenant"), "admin:requests_app_tenant_add"),
            StepLink(gettext_lazy("Tenants"), "admin:requests_app_tenant_changelist"),
        ),
    ),
    Step(
        name="resource",
        title=gettext_lazy("First resource"),
        why=gettext_lazy("Engineers ask for access to resources."),
        without=gettext_lazy("Nobody can ask for access."),
        minutes=1,
        fact=first_resource,
        links=(ADD_RESOURCE, RESOURCES),
    ),
    Step(
        name="application",
        title=gettext_lazy("Your own application"),
        why=gettext_lazy("The application that holds the content of an external service enforces its windows."),
        without=gettext_lazy("A window of such a service opens nothing, or nothing of it gets into the log."),
        minutes=10,
        fact=application,
        links=(ADD_CLIENT, GUARDS),
    ),
    Step(
        name="practice",
        title=gettext_lazy("First access request"),
        why=gettext_lazy(
            "A practice request goes through everybody’s hands, on made-up content. A real one counts, too."
        ),
        without=gettext_lazy("You learn during the first real problem whether everybody knows what to do."),
        minutes=5,
        fact=_practice,
        links=(StepLink(gettext_lazy("Start it from a tenant’s page"), "admin:requests_app_tenant_changelist"),),
    ),
)
