"""Each page, mail, entry and file of a practice request says so, and none of a real access request does.

Each test walks everything that exists: all routes, all rows of the administration, all mails, all formats. So a new
page or mail without the mark fails here.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import mail
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.urls.converters import IntConverter, UUIDConverter
from reportlab import platypus

from audit_app import checkpoints, siem
from audit_app.models import AuditEntry
from audit_app.shard_positions import Shards
from audit_app.siem.source import Source
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.messages.webhooks import messages
from requests_app.models import AccessRequest, Grant, Resource, Ticket
from requests_app.words.sentences import PRACTICE
from requests_app.work import outbox
from tests import practice
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.content import fill
from tests.factors import force_login
from tests.isolation.world import routes
from verify import lockbox_verify

pytestmark = pytest.mark.django_db(transaction=True)

#: Who opens the pages: everybody who can see something of an access request.
READERS = ("mia", "ada", "otto", "ines", "priya", "pat", "stella")
#: One person of each role except members, whose pages approvers have, too.
ROLES = ("ada", "ines", "priya", "pat", "stella")
#: The page with the document of the API.
DOCUMENT = "/api/"
#: A mark in a page, and in an answer of the API or a line of a file.
MARK = re.compile(r"badge-practice|class=\"practice\"|Practice: |\"(?:is_)?practice\": ?true|\[Practice\]|PRACTICE: ")


@dataclass
class Life:
    """An access request whose window is open and in which content was opened, one that waits for each side, and more.

    `words` are the names and ids by which a page speaks about one of them.
    """

    ticket: Ticket
    rows: list[AccessRequest]
    grant: Grant
    resource: Resource

    @property
    def words(self) -> list[str]:
        ids = [self.ticket.pk, self.grant.pk, self.resource.pk, *(row.pk for row in self.rows)]
        return [self.ticket.reference, self.resource.name, *(row.reference for row in self.rows), *map(str, ids)]

    def is_in(self, text: str) -> bool:
        return any(word in text for word in self.words)

    def ids(self, collection: str) -> list[Any]:
        return {
            "access-requests": [row.pk for row in self.rows],
            "requests": [row.pk for row in self.rows],
            "windows": [self.grant.pk],
            "grants": [self.grant.pk],
            "tickets": [self.ticket.pk],
            "resources": [self.resource.pk],
        }.get(collection, [])


def _lived(cast: Cast, ticket: Ticket, resource: Resource) -> Life:
    """Bring access requests of the ticket through all states, and look at content in the window."""
    priya, pat, ada = cast.as_("priya"), cast.as_("pat"), cast.as_("ada")
    operations.assign_ticket(ticket.pk, actor=priya)
    operations.comment(ticket.pk, body="I look at it.", actor=priya)

    def asked() -> AccessRequest:
        return operations.submit(practice.ask(ticket, resource), actor=priya)

    rows = [asked() for _ in range(4)]
    for row in rows[1:]:
        operations.approve_as_provider(row.pk, actor=pat, note="No other way.")
    operations.deny_as_customer(rows[2].pk, actor=ada, note="Not now.")
    operations.approve_as_customer(rows[3].pk, actor=ada)
    grant = Grant.objects.get(access_request=rows[3])
    _access, listing = operations.content.list_items(grant.pk, resource.pk, actor=priya)
    operations.content.read_message(grant.pk, resource.pk, listing.items[0].id, actor=priya)
    return Life(ticket, [AccessRequest.objects.get(pk=row.pk) for row in rows], grant, resource)


def _without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRACTICE_PENDING_MAX", "PRACTICE_HOURLY_MAX"):
        monkeypatch.setattr(limits, name, 100)


@pytest.fixture
def lived(cast: Cast, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Life]:
    """Return the same life twice at Contoso: of a practice ticket, and of a real ticket."""
    _without_limits(monkeypatch)
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)
    made_up, real = practice.started(cast), cast.ticket()
    return {
        "practice": _lived(cast, made_up, practice.resource_of(made_up)),
        "real": _lived(cast, real, cast.resource()),
    }


@pytest.fixture
def alone(cast: Cast, settings: Any, tmp_path: Any) -> Life:
    """Return the life of a real ticket, in a world without practice."""
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)
    return _lived(cast, cast.ticket(), cast.resource())


# --- Pages ---------------------------------------------------------------------------------------------------


def _paths(life: Life, cast: Cast, namespace: str) -> Iterator[str]:
    """Yield the addresses of all routes that are about this life, or about no row, or about the tenant."""
    fixed = {name: [cast.contoso.pk] for name in ("log", "tenant", "tenants", "subscriptions")}
    for route in routes():
        if route.namespace != namespace:
            continue
        converters = route.entry.pattern.converters
        values: dict[str, list[Any]] = {}
        for name, converter in converters.items():
            if isinstance(converter, UUIDConverter):
                collection = route.collections.get(name, "")
                values[name] = life.ids(collection) or fixed.get(collection, [])
            elif isinstance(converter, IntConverter):
                values[name] = [0]
            else:
                values[name] = _texts(name, converter)
        for found in product(*values.values()):
            try:
                yield reverse(f"{namespace}:{route.name}", kwargs=dict(zip(values, found, strict=True)))
            except NoReverseMatch:
                continue


def _texts(name: str, converter: Any) -> list[str]:
    """Return what a text in an address can be: a choice, the name of an act, or else a secret that nobody has."""
    if re.fullmatch(r"[a-z0-9|]+", converter.regex):
        return list(converter.regex.split("|"))
    acts = ["withdraw", "release", "revoke", "resolve_ticket", "close_ticket", "link_ticket", "comment"]
    return acts if name == "action" else ["no-secret"]


def _admin_paths() -> Iterator[str]:
    """Yield the lists and the rows' pages of all kinds of rows in the administration."""
    for model in apps.get_models():
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        try:
            yield reverse(f"admin:{label}_changelist")
        except NoReverseMatch:
            continue
        for row in model._default_manager.all()[:60]:
            yield reverse(f"admin:{label}_change", args=[row.pk])


def _signed_in(cast: Cast, name: str) -> Client:
    client = Client()
    force_login(client, cast.people[name], is_fresh=True)
    return client


def _text(answer: Any) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return body.decode(errors="replace")


def _seen(cast: Cast, life: Life, readers: Sequence[str] = READERS) -> Iterator[tuple[str, str]]:
    """Yield each page and each answer of the API, for each reader: where it is, and its text."""
    # An address that takes no GET takes it from nobody, and the API's document is the same for everybody.
    asked_once = set[str]()
    for name in readers:
        for namespace, kind, get in (
            ("web", "text/html", _signed_in(cast, name).get),
            ("api", "json", Caller(token_of(cast, name)).get),
        ):
            for path in _paths(life, cast, namespace):
                if path in asked_once or path.endswith(("/events", "/evidence", "/openapi.json")):
                    continue
                answer: Any = get(path)
                if answer.status_code == 405 or path == DOCUMENT:
                    asked_once.add(path)
                if answer.status_code == 200 and kind in answer["Content-Type"]:
                    yield f"{name} {path}", _text(answer)
    staff = _signed_in(cast, "stella")
    for path in _admin_paths():
        answer = staff.get(path)
        if answer.status_code == 200:
            yield f"stella {path}", _text(answer)


def test_every_page_about_a_practice_request_says_so(cast: Cast, lived: dict[str, Life]) -> None:
    life, reached, unmarked = lived["practice"], 0, []
    for where, text in _seen(cast, life):
        if life.is_in(text):
            reached += 1
            if not MARK.search(text):
                unmarked.append(where)
    assert unmarked == []
    assert reached > 150


@pytest.mark.parametrize(
    ("readers", "least"),
    [pytest.param(ROLES, 66, id="roles"), pytest.param(READERS, 150, id="all", marks=pytest.mark.deep)],
)
def test_no_page_of_a_world_without_practice_has_the_mark(
    cast: Cast, alone: Life, readers: Sequence[str], least: int
) -> None:
    reached, marked = 0, []
    for where, text in _seen(cast, alone, readers):
        reached += alone.is_in(text)
        if MARK.search(text) and not where.endswith("/practice/"):
            marked.append(where)
    assert marked == []
    assert reached > least


def _one_page_each(cast: Cast, life: Life) -> Iterator[tuple[str, str]]:
    client = _signed_in(cast, "ada")
    for row in life.rows:
        yield str(row.state), _text(client.get(reverse("web:access_request", args=[row.pk])))


def test_page_of_a_real_access_request_beside_practice_has_no_notice(cast: Cast, lived: dict[str, Life]) -> None:
    for state, text in _one_page_each(cast, lived["practice"]):
        assert str(PRACTICE) in text, state
    for state, text in _one_page_each(cast, lived["real"]):
        assert not MARK.search(text), state


# --- Mails ---------------------------------------------------------------------------------------------------


def _sent() -> list[Any]:
    mail.outbox.clear()
    while outbox.drain():
        pass
    return list(mail.outbox)


def _mails_of_a_life(cast: Cast, ticket: Ticket, resource: Resource, travel: Any) -> tuple[list[Any], Life]:
    """Bring access requests of the ticket through all states, and send the mails of each step before they are old."""
    priya, pat, found = cast.as_("priya"), cast.as_("pat"), _sent()
    operations.comment(ticket.pk, body="I look at it.", actor=priya)
    rows = []
    for _ in range(2):
        rows.append(operations.submit(practice.ask(ticket, resource, window_for=7200), actor=priya))
        found += _sent()
        operations.approve_as_provider(rows[-1].pk, actor=pat, note="No other way.")
        found += _sent()
    travel.by(hours=1, minutes=1)
    operations.sweeps.remind_deciders(actor=cast.system("sweep"), limit=50)
    found += _sent()
    operations.deny_as_customer(rows[0].pk, actor=cast.as_("ada"), note="Not now.")
    operations.approve_as_customer(rows[1].pk, actor=cast.as_("ada"))
    found += _sent()
    travel.by(hours=1, minutes=55)
    operations.sweeps.announce_closing_soon(actor=cast.system("sweep"), limit=50)
    found += _sent()
    operations.release(rows[1].pk, actor=cast.as_("priya"))
    found += _sent()
    return found, Life(ticket, rows, Grant.objects.get(access_request=rows[1]), resource)


def test_every_mail_about_a_practice_request_says_so_first(cast: Cast, travel: Any) -> None:
    made_up = practice.started(cast, by="ines")
    mails, life = _mails_of_a_life(cast, made_up, practice.resource_of(made_up), travel)
    assert {found.extra_headers["X-Lockbox-Topic"].removeprefix("notify.") for found in mails} >= {
        "ticket_opened",
        "ticket_answered",
        "decide_as_provider",
        "decide_as_customer",
        "reminder",
        "window_opened",
        "closing_soon",
        "window_closed",
        "access_request_ended",
    }
    assert [found.subject for found in mails if not life.is_in(found.subject + found.body)] == []
    for found in mails:
        assert found.subject.startswith("[Practice] "), found.subject
        assert found.body.startswith(str(PRACTICE)), found.body[:200]
        assert str(PRACTICE) in found.alternatives[0][0]


def test_no_mail_about_a_real_access_request_has_the_mark(cast: Cast, travel: Any) -> None:
    practice.submitted(cast)
    _sent()
    mails, _life = _mails_of_a_life(cast, cast.ticket(), cast.resource(), travel)
    assert len(mails) > 20
    for found in mails:
        assert not MARK.search(found.subject + found.body + found.alternatives[0][0]), found.subject


def test_practice_never_delays_a_real_mail_and_no_mail_is_about_both(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_limits(monkeypatch)
    ticket, real = practice.started(cast), cast.ticket()
    for _ in range(5):
        operations.submit(practice.ask(ticket), actor=cast.as_("priya"))
    _sent()
    row = operations.submit(practice.ask(real, cast.resource()), actor=cast.as_("priya"))
    found = [each for each in _sent() if row.reference in each.body]
    assert sorted(each.to[0] for each in found) == [f"{who}@provider.example" for who in ("bea", "pat", "paula")]
    assert not any(MARK.search(each.subject + each.body) for each in found)


# --- Entries and files ---------------------------------------------------------------------------------------


def _entries(cast: Cast) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq"))


def _about(entry: AuditEntry, life: Life) -> bool:
    return life.is_in(bytes(entry.canonical).decode())


@pytest.mark.parametrize("name", ["csv", "jsonl", "ocsf", "o365", "cef"])
def test_every_line_of_an_export_says_what_is_practice(cast: Cast, lived: dict[str, Life], name: str) -> None:
    form = siem.FORMATS[name]
    source = Source(shards=Shards.of(cast.contoso.pk), vendor="Test")
    mark = {
        "csv": lambda line: line.rstrip().endswith(",yes"),
        "jsonl": lambda line: json.loads(line)["entry"]["detail"].get("practice") is True,
        "ocsf": lambda line: json.loads(line)["metadata"].get("labels") == ["practice"],
        "o365": lambda line: json.loads(line)["IsPractice"],
        "cef": lambda line: "CustomerLockboxPractice=true" in line,
    }[name]
    counted = {"practice": 0, "real": 0}
    for entry in _entries(cast):
        line = list(form.lines([entry], source))[-1]
        for kind, life in lived.items():
            if _about(entry, life):
                counted[kind] += 1
                assert mark(line) is (kind == "practice"), line
    assert min(counted.values()) > 10


def test_every_webhook_message_says_whether_it_is_practice(cast: Cast, lived: dict[str, Life]) -> None:
    for entry, message in zip(_entries(cast), messages.of(_entries(cast), cast.contoso.pk), strict=True):
        for kind, life in lived.items():
            if _about(entry, life):
                assert json.loads(message.body)["data"]["is_practice"] is (kind == "practice")


def _zip(cast: Cast, page: str) -> bytes:
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    client = _signed_in(cast, "otto")
    found = re.search(r'name="download"[^>]*value="([^"]+)"', _text(client.get(page)))
    assert found is not None
    answer: Any = client.post(page, {"download": found[1]})
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def _bundle(cast: Cast, row: AccessRequest) -> dict[str, str]:
    page = reverse("web:access_request_evidence", args=[row.pk])
    with zipfile.ZipFile(io.BytesIO(_zip(cast, page))) as bundle:
        return {name: bundle.read(name).decode(errors="replace") for name in bundle.namelist()}


def test_evidence_of_a_practice_request_says_so_in_every_file_for_people(
    cast: Cast, lived: dict[str, Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []

    class Noted(platypus.Paragraph):
        def __init__(self, text: str, *args: Any, **kwargs: Any) -> None:
            printed.append(text)
            super().__init__(text, *args, **kwargs)

    monkeypatch.setattr("reportlab.platypus.Paragraph", Noted)
    made_up = _bundle(cast, lived["practice"].rows[3])
    assert any(str(PRACTICE) in line for line in printed)
    assert any(line.startswith("Practice: ") for line in printed)
    printed.clear()
    real = _bundle(cast, lived["real"].rows[3])
    assert not any("ractice" in line for line in printed)
    for name in ("README.txt", "manifest.json", "timeline.html", "entries-0.jsonl"):
        assert MARK.search(made_up[name]), name
        assert not MARK.search(real[name]), name
    for line in made_up["entries-0.jsonl"].splitlines():
        entry = json.loads(line)
        if entry["access_request"] is not None:
            assert entry["detail"]["practice"] is True


def test_verifier_reports_practice_by_itself(cast: Cast, lived: dict[str, Life], tmp_path: Path) -> None:
    row = lived["practice"].rows[3]
    pages = {
        "one": reverse("web:access_request_evidence", args=[row.pk]),
        "whole": reverse("web:log_evidence", args=[cast.contoso.pk]),
    }
    found = {}
    for name, page in pages.items():
        (tmp_path / f"{name}.zip").write_bytes(_zip(cast, page))
        found[name] = lockbox_verify.verify(tmp_path / f"{name}.zip", lockbox_verify.Options(trust_bundle_key=True))
        assert found[name]["problems"] == []
    assert any(line.startswith("PRACTICE ") for line in lockbox_verify.in_words(found["one"]))
    rules = found["whole"]["rules"]
    assert (rules["windows"], rules["practice_windows"]) == (1, 1)
    assert rules["looks"] == rules["practice_looks"]
