"""However the signer fails, decisions, windows and accesses to content continue.

Their entries wait until they are signed.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction

from audit_app import checkpoints
from audit_app.models import AuditEntry, Checkpoint, LogAlarm
from requests_app import operations, tasks
from requests_app.domain.states import State
from requests_app.models import AccessRequest, Grant
from tests.audit.test_checkpoints import meddle, uuid_sql
from tests.cast import Cast, events_of, outbox_topics

pytestmark = pytest.mark.django_db(transaction=True)

#: A failure of the signer. A test begins it in the middle of an access request.
Begin = Callable[[Cast], None]


@pytest.fixture(params=["no key", "an open key", "a broken file outside", "no file outside", "an alarm"])
def begin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Begin:
    def no_key(cast: Cast) -> None:
        monkeypatch.setattr(settings, "LOG_KEY_FILE", tmp_path / "none")

    def open_key(cast: Cast) -> None:
        copy = tmp_path / "log_key"
        copy.write_bytes(Path(settings.LOG_KEY_FILE).read_bytes())
        copy.chmod(0o644)
        monkeypatch.setattr(settings, "LOG_KEY_FILE", copy)

    def broken_file(cast: Cast) -> None:
        Path(settings.LOG_HEADS_FILE).write_bytes(b"rubbish" * 1000)

    def no_file(cast: Cast) -> None:
        monkeypatch.setattr(settings, "LOG_HEADS_FILE", tmp_path / "none" / "heads")
        (tmp_path / "none").write_text("a file where a folder should be")

    def alarm(cast: Cast) -> None:
        with transaction.atomic():
            meddle(
                "UPDATE audit_app_auditentry SET canonical = %s WHERE tenant_id = %s AND seq = 1",
                b"{}",
                uuid_sql(cast.contoso.pk),
            )
        cast.ticket()
        tasks.checkpoint()
        assert LogAlarm.objects.get().pk == cast.contoso.pk

    troubles: dict[str, Begin] = {
        "no key": no_key,
        "an open key": open_key,
        "a broken file outside": broken_file,
        "no file outside": no_file,
        "an alarm": alarm,
    }
    return troubles[request.param]


def signed(cast: Cast) -> list[int]:
    rows = Checkpoint.objects.filter(tenant_id=cast.contoso.pk).order_by("size")
    return list(rows.values_list("size", flat=True))


@pytest.mark.parametrize(
    ("decide", "state", "event"),
    [
        ("approve_as_customer", State.OPEN, "access_request.approved_by_customer"),
        ("deny_as_customer", State.DENIED, "access_request.denied_by_customer"),
    ],
)
def test_a_decision_commits_with_any_fault_of_the_signer(
    decide: str, state: State, event: str, begin: Begin, cast: Cast
) -> None:
    row = cast.confirmed()
    assert tasks.checkpoint()
    before, messages, known = signed(cast), len(outbox_topics()), events_of(row)
    begin(cast)
    getattr(operations, decide)(row.pk, actor=cast.as_("ada"), note="I have looked at it.")
    assert AccessRequest.objects.get(pk=row.pk).state == state
    assert Grant.objects.filter(access_request=row).exists() == (state == State.OPEN)
    assert events_of(row)[len(known) :] == [event]
    assert len(outbox_topics()) > messages
    assert tasks.checkpoint() == 0
    assert signed(cast) == before, "nothing was signed meanwhile"
    assert checkpoints.state(cast.contoso.pk).unsigned > 0


def test_waiting_entries_are_signed_after_the_trouble(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = cast.confirmed()
    tasks.checkpoint()
    with monkeypatch.context() as trouble:
        trouble.setattr(settings, "LOG_KEY_FILE", tmp_path / "none")
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
        assert tasks.checkpoint() == 0
    assert tasks.checkpoint()
    count = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).count()
    assert signed(cast)[-1] == count
