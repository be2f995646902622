"""Helpers for the acts of a directory: what it sends about a person, and how that is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit_app import recorder
from requests_app.domain import limits, texts
from requests_app.domain.acts.members import PERSON_SECOND_FACTORS_RESET
from requests_app.domain.acts.own_account import PASSKEY_REMOVED
from requests_app.domain.errors import NotAllowed, Taken, Unacceptable
from requests_app.models import DirectoryRecord, Identity, Membership, Passkey, Person, Tenant, Token
from requests_app.operations._change import Step
from requests_app.operations._keys import described as key_described
from requests_app.operations._keys import logs_with

#: A function that deletes what else a person signs in with, in the tables of the sign-in library.
Drop = Callable[[Any], object] | None
#: A function that raises an error if the read record has changed meanwhile.
Still = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A person as the directory describes them. If the directory did not send a field, the field has the value None."""

    user_name: str | None = None
    email: str | None = None
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    external_id: str | None = None
    is_active: bool | None = None
    roles: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A complete Profile, without gaps, in the form that is stored. `roles` may still be unset."""

    user_name: str
    email: str
    name: str
    given_name: str
    family_name: str
    external_id: str
    is_active: bool
    roles: frozenset[str] | None


def require_as_read(still: Still | None) -> None:
    """Raise an error if somebody has changed the record since the caller read it. Call this under the locks."""
    if still is not None:
        still()


def require_client(current: Step) -> None:
    """Raise NotAllowed unless a client of the provider acts.

    Customers get notice before a client may do this. A member of the staff uses the acts of the portal, which need a
    second person.
    """
    if current.actor.machine is None:
        raise NotAllowed(_("Only an API client of the provider, for the provider’s directory, can do this."))


#: The fields that other people read as a person's name. All others are ids of the directory.
_NAMES = frozenset({"name", "given_name", "family_name"})


def checked(profile: Profile, person: Person | None = None, record: DirectoryRecord | None = None) -> Wanted:
    """Return the wanted fields. A field that the directory did not send keeps its current value.

    Raise Unacceptable with the field's name in SCIM if a value is not allowed.
    """
    now = _now(person, record) if person else {}

    def line(name: str, field: str, *, at_least: int = 0, at_most: int = 120) -> str:
        sent = getattr(profile, name)
        value = sent if sent is not None else now.get(name, "")
        found = " ".join(limits.require_text(value, field=field, at_least=at_least, at_most=at_most).split())
        # What is stored already may stay, so that a directory can always switch a person off.
        return texts.require(found, field=field) if name in _NAMES and found != now.get(name) else found

    email = line("email", "emails", at_least=3, at_most=254).lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Unacceptable(" ".join(error.messages), field="emails") from error
    if profile.roles is not None and not profile.roles <= set(Membership.Role.values):
        raise Unacceptable(_("There is no such role."), field="roles")
    is_active = profile.is_active if profile.is_active is not None else person is None or person.is_active
    return Wanted(
        user_name=line("user_name", "userName", at_least=1, at_most=254),
        email=email,
        name=line("name", "displayName", at_least=1),
        given_name=line("given_name", "name.givenName"),
        family_name=line("family_name", "name.familyName"),
        external_id=line("external_id", "externalId", at_most=254),
        is_active=is_active,
        roles=profile.roles,
    )


def differences(person: Person, record: DirectoryRecord, wanted: Wanted) -> list[str]:
    return [name for name, value in _now(person, record).items() if getattr(wanted, name) != value]


def require_free(wanted: Wanted, *, records: QuerySet[DirectoryRecord], others: QuerySet[Person]) -> None:
    """Raise Taken unless the user name and the directory's key are unique in this directory.

    `records` are the other records of the directory that it has not deleted. `others` are the people without a record:
    their address counts as their user name.
    """
    key = folded(wanted.user_name)
    if (
        records.filter(user_key=key).exists()
        or others.filter(email=key).exists()
        or (wanted.external_id and records.filter(external_id=wanted.external_id).exists())
    ):
        raise Taken


def require_free_address(email: str, *, but: Person | None = None) -> None:
    people = Person.objects.get_queryset().filter(email=email)
    if (people.exclude(pk=but.pk) if but else people).exists():
        raise Taken


def former(records: QuerySet[DirectoryRecord], user_name: str) -> DirectoryRecord | None:
    """Return the record of a person with this user name whom the directory has deleted.

    Return None if there is no such record, or if another person has the name now.
    """
    named = records.filter(user_key=folded(user_name)).select_related("person")
    if named.filter(removed_at=None).exists():
        return None
    return named.order_by("-removed_at").first()


def unwritten(person: Person, tenant: Tenant | None = None) -> DirectoryRecord:
    """Return a new record for a person about whom the directory has sent nothing. Their address is their user name."""
    return DirectoryRecord(tenant=tenant, person=person, user_name=person.email, user_key=folded(person.email))


def keep(current: Step, record: DirectoryRecord, wanted: Wanted) -> None:
    record.user_name, record.user_key = wanted.user_name, folded(wanted.user_name)
    record.external_id = wanted.external_id
    record.given_name, record.family_name = wanted.given_name, wanted.family_name
    record.changed_at = current.at
    record.save()


def set_names(current: Step, person: Person, record: DirectoryRecord, wanted: Wanted, *, is_new_address: bool) -> None:
    """Store the names and the address of the person, and the record.

    If the address is new, or a former account is used again, its credentials end: somebody else may use it from now on.
    """
    is_back = record.removed_at is not None
    person.name, person.email = wanted.name, wanted.email
    person.save(update_fields=["name", "email"])
    if is_new_address or is_back:
        _end_credentials(current, person)
    record.removed_at = None
    keep(current, record, wanted)


def _end_credentials(current: Step, person: Person) -> None:
    """End everything with which the former holder could sign in or act.

    The person who uses the account next proves that they read its address, or signs in at the identity provider. The
    account stays the same human: with a new one, one person could count as two.
    """
    keys = list(Passkey.objects.filter(person=person).live().select_related("person").order_by("pk"))
    # A decision locks its log before the passkey that signed it.
    for log in sorted({log for row in keys for log in logs_with(row)} - {current.tenant_id}):
        recorder.lock(log, is_holding=True)
    had_app = person.totp_set_up_at is not None
    person.set_unusable_password()
    # Only the directory has named this address. It is verified when its reader sets a password through a mail.
    person.totp_set_up_at = person.email_verified_at = None
    person.session_epoch += 1
    person.save(update_fields=["password", "totp_set_up_at", "email_verified_at", "session_epoch"])
    live = Token.objects.filter(account=person).live(current.at)
    live.update(revoked_at=current.at, revoked_by=current.actor.person_id)
    Identity.objects.filter(person=person).delete()
    if current.keep is None:
        raise RuntimeError("An interface that ends credentials must name what else has to be deleted.")
    current.keep(person)
    if had_app or keys:
        detail: dict[str, Any] = {"person": str(person.pk), "name": person.name, "email": person.email}
        detail |= {"side": str(person.side), "app": had_app, "passkeys": [row.name for row in keys]}
        entry = current.entry(PERSON_SECOND_FACTORS_RESET, detail=detail, text=person.name)
        recorder.record([replace(entry, subject_type="person", subject_id=str(person.pk))], at=current.at)
    for row in keys:
        _remove_key(current, row)


def _remove_key(current: Step, row: Passkey) -> None:
    row.removed_at, row.removed_by_id = current.at, current.actor.person_id
    row.save(update_fields=["removed_at", "removed_by"])
    entry = current.entry(PASSKEY_REMOVED, detail=key_described(row), text=f"{row.person.name} {row.name}")
    entry = replace(entry, subject_type="passkey", subject_id=str(row.pk))
    recorder.record([replace(entry, tenant_id=log) for log in logs_with(row)], at=current.at)


def folded(user_name: str) -> str:
    return user_name.casefold()[:254]


def _now(person: Person, record: DirectoryRecord | None) -> dict[str, str]:
    return {
        "name": person.name,
        "email": person.email,
        "user_name": record.user_name if record else person.email,
        "external_id": record.external_id if record else "",
        "given_name": record.given_name if record else "",
        "family_name": record.family_name if record else "",
    }
