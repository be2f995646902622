"""Reports of guards: in order, once, nothing left out, and only about the windows of the guard's own service."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.errors import GuardCopied, InsufficientScope, NotAllowed, ReportsGap, TooManyGuards
from requests_app.domain.levels import NEEDED, Level, covers
from requests_app.domain.reports import Kind, Report, ReportedAccess
from requests_app.models import Client, ContentAccess, Grant, Guard, OutboxMessage
from requests_app.platform import token_ids
from requests_app.queries import access
from requests_app.words import sentences
from tests.caller import service_of
from tests.cast import Cast
from tests.conftest import Traveller
from tests.guards import COPY, LIFE, ONE, OTHER, actor_of_guard, client_of_guards

pytestmark = pytest.mark.django_db


@pytest.fixture
def grant(cast: Cast) -> Grant:
    return cast.in_quillo()


@pytest.fixture
def client(cast: Cast) -> Client:
    return client_of_guards(cast)


@pytest.fixture
def actor(client: Client) -> Actor:
    return actor_of_guard(client)


def one(window: Grant, *, at: dt.datetime | None = None, **fields: Any) -> ReportedAccess:
    resource = window.access_request.resources.get()
    plain = ReportedAccess(
        grant=window.pk,
        resource=resource.pk,
        engineer=window.engineer_id,
        jti=token_ids.made(window.pk, window.engineer_id),
        action="view",
        item="GET /w/{id}/pages",
        at=at or clock.now(),
        kind=Kind.ACCESS,
        code="",
    )
    return replace(plain, **fields)


def report(
    *accesses: ReportedAccess,
    first: int = 1,
    backlog: int = 0,
    number: str = ONE,
    life: str = LIFE,
    former: Iterable[str] | None = None,
) -> Report:
    lives = None if former is None else frozenset(map(UUID, former))
    return Report(UUID(number), UUID(life), "test/1", first, backlog, accesses, lives)


def entries(event: str = "content.reported") -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(event=event).order_by("seq")
    return [json.loads(bytes(row.canonical)) for row in rows]


def numbers(found: Iterable[dict[str, Any]]) -> list[int]:
    return [access["n"] for entry in found for access in entry["detail"]["accesses"]]


def test_what_is_reported_is_in_the_tenants_log_with_each_access(
    cast: Cast, grant: Grant, client: Client, actor: Actor
) -> None:
    jti = token_ids.made(grant.pk, grant.engineer_id)
    accesses = [
        one(grant, jti=jti),
        one(grant, item="GET /w/{id}", jti=jti, code="silent"),
        one(grant, kind=Kind.REFUSED),
    ]
    found = operations.report_accesses(report(*accesses, first=1001, backlog=20), actor=actor)
    assert (found.number, found.rejected) == (1003, 0)
    accessed, refused = entries()
    resource = grant.access_request.resources.get()
    [row, other] = ContentAccess.objects.order_by("kind", "pk")
    assert (row.kind, row.count, row.item_ref, row.grant_id) == ("refusal_reported", 1, "GET /w/{id}/pages", grant.pk)
    assert (other.kind, other.count, other.item_ref, other.at) == ("reported", 2, "", accesses[1].at)
    assert (accessed["tenant"], accessed["access_request"]) == (str(cast.contoso.pk), str(grant.access_request_id))
    assert accessed["subject"] == {"type": "grant", "id": str(grant.pk)}
    assert (accessed["actor"]["kind"], accessed["actor"]["id"]) == ("client", str(client.account_id))
    assert accessed["detail"] == {
        "access": str(other.pk),
        "resource": str(resource.pk),
        "resource_name": resource.name,
        "engineer": "Priya Test",
        "engineer_id": str(cast.priya.pk),
        "enforced_by": "Quillo",
        "guard": ONE,
        "kind": "access",
        "count": 2,
        "accesses": [
            {"n": 1001, "at": stamp(accesses[0]), "action": "view", "item": "GET /w/{id}/pages", "jti": jti},
            {
                "n": 1002,
                "at": stamp(accesses[1]),
                "action": "view",
                "item": "GET /w/{id}",
                "jti": jti,
                "code": "silent",
            },
        ],
    }
    assert refused["detail"]["kind"] == "refused"
    guard = Guard.objects.get()
    assert (guard.client, str(guard.number), guard.version) == (client, ONE, "test/1")
    assert (guard.acknowledged, guard.backlog, guard.reported_at) == (1003, 20, guard.backlog_since)
    assert OutboxMessage.objects.filter(topic__startswith="notify.reported").count() == 0
    seen = access.seen_resources([grant.pk])[grant.pk]
    assert sentences.summary(seen, enforced_by="Quillo") == "Quillo reports 2 accesses"


def stamp(access: ReportedAccess) -> str:
    return access.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_report_that_is_sent_again_is_acknowledged_and_written_once(grant: Grant, actor: Actor) -> None:
    first = [one(grant) for _n in range(3)]
    for _time in range(2):
        assert operations.report_accesses(report(*first), actor=actor).number == 3
    # Some of these were reported before.
    assert operations.report_accesses(report(*first[1:], one(grant), first=2), actor=actor).number == 4
    assert operations.report_accesses(report(first[0]), actor=actor).number == 4
    assert numbers(entries()) == [1, 2, 3, 4]
    assert sum(ContentAccess.objects.values_list("count", flat=True)) == 4


def test_a_report_that_leaves_something_out_is_refused(grant: Grant, actor: Actor) -> None:
    operations.report_accesses(report(one(grant), one(grant)), actor=actor)
    before = AuditEntry.objects.count()
    for first in (4, 1001):
        with pytest.raises(ReportsGap) as refused:
            operations.report_accesses(report(one(grant), first=first, backlog=7), actor=actor)
        assert (refused.value.code, refused.value.expected) == ("reports_gap", 3)
    guard = Guard.objects.get()
    assert (guard.acknowledged, guard.backlog) == (2, 0)
    assert (AuditEntry.objects.count(), ContentAccess.objects.count()) == (before, 1)


def test_each_guard_of_an_application_has_its_own_numbers(cast: Cast, grant: Grant, actor: Actor) -> None:
    second = actor_of_guard(client_of_guards(cast))
    for who, number in ((actor, ONE), (actor, OTHER), (second, ONE)):
        assert operations.report_accesses(report(one(grant), number=number), actor=who).number == 1
    assert numbers(entries()) == [1, 1, 1]
    assert Guard.objects.count() == 3


def test_no_access_is_lost_from_a_long_report(grant: Grant, actor: Actor) -> None:
    accesses = [one(grant, item=f"GET /{'x' * (n % 7)}") for n in range(limits.REPORTED_MAX)]
    assert operations.report_accesses(report(*accesses), actor=actor).number == 1000
    assert [len(each["detail"]["accesses"]) for each in entries()] == [500, 500]
    assert numbers(entries()) == list(range(1, 1001))
    assert list(ContentAccess.objects.values_list("count", flat=True)) == [500, 500]
    [row, _next] = AuditEntry.objects.filter(event="content.reported").order_by("seq")
    assert "GET /xxx" in row.text
    assert len(row.text) < 1000


def test_one_report_can_be_about_several_tenants(cast: Cast, grant: Grant, actor: Actor) -> None:
    ticket = cast.ticket("fabrikam", "fred", service_id=cast.quillo().pk)
    other = cast.opened("fabrikam", ticket=ticket)
    operations.report_accesses(report(one(grant), one(other), one(grant)), actor=actor)
    assert {(each["tenant"], *numbers([each])) for each in entries()} == {
        (str(cast.contoso.pk), 1, 3),
        (str(cast.fabrikam.pk), 2),
    }


def test_what_can_not_be_right_is_rejected_and_holds_nothing_up(cast: Cast, grant: Grant, actor: Actor) -> None:
    elsewhere = cast.opened()
    wrong = {
        "unknown_grant": [one(grant, grant=uuid4()), one(elsewhere)],
        "unknown_resource": [one(grant, resource=cast.resource().pk)],
        "other_engineer": [one(grant, engineer=cast.erik.pk)],
    }
    before = AuditEntry.objects.count()
    with capture_logs() as logs:
        found = operations.report_accesses(report(*(each for some in wrong.values() for each in some)), actor=actor)
    assert (found.number, found.rejected) == (4, 4)
    [line] = [line for line in logs if line["event"] == "reports.rejected"]
    assert {name: line[name] for name in wrong} == {name: len(some) for name, some in wrong.items()}
    assert (AuditEntry.objects.count(), ContentAccess.objects.count()) == (before, 0)
    found = operations.report_accesses(report(one(grant), first=5), actor=actor)
    assert (found.number, found.rejected, numbers(entries())) == (5, 0, [5])


def test_an_access_outside_the_window_is_an_alarm_to_both_sides(
    cast: Cast, grant: Grant, actor: Actor, travel: Traveller
) -> None:
    travel.by(minutes=10)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    grant.refresh_from_db()
    assert grant.closed_at is not None
    second, little = dt.timedelta(seconds=1), dt.timedelta(milliseconds=1)
    travel.by(minutes=10)
    inside = [one(grant, at=grant.opens_at - second), one(grant, at=grant.closed_at + second)]
    outside = [one(grant, at=grant.opens_at - second - little), one(grant, at=grant.closed_at + second + little)]
    after = one(grant, at=grant.closed_at + 60 * second, kind=Kind.REFUSED)
    operations.report_accesses(report(*inside, *outside, after), actor=actor)
    assert numbers(entries()) == [1, 2, 5]
    [alarm] = entries("content.reported_outside")
    assert numbers([alarm]) == [3, 4]
    notes = OutboxMessage.objects.filter(topic="notify.reported_outside")
    assert {(note.tenant_id, *note.payload["audiences"]) for note in notes} == {
        (cast.contoso.pk, "customer", "administrators"),
        (None, "administrators"),
    }
    # Another report about the same window sends no other mail.
    operations.report_accesses(report(outside[0], first=6), actor=actor)
    assert OutboxMessage.objects.filter(topic="notify.reported_outside").count() == 2
    assert len(entries("content.reported_outside")) == 2


@pytest.mark.parametrize(("level", "action"), [(level, action) for level in Level for action in NEEDED])
def test_an_access_above_the_windows_level_is_an_alarm(
    cast: Cast, grant: Grant, actor: Actor, level: str, action: str
) -> None:
    Grant.objects.filter(pk=grant.pk).update(level=level)
    operations.report_accesses(report(one(grant, action=action)), actor=actor)
    is_allowed = covers(level, NEEDED[action])
    assert numbers(entries("content.reported" if is_allowed else "content.reported_outside")) == [1]
    assert OutboxMessage.objects.filter(topic="notify.reported_outside").count() == (0 if is_allowed else 2)
    # A refused one is as it should be.
    operations.report_accesses(report(one(grant, action=action, kind=Kind.REFUSED), first=2), actor=actor)
    assert numbers(entries("content.reported"))[-1] == 2


def test_an_access_with_a_token_that_was_never_given_is_an_alarm(cast: Cast, grant: Grant, actor: Actor) -> None:
    """Somebody with the client's secret could otherwise say that an engineer looked, who never came."""
    another = cast.in_quillo()
    given = token_ids.made(grant.pk, grant.engineer_id)
    forged = (
        "",
        "j",
        str(uuid4()),
        given.upper(),
        given[:-1] + ("0" if given[-1] != "0" else "1"),
        token_ids.made(another.pk, another.engineer_id),
        token_ids.made(grant.pk, cast.erik.pk),
    )
    for number, jti in enumerate(forged, 1):
        operations.report_accesses(report(one(grant, jti=jti), first=number), actor=actor)
    found = entries("content.reported_outside")
    assert [each["detail"]["outside"] for each in found] == ["unknown_token"] * len(forged)
    assert OutboxMessage.objects.filter(topic="notify.reported_outside").count() == 2
    assert not entries("content.reported")
    # A refusal and a cut can frame an engineer too.
    others = [one(grant, jti="", kind=kind) for kind in (Kind.REFUSED, Kind.CUT)]
    operations.report_accesses(report(*others, first=len(forged) + 1), actor=actor)
    assert [each["detail"]["kind"] for each in entries("content.reported_outside")[-2:]] == ["refused", "cut"]
    assert ContentAccess.objects.filter(kind="reported_outside").count() == len(forged)


def test_a_token_that_was_made_with_a_former_secret_key_still_counts(grant: Grant, actor: Actor, settings: Any) -> None:
    access = one(grant)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]
    operations.report_accesses(report(access, one(grant)), actor=actor)
    assert numbers(entries("content.reported")) == [1, 2]
    settings.SECRET_KEY_FALLBACKS = []
    operations.report_accesses(report(access, first=3), actor=actor)
    assert numbers(entries("content.reported_outside")) == [3]


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.CUT])
def test_nothing_is_refused_or_cut_before_the_window_or_in_the_future(
    grant: Grant, actor: Actor, kind: Kind, travel: Traveller
) -> None:
    at, second = travel.freeze(), dt.timedelta(seconds=1)
    times = [grant.opens_at - second, at + second, grant.opens_at - 2 * second, at + 2 * second]
    operations.report_accesses(report(*[one(grant, at=each, kind=kind) for each in times]), actor=actor)
    assert numbers(entries()) == [1, 2]
    [alarm] = entries("content.reported_outside")
    assert (numbers([alarm]), alarm["detail"]["outside"], alarm["detail"]["kind"]) == ([3, 4], "time", str(kind))


def test_a_client_has_a_limited_number_of_guards(
    client: Client, actor: Actor, travel: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GUARDS_MAX", 2)
    at = travel.freeze()
    for number in (ONE, OTHER):
        operations.report_accesses(report(first=0, number=number), actor=actor)
    third = str(uuid4())
    with pytest.raises(TooManyGuards) as refused:
        operations.report_accesses(report(first=0, number=third), actor=actor)
    assert (refused.value.code, refused.value.status) == ("too_many_guards", 409)
    # A made-up guard on the feed is no further row either, and those that are known continue.
    operations.note_guard(UUID(third), version="-", actor=actor, at=at)
    operations.report_accesses(report(first=0), actor=actor)
    assert Guard.objects.count() == 2
    # Another client has its own, and those that are silent make room.
    Guard.objects.filter(number=OTHER).update(reported_at=at - limits.GUARD_COUNTS_FOR)
    operations.report_accesses(report(first=0, number=third), actor=actor)
    assert Guard.objects.count() == 3


def test_an_access_of_the_future_is_outside(grant: Grant, actor: Actor, travel: Traveller) -> None:
    at = travel.freeze()
    operations.report_accesses(report(one(grant, at=at + dt.timedelta(seconds=2))), actor=actor)
    assert numbers(entries("content.reported_outside")) == [1]
    [row] = ContentAccess.objects.all()
    assert (row.kind, row.at) == ("reported_outside", at)
    seen = access.seen_resources([grant.pk])[grant.pk]
    assert sentences.summary(seen, enforced_by="Quillo") == "Quillo reports 1 access"


def test_accesses_that_are_reported_after_the_end_send_one_mail_that_waits_for_more(
    cast: Cast, grant: Grant, actor: Actor, travel: Traveller
) -> None:
    travel.freeze()
    early = one(grant)
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    operations.report_accesses(report(one(grant, kind=Kind.REFUSED)), actor=actor)
    assert not OutboxMessage.objects.filter(topic="notify.reported_late").exists()
    for first in (2, 3):
        operations.report_accesses(report(early, first=first), actor=actor)
    note = OutboxMessage.objects.get(topic="notify.reported_late")
    assert note.payload["audiences"] == ["engineer", "provider_approvers", "customer"]
    assert note.next_attempt_at == note.created_at + limits.REPORTS_SETTLE


def test_only_an_application_can_report(cast: Cast, grant: Grant, client: Client, actor: Actor) -> None:
    """Threat 48: a person must not be able to put accesses into another person's window."""
    other, plain = service_of(cast), report(one(grant))
    before = AuditEntry.objects.count()
    for who in (cast.as_("priya", door="api"), cast.as_("stella", door="api"), cast.as_("ada", door="api")):
        with pytest.raises(NotAllowed):
            operations.report_accesses(plain, actor=who)
    with pytest.raises(InsufficientScope):
        operations.report_accesses(plain, actor=other)
    with pytest.raises(NotAllowed):
        operations.report_accesses(plain, actor=cast.system())
    # The same application without its service, and the client in the name of a person.
    with pytest.raises(NotAllowed):
        operations.report_accesses(plain, actor=replace(actor, person_id=cast.priya.pk))
    Client.objects.filter(pk=client.pk).update(service=None)
    with pytest.raises(NotAllowed):
        operations.report_accesses(plain, actor=actor)
    assert not Guard.objects.exists()
    assert not ContentAccess.objects.exists()
    assert AuditEntry.objects.count() == before


def test_a_sign_of_life_is_stored_at_most_every_fifteen_seconds(actor: Actor, travel: Traveller) -> None:
    first = travel.freeze()
    for _time in range(2):
        assert operations.report_accesses(report(first=0), actor=actor).number == 0
    travel.by(seconds=14)
    operations.report_accesses(report(first=0), actor=actor)
    assert Guard.objects.get().reported_at == first
    second = travel.by(seconds=1)
    operations.report_accesses(report(first=0), actor=actor)
    assert Guard.objects.get().reported_at == second
    # A backlog is stored at once, with the time since which it has not become smaller.
    third = travel.by(seconds=1)
    operations.report_accesses(report(first=0, backlog=5), actor=actor)
    travel.by(seconds=20)
    operations.report_accesses(report(first=0, backlog=9), actor=actor)
    assert (Guard.objects.get().backlog, Guard.objects.get().backlog_since) == (9, third)
    fourth = travel.by(seconds=20)
    operations.report_accesses(report(first=0, backlog=8), actor=actor)
    assert Guard.objects.get().backlog_since == fourth
    operations.report_accesses(report(first=0), actor=actor)
    assert (Guard.objects.get().backlog, Guard.objects.get().backlog_since) == (0, None)


def test_a_sign_of_life_acknowledges_nothing(grant: Grant, actor: Actor) -> None:
    """A guard that starts asks in this way where to go on."""
    operations.report_accesses(report(one(grant)), actor=actor)
    assert operations.report_accesses(report(first=50), actor=actor).number == 1
    with pytest.raises(ReportsGap):
        operations.report_accesses(report(one(grant), first=50), actor=actor)


def test_the_first_report_after_a_sign_of_life_can_begin_anywhere(grant: Grant, actor: Actor) -> None:
    operations.report_accesses(report(first=0), actor=actor)
    assert operations.report_accesses(report(one(grant), first=1001), actor=actor).number == 1001


class Host:
    """A machine with its own copy of a guard's queue, which reports as docs/signals.md says."""

    def __init__(self, actor: Actor, number: str, former: Iterable[str] = (), acknowledged: int = 0) -> None:
        self.actor, self.number, self.first, self.stored = actor, number, acknowledged + 1, list[ReportedAccess]()
        self.former, self.life = set(former), str(uuid4())

    def starts(self) -> None:
        """Begin a new life, and take the id over from an earlier life of this queue."""
        self.former, self.life = self.former | {self.life}, str(uuid4())
        self.send(is_sign=True)

    def send(self, *, is_sign: bool = False) -> None:
        accesses = () if is_sign else self.stored
        message = report(*accesses, first=self.first, number=self.number, life=self.life, former=self.former)
        try:
            reached = operations.report_accesses(message, actor=self.actor).number
        except GuardCopied:
            self.number, self.first, self.former, self.life = str(uuid4()), 1, set(), str(uuid4())
            return self.send()
        del self.stored[: max(0, reached + 1 - self.first)]
        self.first = max(self.first, reached + 1)
        return None


def test_everything_that_two_copies_of_a_queue_store_arrives(grant: Grant, actor: Actor) -> None:
    image = Host(actor, ONE)
    image.stored = [one(grant, item="GET /image")]
    image.send()
    a, b = (Host(actor, ONE, {image.life}, acknowledged=1) for _copy in range(2))
    # Both store an access with the number 2, and the first of them reports it.
    a.stored, b.stored = [one(grant, item="GET /a")], [one(grant, item="GET /b")]
    a.starts()
    a.send()
    b.starts()
    b.send()
    # The first one continues, and so does the second one, under another id.
    for host, item in ((a, "GET /a/next"), (b, "GET /b/next")):
        host.stored.append(one(grant, item=item))
        host.starts()
        host.send()
    found = [access["item"] for entry in entries() for access in entry["detail"]["accesses"]]
    assert sorted(found) == ["GET /a", "GET /a/next", "GET /b", "GET /b/next", "GET /image"]
    assert (a.number, b.number == ONE, a.stored, b.stored) == (ONE, False, [], [])


def test_a_report_of_another_life_is_refused_before_its_numbers_count(grant: Grant, actor: Actor) -> None:
    operations.report_accesses(report(one(grant), one(grant)), actor=actor)
    before = AuditEntry.objects.count(), Guard.objects.values().get()
    # Known numbers, the number that is expected, and a gap: none of them says anything about another queue.
    for first in (1, 2, 3, 9):
        with pytest.raises(GuardCopied) as refused, capture_logs() as logs:
            operations.report_accesses(report(one(grant), one(grant), first=first, life=COPY, backlog=7), actor=actor)
        assert (refused.value.code, refused.value.status) == ("guard_copied", 409)
        assert [line["guard"] for line in logs if line["event"] == "reports.guard_copied"] == [ONE]
    assert (AuditEntry.objects.count(), Guard.objects.values().get()) == before
    assert ContentAccess.objects.count() == 1


def test_a_report_without_accesses_takes_the_id_over(grant: Grant, actor: Actor) -> None:
    operations.report_accesses(report(one(grant)), actor=actor)
    assert operations.report_accesses(report(life=COPY), actor=actor).number == 1
    assert str(Guard.objects.get().life) == COPY
    with pytest.raises(GuardCopied):
        operations.report_accesses(report(one(grant), first=2), actor=actor)
    assert operations.report_accesses(report(one(grant), first=2, life=COPY), actor=actor).number == 2


def test_the_id_is_taken_over_only_from_the_lives_that_a_guard_names(grant: Grant, actor: Actor) -> None:
    operations.report_accesses(report(one(grant)), actor=actor)
    for former in ((), (OTHER,)):
        with pytest.raises(GuardCopied):
            operations.report_accesses(report(life=COPY, former=former), actor=actor)
        assert str(Guard.objects.get().life) == LIFE
    assert operations.report_accesses(report(life=COPY, former=(OTHER, LIFE)), actor=actor).number == 1
    assert str(Guard.objects.get().life) == COPY
    # It holds the id now, with any names.
    assert operations.report_accesses(report(life=COPY, former=()), actor=actor).number == 1
