"""Recovering a damaged log, and how long a log is stored: who can do it, what is recorded, and what stays."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from audit_app import checkpoints, evidence, heads, proofs, pruning
from audit_app.bundle_selection import EvidenceScope
from audit_app.models import AuditEntry, ChainHead, ClosedShard, LogAlarm, SignedHead
from audit_app.notes import Head, Note
from audit_app.verify import verify
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.log import LOG_HEAD_ADOPTED, LOG_KEY_ROTATED, LOG_POLICY_CHANGED, LOG_TOMBSTONED
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.errors import DomainError, NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.operations import log_care
from requests_app.operations._change import PROVIDER_LOG
from tests.audit import care
from tests.audit.bundles import verified
from tests.audit.test_checkpoints import meddle, uuid_sql
from tests.cast import Cast, outbox_topics
from tests.conftest import Traveller
from tests.factors import force_login

pytestmark = pytest.mark.django_db(transaction=True)

DAY = dt.timedelta(days=1)


def record_of(seq: int, tenant: UUID) -> dict[str, Any]:
    entry = AuditEntry.objects.get(tenant_id=tenant, seq=seq)
    found: dict[str, Any] = json.loads(bytes(entry.canonical))
    return found


def newest(tenant: UUID) -> dict[str, Any]:
    return record_of(
        AuditEntry.objects.filter(tenant_id=tenant).order_by("-seq").values_list("seq", flat=True)[0], tenant
    )


def events(tenant: UUID) -> list[str]:
    return list(AuditEntry.objects.filter(tenant_id=tenant).order_by("seq").values_list("event", flat=True))


def cut(tenant: UUID, size: int) -> None:
    """Cut the log back to this size, as if somebody had restored an old backup."""
    key = uuid_sql(tenant)
    with transaction.atomic():
        meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq >= %s", key, size)
        meddle("DELETE FROM audit_app_checkpoint WHERE tenant_id = %s AND size > %s", key, size)
        meddle("UPDATE audit_app_chainhead SET size = %s WHERE tenant_id = %s", size, key)
        meddle("UPDATE audit_app_signedhead SET size = %s WHERE tenant_id = %s", size, key)


def damaged(cast: Cast) -> UUID:
    """Return the id of Contoso's log, which was signed, then cut back, and is now refused by the signer."""
    cast.ticket()
    tasks.checkpoint()
    cast.opened()
    tasks.checkpoint()
    cut(cast.contoso.pk, 2)
    cast.ticket()
    tasks.checkpoint()
    assert LogAlarm.objects.get().pk == cast.contoso.pk
    return cast.contoso.pk


def command(*words: str) -> None:
    call_command(*words, stdout=StringIO(), stderr=StringIO())


# --- The tombstone ---------------------------------------------------------------------------------------


def test_staff_close_a_damaged_log_and_it_continues_as_its_next_shard(cast: Cast) -> None:
    tenant = damaged(cast)
    signed = heads.get(checkpoints.origin_of(tenant, 0))
    assert signed is not None
    found = AuditEntry.objects.filter(tenant_id=tenant).count()
    operations.tombstone(tenant, comment="Restored the backup of Monday.", actor=cast.as_("stella"))
    entry = newest(tenant)
    assert (entry["event"], entry["seq"]) == (LOG_TOMBSTONED, max(signed.head.size, found))
    assert entry["subject"] == {"id": str(tenant), "type": "log"}
    assert entry["actor"]["name"] == cast.stella.name
    assert entry["detail"] == {
        "closes": checkpoints.origin_of(tenant, 0),
        "opens": checkpoints.origin_of(tenant, 1),
        "signed_size": signed.head.size,
        "found_size": found,
        "checkpoint": signed.note,
        "cause": "shorter",
        "comment": "Restored the backup of Monday.",
    }
    assert AuditEntry.objects.filter(tenant_id=tenant).count() == found + 1, "nothing was deleted"
    tasks.checkpoint()
    state = checkpoints.state(tenant)
    assert (state.shard, state.first_seq, state.alarm, state.unsigned) == (1, entry["seq"], None, 0)
    assert state.checkpoint is not None
    head = Head.parse(Note.parse(state.checkpoint.note).text)
    assert (head.origin, head.size) == (checkpoints.origin_of(tenant, 1), 1)
    assert verify(tenant).is_good
    assert proofs.receipt(tenant, entry["seq"]).index == 0


def test_the_new_shard_begins_above_what_was_signed_without_the_outside_file(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """This web server has no file of heads. It takes the signed size from the alarm instead."""
    tenant = damaged(cast)
    signed = heads.get(checkpoints.origin_of(tenant, 0))
    assert signed is not None
    assert signed.head.size > ChainHead.objects.get(pk=tenant).size
    monkeypatch.setattr(settings, "LOG_HEADS_FILE", tmp_path / "another")
    operations.tombstone(tenant, comment="Restored.", actor=cast.as_("stella"))
    assert newest(tenant)["seq"] == signed.head.size
    assert newest(tenant)["detail"]["checkpoint"] == signed.note


@pytest.mark.parametrize("who", ["ada", "ines", "otto", "mia", "pat", "priya"])
def test_nobody_but_staff_and_the_operator_closes_a_log(cast: Cast, who: str) -> None:
    tenant = damaged(cast)
    size = ChainHead.objects.get(pk=tenant).size
    with pytest.raises(NotAllowed):
        operations.tombstone(tenant, comment="Away with it.", actor=cast.as_(who))
    assert newest(tenant)["event"] == ACT_REFUSED
    assert newest(tenant)["detail"] == {"action": "tombstone", "code": "not_allowed"}
    assert ChainHead.objects.get(pk=tenant).size == size + 1
    assert not ClosedShard.objects.exists()
    assert LogAlarm.objects.exists()


def test_another_tenants_log_is_not_there(cast: Cast) -> None:
    tenant = damaged(cast)
    before = events(tenant)
    for log in (tenant, PROVIDER_LOG, uuid4(), "nonsense"):
        with pytest.raises(NotFound):
            operations.tombstone(log, comment="Away with it.", actor=cast.as_("frida"))
    assert events(tenant) == before
    assert not ClosedShard.objects.exists()


@pytest.mark.parametrize("comment", ["", "   ", "x" * 2001])
def test_a_tombstone_says_why(cast: Cast, comment: str) -> None:
    tenant = damaged(cast)
    with pytest.raises(Unacceptable) as caught:
        operations.tombstone(tenant, comment=comment, actor=cast.as_("stella"))
    assert caught.value.field == "comment"
    assert not ClosedShard.objects.exists()


def test_a_log_that_is_well_is_not_closed(cast: Cast) -> None:
    cast.submitted()
    tasks.checkpoint()
    with pytest.raises(WrongState, match="Nothing is wrong with this log"):
        operations.tombstone(cast.contoso.pk, comment="To begin anew.", actor=cast.as_("stella"))
    assert not ClosedShard.objects.exists()
    assert newest(cast.contoso.pk)["event"] == ACT_REFUSED


def test_two_tombstones_close_one_shard(cast: Cast) -> None:
    tenant = damaged(cast)
    operations.tombstone(tenant, comment="First.", actor=cast.as_("stella"))
    with pytest.raises(WrongState):
        operations.tombstone(tenant, comment="Second.", actor=cast.as_("stella"))
    assert ClosedShard.objects.count() == 1


def test_a_tombstone_whose_entry_cannot_be_written_closes_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = damaged(cast)
    before = ChainHead.objects.get(pk=tenant)

    def full(*_: Any, **__: Any) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr("requests_app.operations._change.recorder.record", full)
    with pytest.raises(DomainError) as caught:
        operations.tombstone(tenant, comment="First.", actor=cast.as_("stella"))
    assert caught.value.code == "store_unavailable"
    after = ChainHead.objects.get(pk=tenant)
    assert (after.shard, after.size, after.first_seq) == (before.shard, before.size, before.first_seq)
    assert not ClosedShard.objects.exists()
    assert LogAlarm.objects.exists()


def test_the_operator_closes_it_by_a_command(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    tenant = damaged(cast)
    call_command("tombstone", "contoso", "--because", "Restored.")
    first_seq = ChainHead.objects.get(pk=tenant).first_seq
    assert capsys.readouterr().out == (
        f"Contoso: closed {checkpoints.origin_of(tenant, 0)}; the log continues as {checkpoints.origin_of(tenant, 1)}, "
        f"from entry {first_seq} on.\n"
    )
    entry = newest(tenant)
    assert (entry["door"], entry["actor"]["kind"], entry["actor"]["name"]) == ("command", "system", "tombstone")
    with pytest.raises(CommandError) as caught:
        command("tombstone", "contoso", "--because", "Again.")
    assert (str(caught.value), caught.value.returncode) == ("Nothing is wrong with this log.", 1)
    with pytest.raises(CommandError) as caught:
        command("tombstone", "nobody", "--because", "Again.")
    assert caught.value.returncode == 2


def test_the_providers_own_log_is_repaired_in_the_same_way(cast: Cast) -> None:
    for name in ("E3", "E4", "E6"):
        operations.save_plan(actor=cast.as_("stella"), name=name, includes_lockbox=True)
    tasks.checkpoint()
    cut(PROVIDER_LOG, 1)
    operations.save_plan(actor=cast.as_("stella"), name="E7", includes_lockbox=True)
    tasks.checkpoint()
    operations.tombstone(PROVIDER_LOG, comment="Restored.", actor=cast.as_("stella"))
    assert (newest(PROVIDER_LOG)["event"], newest(PROVIDER_LOG)["seq"]) == (LOG_TOMBSTONED, 3)
    tasks.checkpoint()
    assert verify(PROVIDER_LOG).is_good


# --- A lost file of heads --------------------------------------------------------------------------------


def lost(cast: Cast) -> UUID:
    cast.submitted()
    tasks.checkpoint()
    Path(settings.LOG_HEADS_FILE).unlink()
    cast.ticket()
    tasks.checkpoint()
    assert LogAlarm.objects.get().code == "outside_behind"
    return cast.contoso.pk


def test_after_the_file_was_lost_the_operator_confirms_the_log_and_the_log_says_so(
    cast: Cast, capsys: pytest.CaptureFixture[str], travel: Traveller
) -> None:
    tenant = lost(cast)
    checkpoint = checkpoints.newest(tenant, 0)
    assert checkpoint is not None
    call_command("log_heads", "show", "contoso")
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == [checkpoints.origin_of(tenant, 0), "outside:  –"]
    assert shown[4].startswith("refused:  outside_behind, since ")
    call_command("log_heads", "adopt", "contoso", "--because", "The disk of the signer died.")
    out = capsys.readouterr()
    assert out.out.startswith(f"{checkpoints.origin_of(tenant, 0)}\n{checkpoint.size} ")
    assert "With this command, you confirm that nobody has replaced this database" in out.err
    entry = newest(tenant)
    assert (entry["event"], entry["door"]) == (LOG_HEAD_ADOPTED, "command")
    assert entry["detail"]["size"] == checkpoint.size
    assert entry["detail"]["comment"] == "The disk of the signer died."
    travel.by(minutes=2)
    tasks.checkpoint()
    assert not LogAlarm.objects.exists()
    assert verify(tenant).is_good
    with pytest.raises(CommandError, match="The newest checkpoint is already stored outside the database"):
        command("log_heads", "adopt", "contoso", "--because", "Again.")


@pytest.mark.parametrize("who", ["stella", "ada", "ines", "pat"])
def test_nobody_confirms_a_log_through_a_page(cast: Cast, who: str) -> None:
    tenant = lost(cast)
    with pytest.raises(NotAllowed):
        operations.adopt_log_head(tenant, comment="I confirm.", actor=cast.as_(who))
    assert heads.get(checkpoints.origin_of(tenant, 0)) is None
    assert newest(tenant)["event"] == ACT_REFUSED


def test_a_log_shorter_than_its_stored_head_is_not_adopted(cast: Cast) -> None:
    tenant = damaged(cast)
    stored = heads.get(checkpoints.origin_of(tenant, 0))
    with pytest.raises(CommandError, match="The file outside the database shows a longer log"):
        command("log_heads", "adopt", "contoso", "--because", "Make it fit.")
    still = heads.get(checkpoints.origin_of(tenant, 0))
    assert stored is not None
    assert still is not None
    assert (still.head, still.note) == (stored.head, stored.note)
    assert LOG_HEAD_ADOPTED not in events(tenant)


def test_an_unsigned_log_is_not_adopted(cast: Cast) -> None:
    cast.ticket()
    with pytest.raises(CommandError, match="no checkpoint yet"):
        command("log_heads", "adopt", "contoso", "--because", "Make it fit.")
    assert events(cast.contoso.pk) == ["ticket.opened"]


# --- The retention period --------------------------------------------------------------------------------


def test_the_tenants_administrator_sets_how_long_the_log_is_stored(cast: Cast) -> None:
    for days, before in ((365, None), (30, 365), (None, 30)):
        tenant = operations.set_log_retention(cast.contoso.pk, days=days, actor=cast.as_("ines"))
        assert tenant.log_retention_days == days
        entry = newest(cast.contoso.pk)
        assert entry["event"] == LOG_POLICY_CHANGED
        assert entry["detail"] == {"log_retention_days": days, "log_retention_days_before": before}
    assert outbox_topics() == []


@pytest.mark.parametrize("days", [-1, 0, 29, 36501])
def test_too_short_and_too_long_are_refused_with_the_bounds(cast: Cast, days: int) -> None:
    with pytest.raises(Unacceptable, match="Choose a number from 30 to 36500") as caught:
        operations.set_log_retention(cast.contoso.pk, days=days, actor=cast.as_("ines"))
    assert caught.value.field == "days"
    cast.contoso.refresh_from_db()
    assert cast.contoso.log_retention_days is None
    assert events(cast.contoso.pk) == []


def test_the_rule_that_is_there_is_not_set_again(cast: Cast) -> None:
    with pytest.raises(Unacceptable, match="The tenant already has this rule"):
        operations.set_log_retention(cast.contoso.pk, days=None, actor=cast.as_("ines"))


@pytest.mark.parametrize("who", ["stella", "ada", "otto", "mia", "pat", "priya"])
def test_nobody_else_says_it(cast: Cast, who: str) -> None:
    with pytest.raises(NotAllowed):
        operations.set_log_retention(cast.contoso.pk, days=30, actor=cast.as_(who))
    cast.contoso.refresh_from_db()
    assert cast.contoso.log_retention_days is None


def test_for_another_tenant_there_is_nothing_to_set(cast: Cast) -> None:
    with pytest.raises(NotFound):
        operations.set_log_retention(cast.fabrikam.pk, days=30, actor=cast.as_("ines"))
    assert events(cast.fabrikam.pk) == []


# --- Removing old entries --------------------------------------------------------------------------------


def never_over() -> bool:
    return False


def prune(is_over: Callable[[], bool] = never_over) -> int:
    return log_care.prune(actor=Actor.system("retention"), is_over=is_over)


@pytest.fixture
def old(cast: Cast, travel: Traveller) -> AccessRequest:
    """Return an access request of Contoso that was closed 40 days ago.

    All its entries are signed. Entries are stored for 30 days.
    """
    travel.freeze()
    row = cast.in_state("CLOSED")
    operations.set_log_retention(cast.contoso.pk, days=30, actor=cast.as_("ines"))
    tasks.checkpoint()
    travel.by(days=40)
    return row


def test_entries_older_than_the_rule_are_removed_with_an_entry(cast: Cast, old: AccessRequest) -> None:
    tenant = cast.contoso.pk
    before = len(events(tenant))
    root = checkpoints.newest(tenant, 0)
    assert root is not None
    cast.ticket()
    tasks.checkpoint()
    latest = checkpoints.newest(tenant, 0)
    assert latest is not None
    assert prune() == before
    assert events(tenant) == ["ticket.opened", "log.pruned"]
    entry = newest(tenant)
    assert entry["detail"] == {
        "from": 0,
        "to": before,
        "days": 30,
        "checkpoint": {"origin": latest_origin(tenant), "size": latest.size, "root": bytes(latest.root).hex()},
    }
    assert (entry["subject"]["type"], entry["actor"]["name"]) == ("log", "retention")
    tasks.checkpoint()
    assert verify(tenant).is_good
    assert checkpoints.state(tenant).alarm is None
    assert proofs.receipt(tenant, before).index == before
    assert prune() == 0, "and nothing more"
    assert events(tenant) == ["ticket.opened", "log.pruned"]


def latest_origin(tenant: UUID) -> str:
    return checkpoints.origin_of(tenant, 0)


def test_pages_and_mails_about_removed_entries_still_work(cast: Cast, old: AccessRequest) -> None:
    assert prune() > 0
    for who in ("ada", "priya", "stella"):
        client = Client()
        force_login(client, cast.people[who], is_fresh=True)
        assert client.get(reverse("web:access_request", args=[old.pk])).status_code == 200
        # Its decision is entry 3, which was removed except for its hash.
        assert client.get(reverse("web:access_request_receipt", args=[old.pk, 3])).status_code == 404
    client.force_login(cast.otto)
    assert client.get(reverse("web:log", args=[cast.contoso.pk])).status_code == 200
    with structlog.testing.capture_logs() as logged:
        tasks.drain_outbox()
    assert [entry for entry in logged if entry["log_level"] in ("error", "warning")] == []
    assert set(OutboxMessage.objects.values_list("state", flat=True)) == {"delivered"}


def test_the_entry_about_a_removal_is_what_the_customers_verifier_asks_for(
    cast: Cast, old: AccessRequest, travel: Traveller, tmp_path: Path
) -> None:
    """The customer verifies the whole log after each of two removals. The second removes the entry about the first."""
    tenant = cast.contoso.pk
    wanted = EvidenceScope(tenant_id=tenant, tenant_name="Contoso")
    for _ in range(2):
        assert prune() > 0
        assert events(tenant) == ["log.pruned"]
        tasks.checkpoint()
        bundle = b"".join(evidence.prepare(wanted, at=clock.now()).stream())
        _status, verdict = verified(bundle, tmp_path)
        # The only finding is the time: the test's clock is ahead of the verifier's.
        assert verdict["problems"] == [gap for gap in verdict["gaps"] if "in the future" not in gap] == []
        assert verdict["logs"][0]["pruned"] == ChainHead.objects.get(pk=tenant).pruned_to
        assert "An entry log.pruned says that they were removed" in verdict["notes"][0]
        cast.ticket()
        tasks.checkpoint()
        travel.by(days=40)


def test_a_day_is_pruned_once(cast: Cast, old: AccessRequest, travel: Traveller) -> None:
    prune()
    for _ in range(20):
        travel.by(minutes=61)
        prune()
    assert events(cast.contoso.pk).count("log.pruned") == 1


def test_pruning_alone_does_not_cause_more_pruning(cast: Cast, old: AccessRequest, travel: Traveller) -> None:
    prune()
    tasks.checkpoint()
    travel.by(days=100)
    assert prune() == 0
    assert events(cast.contoso.pk) == ["log.pruned"]


def test_entries_about_keys_stay_and_cause_no_work(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    with transaction.atomic():
        care.say(cast.contoso.pk, LOG_KEY_ROTATED, {}, at=clock.now())
    operations.set_log_retention(cast.contoso.pk, days=30, actor=cast.as_("ines"))
    tasks.checkpoint()
    travel.by(days=40)
    assert prune() == 1
    tasks.checkpoint()
    for _ in range(3):
        travel.by(days=40)
        assert prune() == 0
    assert events(cast.contoso.pk) == ["log.key_rotated", "log.pruned"]


@pytest.mark.parametrize("state", ["PENDING_PROVIDER", "PENDING_CUSTOMER", "OPEN"])
def test_nothing_of_an_access_request_under_way_is_removed(cast: Cast, travel: Traveller, state: str) -> None:
    """The access request has not ended after 40 days, because no worker runs. Its entries still stay."""
    travel.freeze()
    cast.in_state("CLOSED")
    waiting = cast.in_state(state)
    operations.set_log_retention(cast.contoso.pk, days=30, actor=cast.as_("ines"))
    tasks.checkpoint()
    first = AuditEntry.objects.filter(correlation_id=waiting.pk).order_by("seq").values_list("seq", flat=True)[0]
    travel.by(days=40)
    prune()
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq")
    assert rows[0].seq == first
    tasks.sweep()
    prune()
    assert not AuditEntry.objects.filter(correlation_id=waiting.pk, at__lt=clock.now() - 30 * DAY).exists()


def test_unsigned_entries_are_not_removed(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    cast.in_state("CLOSED")
    operations.set_log_retention(cast.contoso.pk, days=30, actor=cast.as_("ines"))
    before = events(cast.contoso.pk)
    travel.by(days=40)
    assert prune() == 0
    assert events(cast.contoso.pk) == before


def test_nothing_is_removed_from_a_damaged_log(cast: Cast, old: AccessRequest) -> None:
    at = clock.now()
    LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=at, last_at=at, code="altered")
    before = events(cast.contoso.pk)
    assert prune() == 0
    assert events(cast.contoso.pk) == before


def test_an_entry_that_was_changed_is_not_removed_and_the_signer_refuses(cast: Cast, old: AccessRequest) -> None:
    tenant = cast.contoso.pk
    before = events(tenant)
    body = bytes(AuditEntry.objects.get(tenant_id=tenant, seq=3).canonical).replace(b'"door":"', b'"door":"x', 1)
    with transaction.atomic():
        meddle(
            "UPDATE audit_app_auditentry SET canonical = %s WHERE tenant_id = %s AND seq = 3", body, uuid_sql(tenant)
        )
    SignedHead.objects.update(checked_to=0)
    with structlog.testing.capture_logs() as logged:
        assert prune() == 0
    assert [(entry["event"], entry["code"]) for entry in logged] == [("log_pruning_refused", "altered")]
    assert events(tenant) == before
    tasks.checkpoint()
    assert LogAlarm.objects.get().detail["seq"] == 3


def test_tenants_without_a_rule_and_the_providers_log_keep_everything(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    cast.in_state("CLOSED")
    cast.submitted("fabrikam", "priya")
    operations.save_plan(actor=cast.as_("stella"), name="E3", includes_lockbox=True)
    operations.set_log_retention(cast.contoso.pk, days=30, actor=cast.as_("ines"))
    tasks.checkpoint()
    others = {tenant: events(tenant) for tenant in (cast.fabrikam.pk, PROVIDER_LOG)}
    travel.by(days=4000)
    assert prune() > 0
    assert {tenant: events(tenant) for tenant in others} == others


def test_after_a_kill_between_entry_and_deletion_the_next_round_continues(
    cast: Cast, old: AccessRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = cast.contoso.pk
    monkeypatch.setattr(log_care, "REMOVED_AT_ONCE", 2)
    plain, calls = pruning.remove, iter(range(100))

    class Killed(BaseException):
        pass

    def remove_and_die(tenant_id: UUID, *, limit: int) -> int:
        if next(calls) == 2:
            raise Killed
        return plain(tenant_id, limit=limit)

    monkeypatch.setattr(pruning, "remove", remove_and_die)
    before = len(events(tenant))
    with pytest.raises(Killed):
        prune()
    assert len(events(tenant)) == before + 1 - 4
    tasks.checkpoint()
    assert verify(tenant).is_good
    monkeypatch.setattr(pruning, "remove", plain)
    operations.set_log_retention(tenant, days=None, actor=cast.as_("ines"))
    assert prune() == before - 4, "what was said to be removed is, whatever the rule is by now"
    assert events(tenant).count("log.pruned") == 1


def test_a_round_whose_time_is_over_leaves_the_rest_to_the_next(cast: Cast, old: AccessRequest) -> None:
    before = events(cast.contoso.pk)
    assert prune(lambda: True) == 0
    assert events(cast.contoso.pk) == before


def test_people_do_not_prune(cast: Cast, old: AccessRequest) -> None:
    before = events(cast.contoso.pk)
    for who in ("ines", "stella"):
        with pytest.raises(NotAllowed):
            log_care.allow_pruning(cast.contoso.pk, actor=cast.as_(who))
    assert events(cast.contoso.pk) == before


def test_the_task_prunes(cast: Cast, old: AccessRequest) -> None:
    before = len(events(cast.contoso.pk))
    assert (tasks.prune_logs(), tasks.prune_logs()) == (before, 0)
    assert events(cast.contoso.pk) == ["log.pruned"]
