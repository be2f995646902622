"""Witnesses, and the rule that a window opens only with a recent cosignature: who can set it, and what it stops."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from audit_app import cosigning, keys, log_name, notes
from audit_app.models import AuditEntry, Cosignature, Witness
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import LogNotCosigned, NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage, Tenant
from tests.cast import Cast, events_in, events_of
from tests.witness import SmallWitness, WitnessAnswer, sign, witness_answer

pytestmark = pytest.mark.django_db

URL = "https://witness.contoso.example/"


def register(cast: Cast, small: SmallWitness, tenant: str = "contoso", by: str = "ines") -> Witness:
    return operations.add_witness(cast.tenants[tenant].pk, vkey=small.vkey, url=URL, actor=cast.as_(by))


def collect(small: SmallWitness) -> None:
    cosigning.collect(clock.now, small.post)


def bind(cast: Cast, small: SmallWitness, tenant: str = "contoso", by: str = "ines", hours: int = 6) -> None:
    """Register a witness for the tenant, let it cosign, and set the rule."""
    register(cast, small, tenant, by)
    sign(cast.tenants[tenant].pk)
    collect(small)
    operations.set_cosigning(cast.tenants[tenant].pk, hours=hours, actor=cast.as_(by))


def last_entry(cast: Cast) -> dict[str, Any]:
    entry = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("-seq").first()
    assert entry is not None
    found: dict[str, Any] = json.loads(bytes(entry.canonical))
    return found


# --- Registering -------------------------------------------------------------------------------------------


def test_an_administrator_registers_a_witness_and_the_log_says_so(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    small = SmallWitness()
    witness = operations.add_witness(cast.contoso.pk, vkey=f" {small.vkey}\n", url=f" {URL} ", actor=cast.as_("ines"))
    assert (witness.vkey, witness.url, witness.added_at, witness.due_at) == (small.vkey, URL, at, at)
    entry = last_entry(cast)
    assert entry["event"] == "witness.added"
    assert entry["detail"] == {"name": "witness.contoso.example", "vkey": small.vkey, "url": URL}
    assert entry["subject"] == {"type": "tenant", "id": str(cast.contoso.pk)}


@pytest.mark.parametrize("who", ["mia", "ada", "otto", "stella"])
def test_nobody_else_registers_removes_or_sets_the_rule(cast: Cast, who: str) -> None:
    small = SmallWitness()
    witness = register(cast, small)
    before = len(events_in(cast.contoso))
    for act in (
        lambda: operations.add_witness(cast.contoso.pk, vkey=SmallWitness().vkey, url=URL, actor=cast.as_(who)),
        lambda: operations.remove_witness(cast.contoso.pk, witness.pk, actor=cast.as_(who)),
        lambda: operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_(who)),
    ):
        with pytest.raises(NotAllowed):
            act()
    assert [each.vkey for each in Witness.objects.all()] == [small.vkey]
    assert events_in(cast.contoso)[before:] == ["act.refused"] * 3
    cast.contoso.refresh_from_db()
    assert cast.contoso.cosigned_within is None


@pytest.mark.parametrize("who", ["finn", "priya", "pat"])
def test_for_outsiders_there_is_no_such_tenant(cast: Cast, who: str) -> None:
    small = SmallWitness()
    witness = register(cast, small)
    before = len(events_in(cast.contoso))
    acts = {
        "finn": NotFound,
        "priya": NotAllowed,  # the provider's people can see every tenant, because a customer may call them
        "pat": NotAllowed,
    }
    for act in (
        lambda: operations.add_witness(cast.contoso.pk, vkey=SmallWitness().vkey, url=URL, actor=cast.as_(who)),
        lambda: operations.remove_witness(cast.contoso.pk, witness.pk, actor=cast.as_(who)),
        lambda: operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_(who)),
    ):
        with pytest.raises(acts[who]):
            act()
    assert Witness.objects.count() == 1
    assert set(events_in(cast.contoso)[before:]) <= {"act.refused"}


def _refused(cast: Cast, field: str, **given: str) -> str:
    values = {"vkey": SmallWitness().vkey, "url": URL, **given}
    had, before = Witness.objects.count(), len(events_in(cast.contoso))
    with pytest.raises(Unacceptable) as refusal:
        operations.add_witness(cast.contoso.pk, actor=cast.as_("ines"), **values)
    assert refusal.value.field == field
    assert Witness.objects.count() == had
    assert events_in(cast.contoso)[before:] == []
    return str(refusal.value)


def test_the_key_must_be_a_witnesss(cast: Cast) -> None:
    assert "not the key of a witness" in _refused(cast, "vkey", vkey="witness.example")
    log = notes.Verifier("witness.example", notes.public_bytes(SmallWitness().key), notes.ED25519)
    assert "key of a log" in _refused(cast, "vkey", vkey=str(log))
    assert "its own witness" in _refused(cast, "vkey", vkey=str(log_name.clock_key(keys.load().publics[0])))
    assert "too long" in _refused(cast, "vkey", vkey=SmallWitness("w" * 260).vkey)


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x00", "\u2066", "\ue000"])
def test_nothing_hides_in_a_witnesss_name(cast: Cast, hidden: str) -> None:
    assert "cannot be seen" in _refused(cast, "vkey", vkey=SmallWitness(f"wit{hidden}ness.example").vkey)
    operations.add_witness(cast.contoso.pk, actor=cast.as_("ines"), vkey=SmallWitness("zeuge-ä.example").vkey, url=URL)


def test_the_address_must_be_one_that_may_be_asked(cast: Cast, settings: Any) -> None:
    settings.WITNESS_PRIVATE_NETWORK = False
    assert "https://" in _refused(cast, "url", url="http://witness.contoso.example/")
    assert "not on the public internet" in _refused(cast, "url", url="https://10.0.0.5/")
    assert "not on the public internet" in _refused(cast, "url", url="https://[::ffff:10.0.0.1]/")
    assert "443" in _refused(cast, "url", url="https://witness.contoso.example:22/")
    assert "witness.example.com" in _refused(cast, "url", url="https://ines:secret@witness.contoso.example/")
    settings.WITNESS_PRIVATE_NETWORK = True
    operations.add_witness(
        cast.contoso.pk, vkey=SmallWitness().vkey, url="http://10.0.0.5:7000/", actor=cast.as_("ines")
    )


def test_a_witness_is_registered_once_and_no_more_than_ten(cast: Cast) -> None:
    small = [SmallWitness(f"w{number}.example") for number in range(10)]
    for each in small[:-1]:
        register(cast, each)
    assert "already" in _refused(cast, "vkey", vkey=small[3].vkey)
    register(cast, small[-1])
    assert "at most 10" in _refused(cast, "vkey")
    # Another tenant can have the same witness.
    register(cast, small[3], "fabrikam", "finn")


def test_a_removed_witness_leaves_what_it_cosigned(cast: Cast) -> None:
    small = SmallWitness()
    witness = register(cast, small)
    sign(cast.contoso.pk)
    collect(small)
    operations.remove_witness(cast.contoso.pk, witness.pk, actor=cast.as_("ines"))
    assert Witness.objects.count() == 0
    assert Cosignature.objects.get().vkey == small.vkey
    entry = last_entry(cast)
    assert (entry["event"], entry["detail"]["vkey"]) == ("witness.removed", small.vkey)


@pytest.mark.parametrize("which", ["absent", "no id", "fabrikam"])
def test_a_witness_of_somebody_else_is_absent(cast: Cast, which: str) -> None:
    foreign = register(cast, SmallWitness(), "fabrikam", "finn")
    ids = {"absent": uuid4(), "no id": "x", "fabrikam": foreign.pk}
    before = events_in(cast.contoso)
    with pytest.raises(NotFound):
        operations.remove_witness(cast.contoso.pk, ids[which], actor=cast.as_("ines"))
    assert Witness.objects.get() == foreign
    assert events_in(cast.contoso) == before


# --- The rule ----------------------------------------------------------------------------------------------


def test_the_rule_is_set_changed_and_taken_away(cast: Cast) -> None:
    register(cast, SmallWitness())
    for hours, before in ((6, None), (24, 6), (None, 24)):
        operations.set_cosigning(cast.contoso.pk, hours=hours, actor=cast.as_("ines"))
        assert Tenant.objects.get(pk=cast.contoso.pk).cosigned_within == hours
        entry = last_entry(cast)
        assert entry["event"] == "log.policy_changed"
        assert entry["detail"] == {"cosigned_within": hours, "cosigned_within_before": before}


def test_the_rule_needs_a_witness_and_a_sensible_number(cast: Cast) -> None:
    def refused(hours: int | None) -> str:
        with pytest.raises(Unacceptable) as refusal:
            operations.set_cosigning(cast.contoso.pk, hours=hours, actor=cast.as_("ines"))
        assert refusal.value.field == "hours"
        assert Tenant.objects.get(pk=cast.contoso.pk).cosigned_within is None
        assert set(events_in(cast.contoso)) <= {"witness.added"}
        return str(refusal.value)

    assert "Register a witness first" in refused(6)
    register(cast, SmallWitness())
    assert "1 to 168" in refused(0)
    assert "1 to 168" in refused(169)
    assert "already" in refused(None)


def test_the_last_witness_stays_while_the_rule_holds(cast: Cast) -> None:
    first, second = register(cast, SmallWitness("a.example")), register(cast, SmallWitness("b.example"))
    operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_("ines"))
    operations.remove_witness(cast.contoso.pk, first.pk, actor=cast.as_("ines"))
    with pytest.raises(WrongState, match="switch that rule off"):
        operations.remove_witness(cast.contoso.pk, second.pk, actor=cast.as_("ines"))
    assert Witness.objects.get() == second
    assert events_in(cast.contoso)[-2:] == ["witness.removed", "act.refused"]
    operations.set_cosigning(cast.contoso.pk, hours=None, actor=cast.as_("ines"))
    operations.remove_witness(cast.contoso.pk, second.pk, actor=cast.as_("ines"))
    assert Witness.objects.count() == 0


# --- What the rule stops -----------------------------------------------------------------------------------


def test_a_window_opens_only_while_the_last_cosignature_is_recent_enough(cast: Cast, travel: Any) -> None:
    # A cosignature has only whole seconds.
    travel.to(clock.now().replace(microsecond=0))
    bind(cast, SmallWitness(), hours=6)
    rows = [cast.confirmed(), cast.confirmed()]
    travel.by(hours=6)
    assert operations.approve_as_customer(rows[0].pk, actor=cast.as_("ada")).state == "OPEN"
    travel.by(seconds=1)
    mails, grants = OutboxMessage.objects.count(), Grant.objects.count()
    with pytest.raises(LogNotCosigned) as refusal:
        operations.approve_as_customer(rows[1].pk, actor=cast.as_("ada"))
    assert (refusal.value.code, refusal.value.status) == ("log_not_cosigned", 409)
    assert "Contoso" in str(refusal.value)
    assert "6 hours" in str(refusal.value)
    row = AccessRequest.objects.get(pk=rows[1].pk)
    assert row.state == "PENDING_CUSTOMER"
    assert (OutboxMessage.objects.count(), Grant.objects.count()) == (mails, grants)
    assert not Decision.objects.filter(access_request=row, stage="customer").exists()
    assert events_of(row) == [
        "access_request.submitted",
        "access_request.approved_by_provider",
        "act.refused",
    ]
    assert last_entry(cast)["detail"] == {"action": "approve_as_customer", "code": "log_not_cosigned"}


def _refused_to_open(cast: Cast, row: AccessRequest, *words: str) -> None:
    """Approve, and assert that the refusal has these words, and that nothing else happens."""
    before = (OutboxMessage.objects.count(), Grant.objects.count(), Decision.objects.count())
    entries = len(events_in(cast.contoso))
    with pytest.raises(LogNotCosigned) as refusal:
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert (refusal.value.code, refusal.value.status) == ("log_not_cosigned", 409)
    for each in words:
        assert each in str(refusal.value)
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"
    assert (OutboxMessage.objects.count(), Grant.objects.count(), Decision.objects.count()) == before
    assert events_in(cast.contoso)[entries:] == ["act.refused"]
    assert last_entry(cast)["detail"] == {"action": "approve_as_customer", "code": "log_not_cosigned"}


@pytest.mark.parametrize("answer", [witness_answer(422), witness_answer(409, "9000\n", "text/x.tlog.size")])
def test_a_witness_that_has_seen_another_log_stops_windows_at_once(
    cast: Cast, travel: Any, answer: WitnessAnswer
) -> None:
    first, second = SmallWitness("a.example"), SmallWitness("b.example")
    operations.add_witness(cast.contoso.pk, vkey=second.vkey, url="https://b.example/", actor=cast.as_("ines"))
    bind_both = {"https://b.example/add-checkpoint": second}
    register(cast, first)
    sign(cast.contoso.pk)
    cosigning.collect(clock.now, lambda url, body: bind_both.get(url, first).post(url, body))
    operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_("ines"))
    rows = [cast.confirmed(), cast.confirmed()]
    assert operations.approve_as_customer(rows[0].pk, actor=cast.as_("ada")).state == "OPEN"
    sign(cast.contoso.pk)
    second.misbehave = lambda _answer: answer
    cosigning.collect(clock.now, lambda url, body: bind_both.get(url, first).post(url, body))
    # The first witness has cosigned everything within this second.
    assert [each.problem == "" for each in Witness.objects.order_by("vkey")] == [True, False]
    _refused_to_open(cast, rows[1], "A witness of Contoso has seen a different log")
    second.misbehave = _honest
    travel.by(minutes=1)
    cosigning.collect(clock.now, lambda url, body: bind_both.get(url, first).post(url, body))
    assert operations.approve_as_customer(rows[1].pk, actor=cast.as_("ada")).state == "OPEN"


def test_an_alarm_holds_up_nothing_without_the_rule_and_no_no_under_it(cast: Cast) -> None:
    small = SmallWitness()
    register(cast, small)
    rows = [cast.confirmed(), cast.confirmed()]
    Witness.objects.update(problem="other_root")
    assert operations.approve_as_customer(rows[0].pk, actor=cast.as_("ada")).state == "OPEN"
    operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_("ines"))
    assert operations.deny_as_customer(rows[1].pk, actor=cast.as_("ada"), note="No.").state == "DENIED"


def test_a_later_checkpoint_that_stays_uncosigned_for_too_long_stops_windows(cast: Cast, travel: Any) -> None:
    # A cosignature has only whole seconds.
    travel.to(clock.now().replace(microsecond=0))
    small = SmallWitness()
    bind(cast, small, hours=6)
    row = Cosignature.objects.get()
    old, new = cast.confirmed(), cast.confirmed()
    sign(cast.contoso.pk)
    travel.by(hours=6)
    # The witness cosigns its old checkpoint again, but does not get the new one.
    row.line = small.line(notes.Head.parse(notes.Note.parse(row.checkpoint.note).text))
    row.save()
    assert operations.approve_as_customer(old.pk, actor=cast.as_("ada")).state == "OPEN"
    travel.by(seconds=1)
    _refused_to_open(cast, new, "older than 6 hours", "have no cosignature of a witness")
    collect(small)
    assert operations.approve_as_customer(new.pk, actor=cast.as_("ada")).state == "OPEN"


def test_a_checkpoint_that_was_signed_seconds_ago_need_not_be_cosigned(cast: Cast) -> None:
    bind(cast, SmallWitness(), hours=1)
    row = cast.confirmed()
    sign(cast.contoso.pk)
    assert Cosignature.objects.get().checkpoint.size < AuditEntry.objects.filter(tenant_id=cast.contoso.pk).count()
    assert operations.approve_as_customer(row.pk, actor=cast.as_("ada")).state == "OPEN"


def test_a_denial_is_always_possible(cast: Cast, travel: Any) -> None:
    bind(cast, SmallWitness())
    row, early = cast.confirmed(), cast.submitted()
    travel.by(hours=10)
    assert operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="No.").state == "DENIED"
    assert operations.deny_as_provider(early.pk, actor=cast.as_("pat"), note="No.").state == "DENIED"


def test_the_first_stage_passes_on_where_the_customer_is_asked_next(cast: Cast, travel: Any) -> None:
    bind(cast, SmallWitness())
    row = cast.submitted()
    travel.by(hours=10)
    assert operations.approve_as_provider(row.pk, actor=cast.as_("pat")).state == "PENDING_CUSTOMER"


def test_the_rule_applies_to_the_providers_approval_if_it_opens_the_window(cast: Cast, travel: Any) -> None:
    bind(cast, SmallWitness(), "northwind", "noah")
    row = cast.submitted("northwind")
    travel.by(hours=10)
    with pytest.raises(LogNotCosigned):
        operations.approve_as_provider(row.pk, actor=cast.as_("pat"))
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_PROVIDER"
    assert Grant.objects.count() == 0
    assert Decision.objects.count() == 0
    assert events_of(row) == ["access_request.submitted", "act.refused"]


def test_a_window_that_is_open_stays_open_when_the_witness_goes_away(cast: Cast, travel: Any) -> None:
    bind(cast, SmallWitness(), hours=1)
    grant = cast.opened()
    at = travel.by(minutes=90)
    grant.refresh_from_db()
    assert grant.is_live(at)


def test_a_rule_that_is_set_while_somebody_reads_counts(cast: Cast) -> None:
    row = cast.confirmed()
    register(cast, SmallWitness())
    operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_("ines"))
    with pytest.raises(LogNotCosigned):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"


def test_the_rule_of_one_tenant_holds_up_no_other(cast: Cast) -> None:
    row = cast.confirmed("fabrikam")
    register(cast, SmallWitness())
    operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_("ines"))
    assert operations.approve_as_customer(row.pk, actor=cast.as_("frida")).state == "OPEN"


def test_a_witness_of_another_tenant_vouches_for_no_other_log(cast: Cast) -> None:
    small = SmallWitness()
    register(cast, small, "fabrikam", "finn")
    sign(cast.fabrikam.pk)
    collect(small)
    row = cast.confirmed()
    register(cast, small)
    operations.set_cosigning(cast.contoso.pk, hours=6, actor=cast.as_("ines"))
    with pytest.raises(LogNotCosigned):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))


def test_a_removed_witnesss_word_counts_no_more(cast: Cast) -> None:
    first, second = SmallWitness("a.example"), SmallWitness("b.example")
    bind(cast, first)
    row = cast.confirmed()
    register(cast, second)
    witness = Witness.objects.get(vkey=first.vkey)
    operations.remove_witness(cast.contoso.pk, witness.pk, actor=cast.as_("ines"))
    with pytest.raises(LogNotCosigned):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))


def test_approvals_work_again_when_the_witness_is_back(cast: Cast, travel: Any) -> None:
    small = SmallWitness()
    bind(cast, small, hours=1)
    row = cast.confirmed()
    small.misbehave = lambda _answer: witness_answer(503)
    for _ in range(6):
        travel.by(minutes=15)
        collect(small)
    with pytest.raises(LogNotCosigned):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    small.misbehave = _honest
    travel.by(minutes=15)
    sign(cast.contoso.pk)
    collect(small)
    assert operations.approve_as_customer(row.pk, actor=cast.as_("ada")).state == "OPEN"


def _honest(answer: WitnessAnswer) -> WitnessAnswer:
    return answer


def test_a_failing_witness_holds_up_nothing_without_the_rule(cast: Cast) -> None:
    small = SmallWitness()
    register(cast, small)
    sign(cast.contoso.pk)
    small.misbehave = lambda _answer: witness_answer(503)
    collect(small)
    assert Witness.objects.get().problem == "status 503"
    assert cast.opened().access_request.state == "OPEN"
