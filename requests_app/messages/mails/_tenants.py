"""Reads the facts for mails about a tenant's settings, and about the people who decide for the tenant."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from requests_app.domain.certificates import fingerprint
from requests_app.domain.levels import Level, can_change
from requests_app.messages.mails import words
from requests_app.messages.mails._reading import Facts, reads
from requests_app.messages.mails.words import Fact
from requests_app.messages.topics import Topic
from requests_app.models import (
    Decision,
    HeldRow,
    Invitation,
    Membership,
    Mute,
    OutboxMessage,
    OutOfOffice,
    Person,
    Proposal,
    ProviderSignOn,
    SignOn,
    Tenant,
)
from requests_app.queries import imports, invitations, sign_on_metadata
from requests_app.words import proposals, sentences


@reads(Topic.LOCKBOX_SWITCHED)
def switched(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when Lockbox was switched on or off."""
    on = bool(message.payload["on"])
    return {
        "path": f"/tenant/{message.tenant_id}/",
        "on": on,
        "by": words.line(message.payload["by"]),
        "customer_time": words.duration(settings.CUSTOMER_DECISION_SECONDS),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Lockbox"), [_("on") if on else _("off")]),
            *_act(message, at),
        ],
    }


@reads(Topic.PROVIDER_JOINED)
def joined(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail about somebody who was invited by the provider before Lockbox was switched on."""
    row: Invitation = Invitation.objects.select_related("accepted_by", "invited_by").get(pk=message.about)
    # Only an invitation that somebody has sent and somebody has accepted leads to this mail.
    assert row.accepted_by is not None
    assert row.accepted_at is not None
    assert row.invited_by is not None
    queues = [words.line(name) for name in invitations.queues(row)]
    return {
        "path": reverse("web:log", args=[message.tenant_id]),
        "name": words.name(row.accepted_by),
        "role": row.role,
        "queues": ", ".join(queues),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Person"), [words.name(row.accepted_by), words.line(row.email)]),
            Fact(_("Role"), [str(row.get_role_display())]),
            *([Fact(_("Queues"), queues)] if queues else []),
            Fact(_("Invited by"), [words.name(row.invited_by), words.when(row.created_at, at)]),
            Fact(_("Accepted"), [words.when(row.accepted_at, at)]),
        ],
    }


@reads(Topic.APPROVERS_CHANGED)
def approvers(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a person got or lost a role that decides or administers."""
    person = Person.objects.get(pk=message.about)
    role = str(message.payload["role"])
    given = bool(message.payload["given"])
    return {
        "path": f"/tenant/{message.tenant_id}/people/",
        "name": words.name(person),
        "given": given,
        "is_approver": role == Membership.Role.APPROVER,
        "is_deputy": role == Membership.Role.DEPUTY,
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Person"), [words.name(person), words.line(person.email)]),
            Fact(_("Role"), [str(Membership.Role(role).label), _("given") if given else _("taken away")]),
            *_act(message, at),
        ],
    }


@reads(Topic.CLIENT_DECIDES)
def client(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a client of the API may now decide for an approver."""
    name, whose = words.line(message.payload["client"]), words.line(message.payload["for"])
    return {
        "path": f"/tenant/{message.tenant_id}/clients/",
        "client": name,
        "whose": whose,
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Client"), [name]),
            Fact(_("Decides for"), [whose]),
            *_act(message, at),
        ],
    }


@reads(Topic.OUT_OF_OFFICE)
def out_of_office(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when an approver named a deputy, or an absence was ended early."""
    row = OutOfOffice.objects.select_related("approver", "deputy").get(pk=message.about)
    ended = bool(message.payload["ended"])
    return {
        "path": f"/tenant/{message.tenant_id}/out-of-office/",
        "ended": ended,
        "approver": words.name(row.approver),
        "deputy": words.name(row.deputy),
        "from": words.when(row.from_at, at),
        "until": words.when(row.until_at, at),
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Out of the office"), [words.name(row.approver), words.line(row.approver.email)]),
            Fact(_("Deputy"), [words.name(row.deputy), words.line(row.deputy.email)]),
            Fact(_("From"), [words.when(row.from_at, at)]),
            Fact(_("Until"), [words.when(row.until_at, at)]),
            *(
                _act(message, at, _("Ended by"), _("Ended"))
                if ended
                else _act(message, at, _("Entered by"), _("Entered"))
            ),
        ],
    }


@reads(Topic.MUTE)
def mute(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when an approver set or lifted a mute.

    Setting a mute also denied all access requests that waited.
    """
    row = Mute.objects.select_related("engineer", "tenant").get(pk=message.about)
    denied = Decision.objects.filter(tenant=row.tenant, stage=Decision.Stage.CUSTOMER, at=row.set_at)
    references = denied.order_by("access_request__reference").values_list("access_request__reference", flat=True)
    amount = ngettext("%(n)d access request", "%(n)d access requests", row.denied) % {"n": row.denied}
    name = words.name(row.engineer) if row.engineer else words.line(sentences.everybody())
    # A mail about the end of a mute also shows its beginning. So the labels say which of the two a fact is about.
    lifted = bool(message.payload["lifted"])
    done = _act(message, at, _("Ended by"), _("Ended")) if lifted else _act(message, at, _("Muted by"), _("Muted at"))
    return {
        "path": f"/tenant/{message.tenant_id}/mutes/",
        "lifted": lifted,
        "is_over": row.lifted_at is not None,
        "muted": name,
        "source": name if row.engineer else words.line(sentences.anybody()),
        "denied": row.denied,
        "until": words.when(row.until_at, at),
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(
                _("Who is muted") if row.lifted_at is None else _("Who was muted"),
                [words.who(row.engineer) if row.engineer else name],
            ),
            Fact(_("Until") if row.lifted_at is None else _("Planned end of the mute"), [words.when(row.until_at, at)]),
            *([Fact(_("Denied at the start of the mute"), [amount + ":", *references])] if row.denied else []),
            *done,
        ],
        "quotes": [words.quote(_("Comment of the person who started the mute"), row.note)] if row.note else [],
    }


@reads(Topic.PROPOSAL)
def proposal(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a tenant's proposal was made, confirmed or withdrawn."""
    row = Proposal.objects.select_related("proposed_by").get(pk=message.about)
    what = message.payload["what"]
    return {
        "path": f"/tenant/{message.tenant_id}/proposals/",
        "is_made": what == "made",
        "is_confirmed": what == "confirmed",
        "what": words.line(proposals.words(row.act, row.said)),
        "proposer": words.name(row.proposed_by),
        "by": words.line(message.payload["by"]),
        "until": words.when(row.expires_at, at),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Proposed by"), [words.name(row.proposed_by)]),
            *_answer(message, row, at),
        ],
    }


def _answer(message: OutboxMessage, row: Proposal, at: datetime) -> list[Fact]:
    """Return the facts about what happened to the proposal: who did it and when, and the time limit to confirm."""
    until, when = words.when(row.expires_at, at), words.when(message.created_at, at)
    if message.payload["what"] == "made":
        return [Fact(_("Proposed at"), [when]), Fact(_("To be confirmed by"), [until])]
    by = words.line(message.payload["by"])
    if message.payload["what"] == "confirmed":
        done = [Fact(_("Confirmed by"), [by]), Fact(_("Confirmed at"), [when])]
    else:
        done = [Fact(_("Withdrawn by"), [by]), Fact(_("Withdrawn at"), [when])]
    return [*done, Fact(_("Could be confirmed until"), [until])]


@reads(Topic.STAFF_CHANGE)
def staff_change(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail about a change by the provider's staff that affects the tenant.

    The mail is sent when the change was proposed, confirmed, withdrawn or applied, and when it lapsed.
    """
    row = Proposal.objects.select_related("proposed_by", "confirmed_by", "proposed_through").get(pk=message.about)
    what = message.payload["what"]
    effective = words.when(row.effective_at, at) if row.effective_at else ""
    is_ahead = what in ("made", "confirmed")
    second = words.name(row.confirmed_by) if row.confirmed_by else _("nobody yet") if is_ahead else _("nobody")
    if row.is_alone:
        second = _("nobody, because the staff had no other member")
    elif row.is_through_group:
        second = _(
            "nobody: the role comes through a group of the provider’s directory, which gives this role to its members"
        )
    assert message.tenant_id is not None
    held = imports.held_rows(row, [message.tenant_id])
    changes = _in_words(held, _("more: your log has an entry about each change"))
    change = words.line(proposals.words(row.act, row.said))
    return {
        "path": f"/tenant/{message.tenant_id}/",
        "what": what,
        # Of an import, the reader needs its changes. The hash of the file says nothing to them.
        "changes": changes,
        "n": held.count(),
        "first": Truncator(changes[0] if changes else change).chars(_SUBJECT_CHARS),
        "others": max(held.count() - 1, 0),
        "is_ahead": is_ahead,
        "is_alone": row.is_alone,
        "change": change,
        "proposer": words.proposer(row),
        "by": words.line(message.payload["by"]),
        "until": words.when(row.expires_at, at),
        "wait": words.duration(settings.STAFF_CHANGE_WAIT_SECONDS),
        "effective": effective,
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Proposed by"), [words.proposer(row), words.when(row.proposed_at, at)]),
            Fact(_("Confirmed by"), [second]),
            *_effect(what, effective),
            *([Fact(_("For the record"), [words.line(proposals.words(row.act, row.said))])] if changes else []),
        ],
    }


def _time_limit(row: Proposal, at: datetime) -> list[Fact]:
    if row.effective_at is not None:
        return [Fact(_("Takes effect"), [words.when(row.effective_at, at)])]
    return [Fact(_("To be confirmed by"), [words.when(row.expires_at, at)])]


@reads(Topic.SECOND_PERSON)
def second_person(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail to the staff who can confirm a change, or withdraw a role through a group."""
    related = ("proposed_by", "confirmed_by", "proposed_through")
    row = imports.with_changes(Proposal.objects.select_related(*related)).get(pk=message.about)
    held = imports.all_held_rows(row)
    is_import, more = held.exists(), _("more: the page of the proposal has each change")
    return {
        "path": reverse("admin:requests_app_proposal_change", args=[row.pk]),
        "is_of_staff": True,
        "ends": message.payload["what"] == "ends",
        "is_through_group": row.is_through_group,
        "effective": words.when(row.effective_at, at) if row.effective_at else "",
        "proposer": words.proposer(row),
        "change": words.line(proposals.title(row.act, row.said, row.changes_held)),
        "is_import": is_import,
        "until": words.when(row.expires_at, at),
        "wait": words.duration(settings.STAFF_CHANGE_WAIT_SECONDS),
        "facts": [
            Fact(_("Proposed by"), [words.proposer(row), words.when(row.proposed_at, at)]),
            *_time_limit(row, at),
            *([Fact(_("Changes"), [f"• {one}" for one in _in_words(held, more)])] if is_import else []),
            *_customers(row),
        ],
    }


def _customers(row: Proposal) -> list[Fact]:
    """Return the tenants that a change affects. With many tenants, the page of the proposal has the others."""
    names = [words.line(name) for name in row.touched.order_by("name").values_list("name", flat=True)]
    more = len(names) - _ROWS_LISTED
    found = names[:_ROWS_LISTED] + ([_("and %(n)d more") % {"n": more}] if more > 0 else [])
    return [Fact(_("Announced to"), found)] if found else []


#: How many changes of one import a mail lists. The log of the tenant has an entry about each.
_ROWS_LISTED = 20
#: How much of a change a subject has. The mail has all of it.
_SUBJECT_CHARS = 90


def _in_words(rows: QuerySet[HeldRow], more: str) -> list[str]:
    """Return the changes of an import in words, the one that weakens a customer most first."""
    first = rows.order_by(imports.by_weight(), "line")[: _ROWS_LISTED + 1]
    found = [words.line(proposals.words(held.act, held.terms)) for held in first]
    if len(found) > _ROWS_LISTED:
        found[_ROWS_LISTED:] = [more]
    return found


def _effect(what: str, effective: str) -> list[Fact]:
    """Return when the change takes effect, took effect, or was planned to take effect.

    The list is empty if the change never got such a time.
    """
    if what in ("made", "confirmed"):
        return [Fact(_("Takes effect"), [effective or _("after the confirmation")])]
    label = _("Took effect") if what == "applied" else _("Planned to take effect")
    return [Fact(label, [effective])] if effective else []


def _metadata(row: SignOn) -> list[Fact]:
    """Return from where the keys of a SAML identity provider come. With OpenID Connect, no keys are stored."""
    if not row.is_saml:
        return []
    lines = [words.line(_no_link(row.metadata_url)) if row.metadata_url else _("entered by an administrator")]
    if row.metadata_signer:
        lines.append(_("signed by the certificate %(fingerprint)s") % {"fingerprint": fingerprint(row.metadata_signer)})
    return [Fact(_("Metadata"), lines)]


def _newcomers(row: SignOn) -> str:
    if not (row.is_on and row.newcomer_role):
        return _("can’t sign in")
    return _("get an account when they first sign in, with the role %(role)s") % {
        "role": row.get_newcomer_role_display().lower()
    }


@reads(Topic.SIGN_ON_CHANGED)
def sign_on(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when the tenant's single sign-on was changed."""
    row = SignOn.objects.get(tenant=message.tenant_id)
    return {
        "path": f"/tenant/{message.tenant_id}/sign-on/",
        "by": words.line(message.payload["by"]),
        "is_on": row.is_on,
        "is_proof": row.is_proof and row.is_on,
        "keys": message.payload.get("keys", ""),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(
                _("Identity provider"), [words.line(row.issuer.partition("://")[2]), _("on") if row.is_on else _("off")]
            ),
            *_metadata(row),
            Fact(_("Other ways to sign in"), [_("not allowed") if row.is_only else _("allowed")]),
            Fact(_("People of your domains without an account"), [_newcomers(row)]),
            *_act(message, at),
        ],
    }


@reads(Topic.PROVIDER_SIGN_ON)
def provider_sign_on(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail to staff about the metadata for the provider's own single sign-on."""
    row = ProviderSignOn.objects.get(pk=message.about)
    pinned = sign_on_metadata.pinned_of(row)
    keys = pinned.fingerprints if pinned is not None else []
    return {
        "path": reverse("admin:single_sign_on"),
        "keys": message.payload["keys"],
        "facts": [
            Fact(_("Identity provider"), [words.line(_no_link(row.issuer) or _("not known yet"))]),
            Fact(_("Address of the metadata"), [words.line(_no_link(row.metadata_url))]),
            Fact(_("Certificates in use (SHA-256)"), keys or [_("none")]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }


def _no_link(address: str) -> str:
    """Return an address without "https://", so that mail programs do not make a link of it."""
    return address.removeprefix("https://").removeprefix("http://")


@reads(Topic.LEVEL_RULE_CHANGED)
def level_rule(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when a level of access was ruled out or allowed."""
    level, is_allowed = Level(message.payload["level"]), bool(message.payload["allowed"])
    return {
        "path": f"/tenant/{message.tenant_id}/levels/",
        "level": str(level.label),
        "allowed": is_allowed,
        "changes": can_change(level),
        "lockbox_on": bool(message.tenant and message.tenant.lockbox_on),
        "by": words.line(message.payload["by"]),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Level of access"), [str(level.label), _("allowed") if is_allowed else _("ruled out")]),
            *_act(message, at),
        ],
    }


@reads(Topic.YES_RULES_CHANGED)
def yes_rules(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when the tenant's approval requirements were changed.

    It is also sent when the tenant's own approval page, or the site of that page's passkeys, was changed.
    """
    payload = message.payload
    is_page = "origin" in payload
    if is_page:
        # A mail has one link, and it leads to this product. So any other address is shown without its scheme.
        now, was = (words.line(payload[name].partition("://")[2]) or _("none") for name in ("origin", "origin_before"))
        site, site_was = (words.line(payload[name]) or _("none") for name in ("rp_id", "rp_id_before"))
        accepted = _("approvals that are given on the pages of Customer Lockbox")
        if payload["origin"]:
            accepted = _("approvals that are given on this approval page or on the pages of Customer Lockbox")
        if payload["keys_only"]:
            accepted = _("only approvals that are signed with a passkey of this site")
        facts = [
            Fact(_("Approval page"), [now, _("before: %(was)s") % {"was": was}]),
            Fact(_("Site of the passkeys"), [site, _("before: %(was)s") % {"was": site_was}]),
            Fact(_("Valid approvals"), [accepted]),
        ]
    else:
        rule, before = (str(Tenant.YesRule(payload[name]).label) for name in ("rule", "rule_before"))
        facts = [Fact(_("Approvals"), [rule, _("before: %(was)s") % {"was": before}])]
    return {
        "path": f"/tenant/{message.tenant_id}/" + ("approval-page/" if is_page else ""),
        "is_page": is_page,
        "is_moved": is_page and any(payload[name] != payload[f"{name}_before"] for name in ("origin", "rp_id")),
        "has_page": bool(payload.get("origin")),
        "by": words.line(payload["by"]),
        "facts": [Fact(_("Tenant"), [_tenant(message)]), *facts, *_act(message, at)],
    }


@reads(Topic.SIGN_ON_BYPASSED)
def bypass(message: OutboxMessage, at: datetime) -> Facts:
    """Return the facts for the mail that is sent when somebody signed in without single sign-on."""
    person = Person.objects.get(pk=message.about)
    return {
        "path": f"/tenant/{message.tenant_id}/sign-on/",
        "name": words.name(person),
        "facts": [
            Fact(_("Tenant"), [_tenant(message)]),
            Fact(_("Person"), [words.name(person), words.line(person.email)]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }


def _tenant(message: OutboxMessage) -> str:
    assert message.tenant is not None
    return words.line(message.tenant.name)


def _act(message: OutboxMessage, at: datetime, by: str = "", when: str = "") -> list[Fact]:
    """Return who did what the mail reports, and when. `by` and `when` are the labels of these two facts."""
    return [
        Fact(by or _("Done by"), [words.line(message.payload["by"])]),
        Fact(when or _("When"), [words.when(message.created_at, at)]),
    ]
