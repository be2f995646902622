"""Test cases for the acts on a log: exports, retention, witnesses."""

from __future__ import annotations

from django.urls import reverse

from audit_app import checkpoints
from audit_app.models import LogAlarm, Witness
from requests_app import operations
from requests_app.domain import clock
from tests.acts.case import Case
from tests.cast import Cast
from tests.witness import SmallWitness

_WITNESS = SmallWitness()


_WITNESS_URL = "https://witness.contoso.example/"


def _witness(cast: Cast) -> Witness:
    vkey = SmallWitness("first.example").vkey
    return operations.add_witness(cast.contoso.pk, vkey=vkey, url=_WITNESS_URL, actor=cast.as_("ines"))


def _rules(cast: Cast) -> str:
    return reverse("web:log_rules", args=[cast.contoso.pk])


def _refused_log(cast: Cast) -> LogAlarm:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    at = clock.now()
    return LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=at, last_at=at, code="altered", detail={"seq": 0})


CASES: dict[str, Case] = {
    "set_log_retention": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_log_retention(cast.contoso.pk, days=365, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:log_retention", args=[cast.contoso.pk]), {"days": "365", "understood": "on"}
        ),
    ),
    "tombstone by staff": Case(
        "stella",
        _refused_log,
        lambda cast, row, actor: operations.tombstone(row.pk, comment="Restored.", actor=actor),
        admin=lambda cast, client, row: client.post(
            reverse("admin:audit_app_logalarm_act", args=[row.pk, "tombstone"]), {"comment": "Restored."}
        ),
    ),
    "add_witness": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.add_witness(
            cast.contoso.pk, vkey=_WITNESS.vkey, url=_WITNESS_URL, actor=actor
        ),
        page=lambda cast, client, row: client.post(_rules(cast), {"vkey": _WITNESS.vkey, "url": _WITNESS_URL}),
    ),
    "remove_witness": Case(
        "ines",
        _witness,
        lambda cast, row, actor: operations.remove_witness(cast.contoso.pk, row.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:remove_witness", args=[cast.contoso.pk, row.pk])),
    ),
    "set_cosigning": Case(
        "ines",
        _witness,
        lambda cast, row, actor: operations.set_cosigning(cast.contoso.pk, hours=8, actor=actor),
        page=lambda cast, client, row: client.post(_rules(cast), {"hours": "8"}),
    ),
}
