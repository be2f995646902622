"""The customer's mail about a closed window has the receipts attached. It does not wait long for them."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.core import mail

from audit_app import checkpoints, keys
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, Checkpoint, LogAlarm
from requests_app import operations
from requests_app.domain import clock
from requests_app.messages.mails import email as mails_as_rendered
from requests_app.messages.mails import receipts
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.models.outbox import MAIL
from requests_app.work import outbox
from tests.audit.test_checkpoints import meddle
from tests.cast import Cast
from tests.notifications.conftest import Mails

pytestmark = pytest.mark.django_db

VERIFIER = Path(__file__).parents[2] / "verify" / "lockbox_verify.py"
CUSTOMERS = ["ada", "alan", "soc"]
PROVIDERS = ["bea", "pat", "paula", "priya"]


def closed(world: Cast) -> AccessRequest:
    row = world.opened().access_request
    OutboxMessage.objects.all().delete()
    operations.release(row.pk, actor=world.as_("priya"))
    return row


def parsed(found: Any) -> EmailMessage:
    """Return a mail as a mail program sees it, parsed from its bytes."""
    read = email.message_from_bytes(found.message().as_bytes(), policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def attached(found: Any) -> dict[str, bytes]:
    return {part.get_filename(""): part.get_payload(decode=True) for part in parsed(found).iter_attachments()}


def names_of(row: AccessRequest, mails: Mails | None = None) -> list[str]:
    """Return the file names of the receipts about this access request, in the order of the acts."""
    if mails:
        mails.send()
    whose = {
        "access_request.approved_by_provider": "approved-by-provider",
        "access_request.approved_by_customer": "approved-by-customer",
        "grant.released": "window-closed",
    }
    entries = AuditEntry.objects.filter(correlation_id=row.pk, event__in=whose).order_by("seq")
    return [f"contoso-{entry.seq}-{whose[entry.event]}.tlog-proof" for entry in entries]


def by_name(mails: Mails) -> dict[str, dict[str, bytes]]:
    return {m.to[0].partition("@")[0]: attached(m) for m in mail.outbox}


def verify(proof: bytes, tmp_path: Path, key: str) -> tuple[int, str]:
    file = tmp_path / "receipt.tlog-proof"
    file.write_bytes(proof)
    command = [sys.executable, str(VERIFIER), "verify", str(file), "--key", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def log_key(world: Cast) -> str:
    origin = checkpoints.origin_of(world.contoso.pk, 0)
    return str(keys.log_key(origin, keys.load().publics[0]))


@pytest.fixture
def no_key(settings: Any, tmp_path: Path) -> None:
    settings.LOG_KEY, settings.LOG_KEY_FILE = "", tmp_path / "none"


def waiting() -> list[tuple[int, str]]:
    rows = OutboxMessage.objects.filter(lane=MAIL, state="waiting").order_by("recipient")
    return [(row.attempts, row.recipient.partition("@")[0]) for row in rows]


# --- Content of a receipt ------------------------------------------------------------------------------------


def test_the_customers_side_gets_the_closing_entry_with_a_proof_that_holds(
    world: Cast, mails: Mails, tmp_path: Path
) -> None:
    row = closed(world)
    mails.send()
    entry = AuditEntry.objects.get(event="grant.released", correlation_id=row.pk)
    names = names_of(row)
    name = names[-1]
    assert name == f"contoso-{entry.seq}-window-closed.tlog-proof"
    found = by_name(mails)
    assert sorted(found) == sorted(CUSTOMERS + PROVIDERS)
    assert {person: list(files) for person, files in found.items()} == {
        **dict.fromkeys(CUSTOMERS, names),
        **{person: [] for person in PROVIDERS},
    }
    proof = found["ada"][name]
    extra = base64.b64decode(proof.split(b"\n")[1].removeprefix(b"extra "))
    assert extra == bytes(entry.canonical)
    assert json.loads(extra)["access_request"] == str(row.pk)
    status, text = verify(proof, tmp_path, log_key(world))
    assert (status, "GOOD" in text, "grant.released" in text) == (0, True, True)
    for file, event in zip(names, ["approved_by_provider", "approved_by_customer"], strict=False):
        status, text = verify(found["ada"][file], tmp_path, log_key(world))
        assert (status, "GOOD" in text, f"access_request.{event}" in text) == (0, True, True)
    # If one bit of the entry changes, the proof is no longer valid.
    assert verify(proof.replace(b"extra ey", b"extra fy"), tmp_path, log_key(world))[0] == 1


def test_text_and_html_are_read_as_before_and_say_what_each_file_is(world: Cast, mails: Mails) -> None:
    provider, customer, closing = names_of(closed(world), mails)
    read = parsed(mails("ada", "window_closed"))
    assert read.get_content_type() == "multipart/mixed"
    plain, html = read.get_body(("plain",)), read.get_body(("html",))
    assert plain is not None
    assert html is not None
    for part in (plain, html):
        words = " ".join(part.get_content().split())
        assert f"The attached file {provider} is the receipt of the approval by Microsoft." in words
        sentence = (
            f"The approval by Contoso opened the window. The attached file {customer} is the receipt of this approval."
        )
        assert sentence in words
        assert f"The attached file {closing} is the receipt for the end of the window." in words
        assert words.index(provider) < words.index(customer) < words.index(closing)
    assert "is the receipt" not in mails("priya", "window_closed").body


def test_if_the_customer_is_not_asked_there_is_one_decision(world: Cast, mails: Mails) -> None:
    row = world.opened("northwind").access_request
    operations.release(row.pk, actor=world.as_("priya"))
    names = attached(mails.sent("nils", "window_closed"))
    assert [name.partition("-")[2].partition("-")[2] for name in names] == [
        "approved-by-provider.tlog-proof",
        "window-closed.tlog-proof",
    ]


def test_an_unprovable_decision_delays_nothing_else(world: Cast, mails: Mails) -> None:
    row = closed(world)
    seq = AuditEntry.objects.get(event="access_request.approved_by_provider", correlation_id=row.pk).seq
    checkpoints.sign(world.contoso.pk, at=clock.now())
    meddle("UPDATE audit_app_auditentry SET canonical = %s WHERE seq = %s", b"{}", seq)
    mails.send()
    assert [name.partition("-")[2] for name in by_name(mails)["ada"]] == [
        f"{seq + 1}-approved-by-customer.tlog-proof",
        f"{seq + 2}-window-closed.tlog-proof",
    ]
    assert waiting() == []


def test_an_end_that_cannot_be_proven_leaves_the_decisions_and_the_mail_says_where_it_is(
    world: Cast, mails: Mails, travel: Any, settings: Any, tmp_path: Path
) -> None:
    row = world.opened().access_request
    checkpoints.sign(world.contoso.pk, at=clock.now())
    settings.LOG_KEY, settings.LOG_KEY_FILE = "", tmp_path / "none"
    OutboxMessage.objects.all().delete()
    operations.release(row.pk, actor=world.as_("priya"))
    mails.send()
    assert waiting() == [(0, person) for person in CUSTOMERS]
    travel.by(seconds=receipts.WAIT.total_seconds())
    mails.send()
    assert [name.rpartition("-approved-")[2] for name in by_name(mails)["ada"]] == [
        "by-provider.tlog-proof",
        "by-customer.tlog-proof",
    ]
    words = " ".join(mails("ada", "window_closed").body.split())
    assert "The receipt proves" in words
    assert "is the receipt for the end of the window" not in words


def test_no_other_mail_has_a_file(world: Cast, mails: Mails) -> None:
    row = world.opened().access_request
    mails.send()
    assert {name for files in by_name(mails).values() for name in files} == set()
    assert AccessRequest.objects.get(pk=row.pk).state == "OPEN"


def test_a_mail_that_is_sent_again_has_the_same_file(world: Cast, mails: Mails) -> None:
    closed(world)
    first = attached(mails.sent("ada", "window_closed"))
    world.ticket()
    checkpoints.sign(world.contoso.pk, at=clock.now())
    message = OutboxMessage.objects.get(lane=MAIL, topic=Topic.WINDOW_CLOSED, recipient__startswith="ada@")
    operations.resend_mail(message.pk, actor=world.as_("stella"))
    assert attached(mails.sent("ada", "window_closed")) == first


def test_a_mail_from_before_there_were_receipts_is_built_as_it_was_rendered(world: Cast, mails: Mails) -> None:
    closed(world)
    mails.send()
    message = OutboxMessage.objects.filter(lane=MAIL, topic=Topic.WINDOW_CLOSED)[0]
    assert message.rendered is not None
    rendered = {name: value for name, value in message.rendered.items() if name != "attachments"}
    assert attached(mails_as_rendered.built(rendered)) == {}


# --- When there is no proof yet ------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_key")
def test_without_the_key_the_mail_waits_two_minutes_and_leaves_without(world: Cast, mails: Mails, travel: Any) -> None:
    closed(world)
    mails.send()
    # A mail without a receipt does not wait.
    assert sorted(by_name(mails)) == PROVIDERS
    assert waiting() == [(0, person) for person in CUSTOMERS]
    for _ in range(7):
        travel.by(seconds=15)
        assert mails.send().to("window_closed") == []
        assert waiting() == [(0, person) for person in CUSTOMERS]
    travel.by(seconds=15)
    mails.send()
    assert by_name(mails) == {person: {} for person in CUSTOMERS}
    assert "The receipt proves" in " ".join(mails("ada", "window_closed").body.split())
    assert not Checkpoint.objects.exists()


def test_a_checkpoint_signed_elsewhere_meanwhile_is_included(
    world: Cast, mails: Mails, travel: Any, settings: Any, tmp_path: Path
) -> None:
    have = keys.load()
    settings.LOG_KEY_FILE = tmp_path / "none"
    closed(world)
    mails.send()
    assert len(waiting()) == 3
    checkpoints.sign(world.contoso.pk, at=clock.now(), have=have)
    travel.by(seconds=15)
    mails.send()
    assert sorted(by_name(mails)) == CUSTOMERS
    assert all(len(files) == 3 for files in by_name(mails).values())


def test_a_refused_log_delays_no_mail(world: Cast, mails: Mails) -> None:
    row = closed(world)
    meddle("UPDATE audit_app_auditentry SET leaf_hash = %s WHERE seq = 0", bytes(32))
    mails.send()
    assert by_name(mails) == {person: {} for person in CUSTOMERS + PROVIDERS}
    assert LogAlarm.objects.get().code == "altered"
    assert AccessRequest.objects.get(pk=row.pk).state == "CLOSED"


def test_a_broken_signer_delays_no_mail(
    world: Cast, mails: Mails, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(checkpoints, "sign", breaks)
    closed(world)
    mails.send()
    assert len(waiting()) == 3
    travel.by(seconds=receipts.WAIT.total_seconds())
    mails.send()
    assert by_name(mails) == {person: {} for person in CUSTOMERS}
    assert waiting() == []


def test_a_damaged_log_gives_no_false_proof(world: Cast, mails: Mails) -> None:
    closed(world)
    checkpoints.sign(world.contoso.pk, at=clock.now())
    meddle("UPDATE audit_app_checkpoint SET root = %s", bytes(32))
    mails.send()
    assert by_name(mails) == {person: {} for person in CUSTOMERS + PROVIDERS}


def test_a_long_backlog_is_not_signed_while_other_mail_waits(
    world: Cast, mails: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "MOST_UNSIGNED", 2)
    closed(world)
    mails.send()
    assert not Checkpoint.objects.exists()
    assert len(waiting()) == 3


def test_waiting_is_no_attempt_and_no_failure(world: Cast, mails: Mails, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise keys.NoKey

    monkeypatch.setattr(checkpoints, "sign", refuses)
    closed(world)
    while outbox.drain():
        pass
    rows = OutboxMessage.objects.filter(lane=MAIL, state="waiting")
    assert {(row.attempts, row.last_error, row.claimed_until, row.rendered) for row in rows} == {(0, "", None, None)}
    assert issubclass(keys.BadKey, keys.NoKey)
    assert not issubclass(Refusal, keys.NoKey)
