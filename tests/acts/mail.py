"""Test cases for the acts on a mail that was not delivered."""

from __future__ import annotations

from requests_app import operations
from requests_app.models import OutboxMessage
from requests_app.work import outbox
from tests.acts.case import Case
from tests.acts.shared import by_button
from tests.cast import Cast


def _sent_mail(cast: Cast) -> OutboxMessage:
    cast.ticket()
    outbox.drain(limit=50)
    return OutboxMessage.objects.filter(lane="mail", state="delivered").order_by("recipient")[0]


CASES: dict[str, Case] = {
    "resend_mail": Case(
        "stella",
        _sent_mail,
        lambda cast, row, actor: operations.resend_mail(row.pk, actor=actor),
        admin=by_button("outboxmessage", "resend"),
    ),
}
