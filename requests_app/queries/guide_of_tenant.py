"""Reads how far a tenant's set-up is, for its administrators, and declares its steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit_app.models import LogKey, Witness
from requests_app.domain.actors import Actor, Role
from requests_app.models import AccessRequest, Membership, NotificationAddress, Passkey, Person, RecoveryKey, Tenant
from requests_app.queries import answered
from requests_app.queries import tenant as tenants
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
from requests_app.queries.installation import is_trial
from requests_app.queries.practice import Practice, Turn, state_of

_GUARDED = (Membership.Role.APPROVER, Membership.Role.ADMINISTRATOR)
_TURNS = {
    Turn.ENGINEER: gettext_lazy("It waits for an engineer of %(provider)s."),
    Turn.PROVIDER: gettext_lazy("It waits for an approver of %(provider)s."),
    Turn.CUSTOMER: gettext_lazy("It waits for %(names)s."),
}
#: One person plays both sides, so the names of the provider's people are no secret.
_TURNS_IN_TRIAL = {
    Turn.ENGINEER: gettext_lazy("It is the turn of %(names)s, an engineer of %(provider)s."),
    Turn.PROVIDER: gettext_lazy("It is the turn of %(names)s, an approver of %(provider)s."),
    Turn.CUSTOMER: gettext_lazy("It is your turn, or that of another approver: %(names)s."),
}
#: How many names a sentence has, and how many people are read.
SHOWN, READ = 20, 200


@dataclass(frozen=True)
class Guardian:
    """An approver or an administrator, with their second factors."""

    name: str
    human: UUID
    is_approver: bool
    has_app: bool
    has_passkey: bool

    @property
    def has_factor(self) -> bool:
        return self.has_app or self.has_passkey


@dataclass(frozen=True, kw_only=True)
class TenantFacts:
    """`is_in_use` is true if Lockbox is on, or if somebody has asked this tenant for access already."""

    at: datetime
    tenant: Tenant
    people: list[Guardian]
    # The addresses of those who are invited to be approvers and have not accepted yet.
    invited: list[str]
    addresses: int
    witnesses: int
    recovery_key: RecoveryKey | None
    has_log_key: bool
    practice: Practice
    is_practised: bool
    is_in_use: bool
    # The button that makes the reader an approver, if they are not one yet.
    becoming: StepLink | None

    @property
    def approvers(self) -> list[Guardian]:
        return [each for each in self.people if each.is_approver]


def tenant_guide(tenant_id: object, *, actor: Actor, at: datetime) -> Guide[TenantFacts]:
    """Return the steps of a tenant's set-up with their states, for its administrator.

    Raise NotAllowed for other people of the tenant, and NotFound for everybody else.
    """
    tenant = tenants.administered(tenant_id, actor=actor)
    facts = TenantFacts(
        at=at,
        tenant=tenant,
        people=_guardians(tenant),
        invited=_invited(tenant, at),
        addresses=NotificationAddress.objects.filter(tenant=tenant).count(),
        witnesses=Witness.objects.filter(tenant_id=tenant.pk).count(),
        recovery_key=tenants.recovery_key(tenant),
        has_log_key=LogKey.objects.exists(),
        practice=state_of(tenant, at=at),
        is_practised=answered.is_in(tenant),
        is_in_use=tenant.lockbox_on or AccessRequest.objects.real().filter(tenant=tenant).exists(),
        becoming=_becoming(tenant, actor),
    )
    return listed(STEPS, facts, then=_("Your people can open tickets now."), then_link=_TICKET)


def _becoming(tenant: Tenant, actor: Actor) -> StepLink | None:
    if Role.APPROVER in actor.roles_on(tenant_id=tenant.pk, service_id=None):
        return None
    return StepLink(
        _("Make yourself an approver"),
        "web:person",
        args=(str(tenant.pk), str(actor.person)),
        query=(("act", "give"), ("role", Membership.Role.APPROVER), ("then", "set-up")),
        is_press=True,
    )


def _guardians(tenant: Tenant) -> list[Guardian]:
    keys = Passkey.objects.filter(person=OuterRef("pk")).live().of_this_site()
    is_approver = Count("pk", filter=Q(memberships__role=Membership.Role.APPROVER))
    people = Person.objects.active().humans().filter(memberships__tenant=tenant, memberships__role__in=_GUARDED)
    rows = people.annotate(n_approver=is_approver, has_key=Exists(keys)).order_by("name", "pk")
    return [
        Guardian(row.name, row.human_id, bool(row.n_approver), row.totp_set_up_at is not None, row.has_key)
        for row in rows[:READ]
    ]


def _invited(tenant: Tenant, at: datetime) -> list[str]:
    rows = tenant.invitations.expected(at).filter(role=Membership.Role.APPROVER).order_by("created_at")
    return list(rows.values_list("email", flat=True)[:READ])


# --- What each fact says -----------------------------------------------------------------------------------


def _approvers(facts: TenantFacts) -> Found:
    names = str(get_text_list([each.name for each in facts.approvers[:SHOWN]], _("and")))
    if len({each.human for each in facts.approvers}) >= 2:
        return done(_("%(names)s can approve and deny.") % {"names": names})
    if facts.approvers and is_trial():
        return done(_("%(names)s can approve and deny. In a trial, one approver is enough.") % {"names": names})
    # Invited people are nobody's account yet, so they count only as people who can be waited for.
    waits = len(facts.approvers) + len(facts.invited) >= 2
    if facts.approvers:
        words = _("Only %(names)s can approve and deny. You need another approver.") % {"names": names}
    else:
        words = _("Nobody can approve or deny yet.")
    lines = _invited_line(facts)
    if facts.becoming:
        lines.append(_("If you make yourself an approver, you can approve, deny, and close windows from then on."))
    return still_open(words, *lines, waits=waits, first=facts.becoming)


def _invited_line(facts: TenantFacts) -> list[str]:
    if not facts.invited:
        return []
    words = ngettext(
        "%(n)d person is invited and has not accepted yet: %(emails)s.",
        "%(n)d people are invited and have not accepted yet: %(emails)s.",
        len(facts.invited),
    )
    emails = get_text_list(facts.invited[:SHOWN], _("and"))
    return [words % {"n": len(facts.invited), "emails": emails}]


def _second_factors(facts: TenantFacts) -> Found:
    lines = [_factor_line(each) for each in facts.people[:SHOWN]]
    missing = [each.name for each in facts.people if not each.has_factor]
    if missing:
        words = ngettext(
            "%(n)d person has no second factor yet, and can do nothing before they have one.",
            "%(n)d people have no second factor yet, and can do nothing before they have one.",
            len(missing),
        )
        return still_open(words % {"n": len(missing)}, *lines)
    if facts.tenant.wants_signature and not all(each.has_passkey for each in facts.approvers):
        return still_open(_("Your approvals must be signed, and some approvers have no passkey."), *lines)
    return done(_("All approvers and administrators have a second factor."), *lines)


def _factor_line(each: Guardian) -> str:
    has = {
        (True, True): _("%(name)s: passkey, authenticator app"),
        (True, False): _("%(name)s: passkey"),
        (False, True): _("%(name)s: authenticator app, no passkey"),
        (False, False): _("%(name)s: no second factor"),
    }
    return has[each.has_passkey, each.has_app] % {"name": each.name}


def _recovery_key(facts: TenantFacts) -> Found:
    row = facts.recovery_key
    if row is None and is_trial():
        return left_out(_("A trial needs no recovery key."))
    if row is None:
        return still_open(_("There is no recovery key yet."), links=1)
    made = {"name": row.made_by.name, "when": when(row.made_at, facts.at)}
    if row.confirmed_at is not None:
        confirmed = {**made, "confirmed": when(row.confirmed_at, facts.at)}
        words = _("%(name)s made the key on %(when)s. On %(confirmed)s, somebody showed that it is stored.")
        return done(words % confirmed)
    if not row.ending_hash:
        words = _("%(name)s made a key on %(when)s, in an earlier version. It can’t be checked: make a new one.")
        return still_open(words % made, links=1)
    return still_open(_("%(name)s made the key on %(when)s. Nobody has shown yet that it is stored.") % made)


def _addresses(facts: TenantFacts) -> Found:
    if not facts.addresses and is_trial():
        return left_out(_("A trial needs no further address."))
    if not facts.addresses:
        only = _("Mails go only to your approvers.")
        return still_open(only if facts.approvers else _("Nobody gets mails yet."))
    words = ngettext("%(n)d address gets each notice, too.", "%(n)d addresses get each notice, too.", facts.addresses)
    return done(words % {"n": facts.addresses})


def _log_key(facts: TenantFacts) -> Found:
    stored_at = facts.tenant.log_key_stored_at
    if stored_at is not None:
        return done(_("Somebody showed on %(when)s that you have the key.") % {"when": when(stored_at, facts.at)})
    if is_trial():
        return left_out(_("The log of a trial needs no key of your own."))
    if not facts.has_log_key:
        return blocked(_("No entry of your log is signed yet. This takes about a minute."), links=0)
    return still_open(_("Nobody has shown yet that you have the key."))


def _lockbox(facts: TenantFacts) -> Found:
    row = facts.tenant
    if row.lockbox_on:
        return done(_("Lockbox is on, and your approval is needed."))
    if not row.plan.includes_lockbox:
        words = _("Your plan, %(plan)s, does not include Lockbox. Ask %(provider)s for another plan.")
        # Nothing that this administrator can do. Otherwise their home page would lead to the list for ever.
        return left_out(words % {"plan": row.plan.name, "provider": settings.PROVIDER_NAME})
    if not facts.approvers:
        return blocked(_("Choose an approver first."))
    words = _("Lockbox is off. %(provider)s does not ask you.") % {"provider": settings.PROVIDER_NAME}
    first = StepLink(_("Switch Lockbox on"), "web:lockbox", args=(str(row.pk), "on"))
    return still_open(words, first=first, links=0)


def _witness(facts: TenantFacts) -> Found:
    if not facts.witnesses:
        return still_open(_("You have no witness."))
    words = ngettext("%(n)d witness cosigns your log.", "%(n)d witnesses cosign your log.", facts.witnesses)
    return done(words % {"n": facts.witnesses})


def _practice(facts: TenantFacts) -> Found:
    found = facts.practice
    if facts.is_practised:
        return done(_("An access request was answered."))
    if found.turn is not None:
        names = get_text_list(list(found.waits_for), _("or"))
        turns = _TURNS_IN_TRIAL if is_trial() and names else _TURNS
        words = str(turns[found.turn]) % {"provider": settings.PROVIDER_NAME, "names": names}
        return still_open(played(words), waits=is_trial() or found.turn is not Turn.CUSTOMER)
    if not (facts.tenant.lockbox_on or facts.tenant.plan.includes_lockbox):
        return left_out(_("Without Lockbox, your approvers are asked nothing."))
    if not facts.approvers:
        return blocked(_("Choose an approver first."))
    return still_open(_("Nobody has answered an access request yet."), first=_TICKET if is_trial() else None)


_TICKET = StepLink(gettext_lazy("Open a ticket"), "web:ticket_new", is_personal=True)


#: The steps, in the order in which they are best done.
STEPS: tuple[Step[TenantFacts], ...] = (
    Step(
        name="approvers",
        title=gettext_lazy("Approvers"),
        why=gettext_lazy("Approvers have some hours to answer. With two, one is there when the other is away."),
        without=gettext_lazy("If the only approver is away, access requests expire and your problem stays unsolved."),
        minutes=1,
        fact=_approvers,
        links=(StepLink(gettext_lazy("Invite an approver"), "web:people"),),
    ),
    Step(
        name="second_factors",
        title=gettext_lazy("Second factors and passkeys"),
        why=gettext_lazy("A password can be stolen. A passkey also signs an approval, so that you can prove it later."),
        without=gettext_lazy("An approver or administrator without one can do nothing here."),
        minutes=1,
        fact=_second_factors,
        links=(
            StepLink(gettext_lazy("Your own sign-in"), "web:security", is_personal=True),
            StepLink(gettext_lazy("People and roles"), "web:people"),
        ),
    ),
    Step(
        name="recovery_key",
        title=gettext_lazy("Recovery key, printed and stored"),
        why=gettext_lazy("If you lose every administrator, this key names a new one. The provider can’t do it."),
        without=gettext_lazy("If every administrator leaves, nobody can manage your people any more."),
        minutes=5,
        fact=_recovery_key,
        links=(
            StepLink(gettext_lazy("Recovery key"), "web:recovery_key"),
            StepLink(gettext_lazy("Confirm that you have it"), "web:confirm_recovery_key"),
        ),
    ),
    Step(
        name="addresses",
        title=gettext_lazy("Addresses for notices"),
        why=gettext_lazy("A duty mailbox or a security team reads each notice, too. Such an address can’t decide."),
        without=gettext_lazy("If your approvers miss a mail, nobody else sees it."),
        minutes=2,
        fact=_addresses,
        links=(StepLink(gettext_lazy("Addresses"), "web:addresses"),),
    ),
    Step(
        name="log_key",
        title=gettext_lazy("Key of the log, stored with you"),
        why=gettext_lazy("With this public key you verify your log on your own machine, without trusting anybody."),
        without=gettext_lazy("Somebody who could forge the log could also show you a forged key."),
        minutes=5,
        fact=_log_key,
        links=(
            StepLink(gettext_lazy("Get the key"), "web:how_to_verify"),
            StepLink(gettext_lazy("Confirm that you have it"), "web:confirm_log_key"),
        ),
    ),
    Step(
        name="witness",
        title=gettext_lazy("Witness"),
        why=gettext_lazy("A small program on your machine cosigns your log. Then nobody can rewrite it unnoticed."),
        without=gettext_lazy("You detect a rewritten log only when you compare it yourself."),
        minutes=30,
        fact=_witness,
        links=(StepLink(gettext_lazy("Witnesses"), "web:log_rules"),),
        is_optional=True,
    ),
    Step(
        name="lockbox",
        title=gettext_lazy("Switch Lockbox on"),
        why=gettext_lazy("From then on, no window on your content opens before one of your approvers approves."),
        without=gettext_lazy("The provider’s own approvers open windows without asking you."),
        minutes=1,
        fact=_lockbox,
        links=(StepLink(gettext_lazy("Lockbox"), "web:tenant"),),
    ),
    Step(
        name="practice",
        title=gettext_lazy("First access request"),
        why=gettext_lazy("A practice request reaches your approvers, with made-up content. A real one counts, too."),
        without=gettext_lazy("Your approvers see their first access request when it is real, and the time is short."),
        minutes=5,
        fact=_practice,
        links=(StepLink(gettext_lazy("Practice request"), "web:practice"),),
    ),
)
