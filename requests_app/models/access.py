"""Access requests, decisions, grants and content accesses: fields, constraints, named querysets."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.text import get_text_list
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from requests_app.domain import limits
from requests_app.domain.levels import WORDS_MAX, Level, can_change
from requests_app.domain.states import PENDING, State, present_state
from requests_app.models.scoping import PRACTICE_PREFIX, ScopedQuerySet
from requests_app.platform.database.rows import Row

#: The id of a listed name is this many bytes of the name's digest.
LISTED_ID = 16
#: The stored states of the access requests that have not ended.
UNDER_WAY = frozenset({*PENDING, State.OPEN})
#: The longest address that a client can name as the source of an access request. A ticket's address is as long.
SOURCE_URL_MAX = 500


def _is_one_of(states: Iterable[State]) -> str:
    """Return the template of a condition that has the text of a partial index, and no parameters.

    With parameters, SQLite never uses such an index, and PostgreSQL does not use it for a plan that it keeps.
    """
    return "%(expressions)s IN ({})".format(", ".join(f"'{state}'" for state in sorted(states)))


class _IsPending(models.Func):
    """Says that a state is pending."""

    template = _is_one_of(PENDING)
    arity = 1
    output_field = models.BooleanField()


class _HasNotEnded(_IsPending):
    """Says that a state is pending or open: the access request has not ended."""

    template = _is_one_of(UNDER_WAY)


class AccessRequestQuerySet(ScopedQuerySet):
    service_path = "service_id"

    def real(self) -> Self:
        """Leave out the practice requests. Every number about access requests begins with this."""
        return self.filter(is_practice=False)

    def pending(self) -> Self:
        return self.filter(_IsPending("state"))

    def not_ended(self) -> Self:
        return self.filter(_HasNotEnded("state"))

    def overdue(self, at: datetime) -> Self:
        return self.pending().filter(decide_by__lte=at)

    def waiting(self, at: datetime) -> Self:
        return self.pending().filter(decide_by__gt=at)

    def elapsed(self, at: datetime) -> Self:
        """Return the access requests whose window has ended, but is not closed yet."""
        return self.filter(state=State.OPEN, grant__closed_at=None, grant__closes_at__lte=at)

    def under_way(self, at: datetime) -> Self:
        """Return the access requests that still wait for a decision, or whose window is still open, at this instant.

        An access request past its deadline is left out, even if no sweep has stored the new state yet.
        """
        waits = Q(state__in=PENDING, decide_by__gt=at)
        return self.filter(waits | Q(state=State.OPEN, grant__closed_at=None, grant__closes_at__gt=at))


class AccessRequest(Row):
    """An engineer's access request. After it was submitted, only `state`, `decide_by` and `state_changed_at` change."""

    class Reason(models.TextChoices):
        CUSTOMER_TICKET = "customer_ticket", _("A customer's ticket")
        PROVIDER_INITIATED = "provider_initiated", _("A problem that the provider found")
        LEGAL_DEMAND = "legal_demand", _("A law-enforcement demand")

    #: When the kernel read the row under its lock.
    locked_at: datetime | None = None
    #: The scope of a line of the API's list, if it was read for all lines together.
    listed_scope: list[AccessRequestResource] | None = None

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reference = models.CharField(_("reference"), max_length=16, unique=True)
    # Each of these columns is the first one of another index. A second index would only cost time when rows change.
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="access_requests", db_index=False)
    service = models.ForeignKey("requests_app.Service", models.PROTECT, related_name="access_requests", db_index=False)
    ticket = models.ForeignKey(
        "requests_app.Ticket", models.PROTECT, null=True, blank=True, related_name="access_requests", db_index=False
    )
    previous = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="following", db_index=False
    )
    reason_kind = models.CharField(_("reason"), max_length=20, choices=Reason.choices)
    authority = models.CharField(_("authority"), max_length=200, blank=True)
    instrument = models.CharField(_("instrument"), max_length=200, blank=True)
    demand_reference = models.CharField(_("reference number of the demand"), max_length=120, blank=True)
    demand_date = models.DateField(_("date of the demand"), null=True, blank=True)
    tried = models.TextField(_("what was tried"))
    justification = models.TextField(_("why there is no other way"))
    level = models.CharField(_("how much"), max_length=8, choices=Level.choices)
    window_for = models.PositiveIntegerField(_("window (seconds)"))
    resources = models.ManyToManyField(
        "requests_app.Resource", through="AccessRequestResource", related_name="access_requests"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="access_requests", db_index=False
    )
    requester_human = models.UUIDField()
    needs_customer_approval = models.BooleanField(_("needs the customer's approval"))
    # The application that enforces the window, if the service was external at the submission. Otherwise empty: the
    # content is read through this product. The service may change later, but not what happened in this window.
    enforced_by = models.CharField(
        _("enforced by"), max_length=limits.APPLICATION_MAX, blank=True, default="", db_default="", editable=False
    )
    # What the service said to customers about the level at the submission. The service may change it later, but not
    # what was read here.
    service_words = models.CharField(
        _("the service’s words about the level"),
        max_length=WORDS_MAX,
        blank=True,
        default="",
        db_default="",
        editable=False,
    )
    # The client that submitted it for the engineer, by its name at the submission. Otherwise empty.
    raised_by = models.CharField(
        _("raised by the API client"), max_length=120, blank=True, default="", db_default="", editable=False
    )
    # The window ends at this instant at the latest. Empty if only its length counts.
    until_at = models.DateTimeField(_("no longer than until"), null=True, blank=True, editable=False)
    # A mark for people. No rule depends on it.
    is_emergency = models.BooleanField(_("emergency"), default=False, db_default=False, editable=False)
    # What the client that raised it calls the address of its own ticket or page. It is only shown, as text.
    source_url = models.CharField(
        _("address that the client names"),
        max_length=SOURCE_URL_MAX,
        blank=True,
        default="",
        db_default="",
        editable=False,
    )
    content_digest = models.CharField(_("digest"), max_length=64)
    state = models.CharField(_("state"), max_length=20, choices=State.choices, default=State.PENDING_PROVIDER)
    submitted_at = models.DateTimeField(_("submitted"))
    state_changed_at = models.DateTimeField(_("changed"))
    decide_by = models.DateTimeField(_("decide by"))
    # Whether this is a practice request: it names only the practice resource, with made-up content.
    is_practice = models.BooleanField(_("practice"), default=False, db_default=False, editable=False)

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("access request")
        verbose_name_plural = _("access requests")
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="access_request_state_known"),
            models.CheckConstraint(
                condition=(
                    Q(reason_kind="legal_demand", ticket=None, demand_date__isnull=False)
                    & ~Q(authority="")
                    & ~Q(instrument="")
                    & ~Q(demand_reference="")
                )
                | (~Q(reason_kind="legal_demand") & Q(ticket__isnull=False)),
                name="access_request_has_reason",
            ),
            # The reference says which it is, so the mark can't be changed alone. A law-enforcement demand is never
            # practice.
            models.CheckConstraint(
                condition=(Q(is_practice=True, reference__startswith=PRACTICE_PREFIX) & ~Q(reason_kind="legal_demand"))
                | (Q(is_practice=False) & ~Q(reference__startswith=PRACTICE_PREFIX)),
                name="access_request_practice_reference",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "state", "decide_by"], name="access_request_by_tenant"),
            models.Index(fields=["tenant", "-submitted_at"], name="access_request_by_age"),
            models.Index(fields=["-submitted_at"], name="access_request_newest"),
            # With the tenant, though each ticket has one: lists name both, and SQLite takes the index that has both.
            models.Index(fields=["ticket", "tenant", "-submitted_at"], name="access_request_by_ticket_age"),
            # There are few access requests that have not ended, so tickets find them without the others. It has the
            # state, too: SQLite prefers the index above to one that has only the ticket.
            models.Index(
                fields=["ticket", "state"],
                condition=Q(state__in=sorted(UNDER_WAY)),
                name="access_request_under_way",
            ),
            models.Index(fields=["service", "state", "decide_by"], name="access_request_by_queue"),
            models.Index(fields=["requested_by", "-submitted_at"], name="access_request_by_engineer"),
            models.Index(fields=["decide_by"], condition=Q(state__in=sorted(PENDING)), name="access_request_overdue"),
            # There are few practice requests, so the checklists find them without reading the others.
            models.Index(fields=["tenant"], condition=Q(is_practice=True), name="access_request_practice"),
            # Few access requests follow an earlier one.
            models.Index(fields=["previous"], condition=Q(previous__isnull=False), name="access_request_following"),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def can_change(self) -> bool:
        """Whether the engineer can change things with this level."""
        return can_change(self.level)

    @property
    def has_gate(self) -> bool:
        """Whether the window is one of a web tool, where this product decides on each request and records it."""
        return bool(self.enforced_by) and self.service.has_gate

    def state_at(self, at: datetime) -> State:
        """Return the state at this instant.

        It can differ from the stored state, if no sweep has run since a deadline.
        """
        return present_state(State(self.state), at, self.decide_by, lambda: self.grant.closes_at)

    @property
    def scoped(self) -> list[Any]:
        """The resources that are asked for, in their order."""
        rows = self.scope.all() if self.listed_scope is None else self.listed_scope
        return [scope.resource for scope in rows]

    @property
    def deciders(self) -> frozenset[UUID]:
        """The human ids of everybody who has decided on this access request.

        Each decider is listed under the human id at the time of the decision, and under the present one.
        """
        return self.deciders_before("")

    def deciders_before(self, stage: str) -> frozenset[UUID]:
        """Return the human ids of the deciders at all stages except this one."""
        return frozenset(human for each in self.decisions.all() if each.stage != stage for human in each.humans)

    def decision_of(self, human: UUID | None, stage: str) -> Decision | None:
        """Return the decision that this human made at this stage, or None. All accounts of the human count."""
        return next((each for each in self.decisions.all() if each.stage == stage and human in each.humans), None)

    @property
    def valid_for(self) -> timedelta:
        return timedelta(seconds=self.window_for)


class AccessRequestResource(Row):
    access_request = models.ForeignKey(AccessRequest, models.PROTECT, related_name="scope", db_index=False)
    resource = models.ForeignKey("requests_app.Resource", models.PROTECT, related_name="+", db_index=False)
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["access_request", "resource"], name="scope_resource_once"),
        ]
        # The newest access requests about a resource.
        indexes = [models.Index(fields=["resource", "-id"], name="scope_by_resource")]

    def __str__(self) -> str:
        return f"{self.access_request_id} · {self.resource_id}"


class DecisionQuerySet(ScopedQuerySet):
    service_path = "access_request__service_id"


class Decision(Row):
    """One human's approval or denial at one stage.

    The human ids of the decider and of the requester are stored here too. A constraint of the database compares them.
    """

    class Stage(models.TextChoices):
        PROVIDER = "provider", _("Provider")
        CUSTOMER = "customer", _("Customer")

    class Verdict(models.TextChoices):
        APPROVE = "approve", _("Yes")
        DENY = "deny", _("No")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="+", db_index=False)
    access_request = models.ForeignKey(AccessRequest, models.PROTECT, related_name="decisions", db_index=False)
    stage = models.CharField(_("stage"), max_length=8, choices=Stage.choices)
    verdict = models.CharField(_("verdict"), max_length=8, choices=Verdict.choices)
    decider = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="decisions")
    decider_human = models.UUIDField()
    requester_human = models.UUIDField()
    client = models.ForeignKey(
        "requests_app.Client", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("through")
    )
    # The names of the absent approvers, if a deputy decided. The log's entry has more about them.
    deputy_for = models.JSONField(_("deputy for"), null=True, blank=True, editable=False)
    comment = models.TextField(_("comment"), blank=True)
    door = models.CharField(_("door"), max_length=16)
    # The SHA-256 of the signed text, in hexadecimal (`requests_app.domain.manifest`). Empty if nothing was signed.
    manifest_digest = models.CharField(_("digest of the signed text"), max_length=64, blank=True, default="")
    # The key that signed, for display. The proof is the log's entry about the decision.
    signed_with = models.JSONField(_("signed with"), null=True, blank=True, editable=False)
    at = models.DateTimeField(_("at"))

    objects = DecisionQuerySet.as_manager()

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["access_request", "decider_human"], name="decision_one_human_once"),
            models.UniqueConstraint(fields=["access_request", "stage"], name="decision_one_per_stage"),
            models.CheckConstraint(condition=~Q(decider_human=F("requester_human")), name="decision_not_by_requester"),
        ]
        indexes = [
            models.Index(fields=["tenant", "-at"], name="decision_by_tenant"),
            models.Index(fields=["-at"], name="decision_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.access_request_id} {self.stage}: {self.verdict}"

    @property
    def humans(self) -> frozenset[UUID]:
        """The decider's human id at the time of the decision, and the present one.

        They differ if the decider's accounts have been linked since then.
        """
        return frozenset((self.decider_human, self.decider.human_id))

    @property
    def who(self) -> str:
        """The decider's name, for display.

        If a client acted for the decider, its name is added. If the decider was a deputy, the names of the absent
        approvers are added.
        """
        name = self.decider.name
        if self.deputy_for:
            away = get_text_list(self.deputy_for, gettext("and"))
            name = gettext("%(name)s, deputy for %(away)s") % {"name": name, "away": away}
        if self.client is None:
            return name
        return gettext("the API client %(client)s for %(name)s") % {"client": self.client, "name": name}

    @property
    def is_signed(self) -> bool:
        return bool(self.manifest_digest)

    @property
    def key_name(self) -> str:
        """The name of the passkey that signed the decision.

        It is empty if one of the provider's people decided, because customers do not see the names of those
        passkeys.
        """
        return str((self.signed_with or {}).get("name", ""))

    @property
    def is_device_bound(self) -> bool | None:
        """Whether the passkey that signed can't leave its device, or None if the decision is not signed."""
        found = (self.signed_with or {}).get("device_bound")
        return found if isinstance(found, bool) else None


class SignedDecision(models.Model):
    """The signature of a decision.

    The log's entry contains the signature too, for readers who do not trust this table.
    """

    decision = models.OneToOneField(Decision, models.PROTECT, primary_key=True, related_name="signature")
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="+")
    passkey = models.ForeignKey("requests_app.Passkey", models.PROTECT, related_name="signed")
    manifest = models.TextField(_("signed text"))
    assertion = models.JSONField(_("the passkey’s answer"))
    nonce = models.CharField(max_length=128)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("signed decision")
        verbose_name_plural = _("signed decisions")
        constraints = [models.UniqueConstraint(fields=["nonce"], name="signed_decision_nonce_once")]

    def __str__(self) -> str:
        return str(self.decision_id)


class GrantQuerySet(ScopedQuerySet):
    service_path = "access_request__service_id"

    def real(self) -> Self:
        """Leave out the windows of practice requests. Every number about windows begins with this."""
        return self.filter(access_request__is_practice=False)

    def unclosed(self) -> Self:
        return self.filter(closed_at=None)

    def live(self, at: datetime) -> Self:
        return self.unclosed().filter(opens_at__lte=at, closes_at__gt=at)

    def elapsed(self, at: datetime) -> Self:
        return self.unclosed().filter(closes_at__lte=at)

    def over(self, at: datetime) -> Self:
        """Return the grants that are over at this instant: somebody closed them, or their window has ended.

        A window has ended at its time, even if no sweep has stored that yet.
        """
        return self.filter(Q(closed_at__isnull=False) | Q(closes_at__lte=at))


class Grant(Row):
    """What an approved access request gives: access for one engineer, to some resources, during one window."""

    class CloseReason(models.TextChoices):
        RELEASED = "released", _("closed by the engineer")
        REVOKED = "revoked", _("closed early")
        ELAPSED = "elapsed", _("closed as planned")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="grants", db_index=False)
    access_request = models.OneToOneField(AccessRequest, models.PROTECT, related_name="grant")
    engineer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="grants", db_index=False)
    level = models.CharField(_("how much"), max_length=8, choices=Level.choices)
    opens_at = models.DateTimeField(_("opens"))
    closes_at = models.DateTimeField(_("closes"))
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    close_reason = models.CharField(_("how it closed"), max_length=10, choices=CloseReason.choices, blank=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        constraints = [
            models.CheckConstraint(condition=Q(closes_at__gt=F("opens_at")), name="grant_window_is_positive"),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(closed_at__gte=F("opens_at")), name="grant_closed_after_opening"
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None, close_reason="") | (Q(closed_at__isnull=False) & ~Q(close_reason="")),
                name="grant_closed_with_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-opens_at"], name="grant_by_tenant"),
            models.Index(fields=["-opens_at"], name="grant_newest"),
            models.Index(fields=["engineer", "-opens_at"], name="grant_by_engineer"),
            models.Index(fields=["closes_at"], condition=Q(closed_at=None), name="grant_unclosed"),
            # For the feed, which reads several times a second what has closed in the last minute.
            models.Index(fields=["closed_at"], condition=Q(closed_at__isnull=False), name="grant_closed"),
            models.Index(
                fields=["engineer", "closes_at"], condition=Q(closed_at=None), name="grant_unclosed_by_engineer"
            ),
            # The sweep, which closes most windows, stores no person.
            models.Index(fields=["closed_by"], condition=Q(closed_by__isnull=False), name="grant_closed_by"),
            # For the decision point: of many windows, only the one that ends last, and the one that closed last, are
            # read.
            models.Index(
                fields=["tenant", "engineer", "closes_at"], condition=Q(closed_at=None), name="grant_open_by_end"
            ),
            models.Index(
                fields=["tenant", "engineer", "closed_at"],
                condition=Q(closed_at__isnull=False),
                name="grant_closed_by_end",
            ),
            # For lists in the order of the ends. Open windows have other indexes, so an opening writes to neither.
            models.Index(
                fields=["tenant", "closes_at"], condition=Q(closed_at__isnull=False), name="grant_closed_of_tenant"
            ),
            models.Index(fields=["closes_at"], condition=Q(closed_at__isnull=False), name="grant_closed_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.access_request_id} {self.opens_at:%Y-%m-%d %H:%M}"

    @property
    def can_change(self) -> bool:
        """Whether the engineer can change things with this level."""
        return can_change(self.level)

    def is_live(self, at: datetime) -> bool:
        return self.closed_at is None and limits.is_within(at, self.opens_at, self.closes_at)

    @property
    def ends_at(self) -> datetime:
        return self.closed_at or self.closes_at


class ContentAccessQuerySet(ScopedQuerySet):
    service_path = "grant__access_request__service_id"

    def columns_of_list(self, grant: Grant, resource: models.Model, item_ids: Iterable[str]) -> dict[str, object]:
        """Return three columns for the row of a listing: the number of names, their ids, and how many of them are new.

        A name is new if no earlier listing under this grant contained it. Lock the grant's row before the call.
        Otherwise two listings at the same time would both count the same name as new.
        """
        ids = [sha256(item_id.encode("utf-8", "surrogatepass")).digest()[:LISTED_ID] for item_id in item_ids]
        lists = self.filter(grant=grant, resource=resource, kind="listed")
        known: set[bytes] = set()
        # In an order that the index of the grant has. Otherwise, SQLite could take the index of the resource.
        for packed in map(bytes, lists.order_by("-at").values_list("listed_ids", flat=True)):
            known.update(packed[at : at + LISTED_ID] for at in range(0, len(packed), LISTED_ID))
        return {"count": len(ids), "new_names": len({*ids} - known), "listed_ids": b"".join(ids)}


class ContentAccess(Row):
    """One access to content. Like an audit entry, a row is written once and never changed."""

    class Kind(models.TextChoices):
        LIST_ASKED = "list_asked", _("requested a list of names")
        LISTED = "listed", _("names listed")
        # Shown on a page. Older rows of this kind can also be downloads.
        OPENED = "opened", _("opened")
        DOWNLOADED = "downloaded", _("downloaded")
        FAILED = "failed", _("could not be read")
        CUT = "cut", _("interrupted")
        # Accesses that the decision point allowed to another service. What happened there is unknown.
        LIST_ALLOWED = "list_allowed", _("listing through another service allowed")
        VIEW_ALLOWED = "view_allowed", _("viewing through another service allowed")
        READ_ALLOWED = "read_allowed", _("reading through another service allowed")
        DOWNLOAD_ALLOWED = "download_allowed", _("download through another service allowed")
        ACT_AS_ALLOWED = "act_as_allowed", _("change through another service allowed")
        # What an application of the provider says about its own requests. One row has the number of many of them.
        REPORTED = "reported", _("accesses reported by the application")
        REPORTED_OUTSIDE = "reported_outside", _("accesses that the window did not allow, reported by the application")
        REFUSAL_REPORTED = "refusal_reported", _("refusals reported by the application")
        CUT_REPORTED = "cut_reported", _("interruptions reported by the application")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="content_accesses", db_index=False)
    grant = models.ForeignKey(Grant, models.PROTECT, related_name="content_accesses", db_index=False)
    # Empty if a gate allowed a path that names none. Nobody knows which resource it was about, if any.
    resource = models.ForeignKey("requests_app.Resource", models.PROTECT, null=True, blank=True, related_name="+")
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    item_id = models.CharField(_("item"), max_length=1024, blank=True)
    item_ref = models.CharField(_("item's name"), max_length=1024, blank=True)
    part = models.CharField(_("part"), max_length=64, blank=True)
    count = models.PositiveIntegerField(_("names"), default=0)
    #: How many of these names were in no earlier list of this window. The sum over all lists counts each name once.
    new_names = models.PositiveIntegerField(_("names listed for the first time"), default=0, db_default=0)
    #: The ids of the names, LISTED_ID bytes each. The names themselves are in the log.
    listed_ids = models.BinaryField(default=b"", db_default=b"", editable=False)
    at = models.DateTimeField(_("at"))

    objects = ContentAccessQuerySet.as_manager()

    class Meta:
        verbose_name = _("content access")
        verbose_name_plural = _("content accesses")
        ordering = ["at"]
        indexes = [
            models.Index(fields=["grant", "-at"], name="content_access_of_grant"),
            models.Index(fields=["tenant", "-at"], name="content_access_by_tenant"),
            models.Index(fields=["-at"], name="content_access_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.kind} {self.item_ref}"


#: The kinds of accesses that the decision point allowed, and those that an application reported. Accesses of all other
#: kinds happened in this product.
ALLOWED = frozenset(
    {
        ContentAccess.Kind.LIST_ALLOWED,
        ContentAccess.Kind.VIEW_ALLOWED,
        ContentAccess.Kind.READ_ALLOWED,
        ContentAccess.Kind.DOWNLOAD_ALLOWED,
        ContentAccess.Kind.ACT_AS_ALLOWED,
    }
)
