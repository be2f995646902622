"""Test cases for the acts of the guided set-up."""

from __future__ import annotations

from django.urls import reverse

from audit_app import checkpoints
from audit_app.models import LogKey
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Installation
from tests.acts.case import Case
from tests.cast import Cast

COPY_HASH = "5f" * 30 + "a1b2"


def _copied(cast: Cast) -> str:
    """Write down the fingerprint of a copy, as the command does that makes the copy. Return its last characters."""
    Installation.objects.update_or_create(pk=1, defaults={"key_copy_hash": COPY_HASH})
    return COPY_HASH[-4:]


def _recovery_key(cast: Cast) -> str:
    return operations.make_recovery_key(cast.contoso.pk, actor=cast.as_("ines")).key[-4:]


def _log_key(cast: Cast) -> str:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    return operations.fingerprint(bytes(LogKey.objects.get().pk))[-4:]


CASES: dict[str, Case] = {
    "send_test_mail": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.send_test_mail(actor=actor),
        admin=lambda cast, client, row: client.post(reverse("admin:set_up_test_mail")),
    ),
    "confirm_key_copy": Case(
        "stella",
        _copied,
        lambda cast, row, actor: operations.confirm_key_copy(characters=row, actor=actor),
        admin=lambda cast, client, row: client.post(reverse("admin:set_up_key_copy"), {"characters": row}),
    ),
    "confirm_recovery_key": Case(
        "ines",
        _recovery_key,
        lambda cast, row, actor: operations.confirm_recovery_key(cast.contoso.pk, characters=row, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:confirm_recovery_key", args=[cast.contoso.pk]), {"characters": row}
        ),
    ),
    "confirm_log_key": Case(
        "ines",
        _log_key,
        lambda cast, row, actor: operations.confirm_log_key(cast.contoso.pk, characters=row, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:confirm_log_key", args=[cast.contoso.pk]), {"characters": row}
        ),
    ),
}
