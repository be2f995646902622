"""People and their roles, and the actors that are made from them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models, transaction
from django.db.models import CharField, DateTimeField, F, Q, QuerySet, UUIDField
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from audit_app import recorder
from requests_app.domain import clock
from requests_app.domain.actors import CLIENT_ROLES, Actor, Away, Machine, Role, Side
from requests_app.domain.acts.members import ROLE_GIVEN
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.scopes import known
from requests_app.models.deputies import OutOfOffice
from requests_app.models.directory import DirectoryRecord
from requests_app.models.integrations import Client, Token
from requests_app.models.keys import Passkey
from requests_app.models.scoping import ScopedQuerySet
from requests_app.models.single_sign_on import SignOn
from requests_app.models.staff_terms import StaffTerm
from requests_app.models.tenants import Tenant
from requests_app.platform.database.compiled import CompiledQuery, Reads
from requests_app.platform.database.rows import Row


class PersonQuerySet(models.QuerySet["Person"]):
    def active(self) -> Self:
        return self.filter(is_active=True)

    def humans(self) -> Self:
        return self.filter(kind=Person.Kind.HUMAN)

    def approvers_of(self, tenant_id: object) -> Self:
        is_approver = {"memberships__tenant_id": tenant_id, "memberships__role": "approver"}
        return self.active().humans().filter(**is_approver).distinct()

    def deciding_for(self, tenant_id: object, at: datetime) -> Self:
        """Return the people who can decide for this tenant now: its approvers, and the deputies of absent approvers."""
        of_tenant: dict[str, Any] = {"tenant": tenant_id}
        deputies = OutOfOffice.objects.filter(**of_tenant).live(at).values("deputy")
        people = self.active().humans()
        is_approver = Q(memberships__tenant_id=tenant_id, memberships__role="approver")
        still = Q(memberships__tenant_id=tenant_id, memberships__role="deputy", pk__in=deputies)
        return people.filter(is_approver | still).distinct()

    def in_queue(self, service_id: object, role: str) -> Self:
        """Return the people with this role in a service's queue. Accounts of clients are left out."""
        has_role = {"queue_assignments__service_id": service_id, "queue_assignments__role": role}
        return self.active().humans().filter(**has_role).distinct()

    def holding(self, roles: Iterable[str], *, tenant_id: object, service_id: object) -> Self:
        """Return the people who hold one of these roles in the tenant, or in the service's queue."""
        names = sorted(roles)
        in_tenant = Q(memberships__tenant_id=tenant_id, memberships__role__in=names)
        in_queue = Q(queue_assignments__service_id=service_id, queue_assignments__role__in=names)
        return self.active().humans().filter(in_tenant | in_queue).distinct()


class PersonManager(BaseUserManager["Person"]):
    def get_queryset(self) -> PersonQuerySet:
        return PersonQuerySet(self.model, using=self._db)

    def active(self) -> PersonQuerySet:
        return self.get_queryset().active()

    def get(self, *conditions: Any, **fields: Any) -> Person:
        """Return the one matching person.

        A look-up only by `pk` uses a compiled query. Django does this look-up for every page, to find who is signed
        in.
        """
        # The manager of a relation is a subclass, and finds only the people of this relation.
        is_plain = type(self) is PersonManager and self._db is None
        is_compiled = is_plain and not conditions and fields.keys() == {"pk"}
        if not is_compiled or fields["pk"] is None:
            return self.get_queryset().get(*conditions, **fields)
        if (person := with_id(fields["pk"])) is None:
            raise self.model.DoesNotExist("Person matching query does not exist.")
        return person

    def get_by_natural_key(self, email: str | None) -> Person:
        return self.get(email=(email or "").lower())

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> Person:
        """Create a person from the command line. The address counts as verified, because the operator entered it."""
        fields.setdefault("created_at", clock.now())
        fields.setdefault("email_verified_at", fields["created_at"])
        person = self.model(email=email.lower(), **fields)
        person.set_password(password)
        with transaction.atomic(using=self._db):
            person.save(using=self._db)
            if person.is_staff:
                StaffTerm.begin(person, at=clock.now())
        return person

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> Person:
        """Create a member of staff, for `manage.py createsuperuser`. No second person must confirm this.

        The provider's log gets an entry, and so does the log of each tenant that ever had Lockbox on. The new member
        can't confirm anything until the waiting time is over.
        """
        fields.setdefault("name", email.partition("@")[0])
        fields.update(side=Person.Side.PROVIDER, is_staff=True, is_superuser=True)
        with transaction.atomic(using=self._db):
            person = self.create_user(email, password, **fields)
            _witness_made_staff(person)
        return person


class Person(Row, AbstractBaseUser, PermissionsMixin):
    """A person who can sign in, or the account of a client, with which nobody can sign in.

    All accounts of one human have the same `human_id`. So a human with two accounts counts once.
    """

    class Kind(models.TextChoices):
        HUMAN = "human", _("Person")
        CLIENT = "client", _("Client")

    class Side(models.TextChoices):
        PROVIDER = "provider", _("Provider")
        CUSTOMER = "customer", _("Customer")

    class Theme(models.TextChoices):
        SYSTEM = "system", _("Same as the device")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("email"), unique=True)
    # When somebody opened a link that was sent to the address. Before that, the person can't sign in.
    email_verified_at = models.DateTimeField(_("address verified"), null=True, blank=True, editable=False)
    name = models.CharField(_("name"), max_length=120)
    side = models.CharField(_("side"), max_length=8, choices=Side.choices)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.HUMAN, editable=False)
    human_id = models.UUIDField(default=uuid.uuid4, editable=False, db_index=True)
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    language = models.CharField(_("language"), max_length=16, default="en")
    theme = models.CharField(_("theme"), max_length=8, choices=Theme.choices, default=Theme.SYSTEM)
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    created_at = models.DateTimeField(_("created"), editable=False)
    totp_set_up_at = models.DateTimeField(_("authenticator app since"), null=True, blank=True, editable=False)
    session_epoch = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    #: The places and roles that were read with the person (`with_id`), and when, or None. Later changes are not here.
    held_roles: list[tuple[UUID, str]] | None = None
    read_at: datetime | None = None

    objects = PersonManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(is_staff=False) | models.Q(side="provider"),
                name="person_staff_is_provider",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="human") | models.Q(is_staff=False, is_superuser=False),
                name="person_client_is_no_staff",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def check_password(self, raw_password: str | None) -> bool:
        """Return whether this is the password. Return False if the person must use single sign-on."""
        return super().check_password(raw_password) and not self.signs_in_elsewhere()

    def signs_in_elsewhere(self) -> bool:
        """Return whether single sign-on is the only way for this person to sign in. Their tenant decides this."""
        tenants = Membership.objects.filter(person=self).values("tenant")
        return SignOn.objects.filter(is_only=True, tenant__in=tenants).exclude(break_glass=self).exists()

    def may_change_address(self) -> bool:
        """Return whether the person can change their address here.

        They can't if a directory manages the address, or if they must use single sign-on.
        """
        in_directory = DirectoryRecord.objects.filter(person=self).present().exists()
        return not (in_directory or self.signs_in_elsewhere())

    def passes_single_sign_on_by(self) -> bool:
        """Return whether the person can sign in here although their tenant requires single sign-on.

        A tenant names at most one such person, in case its identity provider fails.
        """
        return SignOn.objects.filter(is_only=True, break_glass=self).exists()

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name.split(" ")[0]

    @property
    def has_second_factor(self) -> bool:
        """Whether the person has an authenticator app, or a passkey of this site.

        The database is queried only if the person has no app.
        """
        if self.totp_set_up_at is not None:
            return True
        return bool(Passkey.objects.filter(person_id=self.pk).live().of_this_site().exists())

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Return a hash that Django compares with the one in each session. A session with another hash ends.

        A new password or a new `session_epoch` changes the hash, so all sessions of the person end.
        """
        salt = "requests_app.models.Person.get_session_auth_hash"
        value = f"{self.password}\n{self.session_epoch}"
        return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()


class Membership(models.Model):
    """One role of one person in one tenant."""

    class Role(models.TextChoices):
        MEMBER = "member", _("Member")
        APPROVER = "approver", _("Approver")
        AUDITOR = "auditor", _("Auditor")
        ADMINISTRATOR = "administrator", _("Administrator")
        DEPUTY = "deputy", _("Deputy")

    tenant = models.ForeignKey("requests_app.Tenant", models.PROTECT, related_name="memberships")
    person = models.ForeignKey(Person, models.PROTECT, related_name="memberships")
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    given_at = models.DateTimeField(_("since"))

    objects = ScopedQuerySet.as_manager()

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "person", "role"], name="membership_once"),
        ]
        indexes = [models.Index(fields=["tenant", "role"], name="membership_by_role")]

    def __str__(self) -> str:
        return f"{self.person} · {self.get_role_display()} · {self.tenant}"


class QueueAssignment(models.Model):
    """One role of one of the provider's people in a service's queue."""

    class Role(models.TextChoices):
        ENGINEER = "engineer", _("Engineer")
        PROVIDER_APPROVER = "provider_approver", _("Provider approver")

    service = models.ForeignKey("requests_app.Service", models.PROTECT, related_name="queue_assignments")
    person = models.ForeignKey(Person, models.PROTECT, related_name="queue_assignments")
    role = models.CharField(_("role"), max_length=20, choices=Role.choices)
    given_at = models.DateTimeField(_("since"))
    # A role that came only through a group of the directory ends with the membership, or with the mapping.
    is_through_group = models.BooleanField(_("through a group of the directory"), default=False, db_default=False)

    class Meta:
        verbose_name = _("queue assignment")
        verbose_name_plural = _("queue assignments")
        constraints = [
            models.UniqueConstraint(fields=["service", "person", "role"], name="queue_assignment_once"),
        ]

    def __str__(self) -> str:
        return f"{self.person} · {self.get_role_display()} · {self.service}"


def _witness_made_staff(person: Person) -> None:
    """Record that an operator made this person staff on the command line.

    The entry goes into the provider's log, and into the log of each tenant that ever had Lockbox on.
    """
    detail = {"person": str(person.pk), "name": person.name, "email": person.email, "role": str(Role.STAFF)}
    fields: dict[str, Any] = {
        "event": ROLE_GIVEN,
        "door": "command",
        "actor": {"kind": "system", "id": None, "name": "createsuperuser", "side": "system", "email": ""},
        "subject_type": "person",
        "subject_id": str(person.pk),
        "detail": detail,
        "text": person.name,
    }
    logs = [PROVIDER_LOG, *Tenant.objects.ever_on().values_list("pk", flat=True)]
    recorder.record([recorder.Witnessed(tenant_id=log, **fields) for log in logs], at=clock.now())


def _roles_from(here: Any, person: str = "") -> dict[str, Any]:
    """Return what a query for a person reads: the time, and one row for each role, or one row without a role."""
    return {
        "now": clock.column(here),
        "in_tenant": F(f"{person}memberships__tenant_id"),
        "tenant_role": F(f"{person}memberships__role"),
        "in_queue": F(f"{person}queue_assignments__service_id"),
        "queue_role": F(f"{person}queue_assignments__role"),
    }


def _roles_in(rows: Iterable[Any], side: str) -> list[tuple[UUID, str]]:
    is_customer = side == Person.Side.CUSTOMER
    pairs = {(one.in_tenant, one.tenant_role) if is_customer else (one.in_queue, one.queue_role) for one in rows}
    return [(where, role) for where, role in pairs if role]


#: The person with an id, and their roles.
_PERSON = CompiledQuery(
    lambda here, pk: Person.objects.get_queryset().annotate(**_roles_from(here)).filter(pk=pk).order_by(),
    here=DateTimeField(),
    pk=UUIDField(),
)


def with_id(pk: object) -> Person | None:
    """Return the person with this id, or None. The same statement reads the roles that they have now, and the time."""
    if not (found := _PERSON(here=clock.here(), pk=pk)):
        return None
    person: Person = found[0]
    person.held_roles, person.read_at = _roles_in(found, person.side), clock.brought(found[0].now)
    return person


#: The places and the roles of a person of each side.
_ROLES = {
    Side.CUSTOMER: CompiledQuery(
        lambda person: Membership.objects.filter(person_id=person).values_list("tenant_id", "role"),
        person=UUIDField(),
    ),
    Side.PROVIDER: CompiledQuery(
        lambda person: QueueAssignment.objects.filter(person_id=person).values_list("service_id", "role"),
        person=UUIDField(),
    ),
}


def actor_of(
    person: Person,
    *,
    door: str,
    stepped_up_at: datetime | None = None,
    request_id: str = "",
    ip: str = "",
    given_roles: Iterable[tuple[UUID, str]] | None = None,
) -> Actor:
    """Return the actor for a person.

    The roles are read now, unless the caller has read them already (`given_roles`). A person who is switched off has no
    roles, even if rows for them exist. A client's account has no roles either: its token decides what it can do.
    """
    if not _holds_roles(person):
        given_roles = ()
    elif given_roles is None:
        given_roles = _ROLES[Side(person.side)](person=person.pk)
    return _actor_with(person, given_roles, door=door, stepped_up_at=stepped_up_at, request_id=request_id, ip=ip)


def _holds_roles(person: Person) -> bool:
    return person.is_active and person.kind == Person.Kind.HUMAN


def _actor_with(
    person: Person,
    given_roles: Iterable[tuple[UUID, str]],
    *,
    door: str,
    stepped_up_at: datetime | None,
    request_id: str,
    ip: str,
) -> Actor:
    """Return the actor with these roles.

    The ids in `given_roles` are tenants for a customer's person, and services for a person of the provider.
    """
    roles: dict[UUID, set[Role]] = {}
    for where, role in given_roles:
        roles.setdefault(where, set()).add(Role(role))
    tenant_roles = roles if person.side == Person.Side.CUSTOMER else {}
    queue_roles = roles if person.side == Person.Side.PROVIDER else {}
    stands_in_for = _deputise(person, tenant_roles)
    return Actor(
        side=Side(person.side),
        door=door,
        name=person.name,
        person_id=person.pk,
        human_id=person.human_id,
        email=person.email,
        is_staff=person.is_active and person.is_staff,
        tenant_roles={tenant: frozenset(roles) for tenant, roles in tenant_roles.items()},
        queue_roles={service: frozenset(roles) for service, roles in queue_roles.items()},
        stands_in_for=stands_in_for,
        stepped_up_at=stepped_up_at,
        request_id=request_id,
        ip=ip,
    )


def _deputise(person: Person, tenant_roles: dict[UUID, set[Role]]) -> dict[UUID, tuple[Away, ...]]:
    """Add the role of an approver in each tenant where this person is now the deputy of an absent approver.

    This changes `tenant_roles`. Return all absent approvers of each of these tenants, because nobody can know for which
    of them the deputy acts.
    """
    as_deputy = [pk for pk, roles in tenant_roles.items() if Role.DEPUTY in roles and Role.APPROVER not in roles]
    if not as_deputy:
        return {}
    live = OutOfOffice.objects.filter(tenant__in=as_deputy, deputy=person).live(clock.now())
    found: dict[UUID, dict[Away, None]] = {}
    columns = ("tenant_id", "approver_id", "approver__name", "approver__email")
    for tenant_id, *away in live.order_by("from_at", "pk").values_list(*columns):
        found.setdefault(tenant_id, {})[Away(*away)] = None
        tenant_roles[tenant_id].add(Role.APPROVER)
    return {tenant_id: tuple(away) for tenant_id, away in found.items()}


def actor_of_token(
    token: Token, *, in_name_of: Person | None = None, door: str = "api", request_id: str = "", ip: str = ""
) -> Actor:
    """Return the actor for a token, limited to the token's scopes.

    `token` must be read with its account and its client. With `in_name_of`, a client of the provider acts with the
    roles of this engineer, and without its own.
    """
    account = token.account
    scopes = known(token.scopes)
    if account.kind != Person.Kind.CLIENT:
        actor = actor_of(
            account,
            door=door,
            stepped_up_at=token.stepped_up_at,
            request_id=request_id,
            ip=ip,
            given_roles=token.held_roles,
        )
        return replace(actor, scopes=scopes, token_id=token.pk)
    client: Client = account.client
    scopes &= known(client.scopes)
    whose = in_name_of if in_name_of is not None and client.tenant_id is None else account
    actor = actor_of(whose, door=door, request_id=request_id, ip=ip)
    machine = Machine(client_id=client.pk, account_id=account.pk, name=account.name)
    if not account.is_active:
        return replace(actor, scopes=frozenset(), token_id=token.pk, machine=machine, tenant_roles={}, queue_roles={})
    if whose is not account:
        return replace(actor, is_staff=False, scopes=scopes, token_id=token.pk, machine=machine)
    if client.tenant_id is None:
        return replace(actor, is_staff=True, scopes=scopes, token_id=token.pk, machine=machine)
    machine = _with_decider(machine, client)
    client_roles = frozenset(CLIENT_ROLES[scope] for scope in scopes if scope in CLIENT_ROLES)
    roles = {client.tenant_id: client_roles or frozenset({Role.MEMBER})}
    return replace(actor, scopes=scopes, token_id=token.pk, machine=machine, tenant_roles=roles)


def in_name_of(actor: Actor, person: Person) -> Actor:
    """Return the actor for a client of the provider, which uses a token, in the name of this engineer.

    If the token has ended meanwhile, the actor can do nothing.
    """
    return _reread_token(actor, person=person)


def actor_of_client(client: Client, *, door: str = "api", request_id: str = "", ip: str = "") -> Actor:
    """Return the actor for a client of the provider that has proved its secret, and uses no token.

    It has the client's scopes. A client that was removed has none.
    """
    account = client.account
    actor = actor_of(account, door=door, request_id=request_id, ip=ip)
    machine = Machine(client_id=client.pk, account_id=account.pk, name=account.name)
    if not account.is_active or client.tenant_id is not None:
        return replace(actor, is_staff=False, scopes=frozenset(), machine=machine)
    return replace(actor, is_staff=True, scopes=known(client.scopes), machine=machine)


def _with_decider(machine: Machine, client: Client) -> Machine:
    """Add the approver for whom the client decides. Add nobody if that person is no longer an approver."""
    person = client.decides_for
    if person is None or not Person.objects.get_queryset().approvers_of(client.tenant_id).filter(pk=person.pk).exists():
        return machine
    return replace(
        machine,
        decides_for=person.pk,
        decides_for_human=person.human_id,
        decides_for_name=person.name,
        decides_for_email=person.email,
    )


def _with_roles(place: str, role: str) -> CompiledQuery:
    """Return a compiled query for a person: one row for each of their roles, or one row if they have no role."""
    return CompiledQuery(
        lambda pk: Person.objects.get_queryset().annotate(held_in=F(place), held_role=F(role)).filter(pk=pk).order_by(),
        pk=UUIDField(),
    )


_WITH_ROLES = {
    Side.CUSTOMER: _with_roles("memberships__tenant_id", "memberships__role"),
    Side.PROVIDER: _with_roles("queue_assignments__service_id", "queue_assignments__role"),
}


def reread(actor: Actor) -> Actor:
    """Return the actor with the roles that they have now. Call it in the transaction that depends on these roles."""
    return reread_person(actor)[0]


def reread_person(actor: Actor, *reads: Reads) -> tuple[Actor, Person | None, list[Any]]:
    """Return what `reread` returns, the account of a person who has signed in, and each row of `reads`, or None."""
    if not actor.is_person or actor.token_id is not None or actor.machine is not None:
        return _reread_other(actor), None, [next(iter(query(**values)), None) for query, values in reads]
    people, found = _WITH_ROLES[actor.side].with_others({"pk": actor.person}, *reads)
    if not people or not people[0].is_active:
        return _without_roles(actor), None, found
    given_roles = [(one.held_in, one.held_role) for one in people if one.held_role and _holds_roles(one)]
    who = {"door": actor.door, "request_id": actor.request_id, "ip": actor.ip}
    anew = _actor_with(people[0], given_roles, stepped_up_at=actor.stepped_up_at, **who).sending(actor.once)
    return anew, people[0], found


def _reread_other(actor: Actor) -> Actor:
    if actor.token_id is not None or actor.machine is None:
        return actor if actor.token_id is None else _reread_token(actor)
    found = Client.objects.select_related("account").filter(pk=actor.machine.client_id).first()
    who = {"door": actor.door, "request_id": actor.request_id, "ip": actor.ip}
    return actor_of_client(found, **who).sending(actor.once) if found else _without_roles(actor)


def _reread_token(actor: Actor, *, person: Person | None = None) -> Actor:
    found = find_token(pk=actor.token_id)
    if found is None or not found[0].is_live(found[1]) or not found[0].account.is_active:
        return _without_roles(actor)
    token = found[0]
    if person is None and actor.machine is not None and actor.person_id != actor.machine.account_id:
        person = Person.objects.get_queryset().filter(pk=actor.person).first()
    anew = actor_of_token(token, in_name_of=person, door=actor.door, request_id=actor.request_id, ip=actor.ip)
    return anew.sending(actor.once)


def _token(here: Any, **which: Any) -> QuerySet[Any, Any]:
    """Return a query for a token: one row for each role of its account, or one row if the account has no role."""
    rows = Token.objects.select_related("account__client").filter(**which)
    # Without an order: sorting would take a tenth of a call's time.
    return rows.order_by().annotate(**_roles_from(here, "account__"))


_TOKEN_BY = {
    "pk": CompiledQuery(_token, here=DateTimeField(), pk=UUIDField()),
    "secret_hash": CompiledQuery(_token, here=DateTimeField(), secret_hash=CharField()),
}


def find_token(**which: Any) -> tuple[Token, datetime] | None:
    """Return the token with the roles of its account, and the time at which they were read.

    Return None if it is unknown. One statement reads all of this.
    """
    (by,) = which
    found = _TOKEN_BY[by](here=clock.here(), **which)
    return _with_held_roles(found) if found else None


def find_tokens(hashes: Sequence[str]) -> list[tuple[Token, datetime]]:
    """Return the tokens with these hashes that exist, each as `find_token` returns it. One statement reads them all."""
    if len(hashes) <= 1:
        return [found for each in hashes if (found := find_token(secret_hash=each)) is not None]
    rows = defaultdict[UUID, list[Any]](list)
    for row in _token(None, secret_hash__in=hashes):
        rows[row.pk].append(row)
    return [_with_held_roles(found) for found in rows.values()]


def _with_held_roles(rows: Sequence[Any]) -> tuple[Token, datetime]:
    token: Token = rows[0]
    token.held_roles = _roles_in(rows, token.account.side)
    token.read_at = clock.brought(rows[0].now)
    return token, token.read_at


def _without_roles(actor: Actor) -> Actor:
    # A copy, because the actor of the pages is a lazy object and not an instance of its class.
    return replace(copy(actor), is_staff=False, tenant_roles={}, queue_roles={})
