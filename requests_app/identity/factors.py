"""Reads and writes second factors in the tables of the sign-in library.

The domain does not know the library. Its operations decide who must have a second factor, write the entry
and send the mail. An interface passes a function from this module to the operation, as `keep`. The
operation calls `keep`, so the library's row is written in the transaction of the act.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.conf import settings
from django.db import transaction

from requests_app.domain.errors import CodeAlreadyUsed
from requests_app.models import Passkey, Person
from requests_app.platform import totp
from requests_app.platform.sealing import Sealer, Unreadable

security_log = structlog.get_logger("security")

Keep = Callable[[Person], None]
_APP, _RECOVERY = Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES
_KEY = Authenticator.Type.WEBAUTHN
_LAST, _USED, _PASSKEY = "last_step", "used_steps", "passkey"
#: The encrypted part of each kind of row: the secret of an app, and the seed of recovery codes.
_SEALED = {_APP: "secret", _RECOVERY: "seed"}


def seal(text: str) -> str:
    return _sealer().seal(text)


def opened(sealed: str) -> str:
    """Decrypt a secret. Raise Unreadable if no key of the settings decrypts it."""
    return _sealer().opened(sealed)


# --- For the operations -------------------------------------------------------------------------------------


def keeps_totp(secret: str, *, step: int = -1) -> Keep:
    """Return a function that stores an authenticator app's secret for a person.

    `step` is the time step of the code with which the person tested the app. It is stored, so that this code can't be
    used again.
    """

    def keep(person: Person) -> None:
        Authenticator.objects.filter(user=person, type=_APP).delete()
        Authenticator.objects.create(user=person, type=_APP, data=_data(secret, step))

    return keep


def _data(secret: str, step: int) -> dict[str, object]:
    return {"secret": seal(secret), _LAST: step}


def drops_totp(person: Person) -> None:
    Authenticator.objects.filter(user=person, type=_APP).delete()


class KeepsRecoveryCodes:
    """A callable that replaces all recovery codes of a person by new ones. Afterwards, `codes` has the new codes."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def __call__(self, person: Person) -> None:
        drops_recovery_codes(person)
        self.codes = RecoveryCodes.activate(person).generate_codes()


def drops_recovery_codes(person: Person) -> None:
    Authenticator.objects.filter(user=person, type=_RECOVERY).delete()


def keeps_passkey(response: object) -> Callable[[Passkey], None]:
    """Return a function that stores a new passkey: the device's answer, in the form that the library needs."""

    def keep(row: Passkey) -> None:
        data = {"name": row.name, "credential": response, _PASSKEY: str(row.pk)}
        Authenticator.objects.create(user_id=row.person_id, type=_KEY, data=data)

    return keep


def drops_passkey(row: Passkey) -> None:
    """Delete a passkey from the library's tables. If it was the last second factor, delete the recovery codes too."""
    Authenticator.objects.filter(user_id=row.person_id, type=_KEY, data__passkey=str(row.pk)).delete()
    others = Passkey.objects.filter(person=row.person_id).live().of_this_site().exclude(pk=row.pk)
    if row.person.totp_set_up_at is None and not others.exists():
        drops_recovery_codes(row.person)


def drops_all(person: Person) -> None:
    Authenticator.objects.filter(user=person).delete()


# --- Checking a code ----------------------------------------------------------------------------------------


def is_code(person: Person, typed: str, *, at: datetime) -> bool:
    """Return whether `typed` is a code of the person's app or one of their recovery codes. A right code is used up.

    Raise CodeAlreadyUsed if the person has used this code of the app before. The caller must already have counted the
    guess (requests_app.identity.guesses), and checked the password if one is needed.
    """
    given = "".join(char for char in typed if char.isalnum())
    if len(given) == totp.DIGITS:
        return _is_totp(person, given, at=at)
    row = Authenticator.objects.filter(user=person, type=_RECOVERY).first()
    if row is None or not given or not RecoveryCodes(row).validate_code(given):
        return False
    Authenticator.objects.filter(pk=row.pk).update(last_used_at=at)
    return True


def _is_totp(person: Person, given: str, *, at: datetime) -> bool:
    with transaction.atomic():
        # The row is locked: if the same code is sent twice at the same time, only one attempt is accepted.
        row = Authenticator.objects.select_for_update().filter(user=person, type=_APP).first()
        if row is None:
            return False
        try:
            secret = opened(row.data["secret"])
        except Unreadable:
            security_log.error("second_factor.unreadable", person=str(person.pk))
            return False
        last = row.data.get(_LAST, -1)
        used = {last, *row.data.get(_USED, [])}
        step = totp.step_of(secret, given, at=at, after=last)
        if step is None:
            # Any other code that is older than the last used one is wrong, because somebody else may have seen it.
            if totp.step_of(secret, given, at=at) in used:
                raise CodeAlreadyUsed(totp.seconds_to_next(last, at=at))
            return False
        row.data[_LAST], row.last_used_at = step, at
        # Older codes are never accepted, so they need not be stored.
        row.data[_USED] = sorted(each for each in {*used, step} if each >= totp.oldest_step(at))
        if _sealer().is_outdated(row.data["secret"]):
            row.data["secret"] = seal(secret)
        row.save(update_fields=["data", "last_used_at"])
    return True


def seal_anew(is_over: Callable[[], bool]) -> int:
    """Encrypt again, with the present key, all secrets that a former key encrypted. Return the number of rows.

    Stop when `is_over` returns True. A row that no key decrypts is left as it is.
    """
    done = 0
    for pk, kind, data in (
        Authenticator.objects.filter(type__in=_SEALED).order_by("pk").values_list("pk", "type", "data")
    ):
        if is_over():
            break
        if not _is_outdated(data, _SEALED[kind]):
            continue
        with transaction.atomic(), suppress(Unreadable):
            # The row is locked and read again, because the person may be using a code or setting up another app.
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if row is not None and _is_outdated(row.data, _SEALED[kind]):
                row.data[_SEALED[kind]] = seal(opened(row.data[_SEALED[kind]]))
                row.save(update_fields=["data"])
                done += 1
    return done


def _is_outdated(data: dict[str, Any], name: str) -> bool:
    return name in data and _sealer().is_outdated(data[name])


def codes_left(person: Person) -> int | None:
    """Return how many recovery codes are unused, or None if the person never had any."""
    row = Authenticator.objects.filter(user=person, type=_RECOVERY).first()
    return None if row is None else len(RecoveryCodes(row).get_unused_codes())


def app_last_used(person: Person) -> datetime | None:
    found: datetime | None = (
        Authenticator.objects.filter(user=person, type=_APP).values_list("last_used_at", flat=True).first()
    )
    return found


def has_code(person: Person) -> bool:
    """Return whether the person can enter a code, because they have an app or recovery codes."""
    return person.totp_set_up_at is not None or bool(codes_left(person))


def note_passkey_used(row: Passkey, *, at: datetime) -> None:
    Authenticator.objects.filter(user_id=row.person_id, type=_KEY, data__passkey=str(row.pk)).update(last_used_at=at)


def passkeys_last_used(person: Person) -> dict[str, datetime]:
    """Return, by the passkey's id, when each passkey was last used to sign in or to confirm the person's identity."""
    rows = Authenticator.objects.filter(user=person, type=_KEY, last_used_at__isnull=False)
    return {row.data.get(_PASSKEY, ""): row.last_used_at for row in rows}


# --- Setting up an app --------------------------------------------------------------------------------------


def address_of(person: Person, secret: str) -> str:
    """Return the otpauth: address for the QR code, in the key URI format of Google Authenticator."""
    issuer = f"{settings.PROVIDER_NAME} Customer Lockbox"
    query = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(person.email)}?{query}"


def picture_of(address: str) -> str:
    """Return the address as a QR code: an SVG in a data: URL.

    The content security policy allows data: URLs only for images.
    """
    import qrcode  # the import is slow, and only one page needs it
    from qrcode.image.svg import SvgPathImage

    written = io.BytesIO()
    qrcode.make(address, image_factory=SvgPathImage, border=2).save(written)
    return "data:image/svg+xml;base64," + base64.b64encode(written.getvalue()).decode()


def _sealer() -> Sealer:
    return Sealer(settings.SECOND_FACTOR_KEYS, b"second factors")
